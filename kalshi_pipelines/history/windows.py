"""Windows of time: how a day is cut into windows, how a window is split, and which part of a day is still missing.

A window begins and ends at whole seconds, because the exchange accepts whole seconds only. It includes its beginning,
and it does not include its end. Nothing here reads or writes anything.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from kalshi_pipelines.units import HOUR_US, SECOND_US, instant, microseconds

#: No window is longer. A longer window would lose too much work when it fails.
LONGEST_US: Final = HOUR_US
#: No window is shorter, because the exchange accepts whole seconds only.
SHORTEST_US: Final = SECOND_US
#: The number of rows that a window should have: 30 pages.
WANTED_ROWS: Final = 30_000
#: The width of the next window is at most this many times the width of the window before.
_MOST_GROWTH: Final = 4


@dataclass(frozen=True, order=True)
class TimeWindow:
    """A span of time in microseconds since 1970 UTC: from ``start_us``, and before ``end_us``."""

    start_us: int
    end_us: int

    def __post_init__(self) -> None:
        if self.start_us >= self.end_us or self.start_us % SECOND_US or self.end_us % SECOND_US:
            raise ValueError(f"{self.start_us} to {self.end_us} is not a span of whole seconds.")

    def __str__(self) -> str:
        return f"{instant(self.start_us):%Y-%m-%dT%H:%M:%SZ} to {instant(self.end_us):%Y-%m-%dT%H:%M:%SZ}"

    @property
    def width_us(self) -> int:
        """The length of the window in microseconds."""
        return self.end_us - self.start_us

    @property
    def is_shortest(self) -> bool:
        """Whether the window is too short to be split."""
        return self.width_us == SHORTEST_US

    def common(self, other: "TimeWindow") -> "TimeWindow | None":
        """Return the time that both windows have; None if they have none."""
        start, end = max(self.start_us, other.start_us), min(self.end_us, other.end_us)
        return TimeWindow(start, end) if start < end else None


def day_window(day: dt.date, zone: ZoneInfo) -> TimeWindow:
    """Return a calendar day of a time zone: 23, 24 or 25 hours."""
    start, end = (dt.datetime.combine(each, dt.time(), zone) for each in (day, day + dt.timedelta(days=1)))
    return TimeWindow(microseconds(start), microseconds(end))


def windows_of(span: TimeWindow, width_us: int) -> Iterator[TimeWindow]:
    """Yield the windows of a span in their order, all with the same width; the last one may be shorter.

    The width is rounded down to whole seconds, and is one second to one hour.
    """
    width_us = bounded_width(width_us)
    for start in range(span.start_us, span.end_us, width_us):
        yield TimeWindow(start, min(start + width_us, span.end_us))


def split(window: TimeWindow) -> tuple[TimeWindow, TimeWindow]:
    """Return the two halves of a window of at least two seconds."""
    middle = (window.start_us + window.end_us) // 2 // SECOND_US * SECOND_US
    return TimeWindow(window.start_us, middle), TimeWindow(middle, window.end_us)


def joined(windows: Iterable[TimeWindow]) -> list[TimeWindow]:
    """Return the time that the windows cover, as the fewest windows in their order."""
    result: list[TimeWindow] = []
    for window in sorted(windows):
        if result and window.start_us <= result[-1].end_us:
            last = result.pop()
            window = TimeWindow(last.start_us, max(last.end_us, window.end_us))  # noqa: PLW2901  # the longer window
        result.append(window)
    return result


def missing(span: TimeWindow, covered: Iterable[TimeWindow]) -> list[TimeWindow]:
    """Return the time of a span that no window covers, as the fewest windows in their order."""
    result: list[TimeWindow] = []
    start = span.start_us
    for window in joined(covered):
        if window.start_us >= span.end_us:
            break
        if window.start_us > start:
            result.append(TimeWindow(start, window.start_us))
        start = max(start, window.end_us)
    if start < span.end_us:
        result.append(TimeWindow(start, span.end_us))
    return result


def next_width(width_us: int, rows: int) -> int:
    """Return the width of the next window, given the width and the number of rows of the window before."""
    wanted = width_us * WANTED_ROWS // rows if rows else width_us * _MOST_GROWTH
    return bounded_width(min(wanted, width_us * _MOST_GROWTH))


def width_for(rows_a_day: int) -> int:
    """Return the width of a window in which the wanted number of rows is expected."""
    return bounded_width(24 * HOUR_US * WANTED_ROWS // max(rows_a_day, 1))


def bounded_width(width_us: int) -> int:
    """Return a width in whole seconds that is neither too short nor too long."""
    return min(max(width_us // SECOND_US * SECOND_US, SHORTEST_US), LONGEST_US)
