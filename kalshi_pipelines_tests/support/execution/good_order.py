"""An order that passes every check, a resting order with the same terms, and the market of both."""

from dataclasses import replace
from decimal import Decimal
from typing import Final

from kalshi_pipelines.execution.gates.market_snapshot import MarketSnapshot, PriceRange
from kalshi_pipelines.execution.orders.proposals import ActorKind, ProposedOrder, Signal
from kalshi_pipelines.execution.orders.terms import (
    Action,
    Contracts,
    Leg,
    MarketTicker,
    Outcome,
    TimeInForce,
    YesPrice,
)
from kalshi_pipelines_tests.support.execution.instants import MINUTE, NOW, NOW_US

ORDER: Final = ProposedOrder(
    signal=Signal("s", "1", "", "x"),
    ticker=MarketTicker("KXA-26-B"),
    leg=Leg(Action.BUY, Outcome.YES, YesPrice(5_200)),
    count=Contracts(100),
    time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL,
    as_of=NOW - MINUTE,
    valid_until=NOW + MINUTE,
    actor=ActorKind.STRATEGY,
    actor_name="s",
)
RESTING: Final = replace(ORDER, time_in_force=TimeInForce.GOOD_TILL_CANCELED, expires=NOW + 10 * MINUTE)
MARKET: Final = MarketSnapshot(
    ticker=ORDER.ticker,
    event_ticker="KXA-26",
    series_ticker="KXA",
    status="active",
    market_type="binary",
    settlement_bounds="default",
    exchange_index=2,
    price_ranges=(PriceRange(0, 1_000, 10), PriceRange(1_000, 9_000, 100), PriceRange(9_000, 10_000, 10)),
    close_us=NOW_US + 3_600_000_000,
    best_bid=5_000,
    best_ask=5_200,
    fee_type="quadratic",
    fee_multiplier=Decimal(1),
    shard_trades=True,
    clock_difference_ms=500,
    read_us=NOW_US - 1_000_000,
)
