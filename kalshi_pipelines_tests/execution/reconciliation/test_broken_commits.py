"""Databases that fail during a commit: no order is sent twice or lost, whether or not the commit succeeded."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.errors import JournalUnavailable
from kalshi_pipelines.execution.orders.states import FINAL_STATES
from kalshi_pipelines_tests.support.execution.member_reconciler import markets, reconciler
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT
from kalshi_pipelines_tests.support.execution.sandbox_member import SandboxMember, live_trader, proposed, ready_journal

#: Number of commits for one order. The commits store, in turn, the order group, the reservation, the lease, the
#: record of the sending, and the answer.
COMMITS = 5
SENT = 5


@contextmanager
def breaking(engine: sa.Engine, number: int, *, gets_through: bool) -> Iterator[None]:
    """Break the connection at the given commit, before or after the database has carried out the commit."""
    commits = 0

    def commit(connection: sa.Connection) -> None:
        nonlocal commits
        commits += bool(connection.get_execution_options().get("kalshi_writes"))
        if commits == number:
            commits += 1
            driver = connection.connection.driver_connection
            assert driver is not None
            if gets_through:
                driver.commit()
            driver.close()

    sa.event.listen(engine, "commit", commit)
    try:
        yield
    finally:
        sa.event.remove(engine, "commit", commit)


@pytest.mark.parametrize("gets_through", [False, True])
def test_F05_commit_with_an_unknown_result_neither_repeats_nor_loses_orders(
    member: SandboxMember, postgres_journal_url: str, gets_through: bool
) -> None:
    engine = open_journal(postgres_journal_url)
    journal = ready_journal(engine)
    market = markets(member, 1)[0]
    for number in range(1, COMMITS + 1):
        trader = live_trader(member, journal)
        before = len(member.orders_on_exchange())
        order = proposed(market)
        with breaking(engine, number, gets_through=gets_through), pytest.raises(JournalUnavailable):
            trader.executor.decide(order)
        assert len(member.orders_on_exchange()) == before + (number == SENT)
        with journal.writing() as transaction:
            transaction.sessions.end(trader.session.session_id, "its process is dead")
        report = reconciler(member, journal).reconcile()
        assert report.clean, str(report)
        assert len(member.orders_on_exchange()) == before + (number == SENT)
        with journal.reading() as reading:
            assert reading.orders.open_intents(ACCOUNT) == []
            last = reading.audit_log.newest(1)
        assert last[0].kind == "reconciliation"
    with engine.connect() as connection:
        states = connection.scalars(
            sa.text(
                "SELECT to_state FROM order_events e WHERE seq = "
                "(SELECT max(seq) FROM order_events l WHERE l.intent_id = e.intent_id) ORDER BY intent_id"
            )
        ).all()
    assert set(states) <= {state.value for state in FINAL_STATES}
    assert states[-1] == "executed"
    assert verify(engine).ok
    engine.dispose()
