"""The sides of the exchange that serve a window of time: the live side, the historical side, or both.

The exchange moves trades to the historical side about 60 days after they happened. Around the cutoff both sides are
asked, because a record may be on either side there, and because the cutoff moves while a day is read. Nothing here
reads or writes anything.
"""

from collections.abc import Iterator
from typing import Final, Literal

from kalshi_pipelines.history.windows import TimeWindow, missing
from kalshi_pipelines.kalshi.history import OVERLAP_US
from kalshi_pipelines.units import SECOND_US

Side = Literal["live", "historical"]
Source = Literal["live", "historical", "both"]

LIVE: Final = "live"
HISTORICAL: Final = "historical"
BOTH: Final = "both"


def sides_of(source: Source) -> tuple[Side, ...]:
    """Return the sides to ask. The live side comes first, because records move away from it."""
    return (LIVE, HISTORICAL) if source == BOTH else (source,)


def overlap(cutoffs: tuple[int, ...]) -> TimeWindow:
    """Return the time in which both sides must be asked, given the cutoffs during a read, in microseconds."""
    return TimeWindow(_floor(min(cutoffs) - OVERLAP_US), _floor(max(cutoffs) + OVERLAP_US) + SECOND_US)


def divided_by_side(window: TimeWindow, cutoff_us: int) -> Iterator[tuple[TimeWindow, Source]]:
    """Yield the parts of a window in their order, each with the side that serves it."""
    both = overlap((cutoff_us,))
    bounds: list[tuple[Source, int, int]] = [
        (HISTORICAL, window.start_us, both.start_us),
        (BOTH, both.start_us, both.end_us),
        (LIVE, both.end_us, window.end_us),
    ]
    for source, start, end in bounds:
        start, end = max(start, window.start_us), min(end, window.end_us)  # noqa: PLW2901  # the part of the window
        if start < end:
            yield TimeWindow(start, end), source


def still_valid(window: TimeWindow, read_at_cutoff_us: int, cutoff_us: int) -> list[TimeWindow]:
    """Return the parts of a window that need not be read again after the cutoff moved.

    A record between both cutoffs may have moved after one side was asked and before the other side was.
    """
    if read_at_cutoff_us == cutoff_us:
        return [window]
    return missing(window, [overlap((read_at_cutoff_us, cutoff_us))])


def _floor(time_us: int) -> int:
    return time_us // SECOND_US * SECOND_US
