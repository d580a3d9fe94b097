"""As-of joins find the newest row before each time, and never a later one."""

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.data import join_as_of
from kalshi_pipelines.lake.datasets import INSTANT
from kalshi_pipelines.units import ONE_MICROSECOND, instant

LEFT = pa.schema([("ticker", pa.string()), ("created_time", INSTANT)])
RIGHT = pa.schema([("ticker", pa.string()), ("seen_time", INSTANT), ("number", pa.int64())])

#: Few tickers and few times, so that equal times and missing rows are frequent.
KEYS = st.lists(st.tuples(st.sampled_from(["A", "B", "C"]), st.integers(0, 12)), max_size=25)


def left_table(keys: list[tuple[str, int]]) -> pa.Table:
    return pa.Table.from_pylist([{"ticker": key, "created_time": instant(time)} for key, time in keys], LEFT)


def right_table(keys: list[tuple[str, int]]) -> pa.Table:
    rows = [{"ticker": key, "seen_time": instant(time), "number": number} for number, (key, time) in enumerate(keys)]
    return pa.Table.from_pylist(rows, RIGHT)


def joined(left: list[tuple[str, int]], right: list[tuple[str, int]], **options: Any) -> list[int | None]:
    rows = left_table(left), right_table(right)
    found = join_as_of(*rows, left_time="created_time", right_time="seen_time", **options)
    assert found.select(LEFT.names).to_pylist() == left_table(left).to_pylist()
    numbers: list[int | None] = found["number"].to_pylist()
    return numbers


@given(KEYS, KEYS, st.booleans(), st.none() | st.integers(0, 5))
def test_join_finds_the_same_row_as_a_plain_search(
    left: list[tuple[str, int]], right: list[tuple[str, int]], includes_equal: bool, max_age: int | None
) -> None:
    expected = []
    for key, time in left:
        known = [
            (seen, number)
            for number, (other, seen) in enumerate(right)
            if other == key and (seen < time or (includes_equal and seen == time))
        ]
        seen, number = max(known, default=(0, None))
        expected.append(None if max_age is not None and time - seen > max_age else number)
    age = None if max_age is None else max_age * ONE_MICROSECOND
    assert joined(left, right, includes_equal=includes_equal, max_age=age) == expected


@given(KEYS, KEYS, KEYS, st.integers(0, 12))
def test_rows_of_the_future_change_nothing(
    left: list[tuple[str, int]], right: list[tuple[str, int]], future: list[tuple[str, int]], now: int
) -> None:
    before = [each for each in left if each[1] <= now]
    later = [(key, time + now) for key, time in future]
    assert joined(before, right + later) == joined(before, right)


def test_row_of_the_same_microsecond_is_visible_only_if_wanted() -> None:
    assert joined([("A", 5)], [("A", 5)]) == [None]
    assert joined([("A", 5)], [("A", 5)], includes_equal=True) == [0]
    assert joined([("A", 5)], [("A", 4), ("A", 5)]) == [0]


def test_last_of_several_rows_with_the_newest_time_counts() -> None:
    assert joined([("A", 5)], [("A", 3), ("A", 4), ("A", 4), ("A", 2)]) == [2]


def test_columns_have_the_prefix_and_keep_their_types() -> None:
    found = join_as_of(
        left_table([("A", 5)]), right_table([("A", 1)]), left_time="created_time", right_time="seen_time", prefix="q_"
    )
    assert found.column_names == ["ticker", "created_time", "q_seen_time", "q_number"]
    assert found.schema.field("q_seen_time").type == INSTANT


@pytest.mark.parametrize(("left", "right"), [([], []), ([("A", 1)], []), ([], [("A", 1)])])
def test_empty_tables_join_to_no_match(left: list[tuple[str, int]], right: list[tuple[str, int]]) -> None:
    assert joined(left, right, max_age=dt.timedelta(days=1)) == [None] * len(left)
