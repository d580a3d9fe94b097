"""Money spent at vendors, and its budgets: set aside before a call is made, settled when its price is known.

All processes of a warehouse share the budgets. A call whose price never comes to be known, because its process was
killed or the answer does not say, counts with what was set aside for it.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from kalshi_pipelines.units import DAY_US
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.locks import serialize_transactions
from kalshi_pipelines.warehouse.tables import vendor_spending


@dataclass(frozen=True)
class Budget:
    """What may be spent.

    Attributes:
        vendor: Where.
        purpose: What for, ``probes`` or ``news``; what is spent for the other does not count.
        day_microdollars: In a UTC day, by everybody.
        ingest_run_id: The run that spends; ``None`` if it is none.
        run_microdollars: By this run; ``None`` for no limit but the day's.
    """

    vendor: str
    purpose: str
    day_microdollars: int
    ingest_run_id: int | None = None
    run_microdollars: int | None = None


def spent_today(connection: sa.Connection, budget: Budget, now_us: int) -> int:
    """Micro-dollars spent since midnight UTC, or set aside where the price is not known."""
    return _sum(connection, budget, vendor_spending.c.at_us >= now_us - now_us % DAY_US)


def spent_by_run(connection: sa.Connection, budget: Budget) -> int:
    """Micro-dollars spent by the budget's run, or set aside where the price is not known."""
    return _sum(connection, budget, vendor_spending.c.ingest_run_id == budget.ingest_run_id)


def unsettled_today(connection: sa.Connection, budget: Budget, now_us: int) -> int:
    """How many calls since midnight UTC have no known price."""
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
    """Set aside what a call may cost; ``None`` if the budget of the day or of the run has no room for it.

    Args:
        engine: A warehouse at head.
        budget: Whose room is needed.
        most_microdollars: What the call costs at most.
        now_us: The present instant.

    Returns:
        The number to settle it by.
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
    """Write down what a call did cost."""
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
