"""Removing rows of history tables from the warehouse after they were published.

Rows are removed only after a proof: the files have the hashes of the manifest, and contain an equal row for every row
to be removed.
"""

import datetime as dt
from collections.abc import Iterable

import pyarrow as pa
import sqlalchemy as sa

from kalshi_pipelines.lake.buffers import ROWS_AT_ONCE, BufferedRows, HistoryBuffer, days_of, rows_by_day
from kalshi_pipelines.lake.datasets import Dataset
from kalshi_pipelines.lake.errors import RowsNotInLake, explain_file_errors
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.manifest import lake_files_of
from kalshi_pipelines.lake.merging import MergeCounts, merge
from kalshi_pipelines.lake.parquet import read_batches
from kalshi_pipelines.lake.publishing import LakeWriter, hold_lake, require_file_of_manifest
from kalshi_pipelines.lake.slots import Share, divide
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import history_moves, ingest_runs


def remove_published(lake: Lake, engine: sa.Engine, buffer: HistoryBuffer, before_us: int) -> int:
    """Remove the rows of exported runs that were observed before a time, and return how many were removed.

    Each day's rows are removed only after a proof that its files contain an equal row for each of them. While history
    of an older version is moving, nothing is removed here, because the move counts the rows that it removes.

    Raises:
        RowsNotInLake: A row of an exported run is not in the lake. No row of its day was removed.
        LakeFileChanged: A file is not the file that the manifest describes. No row of its day was removed.
        LakeOfAnotherWarehouse: The lake belongs to another warehouse or environment.
        LakeUnavailable: The lake cannot be read.
    """
    removed = 0
    with hold_lake(engine, lake.store, lake.environment) as writer:
        if is_moving(engine, buffer):
            return 0
        days_of_runs = {run: days_of(engine, buffer, run, before_us) for run in _exported_runs(engine, buffer)}
        for day, rows in rows_by_day(engine, buffer, days_of_runs, before_us).items():
            require_in_lake(writer, buffer.dataset, day, rows)
            removed += _delete(rows)
    return removed


def is_moving(engine: sa.Engine, buffer: HistoryBuffer) -> bool:
    """Return whether rows of an older version have yet to move from this table to the lake."""
    columns = history_moves.c
    unfinished = sa.exists().where(columns.dataset == buffer.dataset.name, columns.finished_us.is_(None))
    with engine.connect() as connection:
        return bool(connection.scalar(sa.select(unfinished)))


def _exported_runs(engine: sa.Engine, buffer: HistoryBuffer) -> list[int]:
    """Return the exported runs that have rows in the table. Each step finds the next run in the table's index."""
    runs, column = ingest_runs.c, buffer.table.c.ingest_run_id
    with engine.connect() as connection:
        found, last = [], connection.scalar(sa.select(sa.func.min(column)))
        while last is not None:
            found.append(last)
            last = connection.scalar(sa.select(sa.func.min(column)).where(column > last))
        exported = sa.select(runs.ingest_run_id).where(runs.exported_us.is_not(None), runs.status != "running")
        return sorted(set(found) & set(connection.scalars(exported)))


def require_in_lake(writer: LakeWriter, dataset: Dataset, day: dt.date, rows: Iterable[pa.RecordBatch]) -> None:
    """Check that the day's files are those of the manifest, and contain an equal row for each of the rows.

    Raises:
        RowsNotInLake: A row is missing, or the lake has an older one.
        LakeFileChanged: A file is not the file that the manifest describes.
        ConflictingRows: The lake has a different row with the same key.
    """
    files = {file.slot: file for file in lake_files_of(writer.engine, dataset.name, [day])}
    for share in divide(dataset, day, rows, list(files.values())):
        with writer.store.fetch(share.slot.path) as found:
            require_file_of_manifest(writer.store, share.slot, files.get(share.slot), found)
            missing = _count_missing(writer, dataset, share, found.open() if found else None)
        if missing:
            raise RowsNotInLake(
                f"{missing:,} rows of exported runs are not in {share.slot.path} of the lake {writer.store.place}, "
                "so no row of that day was removed."
            )


def _count_missing(writer: LakeWriter, dataset: Dataset, share: Share, source: pa.NativeFile | None) -> int:
    counts = MergeCounts()
    with explain_file_errors(writer.store.place):
        if source is None:
            return sum(batch.num_rows for batch in share.batches)
        with source:
            # A merge that adds nothing proves that the file has an equal row for each row. A different row is an error.
            for _ in merge(dataset, read_batches(source, dataset), share.batches, counts):
                pass
    return counts.added + counts.replaced


def _delete(rows: BufferedRows) -> int:
    """Delete rows in transactions of some thousand rows, so that other writers get their turn."""
    table = rows.buffer.table
    (key,) = table.primary_key
    some = sa.select(key).where(rows.condition).limit(ROWS_AT_ONCE)
    total = 0
    while True:
        with writing(rows.engine) as connection:
            deleted = connection.execute(sa.delete(table).where(key.in_(some))).rowcount
        total += deleted
        if deleted < ROWS_AT_ONCE:
            return total
