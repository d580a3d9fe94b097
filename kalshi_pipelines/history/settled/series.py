"""The series whose archives are read: all that anything in the warehouse or the lake names.

A series that the exchange does not list any more still has archived markets. Such a series is known from the series and
events of the warehouse, from records in the lake, or from the tickers of public trades.
"""

from collections.abc import Iterator
from typing import Final

import pyarrow.compute as pc
import sqlalchemy as sa

from kalshi_pipelines.history.trade_columns import COMBO_PREFIX
from kalshi_pipelines.lake.datasets import PAST_EVENTS, PUBLIC_TRADES, SETTLED_MARKETS
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.reading import read
from kalshi_pipelines.warehouse.tables import events, series

_FIRST_PART: Final = r"^(?P<series>[^-]+)"


def known_series(lake: Lake, engine: sa.Engine, start_us: int, end_us: int, *, includes_combos: bool) -> list[str]:
    """Return the tickers of all known series, sorted.

    Args:
        lake: The lake.
        engine: The warehouse.
        start_us: Only the tickers of public trades from this time on name series.
        end_us: Only the tickers of public trades before this time name series.
        includes_combos: Whether series of combos are wanted.
    """
    found = set(_in_warehouse(engine)) | set(_in_lake(lake, engine)) | set(_of_trades(lake, engine, start_us, end_us))
    return sorted(ticker for ticker in found if ticker and (includes_combos or not ticker.startswith(COMBO_PREFIX)))


def _in_warehouse(engine: sa.Engine) -> Iterator[str]:
    with engine.connect() as connection:
        yield from connection.scalars(sa.select(series.c.ticker))
        named = sa.select(events.c.series_ticker).where(events.c.series_ticker.is_not(None)).distinct()
        yield from connection.scalars(named)


def _in_lake(lake: Lake, engine: sa.Engine) -> Iterator[str]:
    for dataset in (PAST_EVENTS, SETTLED_MARKETS):
        for batch in read(lake, engine, dataset, columns=["series_ticker"]):
            yield from (ticker for ticker in pc.unique(batch.column(0)).to_pylist() if ticker)


def _of_trades(lake: Lake, engine: sa.Engine, start_us: int, end_us: int) -> Iterator[str]:
    """Yield the first parts of the tickers of trades, which are the tickers of their series."""
    for batch in read(lake, engine, PUBLIC_TRADES, start_us, end_us, columns=["ticker"]):
        tickers = pc.unique(batch.column(0))
        yield from pc.unique(pc.struct_field(pc.extract_regex(tickers, _FIRST_PART), "series")).to_pylist()
