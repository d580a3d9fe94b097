"""The journal refuses proposals that choose their number or time, and a proposer that fills the inbox."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.inbox.proposals import InboxFull, propose
from kalshi_pipelines.execution.journal.engine import explain_failures, open_journal
from kalshi_pipelines.execution.journal.errors import JournalRefused
from kalshi_pipelines.execution.journal.guards.names import INBOX_MOST_IN_DAY, INBOX_MOST_IN_SHORT
from kalshi_pipelines.execution.journal.migrations import upgrade_journal
from kalshi_pipelines.execution.journal.tables import proposals
from kalshi_pipelines.execution.orders.columns import to_columns
from kalshi_pipelines.execution.orders.proposals import ActorKind, ProposedOrder
from kalshi_pipelines.units import HOUR_US, MINUTE_US, now_us
from kalshi_pipelines_tests.support.execution.good_order import ORDER
from kalshi_pipelines_tests.support.execution.older_journal import fill_older_journal
from kalshi_pipelines_tests.support.execution.tampering import tamper


def order(kind: ActorKind = ActorKind.AGENT, name: str = "reader") -> ProposedOrder:
    return replace(ORDER, actor=kind, actor_name=name)


def insert(engine: sa.Engine, **changes: Any) -> sa.RowMapping:
    """Insert a copy of the newest proposal with changed columns, as a program that does not use ours can."""
    with explain_failures(engine), engine.execution_options(kalshi_writes=True).begin() as connection:
        newest = sa.select(proposals).order_by(proposals.c.proposal_id.desc()).limit(1)
        row = dict(connection.execute(newest).mappings().one())
        del row["proposal_id"]
        return connection.execute(sa.insert(proposals).values({**row, **changes}).returning(proposals)).mappings().one()


@pytest.mark.parametrize("number", [2**63 - 1, 7, 0, -5])
def test_F70_number_that_a_proposer_chose_is_refused(journal_engine: sa.Engine, number: int) -> None:
    (first,) = propose(journal_engine, [order()], "a test")
    with pytest.raises(JournalRefused) as refused:
        insert(journal_engine, proposal_id=number)
    assert refused.value.rule == "inbox_guard:number"
    assert propose(journal_engine, [order()], "a test") == (first + 1,)


@pytest.mark.parametrize("shift", [-HOUR_US, 6 * MINUTE_US])
def test_F70_time_far_from_the_clock_is_refused_or_replaced(journal_engine: sa.Engine, shift: int) -> None:
    propose(journal_engine, [order()], "a test")
    if journal_engine.dialect.name == "sqlite":
        with pytest.raises(JournalRefused) as refused:
            insert(journal_engine, proposed_us=now_us() + shift)
        assert refused.value.rule == "inbox_guard:clock"
    else:
        assert abs(insert(journal_engine, proposed_us=now_us() + shift)["proposed_us"] - now_us()) < MINUTE_US


def test_F70_login_that_a_proposer_names_is_refused_or_replaced(journal_engine: sa.Engine) -> None:
    propose(journal_engine, [order()], "a test")
    if journal_engine.dialect.name == "sqlite":
        with pytest.raises(JournalRefused) as refused:
            insert(journal_engine, login="ann")
        assert refused.value.rule == "inbox_guard:login"
    else:
        assert insert(journal_engine, login="ann")["login"] == ""


@pytest.mark.parametrize("kind", [ActorKind.AGENT, ActorKind.STRATEGY])
def test_F70_full_inbox_refuses_one_proposer_and_no_other(journal_engine: sa.Engine, kind: ActorKind) -> None:
    for _ in range(2):
        propose(journal_engine, [order(kind)] * (INBOX_MOST_IN_SHORT // 2 - 1), "a test")
    with pytest.raises(InboxFull, match="it stored 1,000 in the last 10 minutes"):
        propose(journal_engine, [order(kind)] * 3, "a test")
    propose(journal_engine, [order(kind)] * 2, "a test")
    with pytest.raises(InboxFull, match="Let a session decide"):
        propose(journal_engine, [order(kind)], "a test")
    propose(journal_engine, [order(kind, "another"), order(ActorKind.PERSON, "reader")], "a test")


def test_person_may_store_more_in_ten_minutes_and_no_more_in_a_day(journal_engine: sa.Engine) -> None:
    person = order(ActorKind.PERSON, "ann")
    propose(journal_engine, [person] * (INBOX_MOST_IN_SHORT + 1), "a test")
    backdate(journal_engine, INBOX_MOST_IN_DAY - INBOX_MOST_IN_SHORT - 2)
    propose(journal_engine, [person], "a test")
    with pytest.raises(InboxFull, match="it stored 10,000 in the last 24 hours"):
        propose(journal_engine, [person], "a test")


def backdate(engine: sa.Engine, number: int) -> None:
    """Store copies of the first proposal that are an hour old."""
    columns = [column.name for column in proposals.columns if column.name not in {"proposal_id", "proposed_us"}]
    named = ", ".join(f'"{name}"' for name in columns)
    tamper(
        engine,
        f"INSERT INTO proposals (proposal_id, proposed_us, {named}) "
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {number}) "
        f"SELECT -i, proposed_us - {HOUR_US}, {named} FROM n, proposals WHERE proposal_id = 1",
    )


def test_upgraded_journal_continues_the_numbers_of_proposals(empty_database_url: str) -> None:
    engine = open_journal(empty_database_url)
    fill_older_journal(engine)
    row = {**to_columns(order()), "proposed_us": 1, "source": "before"}
    del row["open_short"]
    older = sa.table("proposals", *map(sa.column, ("proposal_id", *row)))
    with engine.execution_options(kalshi_writes=True).begin() as connection:
        before = connection.execute(sa.select(sa.func.max(older.c.proposal_id))).scalar() or 0
        connection.execute(older.insert(), [{**row, "proposal_id": before + 1}, {**row, "proposal_id": before + 2}])
    upgrade_journal(engine)
    assert propose(engine, [order()] * 2, "a test") == (before + 3, before + 4)
    engine.dispose()
