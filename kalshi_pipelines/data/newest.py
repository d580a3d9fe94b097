"""The newest rows of changed quotes and orderbooks that were known at a time, read backwards day by day."""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from kalshi_pipelines.lake.buffers import HistoryBuffer, days_of
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.manifest import lake_days_of
from kalshi_pipelines.lake.spanning import read_history, unpublished_runs

_KEY = ("ticker", "observed_time")


def newest_rows(
    lake: Lake,
    engine: sa.Engine,
    buffer: HistoryBuffer,
    until_us: int,
    tickers: Collection[str] | None = None,
    first_us: int | None = None,
) -> pa.Table:
    """Return the rows of each market that have its newest time up to ``until_us``, sorted by ticker.

    Days are read backwards until every wanted market is found.

    Args:
        lake: The lake of the warehouse.
        engine: The warehouse.
        buffer: The history table and its dataset.
        until_us: The last time that was known, in microseconds; this time is included.
        tickers: The markets; None for all.
        first_us: The first time to look at; None for no limit.
    """
    dataset, found = buffer.dataset, [buffer.dataset.schema.empty_table()]
    missing = None if tickers is None else set(tickers)
    # A row of the time itself is known, so the end of the span is one microsecond later.
    for start_us, end_us in _days_backwards(engine, buffer, until_us + 1, first_us):
        if missing is not None and not missing:
            break
        newest = last_of_each(read_history(lake, engine, buffer, start_us, end_us, missing), dataset.schema)
        if missing is None:
            known = pa.concat_tables(found)["ticker"].combine_chunks()
            newest = newest.filter(pc.invert(pc.is_in(newest["ticker"], known)))
        else:
            missing -= set(newest["ticker"].to_pylist())
        found.append(newest)
    return pa.concat_tables(found).sort_by([(name, "ascending") for name in dataset.key])


def _days_backwards(
    engine: sa.Engine, buffer: HistoryBuffer, end_us: int, first_us: int | None
) -> Iterator[tuple[int, int]]:
    days: set[dt.date] = set(lake_days_of(engine, buffer.dataset.name))
    for run in unpublished_runs(engine, buffer.table):
        days |= days_of(engine, buffer, run)
    for day in sorted(days, reverse=True):
        start_us, after_us = buffer.dataset.bounds_of(day)
        span = (max(start_us, first_us or start_us), min(after_us, end_us))
        if span[0] < span[1]:
            yield span


def last_of_each(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Return the rows with the newest time of each market, in the order of the batches."""
    kept = schema.empty_table()
    for batch in batches:
        kept = _last_rows(pa.concat_tables([kept, pa.Table.from_batches([batch])]))
    return kept


def _last_rows(rows: pa.Table) -> pa.Table:
    last = rows.select(_KEY).group_by("ticker", use_threads=False).aggregate([("observed_time", "max")])
    # Rows of one orderbook have one time, and all of them are kept.
    place = pc.index_in(rows["ticker"], last["ticker"].combine_chunks())
    newest = last["observed_time_max"].take(place)
    return rows.filter(pc.equal(rows["observed_time"], newest))
