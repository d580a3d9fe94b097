"""Rules of cancels: which readings prove an end, when a cancel is repeated, and which outcomes are recorded."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.journal.records import Intent
from kalshi_pipelines.execution.orders.answers import OrderAnswer
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.reconciliation.account import AccountReader
from kalshi_pipelines.execution.reconciliation.cancels import CancelContext, CancelReport, cancel_orders
from kalshi_pipelines.execution.reconciliation.report import DifferenceKind
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable
from kalshi_pipelines_tests.support.execution.exchange_answers import confirmed, refusal
from kalshi_pipelines_tests.support.execution.order_steps import NOON, SECOND, order_steps
from kalshi_pipelines_tests.support.execution.reconciliation_bench import LOST, Bench
from kalshi_pipelines_tests.support.execution.scripted_account import CANCELED, fill_of


@pytest.fixture
def bench(sqlite_journal: sa.Engine) -> Bench:
    return Bench(order_steps(sqlite_journal))


def cancel(bench: Bench, *intents: Intent, open_exchange: Callable[[], AccountReader] | None = None) -> CancelReport:
    context = CancelContext(
        bench.steps.journal,
        bench.account,
        open_exchange or (lambda: bench.account),
        bench.steps.clock,
        bench.paused.append,
    )
    return cancel_orders(context, intents, "ann", "leaving")


def list_as(bench: Bench, order: ExchangeOrder) -> Callable[[], None]:
    """Return a function that makes the exchange list an order in this state."""

    def act() -> None:
        bench.account.listed = [order]

    return act


def ended(order: ExchangeOrder, filled: int = 0) -> ExchangeOrder:
    return replace(order, status=CANCELED, remaining_centicontracts=0, filled_centicontracts=filled)


@pytest.mark.parametrize(
    ("answer", "state"),
    [(LOST, OrderState.PENDING_CANCEL), (refusal(429, "too_many"), OrderState.RESTING)],
)
def test_order_stays_pending_only_while_a_lost_cancel_may_arrive(
    bench: Bench, answer: OrderAnswer, state: OrderState
) -> None:
    intent, _ = bench.resting()
    bench.account.answers = [answer] * 3
    (outcome,) = cancel(bench, intent).outcomes
    assert not outcome.is_ended
    assert [each[0] for each in bench.account.written] == ["cancel"] * 3
    assert bench.state(intent) is state
    assert bench.reconcile().clean


def test_cancel_is_read_until_the_exchange_s_reads_include_it(bench: Bench) -> None:
    intent, order = bench.resting()
    bench.account.answers = [confirmed(NOON + SECOND)]
    bench.account.lag_us = SECOND
    bench.account.then["orders"] = [list_as(bench, order), list_as(bench, order), list_as(bench, ended(order))]
    (outcome,) = cancel(bench, intent).outcomes
    assert outcome.is_ended
    assert len(bench.account.written) == 1
    assert bench.paused == [0.5, 0.5]
    assert bench.state(intent) is OrderState.CANCELED


def test_end_of_an_order_is_recorded_before_its_fills_can_be_read(bench: Bench) -> None:
    intent, order = bench.resting()
    bench.account.then["orders"] = [list_as(bench, ended(order, 300))]
    bench.account.failing["fills"] = [KalshiError("down", "Wait.")]
    (outcome,) = cancel(bench, intent).outcomes
    assert (outcome.is_ended, outcome.problem) == (True, "")
    now = bench.steps.reload(intent)
    assert (now.state, now.reserved_centicontracts) == (OrderState.CANCELED, 300)
    bench.account.made = [fill_of(order, 300, NOON)]
    bench.reconcile()
    assert bench.steps.reload(intent).reserved_centicontracts == 0


def test_order_that_the_exchange_does_not_list_is_not_proved_ended(bench: Bench) -> None:
    intent, _ = bench.resting()
    bench.account.listed = []
    (outcome,) = cancel(bench, intent).outcomes
    assert (outcome.is_ended, outcome.problem) == (False, "the exchange does not list the order")
    assert bench.state(intent) is OrderState.PENDING_CANCEL


def test_cancel_is_sent_before_the_warehouse_is_opened(bench: Bench) -> None:
    intent, _ = bench.resting()

    def fail() -> AccountReader:
        assert bench.account.written
        raise WarehouseUnavailable("gone")

    (outcome,) = cancel(bench, intent, open_exchange=fail).outcomes
    assert outcome.problem == "the exchange cannot be read: gone"
    assert bench.state(intent) is OrderState.PENDING_CANCEL


def test_canceled_order_with_worse_terms_is_left_to_a_reconciliation(bench: Bench) -> None:
    intent, order = bench.resting()
    other = ended(replace(order, price_centicents=order.price_centicents + 100))
    bench.account.then["orders"] = [list_as(bench, other)]
    assert cancel(bench, intent).outcomes[0].is_ended
    assert bench.state(intent) is OrderState.PENDING_CANCEL
    assert DifferenceKind.ORDER_DIVERGED in bench.kinds()


def test_fill_of_another_order_is_left_to_a_reconciliation(bench: Bench) -> None:
    intent, order = bench.resting()
    bench.account.then["orders"] = [list_as(bench, ended(order))]
    bench.account.made = [fill_of(replace(order, order_id="order-foreign"), 100, NOON)]
    cancel(bench, intent)
    assert bench.kill() is None
    assert DifferenceKind.FOREIGN_FILL in bench.kinds()
