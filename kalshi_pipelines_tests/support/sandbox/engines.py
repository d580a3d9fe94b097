"""Matching engines for tests.

An engine has three kinds of markets and members with money. Tests compare snapshots of its state.
"""

import dataclasses
from typing import Any

from kalshi_pipelines.sandbox.trading import events as ev
from kalshi_pipelines.sandbox.trading.book import OrderBook
from kalshi_pipelines.sandbox.trading.commands import NewOrder
from kalshi_pipelines.sandbox.trading.engine import MatchingEngine
from kalshi_pipelines.sandbox.trading.log import TruthLog, event_of, line_of
from kalshi_pipelines.sandbox.trading.state import TradingState
from kalshi_pipelines.units import DAY_US

START_US = 1_795_348_800_000_000
TAKER_RATE = 7_000_000
PLAIN, MAKER_FEES, COMBO = "KXPLAIN-1-A", "KXMAKER-1-A", "KXMVE-1-A"
CENTS = ((0, 10_000, 100),)
FINE = ((0, 1_000, 1), (1_000, 9_000, 10), (9_000, 10_000, 1))


def market(ticker: str, **facts: Any) -> ev.MarketOpened:
    defaults: dict[str, Any] = {
        "at_us": START_US, "ticker": ticker, "event_ticker": ticker.rsplit("-", 1)[0], "series_ticker": "KX",
        "shard": 0, "price_ranges": CENTS, "taker_rate": TAKER_RATE, "maker_rate": 0, "status": "active",
        "close_us": START_US + 30 * DAY_US,
    }  # fmt: skip
    return ev.MarketOpened(**{**defaults, **facts})


def new_engine(*members: str, dollars: int = 1_000) -> MatchingEngine:
    """Return an engine with three markets and with members that have money on shards 0 and 1."""
    engine = MatchingEngine(TradingState(), TruthLog(), seed=7)
    engine.cancel_all_tail = "never"
    for member in members:
        engine.accounts.join(member, at_us=START_US)
        for shard in (0, 1):
            engine.accounts.deposit(member, 0, shard, dollars * 1_000_000, at_us=START_US)
    engine.market_control.open(market(PLAIN))
    engine.market_control.open(market(MAKER_FEES, price_ranges=FINE, maker_rate=1_750_000))
    engine.market_control.open(market(COMBO, price_ranges=FINE, maker_rate=3_500_000, is_combo=True, shard=1))
    return engine


def order(member: str, side: ev.Side, price: int, count: int, **terms: Any) -> NewOrder:
    return NewOrder(
        **{"member": member, "subaccount": 0, "ticker": PLAIN, "side": side, "price": price, "count": count, **terms}
    )


def replayed(log: TruthLog) -> TradingState:
    """Rebuild the trading state from the lines of a truth log."""
    state = TradingState()
    for sequence, event in enumerate(log.events, 1):
        state.apply(event_of(line_of(sequence, event), sequence))
    return state


def snapshot(state: TradingState) -> dict[str, Any]:
    """Return a whole trading state as plain values that tests can compare."""
    return {name: _plain(value) for name, value in vars(state).items() if name != "_appliers"}


def _plain(value: Any) -> Any:
    if isinstance(value, OrderBook):
        return {side: [order.order_id for order in value.queue(side)] for side in ("bid", "ask")} | {
            f"{side}_levels": value.levels(side) for side in ("bid", "ask")
        }
    if isinstance(value, ev.TradingEvent):
        return value
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        # Reading a missing key adds a default value to the state. Leave out such values, so that states with the same
        # facts are equal.
        return {key: plain for key, item in value.items() if (plain := _plain(item)) not in (0, [], {})}
    if isinstance(value, list | tuple) or type(value).__name__ == "deque":
        return [_plain(item) for item in value]
    return value
