"""Merged streams are sorted, have each key once, and lose nothing, whatever the sizes of their batches are."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.lake.datasets import Dataset
from kalshi_pipelines.lake.errors import ConflictingRows
from kalshi_pipelines.lake.merging import MergeCounts, merge
from kalshi_pipelines_tests.support.lake.lakes import EXACT, NEWEST, Row, batch

Rows = list[Row]


def in_batches(dataset: Dataset, rows: Rows, size: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(rows), size):
        yield batch(dataset, rows[start : start + size])


def merged(dataset: Dataset, stored: Rows, new: Rows, sizes: tuple[int, int] = (2, 3)) -> tuple[list[Any], MergeCounts]:
    counts = MergeCounts()
    batches = merge(dataset, in_batches(dataset, stored, sizes[0]), in_batches(dataset, new, sizes[1]), counts)
    return [row for each in batches for row in each.to_pylist()], counts


def plain(dataset: Dataset, rows: Rows) -> list[Any]:
    return list(batch(dataset, rows).to_pylist())


_KEYS = st.tuples(st.sampled_from("ABCé"), st.integers(0, 9))


@given(st.sets(_KEYS), st.lists(_KEYS), st.integers(1, 4), st.integers(1, 4))
def test_merge_of_equal_rows_is_the_union_in_order(
    stored: set[tuple[str, int]], new: list[tuple[str, int]], size: int, other: int
) -> None:
    def rows(keys: Any) -> Rows:
        return [(ticker, time, None if time == 3 else time) for ticker, time in sorted(keys)]

    found, counts = merged(EXACT, rows(stored), rows(new), (size, other))
    assert found == plain(EXACT, rows(stored | set(new)))
    assert (counts.stored, counts.offered, counts.added) == (len(stored), len(new), len(set(new) - stored))
    assert counts.has_changes == bool(set(new) - stored)


@given(
    st.dictionaries(st.sampled_from("ABCDEFG"), st.integers(0, 5)),
    st.lists(st.tuples(st.sampled_from("ABCDEFG"), st.integers(0, 5))),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_merge_keeps_the_newest_row_of_a_key(
    stored: dict[str, int], new: list[tuple[str, int]], size: int, other: int
) -> None:
    newest = dict(stored)
    for ticker, recorded in new:
        newest[ticker] = max(recorded, newest.get(ticker, 0))
    rows = [[(ticker, at, f"{at}") for ticker, at in sorted(each)] for each in (stored.items(), new, newest.items())]
    found, counts = merged(NEWEST, rows[0], rows[1], (size, other))
    assert found == plain(NEWEST, rows[2])
    assert counts.replaced == sum(newest[ticker] != at for ticker, at in stored.items())


def test_different_row_of_the_same_time_replaces_the_stored_row_once() -> None:
    found, counts = merged(NEWEST, [("A", 1, "yes")], [("A", 1, "yes"), ("A", 1, "no")])
    assert (found, counts.replaced) == (plain(NEWEST, [("A", 1, "no")]), 1)
    found, counts = merged(NEWEST, [("A", 1, "no")], [("A", 1, "no")])
    assert not counts.has_changes


@pytest.mark.parametrize(("stored", "new"), [([5], [6]), ([], [5, 6]), ([None], [5]), ([5], [None])])
def test_different_rows_with_one_key_are_an_error_that_names_both(stored: list[Any], new: list[Any]) -> None:
    with pytest.raises(ConflictingRows) as refusal:
        merged(EXACT, [("A", 1, price) for price in stored], [("A", 1, price) for price in new], (1, 1))
    text = str(refusal.value)
    assert "A, 1970-01-01 00:00:00.000001+00:00" in text
    assert "price 0.000005" in text
    assert ("price None" in text) or ("price 0.000006" in text)
