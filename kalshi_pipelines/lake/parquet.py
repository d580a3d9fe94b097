"""Writing and checking one Parquet file: exact decimals, zstd, sorted rows, and statistics that readers can use."""

import datetime as dt
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kalshi_pipelines.lake.content_hash import ContentHash
from kalshi_pipelines.lake.datasets import UUID_BYTES, Dataset
from kalshi_pipelines.lake.errors import LakeFileChanged, printable
from kalshi_pipelines.units import microseconds

ROW_GROUP_ROWS: Final = 100_000
_ROWS_AT_ONCE: Final = 65_536
_MOST_PADDING: Final = 8_192
#: Metadata of each file: the lake and the dataset that it belongs to.
LAKE_ID: Final = b"kalshi_pipelines.lake_id"
DATASET: Final = b"kalshi_pipelines.dataset"


@dataclass(frozen=True)
class Contents:
    """A summary of the rows of a file.

    Attributes:
        rows: Number of rows.
        first_us: Smallest time; None if the file has no row.
        last_us: Largest time; None if the file has no row.
        sums: Sum of each numeric column, in units of its last digit.
        content_sha256: Hash of the rows in their order; None if an older version described the file.
    """

    rows: int
    first_us: int | None
    last_us: int | None
    sums: dict[str, int]
    content_sha256: str | None = None


class _Summary:
    """The contents of the batches that were added so far."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._rows = 0
        self._first: dt.datetime | None = None
        self._last: dt.datetime | None = None
        self._hash = ContentHash(dataset.schema)
        self._sums = {field.name: 0 for field in dataset.schema if _is_summed(field.type)}

    def add(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Add the rows of a batch."""
        if not batch.num_rows:
            return
        self._rows += batch.num_rows
        self._hash.add(batch)
        times = pc.min_max(batch.column(self._dataset.time)).as_py()
        if times["min"] is not None:
            self._first = min(self._first or times["min"], times["min"])
            self._last = max(self._last or times["max"], times["max"])
        for name in self._sums:
            self._sums[name] += _exact_sum(batch.column(name))

    def contents(self) -> Contents:
        """Return the summary of all rows added."""
        first, last = (None if time is None else microseconds(time) for time in (self._first, self._last))
        return Contents(self._rows, first, last, dict(self._sums), self._hash.hexdigest())


def _is_summed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(kind) or pa.types.is_integer(kind))


def _exact_sum(column: pa.Array | pa.ChunkedArray) -> int:
    if pa.types.is_integer(column.type):
        column = column.cast(pa.decimal128(20, 0))
    total = pc.sum(column).as_py()
    return 0 if total is None else int(total.scaleb(column.type.scale))


def write_file(target: pa.NativeFile, dataset: Dataset, batches: Iterable[pa.RecordBatch], lake_id: str) -> Contents:
    """Write sorted batches to an open file, and return a summary of the rows written.

    The file begins with a padding of random length, which readers skip. DuckDB, Polars and pyarrow open a file by its
    name twice in one query. If the file is replaced in between, they apply the old positions to the new file. Without
    the padding, a page of the new file can be at an old position, and DuckDB returned rows of both files. With it, the
    query fails.
    """
    summary = _Summary(dataset)
    schema = dataset.file_schema.with_metadata({LAKE_ID: lake_id.encode(), DATASET: dataset.name.encode()})
    with pq.ParquetWriter(
        target,
        schema,
        compression="zstd",
        write_page_checksum=True,
        write_page_index=True,
        store_decimal_as_integer=True,
        use_dictionary=_with_dictionary(dataset),
        column_encoding=dict.fromkeys(dataset.even_times, "DELTA_BINARY_PACKED"),
        sorting_columns=pq.SortingColumn.from_ordering(schema, [(name, "ascending") for name in dataset.key]),
    ) as writer:
        target.write(bytes(secrets.randbelow(_MOST_PADDING)))
        for group in _row_groups(batches):
            summary.add(group)
            writer.write_table(group.cast(schema), row_group_size=ROW_GROUP_ROWS)
    return summary.contents()


def _with_dictionary(dataset: Dataset) -> list[str]:
    """Return the columns whose values often repeat. Ids never repeat, and differences of times are smaller."""
    ids = [field.name for field in dataset.schema if field.type == UUID_BYTES]
    return [name for name in dataset.schema.names if name not in (*ids, *dataset.even_times)]


def _row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        while rows >= ROW_GROUP_ROWS:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, ROW_GROUP_ROWS)
            # A slice would keep the whole table in memory, so the rest is copied.
            rest = table.slice(ROW_GROUP_ROWS).combine_chunks()
            waiting, rows = rest.to_batches(), rest.num_rows
    if rows:
        yield pa.Table.from_batches(waiting)


def read_batches(source: pa.NativeFile, dataset: Dataset) -> Iterator[pa.RecordBatch]:
    """Yield the rows of an open file in small batches, and check the checksum of each page."""
    with pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, use_threads=False):
            yield batch.cast(dataset.schema)


def check_file(source: pa.NativeFile, dataset: Dataset, path: str) -> Contents:
    """Read a whole file, check its schema and order, and return a summary of its rows.

    Raises:
        LakeFileChanged: The file has another schema, or its rows are not sorted by the key, or a key occurs twice.
    """
    with pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False) as file:
        if not file.schema_arrow.equals(dataset.file_schema):
            raise LakeFileChanged(f"The lake's file {printable(path)} does not have the schema of {dataset.name}.")
        summary, last = _Summary(dataset), None
        for stored in file.iter_batches(_ROWS_AT_ONCE, use_threads=False):
            batch = stored.cast(dataset.schema)
            summary.add(batch)
            keys = batch.select(dataset.key)
            if not _is_increasing(keys if last is None else pa.concat_batches([last, keys])):
                raise LakeFileChanged(f"The rows of the lake's file {printable(path)} are not in their order.")
            last = keys.slice(keys.num_rows - 1) if keys.num_rows else last
    return summary.contents()


def lake_id_of(source: pa.NativeFile) -> str | None:
    """Return the id of the lake that a file was written for; None if the file names no lake."""
    with pq.ParquetFile(source) as file:
        found = (file.schema_arrow.metadata or {}).get(LAKE_ID)
    return None if found is None else found.decode()


def _is_increasing(keys: pa.RecordBatch) -> bool:
    if keys.num_rows < 2:
        return True
    less: Any = False
    equal: Any = True
    for column in keys.columns:
        before, after = column.slice(0, len(column) - 1), column.slice(1)
        less = pc.or_(less, pc.and_(equal, pc.less(before, after)))
        equal = pc.and_(equal, pc.equal(before, after))
    return bool(pc.all(less).as_py())
