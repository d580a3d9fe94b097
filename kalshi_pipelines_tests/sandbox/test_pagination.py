import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.sandbox.pagination import BEFORE_ALL, cursor_after, page_back
from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox


def test_a_garbage_cursor_returns_page_one_again(sandbox: LocalSandbox) -> None:
    first = sandbox.read("/markets", limit=5)
    assert sandbox.read("/markets", limit=5, cursor="garbage-cursor") == first
    assert sandbox.read("/markets", limit=5, cursor="%%%") == first


@pytest.mark.parametrize(("path", "rows", "limit"), [("/markets", "markets", 7), ("/events", "events", 3)])
def test_pages_cover_each_row_exactly_once_newest_first(
    sandbox: LocalSandbox, path: str, rows: str, limit: int
) -> None:
    key = "ticker" if rows == "markets" else "event_ticker"
    whole = [row[key] for row in sandbox.read_all(path, rows, limit=200)]
    assert [row[key] for row in sandbox.read_all(path, rows, limit=limit)] == whole
    assert len(set(whole)) == len(whole)
    if rows == "markets":
        created = [row["created_time"] for row in sandbox.markets()]
        assert created == sorted(created, reverse=True)


def test_rows_added_or_moved_while_paging_neither_repeat_nor_hide_others(sandbox: LocalSandbox) -> None:
    before = {market["ticker"] for market in sandbox.markets()}
    seen: list[str] = []
    cursor = ""
    added: set[str] = set()
    while True:
        page = sandbox.read("/markets", limit=50, cursor=cursor)
        seen += [market["ticker"] for market in page["markets"]]
        cursor = page["cursor"]
        if not cursor:
            break
        sandbox.pass_seconds(61)
        added |= set(sandbox.steer("POST", "/markets", count=3)["tickers"])
        sandbox.steer("POST", "/prices", fraction=0.5)
    assert sorted(seen) == sorted(before)
    assert {market["ticker"] for market in sandbox.markets()} == before | added
    assert len(added) == 8 * 3


def test_added_markets_come_first_with_an_event_and_a_series(sandbox: LocalSandbox) -> None:
    added = sandbox.steer("POST", "/markets", count=5)["tickers"]
    first = sandbox.read("/markets", limit=5)["markets"]
    assert {market["ticker"] for market in first} == set(added)
    for market in first:
        event = sandbox.read(f"/events/{market['event_ticker']}")["event"]
        assert sandbox.get(f"/series/{event['series_ticker']}").status_code == 200


def test_the_last_page_has_an_empty_cursor(sandbox: LocalSandbox) -> None:
    assert sandbox.read("/markets", limit=1000)["cursor"] == ""
    assert sandbox.read("/markets", limit=430)["cursor"] == ""
    assert sandbox.read("/markets", limit=429)["cursor"] != ""


def test_trades_are_paged_once_each_newest_first(sandbox: LocalSandbox) -> None:
    end = sandbox.time.microseconds // 1_000_000
    query = {"min_ts": end - 3_600, "max_ts": end}
    small = sandbox.read_all("/markets/trades", "trades", limit=37, **query)
    large = sandbox.read_all("/markets/trades", "trades", limit=1000, **query)
    assert small == large
    assert len({trade["trade_id"] for trade in large}) == len(large) > 100
    times = [trade["created_time"] for trade in large]
    assert times == sorted(times, reverse=True)


def test_the_trades_of_a_market_are_its_share_of_all_trades(sandbox: LocalSandbox) -> None:
    end = sandbox.time.microseconds // 1_000_000
    query = {"min_ts": end - 7_200, "max_ts": end, "limit": 1000}
    everything = sandbox.read_all("/markets/trades", "trades", **query)
    for ticker in {trade["ticker"] for trade in everything[:40]}:
        own = sandbox.read_all("/markets/trades", "trades", ticker=ticker, **query)
        assert own == [trade for trade in everything if trade["ticker"] == ticker]


def test_trades_already_shown_stay_unchanged(sandbox: LocalSandbox) -> None:
    end = sandbox.time.microseconds // 1_000_000
    query = {"min_ts": end - 3_600, "max_ts": end, "limit": 1000}
    before = sandbox.read_all("/markets/trades", "trades", **query)
    sandbox.steer("POST", "/prices", fraction=1)
    sandbox.pass_seconds(7_200)
    assert sandbox.read_all("/markets/trades", "trades", **query) == before


@given(
    entries=st.lists(st.integers(0, 3), max_size=40),
    limits=st.lists(st.integers(1, 7), min_size=1),
    growth=st.integers(0, 2),
)
def test_a_list_that_grows_is_paged_back_without_gaps_or_repeats(
    entries: list[int], limits: list[int], growth: int
) -> None:
    numbered = list(enumerate(entries))
    expected = [entry for entry in reversed(numbered) if entry[1]]
    shown: list[tuple[int, int]] = []
    cursor = ""
    for limit in itertools.cycle(limits):
        page = page_back(numbered, cursor, limit, lambda entry: entry[1] > 0)
        assert len(page.rows) <= limit
        shown += page.rows
        cursor = page.cursor
        if not cursor:
            break
        numbered += [(len(numbered), 1)] * growth
    assert shown == expected


@pytest.mark.parametrize("cursor", ["garbage", "%%%", cursor_after((-1_000, "")), cursor_after(BEFORE_ALL)])
def test_a_cursor_that_names_no_place_begins_at_the_newest_entry(cursor: str) -> None:
    assert page_back([1, 2, 3], cursor, 2, lambda entry: True).rows == [3, 2]


def test_a_cursor_of_another_list_does_not_break_a_page() -> None:
    assert page_back([1, 2, 3], cursor_after((5, "x")), 2, lambda entry: True).rows == []
