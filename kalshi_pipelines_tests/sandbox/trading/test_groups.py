"""Tests of order groups during a match, and of groups, transfers and cancel-all while a shard is down."""

from collections.abc import Callable

import pytest

from kalshi_pipelines.sandbox.trading import events as ev
from kalshi_pipelines.sandbox.trading.commands import RequestRefused
from kalshi_pipelines.sandbox.trading.engine import MatchingEngine
from kalshi_pipelines_tests.support.sandbox.engines import COMBO, START_US, new_engine, order

FOK = "fill_or_kill"


@pytest.fixture
def engine() -> MatchingEngine:
    return new_engine("ann", "bob")


def _group(engine: MatchingEngine, member: str, limit: int = 100) -> str:
    return engine.groups.create(member, 0, 0, limit, at_us=START_US).group_id


def test_two_groups_that_one_trade_fills_trigger_in_the_same_order_on_every_run() -> None:
    for seed in range(12):
        # Use several seeds, which give groups different identifiers. The order of triggering must not depend on
        # Python's hash order.
        engine = new_engine("ann", "bob")
        engine.recorder.seed = seed
        maker, taker = _group(engine, "ann"), _group(engine, "bob")
        engine.place(order("ann", "ask", 5_000, 100, order_group=maker), at_us=START_US)
        engine.place(order("bob", "bid", 5_000, 100, order_group=taker), at_us=START_US)
        triggered = [event.group_id for event in engine.log.events if isinstance(event, ev.GroupTriggered)]
        assert triggered == [taker, maker]


@pytest.mark.parametrize("owner", ["ann", "bob"])
def test_a_fill_or_kill_fills_in_whole_though_its_first_trade_fills_a_group(engine: MatchingEngine, owner: str) -> None:
    group = _group(engine, owner)
    terms = {name: {"order_group": group} if name == owner else {} for name in ("ann", "bob")}
    for price in (5_000, 5_100, 5_200):
        engine.place(order("ann", "ask", price, 100, **terms["ann"]), at_us=START_US)
    taken = engine.place(order("bob", "bid", 5_200, 200, time_in_force=FOK, **terms["bob"]), at_us=START_US)
    assert (taken.filled, taken.order.status) == (200, "executed")
    assert engine.state.groups[group].triggered
    assert len(engine.state.markets[taken.order.ticker].book.levels("ask")) == (0 if owner == "ann" else 1)


@pytest.mark.parametrize(
    "ask",
    [
        lambda engine, group: engine.groups.trigger("ann", 0, group, at_us=START_US),
        lambda engine, group: engine.groups.reset("ann", 0, group, at_us=START_US),
        lambda engine, group: engine.groups.set_limit("ann", 0, group, 1, at_us=START_US),
        lambda engine, group: engine.groups.delete("ann", 0, group, at_us=START_US),
        lambda engine, group: engine.groups.create("ann", 0, 0, 100, at_us=START_US),
    ],
    ids=["trigger", "reset", "limit", "delete", "create"],
)
def test_a_shard_that_is_down_leaves_groups_and_their_orders_as_they_are(
    engine: MatchingEngine, ask: Callable[[MatchingEngine, str], None]
) -> None:
    group = _group(engine, "ann")
    placed = engine.place(order("ann", "ask", 5_000, 100, order_group=group), at_us=START_US).order
    engine.market_control.set_shard(0, exchange_active=False, trading_active=True, at_us=START_US)
    with pytest.raises(RequestRefused, match="exchange_unavailable"):
        ask(engine, group)
    assert placed.is_resting
    engine.market_control.set_shard(0, exchange_active=True, trading_active=False, at_us=START_US)
    ask(engine, group)


@pytest.mark.parametrize("down", [0, 1])
def test_money_stays_where_it_is_while_either_shard_is_down(engine: MatchingEngine, down: int) -> None:
    engine.market_control.set_shard(down, exchange_active=False, trading_active=True, at_us=START_US)
    with pytest.raises(RequestRefused, match="exchange_unavailable"):
        engine.accounts.transfer("ann", (0, 0), (0, 1), 1_000_000, None, at_us=START_US)
    engine.market_control.set_shard(down, exchange_active=True, trading_active=False, at_us=START_US)
    engine.accounts.transfer("ann", (0, 0), (0, 1), 1_000_000, None, at_us=START_US)


def test_a_cancel_all_that_leaves_orders_on_a_down_shard_is_refused(engine: MatchingEngine) -> None:
    left = engine.place(order("ann", "ask", 5_000, 100), at_us=START_US).order
    gone = engine.place(order("ann", "ask", 5_000, 100, ticker=COMBO), at_us=START_US).order
    engine.market_control.set_shard(0, exchange_active=False, trading_active=True, at_us=START_US)
    with pytest.raises(RequestRefused, match="exchange_unavailable"):
        engine.cancel_all("ann", None, at_us=START_US)
    assert (left.status, gone.status) == ("resting", "canceled")
    assert engine.cancel_all("bob", None, at_us=START_US) == 0
    engine.market_control.set_shard(0, exchange_active=True, trading_active=False, at_us=START_US)
    assert engine.cancel_all("ann", None, at_us=START_US) == 1


def test_a_cancel_all_while_the_whole_exchange_is_paused_does_nothing(engine: MatchingEngine) -> None:
    for shard in engine.state.shards:
        engine.market_control.set_shard(shard, exchange_active=False, trading_active=True, at_us=START_US)
    with pytest.raises(RequestRefused, match="exchange_unavailable"):
        engine.cancel_all("ann", None, at_us=START_US)
    assert not engine.state.members["ann"].cancel_all_us
