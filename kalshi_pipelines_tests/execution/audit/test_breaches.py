"""Tests that the audit derives which scopes are breached from the records of breaches and reviews."""

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.journal.records import Fill
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT, NOON, OrderSteps, order_steps
from kalshi_pipelines_tests.support.execution.tampering import tamper

NO_RECORD = "scope account account is marked as breached, but no record since its last review says so"


@pytest.fixture
def steps(sqlite_journal: sa.Engine) -> OrderSteps:
    """A journal whose account was breached by a fill of another program, and then reviewed by a person."""
    made = order_steps(sqlite_journal)
    breach(made, "f-1")
    review(made)
    assert verify(sqlite_journal).ok
    return made


def breach(steps: OrderSteps, fill_id: str) -> None:
    fill = Fill(fill_id, "foreign-1", "KXOTHER-1", Side.BID, 9_000, 200_000, 0, NOON)
    with steps.journal.writing() as transaction:
        assert transaction.fills.record_foreign(ACCOUNT, fill, "KXOTHER")


def review(steps: OrderSteps) -> None:
    with steps.journal.writing() as transaction:
        assert transaction.ledger.clear_breaches(ACCOUNT, "grace", "known") == 3


def test_second_breach_after_a_review_is_no_fault(steps: OrderSteps, sqlite_journal: sa.Engine) -> None:
    breach(steps, "f-2")
    assert verify(sqlite_journal).ok
    review(steps)
    assert verify(sqlite_journal).ok


@pytest.mark.usefixtures("steps")
def test_scope_marked_again_after_its_review_is_reported(sqlite_journal: sa.Engine) -> None:
    tamper(sqlite_journal, "UPDATE scopes SET breached = 1 WHERE kind = 'account'")
    assert NO_RECORD in verify(sqlite_journal).problems


def test_breach_after_a_review_without_a_mark_is_reported(steps: OrderSteps, sqlite_journal: sa.Engine) -> None:
    breach(steps, "f-2")
    tamper(sqlite_journal, "UPDATE scopes SET breached = 0, worst_cap_microdollars = worst_microdollars")
    (problem, *_) = [each for each in verify(sqlite_journal).problems if "says that scope account account" in each]
    assert problem.endswith("is breached, but the scope is not marked and was not reviewed since")


@pytest.mark.usefixtures("steps")
def test_review_that_changes_amounts_is_reported(sqlite_journal: sa.Engine) -> None:
    tamper(sqlite_journal, "UPDATE postings SET d_spent_microdollars = 1 WHERE dedupe LIKE 'review:account:%'")
    assert any(each.endswith("is a review, but changes amounts") for each in verify(sqlite_journal).problems)
