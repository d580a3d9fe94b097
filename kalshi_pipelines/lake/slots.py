"""The slots of a day. A day is one file until it is large; later rows then go to one file for each hour.

The slot of a row depends on its time and on the day's file only, and stays the same for ever. Rows that are not newer
than the newest row of a large day's file belong to that file, even if they arrive late.

A past day that is read from the exchange as a whole is one file, or a file for each of its hours if it has very many
rows. This depends on its rows alone, so that everybody who reads such a day gets the same files.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_pipelines.lake.datasets import INSTANT, Dataset
from kalshi_pipelines.lake.manifest import LakeFile, Slot
from kalshi_pipelines.units import EXCHANGE_TIME_ZONE, microseconds
from kalshi_pipelines.warehouse.tables import DAY_SLOT

#: From this size on, later rows of the day go to hours.
MOST_DAY_BYTES: Final = 256 << 20


@dataclass(frozen=True)
class Share:
    """The rows of one slot. They can be read more than once."""

    slot: Slot
    batches: Iterable[pa.RecordBatch]


@dataclass(frozen=True)
class _Between:
    """The rows whose time is at least ``start_us`` and less than ``end_us``."""

    batches: Iterable[pa.RecordBatch]
    time: str
    start_us: int
    end_us: int

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        start, end = (pa.scalar(bound, INSTANT) for bound in (self.start_us, self.end_us))
        for batch in self.batches:
            times = batch.column(self.time)
            yield batch.filter(pc.and_(pc.greater_equal(times, start), pc.less(times, end)))


def start_of(day: dt.date, hour: int = 0) -> int:
    """Return the first microsecond of an hour of a trading day. Hour 24 is the beginning of the next day."""
    if hour == 24:
        return start_of(day + dt.timedelta(days=1))
    return microseconds(dt.datetime.combine(day, dt.time(hour), EXCHANGE_TIME_ZONE))


def divide(dataset: Dataset, day: dt.date, batches: Iterable[pa.RecordBatch], files: Sequence[LakeFile]) -> list[Share]:
    """Return the slots of a day that the rows belong to, given the files that the day has.

    ``batches`` must be iterable more than once.
    """
    whole = next((file for file in files if file.slot.name == DAY_SLOT), None)
    is_full = is_divided(files) or (whole is not None and whole.bytes >= MOST_DAY_BYTES)
    if not is_full or not dataset.is_keyed_by_time:
        return [Share(Slot(dataset.name, day), batches)]
    bounds = _bounds(dataset, day, files)
    counts = [0] * len(bounds)
    for batch in batches:
        times = batch.column(dataset.time).cast(pa.int64())
        for position, (_, start, end) in enumerate(bounds):
            counts[position] += _count_between(times, start, end)
    return [
        Share(Slot(dataset.name, day, name), _Between(batches, dataset.time, start, end))
        for (name, start, end), count in zip(bounds, counts, strict=True)
        if count
    ]


def is_divided(files: Iterable[LakeFile]) -> bool:
    """Return whether a day with these files has files of hours."""
    return any(file.slot.name != DAY_SLOT for file in files)


def divide_streams(
    dataset: Dataset, day: dt.date, streams: Sequence[Iterable[pa.RecordBatch]], files: Sequence[LakeFile]
) -> list[tuple[Slot, Sequence[Iterable[pa.RecordBatch]]]]:
    """Return the slots of a divided day, each with the rows of the streams that belong to it."""
    return [
        (Slot(dataset.name, day, name), [_Between(stream, dataset.time, first, after) for stream in streams])
        for name, first, after in _bounds(dataset, day, files)
        if first < after
    ]


def _bounds(dataset: Dataset, day: dt.date, files: Sequence[LakeFile]) -> list[tuple[str, int, int]]:
    """Return the slots of a divided day, each with its first time and the first time after it."""
    start, _ = dataset.bounds_of(day)
    ends = [file.contents.last_us for file in files if file.slot.name == DAY_SLOT]
    cut = start if not ends or ends[0] is None else ends[0] + 1
    hours = [(f"{hour:02}", *dataset.bounds_of(day, hour, 1)) for hour in range(24)]
    return [(DAY_SLOT, start, cut), *[(name, max(cut, first), after) for name, first, after in hours]]


def _count_between(times: pa.Array, start: int, end: int) -> int:
    inside: Any = pc.and_(pc.greater_equal(times, start), pc.less(times, end))
    return pc.sum(inside).as_py() or 0
