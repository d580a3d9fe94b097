"""Reading rows of the lake in a span of time. Files and row groups without such rows are skipped."""

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import INSTANT, Dataset
from kalshi_pipelines.lake.errors import LakeFileChanged, explain_file_errors
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.manifest import LakeFile, find_lake_file
from kalshi_pipelines.units import microseconds

_ROWS_AT_ONCE: Final = 65_536


def read(
    lake: Lake,
    engine: sa.Engine,
    dataset: Dataset,
    start_us: int | None = None,
    end_us: int | None = None,
    tickers: Collection[str] | None = None,
    columns: Sequence[str] | None = None,
) -> pa.RecordBatchReader:
    """Return the rows of a dataset, file after file, each sorted by the dataset's key.

    A writer may replace files at the same time.

    Args:
        lake: The lake of the warehouse.
        engine: The warehouse, which has the manifest.
        dataset: The dataset to read.
        start_us: First time to read, in microseconds; None for no limit.
        end_us: Time before which to read, in microseconds; None for no limit.
        tickers: Tickers to read; None for all.
        columns: Columns to return; None for all.

    Raises:
        LakeFileChanged: While reading, a file of the manifest is missing or different.
        LakeUnavailable: While reading, the lake cannot be read.
    """
    names = list(columns) if columns is not None else dataset.schema.names
    schema = pa.schema([dataset.schema.field(name) for name in names])
    selection = RowSelection(dataset, start_us, end_us, tickers, names)
    return pa.RecordBatchReader.from_batches(schema, _batches(lake, engine, selection))


class RowSelection:
    """The rows and columns that a reader asked for: a span of time, tickers, and columns. None means all."""

    def __init__(
        self,
        dataset: Dataset,
        start_us: int | None,
        end_us: int | None,
        tickers: Collection[str] | None,
        columns: Sequence[str] | None = None,
    ) -> None:
        names = dataset.schema.names if columns is None else columns
        self.dataset = dataset
        self._start_us, self._end_us = start_us, end_us
        self._tickers = sorted(set(tickers)) if tickers is not None else None
        self._ticker = dataset.key[0]
        filtered = [dataset.time] if (start_us, end_us) != (None, None) else []
        filtered += [self._ticker] if tickers is not None else []
        self.schema = pa.schema([dataset.schema.field(name) for name in names])
        #: Columns to read from the file: those to return, and those that the conditions need.
        self.read = list(dict.fromkeys([*names, *filtered]))

    def may_have_rows(self, file: LakeFile) -> bool:
        """Whether a file can have wanted rows, by its times in the manifest."""
        if file.status == "publishing":
            return self.may_have_rows_of(file.slot.day)
        return self._overlaps(file.contents.first_us, file.contents.last_us)

    def may_have_rows_of(self, day: dt.date) -> bool:
        """Whether a day can have wanted rows."""
        if not self.dataset.is_keyed_by_time:
            return True
        first_us, after_us = self.dataset.bounds_of(day)
        return self._overlaps(first_us, after_us - 1)

    def _overlaps(self, first_us: int | None, last_us: int | None) -> bool:
        if first_us is None or last_us is None:
            return True
        too_early = self._start_us is not None and last_us < self._start_us
        return not too_early and not (self._end_us is not None and first_us >= self._end_us)

    def row_groups(self, metadata: pq.FileMetaData) -> list[int]:
        """Return the row groups that can have wanted rows, by their statistics."""
        return [number for number in range(metadata.num_row_groups) if self._group(metadata.row_group(number))]

    def _group(self, group: pq.RowGroupMetaData) -> bool:
        columns = {column.path_in_schema: column for column in map(group.column, range(group.num_columns))}
        times, tickers = (columns[name].statistics for name in (self.dataset.time, self._ticker))
        if times is not None and times.has_min_max:
            first, last = (microseconds(_in_utc(each)) for each in (times.min, times.max))
            if not self._overlaps(first, last):
                return False
        if self._tickers is None or tickers is None or not tickers.has_min_max:
            return True
        return any(tickers.min <= ticker <= tickers.max for ticker in self._tickers)

    def of_any_time(self) -> "RowSelection":
        """Return the selection of the same tickers and columns without a limit of time."""
        return RowSelection(self.dataset, None, None, self._tickers, self.schema.names)

    def of_tickers(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of a batch that have wanted tickers, at any time."""
        return batch if self._tickers is None else self.of_any_time().filter(batch)

    def filter(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the wanted rows of a batch."""
        mask: Any = None
        for found in self._conditions(batch):
            mask = found if mask is None else pc.and_(mask, found)
        return batch if mask is None else batch.filter(mask)

    def _conditions(self, batch: pa.RecordBatch) -> Iterator[pa.Array]:
        if self._start_us is not None:
            yield pc.greater_equal(batch.column(self.dataset.time), pa.scalar(self._start_us, INSTANT))
        if self._end_us is not None:
            yield pc.less(batch.column(self.dataset.time), pa.scalar(self._end_us, INSTANT))
        if self._tickers is not None:
            yield pc.is_in(batch.column(self._ticker), pa.array(self._tickers, pa.string()))


def _in_utc(time: dt.datetime) -> dt.datetime:
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)


def _batches(lake: Lake, engine: sa.Engine, selection: RowSelection) -> Iterator[pa.RecordBatch]:
    for file in lake.files(engine, selection.dataset):
        yield from read_file(lake, engine, file, selection)


def read_file(lake: Lake, engine: sa.Engine, file: LakeFile, selection: RowSelection) -> Iterator[pa.RecordBatch]:
    """Yield the selected rows of one file. A writer may replace the file at the same time.

    Raises:
        LakeFileChanged: The file is missing or different.
        LakeUnavailable: The lake cannot be read.
    """
    if not selection.may_have_rows(file):
        return
    with lake.store.read(file.path, partial(_hashes, engine, file)) as source:
        if source is not None:
            for batch in _batches_of(lake, source, selection):
                yield batch.select(selection.schema.names).cast(selection.schema)
        elif file.sha256 is not None:
            raise LakeFileChanged(f"The file {file.path} of the lake {lake.place} is missing.")


def _hashes(engine: sa.Engine, file: LakeFile) -> frozenset[str]:
    found = find_lake_file(engine, file.slot)
    return found.hashes if found else frozenset()


def _batches_of(lake: Lake, source: pa.NativeFile, selection: RowSelection) -> Iterator[pa.RecordBatch]:
    with explain_file_errors(lake.place):
        file = pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False)
        groups = selection.row_groups(file.metadata)
        batches = file.iter_batches(_ROWS_AT_ONCE, row_groups=groups, columns=selection.read, use_threads=False)
    while True:
        with explain_file_errors(lake.place):
            batch = next(batches, None)
        if batch is None:
            return
        found = selection.filter(batch)
        if found.num_rows:
            yield found
