"""Correcting an order that was denied, from the command line and without another name."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.executor.decisions import Decision, DecisionOutcome
from kalshi_pipelines.execution.executor.planning import ExecutorInputs
from kalshi_pipelines.execution.gates.market_snapshot import UnreadableMarket
from kalshi_pipelines.execution.journal.records import Mode
from kalshi_pipelines.execution.journal.tables import proposals
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.service.cli import main
from kalshi_pipelines.execution.service.commands import inbox_commands
from kalshi_pipelines.execution.service.sessions.trading_session import _decide_inbox
from kalshi_pipelines_tests.support.execution.inbox_sessions import context_of
from kalshi_pipelines_tests.support.execution.scripted_exchange import ScriptedSession, accepted, scripted_session

TOO_DEAR, GOOD = "0.9900", "0.5200"


@pytest.fixture(params=["live", "dry_run"])
def made(
    request: pytest.FixtureRequest, journal_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> ScriptedSession:
    """A session whose inbox the command line fills."""
    made = scripted_session(journal_engine, live=request.param == "live")
    monkeypatch.setenv("KALSHI_JOURNAL_URL", journal_engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("KALSHI_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("KALSHI_TRADE_MODE", request.param)
    monkeypatch.setattr(inbox_commands, "now_us", made.clock)
    return made


def propose(price: str, *options: str, name: str = "ann") -> int:
    return main(["propose", "buy", "yes", "KXA-26-B", "1", price, "--signal", "x", "--name", name, *options])


def decided(made: ScriptedSession) -> Decision:
    """Let the open session decide about the only pending proposal."""
    inputs = ExecutorInputs(made._market, lambda: made.killed, made._available)
    (decision,) = _decide_inbox(context_of(made), made.session, inputs, made.dispatch).decisions
    return decision


def done(made: ScriptedSession) -> DecisionOutcome:
    return DecisionOutcome.PLACED if made.mode is Mode.LIVE else DecisionOutcome.SIMULATED


def attempts_in_inbox(made: ScriptedSession) -> list[int]:
    with made.journal._engine.connect() as connection:
        return list(connection.scalars(sa.select(proposals.c.attempt).order_by(proposals.c.proposal_id)))


def test_denied_order_is_corrected_by_its_next_attempt(
    made: ScriptedSession, capsys: pytest.CaptureFixture[str]
) -> None:
    propose(TOO_DEAR)
    first = decided(made)
    assert (first.outcome, first.reason) == (DecisionOutcome.DENIED, DenialReason.PRICE_OUTSIDE_BAND)
    propose(GOOD)
    conflict = decided(made)
    assert conflict.reason is DenialReason.IDEMPOTENCY_CONFLICT
    assert "propose --again" in conflict.reason.remedy
    for number, price in ((2, TOO_DEAR), (3, GOOD)):
        capsys.readouterr()
        assert propose(price, "--again") == 0
        assert f"Attempt {number}: attempt {number - 1}, intent " in capsys.readouterr().out
        last = decided(made)
    assert last.outcome is done(made)
    assert attempts_in_inbox(made) == [1, 1, 2, 3]


def test_repeated_denied_order_says_how_to_make_the_next_attempt(made: ScriptedSession) -> None:
    propose(TOO_DEAR)
    decided(made)
    propose(TOO_DEAR)
    known = decided(made)
    assert known.outcome is DecisionOutcome.KNOWN
    assert known.detail.endswith("is already denied; `propose --again` makes the next attempt")


def test_order_that_was_never_planned_is_proposed_again_as_it_was(
    made: ScriptedSession, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in ((), ("--again",)):
        made.unreadable = UnreadableMarket("no grid")
        propose(GOOD, *options)
        assert decided(made).intent is None
    assert "Attempt 1: no order of this signal was planned before." in capsys.readouterr().out
    made.unreadable = None
    propose("0.5300")
    assert decided(made).outcome is done(made)
    assert attempts_in_inbox(made) == [1, 1, 1]


def test_order_that_was_filled_or_simulated_is_not_repeated(
    made: ScriptedSession, capsys: pytest.CaptureFixture[str]
) -> None:
    propose(GOOD)
    decided(made)
    assert propose(GOOD, "--again") == 2
    wanted = "is executed with 1.00 contracts filled" if made.mode is Mode.LIVE else "is simulated"
    assert wanted in capsys.readouterr().err
    assert attempts_in_inbox(made) == [1]


@pytest.mark.parametrize("made", ["live"], indirect=True)
def test_missed_order_is_tried_again_and_resting_order_is_not(
    made: ScriptedSession, capsys: pytest.CaptureFixture[str]
) -> None:
    made.exchange.answer = accepted("0.00", "0.00")
    propose(GOOD)
    decided(made)
    made.exchange.answer = accepted("0.00", "1.00")
    assert propose(GOOD, "--again", "--time-in-force", "good_till_canceled", "--rest-minutes", "5") == 0
    decided(made)
    assert propose(GOOD, "--again") == 2
    assert "is resting and may still be filled" in capsys.readouterr().err


def test_attempt_that_waits_in_the_inbox_is_not_proposed_twice(
    made: ScriptedSession, capsys: pytest.CaptureFixture[str]
) -> None:
    propose(GOOD)
    assert propose(GOOD, "--again") == 2
    assert "Attempt 1 of this signal is already in the inbox, as proposal 1" in capsys.readouterr().err
    assert attempts_in_inbox(made) == [1]


def test_again_of_another_proposer_is_refused_and_names_the_first(
    made: ScriptedSession, capsys: pytest.CaptureFixture[str]
) -> None:
    propose(TOO_DEAR)
    decided(made)
    assert propose(GOOD, "--again", name="bob") == 2
    said = capsys.readouterr().err
    assert "The person bob has no earlier attempt of this signal. It was proposed by: person ann." in said
    assert attempts_in_inbox(made) == [1]
    assert propose(GOOD, name="bob") == 0
    assert decided(made).outcome is done(made)


def test_again_of_a_signal_that_nobody_proposed_is_refused(
    made: ScriptedSession, capsys: pytest.CaptureFixture[str]
) -> None:
    assert propose(GOOD, "--again") == 2
    assert "Nobody has proposed it. Nothing was stored." in capsys.readouterr().err
    assert attempts_in_inbox(made) == []


def test_attempt_can_be_numbered_and_must_be_due(made: ScriptedSession) -> None:
    propose(TOO_DEAR)
    decided(made)
    propose(GOOD, "--attempt", "3")
    assert decided(made).reason is DenialReason.ATTEMPT_NOT_DUE
    propose(GOOD, "--attempt", "2")
    assert decided(made).outcome is done(made)


def test_again_and_a_number_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        propose(GOOD, "--again", "--attempt", "2")
    assert "not allowed with argument" in capsys.readouterr().err
