"""Tests that the audit finds orders that broke a rule when they were recorded as sent without the journal's guards."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import AuditVerdict, verify
from kalshi_pipelines.execution.journal.guards import lower_guards, raise_guards
from kalshi_pipelines.execution.journal.records import Intent
from kalshi_pipelines_tests.support.execution.order_steps import HOUR, VERSION, OrderSteps, order_steps
from kalshi_pipelines_tests.support.execution.unsendable import SENDING

REPORTED = {
    "kill_released_again is killed_since_opened": "after the kill switch had stopped its session",
    "session_over is session_expired": "outside the lifetime of its session",
    "session_closed is session_ended": "after its session had ended",
    "too_late is stale": "outside its validity",
    "known_in_the_future is stale": "outside its validity",
    "clock_set_back is clock": "before it was planned",
    "no_group is no_group": "without an order group",
    "group_fenced is fenced": "after its order group was fenced",
    "nobody_approved is approval": "without the approval it needed",
    "approved_by_itself is approval": "without the approval it needed",
    "approval_expired is approval": "without the approval it needed",
    "other_bytes_approved is approval": "without the approval it needed",
}


def sent_unguarded(steps: OrderSteps, intent: Intent, version: str = VERSION) -> None:
    """Remove the journal's guards, record an order as sent, and restore the guards."""
    with steps.journal._writing.begin() as connection:
        lower_guards(connection)
        for statement in ONLY_THE_CHAIN:
            connection.exec_driver_sql(statement)
    steps.record_sending(intent, version)
    with steps.journal._writing.begin() as connection:
        raise_guards(connection)


#: Triggers that still update the audit head and the list of open intents while the other guards are removed.
ONLY_THE_CHAIN = (
    "CREATE TRIGGER guard_audit_head AFTER INSERT ON audit_log BEGIN "
    "UPDATE audit_head SET seq = NEW.seq, hash = NEW.hash; END",
    "CREATE TRIGGER guard_moved AFTER INSERT ON order_events BEGIN "
    "UPDATE open_intents SET state = NEW.to_state WHERE intent_id = NEW.intent_id; END",
)


@pytest.mark.parametrize("case", REPORTED)
def test_order_sent_against_a_rule_is_reported(sqlite_journal: sa.Engine, case: str) -> None:
    steps = order_steps(sqlite_journal)
    make: Callable[[OrderSteps], Intent] = SENDING[case][0]
    intent = make(steps)
    sent_unguarded(steps, intent)
    report = verify(sqlite_journal)
    assert report.verdict is AuditVerdict.CORRUPT
    assert report.problems == (f"intent {intent.intent_id} was sent {REPORTED[case]}",)


def test_order_sent_by_another_code_version_is_reported(sqlite_journal: sa.Engine) -> None:
    steps = order_steps(sqlite_journal)
    intent = steps.reserve()
    sent_unguarded(steps, intent, "1.1")
    assert verify(sqlite_journal).problems == (
        f"intent {intent.intent_id} was sent by another version of the code than its session's",
    )


def test_approval_recorded_after_the_sending_is_reported(sqlite_journal: sa.Engine) -> None:
    steps = order_steps(sqlite_journal)
    intent = steps.reserve(approval_required=True)
    planned_us = steps.clock()
    steps.clock.now_us += 10
    sent_unguarded(steps, intent)
    steps.clock.now_us = planned_us
    with steps.journal.writing() as transaction:
        transaction.orders.approve(intent.request_sha256, "grace", steps.clock() + HOUR)
    assert verify(sqlite_journal).problems == (f"intent {intent.intent_id} was sent without the approval it needed",)


def test_order_sent_within_the_rules_is_clean(sqlite_journal: sa.Engine) -> None:
    steps = order_steps(sqlite_journal)
    sent_unguarded(steps, steps.reserve())
    assert verify(sqlite_journal).ok
