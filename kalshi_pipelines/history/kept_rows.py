"""Rows of a day in the lake that a new read did not see, and that must therefore stay.

A read says nothing about a time that the exchange did not serve. Rows of such a time are kept, not removed.
"""

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from kalshi_pipelines.history.inputs import HistoryInputs
from kalshi_pipelines.history.windows import LONGEST_US, TimeWindow, missing, windows_of
from kalshi_pipelines.lake.datasets import Dataset
from kalshi_pipelines.lake.manifest import lake_files_of
from kalshi_pipelines.lake.reading import read
from kalshi_pipelines.units import SECOND_US


@dataclass(frozen=True)
class KeptRows:
    """Rows of the lake in a span of time, sorted. They can be iterated more than once.

    Attributes:
        inputs: The lake and its warehouse.
        dataset: The dataset.
        window: The span. All of its rows are in one file.
        tickers: The markets to keep; None for all.
    """

    inputs: HistoryInputs
    dataset: Dataset
    window: TimeWindow
    tickers: Collection[str] | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        bounds = (self.window.start_us, self.window.end_us)
        yield from read(self.inputs.lake, self.inputs.engine, self.dataset, *bounds, self.tickers)


def kept_rows(
    inputs: HistoryInputs,
    dataset: Dataset,
    day: dt.date,
    seen: Sequence[TimeWindow] = (),
    tickers: Collection[str] | None = None,
) -> list[KeptRows]:
    """Return the rows of a day in the lake outside of the windows that were seen, as sorted streams."""
    if not lake_files_of(inputs.engine, dataset.name, [day]):
        return []
    whole = _seconds_of(dataset, day)
    return [
        KeptRows(inputs, dataset, window, tickers)
        for gap in missing(whole, seen)
        for hour in windows_of(whole, LONGEST_US)
        if (window := hour.common(gap)) is not None
    ]


def rows_after(inputs: HistoryInputs, dataset: Dataset, day: dt.date, end_s: int) -> list[KeptRows]:
    """Return the rows of a day in the lake after a Unix second, up to which the day was read."""
    whole, end_us = _seconds_of(dataset, day), (end_s + 1) * SECOND_US
    seen = [TimeWindow(whole.start_us, min(end_us, whole.end_us))] if end_us > whole.start_us else []
    return kept_rows(inputs, dataset, day, seen)


def _seconds_of(dataset: Dataset, day: dt.date) -> TimeWindow:
    """Return the seconds of a day. A day of candlesticks begins a microsecond after midnight."""
    first_us, after_us = (-(-bound // SECOND_US) * SECOND_US for bound in dataset.bounds_of(day))
    return TimeWindow(first_us, after_us)
