import datetime as dt
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_pipelines import units
from kalshi_pipelines.sandbox.markets.quotes import QuotePath
from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines.sandbox.prices import ALL_GRIDS
from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox, local_sandbox

DOLLAR = 1_000_000


def _on_grid(price: int, ranges: list[dict[str, str]]) -> bool:
    for part in ranges:
        start, end, step = (units.microdollars(part[key]) for key in ("start", "end", "step"))
        if start <= price <= end and (price - start) % step == 0:
            return True
    return False


def _check_quote(market: dict[str, Any], book: dict[str, list[list[str]]]) -> None:
    yes_bid, yes_ask, no_bid, no_ask = (
        units.microdollars(market[f"{side}_{kind}_dollars"]) for side in ("yes", "no") for kind in ("bid", "ask")
    )
    assert no_bid == DOLLAR - yes_ask
    assert no_ask == DOLLAR - yes_bid
    assert yes_bid < yes_ask
    for best, levels, size in (
        (yes_bid, book["yes_dollars"], market["yes_bid_size_fp"]),
        (no_bid, book["no_dollars"], market["yes_ask_size_fp"]),
    ):
        if levels:
            assert (units.microdollars(levels[-1][0]), levels[-1][1]) == (best, size)
            assert 0 < best < DOLLAR
        else:
            assert (best, size) == (0, "0.00")
        for price, count in levels:
            assert _on_grid(units.microdollars(price), market["price_ranges"])
            assert units.centicontracts(count) > 0


def _check_all_quotes(sandbox: LocalSandbox) -> None:
    markets = sandbox.markets()
    books: dict[str, dict[str, list[list[str]]]] = {}
    for start in range(0, len(markets), 100):
        tickers = [market["ticker"] for market in markets[start : start + 100]]
        for book in sandbox.read("/markets/orderbooks", tickers=tickers)["orderbooks"]:
            books[book["ticker"]] = book["orderbook_fp"]
    for market in markets:
        _check_quote(market, books[market["ticker"]])
        if market["status"] != "active":
            assert books[market["ticker"]] == {"yes_dollars": [], "no_dollars": []}
        assert _on_grid(units.microdollars(market["last_price_dollars"]), market["price_ranges"])


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), passed=st.integers(0, 10**7), moves=st.integers(0, 3))
def test_quotes_agree_with_books_and_lie_on_the_grid_at_any_time(seed: int, passed: int, moves: int) -> None:
    sandbox = local_sandbox(SandboxOptions(markets=60, combos=10, seed=seed, tier="unlimited"))
    sandbox.pass_seconds(passed)
    for _ in range(moves):
        sandbox.steer("POST", "/prices", fraction=0.5)
    _check_all_quotes(sandbox)


@given(
    grid=st.sampled_from(ALL_GRIDS),
    anchor=st.integers(0, 10_000),
    spread=st.integers(0, 500),
    epoch=st.integers(0, 2**40),
)
def test_a_path_stays_on_its_grid_and_every_move_is_seen(grid: Any, anchor: int, spread: int, epoch: int) -> None:
    path = QuotePath(9, grid, anchor, 300, spread, 60, 0, "both")
    begun = path.quote(epoch)
    for _ in range(3):
        before = path.quote(epoch)
        path.move(epoch)
        after = path.quote(epoch)
        assert (after.bid, after.ask) != (before.bid, before.ask)
        assert after.bid in grid.prices
        assert after.ask in grid.prices
        assert after.bid < after.ask
        told = path.quote(epoch, as_begun=True)
        assert (told.bid, told.ask) == (begun.bid, begun.ask)


def test_the_same_seed_makes_the_same_exchange_byte_for_byte() -> None:
    one, two, other = (local_sandbox(SandboxOptions(markets=300, seed=seed)) for seed in (7, 7, 8))
    for path in ("/series", "/markets?limit=1000", "/events?with_nested_markets=true", "/markets/trades?limit=200"):
        assert one.get(path).content == two.get(path).content
        assert one.get(path).content != other.get(path).content


@pytest.mark.parametrize("markets", [0, 1, 17, 1_234])
def test_exactly_as_many_markets_as_asked_for_exist(markets: int) -> None:
    sandbox = local_sandbox(SandboxOptions(markets=markets, combos=5, tier="unlimited"))
    assert len(sandbox.markets(mve_filter="exclude")) == markets


def test_every_market_has_an_event_and_every_event_a_series(sandbox: LocalSandbox) -> None:
    series = {row["ticker"] for row in sandbox.read("/series")["series"]}
    events = sandbox.read_all("/events", "events") + sandbox.read_all("/events/multivariate", "events")
    assert {event["series_ticker"] for event in events} <= series
    archived = sandbox.read_all("/historical/markets", "markets")
    assert {market["event_ticker"] for market in [*sandbox.markets(), *archived]} == {
        event["event_ticker"] for event in events
    }


def test_the_catalogue_has_the_variety_of_the_real_one() -> None:
    sandbox = local_sandbox(SandboxOptions(markets=6_000, combos=20, tier="unlimited"))
    markets = sandbox.markets()
    assert {market["price_level_structure"] for market in markets} == {grid.label for grid in ALL_GRIDS}, (
        "every price grid is in use"
    )
    statuses = Counter(market["status"] for market in markets)
    assert set(statuses) == {
        "initialized",
        "active",
        "inactive",
        "closed",
        "determined",
        "disputed",
        "amended",
        "finalized",
    }
    assert statuses["active"] > 0.7 * len(markets)
    assert {market["result"] for market in markets} == {"", "yes", "no", "scalar"}
    for market in markets:
        assert ("settlement_ts" in market) == (market["status"] == "finalized")
        assert (market["result"] != "") == (market["status"] in {"determined", "disputed", "amended", "finalized"})
    strikes = {market.get("strike_type") for market in markets}
    assert strikes >= {None, "greater", "greater_or_equal", "less", "between", "custom", "structured", "functional"}
    assert {market["exchange_index"] for market in markets} == {0, 1, 2, 3}
    assert not all(ord(letter) < 128 for market in markets for letter in market["title"])
    assert any("expected_expiration_time" not in market for market in markets)
    assert sum(len(sandbox.exchange.catalogue.markets[m["ticker"]].json()) for m in markets) / len(markets) > 1_800
    series = sandbox.read("/series")["series"]
    assert any(not row["ticker"].startswith("KX") for row in series)
    assert any(row["tags"] is None for row in series)


def test_exclusive_events_have_one_winner_at_most(sandbox: LocalSandbox) -> None:
    for event in sandbox.read_all("/events", "events", status="settled", with_nested_markets="true"):
        if event["mutually_exclusive"]:
            assert Counter(market["result"] for market in event["markets"])["yes"] <= 1


def test_prices_move_with_time_and_stand_still_when_frozen() -> None:
    moving, frozen = (
        local_sandbox(SandboxOptions(markets=300, tick_seconds=tick, tier="unlimited")) for tick in (60, 0)
    )
    for sandbox, moves in ((moving, True), (frozen, False)):
        before = sandbox.get("/markets", limit=1000).content
        sandbox.pass_seconds(3_600)
        assert (sandbox.get("/markets", limit=1000).content != before) == moves


def test_moving_a_share_of_prices_changes_exactly_that_share() -> None:
    sandbox = local_sandbox(SandboxOptions(markets=2_000, combos=0, tick_seconds=0, tier="unlimited"))
    before = {market["ticker"]: market for market in sandbox.markets(status="open")}
    answer = sandbox.steer("POST", "/prices", fraction=0.01)
    after = {market["ticker"]: market for market in sandbox.markets(status="open")}
    moved = {
        ticker
        for ticker, market in after.items()
        if any(market[key] != before[ticker][key] for key in ("yes_bid_dollars", "yes_ask_dollars"))
    }
    assert moved == set(answer["tickers"]) == {ticker for ticker in after if after[ticker] != before[ticker]}
    assert len(moved) == round(len(before) * 0.01)
    _check_all_quotes(sandbox)


def test_candlesticks_follow_the_trades_of_their_period(sandbox: LocalSandbox) -> None:
    end = sandbox.time.microseconds // 1_000_000
    trades = sandbox.read_all("/markets/trades", "trades", min_ts=end - 10_800, max_ts=end, limit=1000)
    busy = Counter(trade["ticker"] for trade in trades).most_common(3)
    for ticker, _ in busy:
        own = [trade for trade in trades if trade["ticker"] == ticker]
        series = sandbox.exchange.catalogue.markets[ticker].series_ticker
        path = f"/series/{series}/markets/{ticker}/candlesticks"
        query = {"start_ts": end - 7_200, "end_ts": end}
        for period in (1, 60):
            for candle in sandbox.read(path, period_interval=period, **query)["candlesticks"]:
                begin_us, end_us = (candle["end_period_ts"] - 60 * period) * 10**6, candle["end_period_ts"] * 10**6
                inside = [t for t in own if begin_us < _us(t["created_time"]) <= end_us]
                volume = sum(units.centicontracts(trade["count_fp"]) for trade in inside)
                assert units.centicontracts(candle["volume_fp"]) == volume
                prices = [trade["yes_price_dollars"] for trade in inside]
                if prices:
                    assert candle["price"]["high_dollars"] == max(prices)
                    assert candle["price"]["low_dollars"] == min(prices)


def test_the_last_price_is_the_price_of_the_last_trade(sandbox: LocalSandbox) -> None:
    checked = 0
    for market in sandbox.markets(status="open", mve_filter="exclude"):
        trades = sandbox.read("/markets/trades", ticker=market["ticker"], limit=10)["trades"]
        if trades:
            # One order can sweep several prices in one microsecond. Trade ids do not show the order of its fills.
            newest = [trade for trade in trades if trade["created_time"] == trades[0]["created_time"]]
            assert market["last_price_dollars"] in {trade["yes_price_dollars"] for trade in newest}
            checked += 1
    assert checked > 100


def _us(text: str) -> int:
    return units.microseconds(dt.datetime.fromisoformat(text))
