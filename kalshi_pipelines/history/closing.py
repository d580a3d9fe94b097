"""Closing a day of history: no more rows are expected, and the files of the lake agree with the manifest."""

import datetime as dt
from typing import Final

from kalshi_pipelines.history.coverage import is_settled
from kalshi_pipelines.history.inputs import HistoryInputs
from kalshi_pipelines.history.partitions import partition_of, record_closed, windows_read
from kalshi_pipelines.history.windows import day_window
from kalshi_pipelines.lake.closing import close_day
from kalshi_pipelines.lake.datasets import Dataset
from kalshi_pipelines.lake.errors import LakeFileChanged
from kalshi_pipelines.units import DAY_US

#: A day is closed when it ended this long ago.
CLOSES_AFTER_US: Final = 2 * DAY_US
#: A day with holes is tried again every night for this long. Then it is closed with its holes.
TRIES_HOLES_FOR_US: Final = 7 * DAY_US


def close_if_due(inputs: HistoryInputs, dataset: Dataset, day: dt.date) -> bool:
    """Close a day if it ended long enough ago and was read to its end. Return whether the day is closed.

    Raises:
        LakeFileChanged: A file of the day is not the file that the manifest describes.
    """
    known = partition_of(inputs.engine, dataset.name, day)
    if known is None or known.status != "open":
        return known is not None and known.status == "closed"
    if not _is_due(inputs, dataset, day, known.read_until_us):
        return False
    verified = close_day(inputs.lake, inputs.engine, dataset, day)
    if verified.problems:
        raise LakeFileChanged(" ".join(verified.problems))
    record_closed(inputs.engine, dataset.name, day)
    return True


def _is_due(inputs: HistoryInputs, dataset: Dataset, day: dt.date, read_until_us: int | None) -> bool:
    end_us = day_window(day, dataset.zone).end_us
    now = inputs.clock()
    if now < end_us + CLOSES_AFTER_US or read_until_us is None or read_until_us < end_us:
        return False
    windows = windows_read(inputs.engine, dataset.name, day)
    has_hole = any(each.problem is not None for each in windows)
    is_final = all(is_settled(each.window, each.read_us) for each in windows)
    return is_final and (not has_hole or now >= end_us + TRIES_HOLES_FOR_US)
