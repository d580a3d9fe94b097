"""One arming opens one live session: the database refuses every further session of the same token or armed run."""

import multiprocessing
from typing import Any, cast

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import AuditVerdict, verify
from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor import session as sessions
from kalshi_pipelines.execution.executor.session import Opening, SessionRefused, TradeSession
from kalshi_pipelines.execution.gates.arming import run_arming
from kalshi_pipelines.execution.gates.order_checks import check
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.errors import JournalRefused
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Arming, ArmingKind, Mode, Origin
from kalshi_pipelines.execution.journal.tables import used_armings
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.transport.order_transport import OrderTransport
from kalshi_pipelines.settings import Environment
from kalshi_pipelines_tests.support.execution.instants import NOW_US
from kalshi_pipelines_tests.support.execution.order_steps import OrderSteps, new_session, open_session
from kalshi_pipelines_tests.support.execution.scripted_exchange import (
    ScriptedExchange,
    ScriptedSession,
    armed,
    scripted_session,
)
from kalshi_pipelines_tests.support.execution.tampering import tamper

RUN = run_arming("ann", "2026-11-23T17:00:00Z", "a try", "0123456789abcdef")


@pytest.fixture
def made(journal_engine: sa.Engine) -> ScriptedSession:
    """A journal whose first session is over, with settings that are armed again."""
    made = scripted_session(journal_engine)
    sessions.close(made.journal, made.session, "over")
    made.settings = armed(made.settings)
    return made


def _open(made: ScriptedSession, *, passes: bool = True, **opening: Any) -> TradeSession:
    arguments = (made.journal, made.settings, Environment.SANDBOX, Opening("ann", Origin.BY_HAND, "a try", **opening))
    other = check(DenialReason.CONTRACTS_NOT_CHECKED, passes, "a", "b")
    return sessions.open_live(*arguments, cast("OrderTransport", made.exchange), (other,), made.clock)


def _refusal(made: ScriptedSession, **opening: Any) -> SessionRefused:
    with pytest.raises(SessionRefused) as refused:
        _open(made, **opening)
    return refused.value


def test_F64_token_opens_one_session_whatever_happens_to_the_session(made: ScriptedSession) -> None:
    first = _open(made)
    assert _refusal(made).reason is DenialReason.ARMING_USED
    sessions.close(made.journal, first, "failed: KalshiError")
    refused = _refusal(made)
    assert refused.reason is DenialReason.ARMING_USED
    assert f"Session {first.session_id} used it at 2026-11-23 17:00:00 UTC" in str(refused)
    assert "Arm again" in str(refused)
    made.settings = armed(made.settings)
    assert _open(made).session_id != first.session_id
    assert verify(made.journal._engine).verdict is AuditVerdict.CLEAN


def test_F64_armed_run_opens_one_session_even_with_a_new_token(made: ScriptedSession) -> None:
    sessions.close(made.journal, _open(made, armed_run=RUN), "over")
    made.settings = armed(made.settings)
    assert _refusal(made, armed_run=RUN).reason is DenialReason.ARMING_USED
    other = run_arming("ann", "2026-11-23T17:00:00Z", "a try", "another nonce")
    _open(made, armed_run=other)


def test_F64_denied_opening_uses_no_arming_up(made: ScriptedSession) -> None:
    with pytest.raises(SessionRefused):
        _open(made, passes=False, armed_run=RUN)
    made.engage_kill()
    with made.journal.writing() as transaction:
        transaction.halts.release("grace", "looked at it")
    _open(made, armed_run=RUN)


def test_opening_that_loses_the_sub_account_uses_no_arming_up(made: ScriptedSession) -> None:
    first = _open(made)
    made.settings = armed(made.settings)
    assert _refusal(made, armed_run=RUN).reason is DenialReason.SESSION_NOT_EXCLUSIVE
    sessions.close(made.journal, first, "over")
    _open(made, armed_run=RUN)


def test_dry_run_uses_no_arming_up(made: ScriptedSession) -> None:
    opening = Opening("ann", Origin.BY_HAND, "a try", RUN)
    for _ in range(2):
        sessions.open_dry_run(made.journal, made.settings, Environment.SANDBOX, opening, made.clock)
    _open(made, armed_run=RUN)


def test_F64_database_itself_refuses_a_used_arming(steps: OrderSteps) -> None:
    arming = (Arming(ArmingKind.TOKEN, "a" * 64),)
    with steps.journal.writing() as transaction:
        transaction.sessions.end(steps.session_id, "over")
        open_session(transaction, new_session("session-0002", armings=arming), "order-group-0002")
        transaction.sessions.end("session-0002", "over")
    with pytest.raises(JournalRefused, match="used_armings"), steps.journal.writing() as transaction:
        open_session(transaction, new_session("session-0003", armings=arming), "order-group-0003")
    with steps.journal.reading() as reading:
        session = reading.sessions.session_of_arming(["b" * 64, "a" * 64])
        assert reading.sessions.session_of_arming(["b" * 64]) is None
    assert session is not None
    assert session["session_id"] == "session-0002"


def test_F64_verification_finds_an_arming_that_was_changed(journal_engine: sa.Engine, steps: OrderSteps) -> None:
    with steps.journal.writing() as transaction:
        transaction.sessions.end(steps.session_id, "over")
        armings = (Arming(ArmingKind.TOKEN, "a" * 64), Arming(ArmingKind.RUN, "b" * 64))
        open_session(transaction, new_session("session-0002", armings=armings), "order-group-0002")
        open_session(transaction, new_session("session-dry0", mode=Mode.DRY_RUN))
    assert verify(journal_engine).verdict is AuditVerdict.CLEAN
    tamper(journal_engine, "UPDATE used_armings SET session_id = 'session-dry0' WHERE kind = 'run'")
    problems = verify(journal_engine).problems
    assert "session session-dry0 is not live, but used up an arming" in problems
    tamper(journal_engine, "DELETE FROM used_armings WHERE kind = 'run'")
    assert any(
        problem.startswith("used_armings: the stored rows of record") for problem in verify(journal_engine).problems
    )


def _race(url: str, settings: TradeSettings, start: Any, results: Any) -> None:
    engine = open_journal(url, 60)
    journal = Journal(engine, "sandbox", clock_us=lambda: NOW_US)
    exchange = cast("OrderTransport", ScriptedExchange())
    start.wait(60)
    try:
        opening = Opening("ann", Origin.BY_HAND, "a try", RUN)
        session = sessions.open_live(journal, settings, Environment.SANDBOX, opening, exchange, (), lambda: NOW_US)
        sessions.close(journal, session, "over")
        results.put("opened")
    except SessionRefused as refused:
        results.put(refused.reason.code)
    engine.dispose()


def test_F64_one_of_many_processes_opens_the_session(made: ScriptedSession, journal_url: str) -> None:
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    made.journal._engine.dispose()
    # Half of the processes have another token, so that only the armed run stands between them and a second session.
    tokens = [made.settings, made.settings, armed(made.settings), armed(made.settings)]
    processes = [context.Process(target=_race, args=(journal_url, each, start, results)) for each in tokens]
    for process in processes:
        process.start()
    start.set()
    got = sorted(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(60)
    assert got.count("opened") == 1
    assert set(got) == {"opened", "arming_used"}
    with made.journal._engine.connect() as connection:
        assert len(connection.execute(sa.select(used_armings).where(used_armings.c.kind == "run")).all()) == 1
