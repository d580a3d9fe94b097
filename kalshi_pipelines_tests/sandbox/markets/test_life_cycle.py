"""Tests of the life cycle of markets, with status changes by the clock and by hand."""

import datetime as dt
from collections import Counter, defaultdict
from typing import Any

import pytest

from kalshi_pipelines import units
from kalshi_pipelines.sandbox.markets.generation import OVERLAP_US
from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines.sandbox.trading.commands import RequestRefused
from kalshi_pipelines.sandbox.trading.events import OrderCanceled
from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox, local_sandbox
from kalshi_pipelines_tests.support.sandbox.trader import A_MILLION, ME, SandboxTrader, quoted_market

DAY = 86_400
FROZEN = SandboxOptions(markets=400, combos=30, tick_seconds=0, tier="unlimited")


def _us(text: str) -> int:
    return units.microseconds(dt.datetime.fromisoformat(text))


def _steer(sandbox: LocalSandbox, ticker: str, status: str, **extra: str) -> Any:
    return sandbox.steer("POST", f"/markets/{ticker}/status", status=status, **extra)


def _refusal(sandbox: LocalSandbox, ticker: str, **body: str) -> str:
    response = sandbox.client.post(f"/sandbox/markets/{ticker}/status", json=body)
    assert response.status_code == 400
    return str(response.json()["error"])


def _status(sandbox: LocalSandbox, ticker: str) -> str:
    return str(sandbox.read(f"/markets/{ticker}")["market"]["status"])


def _until(sandbox: LocalSandbox, instant_us: int) -> None:
    sandbox.time.microseconds = instant_us


def test_a_market_opens_and_closes_at_its_times(sandbox: LocalSandbox) -> None:
    market = sandbox.markets(status="unopened")[0]
    ticker, opens, closes = market["ticker"], _us(market["open_time"]), _us(market["close_time"])
    for instant, status in ((opens - 1, "initialized"), (opens, "active"), (closes - 1, "active"), (closes, "closed")):
        _until(sandbox, instant)
        seen = sandbox.read(f"/markets/{ticker}")["market"]
        assert seen["status"] == status
        assert (seen["open_time"], seen["close_time"]) == (market["open_time"], market["close_time"])
    assert _us(seen["updated_time"]) == closes
    assert ticker in {row["ticker"] for row in sandbox.markets(min_updated_ts=closes // 10**6, mve_filter="exclude")}


def test_a_closed_market_is_determined_and_after_its_timer_settled(sandbox: LocalSandbox) -> None:
    market = sandbox.markets(status="open", mve_filter="exclude")[0]
    ticker = market["ticker"]
    _until(sandbox, _us(market["close_time"]))
    seen = [_status(sandbox, ticker)]
    determined_us = 0
    for _ in range(4_000):
        sandbox.pass_seconds(1)
        now = sandbox.exchange.catalogue.markets[ticker]
        sandbox.exchange.venue.advance()
        if now.status != seen[-1]:
            seen.append(now.status)
            determined_us = determined_us or now.updated_us
    assert seen == ["closed", "determined", "finalized"]
    final = sandbox.read(f"/markets/{ticker}")["market"]
    assert final["result"] in {"yes", "no", "scalar"}
    assert _us(final["settlement_ts"]) == determined_us + market["settlement_timer_seconds"] * 10**6
    assert final["settlement_value_dollars"] in {"1.0000", "0.0000"} or final["result"] == "scalar"
    settled = sandbox.markets(status="settled", min_settled_ts=_us(final["settlement_ts"]) // 10**6)
    assert ticker in {row["ticker"] for row in settled}


def test_every_market_that_was_open_ends_and_exclusive_events_have_one_winner(sandbox: LocalSandbox) -> None:
    ending = {
        market["ticker"]: market["event_ticker"]
        for status in ("open", "unopened")
        for market in sandbox.markets(status=status)
    }
    exclusive = {event["event_ticker"]: event["mutually_exclusive"] for event in sandbox.read_all("/events", "events")}
    last = max(_us(market["close_time"]) for market in sandbox.markets(status="open"))
    results: defaultdict[str, Counter[str]] = defaultdict(Counter)
    while sandbox.time.microseconds < last + 10**6 * DAY:
        sandbox.pass_seconds(20 * DAY)
        for market in sandbox.markets(status="settled"):
            if market["ticker"] in ending:
                results[ending.pop(market["ticker"])][market["result"]] += 1
    assert not ending
    for event, counts in results.items():
        if exclusive.get(event):
            assert counts["yes"] == 1
            assert not counts["scalar"]
    together = sum(results.values(), Counter())
    assert set(together) == {"yes", "no", "scalar"}
    assert together["scalar"] < 0.1 * together.total()


def test_results_are_drawn_with_the_price_as_the_chance() -> None:
    sandbox = local_sandbox(SandboxOptions(markets=4_000, combos=0, tier="unlimited"))
    exclusive = {event["event_ticker"]: event["mutually_exclusive"] for event in sandbox.read_all("/events", "events")}
    quotes: dict[str, float] = {}
    for market in sandbox.markets(status="open"):
        if not exclusive[market["event_ticker"]]:
            quotes[market["ticker"]] = (float(market["yes_bid_dollars"]) + float(market["yes_ask_dollars"])) / 2
    sandbox.pass_seconds(40 * DAY)
    ended = {market["ticker"]: market["result"] for market in sandbox.markets(status="settled")}
    drawn = [(ended[ticker] == "yes", quote) for ticker, quote in quotes.items() if ended.get(ticker) in {"yes", "no"}]
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.0)):
        group = [(won, quote) for won, quote in drawn if low <= quote < high]
        assert len(group) > 100
        assert abs(sum(won for won, _ in group) - sum(quote for _, quote in group)) < 0.12 * len(group)


def test_a_market_that_starts_paused_closes_at_its_time(sandbox: LocalSandbox) -> None:
    paused = sandbox.markets(status="paused")[0]
    _until(sandbox, _us(paused["close_time"]) - 1)
    assert _status(sandbox, paused["ticker"]) == "inactive"
    _until(sandbox, _us(paused["close_time"]))
    assert _status(sandbox, paused["ticker"]) == "closed"


def test_markets_that_start_in_a_later_stage_stay_there(sandbox: LocalSandbox) -> None:
    stages = {"closed", "determined", "disputed", "amended"}
    before = {market["ticker"]: market for market in sandbox.markets() if market["status"] in stages}
    sandbox.pass_seconds(20 * DAY)
    after = {market["ticker"]: market["status"] for market in sandbox.markets()}
    assert {after[ticker] for ticker in before} <= stages
    assert all(after[ticker] == market["status"] for ticker, market in before.items())


def test_settled_markets_and_their_trades_move_to_the_history_with_the_cutoff(sandbox: LocalSandbox) -> None:
    ticker = quoted_market(sandbox)
    trade = SandboxTrader(sandbox.exchange.venue).place(ticker, "bid", 9_900, 100).trades[0]
    sandbox.pass_seconds(20 * DAY)
    settled_us = _us(sandbox.read(f"/markets/{ticker}")["market"]["settlement_ts"])
    first_cutoff = sandbox.read("/historical/cutoff")["market_settled_ts"]
    live = {row["trade_id"] for row in sandbox.read_all("/markets/trades", "trades", ticker=ticker, limit=1000)}
    assert trade.trade_id in live
    _until(sandbox, settled_us - settled_us % (DAY * 10**6) + 61 * DAY * 10**6 - 1)
    assert _status(sandbox, ticker) == "finalized"
    sandbox.pass_seconds(1)
    cutoff = sandbox.read("/historical/cutoff")
    assert first_cutoff < cutoff["market_settled_ts"] == cutoff["trades_created_ts"] < cutoff["orders_updated_ts"]
    assert sandbox.get(f"/markets/{ticker}").status_code == 404
    archived = sandbox.read(f"/historical/markets/{ticker}")["market"]
    assert archived["status"] == "finalized"
    assert archived in sandbox.read_all("/historical/markets", "markets")
    assert ticker not in {market["ticker"] for market in sandbox.markets()}
    assert not sandbox.read_all("/markets/trades", "trades", ticker=ticker)
    history = sandbox.read_all("/historical/trades", "trades", ticker=ticker, limit=1000)
    assert trade.trade_id in {row["trade_id"] for row in history}
    least_us = _us(cutoff["market_settled_ts"]) - OVERLAP_US
    assert all(_us(market["settlement_ts"]) >= least_us for market in sandbox.markets(status="settled"))


@pytest.mark.parametrize(("result", "value", "paid"), [("yes", 10_000, 100), ("no", 0, 0), ("scalar", 4_333, 43)])
def test_holders_are_paid_by_the_result(result: str, value: int, paid: int) -> None:
    sandbox = local_sandbox(FROZEN)
    ticker = quoted_market(sandbox)
    trader = SandboxTrader(sandbox.exchange.venue)
    trader.place(ticker, "bid", 9_900, 100)
    money = trader.money()
    _steer(sandbox, ticker, "closed")
    _steer(sandbox, ticker, "determined", result=result, value=f"{value / 10_000:.4f}")
    timer = sandbox.read(f"/markets/{ticker}")["market"]["settlement_timer_seconds"]
    sandbox.pass_seconds(timer - 1)
    assert _status(sandbox, ticker) == "determined"
    assert trader.money() == money
    sandbox.pass_seconds(1)
    seen = sandbox.read(f"/markets/{ticker}")["market"]
    assert (seen["status"], seen["result"]) == ("finalized", result)
    assert seen["settlement_value_dollars"] == f"{value / 10_000:.4f}"
    assert trader.money() == money + paid * 10_000
    assert sandbox.exchange.venue.state.settlements_of[ME][0].revenue == paid * 10_000


def test_a_market_that_closes_by_the_clock_settles_in_the_engine_as_well(sandbox: LocalSandbox) -> None:
    venue = sandbox.exchange.venue
    ticker = quoted_market(sandbox)
    trader = SandboxTrader(venue)
    trader.place(ticker, "bid", 9_900, 100)
    order = trader.rest(ticker, "bid", 100, 100)
    closes = _us(sandbox.read(f"/markets/{ticker}")["market"]["close_time"])
    _until(sandbox, closes)
    with pytest.raises(RequestRefused, match="MARKET_INACTIVE"):
        trader.place(ticker, "bid", 100, 100)
    assert not order.is_resting
    sandbox.pass_seconds(DAY)
    assert _status(sandbox, ticker) == "finalized"
    settled = venue.state.settlements_of[ME]
    assert [(record.ticker, record.settled_us) for record in settled] == [
        (ticker, sandbox.exchange.catalogue.markets[ticker].settled_us)
    ]
    assert trader.money() <= 4 * A_MILLION + settled[0].revenue


def test_a_dispute_and_an_amendment_restart_the_timer() -> None:
    sandbox = local_sandbox(FROZEN)
    ticker = quoted_market(sandbox)
    timer = sandbox.read(f"/markets/{ticker}")["market"]["settlement_timer_seconds"]
    _steer(sandbox, ticker, "closed")
    _steer(sandbox, ticker, "determined", result="yes")
    for status, extra in (("disputed", {}), ("amended", {"result": "no"})):
        sandbox.pass_seconds(timer - 1)
        _steer(sandbox, ticker, status, **extra)
    sandbox.pass_seconds(timer - 1)
    assert _status(sandbox, ticker) == "amended"
    sandbox.pass_seconds(1)
    seen = sandbox.read(f"/markets/{ticker}")["market"]
    assert (seen["status"], seen["result"], seen["settlement_value_dollars"]) == ("finalized", "no", "0.0000")


def test_a_market_that_is_resumed_has_lost_its_orders() -> None:
    sandbox = local_sandbox(FROZEN)
    ticker = quoted_market(sandbox)
    order = SandboxTrader(sandbox.exchange.venue).rest(ticker, "bid", 100, 100)
    _steer(sandbox, ticker, "inactive")
    assert order.is_resting
    assert ticker in {market["ticker"] for market in sandbox.markets(status="paused")}
    _steer(sandbox, ticker, "active")
    assert not order.is_resting
    reasons = [e.reason for e in sandbox.exchange.log.events if isinstance(e, OrderCanceled) and e.count == 100]
    assert "market_resumed" in reasons
    assert sandbox.read(f"/markets/{ticker}")["market"]["yes_bid_dollars"] != "0.0000"


def test_a_market_closed_by_hand_waits_and_can_reopen() -> None:
    sandbox = local_sandbox(FROZEN)
    ticker = quoted_market(sandbox)
    closes = sandbox.read(f"/markets/{ticker}")["market"]["close_time"]
    closed = _steer(sandbox, ticker, "closed")
    assert closed["close_time"] == "2026-11-22T12:00:00Z"
    sandbox.pass_seconds(DAY)
    assert _status(sandbox, ticker) == "closed"
    assert _steer(sandbox, ticker, "active")["close_time"] == "2026-11-24T12:00:00Z"
    SandboxTrader(sandbox.exchange.venue).rest(ticker, "bid", 100, 100)
    _steer(sandbox, ticker, "closed")
    assert _steer(sandbox, ticker, "active", close_time=closes)["close_time"] == closes
    _until(sandbox, _us(closes))
    assert _status(sandbox, ticker) == "closed"
    sandbox.pass_seconds(DAY)
    assert _status(sandbox, ticker) == "finalized"


def test_illegal_changes_are_refused_with_what_is_legal() -> None:
    sandbox = local_sandbox(FROZEN)
    ticker = quoted_market(sandbox)
    assert "closed, inactive" in _refusal(sandbox, ticker, status="finalized")
    assert "cannot become active" in _refusal(sandbox, ticker, status="active")
    _steer(sandbox, ticker, "closed")
    assert "result" in _refusal(sandbox, ticker, status="determined")
    assert "value" in _refusal(sandbox, ticker, status="determined", result="scalar")
    assert "value" in _refusal(sandbox, ticker, status="determined", result="scalar", value="1.5")
    _steer(sandbox, ticker, "determined", result="scalar", value="0.43")
    assert "amended" in _refusal(sandbox, ticker, status="finalized", result="yes")
    assert _steer(sandbox, ticker, "finalized")["value"] == "0.4300"
    assert "nothing" in _refusal(sandbox, ticker, status="active")
    assert "NOSUCH" in _refusal(sandbox, "NOSUCH", status="active")


def test_the_winner_of_an_exclusive_event_can_be_chosen_by_hand() -> None:
    sandbox = local_sandbox(FROZEN)
    event = next(
        event
        for event in sandbox.read_all("/events", "events", status="open", with_nested_markets="true")
        if event["mutually_exclusive"] and len(event["markets"]) > 3
    )
    chosen = event["markets"][-1]["ticker"]
    _steer(sandbox, chosen, "closed")
    _steer(sandbox, chosen, "determined", result="yes")
    sandbox.pass_seconds(40 * DAY)
    markets = sandbox.read(f"/events/{event['event_ticker']}")["markets"]
    assert {market["status"] for market in markets} == {"finalized"}
    assert [market["ticker"] for market in markets if market["result"] == "yes"] == [chosen]


def test_markets_added_later_live_as_well() -> None:
    sandbox = local_sandbox(SandboxOptions(markets=50, combos=0, tier="unlimited"))
    (ticker,) = sandbox.steer("POST", "/markets", count=1)["tickers"]
    closes = _us(sandbox.read(f"/markets/{ticker}")["market"]["close_time"])
    _until(sandbox, closes)
    assert _status(sandbox, ticker) == "closed"
