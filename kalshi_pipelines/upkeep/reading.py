"""Reading settled markets that are partly in the warehouse and partly in the lake. Each market is read once."""

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import SETTLED_MARKETS
from kalshi_pipelines.lake.duckdb_views import SpanningView, with_date
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.manifest import lake_paths_of
from kalshi_pipelines.lake.reading import RowSelection
from kalshi_pipelines.lake.spanning import read_spanning
from kalshi_pipelines.units import trading_day
from kalshi_pipelines.upkeep.archive_rows import last_recorded, settled_markets
from kalshi_pipelines.upkeep.archiving import in_partition
from kalshi_pipelines.upkeep.days import day_of_number
from kalshi_pipelines.upkeep.returning import earlier_partitions
from kalshi_pipelines.warehouse.bulk import wanted_keys
from kalshi_pipelines.warehouse.tables import markets, quotes, settlements

#: The exchange can take a settlement back. The record of such a market has another status and no outcome.
_HAS_OUTCOME: Final = "(status = 'finalized' OR settlement_result IS NOT NULL)"


def read_settled_markets(
    lake: Lake,
    engine: sa.Engine,
    start_us: int | None = None,
    end_us: int | None = None,
    tickers: Collection[str] | None = None,
) -> pa.RecordBatchReader:
    """Return the newest record of each settled market, day after day.

    Args:
        lake: The lake of the warehouse.
        engine: The warehouse.
        start_us: First time of settlement to read, in microseconds; None for no limit.
        end_us: Time of settlement before which to read, in microseconds; None for no limit.
        tickers: Tickers to read; None for all.

    Raises:
        LakeFileChanged: While reading, a file of the manifest is missing or different.
        LakeUnavailable: While reading, the lake cannot be read.
    """
    selection = RowSelection(SETTLED_MARKETS, start_us, end_us, tickers)
    moved = earlier_partitions(lake, engine)
    found = read_spanning(lake, engine, selection, _days(engine, moved), lambda day: _waiting(engine, day, moved))
    settled = (batch.filter(_is_settled(batch)) for batch in found)
    return pa.RecordBatchReader.from_batches(found.schema, (batch for batch in settled if batch.num_rows))


def settled_view(lake: Lake, engine: sa.Engine) -> SpanningView:
    """Return the records that the lake may not have in their newest version, and the files that the lake has."""
    moved = earlier_partitions(lake, engine)
    parts = [
        with_date(pa.Table.from_batches(_waiting(engine, day, moved), SETTLED_MARKETS.schema), day)
        for day in sorted(_days(engine, moved))
    ]
    waiting = pa.concat_tables([with_date(SETTLED_MARKETS.schema.empty_table(), dt.date.min), *parts])
    # The manifest must be read after the rows of the warehouse, as ``lake.spanning`` explains.
    paths = lake_paths_of(engine, SETTLED_MARKETS.name)
    return SpanningView(SETTLED_MARKETS, paths, waiting, SETTLED_MARKETS.key, _HAS_OUTCOME)


def _is_settled(batch: pa.RecordBatch) -> Any:  # noqa: ANN401  # an expression of Arrow
    is_final = pc.fill_null(pc.equal(batch.column("status"), "finalized"), fill_value=False)
    return pc.or_(is_final, pc.is_valid(batch.column("settlement_result")))


def _waiting(engine: sa.Engine, day: dt.date, moved: Mapping[str, dt.date]) -> list[pa.RecordBatch]:
    """Return the waiting records of a partition. Markets in ``moved`` belong to the partition that it names."""
    inside = in_partition(day)
    if moved:
        here, elsewhere = (
            [ticker for ticker in moved if (moved[ticker] == day) is is_here] for is_here in (True, False)
        )
        inside = sa.or_(sa.and_(inside, ~_among(engine, elsewhere)), _among(engine, here))
    return list(settled_markets(engine, inside & _is_waiting(engine)))


def _among(engine: sa.Engine, tickers: list[str]) -> sa.ColumnElement[bool]:
    return settlements.c.ticker.in_(sa.select(wanted_keys(tickers, engine.dialect.name).c.value))


def _is_waiting(engine: sa.Engine) -> sa.ColumnElement[bool]:
    """Return the condition that the lake may not have the newest record of a settled market."""
    columns = settlements.c
    return sa.or_(columns.archived_us.is_(None), columns.archived_us < last_recorded(engine))


def _days(engine: sa.Engine, moved: Mapping[str, dt.date]) -> set[dt.date]:
    joined = settlements.join(markets, markets.c.ticker == settlements.c.ticker)
    joined = joined.outerjoin(quotes, quotes.c.ticker == settlements.c.ticker)
    columns = (settlements.c.ticker, settlements.c.settled_us, settlements.c.archived_day)
    with engine.connect() as connection:
        found = connection.execute(sa.select(*columns).select_from(joined).where(_is_waiting(engine)))
        return {
            moved.get(ticker) or (trading_day(settled) if number is None else day_of_number(number))
            for ticker, settled, number in found
        }
