"""Tests of each guard of the executor: an order passes at the guard's limit, and is denied one step beyond it."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.executor import session as sessions
from kalshi_pipelines.execution.executor.decisions import Decision, DecisionOutcome
from kalshi_pipelines.execution.executor.dispatch import (
    GROUP_CONTRACTS,
    GUARD_DENIALS,
    MOST_REFUSALS_IN_A_ROW,
    GroupNotMade,
    denied_by_guard,
)
from kalshi_pipelines.execution.executor.executor import TradeExecutor
from kalshi_pipelines.execution.executor.planning import ExecutorInputs
from kalshi_pipelines.execution.gates.market_snapshot import UnreadableMarket
from kalshi_pipelines.execution.inbox.proposals import propose
from kalshi_pipelines.execution.journal.errors import JournalRefused, JournalUnavailable
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Mode
from kalshi_pipelines.execution.journal.tables import attempts, order_events, session_groups
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.answers import OrderAnswer, SendFailure
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import (
    Action,
    Contracts,
    Leg,
    MarketTicker,
    Outcome,
    TimeInForce,
    YesPrice,
)
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.units import MINUTE_US, SECOND_US, instant
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable
from kalshi_pipelines_tests.support.execution.exchange_answers import refusal
from kalshi_pipelines_tests.support.execution.instants import MINUTE, NOW, NOW_US
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT
from kalshi_pipelines_tests.support.execution.scripted_exchange import (
    ScriptedExchange,
    ScriptedSession,
    accepted,
    refused,
    scripted_session,
)


def _lost(_: object) -> OrderAnswer:
    return OrderAnswer(None, failure=SendFailure.LOST, detail="gone")


def test_order_is_planned_reserved_sent_and_recorded_with_all_its_terms(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal)
    order = made.order(
        time_in_force=TimeInForce.GOOD_TILL_CANCELED, expires=NOW + 10 * MINUTE, post_only=True, count=Contracts(300)
    )
    made.exchange.answer = accepted("1.00", "2.00")
    decision = made.executor.decide(order)
    assert (decision.outcome, decision.reason, decision.detail) == (
        DecisionOutcome.PLACED,
        None,
        "201, 1.00 contracts filled, 2.00 contracts remaining",
    )
    assert decision.order is order
    assert {check.ok for check in decision.checks} == {True}
    assert {"fee_unknown", "insufficient_balance", "self_cross", "unresolved_order", "reconciliation_not_clean"} <= {
        check.code for check in decision.checks
    }
    [sent] = made.exchange.orders
    intent = decision.intent
    assert intent is not None
    assert sent == {
        "cancel_order_on_pause": True,
        "client_order_id": intent.client_order_id,
        "count": "3.00",
        "exchange_index": 2,
        "expiration_time": (NOW_US + 10 * MINUTE_US) // SECOND_US,
        "order_group_id": intent.order_group_id,
        "post_only": True,
        "price": "0.5200",
        "self_trade_prevention_type": "taker_at_cross",
        "side": "bid",
        "subaccount": 0,
        "ticker": "KXA-26-B",
        "time_in_force": "good_till_canceled",
    }
    assert (intent.state, intent.reported_filled_centicontracts) == (OrderState.RESTING, 100)
    assert intent.order_id is not None
    assert made.asked == ["KXA-26-B", 2]
    assert made.exchange.groups == [(2, GROUP_CONTRACTS)]
    facts = made.facts()
    recorded = [facts.get(name) for name in ("detail", "status", "failure", "exchange_ms", "remaining_centicontracts")]
    assert recorded == [decision.detail, 201, None, 1, 200]
    assert made.passed == [
        Checkpoint.INPUTS_READ,
        Checkpoint.ADMITTED,
        Checkpoint.SENDING_COMMITTED,
        Checkpoint.ANSWERED,
        Checkpoint.ANSWER_COMMITTED,
    ]
    with made.journal.reading() as reading:
        [sending] = [each for each in reading.audit_log.newest(9) if each.kind == "send"]
    assert {each["code"] for each in json.loads(sending.body)["checks"]} == {each.code for each in decision.checks}


def test_proposal_denied_early_counts_as_an_attempt_and_reads_no_market(
    sqlite_journal: sa.Engine,
) -> None:
    made = scripted_session(sqlite_journal, attempts_per_minute=3)
    late = made.decide(as_of=NOW - 2 * MINUTE, valid_until=NOW - MINUTE)
    assert (late.outcome, late.reason, late.intent) == (DecisionOutcome.DENIED, DenialReason.PROPOSAL_EXPIRED, None)
    assert (made.facts()["ticker"], made.facts()["detail"]) == ("KXA-26-B", late.detail)
    made.killed = "the operator says so"
    killed = made.decide()
    assert (killed.reason, killed.detail) == (DenialReason.KILL_SWITCH_ENGAGED, "the operator says so")
    assert made.asked == []
    made.killed = None
    assert made.decide().outcome is DecisionOutcome.PLACED
    assert made.decide().reason is DenialReason.CAP_MESSAGE_RATE


@pytest.mark.parametrize(
    "failure",
    [KalshiError("down", "Wait."), UnreadableMarket("no grid"), WarehouseUnavailable("locked"), GroupNotMade("no")],
)
def test_F20_unreadable_market_denies_the_order(sqlite_journal: sa.Engine, failure: Exception) -> None:
    made = scripted_session(sqlite_journal)
    made.unreadable = failure
    decision = made.decide()
    assert (decision.outcome, decision.reason, decision.detail) == (
        DecisionOutcome.DENIED,
        DenialReason.CHECK_FAILED,
        str(failure),
    )


@pytest.mark.parametrize(
    "answer",
    [
        OrderAnswer(None, failure=SendFailure.LOST),
        OrderAnswer(500, b"{}"),
        OrderAnswer(202, b'{"order_group_id":"9b2f2c4e-0000-4000-8000-000000000001"}'),
        OrderAnswer(201, b"{}"),
        OrderAnswer(201, b"no json"),
        OrderAnswer(201, b"[]"),
        OrderAnswer(201, b'{"order_group_id":"../orders"}'),
        OrderAnswer(201, b'{"order_group_id":7}'),
    ],
)
def test_order_group_that_is_not_confirmed_sends_no_order(sqlite_journal: sa.Engine, answer: OrderAnswer) -> None:
    made = scripted_session(sqlite_journal, ScriptedExchange(of_group=answer))
    denied = made.decide()
    assert denied.reason is DenialReason.CHECK_FAILED
    assert "The order group was not created" in denied.detail or "names no order group" in denied.detail
    assert made.exchange.orders == []
    made.exchange.of_group = OrderAnswer(200, b'{"order_group_id":"9b2f2c4e-0000-4000-8000-000000000001"}')
    assert [made.decide().outcome, made.decide().outcome] == [DecisionOutcome.PLACED] * 2
    assert {order["order_group_id"] for order in made.exchange.orders} == {"9b2f2c4e-0000-4000-8000-000000000001"}
    assert len(made.exchange.groups) == 2
    with made.journal.reading() as reading:
        assert list(reading.sessions.groups(made.session.session_id)) == [2]
    with sqlite_journal.connect() as connection:
        limits = connection.scalars(sa.select(session_groups.c.contracts_limit_centicontracts)).all()
    assert limits == [100 * GROUP_CONTRACTS]


def test_balance_must_cover_premium_and_fees_of_the_order(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal)
    sale = Leg(Action.SELL, Outcome.YES, YesPrice(5_200))
    for premium, changes in ((520_000, {}), (480_000, {"leg": sale, "open_short": True})):
        bought = made.decide(**changes).intent
        assert bought is not None
        assert bought.notional_microdollars == premium
        cost = premium + bought.fee_bound_microdollars
        for available, reason in [(cost, None), (cost - 1, DenialReason.INSUFFICIENT_BALANCE)]:
            made.available = available
            assert made.decide(**changes).reason is reason
        made.available = 10**9
    made.available = None
    denied = made.decide()
    assert (denied.outcome, denied.reason) == (DecisionOutcome.DENIED, DenialReason.INSUFFICIENT_BALANCE)
    assert denied.intent is not None
    assert denied.intent.state is OrderState.DENIED


def test_executor_refuses_a_dispatch_of_another_mode_or_a_missing_balance(
    sqlite_journal: sa.Engine,
) -> None:
    made = scripted_session(sqlite_journal)
    reads = ExecutorInputs(lambda _: made.market, lambda: None)
    with pytest.raises(ValueError, match="balance"):
        TradeExecutor(made.session, made.journal, made.settings, reads, made.dispatch)
    dry = replace(made.session, mode=Mode.DRY_RUN)
    with pytest.raises(ValueError, match="cannot dispatch live"):
        TradeExecutor(dry, made.journal, made.settings, replace(reads, balance=lambda _: 1), made.dispatch)


def test_F15_repeated_signal_is_known_and_with_other_terms_a_conflict(
    sqlite_journal: sa.Engine,
) -> None:
    made = scripted_session(sqlite_journal)
    order = made.order()
    first = made.executor.decide(order)
    again = made.executor.decide(order)
    assert (again.outcome, again.reason, again.intent) == (DecisionOutcome.KNOWN, None, first.intent)
    assert again.detail == f"intent {first.intent and first.intent.intent_id} of this signal is already executed"
    other = made.executor.decide(replace(order, count=Contracts(200)))
    assert (other.outcome, other.reason, other.intent) == (
        DecisionOutcome.DENIED,
        DenialReason.IDEMPOTENCY_CONFLICT,
        None,
    )
    assert (made.facts()["ticker"], made.facts()["detail"]) == ("KXA-26-B", other.detail)
    assert (again.order, other.order.count) == (order, Contracts(200))
    assert len(made.exchange.orders) == 1
    denied = made.order(leg=Leg(Action.BUY, Outcome.YES, YesPrice(9_900)))
    made.executor.decide(denied)
    assert made.executor.decide(denied).reason is DenialReason.PRICE_OUTSIDE_BAND


def test_session_whose_time_is_over_admits_nothing(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal, session_minutes=1, reconciled_minutes=60, book_seconds=60)
    made.once(Checkpoint.INPUTS_READ, lambda: setattr(made.clock, "now_us", made.session.expires_us))
    over = made.decide(valid_until=NOW + 5 * MINUTE)
    assert (over.outcome, over.reason) == (DecisionOutcome.DENIED, DenialReason.SESSION_CLOSED)
    assert Checkpoint.ADMITTED not in made.passed


LAST_LOOKS: list[tuple[Callable[[Any], None], DenialReason]] = [
    (lambda made: setattr(made, "killed", "stop"), DenialReason.KILL_SWITCH_ENGAGED),
    (lambda made: setattr(made.clock, "now_us", NOW_US + MINUTE_US + 1), DenialReason.PROPOSAL_EXPIRED),
    (lambda made: setattr(made.clock, "now_us", NOW_US + 10 * SECOND_US + 1), DenialReason.MARKET_DATA_STALE),
    (lambda made: _reconciled(made.journal, clean=False), DenialReason.RECONCILIATION_NOT_CLEAN),
    (lambda made: setattr(made.exchange, "has_tokens", False), DenialReason.RATE_BUDGET_SPENT),
    (lambda made: made.engage_kill(), DenialReason.KILL_SWITCH_ENGAGED),
    (lambda made: sessions.close(made.journal, made.session, "over"), DenialReason.SESSION_CLOSED),
]


@pytest.mark.parametrize(("change", "reason"), LAST_LOOKS)
def test_F17_F41_order_is_abandoned_if_a_check_fails_after_its_admission(
    sqlite_journal: sa.Engine, change: Callable[[Any], None], reason: DenialReason
) -> None:
    made = scripted_session(sqlite_journal)
    made.once(Checkpoint.ADMITTED, lambda: change(made))
    decision = made.decide()
    assert (decision.outcome, decision.reason) == (DecisionOutcome.DENIED, reason)
    assert decision.detail
    assert decision.intent is not None
    assert decision.intent.state is OrderState.ABANDONED
    assert made.exchange.orders == []
    assert (made.facts()["reason"], made.facts()["detail"]) == (reason.code, decision.detail)
    assert made.facts()["checks"]
    with made.journal.reading() as reading:
        assert reading.orders.open_intents(ACCOUNT) == []


def test_F14_lost_lease_sends_nothing_and_a_renewed_one_sends(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal, book_seconds=60)
    far = {"valid_until": NOW + 9 * MINUTE}
    kept, lost = made.approve(made.wait(**far)), made.approve(made.wait(**far))
    made.clock.now_us += 59 * SECOND_US
    assert made.executor.decide_again(kept).outcome is DecisionOutcome.PLACED
    made.clock.now_us += MINUTE_US
    decision = made.executor.decide_again(lost)
    assert (decision.outcome, decision.reason) == (DecisionOutcome.DENIED, DenialReason.SESSION_CLOSED)
    assert decision.detail == "the session's lease was lost"
    assert len(made.exchange.orders) == 1
    assert not sessions.renew_lease(made.journal, made.session)


def _reconciled(journal: Journal, subaccount: int = 0, *, clean: bool = True) -> None:
    with journal.writing() as transaction:
        now = transaction.now_us
        transaction.reconciliations.record(
            Account("sandbox", subaccount), now, now, differences=0, clean=clean, report="the test says so"
        )


@pytest.mark.parametrize(
    ("age_us", "passes"), [(0, True), (15 * MINUTE_US, True), (15 * MINUTE_US + 1, False), (-1, False)]
)
def test_F54_clean_reconciliation_counts_for_fifteen_minutes(
    sqlite_journal: sa.Engine, age_us: int, passes: bool
) -> None:
    made = scripted_session(sqlite_journal)
    sessions.close(made.journal, made.session, "over")
    made.clock.now_us += 30 * MINUTE_US
    _reconciled(made.journal)
    made.clock.now_us += age_us
    made.__post_init__()
    assert (made.decide().outcome is DecisionOutcome.PLACED) is passes


def test_live_session_without_a_reconciliation_sends_nothing(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal, subaccount=1)
    assert made.decide().reason is DenialReason.RECONCILIATION_NOT_CLEAN
    dry = scripted_session(sqlite_journal, live=False, subaccount=1)
    decision = dry.decide()
    assert (decision.outcome, decision.reason) == (DecisionOutcome.SIMULATED, None)
    assert "reconciliation_not_clean" not in {check.code for check in decision.checks}


def test_F39_approval_is_required_of_agents_and_above_the_limit(sqlite_journal: sa.Engine) -> None:
    bought = scripted_session(sqlite_journal).decide().intent
    assert bought is not None
    cost = bought.notional_microdollars + bought.fee_bound_microdollars
    keys = [ScriptedExchange(key_fingerprint=f"SHA256:{number:016x}") for number in range(2)]
    at = scripted_session(sqlite_journal, keys[0], approval_dollars=f"{cost / 10**6:.6f}", subaccount=2)
    _reconciled(at.journal, 2)
    assert at.decide().outcome is DecisionOutcome.PLACED
    asked = at.decide(actor=ActorKind.AGENT)
    assert (asked.outcome, asked.reason) == (DecisionOutcome.AWAITS_APPROVAL, DenialReason.APPROVAL_REQUIRED)
    assert asked.intent is not None
    assert asked.detail == f"approve intent {asked.intent.intent_id}: {asked.intent.request_json}"
    below = scripted_session(sqlite_journal, keys[1], approval_dollars=f"{(cost - 1) / 10**6:.6f}", subaccount=3)
    _reconciled(below.journal, 3)
    waiting = below.decide().waiting
    assert waiting is not None
    assert not below.executor.is_due(waiting)
    now = below.clock()
    with below.journal.writing() as transaction:
        transaction.orders.approve(waiting.intent.request_sha256, "bob", now + 1)
    assert below.executor.is_due(waiting)
    below.clock.now_us += 1
    assert not below.executor.is_due(waiting)
    assert below.executor.decide_again(waiting).outcome is DecisionOutcome.AWAITS_APPROVAL
    with below.journal.writing() as transaction:
        transaction.orders.approve(waiting.intent.request_sha256, "bob", now + MINUTE_US)
    assert below.executor.is_due(waiting)
    assert below.executor.decide_again(waiting).outcome is DecisionOutcome.PLACED
    dry = scripted_session(sqlite_journal, live=False, approval_dollars=0)
    assert dry.decide(actor=ActorKind.AGENT).outcome is DecisionOutcome.SIMULATED


def test_waiting_order_is_due_once_it_is_approved_or_no_longer_valid(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal)
    waiting, other = made.wait(), made.wait()
    made.clock.now_us = waiting.intent.valid_until_us
    assert not made.executor.is_due(waiting)
    made.clock.now_us += 1
    assert made.executor.is_due(waiting)
    made.clock.now_us = NOW_US
    made.approve(waiting)
    assert (made.executor.is_due(waiting), made.executor.is_due(other)) == (True, False)


def test_F06_unknown_order_blocks_its_market_and_no_other(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal, ScriptedExchange(answer=_lost))
    unknown = made.decide()
    assert (unknown.outcome, unknown.intent and unknown.intent.state) == (DecisionOutcome.UNKNOWN, OrderState.UNKNOWN)
    assert unknown.intent is not None
    assert unknown.intent.reported_filled_centicontracts is None
    made.exchange.answer = accepted()
    assert made.decide().reason is DenialReason.UNRESOLVED_ORDER
    assert made.decide(ticker=MarketTicker("KXA-26-C")).outcome is DecisionOutcome.PLACED
    held = made.reserve(ticker=MarketTicker("KXA-26-D"))
    with made.journal.writing() as transaction:
        transaction.orders.record_sending(held, made.session.code_version)
    assert made.decide(ticker=MarketTicker("KXA-26-D")).reason is DenialReason.UNRESOLVED_ORDER
    dry = scripted_session(sqlite_journal, live=False)
    assert dry.decide().outcome is DecisionOutcome.SIMULATED


def test_F33_order_that_crosses_our_own_is_denied_but_not_by_itself(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal)
    sale, meanwhile = Leg(Action.SELL, Outcome.YES, YesPrice(5_200)), list[Decision]()
    made.once(Checkpoint.ADMITTED, lambda: meanwhile.append(made.decide(leg=sale, open_short=True)))
    assert made.decide().outcome is DecisionOutcome.PLACED
    assert [each.reason for each in meanwhile] == [DenialReason.SELF_CROSS]


def test_three_refused_orders_in_a_row_engage_the_kill_switch(
    sqlite_journal: sa.Engine,
) -> None:
    made = scripted_session(sqlite_journal, ScriptedExchange(answer=refused))
    refusal = [made.decide() for _ in range(MOST_REFUSALS_IN_A_ROW - 1)]
    assert [each.outcome for each in refusal] == [DecisionOutcome.REFUSED] * 2
    assert [each.intent and each.intent.reported_filled_centicontracts for each in refusal] == [0, 0]
    made.exchange.answer = accepted()
    assert made.decide().outcome is DecisionOutcome.PLACED
    made.exchange.answer = refused
    for engaged in (False, False, True):
        assert made.decide().outcome is DecisionOutcome.REFUSED
        with made.journal.reading() as reading:
            kill = reading.halts.kill_state()
        assert kill.engaged is engaged
    assert kill.reason.startswith("3 orders in a row were refused or could not be sent, the last: 400 no")
    assert (kill.level, kill.source, kill.by_whom) == (1, "executor", "executor")
    assert made.decide().reason is DenialReason.KILL_SWITCH_ENGAGED


def test_refusals_by_the_market_do_not_engage_the_kill_switch(sqlite_journal: sa.Engine) -> None:
    def crossed(request: dict[str, Any]) -> OrderAnswer:
        body = {"error": {"code": "invalid_order", "message": "invalid order", "details": "post only cross"}}
        assert request["post_only"]
        return OrderAnswer(400, json.dumps(body).encode(), content_type="application/json")

    made = scripted_session(sqlite_journal, ScriptedExchange(answer=crossed))
    ends = instant(made.clock() + 5 * MINUTE_US)
    rests = {"time_in_force": TimeInForce.GOOD_TILL_CANCELED, "expires": ends, "post_only": True}
    for _ in range(MOST_REFUSALS_IN_A_ROW + 1):
        assert made.decide(**rests).outcome is DecisionOutcome.REFUSED
    made.exchange.answer = lambda _: refusal(409, "fill_or_kill_insufficient_resting_volume")
    for _ in range(MOST_REFUSALS_IN_A_ROW + 1):
        missed = made.decide(time_in_force=TimeInForce.FILL_OR_KILL)
        assert missed.outcome is DecisionOutcome.PLACED, missed
        assert missed.intent is not None
        assert (missed.intent.state, missed.intent.reserved_centicontracts) == (OrderState.CANCELED, 0)
    with made.journal.reading() as reading:
        assert not reading.halts.kill_state().engaged
    # Such a refusal does not interrupt a row of refusals that show that something is wrong.
    made.exchange.answer = refused
    made.decide()
    made.decide()
    made.exchange.answer = crossed
    made.decide(**rests)
    made.exchange.answer = refused
    made.decide()
    with made.journal.reading() as reading:
        assert reading.halts.kill_state().engaged


def test_kill_before_the_third_refusal_keeps_its_own_reason(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal, ScriptedExchange(answer=refused))
    made.decide()
    made.decide()
    made.at[Checkpoint.ANSWERED] = made.engage_kill
    assert made.decide().outcome is DecisionOutcome.REFUSED
    with made.journal.reading() as reading:
        assert reading.halts.kill_state().reason == "stop"


def test_order_abandoned_after_its_admission_is_not_sent(sqlite_journal: sa.Engine) -> None:
    for live in (True, False):
        made = scripted_session(sqlite_journal, live=live)
        for killed in (None, "stop"):

            def give_back(made: ScriptedSession = made, killed: str | None = killed) -> None:
                with made.journal.writing() as transaction:
                    transaction.orders.abandon(
                        made.open_intents()[-1], DenialReason.CRASHED_BEFORE_SENDING, "left behind"
                    )
                made.killed = killed

            made.once(Checkpoint.ADMITTED, give_back)
            decision = made.decide()
            made.killed = None
            assert (decision.outcome, decision.intent and decision.intent.state) == (
                DecisionOutcome.DENIED,
                OrderState.ABANDONED,
            )
        assert made.exchange.orders == []


def test_dry_run_obeys_the_journal_s_kill_switch(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal, live=False)
    assert made.dispatch.ensure_group(0) is None
    assert made.decide().outcome is DecisionOutcome.SIMULATED
    assert made.facts()["checks"]
    with sqlite_journal.connect() as connection:
        versions = connection.scalars(sa.select(order_events.c.code_version).where(order_events.c.seq == 3)).all()
    assert versions == [made.session.code_version]
    made.once(Checkpoint.ADMITTED, made.engage_kill)
    decision = made.decide()
    assert (decision.outcome, decision.reason, decision.detail) == (
        DecisionOutcome.DENIED,
        DenialReason.KILL_SWITCH_ENGAGED,
        "stop",
    )
    assert made.facts()["checks"]
    assert made.facts()["detail"] == "stop"


@pytest.mark.parametrize(
    ("late_us", "is_sent"), [(0, True), (5 * SECOND_US, True), (5 * SECOND_US + 1, False), (-1, False)]
)
@pytest.mark.parametrize("slow", ["recording", "connecting"])
def test_order_that_leaves_too_late_is_not_sent(
    sqlite_journal: sa.Engine, late_us: int, is_sent: bool, slow: str
) -> None:
    made = scripted_session(sqlite_journal)
    if slow == "recording":
        made.at[Checkpoint.SENDING_COMMITTED] = lambda: setattr(made.clock, "now_us", NOW_US + late_us)
    else:
        made.exchange.connect = lambda: setattr(made.clock, "now_us", NOW_US + late_us)
    decision = made.decide()
    assert (decision.outcome is DecisionOutcome.PLACED, len(made.exchange.orders)) == (is_sent, int(is_sent))
    if not is_sent:
        assert decision.outcome is DecisionOutcome.REFUSED
        assert made.facts()["failure"] == "not_sent"


def test_F41_kill_between_record_and_request_sends_nothing(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal)
    made.at[Checkpoint.SENDING_COMMITTED] = lambda: setattr(made, "killed", "file: KILL exists")
    decision = made.decide()
    assert made.exchange.orders == []
    assert decision.intent is not None
    assert (decision.outcome, decision.intent.state) == (DecisionOutcome.REFUSED, OrderState.REJECTED)
    assert decision.detail == "not sent: the kill switch was engaged before the request left (file: KILL exists)"
    assert made.facts()["failure"] == "not_sent"


def test_unknown_refusal_of_the_journal_is_a_failed_check(
    sqlite_journal: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = scripted_session(sqlite_journal)
    monkeypatch.delitem(GUARD_DENIALS, "kill")
    made.once(Checkpoint.ADMITTED, made.engage_kill)
    assert made.decide().reason is DenialReason.CHECK_FAILED


@pytest.mark.parametrize("at", [Checkpoint.ANSWERED, None])
def test_F08_order_interrupted_while_sending_is_recorded_as_unknown(
    sqlite_journal: sa.Engine, at: Checkpoint | None
) -> None:
    made = scripted_session(sqlite_journal)

    def interrupted(_: object) -> OrderAnswer:
        raise KeyboardInterrupt

    made.exchange.answer = interrupted
    if at is not None:
        made.exchange.answer = lambda _: OrderAnswer(201, None)  # type: ignore[arg-type]
    with pytest.raises((KeyboardInterrupt, TypeError)):
        made.decide()
    assert [intent.state for intent in made.open_intents()] == [OrderState.UNKNOWN]
    assert made.facts()["failure"] == "lost"
    assert made.facts()["detail"].startswith("interrupted by ")


def test_F08_interruption_without_a_journal_is_raised(
    sqlite_journal: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = scripted_session(sqlite_journal)

    def unavailable(_: object) -> Any:
        raise JournalUnavailable("gone")

    def interrupted(_: object) -> OrderAnswer:
        monkeypatch.setattr(Journal, "writing", unavailable)
        raise KeyboardInterrupt

    made.exchange.answer = interrupted
    with pytest.raises(KeyboardInterrupt):
        made.decide()
    assert [intent.state for intent in made.open_intents()] == [OrderState.SENDING]


def test_late_answer_does_not_overrule_the_reconciliation(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal)

    def meanwhile() -> None:
        (intent,) = made.open_intents()
        with made.journal.writing() as transaction:
            transaction.orders.record_answer(intent, OrderState.UNKNOWN)

    made.at[Checkpoint.ANSWERED] = meanwhile
    decision = made.decide()
    assert decision.intent is not None
    assert (decision.outcome, decision.intent and decision.intent.state) == (
        DecisionOutcome.UNKNOWN,
        OrderState.UNKNOWN,
    )
    facts = made.facts()
    assert (facts["kind"], facts["said"], facts["intent_id"]) == ("answer", "executed", decision.intent.intent_id)


def test_audit_of_a_plan_holds_the_facts_of_the_decision(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal)
    order = made.order()
    made.executor.decide(order)
    with made.journal.reading() as reading:
        [facts] = [json.loads(each.body) for each in reading.audit_log.newest(9) if each.kind == "plan"]
    assert facts["actor"] == {"kind": "strategy", "name": "s"}
    assert facts["leg"] == {"action": "buy", "outcome": "yes", "price": "0.5200", "open_short": False}
    assert facts["market"] == {
        "status": "active",
        "best_bid": 5_000,
        "best_ask": 5_200,
        "fee_type": "quadratic",
        "fee_multiplier": "1",
        "read_us": NOW_US,
    }
    signal = order.signal
    assert facts["signal"] == {
        "strategy": "s",
        "version": "1",
        "partition": "",
        "signal": signal.signal,
        "leg": signal.leg,
        "attempt": signal.attempt,
    }
    assert instant(NOW_US) == order.as_of


def test_decision_is_recorded_with_its_proposal(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal)
    order = made.order()
    [number] = propose(sqlite_journal, [order], source="the test")
    made.killed = "stop"
    turned_away = made.executor.decide(order, number)
    made.killed = None
    placed = made.executor.decide(order, number)
    known = made.executor.decide(order, number)
    conflict = made.executor.decide(replace(order, count=Contracts(200)), number)
    assert [each.order.signal for each in (turned_away, placed, known, conflict)] == [order.signal] * 4
    assert [each.proposal_id for each in (turned_away, placed, known, conflict)] == [number] * 4
    assert placed.intent is not None
    assert placed.intent.proposal_id == number
    with sqlite_journal.connect() as connection:
        rows = connection.execute(sa.select(attempts.c.proposal_id, attempts.c.denial).order_by(attempts.c.attempt_id))
        denials = ["kill_switch_engaged", None, None, "idempotency_conflict"]
        assert rows.all() == [(number, denial) for denial in denials]


def test_decide_again_reads_the_same_market_and_balance(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal)
    waiting = made.approve(made.wait())
    made.asked.clear()
    made.market = replace(made.market, status="closed")
    assert made.executor.decide_again(waiting).reason is DenialReason.MARKET_NOT_ACTIVE
    assert made.asked == ["KXA-26-B", 2]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"exchange_index": 5}, DenialReason.CHECK_FAILED),
        ({"event_ticker": "KXA-27"}, DenialReason.CHECK_FAILED),
        ({"fee_multiplier": Decimal(2)}, DenialReason.CHECK_FAILED),
        ({"fee_type": "quadratic_with_maker_fees"}, DenialReason.CHECK_FAILED),
        ({"fee_type": "flat"}, DenialReason.CHECK_FAILED),
    ],
)
def test_F39_approved_order_with_changed_market_terms_is_denied(
    sqlite_journal: sa.Engine, changes: dict[str, Any], reason: DenialReason | None
) -> None:
    made = scripted_session(sqlite_journal)
    waiting = made.approve(made.wait())
    made.market = replace(made.market, **changes)
    decision = made.executor.decide_again(waiting)
    assert decision.reason is reason
    assert len(made.exchange.orders) == (reason is None)


def test_F39_approved_order_is_checked_against_the_balance_again(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal)
    for short, reason in ((1, DenialReason.INSUFFICIENT_BALANCE), (0, None)):
        made.available = 10**9
        waiting = made.approve(made.wait())
        made.available = waiting.intent.notional_microdollars + waiting.intent.fee_bound_microdollars - short
        assert made.executor.decide_again(waiting).reason is reason


def test_F15_second_attempt_follows_only_one_without_a_fill(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal)
    signal = made.order().signal

    def decided(attempt: int) -> DenialReason | None:
        return made.decide(signal=replace(signal, attempt=attempt)).reason

    assert decided(2) is DenialReason.ATTEMPT_NOT_DUE
    made.exchange.answer = refused
    assert [decided(1), decided(3)] == [None, DenialReason.ATTEMPT_NOT_DUE]
    made.exchange.answer = accepted()
    assert [decided(2), decided(3)] == [None, DenialReason.ATTEMPT_NOT_DUE]
    assert len(made.exchange.orders) == 2


@pytest.mark.parametrize("filled", ["0.00", "0.01", "9.99"])
def test_F15_second_attempt_after_a_partial_fill_is_denied(sqlite_journal: sa.Engine, filled: str) -> None:
    made = scripted_session(sqlite_journal, ScriptedExchange(answer=accepted(filled, "0.00")))
    order = made.order(count=Contracts(1_000))
    assert made.executor.decide(order).intent is not None
    again = made.executor.decide(replace(order, signal=replace(order.signal, attempt=2)))
    assert again.reason is (None if filled == "0.00" else DenialReason.ATTEMPT_NOT_DUE)
    assert len(made.exchange.orders) == (2 if filled == "0.00" else 1)
    assert filled == "0.00" or again.detail == (
        f"canceled, {filled} contracts filled; wanted: attempt 1 that ended without a fill"
    )


def test_F59_attempts_cap_limits_the_creation_of_order_groups(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal, ScriptedExchange(of_group=OrderAnswer(500, b"{}")), attempts_per_minute=5)
    reasons = [made.decide().reason for _ in range(8)]
    assert reasons == [DenialReason.CHECK_FAILED] * 5 + [DenialReason.CAP_MESSAGE_RATE] * 3
    assert (len(made.exchange.groups), len(made.asked)) == (5, 5)
    made.clock.now_us += MINUTE_US
    assert made.decide().reason is DenialReason.CHECK_FAILED


def test_F15_repeated_signal_is_an_attempt_that_ends_its_proposal(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal)
    order = made.order()
    first = made.executor.decide(order).intent
    (number,) = propose(sqlite_journal, [order], "again")
    assert made.executor.decide(order, number).outcome is DecisionOutcome.KNOWN
    with made.journal.reading() as reading:
        assert reading.inbox.pending(ACCOUNT, Mode.LIVE, 0, 0) == []
    with sqlite_journal.connect() as connection:
        found = connection.execute(sa.select(attempts.c.intent_id).where(attempts.c.proposal_id == number)).scalars()
        assert first is not None
        assert found.all() == [first.intent_id]


@pytest.mark.parametrize("live", [True, False])
def test_F33_reservation_of_a_killed_dry_run_is_not_our_own_order(sqlite_journal: sa.Engine, live: bool) -> None:
    made = scripted_session(sqlite_journal, live=live)
    made.reserve()
    sale = Leg(Action.SELL, Outcome.YES, YesPrice(5_200))
    assert made.decide(leg=sale, open_short=True).reason is DenialReason.SELF_CROSS
    sessions.close(made.journal, made.session, "killed")
    again = replace(made)
    assert again.decide(leg=sale, open_short=True).reason is (DenialReason.SELF_CROSS if live else None)


@pytest.mark.parametrize("text", ["1E-30000000", "1E+30000000", "1E-13", "0E-13", "NaN", "-1", "10.1"])
def test_impossible_fee_multiplier_is_denied_and_recorded_in_short(sqlite_journal: sa.Engine, text: str) -> None:
    made = scripted_session(sqlite_journal)
    made.market = replace(made.market, fee_multiplier=Decimal(text))
    assert made.decide().reason is DenialReason.FEE_UNKNOWN
    with made.journal.reading() as reading:
        assert max(len(each.body) for each in reading.audit_log.newest(100)) < 5_000


def test_failed_check_is_the_reason_even_if_a_cap_is_exceeded_too(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal, position_contracts=1)
    assert made.decide(count=Contracts(200)).reason is DenialReason.CAP_POSITION
    far = Leg(Action.BUY, Outcome.YES, YesPrice(9_900))
    assert made.decide(count=Contracts(200), leg=far).reason is DenialReason.PRICE_OUTSIDE_BAND


@pytest.mark.parametrize("rule", GUARD_DENIALS)
def test_refusal_by_a_guard_is_told_in_a_sentence(rule: str) -> None:
    denial = denied_by_guard(JournalRefused(f"send_guard:{rule}", f"send_guard:{rule}"))
    assert denial.reason is GUARD_DENIALS[rule]
    assert denial.detail.endswith(".")
    assert "guard" not in denial.detail
