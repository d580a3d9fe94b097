"""An order's terms are written to columns of the journal and read back unchanged."""

import datetime as dt
from dataclasses import replace

import pytest

from kalshi_pipelines.execution.journal.tables import intents, proposals
from kalshi_pipelines.execution.orders.columns import from_columns, to_columns
from kalshi_pipelines.execution.orders.proposals import ActorKind, ProposedOrder, Signal
from kalshi_pipelines.execution.orders.request import OrderRequest
from kalshi_pipelines.execution.orders.terms import (
    Action,
    Contracts,
    InvalidTerms,
    Leg,
    MarketTicker,
    Outcome,
    TimeInForce,
    YesPrice,
)
from kalshi_pipelines_tests.support.execution.requests import REQUEST

NOON = dt.datetime(2026, 11, 23, 17, 0, 0, 123_456, tzinfo=dt.UTC)
ORDER = ProposedOrder(
    signal=Signal("calibration", "3", "2026-11-22", "above 0.60", "2", 4),
    ticker=MarketTicker("KXA-26-B"),
    leg=Leg(Action.SELL, Outcome.NO, YesPrice(5_600)),
    count=Contracts(150),
    time_in_force=TimeInForce.GOOD_TILL_CANCELED,
    as_of=NOON,
    valid_until=NOON + dt.timedelta(minutes=5),
    actor=ActorKind.AGENT,
    actor_name="reader",
    post_only=True,
    expires=NOON + dt.timedelta(minutes=9),
    reason="a look",
)
COLUMNS = {
    "strategy": "calibration",
    "strategy_version": "3",
    "partition": "2026-11-22",
    "signal": "above 0.60",
    "leg": "2",
    "attempt": 4,
    "ticker": "KXA-26-B",
    "action": "sell",
    "outcome": "no",
    "price_centicents": 5_600,
    "count_centicontracts": 150,
    "time_in_force": "good_till_canceled",
    "as_of_us": 1_795_453_200_123_456,
    "valid_until_us": 1_795_453_500_123_456,
    "actor_kind": "agent",
    "actor_name": "reader",
    "post_only": 1,
    "reduce_only": 0,
    "open_short": 0,
    "expires_us": 1_795_453_740_123_456,
    "reason": "a look",
}


def test_proposed_order_is_stored_as_the_columns_of_its_table() -> None:
    assert to_columns(ORDER) == COLUMNS
    assert {*COLUMNS, "proposal_id", "proposed_us", "source", "login"} == set(proposals.c.keys())


def test_proposed_order_from_its_columns_is_the_same_order() -> None:
    without = replace(ORDER, expires=None, post_only=False, reduce_only=True)
    for order in (ORDER, without):
        assert from_columns(ProposedOrder, to_columns(order)) == order
    assert to_columns(without)["expires_us"] is None


def test_order_request_is_stored_as_columns_of_its_table() -> None:
    columns = to_columns(REQUEST)
    assert set(columns) <= set(intents.c.keys())
    assert (columns["price_centicents"], columns["count_centicontracts"]) == (
        REQUEST.price.centicents,
        REQUEST.count.centi,
    )
    assert columns["self_trade_prevention"] == "taker_at_cross"
    assert to_columns(replace(REQUEST, order_group_id=None))["order_group_id"] is None


def test_order_request_from_its_columns_is_the_same_request() -> None:
    assert from_columns(OrderRequest, to_columns(REQUEST)) == REQUEST


@pytest.mark.parametrize(
    "impossible",
    [
        {"ticker": "no ticker; at all"},
        {"price_centicents": 0},
        {"price_centicents": 10_000},
        {"count_centicontracts": 10**12},
        {"action": "short"},
        {"outcome": "maybe"},
        {"time_in_force": "forever"},
        {"actor_kind": "nobody"},
        {"as_of_us": 10**18},
    ],
)
def test_proposed_order_from_impossible_columns_is_an_error(impossible: dict[str, object]) -> None:
    with pytest.raises((InvalidTerms, ValueError, OverflowError)):
        from_columns(ProposedOrder, {**COLUMNS, **impossible})
