"""Tests of matching: which outcome of an order a sweep of the account proves."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.journal.records import Intent
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder, OrderStatus, OrderSweep
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.reconciliation.matching import (
    Diverged,
    Found,
    NotThere,
    end_contradiction,
    harmless_changes,
    match_intent,
)
from kalshi_pipelines_tests.support.execution.order_steps import OrderSteps, order_steps


@pytest.fixture
def steps(sqlite_journal: sa.Engine) -> OrderSteps:
    return order_steps(sqlite_journal)


def _at_the_exchange(intent: Intent) -> ExchangeOrder:
    return ExchangeOrder(
        "order-0001",
        intent.client_order_id,
        intent.ticker,
        intent.side,
        intent.price_centicents,
        intent.count_centicontracts,
        0,
        intent.count_centicontracts,
        OrderStatus.RESTING,
        intent.order_group_id,
        1,
    )


def _sweep(*orders: ExchangeOrder) -> OrderSweep:
    return OrderSweep({order.order_id: order for order in orders}, 1, "a" * 64)


def test_nameless_order_in_the_intent_s_group_prevents_proof_of_absence(steps: OrderSteps) -> None:
    intent = steps.record_sent()
    order = _at_the_exchange(intent)
    nameless = replace(order, client_order_id="")
    assert match_intent(intent, _sweep(order)) == Found(order)
    assert isinstance(match_intent(intent, _sweep(nameless)), Diverged)
    assert isinstance(match_intent(intent, _sweep(replace(nameless, order_group_id="another"))), NotThere)
    assert isinstance(match_intent(intent, _sweep(replace(nameless, order_group_id=None))), NotThere)
    assert isinstance(match_intent(intent, _sweep(replace(order, client_order_id="kx1-somebody"))), NotThere)


def test_F48_ended_order_must_keep_the_fills_of_its_end(steps: OrderSteps) -> None:
    sending = steps.record_sent()
    with steps.journal.writing() as transaction:
        ended = transaction.orders.record_answer(
            sending, OrderState.CANCELED, order_id="order-0001", filled_centicontracts=300
        )
    canceled = replace(
        _at_the_exchange(ended), status=OrderStatus.CANCELED, filled_centicontracts=300, remaining_centicontracts=0
    )
    assert end_contradiction(ended, canceled) is None
    assert end_contradiction(ended, replace(canceled, filled_centicontracts=301)) == (
        "it ended with 3.00 contracts filled, but the exchange has 3.01 contracts filled"
    )
    resting = replace(canceled, status=OrderStatus.RESTING, remaining_centicontracts=700)
    assert end_contradiction(ended, resting) == "it ended as canceled in the journal, but rests at the exchange"


def test_reduce_only_order_may_be_smaller_at_the_exchange(steps: OrderSteps) -> None:
    intent = steps.record_sent(reduce_only=True)
    order = _at_the_exchange(intent)
    smaller = replace(
        order,
        count_centicontracts=500,
        remaining_centicontracts=0,
        filled_centicontracts=500,
        status=OrderStatus.EXECUTED,
    )
    assert match_intent(intent, _sweep(smaller)) == Found(smaller)
    assert harmless_changes(intent, smaller) == [], "the exchange limits the order, nobody changed it"
    assert harmless_changes(replace(intent, reduce_only=False), smaller) != []
    larger = replace(smaller, count_centicontracts=1_001)
    assert match_intent(intent, _sweep(larger)) == Diverged("its count is 10.01 contracts, not 10.00 contracts")
