"""Tests that the audit finds orders that were reserved against the rules of their session, or beside its scopes."""

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.journal.records import Mode
from kalshi_pipelines_tests.support.execution.order_steps import (
    OrderSteps,
    new_session,
    next_session,
    open_session,
    order_steps,
)
from kalshi_pipelines_tests.support.execution.tampering import tamper


def problems_after(engine: sa.Engine, statement: str) -> tuple[str, ...]:
    assert verify(engine).ok
    tamper(engine, statement)
    return verify(engine).problems


@pytest.mark.parametrize(
    ("change", "how"),
    [
        ("opened_us = opened_us + 1", "outside the lifetime of its session"),
        ("expires_us = opened_us", "outside the lifetime of its session"),
        ("order_notional_cap_microdollars = 4999999", "above its session's cap on the notional of one order"),
        ("order_worst_cap_microdollars = 5199999", "above its session's cap on the worst loss of one order"),
        ("attempts_per_minute_cap = 0", "above its session's cap on attempts in a minute"),
    ],
)
def test_order_reserved_against_a_rule_is_reported(sqlite_journal: sa.Engine, change: str, how: str) -> None:
    intent = order_steps(sqlite_journal).reserve()
    assert f"intent {intent.intent_id} was reserved {how}" in problems_after(
        sqlite_journal, f"UPDATE sessions SET {change}"
    )


@pytest.mark.parametrize(
    "caps",
    ["order_notional_cap_microdollars = 5000000", "order_worst_cap_microdollars = 5200000"],
)
def test_order_exactly_at_the_cap_of_one_order_is_not_reported(sqlite_journal: sa.Engine, caps: str) -> None:
    order_steps(sqlite_journal).reserve()
    assert not [
        problem
        for problem in problems_after(sqlite_journal, f"UPDATE sessions SET {caps}")
        if "was reserved" in problem
    ]


def test_order_reserved_after_the_end_of_its_session_is_reported(sqlite_journal: sa.Engine) -> None:
    steps = order_steps(sqlite_journal)
    intent = steps.reserve()
    next_session(steps, 2)
    found = problems_after(sqlite_journal, f"UPDATE session_ends SET audit_seq = {intent.intent_id}")
    assert f"intent {intent.intent_id} was reserved after its session had ended" in found


def of_two_sessions(engine: sa.Engine) -> tuple[OrderSteps, int]:
    steps = order_steps(engine)
    number = steps.reserve().intent_id
    next_session(steps, 2)
    return steps, number


def test_reservation_in_the_name_of_another_session_is_reported(sqlite_journal: sa.Engine) -> None:
    _, number = of_two_sessions(sqlite_journal)
    found = problems_after(sqlite_journal, "UPDATE postings SET session_id = 'session-0002' WHERE kind = 'reserve'")
    assert f"reserve:{number} names session_id session-0002, but its order has session-0001" in found


def test_reservation_in_another_market_is_reported(sqlite_journal: sa.Engine) -> None:
    _, number = of_two_sessions(sqlite_journal)
    found = problems_after(sqlite_journal, "UPDATE postings SET ticker = 'KXELSE-1' WHERE kind = 'reserve'")
    assert any(problem.startswith(f"reserve:{number} names ticker KXELSE-1, but its order has") for problem in found)


@pytest.mark.parametrize(
    "change", ["subaccount = 7", "mode = 'dry_run'", "environment = 'demo'", "key = 'KXELSE', hour = NULL"]
)
def test_reservation_in_a_scope_of_another_account_is_reported(sqlite_journal: sa.Engine, change: str) -> None:
    number = order_steps(sqlite_journal).reserve().intent_id
    found = problems_after(sqlite_journal, f"UPDATE scopes SET {change} WHERE kind = 'event'")
    assert any(problem.startswith(f"reserve:{number} is counted in event") for problem in found)


@pytest.mark.parametrize("kind", ["session", "day", "rolling", "event", "account"])
def test_dry_run_in_a_scope_that_is_not_its_own_is_reported(sqlite_journal: sa.Engine, kind: str) -> None:
    steps = order_steps(sqlite_journal)
    with steps.journal.writing() as transaction:
        open_session(transaction, new_session("session-dry0", mode=Mode.DRY_RUN))
    steps.session_id = "session-dry0"
    number = steps.reserve(order_group_id=None).intent_id
    found = problems_after(sqlite_journal, f"UPDATE scopes SET key = 'mine', hour = hour + 1 WHERE kind = '{kind}'")
    assert f"reserve:{number} is counted in {kind} mine, which is not the order's own" in found


def test_events_whose_records_are_out_of_order_are_reported(sqlite_journal: sa.Engine) -> None:
    steps = order_steps(sqlite_journal)
    number = steps.record_sent().intent_id
    found = problems_after(sqlite_journal, "UPDATE order_events SET audit_seq = 1 WHERE to_state = 'sending'")
    assert f"intent {number}: event 3 is of record 1, which is before that of the event before it" in found
