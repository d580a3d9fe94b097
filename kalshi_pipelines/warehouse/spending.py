"""Money spent at vendors, and its budgets. The cost of a call is reserved first and settled when its price is known.

All processes of a warehouse share the budgets. The price of a call stays unknown if its process was killed or the
answer does not state the price. For such a call, the reserved amount is counted as spent.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from kalshi_pipelines.units import DAY_US
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.locks import serialize_transactions
from kalshi_pipelines.warehouse.tables import vendor_spending


@dataclass(frozen=True)
class Budget:
    """A limit on the money that may be spent at a vendor for a purpose.

    Attributes:
        vendor: The vendor that is paid.
        purpose: ``probes`` or ``news``. Spending for the other purpose does not count.
        day_microdollars: The limit of a UTC day, over all processes.
        ingest_run_id: The run that spends, or None outside a run.
        run_microdollars: The limit of this run, or None if only the daily limit applies.
    """

    vendor: str
    purpose: str
    day_microdollars: int
    ingest_run_id: int | None = None
    run_microdollars: int | None = None


def spent_today(connection: sa.Connection, budget: Budget, now_us: int) -> int:
    """Return the micro-dollars spent since midnight UTC.

    If the price of a call is not known, the reserved amount is counted as spent.
    """
    return _sum(connection, budget, vendor_spending.c.at_us >= now_us - now_us % DAY_US)


def spent_by_run(connection: sa.Connection, budget: Budget) -> int:
    """Return the micro-dollars spent by the run that the budget names.

    If the price of a call is not known, the reserved amount is counted as spent.
    """
    return _sum(connection, budget, vendor_spending.c.ingest_run_id == budget.ingest_run_id)


def unsettled_today(connection: sa.Connection, budget: Budget, now_us: int) -> int:
    """Return the number of calls since midnight UTC whose price is unknown."""
    columns = vendor_spending.c
    return int(
        connection.scalar(
            sa.select(sa.func.count())
            .select_from(vendor_spending)
            .where(
                columns.vendor == budget.vendor,
                columns.purpose == budget.purpose,
                columns.at_us >= now_us - now_us % DAY_US,
                columns.spent_microdollars.is_(None),
            )
        )
        or 0
    )


def reserve(engine: sa.Engine, budget: Budget, most_microdollars: int, now_us: int) -> int | None:
    """Reserve the highest possible cost of a call, if the budgets of the day and of the run allow it.

    Args:
        engine: A warehouse with the newest schema.
        budget: The budget to reserve from.
        most_microdollars: The highest possible cost of the call.
        now_us: The current time.

    Returns:
        The id to settle the reservation with, or None if a budget does not allow the call.
    """
    with writing(engine) as connection:
        serialize_transactions(connection, "vendor_spending")
        if spent_today(connection, budget, now_us) + most_microdollars > budget.day_microdollars:
            return None
        if (
            budget.run_microdollars is not None
            and spent_by_run(connection, budget) + most_microdollars > budget.run_microdollars
        ):
            return None
        row = {
            "vendor": budget.vendor,
            "purpose": budget.purpose,
            "ingest_run_id": budget.ingest_run_id,
            "at_us": now_us,
            "reserved_microdollars": most_microdollars,
        }
        key = connection.execute(sa.insert(vendor_spending).values(row)).inserted_primary_key
        return int(key[0]) if key else None


def settle(engine: sa.Engine, spending_id: int, spent_microdollars: int) -> None:
    """Record the actual cost of a call."""
    with writing(engine) as connection:
        connection.execute(
            sa.update(vendor_spending)
            .where(vendor_spending.c.spending_id == spending_id)
            .values(spent_microdollars=spent_microdollars)
        )


def _sum(connection: sa.Connection, budget: Budget, condition: sa.ColumnElement[bool]) -> int:
    columns = vendor_spending.c
    cost = sa.func.coalesce(columns.spent_microdollars, columns.reserved_microdollars)
    wanted = (columns.vendor == budget.vendor, columns.purpose == budget.purpose, condition)
    return int(connection.scalar(sa.select(sa.func.sum(cost)).where(*wanted)) or 0)
