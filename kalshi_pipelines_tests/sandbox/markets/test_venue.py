"""Tests of the venue: opening markets in the engine, running due actions, and portfolio reads that lag."""

import shutil
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from kalshi_pipelines.sandbox.markets.listing import TradeFilter
from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines.sandbox.trading.commands import RequestRefused
from kalshi_pipelines.units import HOUR_US, SECOND_US
from kalshi_pipelines_tests.support.sandbox.local_sandbox import NOON_US, LocalSandbox, local_sandbox
from kalshi_pipelines_tests.support.sandbox.trader import ME, SandboxTrader, quoted_market

EVERYTHING = TradeFilter(None, None, None, None)


def test_a_market_that_is_opened_looks_as_before(sandbox: LocalSandbox) -> None:
    for market in sandbox.markets()[::7]:
        ticker = market["ticker"]
        book = sandbox.get(f"/markets/{ticker}/orderbook").content
        trades = sandbox.get("/markets/trades", ticker=ticker).content
        sandbox.exchange.venue.ensure_open(ticker)
        assert sandbox.read(f"/markets/{ticker}")["market"] == market
        assert sandbox.get(f"/markets/{ticker}/orderbook").content == book
        assert sandbox.get("/markets/trades", ticker=ticker).content == trades


def test_a_ticker_that_is_not_live_is_not_opened(sandbox: LocalSandbox) -> None:
    archived = sandbox.read("/historical/markets", limit=1)["markets"][0]["ticker"]
    for ticker in ("NOSUCH", archived):
        with pytest.raises(RequestRefused, match="market_not_found"):
            sandbox.exchange.venue.ensure_open(ticker)


def test_the_engine_learns_grid_shard_and_fees_of_a_market(sandbox: LocalSandbox) -> None:
    multipliers = {"quadratic": 0, "quadratic_with_maker_fees": 1, "quadratic_with_combo_maker_fees": 2, "flat": 0}
    venue = sandbox.exchange.venue
    series = {row["ticker"]: row for row in sandbox.read("/series")["series"]}
    rates = set()
    events = sandbox.read_all("/events", "events", with_nested_markets="true")
    events += sandbox.read_all("/events/multivariate", "events", with_nested_markets="true")
    for event in events:
        fee_type = event.get("fee_type_override", series[event["series_ticker"]]["fee_type"])
        multiplier = event.get("fee_multiplier_override", series[event["series_ticker"]]["fee_multiplier"])
        for market in event["markets"][:1]:
            venue.ensure_open(market["ticker"])
            facts = venue.state.markets[market["ticker"]].facts
            assert facts.taker_rate == 7_000_000 * multiplier
            assert facts.maker_rate == 1_750_000 * multipliers[fee_type] * multiplier
            assert facts.shard == market["exchange_index"]
            grid = [(f"{a / 10_000:.4f}", f"{b / 10_000:.4f}", f"{c / 10_000:.4f}") for a, b, c in facts.price_ranges]
            assert grid == [(part["start"], part["end"], part["step"]) for part in market["price_ranges"]]
            rates.add((facts.taker_rate, facts.maker_rate))
    assert len(rates) >= 4


def test_a_trade_shows_in_everything_public_about_its_market(sandbox: LocalSandbox) -> None:
    ticker = quoted_market(sandbox)
    trader = SandboxTrader(sandbox.exchange.venue)
    before = sandbox.read(f"/markets/{ticker}")["market"]
    ask = int(before["yes_ask_dollars"].replace(".", ""))
    sandbox.pass_seconds(1)
    traded = trader.place(ticker, "bid", ask, 150).trades[0]
    after = sandbox.read(f"/markets/{ticker}")["market"]
    assert after["last_price_dollars"] == before["yes_ask_dollars"]
    assert float(after["volume_fp"]) == float(before["volume_fp"]) + 1.5
    assert float(after["volume_24h_fp"]) == float(before["volume_24h_fp"]) + 1.5
    assert float(after["open_interest_fp"]) == float(before["open_interest_fp"]) + 1.5
    assert float(after["yes_ask_size_fp"]) == float(before["yes_ask_size_fp"]) - 1.5
    for query in ({"ticker": ticker}, {}):
        newest = sandbox.read("/markets/trades", limit=1, **query)["trades"][0]
        assert newest["trade_id"] == traded.trade_id
        assert (newest["count_fp"], newest["taker_book_side"]) == ("1.50", "bid")
    series = sandbox.exchange.catalogue.markets[ticker].series_ticker
    now_s = sandbox.time.microseconds // SECOND_US
    candle = sandbox.read(
        f"/series/{series}/markets/{ticker}/candlesticks", start_ts=now_s, end_ts=now_s + 60, period_interval=1
    )["candlesticks"][-1]
    assert candle["price"]["close_dollars"] == before["yes_ask_dollars"]
    assert candle["volume_fp"] == "1.50"


def test_the_volume_of_a_day_forgets_what_is_older(sandbox: LocalSandbox) -> None:
    sandbox.exchange.venue.simulated_traders.is_active = False
    ticker, earlier = next(
        (row["ticker"], float(row["volume_24h_fp"]))
        for row in sandbox.markets(status="open", mve_filter="exclude")
        if float(row["volume_24h_fp"]) > 1
    )

    def volume() -> float:
        return float(sandbox.read(f"/markets/{ticker}")["market"]["volume_24h_fp"])

    ann, ben = SandboxTrader(sandbox.exchange.venue, "ann"), SandboxTrader(sandbox.exchange.venue, "ben")
    ann.rest(ticker, "ask", 5_000, 150)
    ben.place(ticker, "bid", 5_000, 150)
    for hours, left in ((0, 1.0), (12, 0.5), (11, 1 / 24), (1, None), (24, None)):
        sandbox.pass_seconds(3_600 * hours)
        assert volume() == (0 if left is None else pytest.approx(earlier * left + 1.5, abs=0.01))
    sandbox.exchange.clock.advance(-40 * HOUR_US)
    assert volume() == 0


def test_reading_all_trades_shows_each_once_while_trading_goes_on(sandbox: LocalSandbox) -> None:
    ticker = quoted_market(sandbox)
    trader = SandboxTrader(sandbox.exchange.venue)
    mine = []
    for _ in range(30):
        mine += trader.place(ticker, "bid", 9_900, 100).trades
        mine += trader.place(ticker, "ask", 100, 100).trades
    since = NOON_US // SECOND_US - 3_600
    everything = sandbox.read_all("/markets/trades", "trades", min_ts=since, limit=1000)
    walked = []
    cursor = ""
    while True:
        page = sandbox.read("/markets/trades", min_ts=since, limit=17, cursor=cursor)
        walked += page["trades"]
        cursor = page["cursor"]
        sandbox.pass_seconds(1)
        trader.place(ticker, "bid", 9_900, 100)
        if not cursor:
            break
    assert walked == everything
    keys = [(trade["created_time"], trade["trade_id"]) for trade in walked]
    assert len(set(keys)) == len(keys)
    assert {trade.trade_id for trade in mine} <= {trade["trade_id"] for trade in walked}


def test_due_actions_run_in_order_of_time(sandbox: LocalSandbox) -> None:
    venue = sandbox.exchange.venue
    ticker = quoted_market(sandbox)
    order = SandboxTrader(venue).rest(ticker, "bid", 100, 100, expires_us=NOON_US + 40 * SECOND_US)
    seen: list[tuple[int, bool]] = []
    for seconds in (50, 30, 40):
        venue.schedule(NOON_US + seconds * SECOND_US, lambda at_us: seen.append((at_us - NOON_US, order.is_resting)))
    sandbox.pass_seconds(35)
    venue.advance()
    assert seen == [(30 * SECOND_US, True)]
    sandbox.pass_seconds(86_400)
    assert venue.advance() == sandbox.time.microseconds
    assert seen[1:] == [(40 * SECOND_US, False), (50 * SECOND_US, False)]
    times = [event.at_us for event in sandbox.exchange.log.events]
    assert times == sorted(times)


def test_an_act_that_is_late_acts_at_its_own_time(sandbox: LocalSandbox) -> None:
    venue = sandbox.exchange.venue
    ticker = quoted_market(sandbox)
    venue.schedule(NOON_US + SECOND_US, lambda _: venue.ensure_open(ticker))
    sandbox.pass_seconds(600)
    venue.advance()
    assert venue.state.markets[ticker].facts.at_us == NOON_US + SECOND_US


def test_a_clock_that_is_set_back_undoes_nothing(sandbox: LocalSandbox) -> None:
    ticker = quoted_market(sandbox)
    trader = SandboxTrader(sandbox.exchange.venue)
    trader.place(ticker, "bid", 9_900, 100)
    sandbox.steer("POST", "/clock", seconds=-3_600)
    trader.place(ticker, "ask", 100, 100)
    assert sandbox.exchange.venue.now_us() == NOON_US
    times = [event.at_us for event in sandbox.exchange.log.events]
    assert times == sorted(times)
    assert sandbox.get("/markets", limit=1000).status_code == 200


def test_reads_that_lag_see_the_state_of_then(sandbox: LocalSandbox) -> None:
    venue = sandbox.exchange.venue
    ticker = quoted_market(sandbox)
    order = SandboxTrader(venue).rest(ticker, "bid", 100, 100)
    venue.read_lag_us = 2 * SECOND_US
    assert order.order_id not in venue.as_read().orders
    sandbox.pass_seconds(1)
    venue.engine.recorder.cancel_each([order], "member", venue.advance())
    sandbox.pass_seconds(1)
    assert venue.as_read().orders[order.order_id].is_resting
    assert sandbox.read("/exchange/user_data_timestamp") == {"as_of_time": "2026-11-22T12:00:00Z"}
    sandbox.pass_seconds(1)
    assert not venue.as_read().orders[order.order_id].is_resting
    assert venue.state_at(NOON_US).orders[order.order_id].is_resting
    venue.read_lag_us = 3 * SECOND_US
    assert venue.as_read().orders[order.order_id].is_resting
    venue.read_lag_us = 0
    assert venue.as_read() is venue.state


def test_the_status_of_the_exchange_follows_its_shards(sandbox: LocalSandbox) -> None:
    engine = sandbox.exchange.venue.engine
    assert sandbox.read("/exchange/status")["trading_active"] is True
    engine.market_control.set_shard(2, exchange_active=True, trading_active=False, at_us=NOON_US)
    status = sandbox.read("/exchange/status")
    assert status["trading_active"] is True
    assert [shard["trading_active"] for shard in status["exchange_index_statuses"]] == [True, True, False, True]
    engine.market_control.set_shard(0, exchange_active=False, trading_active=True, at_us=NOON_US)
    status = sandbox.read("/exchange/status")
    assert (status["exchange_active"], status["trading_active"]) == (False, False)
    assert [shard["exchange_active"] for shard in status["exchange_index_statuses"]] == [False, True, True, True]


def test_a_restart_shows_the_same_markets_and_goes_on(tmp_path: Path) -> None:
    options = SandboxOptions(markets=300, combos=10, tier="unlimited", state=tmp_path / "state")
    first = local_sandbox(options)
    tickers = [quoted_market(first, number) for number in range(4)]
    trader = SandboxTrader(first.exchange.venue)
    trader.place(tickers[0], "bid", 9_900, 5_000)
    trader.rest(tickers[1], "bid", 100, 700)
    first.pass_seconds(4 * 86_400)
    trader.place(quoted_market(first), "bid", 9_900, 300)
    for status, extra in (("closed", {}), ("determined", {"result": "scalar", "value": "0.4300"})):
        first.steer("POST", f"/markets/{tickers[2]}/status", status=status, **extra)
    first.steer("POST", f"/markets/{tickers[3]}/status", status="inactive")
    first.exchange.log.flush()
    copy = Path(shutil.copy(tmp_path / "state", tmp_path / "copy"))
    again = local_sandbox(replace(options, state=copy))
    again.time.microseconds = first.time.microseconds
    for _ in range(3):
        for path, rows in (("/markets", "markets"), ("/events", "events"), ("/historical/markets", "markets")):
            assert again.read_all(path, rows) == first.read_all(path, rows)
        assert again.read("/markets/trades", limit=1000) == first.read("/markets/trades", limit=1000)
        for sandbox in (first, again):
            sandbox.pass_seconds(86_400)
    assert again.exchange.venue.state.fills_of[ME] == first.exchange.venue.state.fills_of[ME]
    for sandbox in (first, again):
        sandbox.exchange.close()


@pytest.mark.parametrize("folder", ["prod_2026_08", "derived_3_34_0", "demo_2026_06"])
def test_a_recorded_market_is_traded_on_its_recorded_book(recordings: Path, folder: str) -> None:
    sandbox = local_sandbox(SandboxOptions(recordings=recordings / folder, tier="unlimited"))
    venue = sandbox.exchange.venue
    trader = SandboxTrader(venue)
    rows = [row for row in sandbox.exchange.catalogue.markets.values() if row.status == "active"]
    for row in rows:
        recorded, (yes, no) = orjson.loads(row.json()), row.own_book()
        venue.ensure_open(row.ticker)
        assert venue.state.markets[row.ticker].book.levels("bid") == [(level.price, level.size) for level in yes[::-1]]
        opened = orjson.loads(row.json())
        constant = {key for key in recorded if not key.endswith(("_dollars", "_fp"))}
        assert {key: opened[key] for key in constant} == {key: recorded[key] for key in constant}
        assert _stays_open(row.close_us, venue.state.markets[row.ticker].close_us)
        if no:
            price = 10_000 - no[-1].price
            assert trader.place(row.ticker, "bid", price, 1).filled == 1
            assert orjson.loads(row.json())["last_price_dollars"] == f"{price / 10_000:.4f}"
            assert sandbox.exchange.venue.trades.page(EVERYTHING, "", 1).rows[0].sort_key[0] == -NOON_US
    assert rows
    _steer_to_the_end(sandbox, rows[0].ticker)
    assert rows[0].status == "finalized"


def _stays_open(recorded_us: int, traded_us: int) -> bool:
    """Return whether a market trades beyond both its recorded close time and the present.

    A market that was recorded as active stays open.
    """
    return max(recorded_us, NOON_US) <= traded_us


def _steer_to_the_end(sandbox: LocalSandbox, ticker: str) -> None:
    for status in ("inactive", "active", "closed", "determined", "finalized"):
        sandbox.steer("POST", f"/markets/{ticker}/status", status=status, result="yes")
