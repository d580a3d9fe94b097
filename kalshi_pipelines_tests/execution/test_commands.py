"""Every command ends with the status and the words that are true: 0 only where nothing is left to do."""

import argparse
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution import commands
from kalshi_pipelines.execution.audit.verification import AuditReport, Verdict
from kalshi_pipelines.execution.auditing import _without_exchange
from kalshi_pipelines.execution.commands import CanNotBeDone, Office
from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.decisions import Decision, Outcome
from kalshi_pipelines.execution.journal.records import Intent, Mode
from kalshi_pipelines.execution.kill.halt import HaltReport
from kalshi_pipelines.execution.kill.switch import Engaged
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.proposals import REQUIRED, ProposalTexts, Proposer, read_proposal
from kalshi_pipelines.execution.trading_run import TradingRun, _is_decided, decision_rows
from kalshi_pipelines.settings import Environment
from kalshi_pipelines_tests.execution.journal.trading import HOUR, NOON, Desk, desk_at

ORDER = read_proposal(
    ProposalTexts(
        ticker="KXA-1", action="buy", outcome="no", price="0.56", count="1.50", strategy="s", signal="one",
        as_of="2026-11-23T12:00:00Z", valid_until="2026-11-23T12:05:00Z",
    ),
    Proposer(ActorKind.PERSON, "ann"),
)  # fmt: skip


def office(environment: Environment = Environment.SANDBOX, journal: object = None) -> Any:
    """Where a command finds its things; what it must not touch is not there."""
    made = SimpleNamespace(
        settings=SimpleNamespace(environment=environment),
        trade=TradeSettings(),
        journal=lambda: journal,
        journal_engine=lambda: None,
        warehouse=None,
    )
    assert set(vars(made)) <= {*dir(Office), "settings"}
    return made


def given(**values: object) -> argparse.Namespace:
    return argparse.Namespace(**{"by": "ann", "why": "a try", "level": 2, "patience": 1.0, **values})


def report(*, flat: bool = True, is_on_record: bool = True) -> HaltReport:
    return HaltReport(flat, 2, (), ("slow",), Engaged(3, "no disk", is_on_record))


@pytest.mark.parametrize(("seq", "told"), [(3, ""), (None, "in the emergency file only: no disk")])
def test_a_kill_of_level_1_says_where_it_is_on_record(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seq: int | None, told: str
) -> None:
    monkeypatch.setattr(commands, "engage", lambda *_: Engaged(seq, "no disk"))
    assert commands.kill(office(), given(level=1)) == 0
    said = capsys.readouterr()
    assert said.out.startswith("The kill switch is engaged: nothing new is sent.")
    assert (told in said.err) if told else not said.err


@pytest.mark.parametrize(
    ("made", "status", "said", "warned"),
    [
        (report(), 0, ["The kill switch is engaged", "FLAT: no order rests"], []),
        (report(flat=False), 1, ["The kill switch is engaged", "NOT FLAT"], ["Orders may rest. Run it again"]),
        (report(is_on_record=False), 1, ["FLAT"], ["New orders may be sent: no disk. End the trading process."]),
        (report(flat=False, is_on_record=False), 1, ["NOT FLAT"], ["New orders may be sent", "Orders may rest"]),
    ],
)
def test_a_kill_of_level_2_is_done_only_when_flat_and_on_record(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    made: HaltReport,
    status: int,
    said: list[str],
    warned: list[str],
) -> None:
    monkeypatch.setattr(commands, "halt_now", lambda *_: made)
    assert commands.kill(office(), given()) == status
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == len(said)
    assert all(each in captured.out for each in said)
    assert len(captured.err.splitlines()) == len(warned)
    assert all(each in captured.err for each in warned)


@pytest.mark.parametrize("flat", [True, False])
def test_a_drill_is_never_of_the_real_exchange(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flat: bool
) -> None:
    ran: list[tuple[object, ...]] = []

    @contextmanager
    def halt(*_: object) -> Iterator[Any]:
        def run(*arguments: object) -> HaltReport:
            ran.append(arguments)
            return report(flat=flat)

        yield SimpleNamespace(run=run)

    monkeypatch.setattr(commands, "halt", halt)
    with pytest.raises(CanNotBeDone, match="not for the real exchange"):
        commands.drill(office(Environment.PROD), given())
    assert not ran
    for environment in (Environment.SANDBOX, Environment.DEMO):
        assert commands.drill(office(environment), given()) == (0 if flat else 1)
    assert ran == [("ann", "drill: a try", 1.0)] * 2
    assert "The drill took 0." in capsys.readouterr().out


def test_a_session_is_closed_and_noted(sqlite_journal: sa.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    desk = desk_at(sqlite_journal)
    assert commands.close_session(office(journal=desk.journal), given()) == 0
    assert "Session session-0001 is closed: it can send nothing more." in capsys.readouterr().out
    with desk.journal.reading() as reading:
        assert reading.live_session("sandbox", 0) is None
        last = reading.audit_tail(1)[0]
    assert '"reason":"by ann: a try"' in last.body
    with sqlite_journal.connect() as connection:
        assert connection.exec_driver_sql("SELECT seq FROM anchors").scalars().all() == [last.seq]
    with pytest.raises(CanNotBeDone, match="There is no live session"):
        commands.close_session(office(journal=desk.journal), given())


def test_an_approval_names_enough_of_the_bytes(sqlite_journal: sa.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    desk = desk_at(sqlite_journal)
    intent = desk.planned()
    place, digest = office(journal=desk.journal), intent.request_sha256

    def approved() -> bool:
        with desk.journal.reading() as reading:
            return reading.is_approved(intent, NOON)

    for short in ("", digest[:11], "0" * 64, f"{digest}0"):
        with pytest.raises(CanNotBeDone, match=r"has another SHA-256 .* nothing was approved"):
            commands.approve(place, given(intent=intent.intent_id, sha256=short))
        assert not approved()
    with pytest.raises(CanNotBeDone, match="no intent 999: see `status`"):
        commands.approve(place, given(intent=999, sha256=digest))
    assert commands.approve(place, given(intent=intent.intent_id, sha256=digest[:12].upper())) == 0
    assert intent.request_json in capsys.readouterr().out
    assert approved()


def test_a_file_is_put_into_the_inbox_and_nothing_is_sent(
    sqlite_journal: sa.Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk_at(sqlite_journal)
    rows = [f"KXA-1,buy,yes,0.56,1,s,{signal},2026-11-23T14:00:00Z,2026-11-23T14:05:00Z" for signal in ("one", "two")]
    (tmp_path / "a.csv").write_text("\n".join([",".join(REQUIRED), *rows]))
    place = office()
    place.journal_engine = lambda: sqlite_journal
    assert commands.import_file(place, given(file=tmp_path / "a.csv", kind="agent", name="reader")) == 0
    assert capsys.readouterr().out == "2 proposals are in the inbox (1 to 2); nothing was sent.\n"
    with sqlite_journal.connect() as connection:
        assert connection.exec_driver_sql("SELECT actor_kind FROM proposals").scalars().all() == ["agent", "agent"]


@pytest.mark.parametrize("verdict", Verdict)
def test_a_verification_ends_with_its_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verdict: Verdict
) -> None:
    made = AuditReport(verdict, 7, "6:ab", () if verdict is Verdict.CLEAN else ("a row is gone",))
    monkeypatch.setattr(commands, "verify_or_stop", lambda *_: made)
    assert commands.verify_audit(office(), given()) == verdict.value
    said = capsys.readouterr()
    assert str(made) in (said.out if verdict is Verdict.CLEAN else said.err)
    assert bool(said.out) is (verdict is Verdict.CLEAN)
    assert ("The kill switch is engaged" in said.err) is (verdict is Verdict.CORRUPT)


def test_a_journal_that_was_not_held_against_the_exchange_is_not_verified() -> None:
    clean, corrupt = AuditReport(Verdict.CLEAN, 1, "-", ()), AuditReport(Verdict.CORRUPT, 1, "-", ("a row is gone",))
    assert _without_exchange(clean, "no net").verdict is Verdict.COULD_NOT_RUN
    told = _without_exchange(corrupt, "no net")
    assert told.verdict is Verdict.CORRUPT
    assert told.problems == ("a row is gone", "the exchange was not asked: no net")


@pytest.mark.parametrize(
    ("outcomes", "reconciliations", "clean"),
    [
        ([], [], True),
        ([Outcome.PLACED, Outcome.DENIED], [True, True], True),
        ([Outcome.PLACED, Outcome.UNKNOWN], [True, True], False),
        ([Outcome.PLACED], [False, True], True),
        ([Outcome.PLACED], [True, False], False),
    ],
)
def test_a_run_is_clean_if_nothing_is_unknown_and_the_account_was_at_the_end(
    outcomes: list[Outcome], reconciliations: list[bool], clean: bool
) -> None:
    run = TradingRun(
        session=SimpleNamespace(),  # type: ignore[arg-type]
        decisions=tuple(Decision(outcome, ORDER, None, None) for outcome in outcomes),
        reconciliations=tuple(SimpleNamespace(clean=each) for each in reconciliations),  # type: ignore[misc]
    )
    assert run.is_clean is clean


@pytest.mark.parametrize(
    ("outcomes", "reconciled", "status"),
    [
        ([], True, 0),
        ([Outcome.PLACED, Outcome.SIMULATED, Outcome.KNOWN], True, 0),
        ([Outcome.PLACED, Outcome.DENIED], True, 1),
        ([Outcome.PLACED], False, 1),
    ],
)
def test_trading_is_done_if_every_order_is_and_the_account_is_as_the_journal_says(
    monkeypatch: pytest.MonkeyPatch, outcomes: list[Outcome], reconciled: bool, status: int
) -> None:
    decisions = tuple(Decision(outcome, ORDER, None, None) for outcome in outcomes)
    session: Any = SimpleNamespace(session_id="s", mode=Mode.LIVE)
    ended: Any = SimpleNamespace(clean=reconciled)
    monkeypatch.setattr(commands, "trade", lambda *_: TradingRun(session, decisions, (ended,)))
    place = office()
    place.warehouse, place.client = (lambda: None), (lambda _: None)
    assert commands.trade_inbox(place, given()) == status


def test_an_order_waits_for_its_approval_or_its_end(sqlite_journal: sa.Engine) -> None:
    desk = desk_at(sqlite_journal)
    intent, other = desk.planned(), desk.planned()

    def is_decided(of: Intent, at_us: int) -> bool:
        place: Any = SimpleNamespace(clock_us=lambda: at_us, journal=desk.journal)
        return _is_decided(place, SimpleNamespace(intent=of))  # type: ignore[arg-type]

    assert not is_decided(intent, intent.valid_until_us)
    assert is_decided(intent, intent.valid_until_us + 1)
    with desk.journal.writing() as transaction:
        transaction.approve(intent.request_sha256, "grace", NOON + HOUR)
    assert is_decided(intent, NOON)
    assert not is_decided(other, NOON)


def test_decisions_are_told_with_what_to_do(sqlite_journal: sa.Engine) -> None:
    intent = Desk.planned(desk_at(sqlite_journal))
    denied = Decision(Outcome.DENIED, ORDER, 4, intent, DenialReason.NOT_ARMED, "no\x1btoken")
    placed = dataclasses.replace(denied, outcome=Outcome.PLACED, proposal_id=None, intent=None, reason=None, detail="")
    first, second = decision_rows([denied, placed])
    assert first == {
        "decision": "denied",
        "order": "buy 1.50 NO KXA-1 at 0.5600",
        "why": "not_armed",
        "detail": first["detail"],
        "what to do": DenialReason.NOT_ARMED.remedy,
        "by": "person ann",
        "proposal": "4",
        "intent": str(intent.intent_id),
    }
    assert "\x1b" not in first["detail"]
    assert [second[name] for name in ("why", "what to do", "proposal", "intent")] == [""] * 4
