"""The merge of sorted streams of rows, such as the rows of a file and new rows, as a stream with bounded memory.

Each stream consists of record batches sorted by the dataset's key. The result is sorted and has each key once. Equal
rows become one row, so publishing the same rows twice changes nothing. One batch of each stream is in memory at a time.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_pipelines.lake.datasets import Dataset
from kalshi_pipelines.lake.errors import ConflictingRows

_ORIGIN: Final = "kalshi_origin"
_STORED: Final = 0
_NEW: Final = 1
_TRUE: Final = pa.array([True])


@dataclass
class MergeCounts:
    """Numbers of rows in a merge: stored before, offered, and in the result; and how many stored rows were replaced."""

    stored: int = 0
    offered: int = 0
    merged: int = 0
    replaced: int = 0

    @property
    def added(self) -> int:
        """Rows whose key was not stored before."""
        return self.merged - self.stored

    @property
    def has_changes(self) -> bool:
        """Whether the result differs from the rows stored before."""
        return self.added > 0 or self.replaced > 0


@dataclass(frozen=True)
class Differences:
    """Numbers of rows that differ between two versions of the same rows, by their keys."""

    added: int = 0
    removed: int = 0
    changed: int = 0


class _Side:
    """A sorted stream of a merge, with the rows that were read and not merged yet."""

    def __init__(self, dataset: Dataset, batches: Iterable[pa.RecordBatch], origin: int) -> None:
        self._dataset = dataset
        self._batches = iter(batches)
        self.origin = origin
        self._hold(self._mark(pa.RecordBatch.from_pylist([], dataset.schema)))
        self.is_exhausted = False
        self.read = 0

    def _mark(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        origins = pa.repeat(pa.scalar(self.origin, pa.int8()), batch.num_rows)
        return pa.record_batch([*batch.columns, origins], names=[*batch.schema.names, _ORIGIN])

    def _hold(self, rows: pa.RecordBatch) -> None:
        self._rows = rows
        self._first, self.last_key = (self._key(0), self._key(rows.num_rows - 1)) if rows.num_rows else ((), ())

    def fill(self) -> None:
        """Read until there are rows or the stream has ended."""
        while not self._rows.num_rows and not self.is_exhausted:
            self.read_more()

    def read_more(self) -> None:
        """Append the next batch to the waiting rows."""
        batch = next(self._batches, None)
        if batch is None:
            self.is_exhausted = True
            return
        self.read += batch.num_rows
        batch = self._mark(batch)
        self._hold(pa.concat_batches([self._rows, batch]) if self._rows.num_rows else batch)

    def _key(self, row: int) -> tuple[Any, ...]:
        return tuple(self._rows.column(name)[row].as_py() for name in self._dataset.key)

    def take_before(self, bound: tuple[Any, ...] | None) -> pa.RecordBatch:
        """Remove and return the rows whose key is smaller than the bound; all rows if there is no bound."""
        low, high = 0, self._rows.num_rows
        if bound is None or self.last_key < bound:
            low = high
        elif self._first >= bound:
            high = 0
        while low < high:
            middle = (low + high) // 2
            if bound is not None and self._key(middle) < bound:
                low = middle + 1
            else:
                high = middle
        taken = self._rows.slice(0, low)
        if low:
            self._hold(self._rows.slice(low))
        return taken


def merge(
    dataset: Dataset, stored: Iterable[pa.RecordBatch], new: Iterable[pa.RecordBatch], counts: MergeCounts
) -> Iterator[pa.RecordBatch]:
    """Yield the merged rows in the order of the key, and count them in ``counts``.

    Raises:
        ConflictingRows: Two different rows have the same key, and the dataset does not say which one is newer.
    """
    return _merge(dataset, (_Side(dataset, stored, _STORED), _Side(dataset, new, _NEW)), counts)


def merge_streams(
    dataset: Dataset, streams: Iterable[Iterable[pa.RecordBatch]], counts: MergeCounts
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of any number of streams in the order of the key, and count them in ``counts``.

    Raises:
        ConflictingRows: Two different rows have the same key, and the dataset does not say which one is newer.
    """
    return _merge(dataset, [_Side(dataset, stream, _NEW) for stream in streams], counts)


def _merge(dataset: Dataset, sides: Sequence[_Side], counts: MergeCounts) -> Iterator[pa.RecordBatch]:
    for parts in _rounds(sides):
        counts.stored, counts.offered = (
            sum(side.read for side in sides if side.origin == origin) for origin in (_STORED, _NEW)
        )
        batch = _combine(dataset, parts, counts)
        counts.merged += batch.num_rows
        yield batch
    counts.stored, counts.offered = (
        sum(side.read for side in sides if side.origin == origin) for origin in (_STORED, _NEW)
    )


def _rounds(sides: Sequence[_Side]) -> Iterator[list[pa.RecordBatch]]:
    """Yield the rows of the sides in parts that cover the same span of keys, each with a row at least."""
    while True:
        for side in sides:
            side.fill()
        open_sides = [side for side in sides if not side.is_exhausted]
        # Rows with the bound's own key wait, because the next batch of the same side may begin with this key.
        bound = min((side.last_key for side in open_sides), default=None)
        parts = [part for side in sides if (part := side.take_before(bound)).num_rows]
        if parts:
            yield parts
        elif not open_sides:
            return
        else:
            for side in open_sides:
                if side.last_key == bound:
                    side.read_more()


def differences(
    dataset: Dataset, old: Iterable[Iterable[pa.RecordBatch]], new: Iterable[Iterable[pa.RecordBatch]]
) -> Differences:
    """Compare two versions of rows, each in any number of sorted streams without repeated keys."""
    added = removed = changed = 0
    names = [(name, "ascending") for name in (*dataset.key, _ORIGIN)]
    sides = [_Side(dataset, each, origin) for origin, streams in ((_STORED, old), (_NEW, new)) for each in streams]
    for parts in _rounds(sides):
        rows = pa.concat_batches(parts).sort_by(names)
        in_both = same_as_previous(rows, dataset.key)
        equal = pc.sum(same_as_previous(rows, dataset.schema.names)).as_py() or 0
        both, stored = (pc.sum(each).as_py() or 0 for each in (in_both, pc.equal(rows.column(_ORIGIN), _STORED)))
        added += rows.num_rows - stored - both
        removed += stored - both
        changed += both - equal
    return Differences(added, removed, changed)


def _combine(dataset: Dataset, parts: list[pa.RecordBatch], counts: MergeCounts) -> pa.RecordBatch:
    rows = pa.concat_batches(parts)
    if len(parts) > 1 or dataset.newest:
        last_columns = [dataset.newest, _ORIGIN] if dataset.newest else [_ORIGIN]
        rows = rows.sort_by([(name, "ascending") for name in (*dataset.key, *last_columns)])
    repeats = same_as_previous(rows, dataset.key)
    if pc.any(repeats).as_py():
        rows = _one_row_a_key(dataset, rows, repeats, counts)
    return rows.select(dataset.schema.names).cast(dataset.schema)


def same_as_previous(rows: pa.RecordBatch, columns: Iterable[str]) -> pa.Array:
    """Return for each row but the first whether it equals the row before it in all of the columns."""
    same: Any = True
    for name in columns:
        column = rows.column(name)
        before, after = column.slice(0, len(column) - 1), column.slice(1)
        equal = pc.fill_null(pc.equal(before, after), fill_value=False)
        both_null = pc.and_(pc.is_null(before), pc.is_null(after))
        same = pc.and_(same, pc.or_(equal, both_null))
    return same


def _one_row_a_key(dataset: Dataset, rows: pa.RecordBatch, repeats: pa.Array, counts: MergeCounts) -> pa.RecordBatch:
    equal = same_as_previous(rows, dataset.schema.names)
    if dataset.newest is None:
        different = pc.and_(repeats, pc.invert(equal))
        if pc.any(different).as_py():
            _refuse(dataset, rows, pc.index(different, value=True).as_py())
        return rows.filter(pa.concat_arrays([_TRUE, pc.invert(repeats)]))
    rows = rows.filter(pa.concat_arrays([_TRUE, pc.invert(equal)]))
    repeats = same_as_previous(rows, dataset.key)
    # The last row of a key is the newest. A stored row that is not the last of its key is replaced.
    is_last = pa.concat_arrays([pc.invert(repeats), _TRUE]) if rows.num_rows > 1 else _TRUE
    is_replaced = pc.and_(pc.equal(rows.column(_ORIGIN), _STORED), pc.invert(is_last))
    counts.replaced += pc.sum(is_replaced).as_py() or 0
    return rows.filter(is_last)


def _refuse(dataset: Dataset, rows: pa.RecordBatch, position: int) -> None:
    first, second = rows.slice(position, 2).to_pylist()
    key = ", ".join(str(first[name]) for name in dataset.key)
    names = [name for name in dataset.schema.names if first[name] != second[name]]
    one, other = (", ".join(f"{name} {row[name]}" for name in names) for row in (first, second))
    raise ConflictingRows(
        f"The dataset {dataset.name} would have two different rows with the key ({key}): {one}, and {other}.",
        "Find out which row is right, and remove the other one from the warehouse.",
    )
