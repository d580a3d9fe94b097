"""Events for readers: those of the warehouse, and those whose markets have all left for the lake."""

from collections.abc import Collection
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from kalshi_pipelines.lake.archived_columns import PAST_EVENT
from kalshi_pipelines.lake.arrow_rows import arrow_table
from kalshi_pipelines.lake.datasets import PAST_EVENTS
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.reading import read
from kalshi_pipelines.warehouse.bulk import wanted_keys
from kalshi_pipelines.warehouse.tables import events, series

_SUFFIXES: Final = ("_us", "_microdollars", "_centicontracts")
#: Columns of events, in their order: those of the lake, without the time at which the event left the warehouse.
_COLUMNS: Final = tuple(column for column in PAST_EVENT if column.table)
EVENTS: Final = pa.schema([PAST_EVENTS.schema.field(column.name) for column in _COLUMNS])


def read_events(lake: Lake, engine: sa.Engine, tickers: Collection[str] | None) -> pa.Table:
    """Return events, each once, sorted by ticker."""
    # An event is in the lake before it leaves the warehouse, so the warehouse must be read first.
    stored = _of_warehouse(engine, tickers)
    past = read(lake, engine, PAST_EVENTS, tickers=tickers, columns=EVENTS.names).read_all()
    past = past.filter(pc.invert(pc.is_in(past["event_ticker"], stored["event_ticker"].combine_chunks())))
    newest = past.sort_by([("event_ticker", "ascending"), ("recorded_time", "descending")])
    return pa.concat_tables([stored, _first_of_each(newest)]).sort_by("event_ticker")


def _first_of_each(past: pa.Table) -> pa.Table:
    """Keep one record of an event that ended on several days, because a market was added after its end."""
    numbered = past.append_column("row", pa.array(range(past.num_rows), pa.int64()))
    first = numbered.group_by("event_ticker", use_threads=False).aggregate([("row", "min")])["row_min"]
    return past.take(first.combine_chunks())


def _of_warehouse(engine: sa.Engine, tickers: Collection[str] | None) -> pa.Table:
    sources = {"events": events, "series": series}
    query = (
        sa.select(
            *[sources[column.table].c[column.column].label(_label(column.name, column.column)) for column in _COLUMNS]
        )
        .select_from(events.outerjoin(series, series.c.ticker == events.c.series_ticker))
        .where(events.c.record_digest.is_not(None))
    )
    if tickers is not None:
        wanted = wanted_keys(tickers, engine.dialect.name)
        query = query.where(events.c.event_ticker.in_(sa.select(wanted.c.value)))
    with engine.connect() as connection:
        return arrow_table(connection, query).rename_columns(EVENTS.names).cast(EVENTS)


def _label(name: str, column: str) -> str:
    """Return a label from which the type of the Arrow column is known."""
    return f"{name}{next((suffix for suffix in _SUFFIXES if column.endswith(suffix)), '')}"
