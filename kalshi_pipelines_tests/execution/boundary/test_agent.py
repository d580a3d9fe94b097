"""Tests that a process with an agent's key and login can propose orders, but cannot send orders by any means."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.executor import session as sessions
from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
from kalshi_pipelines.execution.inbox.proposals import propose
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.errors import JournalUnavailable
from kalshi_pipelines.execution.journal.journal import Journal, initialise
from kalshi_pipelines.execution.journal.migrations import upgrade_journal
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.proposals import ActorKind, ProposedOrder
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount
from kalshi_pipelines.execution.reconciliation.reconciler import Reconciler
from kalshi_pipelines_tests.support.checkout import CHECKOUT
from kalshi_pipelines_tests.support.execution.good_order import ORDER
from kalshi_pipelines_tests.support.execution.sandbox_member import (
    SUBACCOUNT,
    join_sandbox,
    live_trader,
    proposed,
    ready_journal,
    resting,
    sandbox_with_member,
)

ROLES = CHECKOUT / "deploy" / "postgres" / "roles.sql"
#: Attempts that fail only for an unprivileged user. Root may read any file.
OF_THE_COMPUTER = ("reads_the_trade_key",)


def person_s_order() -> ProposedOrder:
    return replace(ORDER, actor=ActorKind.PERSON, actor_name="ann")


@contextmanager
def login_in(url: str, role: str) -> Iterator[tuple[sa.Engine, sa.Engine]]:
    """Yield two engines of a new journal: one for the journal's owner, and one for a login with a single role."""
    owner = open_journal(url)
    upgrade_journal(owner)
    initialise(owner, "sandbox")
    with psycopg.connect(sa.make_url(url).set(drivername="postgresql").render_as_string(False)) as psql:
        psql.execute(ROLES.read_text())
        psql.execute(f"CREATE ROLE test_login LOGIN IN ROLE {role}")
    engine = open_journal(sa.make_url(url).set(username="test_login").render_as_string(hide_password=False))
    try:
        yield owner, engine
    finally:
        engine.dispose()
        with owner.begin() as connection:
            connection.exec_driver_sql("DROP ROLE test_login")
        owner.dispose()


def test_F39_hostile_agent_gets_no_further_than_a_proposal(empty_postgres_url: str, tmp_path: Path) -> None:
    owner = open_journal(empty_postgres_url)
    upgrade_journal(owner)
    initialise(owner, "sandbox")
    with psycopg.connect(sa.make_url(empty_postgres_url).set(drivername="postgresql").render_as_string(False)) as psql:
        psql.execute(ROLES.read_text())
        psql.execute("CREATE ROLE red_team LOGIN IN ROLE kalshi_proposer")
    try:
        with sandbox_with_member(tmp_path) as executor, ExitStack() as stack:
            agent = join_sandbox(executor.sandbox, tmp_path, stack, scopes=["read"])
            environment = {
                "PATH": os.environ["PATH"],
                "KALSHI_ENVIRONMENT": "sandbox",
                "KALSHI_SANDBOX_URL": agent.sandbox.url,
                "KALSHI_API_KEY_ID": agent.key_id,
                "KALSHI_PRIVATE_KEY_FILE": str(agent.key_file),
                "KALSHI_DATA_DIR": str(tmp_path / "agent"),
                "KALSHI_JOURNAL_URL": sa.make_url(empty_postgres_url)
                .set(username="red_team")
                .render_as_string(hide_password=False),
            }
            command = [sys.executable, "-m", "kalshi_pipelines_tests.support.execution.agent"]
            address = executor.sandbox.admin_url
            arguments = [executor.tradable()["ticker"], address, str(executor.key_file)]
            done = subprocess.run(
                [*command, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
            )
            orders = executor.orders_on_exchange()
    finally:
        with owner.connect() as connection:
            rows = {
                table: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()
                for table in ("proposals", "sessions", "intents", "approvals", "kill_events")
            }
            told = connection.exec_driver_sql("SELECT DISTINCT login, split_part(source, ' ', 1) FROM proposals").all()
        flooded = propose(owner, [person_s_order()], "the owner")
        with owner.begin() as connection:
            connection.exec_driver_sql("DROP ROLE red_team")
        owner.dispose()
    assert done.returncode == 0, done.stderr
    outcomes = {each["attempt"]: each["outcome"] for each in map(json.loads, done.stdout.splitlines())}
    assert outcomes.pop("proposes") == "proposal 1"
    assert outcomes.pop("reads_the_environment") == "found nothing"
    for name in OF_THE_COMPUTER:
        outcomes.pop(name)
    assert outcomes.pop("asks_the_exchange_itself") == "answered 403"
    assert outcomes.pop("opens_a_socket") == "answered 401"
    assert outcomes.pop("imports_the_transport") == "answered 403"
    assert outcomes.pop("approves_itself") == "ended with 2"
    assert outcomes.pop("names_another_source").isdecimal(), "but the source begins with the login"
    assert outcomes.pop("fills_the_inbox").startswith("stopped: InboxFull: The inbox takes no further proposals")
    assert all(outcome.startswith("stopped: ") for outcome in outcomes.values()), outcomes
    assert len(outcomes) == 8
    assert told == [("red_team", "red_team:")]
    assert len(flooded) == 1, "a person can still propose"
    assert orders == []
    assert rows == {"proposals": 902, "sessions": 0, "intents": 0, "approvals": 0, "kill_events": 1}


def test_executor_login_can_trade_and_can_change_no_row(empty_postgres_url: str, tmp_path: Path) -> None:
    with login_in(empty_postgres_url, "kalshi_executor") as (_, engine):
        # Jobs that trade run these two steps first, so the executor's login must be able to run them.
        assert upgrade_journal(engine).applied == ()
        assert initialise(engine, "sandbox")
        with sandbox_with_member(tmp_path) as member:
            trader = live_trader(member, ready_journal(engine))
            market = member.tradable()
            decided = [
                trader.executor.decide(proposed(market)),
                trader.executor.decide(resting(market, market["yes_bid_dollars"])),
            ]
            assert [each.outcome for each in decided] == [DecisionOutcome.PLACED, DecisionOutcome.PLACED]
            account = ExchangeAccount(member.client, SUBACCOUNT)
            transport = member.transport(trader.settings)
            report = Reconciler(trader.journal, account, transport, Account("sandbox", SUBACCOUNT)).reconcile(
                own_session=trader.session.session_id
            )
            assert report.clean, str(report)
            sessions.close(trader.journal, trader.session, "done")
        assert verify(engine).ok
        for statement in (
            "UPDATE audit_log SET body = ''",
            "DELETE FROM order_events",
            "UPDATE scopes SET worst_microdollars = 0",
            "UPDATE audit_head SET seq = 0",
            "INSERT INTO legal_transitions VALUES ('denied', 'sending')",
            "INSERT INTO denial_reasons VALUES ('bored')",
            "INSERT INTO audit_kinds VALUES ('joke')",
            "DELETE FROM kill_events",
            "TRUNCATE postings CASCADE",
            "ALTER TABLE order_events DISABLE TRIGGER ALL",
        ):
            with pytest.raises(sa.exc.DBAPIError) as refused, engine.begin() as connection:
                connection.exec_driver_sql(statement)
            assert "permission denied" in str(refused.value) or "must be owner" in str(refused.value), statement


def test_halting_login_can_stop_trading_and_nothing_else(empty_postgres_url: str) -> None:
    with login_in(empty_postgres_url, "kalshi_halter") as (owner, engine):
        journal = ready_journal(owner)
        assert upgrade_journal(engine).applied == ()
        with Journal(engine, "sandbox").writing() as transaction:
            transaction.halts.engage(1, "operator", "ann", "stop")
        with journal.reading() as reading:
            assert reading.halts.kill_state().engaged
        with pytest.raises(JournalUnavailable, match="row-level security"), Journal(engine, "sandbox").writing() as its:
            its.halts.release("grace", "go on")
        for statement in ("INSERT INTO sessions DEFAULT VALUES", "INSERT INTO postings DEFAULT VALUES"):
            with pytest.raises(sa.exc.DBAPIError, match="permission denied"), engine.begin() as connection:
                connection.exec_driver_sql(statement)
        assert verify(engine).ok


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_F39_trade_key_cannot_be_read_by_another_user(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    key = tmp_path / "trade.pem"
    key.write_text("secret")
    key.chmod(0o600)
    code = f"import os; os.setgid(65534); os.setuid(65534); open({str(key)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "PermissionError" in done.stderr
