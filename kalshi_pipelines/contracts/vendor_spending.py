"""What probes may spend at a vendor in a day: reserved before a request is sent, settled when its price is known."""

import sqlalchemy as sa

from kalshi_pipelines.units import MICROSECONDS_PER_SECOND
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.locks import one_at_a_time
from kalshi_pipelines.warehouse.tables import vendor_spending

_DAY_US = 86_400 * MICROSECONDS_PER_SECOND


def spent_today(connection: sa.Connection, vendor: str, now_us: int) -> int:
    """Micro-dollars spent at a vendor since midnight UTC; what was reserved counts where the price is not known."""
    columns = vendor_spending.c
    cost = sa.func.coalesce(columns.spent_microdollars, columns.reserved_microdollars)
    midnight = now_us - now_us % _DAY_US
    total = connection.scalar(sa.select(sa.func.sum(cost)).where(columns.vendor == vendor, columns.at_us >= midnight))
    return int(total or 0)


def reserve(
    engine: sa.Engine, vendor: str, most_microdollars: int, budget_microdollars: int, now_us: int
) -> int | None:
    """Set aside what a request may cost; ``None`` if the day's budget has no room for it.

    Args:
        engine: A warehouse at head.
        vendor: Whose budget.
        most_microdollars: What the request costs at most.
        budget_microdollars: What may be spent in a UTC day.
        now_us: The present instant.

    Returns:
        The number to settle it by.
    """
    with writing(engine) as connection:
        one_at_a_time(connection, "vendor_spending")
        if spent_today(connection, vendor, now_us) + most_microdollars > budget_microdollars:
            return None
        row = {"vendor": vendor, "at_us": now_us, "reserved_microdollars": most_microdollars}
        key = connection.execute(sa.insert(vendor_spending).values(row)).inserted_primary_key
        return int(key[0]) if key else None


def settle(engine: sa.Engine, spending_id: int, spent_microdollars: int) -> None:
    """Write down what a request did cost."""
    with writing(engine) as connection:
        connection.execute(
            sa.update(vendor_spending)
            .where(vendor_spending.c.spending_id == spending_id)
            .values(spent_microdollars=spent_microdollars)
        )
