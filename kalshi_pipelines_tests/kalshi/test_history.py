"""An answer of the live endpoints that cannot be the whole answer is completed from the historical endpoints."""

import pytest
from msgspec import Raw

from kalshi_pipelines.kalshi.history import OVERLAP_US, must_ask_history, pages_of_both_sides
from kalshi_pipelines.kalshi.pagination import Page

CUTOFF_US = 1_795_000_000_000_000


def page(rows: int) -> Page:
    return Page("GET /markets/trades", 1, "", [Raw(b"{}")] * rows, 0)


@pytest.mark.parametrize(
    ("found", "oldest_us", "expected"),
    [
        pytest.param(0, CUTOFF_US - 1, True, id="nothing found, older than the cutoff"),
        pytest.param(5, CUTOFF_US - 1, True, id="something found, older than the cutoff"),
        pytest.param(5, CUTOFF_US + OVERLAP_US - 1, True, id="within the overlap"),
        pytest.param(0, CUTOFF_US + OVERLAP_US, False, id="nothing found, younger than the cutoff"),
        pytest.param(0, None, True, id="nothing found, age unknown"),
        pytest.param(1, None, False, id="something found, age unknown"),
    ],
)
def test_history_is_asked_if_the_live_answer_cannot_be_whole(found: int, oldest_us: int | None, expected: bool) -> None:
    assert must_ask_history(found=found, oldest_us=oldest_us, cutoff_us=CUTOFF_US) is expected


def test_historical_pages_follow_an_empty_live_answer() -> None:
    both = pages_of_both_sides([page(0)], lambda: [page(3)], oldest_us=None, cutoff_us=CUTOFF_US)
    assert [len(each.raw_records) for each in both] == [0, 3]


def test_historical_side_is_not_asked_without_need() -> None:
    def never() -> list[Page]:
        raise AssertionError

    both = pages_of_both_sides([page(2)], never, oldest_us=CUTOFF_US + OVERLAP_US, cutoff_us=CUTOFF_US)
    assert [len(each.raw_records) for each in both] == [2]
