"""Tests of the shares that strategies and agents have of the caps on the number of orders."""

from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.journal.records import Fill, Intent, Refusal
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines_tests.support.execution.order_steps import (
    MINUTE,
    OrderSteps,
    caps,
    next_session,
    order_steps,
)

SMALL = {
    "session": caps(session=(8, 10**15, 10**8)),
    "day": caps(day=(8, 10**15, 10**8)),
    "rolling": caps(rolling=(8, 10**15, 10**8)),
    "event": caps(event=(8, 10**15, 10**8)),
}


def admit(steps: OrderSteps, kind: ActorKind, **changed: Any) -> Intent | Refusal:
    """Reserve a small order, or deny it if it exceeds a cap."""
    needs = {"approval_required": kind is ActorKind.AGENT, "count_centicontracts": 100, "fee_bound_microdollars": 0}
    steps.clock.now_us += MINUTE
    with steps.journal.writing() as transaction:
        intent = transaction.orders.plan(steps.intent(actor=kind, **needs, **changed))
        refusal = transaction.ledger.refusal(intent)
        if refusal is None:
            return transaction.orders.reserve(intent)
        transaction.orders.deny(intent, refusal.reason, refusal.detail)
        return refusal


def admitted_of(steps: OrderSteps, kind: ActorKind, tries: int = 9) -> list[Intent]:
    tried = [admit(steps, kind) for _ in range(tries)]
    return [each for each in tried if isinstance(each, Intent)]


def ignore(steps: OrderSteps, intent: Intent) -> None:
    """Abandon an order that nobody approved."""
    with steps.journal.writing() as transaction:
        transaction.orders.abandon(intent, DenialReason.APPROVAL_REQUIRED, "nobody approved")


@pytest.mark.parametrize("scope", SMALL)
def test_each_kind_admits_orders_up_to_its_share_of_the_cap(journal_engine: sa.Engine, scope: str) -> None:
    steps = order_steps(journal_engine, SMALL[scope])
    for intent in admitted_of(steps, ActorKind.AGENT):
        ignore(steps, intent)
    refused = admit(steps, ActorKind.AGENT)
    assert isinstance(refused, Refusal)
    assert refused.reason is DenialReason.CAP_ORDER_COUNT
    assert refused.detail == f"{scope}.orders would be 5, the cap for agent orders is 4"
    assert [check.code for check in refused.checks if not check.ok] == [f"{scope}.orders"]
    assert [len(admitted_of(steps, kind)) for kind in (ActorKind.STRATEGY, ActorKind.AGENT, ActorKind.PERSON)] == [
        2,
        0,
        2,
    ]
    assert verify(journal_engine).ok


def test_agents_that_nobody_approves_leave_the_day_open_for_persons(journal_engine: sa.Engine) -> None:
    allowed = caps(session=(25, 10**15, 10**8), day=(20, 10**15, 10**8))
    steps, made = order_steps(journal_engine, allowed), 0
    for number in (2, 3, 4):
        for intent in admitted_of(steps, ActorKind.AGENT):
            ignore(steps, intent)
            made += 1
        next_session(steps, number, allowed)
    assert made == 10
    assert len(admitted_of(steps, ActorKind.PERSON)) == 9


@pytest.mark.parametrize("cap", [1, 2, 3])
@pytest.mark.parametrize("kind", ActorKind)
def test_every_kind_can_order_with_the_smallest_cap(sqlite_journal: sa.Engine, kind: ActorKind, cap: int) -> None:
    steps = order_steps(sqlite_journal, caps(session=(cap, 10**15, 10**8)))
    most = {ActorKind.PERSON: cap, ActorKind.STRATEGY: max(1, cap * 3 // 4), ActorKind.AGENT: max(1, cap // 2)}
    assert len(admitted_of(steps, kind, cap + 1)) == most[kind]


@pytest.mark.parametrize("kind", [ActorKind.STRATEGY, ActorKind.AGENT])
def test_closing_order_is_admitted_after_the_share_is_used(steps: OrderSteps, kind: ActorKind) -> None:
    bought = steps.record_sent(count_centicontracts=1_000)
    with steps.journal.writing() as transaction:
        fill = Fill("f-1", "order-0001", bought.ticker, Side.BID, 5_000, 1_000, 0, steps.clock())
        transaction.fills.record(fill, bought)
    assert len(admitted_of(steps, kind, 25)) < 25
    closing = admit(steps, kind, side=Side.ASK)
    assert isinstance(closing, Intent)
    assert closing.only_closes
