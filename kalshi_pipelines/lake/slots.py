"""The slots of a trading day. A day is one file until it is large; later rows then go to one file for each hour.

The slot of a row depends on its time and on the day's file only, and stays the same for ever. Rows that are not newer
than the newest row of a large day's file belong to that file, even if they arrive late.
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
    is_full = whole is not None and (len(files) > 1 or whole.bytes >= MOST_DAY_BYTES)
    if whole is None or whole.contents.last_us is None or not is_full or not dataset.is_keyed_by_time:
        return [Share(Slot(dataset.name, day), batches)]
    cut = whole.contents.last_us + 1
    bounds = [(DAY_SLOT, start_of(day), cut)]
    bounds += [(f"{hour:02}", max(cut, start_of(day, hour)), start_of(day, hour + 1)) for hour in range(24)]
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


def _count_between(times: pa.Array, start: int, end: int) -> int:
    inside: Any = pc.and_(pc.greater_equal(times, start), pc.less(times, end))
    return pc.sum(inside).as_py() or 0
