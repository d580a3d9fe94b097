"""Commands of the command line: what each prints, and that it exits with 0 only if nothing is left to do."""

import argparse
import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kalshi_pipelines.defs.trading.gate import ArmedByHand
from kalshi_pipelines.execution.audit.verification import AuditReport, AuditVerdict
from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor.decisions import Decision, DecisionOutcome
from kalshi_pipelines.execution.executor.session import Opening
from kalshi_pipelines.execution.gates.arming import arm_expires_us
from kalshi_pipelines.execution.inbox.proposals import (
    REQUIRED,
    InvalidProposals,
    ProposalTexts,
    propose,
    read_proposal,
)
from kalshi_pipelines.execution.journal.records import ForeignOrder, MarketStanding, Mode, Origin, ScopeKind
from kalshi_pipelines.execution.journal.tables import proposals
from kalshi_pipelines.execution.kill.halt import HaltReport
from kalshi_pipelines.execution.kill.switch import EngagementRecord, NotReleased
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.proposals import ActorKind, Proposer
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.execution.service.account.audit import _without_exchange
from kalshi_pipelines.execution.service.command_context import CommandContext, CommandRefused
from kalshi_pipelines.execution.service.commands import (
    evidence_commands,
    inbox_commands,
    inspection_commands,
    session_commands,
    stop_commands,
)
from kalshi_pipelines.execution.service.sessions.decision_text import decision_rows
from kalshi_pipelines.execution.service.sessions.trading_session import TradingRun
from kalshi_pipelines.execution.text import cap_lines, format_instant, position_lines
from kalshi_pipelines.kalshi.errors import EnvironmentMismatch, UnusableKey
from kalshi_pipelines.settings import Environment, Settings
from kalshi_pipelines.units import instant, microseconds, now_us
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.migrations import SchemaNotAtHead
from kalshi_pipelines_tests.support.execution.order_steps import (
    ACCOUNT,
    EVENT,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    TICKER,
    OrderSteps,
    caps,
    next_session,
    order_steps,
)
from kalshi_pipelines_tests.support.migrated import upgrade_to_head

ORDER = read_proposal(
    ProposalTexts(
        ticker="KXA-1",
        action="buy",
        outcome="no",
        price="0.56",
        count="1.50",
        strategy="s",
        signal="one",
        as_of="2026-11-23T12:00:00Z",
        valid_until="2026-11-23T12:05:00Z",
    ),
    Proposer(ActorKind.PERSON, "ann"),
)


#: Arguments of the command `propose`.
PROPOSED: dict[str, object] = {
    "ticker": "KXA-1",
    "action": "buy",
    "outcome": "yes",
    "price": "0.56",
    "count": "1",
    "strategy": "s",
    "signal": "one",
    "again": False,
    "attempt": None,
    "valid_minutes": 5,
    "rest_minutes": None,
    "post_only": False,
    "reduce_only": False,
    "open_short": False,
    "time_in_force": "immediate_or_cancel",
    "reason": "a look",
    "kind": "agent",
    "name": "reader",
}
HERE = "sandbox, sub-account 0, journal /x/journal.db"


def fake_context(environment: Environment = Environment.SANDBOX, journal: object = None) -> Any:
    """Return the context of a command, with only the parts that this command may use."""
    made = SimpleNamespace(
        settings=SimpleNamespace(environment=environment),
        trade=TradeSettings(),
        journal=lambda: journal,
        journal_engine=lambda: None,
        warehouse=None,
        whereabouts=lambda: HERE,
        place_of_journal=lambda: "/x/journal.db",
    )
    assert set(vars(made)) <= {*dir(CommandContext), "settings"}
    return made


def given(**values: object) -> argparse.Namespace:
    return argparse.Namespace(**{"by": "ann", "why": "a try", "level": 2, "patience": 1.0, **values})


def collecting(asked: list[object], made: object) -> Callable[..., object]:
    """Return a function that collects its arguments in a list and returns ``made``."""

    def ask(*given: object) -> object:
        asked.extend(given)
        return made

    return ask


def report(*, flat: bool = True, is_on_record: bool = True) -> HaltReport:
    return HaltReport(flat, 2, (), ("slow",), EngagementRecord(3, "no disk", is_on_record))


@pytest.mark.parametrize("flat", [True, False])
def test_drill_on_the_real_exchange_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flat: bool
) -> None:
    ran: list[tuple[object, ...]] = []
    opened: list[object] = []

    @contextmanager
    def halt(*given: object) -> Iterator[Any]:
        opened[:] = given

        def run(*arguments: object) -> HaltReport:
            ran.append(arguments)
            return report(flat=flat)

        yield SimpleNamespace(run=run)

    monkeypatch.setattr(stop_commands, "halt", halt)
    with pytest.raises(CommandRefused, match="does not run on the real exchange"):
        stop_commands.drill(fake_context(Environment.PROD), given())
    assert not ran
    for environment in (Environment.SANDBOX, Environment.DEMO):
        context = fake_context(environment)
        assert stop_commands.drill(context, given()) == (0 if flat else 1)
        assert opened == [context.settings, context.trade, context.journal]
    assert ran == [("ann", "drill: a try", 1.0)] * 2
    assert "The drill took 0." in capsys.readouterr().out


def test_close_session_is_recorded_with_person_and_reason(
    sqlite_journal: sa.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = order_steps(sqlite_journal)
    assert session_commands.close_session(fake_context(journal=steps.journal), given()) == 0
    assert "Session session-0001 is closed and can send nothing more." in capsys.readouterr().out
    with steps.journal.reading() as reading:
        assert reading.sessions.live_session(ACCOUNT) is None
        last = reading.audit_log.newest(1)[0]
    assert '"reason":"by ann: a try"' in last.body
    with sqlite_journal.connect() as connection:
        assert connection.exec_driver_sql("SELECT seq FROM anchors").scalars().all() == [last.seq]
    with pytest.raises(CommandRefused, match="There is no live session"):
        session_commands.close_session(fake_context(journal=steps.journal), given())


def test_approval_needs_twelve_digits_of_the_right_request(
    sqlite_journal: sa.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = order_steps(sqlite_journal)
    intent = steps.reserve()
    context, digest = fake_context(journal=steps.journal), intent.request_sha256

    def approved() -> bool:
        with steps.journal.reading() as reading:
            return reading.orders.is_approved(intent, NOON)

    for other in ("0" * 64, f"{digest}0"):
        with pytest.raises(CommandRefused, match=r"has another SHA-256 .* Nothing was approved"):
            session_commands.approve(context, given(intent=intent.intent_id, sha256=other))
        assert not approved()
    for short in ("", digest[:11]):
        with pytest.raises(
            CommandRefused, match=rf"^{len(short)} digits .* too few; 12 or more are needed\. Nothing was"
        ):
            session_commands.approve(context, given(intent=intent.intent_id, sha256=short))
        assert not approved()
    with pytest.raises(CommandRefused, match=r"no intent 999\. Run `status`"):
        session_commands.approve(context, given(intent=999, sha256=digest))
    assert session_commands.approve(context, given(intent=intent.intent_id, sha256=digest[:12].upper())) == 0
    assert intent.request_json in capsys.readouterr().out
    assert approved()


def test_approval_that_would_never_count_is_refused(sqlite_journal: sa.Engine) -> None:
    steps = order_steps(sqlite_journal)
    planned, sent, waits = steps.plan(), steps.record_sent(), steps.reserve()
    context = fake_context(journal=steps.journal)
    for intent, by, sentence in (
        (planned, "ann", "is planned and does not wait for approval"),
        (sent, "ann", "is sending and does not wait for approval"),
        (waits, " ada\t", "was proposed by ada, who cannot approve it"),
        (waits, "Ada", "was proposed by Ada, who cannot approve it"),
        (waits, "ada", r"was proposed by ada, who cannot approve it\. Nothing was approved\. Another person"),
    ):
        with pytest.raises(CommandRefused, match=f"^Intent {intent.intent_id} {sentence}"):
            session_commands.approve(context, given(intent=intent.intent_id, sha256=intent.request_sha256, by=by))
    steps.clock.now_us = waits.valid_until_us + 1
    with pytest.raises(
        CommandRefused, match=r"was valid until 2026-11-23 17:01:00 UTC\. Nothing was approved\. Propose"
    ):
        session_commands.approve(context, given(intent=waits.intent_id, sha256=waits.request_sha256))
    with sqlite_journal.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM approvals").scalar() == 0


def test_import_of_a_file_with_an_expired_proposal_is_refused(
    sqlite_journal: sa.Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order_steps(sqlite_journal)
    rows = [f"KXA-1,buy,yes,0.56,1,s,{signal},2026-11-23T14:00:00Z,2026-11-23T14:05:00Z" for signal in ("one", "two")]
    (tmp_path / "a.csv").write_text("\n".join([",".join(REQUIRED), *rows]))
    context = fake_context()
    context.journal_engine = lambda: sqlite_journal
    (tmp_path / "b.csv").write_text("\n".join([",".join(REQUIRED), rows[0].replace("one", "three")]))
    ends = microseconds(dt.datetime(2026, 11, 23, 14, 5, tzinfo=dt.UTC))
    monkeypatch.setattr(inbox_commands, "now_us", lambda: ends - 1)
    for name in "ab":
        assert (
            inbox_commands.import_file(context, given(file=tmp_path / f"{name}.csv", kind="agent", name="reader")) == 0
        )
    assert capsys.readouterr().out == (
        f"{HERE}\n2 proposals are in the inbox (1 to 2). Nothing was sent.\n"
        f"{HERE}\n1 proposal is in the inbox (3). Nothing was sent.\n"
    )
    monkeypatch.setattr(inbox_commands, "now_us", lambda: ends)
    with pytest.raises(InvalidProposals, match=r"line 2, valid_until: 2026-11-23 14:05:00 UTC has passed(.|\n)*line 3"):
        inbox_commands.import_file(context, given(file=tmp_path / "a.csv", kind="agent", name="reader"))
    with sqlite_journal.connect() as connection:
        assert connection.exec_driver_sql("SELECT actor_kind FROM proposals").scalars().all() == ["agent"] * 3


@pytest.mark.parametrize("verdict", AuditVerdict)
def test_verify_audit_exits_with_the_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verdict: AuditVerdict
) -> None:
    made = AuditReport(verdict, 7, "6:ab", () if verdict is AuditVerdict.CLEAN else ("a row is gone",))
    context, asked = fake_context(), list[object]()
    context.journal_engine = lambda: "the journal"
    monkeypatch.setattr(inspection_commands, "verify_or_stop", collecting(asked, made))
    assert inspection_commands.verify_audit(context, given()) == verdict.exit_status
    assert AuditVerdict.EXPLAINED.exit_status == 0
    assert asked == [context.settings, context.trade, "the journal", context.warehouse]
    said = capsys.readouterr()
    good = verdict in (AuditVerdict.CLEAN, AuditVerdict.EXPLAINED)
    assert str(made) in (said.out if good else said.err)
    assert bool(said.out) is good
    assert ("The kill switch is engaged" in said.err) is (verdict is AuditVerdict.CORRUPT)


def test_journal_that_was_not_compared_with_the_exchange_is_not_verified() -> None:
    clean, corrupt = (
        AuditReport(AuditVerdict.CLEAN, 1, "-", ()),
        AuditReport(AuditVerdict.CORRUPT, 1, "-", ("a row is gone",)),
    )
    assert _without_exchange(clean, "no net").verdict is AuditVerdict.COULD_NOT_RUN
    message = _without_exchange(corrupt, "no net")
    assert message.verdict is AuditVerdict.CORRUPT
    assert message.problems == ("a row is gone", "the exchange's orders could not be read: no net")


@pytest.mark.parametrize(
    ("outcomes", "reconciliations", "clean"),
    [
        ([], [], True),
        ([DecisionOutcome.PLACED, DecisionOutcome.DENIED], [True, True], True),
        ([DecisionOutcome.PLACED, DecisionOutcome.UNKNOWN], [True, True], False),
        ([DecisionOutcome.PLACED], [False, True], True),
        ([DecisionOutcome.PLACED], [True, False], False),
    ],
)
def test_trading_run_is_clean_without_unknown_orders_after_a_clean_end(
    outcomes: list[DecisionOutcome], reconciliations: list[bool], clean: bool
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
        ([DecisionOutcome.PLACED, DecisionOutcome.SIMULATED, DecisionOutcome.KNOWN], True, 0),
        ([DecisionOutcome.PLACED, DecisionOutcome.DENIED], True, 1),
        ([DecisionOutcome.PLACED], False, 1),
    ],
)
def test_trade_exits_0_if_no_order_is_denied_and_the_account_is_clean(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcomes: list[DecisionOutcome],
    reconciled: bool,
    status: int,
) -> None:
    decisions = tuple(Decision(outcome, ORDER, None, None) for outcome in outcomes)
    session: Any = SimpleNamespace(session_id="s", mode=Mode.LIVE)
    ended: Any = SimpleNamespace(clean=reconciled)
    opened: list[Opening] = []

    def trade(_: object, opening: Opening) -> TradingRun:
        opened.append(opening)
        return TradingRun(session, decisions, (ended,))

    monkeypatch.setattr(session_commands, "trade", trade)
    context = fake_context()
    context.warehouse, context.client = (lambda: None), (lambda _: None)
    assert session_commands.trade_inbox(context, given()) == status
    assert opened == [Opening("ann", Origin.BY_HAND, "a try")]
    assert capsys.readouterr().out.startswith(f"{HERE}, mode dry_run\nsession s (live): ")


def test_interrupted_trade_prints_what_it_left_open(
    sqlite_journal: sa.Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def trade(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session_commands, "trade", trade)
    steps = order_steps(sqlite_journal)
    context = fake_context(journal=steps.journal)
    context.warehouse, context.client = (lambda: None), (lambda _: None)

    def said() -> str:
        assert session_commands.trade_inbox(context, given()) == 130
        return capsys.readouterr().err

    assert said() == "Interrupted. Session session-0001 is open (`close-session` ends it). No order is open.\n"
    intent = steps.record_sent()
    with steps.journal.writing() as transaction:
        transaction.sessions.end(steps.session_id, "failed: KeyboardInterrupt")
    left = "1 order may rest or be unknown: run `status` and `reconcile`"
    assert said() == f"Interrupted. No live session is open. {left}.\n"
    assert steps.reload(intent).state is OrderState.SENDING


def test_decision_rows_show_reason_and_remedy(sqlite_journal: sa.Engine) -> None:
    intent = OrderSteps.plan(order_steps(sqlite_journal))
    denied = Decision(DecisionOutcome.DENIED, ORDER, 4, intent, DenialReason.NOT_ARMED, "no\x1btoken")
    placed = dataclasses.replace(
        denied, outcome=DecisionOutcome.PLACED, proposal_id=None, intent=None, reason=None, detail=""
    )
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


def environment_context(monkeypatch: pytest.MonkeyPatch, folder: Path, **variables: str) -> Any:
    """Return the context an operator's command gets from these environment variables."""
    for name, value in {"DATA_DIR": str(folder), **variables}.items():
        monkeypatch.setenv(f"KALSHI_{name}", value)
    return CommandContext.from_environment()


def test_context_refuses_an_old_warehouse_and_closes_every_database(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    closed: list[str] = []
    monkeypatch.setattr(sa.Engine, "dispose", lambda engine: closed.append(Path(engine.url.database or "").name))
    (tmp_path / "sandbox").mkdir()
    for name in ("warehouse.db", "journal.db"):
        (tmp_path / "sandbox" / name).touch()
    with environment_context(monkeypatch, tmp_path) as made:
        with pytest.raises(SchemaNotAtHead):
            made.warehouse()
        upgrade_to_head(open_engine(made.settings.resolved_warehouse_url))
        closed.clear()
        made.warehouse()
        made.journal_engine()
    assert sorted(closed) == ["journal.db", "warehouse.db", "warehouse.db"]


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({"TRADE_URL": "http://127.0.0.1:1"}, "http://127.0.0.1:1/trade-api/v2"),
        ({"SANDBOX_URL": "http://127.0.0.1:2"}, "http://127.0.0.1:2/trade-api/v2"),
        ({"TRADE_URL": "http://127.0.0.1:1", "SANDBOX_URL": "http://127.0.0.1:2"}, "http://127.0.0.1:2/trade-api/v2"),
    ],
)
def test_client_reads_from_the_trading_address_unless_a_sandbox_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], address: str
) -> None:
    with environment_context(monkeypatch, tmp_path, **variables) as made:
        client = made.client(sa.create_engine("sqlite://"))
        assert client.address == address


@pytest.mark.parametrize(
    "command",
    [
        inbox_commands.propose_order,
        inbox_commands.import_file,
        session_commands.trade_inbox,
        session_commands.approve,
        session_commands.close_session,
        inspection_commands.reconcile,
        evidence_commands.acknowledge,
        stop_commands.drill,
        stop_commands.release,
    ],
)
def test_command_that_changes_something_first_prints_what_it_acts_on(command: Callable[..., int]) -> None:
    class Said(Exception):
        pass

    def whereabouts() -> None:
        raise Said

    context = fake_context()
    del context.journal, context.journal_engine, context.warehouse
    context.whereabouts = whereabouts
    with pytest.raises(Said):
        command(context, given(**PROPOSED, intent=1, sha256="", tickers=[], file=Path("a.csv")))


@pytest.mark.parametrize("environment", ["sandbox", "demo", "prod"])
def test_wrong_setting_of_the_trade_key_is_named_in_the_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: str
) -> None:
    (tmp_path / "good.pem").write_bytes(
        Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    (tmp_path / "good.pem").chmod(0o600)
    (tmp_path / "bad.pem").write_text("nothing")
    variables = {"ENVIRONMENT": environment, "TRADE_API_KEY_ID": "a", "TRADE_URL": "https://elsewhere.example"}
    for file in ("absent.pem", "bad.pem", "-----BEGIN PRIVATE KEY-----"):
        with (
            environment_context(
                monkeypatch, tmp_path, TRADE_PRIVATE_KEY_FILE=str(tmp_path / file), **variables
            ) as made,
            pytest.raises(UnusableKey, match="KALSHI_TRADE_PRIVATE_KEY_FILE"),
        ):
            session_commands.arm(made, given(minutes=60, run=None))
    with environment_context(
        monkeypatch, tmp_path, TRADE_PRIVATE_KEY_FILE=str(tmp_path / "good.pem"), **variables
    ) as made:
        with pytest.raises(EnvironmentMismatch, match=r"Set KALSHI_TRADE_URL to (an )?http"):
            session_commands.arm(made, given(minutes=60, run=None))
        with pytest.raises(EnvironmentMismatch, match=r"Set KALSHI_TRADE_URL to (an )?http"):
            made.client(sa.create_engine("sqlite://"))


def test_whereabouts_with_wrong_settings_raises_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with environment_context(monkeypatch, Path("data"), TRADE_SUBACCOUNT="7") as made:
        assert made.whereabouts() == f"sandbox, sub-account 7, journal {tmp_path / 'data/sandbox/journal.db'}"
    url = "postgresql://kalshi:hunter2@db/trading"
    with environment_context(
        monkeypatch, tmp_path, JOURNAL_URL=url, ENVIRONMENT="prod", TRADE_SESION_ORDERS="5"
    ) as made:
        assert made.whereabouts() == "prod, sub-account not known, journal postgresql://db/trading"
    with environment_context(monkeypatch, tmp_path, JOURNAL_URL="nonsense") as made:
        assert made.whereabouts() == "prod, sub-account not known, journal not known"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rests", [None, 9])
def test_propose_stores_the_expiry_that_was_asked_for(
    sqlite_journal: sa.Engine, capsys: pytest.CaptureFixture[str], rests: int | None
) -> None:
    context = fake_context()
    context.journal_engine = lambda: sqlite_journal
    order = PROPOSED | {
        "rest_minutes": rests,
        "post_only": rests is not None,
        "time_in_force": "immediate_or_cancel" if rests is None else "good_till_canceled",
    }
    before = now_us()
    assert inbox_commands.propose_order(context, given(**order)) == 0
    with sqlite_journal.connect() as connection:
        row = connection.execute(sa.select(proposals)).mappings().one()
    assert before <= row["as_of_us"] <= now_us()
    assert row["valid_until_us"] - row["as_of_us"] == 5 * MINUTE
    assert row["expires_us"] == (None if rests is None else row["as_of_us"] + 9 * MINUTE)
    assert (row["post_only"], row["reduce_only"]) == (int(rests is not None), 0)
    assert (row["actor_kind"], row["actor_name"], row["source"]) == ("agent", "reader", "command line")
    assert "is in the inbox until" in capsys.readouterr().out


def test_approval_expires_after_ten_minutes(sqlite_journal: sa.Engine) -> None:
    steps = order_steps(sqlite_journal)
    intent = steps.reserve()
    session_commands.approve(
        fake_context(journal=steps.journal), given(intent=intent.intent_id, sha256=intent.request_sha256)
    )
    with steps.journal.reading() as reading:
        assert reading.orders.is_approved(intent, NOON + 10 * MINUTE - 1)
        assert not reading.orders.is_approved(intent, NOON + 10 * MINUTE + 1)


@pytest.fixture
def key_at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the trade key by a stand-in that can always be opened, and the clock by one that always shows noon."""

    @contextmanager
    def transport(*_: object) -> Iterator[Any]:
        yield SimpleNamespace(key_fingerprint="SHA256:0123456789abcdef", host="127.0.0.1:1")

    monkeypatch.setattr(session_commands, "live_transport", transport)
    monkeypatch.setattr(session_commands, "now_us", lambda: NOON)


@pytest.mark.usefixtures("key_at_noon")
@pytest.mark.parametrize(("minutes", "is_armed"), [(-1, False), (0, False), (1, True), (1_440, True), (1_441, False)])
def test_arm_accepts_one_minute_to_one_day(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, minutes: int, is_armed: bool
) -> None:
    if not is_armed:
        with pytest.raises(CommandRefused, match=f"cannot be valid for {minutes} minutes"):
            session_commands.arm(fake_context(), given(minutes=minutes, run=tmp_path / "run.yaml"))
        assert capsys.readouterr().out == ""
        assert list(tmp_path.iterdir()) == []
        return
    assert session_commands.arm(fake_context(), given(minutes=minutes, run=None)) == 0
    token = capsys.readouterr().out.splitlines()[-1].removeprefix("export KALSHI_TRADE_ARM=")
    assert arm_expires_us(TradeSettings.model_validate({"arm": token})) == NOON + minutes * MINUTE


@pytest.mark.usefixtures("key_at_noon")
@pytest.mark.parametrize("text", ["", "  ", "x" * 201, "two\nlines", "\udcff"])
@pytest.mark.parametrize("option", ["by", "why"])
def test_name_or_reason_that_cannot_be_stored_is_refused(tmp_path: Path, option: str, text: str) -> None:
    file = tmp_path / "run.yaml"
    for command in (session_commands.arm, session_commands.trade_inbox):
        with pytest.raises(
            CommandRefused, match=rf"^--{option} has {len(text)} characters\. Write one printable line of 1 to 200"
        ):
            command(fake_context(), given(minutes=60, run=file, **{option: text}))
    assert list(tmp_path.iterdir()) == []
    longest = given(minutes=60, run=file, **{option: "x" * 200})
    assert session_commands.arm(fake_context(), longest) == 0
    assert ArmedByHand(**yaml.safe_load(file.read_text())["ops"]["executed_orders"]["config"])


@pytest.mark.usefixtures("key_at_noon")
def test_arm_with_a_file_writes_the_config_of_the_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    assert session_commands.arm(fake_context(), given(minutes=60, run=file)) == 0
    config = {"armed_by": "ann", "why": "a try", "armed_at": "2026-11-23T17:00:00+00:00"}
    written = yaml.safe_load(file.read_text())["ops"]["executed_orders"]["config"]
    assert written == {**config, "nonce": written["nonce"]}
    assert session_commands.arm(fake_context(), given(minutes=60, run=file)) == 0
    again = yaml.safe_load(file.read_text())["ops"]["executed_orders"]["config"]
    assert again == {**config, "nonce": again["nonce"]}
    assert len({written["nonce"], again["nonce"]}) == 2
    token, run = capsys.readouterr().out.splitlines()[-2:]
    assert token.startswith("export KALSHI_TRADE_ARM=sandbox:")
    assert run.endswith(f"dagster job execute -m kalshi_pipelines -j trade -c {file}")


@pytest.mark.parametrize("clean", [True, False])
def test_reconcile_exits_0_if_the_reconciliation_is_clean(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clean: bool
) -> None:
    reconciler = SimpleNamespace(reconcile=lambda: SimpleNamespace(clean=clean))

    @contextmanager
    def account(*_: object) -> Iterator[Any]:
        yield SimpleNamespace(reconciler=lambda _: reconciler)

    monkeypatch.setattr(inspection_commands, "live_account", account)
    context = fake_context()
    context.warehouse = lambda: None
    assert inspection_commands.reconcile(context, given()) == (0 if clean else 1)
    assert capsys.readouterr().out.splitlines()[-1] == f"namespace(clean={clean})"


@pytest.mark.parametrize("failure", [None, NotReleased("It is not engaged.")])
def test_release_prints_its_event_or_why_it_was_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failure: Exception | None
) -> None:
    asked: list[tuple[str, str]] = []

    def release(by: str, why: str) -> int:
        asked.append((by, why))
        if failure:
            raise failure
        return 7

    context, of, registered = fake_context(), list[object](), list[object]()
    monkeypatch.setattr(stop_commands, "register_released_journal", collecting(registered, "no folder"))
    monkeypatch.setattr(stop_commands, "kill_switch", collecting(of, SimpleNamespace(release=release)))
    assert stop_commands.release(context, given()) == (1 if failure else 0)
    said = capsys.readouterr()
    assert asked == [("ann", "a try")]
    assert of == [context.settings, context.trade, context.journal]
    unregistered = "`kill` does not find this journal from other folders. no folder\n"
    assert registered == [context.settings]
    assert said.err.startswith(unregistered)
    if failure:
        assert (said.out, said.err) == (
            f"{HERE}\n",
            f"{unregistered}The kill switch stays engaged. It is not engaged.\n",
        )
    else:
        assert "released by ann (event 7)" in said.out


def status_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], steps: OrderSteps, folder: Path, now: int
) -> list[str]:
    monkeypatch.setattr(inspection_commands, "now_us", lambda: now)
    context = fake_context(journal=steps.journal)
    context.settings = Settings(data_dir=folder)
    context.settings.environment_dir.mkdir(exist_ok=True)
    capsys.readouterr()
    assert inspection_commands.status(context, given()) == 0
    return capsys.readouterr().out.splitlines()


def test_status_prints_switch_session_orders_inbox_caps_and_positions(
    sqlite_journal: sa.Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    steps = order_steps(sqlite_journal)
    steps.reserve()
    with steps.journal.writing() as transaction:
        transaction.reconciliations.record(ACCOUNT, NOON, NOON, differences=0, clean=True, report="-")
    old, new = (
        dataclasses.replace(ORDER, as_of=instant(end - MINUTE), valid_until=instant(end)) for end in (NOON - HOUR, NOON)
    )
    propose(sqlite_journal, [old, new], "a test")
    assert status_of(monkeypatch, capsys, steps, tmp_path, NOON + 90 * SECOND) == [
        "environment      sandbox, sub-account 0, mode dry_run",
        "journal          /x/journal.db",
        "trading          not stopped",
        "kill switch      clear since 2026-11-23 17:00:00 UTC by grace: looked at it",
        "live session     session-0001",
        "open orders      1",
        "       6  reserved       KXRAIN-26NOV24-T1  bid 10.00 at 0.5000",
        "reconciliation   clean, 90 seconds ago",
        "inbox            1 proposal",
        "       2  buy 1.50 NO KXA-1 at 0.5600  by person ann, valid until 2026-11-23 17:00:00 UTC",
        "caps",
        "  session session-0001                         1 of 25 orders  notional $5.00  worst loss $5.20 of $200.00",
        "  day 2026-11-23                              1 of 100 orders  notional $5.00  worst loss $5.20 of $500.00",
        "  last 24 hours                                       1 order  notional $5.00  worst loss $5.20 of $500.00",
        "  event KXRAIN-26NOV24                                1 order  notional $5.00  worst loss $5.20 of $200.00",
        "  account                                             1 order  notional $5.00  worst loss $5.20 of $1,000.00",
        "positions        1 market, at most 2,000 contracts each",
        "  KXRAIN-26NOV24-T1                         0.00 YES  open bids 10.00  asks 0.00",
    ]


def test_status_prints_who_stopped_trading_and_the_differences(
    sqlite_journal: sa.Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    steps = order_steps(sqlite_journal, mode=Mode.DRY_RUN)
    steps.reserve(order_group_id=None)
    with steps.journal.writing() as transaction:
        transaction.halts.engage(2, "operator", "bob", "it is\nodd")
    message = status_of(monkeypatch, capsys, steps, tmp_path, NOON)
    assert message == [
        "environment      sandbox, sub-account 0, mode dry_run",
        "journal          /x/journal.db",
        "trading          stopped by journal: bob (operator): it is odd",
        "kill switch      engaged (level 2) since 2026-11-23 17:00:00 UTC by bob: it is odd",
        "live session     none",
        "open orders      0",
        "reconciliation   never",
        "inbox            0 proposals",
        "caps",
        "  day 2026-11-23 (dry run)                    1 of 100 orders  notional $5.00  worst loss $5.20 of $500.00",
        "  last 24 hours (dry run)                             1 order  notional $5.00  worst loss $5.20 of $500.00",
        "  event KXRAIN-26NOV24 2026-11-23 (dry run)            1 order  notional $5.00  worst loss $5.20 of $200.00",
        "  account (dry run)                                   1 order  notional $5.00  worst loss $5.20 of $1,000.00",
        "positions        0 markets, at most 2,000 contracts each",
    ]
    with steps.journal.writing() as transaction:
        transaction.reconciliations.record(ACCOUNT, NOON, NOON, differences=2, clean=False, report="-")
    assert "reconciliation   2 differences, 0 seconds ago" in status_of(monkeypatch, capsys, steps, tmp_path, NOON)


def test_status_prints_foreign_orders_only_while_they_rest(
    sqlite_journal: sa.Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    steps = order_steps(sqlite_journal)
    order = ForeignOrder("order-\x1b[2J9", TICKER, Side.ASK, 6_000, 900, "it has no client order id")
    with steps.journal.writing() as transaction:
        transaction.foreign_orders.record(ACCOUNT, order, EVENT)
    printed = status_of(monkeypatch, capsys, steps, tmp_path, NOON)
    place = printed.index("open orders      0") + 1
    assert printed[place : place + 2] == [
        "foreign orders   1",
        "  KXRAIN-26NOV24-T1  ask 9.00 at 0.6000  order order- [2J9",
    ]
    with steps.journal.writing() as transaction:
        transaction.foreign_orders.record_end(ACCOUNT, order.order_id, EVENT)
    assert not [line for line in status_of(monkeypatch, capsys, steps, tmp_path, NOON) if "foreign" in line]


def test_status_of_a_new_journal_prints_how_to_release_it(
    sqlite_journal: sa.Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    steps = order_steps(sqlite_journal, released=False, mode=Mode.DRY_RUN)
    printed = status_of(monkeypatch, capsys, steps, tmp_path, NOON)
    assert printed[2:4] == [
        "trading          stopped by journal: journal (journal): a new journal",
        '                 Trading is halted because this journal is new. Run `release --why "..."` once.',
    ]
    steps.release_kill_switch()
    assert not any("is new" in line for line in status_of(monkeypatch, capsys, steps, tmp_path, NOON))


def test_status_adds_up_the_last_24_hours_and_leaves_out_closed_scopes(
    journal_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    allowed = caps(session=(25, 1_000_000_000, 200_000_000))
    steps = order_steps(journal_engine, allowed, lives_us=9 * HOUR)
    for _ in range(3):
        steps.reserve()
        steps.clock.now_us += HOUR
    next_session(steps, 2, allowed)
    with steps.journal.writing() as transaction:
        over = transaction.orders.reserve(transaction.orders.plan(steps.intent(event_ticker="KXB", ticker="KXB-1")))
        transaction.orders.abandon(over, DenialReason.SESSION_CLOSED, "over")
    message = status_of(monkeypatch, capsys, steps, tmp_path, steps.clock() + 22 * HOUR)
    listed = message[message.index("caps") + 1 :]
    assert [line.strip().partition("  ")[0] for line in listed] == [
        "session session-0002",
        "last 24 hours",
        "event KXRAIN-26NOV24",
        "account",
        "positions",
        "KXRAIN-26NOV24-T1",
    ]
    session, hours = listed[:2]
    assert session.endswith("1 of 25 orders  notional $0.00 of $1,000.00  worst loss $0.00 of $200.00")
    assert hours.endswith("3 orders  notional $10.00  worst loss $10.40 of $500.00")


def test_negative_position_is_shown_as_contracts_of_no() -> None:
    lines = list(position_lines([MarketStanding("KXA-1", -150, 0, 0, 275, 0, 0)], 20))
    assert lines[0] == "positions        1 market, at most 20 contracts each"
    assert lines[1].split("  ")[-3:] == [" 1.50 NO", "open bids 0.00", "asks 2.75"]


def test_breached_scope_is_marked_in_its_line(sqlite_journal: sa.Engine) -> None:
    steps = order_steps(sqlite_journal)
    steps.reserve()
    with steps.journal.reading() as reading:
        (standing,) = reading.ledger.standings(ACCOUNT, Mode.LIVE, {ScopeKind.ACCOUNT: "account"})
    beyond = dataclasses.replace(standing, breached=True)
    for scope, is_told in ((standing, False), (beyond, True)):
        (line,) = cap_lines([scope])
        assert line.endswith("  BREACHED") is is_told


def test_instant_beyond_the_calendar_is_shown_as_a_number() -> None:
    assert format_instant(10**18) == "1,000,000,000,000,000,000 microseconds"
