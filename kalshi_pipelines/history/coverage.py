"""The time of a day that need not be read again, given the parts and windows that were read. Nothing here writes files.

A window counts if it was read after its end, long enough for late trades, and if the historical cutoff did not move
past it meanwhile.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from kalshi_pipelines.history.partitions import ReadWindow
from kalshi_pipelines.history.sides import still_valid
from kalshi_pipelines.history.staging import StagedPart
from kalshi_pipelines.history.windows import TimeWindow, joined, missing
from kalshi_pipelines.units import HOUR_US, SECOND_US

#: A window that was read less than an hour after its end is read again, because trades may appear late.
SETTLES_US: Final = HOUR_US


def settled_and_not(window: TimeWindow, read_us: int) -> tuple[TimeWindow | None, TimeWindow | None]:
    """Return the part of a window that a read at this time found for good, and the part that may get late trades."""
    until = (read_us - SETTLES_US) // SECOND_US * SECOND_US
    if until >= window.end_us:
        return window, None
    if until <= window.start_us:
        return None, window
    return TimeWindow(window.start_us, until), TimeWindow(until, window.end_us)


def is_settled(window: TimeWindow, read_us: int) -> bool:
    """Return whether a read at this time found every trade of a window, as far as trades appear within an hour."""
    return settled_and_not(window, read_us)[0] == window


def served(window: TimeWindow, holes: Iterable[TimeWindow]) -> list[TimeWindow]:
    """Return the parts of a window that are outside of holes."""
    return missing(window, holes)


def served_by(parts: Iterable[StagedPart]) -> list[TimeWindow]:
    """Return the time that parts cover, without their holes."""
    return [
        window for part in parts for window in served(part.about.window, [hole.window for hole in part.about.holes])
    ]


def usable(part: StagedPart, cutoff_us: int, now_us: int) -> list[TimeWindow]:
    """Return the time for which a part of a day need not be read again.

    A part of the present hour is usable for an hour, so that an interrupted read of the present day can continue.
    """
    about = part.about
    windows = served(about.window, [hole.window for hole in about.holes])
    valid = [each for window in windows for each in still_valid(window, about.cutoff_us, cutoff_us)]
    if now_us - about.read_us < SETTLES_US:
        return valid
    return [settled for each in valid if (settled := settled_and_not(each, about.read_us)[0]) is not None]


def windows_of_parts(parts: Sequence[StagedPart], time: str) -> list[ReadWindow]:
    """Return the windows that parts cover, without overlap, and their holes. Newer parts come first."""
    complete: list[ReadWindow] = []
    for part in sorted(parts, key=lambda each: each.about.read_us, reverse=True):
        about = part.about
        for window in served(about.window, [hole.window for hole in about.holes]):
            for rest in missing(window, [each.window for each in complete]):
                # The part that may get late trades gets a row of its own, because only that part is read again.
                for each in settled_and_not(rest, about.read_us):
                    if each is not None:
                        rows = about.rows if each == about.window else part.rows_within(each, time)
                        complete.append(ReadWindow(each, about.source, rows, about.read_us))
    holes = [
        ReadWindow(rest, part.about.source, 0, part.about.read_us, hole.problem)
        for part in parts
        for hole in part.about.holes
        for rest in missing(hole.window, [each.window for each in complete])
    ]
    return sorted(complete + _without_repeats(holes), key=lambda each: each.window)


def _without_repeats(holes: list[ReadWindow]) -> list[ReadWindow]:
    """Return the newest answer about each time, and join neighbours that have the same problem."""
    kept: list[ReadWindow] = []
    for hole in sorted(holes, key=lambda each: each.read_us, reverse=True):
        rests = missing(hole.window, [each.window for each in kept])
        kept += [ReadWindow(rest, hole.source, 0, hole.read_us, hole.problem) for rest in rests]
    result: list[ReadWindow] = []
    for hole in sorted(kept, key=lambda each: each.window):
        last = result[-1] if result else None
        if last and last.window.end_us == hole.window.start_us and last.source == hole.source:
            span = joined([last.window, hole.window])[0]
            result[-1] = ReadWindow(span, hole.source, 0, max(last.read_us, hole.read_us), last.problem)
        else:
            result.append(hole)
    return result


def kept_windows(windows: Iterable[ReadWindow], replaced: Iterable[TimeWindow]) -> list[ReadWindow]:
    """Return the windows of before that no new window replaces."""
    new = list(replaced)
    return [each for each in windows if not any(each.window.common(other) for other in new)]
