"""The newest orderbook of a market leaves once the market is settled and the lake has all of its books.

Nobody can trade a settled market. At the size of the exchange, these books would fill a fifth of the warehouse.
"""

from typing import Any

import sqlalchemy as sa

from kalshi_pipelines.upkeep.inputs import ROWS_AT_ONCE, UpkeepInputs
from kalshi_pipelines.upkeep.removals import Removal
from kalshi_pipelines.warehouse.bulk import wanted_keys
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import markets, orderbook_snapshots, orderbooks, settlements


def remove_settled_books(inputs: UpkeepInputs) -> list[Removal]:
    """Remove the newest orderbooks of settled markets. Books that are still on their way to the lake stay."""
    with inputs.engine.connect() as connection:
        total = connection.scalar(sa.select(sa.func.count()).select_from(orderbooks)) or 0
        tickers: list[str] = list(connection.scalars(_leaving()))
    if not inputs.is_dry_run:
        for first in range(0, len(tickers), ROWS_AT_ONCE):
            _remove(inputs.engine, tickers[first : first + ROWS_AT_ONCE])
    rule = "market settled, and the lake has its books"
    return [Removal("newest orderbooks", len(tickers), total - len(tickers), rule)]


def _leaving() -> sa.Select[Any]:
    settled = (
        sa.exists()
        .where(settlements.c.ticker == orderbooks.c.ticker, markets.c.ticker == orderbooks.c.ticker)
        .where(markets.c.status == "finalized")
    )
    waiting = sa.exists().where(orderbook_snapshots.c.ticker == orderbooks.c.ticker)
    return sa.select(orderbooks.c.ticker).where(settled, ~waiting).order_by(orderbooks.c.ticker)


def _remove(engine: sa.Engine, tickers: list[str]) -> None:
    with writing(engine) as connection:
        # The condition is asked again, because an ingest may have written a book or a status since.
        batch = sa.select(wanted_keys(tickers, connection.dialect.name).c.value)
        going = _leaving().where(orderbooks.c.ticker.in_(batch))
        connection.execute(sa.delete(orderbooks).where(orderbooks.c.ticker.in_(going)))
