"""Reading history that is partly in the warehouse and partly in the lake. Each row is read once.

A day is read at a time. The rows of the day that may not be in the lake yet are read from the warehouse first, and the
manifest and the files afterwards. A row that moves in between is on both sides, and the merge makes one row of it. In
the other order, such a row would be on neither side.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Iterator

import pyarrow as pa
import sqlalchemy as sa

from kalshi_pipelines.lake.buffers import BufferedRows, HistoryBuffer, days_of
from kalshi_pipelines.lake.duckdb_views import DATE, SpanningView, with_date
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.manifest import Slot, lake_days_of, lake_files_of, lake_paths_of
from kalshi_pipelines.lake.merging import MergeCounts, merge
from kalshi_pipelines.lake.reading import RowSelection, read_file
from kalshi_pipelines.lake.slots import divide
from kalshi_pipelines.warehouse.tables import ingest_runs

#: Returns the rows of a day that may not be in the lake yet, sorted by the dataset's key.
RowsOfDay = Callable[[dt.date], list[pa.RecordBatch]]


def read_history(
    lake: Lake,
    engine: sa.Engine,
    buffer: HistoryBuffer,
    start_us: int | None = None,
    end_us: int | None = None,
    tickers: Collection[str] | None = None,
) -> pa.RecordBatchReader:
    """Return the rows of a history table and its dataset, day after day. Writers may move rows at the same time.

    Args:
        lake: The lake of the warehouse.
        engine: The warehouse.
        buffer: The history table and its dataset.
        start_us: First time to read, in microseconds; None for no limit.
        end_us: Time before which to read, in microseconds; None for no limit.
        tickers: Tickers to read; None for all.

    Raises:
        LakeFileChanged: While reading, a file of the manifest is missing or different.
        LakeUnavailable: While reading, the lake cannot be read.
    """
    selection = RowSelection(buffer.dataset, start_us, end_us, tickers)
    days = {day for run in unpublished_runs(engine, buffer.table) for day in days_of(engine, buffer, run)}

    def waiting(day: dt.date) -> list[pa.RecordBatch]:
        runs = tuple(unpublished_runs(engine, buffer.table))
        return list(BufferedRows(engine, buffer, runs, *buffer.dataset.bounds_of(day))) if runs else []

    return read_spanning(lake, engine, selection, days, waiting)


def history_view(engine: sa.Engine, buffer: HistoryBuffer) -> SpanningView:
    """Return the rows of a history table that may not be in the lake, and the files that the lake has."""
    dataset = buffer.dataset
    runs = tuple(unpublished_runs(engine, buffer.table))
    parts = []
    for day in sorted({day for run in runs for day in days_of(engine, buffer, run)}):
        rows = list(BufferedRows(engine, buffer, runs, *dataset.bounds_of(day)))
        table = pa.Table.from_batches(rows, dataset.schema)
        parts.append(with_date(table, day))
    waiting = pa.concat_tables([dataset.schema.append(DATE).empty_table(), *parts])
    # The manifest must be read after the rows of the warehouse. The docstring of the module says why.
    paths = lake_paths_of(engine, dataset.name)
    return SpanningView(dataset, paths, waiting, ("ticker", "observed_time"))


def unpublished_runs(engine: sa.Engine, table: sa.Table) -> list[int]:
    """Return the runs with rows in a history table that may not be in the lake yet."""
    runs = ingest_runs.c
    waiting = sa.select(runs.ingest_run_id).where(
        runs.exported_us.is_(None), sa.exists().where(table.c.ingest_run_id == runs.ingest_run_id)
    )
    with engine.connect() as connection:
        return list(connection.scalars(waiting.order_by(runs.ingest_run_id)))


def read_spanning(
    lake: Lake, engine: sa.Engine, selection: RowSelection, days: Iterable[dt.date], waiting: RowsOfDay
) -> pa.RecordBatchReader:
    """Return the selected rows of a dataset, day after day, with the rows that wait in the warehouse.

    Args:
        lake: The lake of the warehouse.
        engine: The warehouse.
        selection: The dataset, and the rows to read.
        days: Days that have rows in the warehouse. Days of the manifest are added.
        waiting: Returns the rows of a day that may not be in the lake yet.
    """
    return pa.RecordBatchReader.from_batches(
        selection.dataset.schema, _batches(lake, engine, selection, set(days), waiting)
    )


def _batches(
    lake: Lake, engine: sa.Engine, selection: RowSelection, days: set[dt.date], waiting: RowsOfDay
) -> Iterator[pa.RecordBatch]:
    dataset = selection.dataset
    for day in sorted(days.union(lake_days_of(engine, dataset.name))):
        if not selection.may_have_rows_of(day):
            continue
        rows = [found for batch in waiting(day) if (found := selection.of_tickers(batch)).num_rows]
        # The manifest must be read after the rows of the warehouse. The docstring of the module says why.
        files = {file.slot: file for file in lake_files_of(engine, dataset.name, [day])}
        shares = divide(dataset, day, rows, list(files.values())) if rows else []
        by_slot = {share.slot: share.batches for share in shares}
        for slot in sorted(files.keys() | by_slot.keys(), key=_order):
            if slot not in by_slot:
                yield from read_file(lake, engine, files[slot], selection)
                continue
            # The newest version of a row may be outside of the span and an older one inside, so the span is applied
            # after the merge.
            stored = read_file(lake, engine, files[slot], selection.of_any_time()) if slot in files else ()
            for batch in merge(dataset, stored, by_slot[slot], MergeCounts()):
                if (found := selection.filter(batch)).num_rows:
                    yield found


def _order(slot: Slot) -> tuple[bool, str]:
    """Sort the file of the day before the files of its hours."""
    return slot.name.isdecimal(), slot.name
