"""Places of the trade history that cannot be read, and rows that are missing or wrong in it."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from kalshi_pipelines import units
from kalshi_pipelines.sandbox.clock import rfc3339
from kalshi_pipelines.sandbox.faults.lists import is_in_share
from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines_tests.support.sandbox.local_sandbox import NOON_US, LocalSandbox, local_sandbox

END_S = NOON_US // 1_000_000
HOUR = {"min_ts": END_S - 3_600, "max_ts": END_S - 1}
TRADES = "GET /markets/trades"


@pytest.fixture(scope="module")
def module_sandbox() -> LocalSandbox:
    return local_sandbox(SandboxOptions(markets=300, combos=0, archived=40, tier="unlimited"))


@pytest.fixture
def past(module_sandbox: LocalSandbox) -> Iterator[LocalSandbox]:
    yield module_sandbox
    module_sandbox.steer("DELETE", "/faults")


def _inject(sandbox: LocalSandbox, kind: str, endpoint: str = TRADES, **fields: Any) -> None:
    sandbox.steer("POST", "/faults", endpoint=endpoint, kind=kind, **fields)


def _whole(sandbox: LocalSandbox, limit: int = 1_000, **query: Any) -> list[dict[str, Any]]:
    return sandbox.read_all("/markets/trades", "trades", limit=limit, **{**HOUR, **query})


def _second(trade: dict[str, Any]) -> int:
    return units.microseconds(dt.datetime.fromisoformat(trade["created_time"])) // 1_000_000


def _read(sandbox: LocalSandbox, begin_s: int, end_s: int, limit: int) -> list[dict[str, Any]] | None:
    """Read all pages of a window, or return None if one of them fails."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = sandbox.get("/markets/trades", min_ts=begin_s, max_ts=end_s, limit=limit, cursor=cursor)
        if answer.status_code != 200:
            assert answer.status_code == 504
            return None
        found += answer.json()["trades"]
        cursor = answer.json()["cursor"]
        if not cursor:
            return found


def _isolate(sandbox: LocalSandbox, begin_s: int, end_s: int, limit: int) -> tuple[list[dict[str, Any]], list[int]]:
    """Read a window, splitting what fails. Return the trades, and the seconds that cannot be read at all."""
    found = _read(sandbox, begin_s, end_s, limit)
    if found is not None:
        return found, []
    if begin_s == end_s:
        return [], [begin_s]
    middle = (begin_s + end_s) // 2
    older, holes = _isolate(sandbox, begin_s, middle, limit)
    newer, more = _isolate(sandbox, middle + 1, end_s, limit)
    return newer + older, holes + more


@pytest.mark.parametrize("limit", [40, 100, 500])
def test_poisoned_cursor_fails_at_any_page_size_and_is_isolated_by_splitting(past: LocalSandbox, limit: int) -> None:
    whole = _whole(past)
    assert len(whole) > 600
    _inject(past, "poisoned_cursor", time=whole[len(whole) // 3]["created_time"])
    for _ in range(3):
        assert _read(past, HOUR["min_ts"], HOUR["max_ts"], limit) is None
    assert _isolate(past, HOUR["min_ts"], HOUR["max_ts"], limit) == (whole, [])


def test_poisoned_cursor_serves_first_pages_and_windows_beside_it(past: LocalSandbox) -> None:
    whole = _whole(past)
    place = _second(whole[len(whole) // 2])
    _inject(past, "poisoned_cursor", time=rfc3339(place * 1_000_000))
    assert past.read("/markets/trades", limit=100, **HOUR)["trades"] == whole[:100]
    assert _whole(past, limit=50, max_ts=place - 1) == [trade for trade in whole if _second(trade) < place]
    assert _whole(past, limit=50, min_ts=place + 1) == [trade for trade in whole if _second(trade) > place]


@pytest.mark.parametrize("limit", [50, 1_000])
def test_poisoned_second_fails_in_every_window_and_leaves_one_hole(past: LocalSandbox, limit: int) -> None:
    whole = _whole(past)
    place = _second(whole[len(whole) // 2])
    _inject(past, "poisoned_second", time=rfc3339(place * 1_000_000 + 400_000))
    found, holes = _isolate(past, HOUR["min_ts"], HOUR["max_ts"], limit)
    assert holes == [place]
    assert found == [trade for trade in whole if _second(trade) != place]
    for width in (0, 1, 60):
        assert _read(past, place - width, place + width, limit) is None


def test_dropped_page_is_left_out_without_a_trace(past: LocalSandbox) -> None:
    whole = _whole(past)
    _inject(past, "dropped_page", at=3)
    assert _whole(past, limit=100) == whole[:200] + whole[300:]
    assert _whole(past, limit=100) == whole


def test_dropped_last_page_ends_the_list(past: LocalSandbox) -> None:
    _inject(past, "dropped_page")
    assert past.read("/markets/trades", limit=1_000, min_ts=END_S - 60, max_ts=END_S) == {"cursor": "", "trades": []}


def test_dropped_minute_is_in_no_response_and_stays_dropped(past: LocalSandbox) -> None:
    whole = _whole(past)
    begin_s = END_S - 1_800
    _inject(past, "dropped_period", time=rfc3339(begin_s * 1_000_000), seconds=60)
    kept = [trade for trade in whole if not begin_s <= _second(trade) < begin_s + 60]
    assert 0 < len(kept) < len(whole)
    assert _whole(past, limit=70) == _whole(past, limit=1_000) == kept


def test_dropped_day_leaves_the_days_around_it(past: LocalSandbox) -> None:
    begin_s = END_S // 86_400 * 86_400 - 86_400
    _inject(past, "dropped_period", "*", time=rfc3339(begin_s * 1_000_000), seconds=86_400)
    assert _whole(past, min_ts=begin_s, max_ts=begin_s + 86_399) == []
    around = [_second(trade) for trade in _whole(past, min_ts=begin_s - 600, max_ts=begin_s + 87_000)]
    assert min(around) < begin_s
    assert max(around) >= begin_s + 86_400


def test_dropped_trade_is_missing_and_changed_price_is_wrong_everywhere(past: LocalSandbox) -> None:
    whole = _whole(past)
    gone, wrong = whole[150], whole[350]
    _inject(past, "dropped_trade", key=gone["trade_id"])
    price = "0.4217" if wrong["yes_price_dollars"] != "0.4217" else "0.4218"
    _inject(past, "changed_price", key=wrong["trade_id"], value=price)
    no = f"{10_000 - int(price[2:]):04d}"
    changed = {**wrong, "yes_price_dollars": price, "no_price_dollars": f"0.{no}"}
    expected = [changed if trade == wrong else trade for trade in whole if trade != gone]
    assert _whole(past, limit=90) == expected
    assert changed in _whole(past, ticker=wrong["ticker"])


def test_faults_of_trades_leave_volume_and_candlesticks_true(past: LocalSandbox) -> None:
    trade = _whole(past)[10]
    ticker = trade["ticker"]
    series = past.exchange.catalogue.markets[ticker].series_ticker
    path = f"/series/{series}/markets/{ticker}/candlesticks"
    query = {"start_ts": END_S - 7_200, "end_ts": END_S, "period_interval": 60}
    before = past.read(path, **query), past.read(f"/markets/{ticker}")
    _inject(past, "dropped_trade", "*", key=trade["trade_id"])
    _inject(past, "unserved_trades", "*", share=1)
    assert (past.read(path, **query), past.read(f"/markets/{ticker}")) == before


def test_markets_of_a_share_have_no_served_trades(past: LocalSandbox) -> None:
    whole = _whole(past)
    _inject(past, "unserved_trades", "*", share=0.3)
    kept = [trade for trade in whole if not is_in_share(trade["ticker"], 0.3)]
    assert 0 < len(kept) < len(whole)
    assert _whole(past) == kept
    gone = next(trade["ticker"] for trade in whole if trade not in kept)
    assert past.read("/markets/trades", ticker=gone) == {"cursor": "", "trades": []}


def test_market_without_served_candlesticks_gets_empty_lists(past: LocalSandbox) -> None:
    tickers = sorted({trade["ticker"] for trade in _whole(past)})[:5]
    archived = past.read("/historical/markets", limit=1)["markets"][0]["ticker"]
    query = {"start_ts": END_S - 7_200, "end_ts": END_S, "period_interval": 60}
    before = past.read("/markets/candlesticks", market_tickers=",".join(tickers), **query)["markets"]
    _inject(past, "unserved_candles", "*", key=tickers[2])
    after = past.read("/markets/candlesticks", market_tickers=",".join(tickers), **query)["markets"]
    assert after == [row if row["market_ticker"] != tickers[2] else {**row, "candlesticks": []} for row in before]
    assert before[2]["candlesticks"]
    _inject(past, "unserved_candles", "*", key=archived)
    long = {"start_ts": END_S - 4_000 * 3_600, "end_ts": END_S, "period_interval": 60}
    assert past.read(f"/historical/markets/{archived}/candlesticks", **long)["candlesticks"] == []


def test_lasting_fault_stays_until_it_is_removed(past: LocalSandbox) -> None:
    whole = _whole(past)
    _inject(past, "dropped_trade", key=whole[0]["trade_id"], times=1)
    for _ in range(4):
        assert _whole(past) == whole[1:]
    assert past.steer("GET", "/faults")["faults"][0]["struck"] >= 4
    past.steer("DELETE", "/faults")
    assert _whole(past) == whole


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "poisoned_cursor"}, "needs a time"),
        ({"kind": "poisoned_second", "time": "yesterday"}, "needs a time"),
        ({"kind": "dropped_period", "time": "2026-11-22T12:00:00"}, "needs a time"),
        ({"kind": "dropped_trade"}, "needs the trade_id"),
        ({"kind": "changed_price", "key": "x", "value": 0.42}, "needs a YES price"),
        ({"kind": "changed_price", "key": "x", "value": "1.2000"}, "needs a YES price"),
    ],
)
def test_incomplete_fault_of_history_is_refused(past: LocalSandbox, fields: dict[str, Any], message: str) -> None:
    answer = past.client.post("/sandbox/faults", json={"endpoint": TRADES, **fields})
    assert answer.status_code == 400
    assert message in answer.json()["error"]
