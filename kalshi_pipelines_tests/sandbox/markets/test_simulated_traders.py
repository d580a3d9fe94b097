"""Tests of the simulated traders in the markets of the sandbox."""

from typing import Any

from kalshi_pipelines.sandbox.markets.generated import GeneratedMarket
from kalshi_pipelines.sandbox.markets.simulated_traders import KEPT_EPOCHS, MAKERS, OTHERS, SIMULATED_MEMBERS, TAKERS
from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines.sandbox.trading.events import OrderAccepted, Traded
from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox, local_sandbox
from kalshi_pipelines_tests.support.sandbox.trader import ME, SandboxTrader, quoted_market

SMALL = SandboxOptions(markets=200, combos=10, tier="unlimited")
FROZEN = SandboxOptions(markets=200, combos=10, tick_seconds=0, tier="unlimited")
ALONE = SandboxOptions(markets=200, combos=10, crowd=False, tier="unlimited")


def _row(sandbox: LocalSandbox, ticker: str) -> GeneratedMarket:
    row = sandbox.exchange.catalogue.markets[ticker]
    assert isinstance(row, GeneratedMarket)
    return row


def _book(sandbox: LocalSandbox, ticker: str) -> Any:
    return sandbox.read(f"/markets/{ticker}/orderbook")["orderbook_fp"]


def _traders(sandbox: LocalSandbox, ticker: str) -> set[str]:
    return {
        event.member
        for event in sandbox.exchange.log.events
        if isinstance(event, OrderAccepted) and event.ticker == ticker
    }


def test_an_opened_market_follows_its_price_path(sandbox: LocalSandbox) -> None:
    ticker = _busy_market(sandbox)
    row = _row(sandbox, ticker)
    sandbox.exchange.venue.ensure_open(ticker)
    compared = 0
    for _ in range(20):
        epoch = row.epoch_of(sandbox.time.microseconds) + 1
        sandbox.time.microseconds = row.path.begins_us(epoch)
        happened = len(sandbox.exchange.log.events)
        market = sandbox.read(f"/markets/{ticker}")["market"]
        expected = row.path.quote(epoch)
        fills = [fill for fill in row.path.fills(epoch) if not fill.is_block]
        new = sandbox.exchange.log.events[happened:]
        assert {event.at_us for event in new} == {sandbox.time.microseconds}
        if sum(fill.size for fill in fills) < min(expected.bid_size, expected.ask_size):
            trades = [(event.price, event.count) for event in new if isinstance(event, Traded)]
            assert trades == [(fill.price, fill.size) for fill in fills]
            assert market["yes_bid_dollars"] == f"{expected.bid / 10_000:.4f}"
            assert market["yes_ask_dollars"] == f"{expected.ask / 10_000:.4f}"
            compared += 1
    assert compared > 5


def _busy_market(sandbox: LocalSandbox) -> str:
    tickers = (quoted_market(sandbox, number) for number in range(20))
    return next(ticker for ticker in tickers if _row(sandbox, ticker).path.rate)


def test_a_members_order_in_the_way_is_filled() -> None:
    sandbox = local_sandbox(SMALL)
    trader = SandboxTrader(sandbox.exchange.venue)
    tickers = [quoted_market(sandbox, number) for number in range(12)]
    for ticker in tickers:
        row = _row(sandbox, ticker)
        quote = row.path.quote(row.present_epoch())
        if quote.ask - quote.bid > 100:
            trader.rest(ticker, "bid", quote.ask - 100, 1_000, post_only=True)
            trader.rest(ticker, "ask", quote.ask, 1_000, post_only=True)
    sandbox.pass_seconds(4 * 3_600)
    sandbox.exchange.venue.advance()
    fills = sandbox.exchange.venue.state.fills_of[ME]
    assert fills
    assert not any(fill.is_taker for fill in fills)
    for ticker in tickers:
        book = sandbox.exchange.venue.state.markets.get(ticker)
        if book is not None:
            bid, ask = book.book.best("bid"), book.book.best("ask")
            assert bid is None or ask is None or bid < ask


def test_the_same_requests_make_the_same_simulated_trades() -> None:
    def played() -> list[Any]:
        sandbox = local_sandbox(SMALL)
        trader = SandboxTrader(sandbox.exchange.venue)
        for number in range(5):
            trader.place(quoted_market(sandbox, number), "bid", 9_900, 2_000)
            sandbox.pass_seconds(700)
        sandbox.exchange.venue.advance()
        return sandbox.exchange.log.events

    assert played() == played()


def test_nothing_moves_by_itself_when_prices_are_frozen() -> None:
    sandbox = local_sandbox(FROZEN)
    ticker = quoted_market(sandbox)
    sandbox.exchange.venue.ensure_open(ticker)
    happened = len(sandbox.exchange.log.events)
    sandbox.pass_seconds(86_400)
    sandbox.read("/markets", limit=1)
    assert len(sandbox.exchange.log.events) == happened


def test_simulated_traders_follow_prices_moved_by_hand() -> None:
    sandbox = local_sandbox(FROZEN)
    ticker = quoted_market(sandbox)
    sandbox.exchange.venue.ensure_open(ticker)
    sandbox.steer("POST", "/prices", fraction=1)
    row = _row(sandbox, ticker)
    quote = row.path.quote(row.present_epoch())
    market = sandbox.read(f"/markets/{ticker}")["market"]
    assert market["yes_bid_dollars"] == f"{quote.bid / 10_000:.4f}"
    assert market["yes_ask_size_fp"] == f"{quote.ask_size / 100:.2f}"


def test_a_long_jump_of_the_clock_acts_out_the_last_epochs_only(sandbox: LocalSandbox) -> None:
    ticker = quoted_market(sandbox)
    row = _row(sandbox, ticker)
    sandbox.exchange.venue.ensure_open(ticker)
    opened = len(sandbox.exchange.log.events)
    sandbox.pass_seconds(2 * 86_400)
    sandbox.exchange.venue.advance()
    acted = {event.at_us for event in sandbox.exchange.log.events[opened:]}
    now = row.epoch_of(sandbox.time.microseconds)
    assert {row.path.epoch_at(at_us) for at_us in acted} <= set(range(now - KEPT_EPOCHS + 1, now + 1))
    assert max(acted) <= sandbox.time.microseconds


def test_switched_off_simulated_traders_enter_no_market() -> None:
    sandbox = local_sandbox(ALONE)
    ticker = quoted_market(sandbox)
    trader = SandboxTrader(sandbox.exchange.venue)
    trader.rest(ticker, "bid", 4_000, 100)
    sandbox.pass_seconds(86_400)
    assert _book(sandbox, ticker) == {"yes_dollars": [["0.4000", "1.00"]], "no_dollars": []}
    assert _traders(sandbox, ticker) == {ME}


def test_simulated_traders_stop_when_switched_off_and_resume_later(sandbox: LocalSandbox) -> None:
    ticker = _busy_market(sandbox)
    sandbox.exchange.venue.ensure_open(ticker)
    sandbox.steer("POST", "/conduct", crowd=False)
    happened = len(sandbox.exchange.log.events)
    sandbox.pass_seconds(8 * 3_600)
    sandbox.steer("POST", f"/markets/{ticker}/status", status="inactive")
    sandbox.steer("POST", f"/markets/{ticker}/status", status="active")
    assert not [event for event in sandbox.exchange.log.events[happened:] if isinstance(event, OrderAccepted)]
    sandbox.steer("POST", "/conduct", crowd=True)
    sandbox.pass_seconds(8 * 3_600)
    sandbox.exchange.venue.advance()
    assert [event for event in sandbox.exchange.log.events[happened:] if isinstance(event, OrderAccepted)]


def test_orders_of_others_are_placed_by_hand_and_stay() -> None:
    sandbox = local_sandbox(SMALL)
    ticker = quoted_market(sandbox)
    placed = sandbox.steer("POST", f"/markets/{ticker}/orders", side="bid", price="0.0100", count="7.50")
    assert (placed["fill_count"], placed["remaining_count"]) == ("0.00", "7.50")
    sandbox.pass_seconds(3_600)
    sandbox.exchange.venue.advance()
    order = sandbox.exchange.venue.state.orders[placed["order_id"]]
    assert (order.member, order.is_resting) == (OTHERS, True)
    assert _traders(sandbox, ticker) >= {MAKERS, OTHERS}


def test_an_order_placed_by_hand_fills_a_member() -> None:
    sandbox = local_sandbox(ALONE)
    ticker = quoted_market(sandbox)
    order = SandboxTrader(sandbox.exchange.venue).rest(ticker, "bid", 4_000, 300)
    placed = sandbox.steer(
        "POST",
        f"/markets/{ticker}/orders",
        side="ask",
        price="0.4000",
        count="2",
        time_in_force="immediate_or_cancel",
    )
    assert (placed["fill_count"], placed["remaining_count"]) == ("2.00", "0.00")
    assert order.remaining == 100


def test_a_book_is_cleared_of_all_but_the_members_orders() -> None:
    sandbox = local_sandbox(FROZEN)
    ticker = quoted_market(sandbox)
    SandboxTrader(sandbox.exchange.venue).rest(ticker, "bid", 100, 100)
    sandbox.steer("POST", f"/markets/{ticker}/orders", side="bid", price="0.0100", count="1")
    assert sandbox.steer("POST", f"/markets/{ticker}/clear_book")["canceled"] > 2
    assert _book(sandbox, ticker) == {"yes_dollars": [["0.0100", "1.00"]], "no_dollars": []}


def test_a_wrong_order_by_hand_is_refused_with_a_reason() -> None:
    sandbox = local_sandbox(FROZEN)
    ticker = quoted_market(sandbox)
    for body in (
        {"side": "yes", "price": "0.1000", "count": "1"},
        {"side": "bid", "price": "ten", "count": "1"},
        {"side": "bid", "price": "0.1050", "count": "1"},
        {"side": "bid", "price": "0.10001", "count": "1"},
        {"side": "bid", "count": "1"},
    ):
        response = sandbox.client.post(f"/sandbox/markets/{ticker}/orders", json=body)
        assert (response.status_code, set(response.json())) == (400, {"error"})
    assert sandbox.client.post("/sandbox/markets/NOSUCH/clear_book", json={}).status_code == 400


def test_simulated_traders_wait_while_their_shard_is_paused() -> None:
    sandbox = local_sandbox(SMALL)
    venue = sandbox.exchange.venue
    ticker = quoted_market(sandbox)
    venue.ensure_open(ticker)
    shard = venue.state.markets[ticker].facts.shard
    venue.engine.market_control.set_shard(shard, exchange_active=True, trading_active=False, at_us=venue.advance())
    happened = len(sandbox.exchange.log.events)
    book = _book(sandbox, ticker)
    sandbox.pass_seconds(7_200)
    venue.advance()
    assert len(sandbox.exchange.log.events) == happened
    assert _book(sandbox, ticker) == book
    venue.engine.market_control.set_shard(shard, exchange_active=True, trading_active=True, at_us=venue.advance())
    sandbox.pass_seconds(7_200)
    venue.advance()
    assert _book(sandbox, ticker) != book


def test_simulated_traders_have_money_and_no_history(sandbox: LocalSandbox) -> None:
    venue = sandbox.exchange.venue
    ticker = _busy_market(sandbox)
    venue.ensure_open(ticker)
    sandbox.pass_seconds(86_400)
    venue.advance()
    for member in SIMULATED_MEMBERS:
        assert all(venue.state.available(member, 0, shard) > 0 for shard in range(4))
        assert not venue.state.orders_of[member]
    assert _traders(sandbox, ticker) == {MAKERS, TAKERS}
