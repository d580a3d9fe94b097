"""Unknown outcomes caused by faults of the exchange over real sockets, and their resolution."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Intent
from kalshi_pipelines.execution.orders.answers import OrderAnswer
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.evidence import OrderSweep
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import OrderId
from kalshi_pipelines.execution.reconciliation.account import AccountReader
from kalshi_pipelines.execution.reconciliation.report import DifferenceKind
from kalshi_pipelines_tests.support.execution.member_reconciler import QUICK, markets, reconciler
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT
from kalshi_pipelines_tests.support.execution.sandbox_member import (
    ProcessEnded,
    SandboxMember,
    Trader,
    at,
    end_process,
    live_trader,
    proposed,
    ready_journal,
    resting,
)

PLACE = "POST /portfolio/events/orders"


@pytest.fixture
def member(member: SandboxMember) -> Iterator[SandboxMember]:
    """A new member of the sandbox, whose faults end with the test."""
    yield member
    member.steer("DELETE", "/faults")


def states(journal: Journal, intents: list[Intent]) -> list[OrderState]:
    with journal.reading() as reading:
        return [reading.orders.intent(intent.intent_id).state for intent in intents]


def unknown(trader: Trader, order: Any, kind: str, **fault: Any) -> Intent:
    """Send an order into a fault that leaves its outcome unknown."""
    trader.member.steer("POST", "/faults", endpoint=PLACE, kind=kind, **fault)
    decision = trader.executor.decide(order)
    assert decision.outcome is DecisionOutcome.UNKNOWN, decision
    assert decision.intent is not None
    return decision.intent


def open_now(journal: Journal) -> list[Intent]:
    with journal.reading() as reading:
        return reading.orders.open_intents(ACCOUNT)


def test_F06_order_with_a_lost_answer_is_resolved_and_not_sent_again(
    member: SandboxMember, journal_engine: sa.Engine
) -> None:
    journal = ready_journal(journal_engine)
    trader = live_trader(member, journal)
    places = markets(member, 8)
    sent = [
        unknown(trader, proposed(places[0]), "drop_after_apply"),
        unknown(trader, resting(places[1], places[1]["yes_bid_dollars"]), "status_after_apply", status=503),
        unknown(trader, proposed(places[2]), "garbage_after_apply"),
        unknown(trader, proposed(places[3]), "empty_after_apply"),
        unknown(trader, proposed(places[4]), "wrong_echo", field="client_order_id"),
        unknown(trader, proposed(places[5]), "status_after_apply", status=408),
        unknown(trader, proposed(places[6]), "applied_twice"),
        unknown(trader, proposed(places[7]), "refuse", reset=True),
    ]
    work = reconciler(member, journal)
    report = work.reconcile(own_session=trader.session.session_id)
    assert report.clean, str(report)
    executed, canceled, absent = OrderState.EXECUTED, OrderState.CANCELED, OrderState.ABSENT
    # The fence canceled the resting order.
    assert states(journal, sent) == [executed, canceled, *[executed] * 5, absent]
    accepted = [order["client_order_id"] for order in member.orders_on_exchange()]
    assert sorted(accepted) == sorted(intent.client_order_id for intent in sent[:7])
    assert open_now(journal) == []
    again = work.reconcile()
    assert (again.clean, again.resolved, again.figures.get("fills_posted")) == (True, (), None), str(again)
    assert verify(journal_engine).ok


def test_F07_request_that_arrives_after_the_sweep_is_refused_by_the_fence(
    member: SandboxMember, journal_engine: sa.Engine
) -> None:
    journal = ready_journal(journal_engine)
    trader = live_trader(member, journal)
    market = markets(member, 1)[0]
    intent = unknown(trader, resting(market, market["yes_bid_dollars"]), "delay", seconds=2.5, hold=False)
    began = time.monotonic()
    report = reconciler(member, journal).reconcile(own_session=trader.session.session_id)
    assert report.clean, str(report)
    assert states(journal, [intent]) == [OrderState.ABSENT]
    # The delayed request arrives at the exchange only now.
    assert time.monotonic() - began < 2.5
    time.sleep(max(0.0, began + 3.0 - time.monotonic()))
    assert member.orders_on_exchange() == []
    late = reconciler(member, journal).reconcile()
    assert late.clean, str(late)


def test_F10_409_for_our_own_id_is_resolved_by_a_sweep(member: SandboxMember, sqlite_journal: sa.Engine) -> None:
    journal = ready_journal(sqlite_journal)
    trader = live_trader(member, journal)
    market = markets(member, 1)[0]
    intent = unknown(trader, resting(market, market["yes_bid_dollars"]), "applied_twice")
    reconciler(member, journal).reconcile(own_session=trader.session.session_id)
    assert states(journal, [intent]) == [OrderState.CANCELED]
    assert len(member.orders_on_exchange()) == 1


def test_F44_missing_order_without_a_confirmed_fence_stays_unknown(
    member: SandboxMember, sqlite_journal: sa.Engine
) -> None:
    journal = ready_journal(sqlite_journal)
    trader = live_trader(member, journal)
    market = markets(member, 1)[0]
    intent = unknown(trader, proposed(market), "refuse")
    member.steer("POST", f"/shards/{market['exchange_index']}", exchange_active=False)
    report = reconciler(member, journal).reconcile(own_session=trader.session.session_id)
    assert [each.kind for each in report.differences] == [DifferenceKind.FENCE_NOT_CONFIRMED], str(report)
    assert report.unresolved == (intent.client_order_id,)
    held = open_now(journal)
    assert [(each.state, each.reserved_centicontracts) for each in held] == [(OrderState.UNKNOWN, 100)]
    member.steer("POST", f"/shards/{market['exchange_index']}", exchange_active=True)
    mended = reconciler(member, journal).reconcile()
    assert mended.clean, str(mended)
    assert states(journal, [intent]) == [OrderState.ABSENT]


def test_reads_older_than_the_fence_prove_nothing(member: SandboxMember, sqlite_journal: sa.Engine) -> None:
    journal = ready_journal(sqlite_journal)
    trader = live_trader(member, journal)
    intent = unknown(trader, proposed(markets(member, 1)[0]), "refuse")
    member.steer(
        "POST", "/faults", endpoint="GET /exchange/user_data_timestamp", kind="stale_read", seconds=60, times=999
    )
    impatient = dataclasses.replace(QUICK, watermark_seconds=0.3)
    report = reconciler(member, journal, limits=impatient).reconcile(own_session=trader.session.session_id)
    assert DifferenceKind.WATERMARK_BEHIND in [each.kind for each in report.differences]
    assert states(journal, [intent]) == [OrderState.UNKNOWN]


@pytest.mark.usefixtures("no_back_off")
def test_unreadable_page_proves_nothing(member: SandboxMember, sqlite_journal: sa.Engine) -> None:
    journal = ready_journal(sqlite_journal)
    trader = live_trader(member, journal)
    market = markets(member, 1)[0]
    trader.executor.decide(proposed(market))
    intent = unknown(trader, proposed(market), "refuse")
    for kind in ("malformed_record", "truncated_json"):
        member.steer("POST", "/faults", endpoint="GET /portfolio/orders", kind=kind, times=500)
        report = reconciler(member, journal).reconcile(own_session=trader.session.session_id)
        member.steer("DELETE", "/faults")
        assert {each.kind for each in report.differences} == {DifferenceKind.EXCHANGE_UNREADABLE}, str(report)
        assert states(journal, [intent]) == [OrderState.UNKNOWN]
    assert reconciler(member, journal).reconcile().clean


def test_fenced_session_sends_nothing_more(member: SandboxMember, sqlite_journal: sa.Engine) -> None:
    journal = ready_journal(sqlite_journal)
    trader = live_trader(member, journal)
    places = markets(member, 2)
    unknown(trader, proposed(places[0]), "drop_after_apply")
    blocked = trader.executor.decide(proposed(places[0]))
    assert blocked.reason is DenialReason.UNRESOLVED_ORDER
    reconciler(member, journal).reconcile(own_session=trader.session.session_id)
    assert trader.executor.decide(proposed(places[1])).reason is DenialReason.SESSION_CLOSED
    assert live_trader(member, journal).executor.decide(proposed(places[1])).outcome is DecisionOutcome.PLACED


class Twins:
    """An account that lists every order twice, the second time under another id."""

    def __init__(self, account: AccountReader) -> None:
        self._account = account

    def __getattr__(self, name: str) -> Any:
        return getattr(self._account, name)

    def orders(self, since_us: int, ticker: str | None = None) -> OrderSweep:
        sweep = self._account.orders(since_us, ticker)
        twins = {
            f"twin-{key}": dataclasses.replace(order, order_id=f"twin-{key}") for key, order in sweep.orders.items()
        }
        return OrderSweep({**sweep.orders, **twins}, sweep.pages, sweep.pages_sha256)


def test_two_orders_with_one_client_order_id_engage_the_kill_switch(
    member: SandboxMember, sqlite_journal: sa.Engine
) -> None:
    journal = ready_journal(sqlite_journal)
    trader = live_trader(member, journal)
    intent = unknown(trader, proposed(markets(member, 1)[0]), "drop_after_apply")
    report = reconciler(member, journal, account=Twins).reconcile(own_session=trader.session.session_id)
    assert DifferenceKind.ORDER_DIVERGED in [each.kind for each in report.differences]
    assert states(journal, [intent]) == [OrderState.UNKNOWN]
    with journal.reading() as reading:
        kill = reading.halts.kill_state()
    assert (kill.engaged, kill.by_whom) == (True, "reconciler")
    assert report.alerts


class NeverAsked:
    """An order transport that fails the test if an order group is fenced."""

    def trigger_order_group(self, order_group_id: OrderId, exchange_index: int) -> OrderAnswer:
        raise AssertionError(f"{order_group_id} on {exchange_index} was fenced")


def test_order_that_a_live_session_is_sending_is_left_alone(member: SandboxMember, sqlite_journal: sa.Engine) -> None:
    journal = ready_journal(sqlite_journal)
    trader = live_trader(member, journal, at(Checkpoint.SENDING_COMMITTED, end_process))
    with pytest.raises(ProcessEnded):
        trader.executor.decide(proposed(markets(member, 1)[0]))
    report = reconciler(member, journal, transport=NeverAsked()).reconcile()
    assert report.clean, str(report)
    assert [intent.state for intent in open_now(journal)] == [OrderState.SENDING]
