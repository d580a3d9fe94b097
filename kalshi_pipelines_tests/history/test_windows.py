import datetime as dt
import itertools
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.history.windows import (
    LONGEST_US,
    WANTED_ROWS,
    TimeWindow,
    bounded_width,
    day_window,
    joined,
    missing,
    next_width,
    split,
    width_for,
    windows_of,
)
from kalshi_pipelines.units import EXCHANGE_TIME_ZONE, HOUR_US, SECOND_US

UTC = ZoneInfo("UTC")
DAYS = st.dates(dt.date(2021, 6, 30), dt.date(2035, 1, 1))
ZONES = st.sampled_from([UTC, EXCHANGE_TIME_ZONE, ZoneInfo("Australia/Lord_Howe")])
WIDTHS = st.integers(0, 2 * HOUR_US)


@st.composite
def spans(draw: st.DrawFn, most_seconds: int = 400) -> TimeWindow:
    start = draw(st.integers(0, most_seconds - 1))
    return TimeWindow(start * SECOND_US, draw(st.integers(start + 1, most_seconds)) * SECOND_US)


def seconds_of(*windows: TimeWindow) -> set[int]:
    return {second for each in windows for second in range(each.start_us, each.end_us, SECOND_US)}


@given(DAYS, ZONES, WIDTHS)
def test_windows_of_a_day_cover_it_exactly_and_never_overlap(day: dt.date, zone: ZoneInfo, width: int) -> None:
    span = day_window(day, zone)
    first, last, before = None, None, None
    for window in windows_of(span, max(width, 60 * SECOND_US)):
        assert window.width_us <= LONGEST_US
        assert before is None or window.start_us == before.end_us
        first, last, before = first or window, window, window
    assert first is not None
    assert last is not None
    assert (first.start_us, last.end_us) == (span.start_us, span.end_us)


@given(DAYS, ZONES)
def test_a_day_begins_where_the_day_before_ends(day: dt.date, zone: ZoneInfo) -> None:
    assert day_window(day, zone).end_us == day_window(day + dt.timedelta(days=1), zone).start_us


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        (dt.date(2026, 3, 8), EXCHANGE_TIME_ZONE, 23),
        (dt.date(2026, 11, 1), EXCHANGE_TIME_ZONE, 25),
        (dt.date(2026, 3, 8), UTC, 24),
        (dt.date(2026, 11, 1), UTC, 24),
    ],
)
def test_days_of_a_clock_change_have_23_or_25_hours_in_new_york(day: dt.date, zone: ZoneInfo, hours: int) -> None:
    assert day_window(day, zone).width_us == hours * HOUR_US
    assert len(list(windows_of(day_window(day, zone), HOUR_US))) == hours


@given(spans().filter(lambda span: not span.is_shortest))
def test_halves_of_a_window_cover_it_exactly(window: TimeWindow) -> None:
    one, other = split(window)
    assert (one.start_us, one.end_us, other.end_us) == (window.start_us, other.start_us, window.end_us)
    assert abs(one.width_us - other.width_us) <= SECOND_US


@given(spans())
def test_repeated_splits_end_at_seconds_that_cover_the_window(window: TimeWindow) -> None:
    waiting, done = [window], []
    while waiting:
        each = waiting.pop()
        if each.is_shortest:
            done.append(each)
        else:
            waiting += split(each)
    assert len(done) == window.width_us // SECOND_US
    assert seconds_of(*done) == seconds_of(window)


@given(spans(), st.lists(spans(), max_size=8))
def test_missing_time_and_covered_time_make_the_whole_span(span: TimeWindow, covered: list[TimeWindow]) -> None:
    gaps = missing(span, covered)
    assert seconds_of(*gaps) == seconds_of(span) - seconds_of(*covered)
    assert joined(gaps) == gaps


@given(st.lists(spans(), max_size=8))
def test_joined_windows_cover_the_same_time_and_do_not_touch(windows: list[TimeWindow]) -> None:
    result = joined(windows)
    assert seconds_of(*result) == seconds_of(*windows)
    assert all(one.end_us < other.start_us for one, other in itertools.pairwise(result))


@given(spans(), spans())
def test_common_time_of_two_windows_is_in_both(one: TimeWindow, other: TimeWindow) -> None:
    common = one.common(other)
    assert (seconds_of(common) if common else set()) == seconds_of(one) & seconds_of(other)


@given(st.integers(1, LONGEST_US), st.integers(0, 10**8))
def test_next_width_is_never_out_of_bounds(width: int, rows: int) -> None:
    assert SECOND_US <= next_width(bounded_width(width), rows) <= LONGEST_US


def test_width_follows_the_density() -> None:
    assert width_for(0) == LONGEST_US
    assert width_for(12_000_000) == 216 * SECOND_US
    assert next_width(60 * SECOND_US, 2 * WANTED_ROWS) == 30 * SECOND_US
    assert next_width(60 * SECOND_US, 0) == 240 * SECOND_US
    assert next_width(SECOND_US, 10**6) == SECOND_US


@pytest.mark.parametrize(("start", "end"), [(0, 0), (SECOND_US, 0), (1, SECOND_US), (0, SECOND_US + 1)])
def test_a_window_of_no_time_or_of_parts_of_seconds_is_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="whole seconds"):
        TimeWindow(start, end)


def test_window_shows_both_instants() -> None:
    assert str(day_window(dt.date(2026, 11, 1), UTC)) == "2026-11-01T00:00:00Z to 2026-11-02T00:00:00Z"
