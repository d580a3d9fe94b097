"""Tests of the journal's read methods: each method returns the right rows, such as an account's newest orders."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.inbox.proposals import ProposalTexts, propose, read_proposal
from kalshi_pipelines.execution.journal.errors import AlreadyPlanned, IdempotencyConflict, JournalOutdated
from kalshi_pipelines.execution.journal.records import Binding, HeldLease, KillState, Mode, ReconciliationRecord
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.proposals import ActorKind, Proposer
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Contracts
from kalshi_pipelines_tests.support.execution.order_steps import (
    ACCOUNT,
    EVENT,
    GROUP,
    HOST,
    HOUR,
    NOON,
    SECOND,
    OrderSteps,
    new_session,
    next_session,
    open_session,
    order_steps,
)
from kalshi_pipelines_tests.support.execution.tampering import tamper

#: A group that belongs to another session.
OTHER = "9b2f2c4e-0000-4000-8000-000000000007"
OTHERS = (Account("sandbox", 1), Account("demo", 0))


def record_reconciliation(steps: OrderSteps, number: int, *, clean: bool, subaccount: int = 0) -> int:
    steps.clock.now_us += SECOND
    with steps.journal.writing() as transaction:
        return transaction.reconciliations.record(
            Account("sandbox", subaccount),
            steps.clock() - 2,
            steps.clock() - 1,
            differences=number,
            clean=clean,
            report="r",
        )


def test_approval_counts_from_another_person_for_this_request_until_it_expires(steps: OrderSteps) -> None:
    intent, other = steps.plan(), steps.plan(actor_name="bob")
    with steps.journal.writing() as transaction:
        transaction.orders.approve(intent.request_sha256, "ada", NOON + HOUR)
        assert not transaction.reading.orders.is_approved(intent, NOON), "ada proposed the order"
        transaction.orders.approve(intent.request_sha256, "grace", NOON + HOUR, {"note": "seen"})
        assert '"note":"seen"' in transaction.reading.audit_log.newest(1)[0].body
        assert transaction.reading.orders.is_approved(intent, NOON)
        assert transaction.reading.orders.is_approved(intent, NOON + HOUR - 1)
        assert not transaction.reading.orders.is_approved(intent, NOON - 1)
        assert not transaction.reading.orders.is_approved(intent, NOON + HOUR)
        assert not transaction.reading.orders.is_approved(other, NOON)


def test_newest_reconciliation_is_read_for_its_own_sub_account(steps: OrderSteps) -> None:
    with steps.journal.reading() as reading:
        assert reading.reconciliations.newest(ACCOUNT) is None
        assert reading.reconciliations.newest_clean(ACCOUNT) is None
        assert not reading.reconciliations.has_any_since_first_session(ACCOUNT)
    record_reconciliation(steps, 0, clean=True)
    clean = record_reconciliation(steps, 0, clean=True)
    at_us = steps.clock()
    dirty = record_reconciliation(steps, 3, clean=False)
    record_reconciliation(steps, 0, clean=True, subaccount=1)
    with steps.journal.reading() as reading:
        assert reading.reconciliations.newest(ACCOUNT) == ReconciliationRecord(
            dirty, at_us + SECOND - 2, at_us + SECOND - 1, at_us + SECOND, False, 3
        )
        assert reading.reconciliations.newest_clean(ACCOUNT) == ReconciliationRecord(
            clean, at_us - 2, at_us - 1, at_us, True, 0
        )
        assert reading.reconciliations.newest(Account("demo", 0)) is None
        assert reading.reconciliations.newest_clean(Account("demo", 0)) is None
        assert reading.reconciliations.has_any_since_first_session(ACCOUNT)
        assert not reading.reconciliations.has_any_since_first_session(Account("sandbox", 1)), (
            "no live session of the account was ever opened"
        )


def test_newest_reconciliation_is_the_last_recorded_even_with_older_times(steps: OrderSteps) -> None:
    steps.clock.now_us += 365 * 24 * HOUR
    record_reconciliation(steps, 0, clean=True)
    steps.clock.now_us -= 365 * 24 * HOUR
    newest = record_reconciliation(steps, 0, clean=True)
    with steps.journal.reading() as reading:
        for last in (reading.reconciliations.newest(ACCOUNT), reading.reconciliations.newest_clean(ACCOUNT)):
            assert last is not None
            assert last.reconciliation_id == newest


def test_live_sub_accounts_are_those_with_a_live_session(steps: OrderSteps) -> None:
    with steps.journal.writing() as transaction:
        open_session(transaction, new_session("session-dry1", mode=Mode.DRY_RUN, account=Account("sandbox", 2)))
        open_session(
            transaction,
            new_session(
                "session-0007",
                account=Account("sandbox", 7),
                binding=Binding(Account("sandbox", 7), HOST, "another key"),
            ),
            OTHER,
        )
        assert transaction.reading.sessions.live_subaccounts("sandbox") == [0, 7]
        assert transaction.reading.sessions.live_subaccounts("demo") == []


def test_reconciliation_before_the_first_session_does_not_count(steps: OrderSteps) -> None:
    with steps.journal.writing() as transaction:
        transaction.reconciliations.record(ACCOUNT, NOON - 1, NOON, differences=0, clean=True, report="r")
        assert not transaction.reading.reconciliations.has_any_since_first_session(ACCOUNT)
        transaction.reconciliations.record(ACCOUNT, NOON, NOON, differences=0, clean=True, report="r")
        assert transaction.reading.reconciliations.has_any_since_first_session(ACCOUNT)


def test_session_is_found_by_its_lease_and_its_groups(steps: OrderSteps) -> None:
    with steps.journal.reading() as reading:
        assert reading.sessions.lease(ACCOUNT) == HeldLease("session-0001", NOON + HOUR)
        assert reading.sessions.live_session(ACCOUNT) == "session-0001"
        assert reading.sessions.first_live_session_us(ACCOUNT) == NOON
        assert reading.sessions.groups("session-0001") == {0: GROUP}
        assert reading.sessions.groups("session-0002") == {}
        assert reading.evidence.unfenced_groups(ACCOUNT, NOON + HOUR) == [(GROUP, 0)]
        assert reading.evidence.unfenced_groups(ACCOUNT, NOON + HOUR + 1) == []
        for other in OTHERS:
            assert reading.sessions.lease(other) is None
            assert reading.sessions.live_session(other) is None
            assert reading.sessions.first_live_session_us(other) is None
            assert reading.evidence.unfenced_groups(other, NOON) == []
        assert reading.evidence.fence_of(GROUP) is None
    with steps.journal.writing() as transaction:
        fence = transaction.evidence.record_fence(GROUP, NOON + 5)
        assert transaction.reading.evidence.fence_of(GROUP) == (fence, NOON + 5)
        assert transaction.reading.evidence.unfenced_groups(ACCOUNT, NOON) == []
    steps.clock.now_us += HOUR
    next_session(steps, 2)
    with steps.journal.reading() as reading:
        assert reading.sessions.first_live_session_us(ACCOUNT) == NOON


def test_lease_is_renewed_until_it_expires_or_the_session_ends(steps: OrderSteps) -> None:
    steps.clock.now_us += HOUR - 1
    with steps.journal.writing() as transaction:
        assert transaction.sessions.renew_lease("session-0001", steps.clock() + SECOND)
        assert not transaction.sessions.renew_lease("session-0002", steps.clock() + SECOND)
    steps.clock.now_us += SECOND
    with steps.journal.writing() as transaction:
        assert not transaction.sessions.renew_lease("session-0001", steps.clock() + SECOND)


def test_session_ends_only_once(steps: OrderSteps) -> None:
    with steps.journal.writing() as transaction:
        assert transaction.sessions.end("session-0001", "over", {"by": "ann"})
        assert '"by":"ann"' in transaction.reading.audit_log.newest(1)[0].body
        assert not transaction.sessions.end("session-0001", "again")
        with pytest.raises(LookupError, match="no session session-0009"):
            transaction.sessions.end("session-0009", "over")


def test_only_a_live_session_ends_a_session_with_an_expired_lease(steps: OrderSteps) -> None:
    steps.clock.now_us += HOUR
    with steps.journal.writing() as transaction:
        open_session(transaction, new_session("session-0002", now_us=steps.clock(), mode=Mode.DRY_RUN))
        assert transaction.reading.sessions.live_session(ACCOUNT) == "session-0001"
        open_session(transaction, new_session("session-0003", now_us=steps.clock()), "9b2f2c4e-0000-4000-8000-3")
        assert transaction.reading.sessions.live_session(ACCOUNT) == "session-0003"


def test_journal_without_a_chain_head_is_not_written(sqlite_journal: sa.Engine) -> None:
    steps = order_steps(sqlite_journal)
    tamper(sqlite_journal, "DELETE FROM audit_head")
    with pytest.raises(JournalOutdated, match="never set up"), steps.journal.writing():
        pass


def test_engagements_since_the_last_release_are_read(steps: OrderSteps) -> None:
    with steps.journal.writing() as transaction:
        assert transaction.reading.halts.engagements_since_release() == []
        transaction.halts.engage(1, "file", "ann", "first")
        transaction.halts.engage(2, "operator", "bob", "second")
        first, second = transaction.reading.halts.engagements_since_release()
        assert first == KillState(True, 1, "file", "ann", "first", NOON, 3)
        assert (second.level, second.by_whom, second.seq) == (2, "bob", 4)
        assert transaction.reading.halts.kill_state() == second
        assert transaction.halts.release("grace", "looked") == 5
        assert (transaction.reading.halts.kill_state().engaged, transaction.reading.halts.kill_state().seq) == (
            False,
            5,
        )


def test_order_is_found_by_each_of_its_ids(steps: OrderSteps) -> None:
    sent, reserved = steps.reserve(), steps.reserve(ticker=f"{EVENT}-T2")
    recorded = steps.record_sending(sent)
    sent = steps.reload(sent)
    with steps.journal.writing() as transaction:
        assert transaction.reading.orders.sent(sent.intent_id) == recorded
        with pytest.raises(LookupError, match="the journal has no intent 999"):
            transaction.reading.orders.intent(999)
        with pytest.raises(LookupError, match=f"no record that intent {reserved.intent_id} was to be sent"):
            transaction.reading.orders.sent(reserved.intent_id)
        assert [each.intent_id for each in transaction.reading.orders.open_intents(ACCOUNT)] == [
            sent.intent_id,
            reserved.intent_id,
        ]
        assert transaction.reading.orders.open_intents(ACCOUNT, states={OrderState.UNKNOWN}) == []
        assert transaction.reading.orders.open_intents(ACCOUNT, mode=Mode.DRY_RUN) == []
        for other in OTHERS:
            assert transaction.reading.orders.open_intents(other) == []
        assert transaction.reading.orders.intent_id_of_order("order-0001") is None
        transaction.orders.record_answer(sent, OrderState.RESTING, order_id="order-0001")
        assert transaction.reading.orders.intent_id_of_order("order-0001") == sent.intent_id
        found = transaction.reading.orders.intent_of_client_order_id(Mode.LIVE, sent.client_order_id)
        assert found is not None
        assert found.intent_id == sent.intent_id
        assert transaction.reading.orders.intent_of_client_order_id(Mode.DRY_RUN, sent.client_order_id) is None


def test_signal_planned_before_is_refused_with_its_intent(steps: OrderSteps) -> None:
    new = steps.intent()
    with steps.journal.writing() as transaction:
        first = transaction.orders.plan(new)
        with pytest.raises(AlreadyPlanned, match=f"intent {first.intent_id} is already planned"):
            transaction.orders.plan(new)
        with pytest.raises(IdempotencyConflict, match=f"Intent {first.intent_id} has the same .* other terms"):
            transaction.orders.plan(replace(new, request=replace(new.request, count=Contracts(999))))


def test_proposals_are_pending_until_an_attempt_in_the_mode_or_their_expiry(steps: OrderSteps) -> None:
    texts = ProposalTexts(
        ticker="KXA-1", action="buy", outcome="yes", price="0.56", count="1", strategy="s", signal="one",
        as_of="2026-11-23T12:00:00Z", valid_until="2026-11-23T12:05:00Z",
    )  # fmt: skip
    orders = [read_proposal(replace(texts, signal=signal), Proposer(ActorKind.PERSON, "ann")) for signal in "abc"]
    first, second, third = propose(steps.journal._engine, orders, "a test")
    ends_us = orders[0].valid_until.timestamp() * 1e6

    def pending(mode: Mode = Mode.LIVE, after_us: int = int(ends_us), limit: int = 100) -> list[int]:
        with steps.journal.reading() as reading:
            return [row["proposal_id"] for row in reading.inbox.pending(ACCOUNT, mode, after_us, after_us, limit)]

    assert pending() == [first, second, third]
    assert pending(limit=2) == [first, second]
    assert pending(after_us=int(ends_us) + 1) == []
    with steps.journal.writing() as transaction:
        transaction.orders.record_attempt("session-0001", proposal_id=second)
    assert pending() == [first, third]
    assert pending(Mode.DRY_RUN) == [first, second, third]
