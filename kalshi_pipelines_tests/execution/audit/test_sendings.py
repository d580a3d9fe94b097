"""What was recorded as sent while the guard of sending was down is found, rule by rule."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import AuditVerdict, verify
from kalshi_pipelines.execution.journal.guards import lower_guards, raise_guards
from kalshi_pipelines.execution.journal.records import Intent
from kalshi_pipelines_tests.support.execution.trading import VERSION, Desk, desk_at
from kalshi_pipelines_tests.support.execution.unsendable import SENDING

TOLD = {
    "kill_released_again is killed_since_opened": "in a session that was halted",
    "session_over is session_expired": "outside the time of its session",
    "session_closed is session_ended": "after its session had ended",
    "too_late is stale": "outside the time it was valid",
    "known_in_the_future is stale": "outside the time it was valid",
    "clock_set_back is clock": "before it was planned",
    "no_group is no_group": "without an order group",
    "group_fenced is fenced": "after its order group was fenced",
    "nobody_approved is approval": "without the approval it needed",
    "approved_by_itself is approval": "without the approval it needed",
    "approval_expired is approval": "without the approval it needed",
    "other_bytes_approved is approval": "without the approval it needed",
}


def sent_unguarded(desk: Desk, intent: Intent, version: str = VERSION) -> None:
    """Record an order as sent as it could be by somebody who took the guards down and put them up again."""
    with desk.journal._writing.begin() as connection:
        lower_guards(connection)
        for statement in ONLY_THE_CHAIN:
            connection.exec_driver_sql(statement)
    desk.sending(intent, version)
    with desk.journal._writing.begin() as connection:
        raise_guards(connection)


#: What the log and the list of open intents need to be right.
ONLY_THE_CHAIN = (
    "CREATE TRIGGER guard_audit_head AFTER INSERT ON audit_log BEGIN "
    "UPDATE audit_head SET seq = NEW.seq, hash = NEW.hash; END",
    "CREATE TRIGGER guard_moved AFTER INSERT ON order_events BEGIN "
    "UPDATE open_intents SET state = NEW.to_state WHERE intent_id = NEW.intent_id; END",
)


@pytest.mark.parametrize("case", TOLD)
def test_what_should_not_have_been_sent_is_told(sqlite_journal: sa.Engine, case: str) -> None:
    desk = desk_at(sqlite_journal)
    make: Callable[[Desk], Intent] = SENDING[case][0]
    intent = make(desk)
    sent_unguarded(desk, intent)
    report = verify(sqlite_journal)
    assert report.verdict is AuditVerdict.CORRUPT
    assert report.problems == (f"intent {intent.intent_id} was sent {TOLD[case]}",)


def test_what_other_code_sent_is_told(sqlite_journal: sa.Engine) -> None:
    desk = desk_at(sqlite_journal)
    intent = desk.reserved()
    sent_unguarded(desk, intent, "1.1")
    assert verify(sqlite_journal).problems == (f"intent {intent.intent_id} was sent by other code than its session's",)


def test_what_might_be_sent_is_clean(sqlite_journal: sa.Engine) -> None:
    desk = desk_at(sqlite_journal)
    sent_unguarded(desk, desk.reserved())
    assert verify(sqlite_journal).ok
