"""The command line against a sandbox: what it prints, its exit statuses, and a whole day of an operator."""

import datetime as dt
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kalshi_pipelines.execution.journal.engine import journal_url, open_journal
from kalshi_pipelines.execution.journal.guards import lower_guards, raise_guards
from kalshi_pipelines.execution.kill.registry import read_registry
from kalshi_pipelines.execution.orders.evidence import Holding
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount
from kalshi_pipelines.execution.service.cli import main
from kalshi_pipelines.settings import Settings
from kalshi_pipelines_tests.support.execution.member_reconciler import by_hand
from kalshi_pipelines_tests.support.execution.sandbox_member import SandboxMember, sandbox_with_member
from kalshi_pipelines_tests.support.execution.trading_environment import prepare_trading


@pytest.fixture
def member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxMember]:
    """A sandbox, and the environment variables of an operator who trades there but has not armed a session."""
    monkeypatch.chdir(tmp_path)
    with sandbox_with_member(tmp_path) as made:
        prepare_trading(made, tmp_path, monkeypatch)
        yield made


def output_of(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> str:
    assert main(arguments) == status, capsys.readouterr()
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_operator_proposes_trades_reconciles_and_halts_in_a_day(
    member: SandboxMember, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    market = member.tradable()
    bid = ("buy", "yes", market["ticker"], "1", market["yes_bid_dollars"], "--time-in-force", "good_till_canceled")
    rests = (*bid, "--rest-minutes", "10", "--name", "ann")
    assert "in the inbox" in output_of(capsys, 0, "propose", *rests, "--signal", "one")
    assert "approve" not in output_of(capsys, 0, "status")
    assert "No session was opened and nothing was sent" in output_of(
        capsys, 1, "trade", "--by", "ann", "--why", "too early"
    )
    assert member.orders_on_exchange() == []

    assert "released by ann" in output_of(capsys, 0, "release", "--by", "ann", "--why", "ready")
    armed = output_of(capsys, 0, "arm", "--by", "ann", "--why", "a try", "--run", str(tmp_path / "run.yaml"))
    token = re.search(r"export KALSHI_TRADE_ARM=(\S+)", armed)
    assert token
    assert "worst loss of a session $200.00" in armed
    monkeypatch.setenv("KALSHI_TRADE_ARM", token[1])
    config = yaml.safe_load((tmp_path / "run.yaml").read_text())["ops"]["executed_orders"]["config"]
    assert (config["armed_by"], config["why"]) == ("ann", "a try")
    assert dt.datetime.fromisoformat(config["armed_at"]).tzinfo

    assert "placed: buy 1.00 YES" in output_of(capsys, 0, "trade", "--by", "ann", "--why", "a try")
    status = output_of(capsys, 0, "status")
    assert "resting" in status
    assert "clean" in status
    assert "open orders      1" in status
    assert "clean: sandbox" in output_of(capsys, 0, "reconcile")

    assert "The drill took" in output_of(capsys, 0, "drill", "--by", "ann", "--why", "practice", "--patience", "60")
    halted = output_of(capsys, 0, "kill", "--level", "2", "--by", "ann", "--why", "the end", "--patience", "60")
    assert halted.startswith(f"Engaged: sandbox, journal {tmp_path / 'data/sandbox/journal.db'} (event ")
    assert halted.splitlines()[-1] == (
        "ENGAGED AND FLAT: no new order is sent in 1 journal (0 sessions seen), and no order rests in sandbox, "
        "sub-account 0 (proved in round 1)."
    )
    assert "stays engaged" in output_of(capsys, 1, "release", "--by", "ann", "--why", "again")
    assert "stopped by journal: ann" in output_of(capsys, 0, "status")
    assert output_of(capsys, 0, "verify-audit").startswith("clean: ")
    assert len(member.orders_on_exchange()) == 1
    order = {"side": "bid", "count": "1.00", "price": market["yes_ask_dollars"], "ticker": market["ticker"]}
    terms = {"time_in_force": "immediate_or_cancel", "self_trade_prevention_type": "taker_at_cross"}
    assert by_hand(member, "POST", "/portfolio/events/orders", **order, **terms).status_code == 201
    assert "neither this journal's nor recorded: not acknowledged yet" in output_of(capsys, 0, "verify-audit")
    assert "foreign_fill" in output_of(capsys, 1, "reconcile")
    assert output_of(capsys, 0, "verify-audit").startswith("explained: ")
    monkeypatch.setenv("KALSHI_TRADE_API_KEY_ID", "00000000-0000-4000-8000-00000000dead")
    assert "the exchange's orders could not be read" in output_of(capsys, 2, "verify-audit")


def arm_and_propose(member: SandboxMember, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Release the kill switch, arm a session, and propose an order of an agent, which a person must approve."""
    market = member.tradable()
    output_of(capsys, 0, "release", "--by", "ann", "--why", "ready")
    token = re.search(r"KALSHI_TRADE_ARM=(\S+)", output_of(capsys, 0, "arm", "--by", "ann", "--why", "a try"))
    assert token
    monkeypatch.setenv("KALSHI_TRADE_ARM", token[1])
    order = ("buy", "yes", market["ticker"], "1", market["yes_ask_dollars"], "--signal", "news", "--as", "agent")
    output_of(capsys, 0, "propose", *order, "--name", "reader")


def test_agent_s_order_waits_for_approval_of_its_exact_bytes(
    member: SandboxMember, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arm_and_propose(member, capsys, monkeypatch)
    command = [sys.executable, "-m", "kalshi_pipelines.execution"]
    with subprocess.Popen(
        [*command, "trade", "--by", "ann", "--why", "a try"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as trading:
        assert trading.stdout
        wanted = next(found for line in trading.stdout if (found := re.search(r"approve (\d+) ([0-9a-f]{12})$", line)))
        assert member.orders_on_exchange() == []
        intent, digest = wanted.groups()
        assert "another SHA-256" in output_of(capsys, 2, "approve", intent, "0" * 64, "--by", "ann")
        assert "this request, and no other" in output_of(capsys, 0, "approve", intent, digest, "--by", "ann")
        assert "placed: buy 1.00 YES" in trading.stdout.read()
    assert trading.returncode == 0
    assert len(member.orders_on_exchange()) == 1


def test_kill_without_variables_stops_a_session_that_runs_in_another_folder(
    member: SandboxMember, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arm_and_propose(member, capsys, monkeypatch)
    command = [sys.executable, "-m", "kalshi_pipelines.execution"]
    (tmp_path / "elsewhere").mkdir()
    # The session's folder is relative, and the person's terminal has no variables except the one of the tests.
    relative = os.environ | {"PYTHONUNBUFFERED": "1", "KALSHI_DATA_DIR": "data"}
    bare = {name: text for name, text in relative.items() if not name.startswith("KALSHI_")}
    bare["KALSHI_SESSIONS_DIR"] = os.environ["KALSHI_SESSIONS_DIR"]
    with subprocess.Popen(
        [*command, "trade", "--by", "ann", "--why", "a try"], stdout=subprocess.PIPE, text=True, env=relative
    ) as trading:
        assert trading.stdout
        wanted = next(found for line in trading.stdout if (found := re.search(r"approve (\d+) ([0-9a-f]{12})$", line)))
        killed = subprocess.run(
            [*command, "kill"], capture_output=True, text=True, env=bare, cwd=tmp_path / "elsewhere", check=True
        )
        assert re.search(
            rf"^Seen: session [0-9a-f]{{32}} \(live\) of process {trading.pid}, sandbox, sub-account 0$",
            killed.stdout,
            re.MULTILINE,
        )
        assert killed.stdout.splitlines()[-1] == (
            "ENGAGED: no new order is sent in 1 journal (1 session seen). Resting orders stay; level 2 cancels them."
        )
        # The kill ends the wait for approval.
        assert f"approve {wanted[1]}" not in (rest := trading.stdout.read())
        assert "placed" not in rest
    assert member.orders_on_exchange() == []
    assert read_registry((Path(os.environ["KALSHI_SESSIONS_DIR"]),)).sessions == ()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_corrupt_journal_stops_trading(member: SandboxMember, capsys: pytest.CaptureFixture[str]) -> None:
    del member
    output_of(capsys, 0, "release", "--by", "ann", "--why", "ready")
    assert "trading          not stopped" in output_of(capsys, 0, "status")
    journal = open_journal(journal_url(Settings.from_environment()))
    with journal.connect() as connection, connection.begin():
        lower_guards(connection)
        connection.exec_driver_sql("UPDATE audit_log SET body = replace(body, 'ready', 'steady')")
        raise_guards(connection)
    journal.dispose()
    assert "The kill switch is engaged" in output_of(capsys, 1, "verify-audit")
    assert "stopped by journal: verify-audit (audit): the journal is corrupt" in output_of(capsys, 0, "status")


def test_kill_with_wrong_settings_of_trading_engages_the_switch(
    member: SandboxMember, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del member
    output_of(capsys, 0, "release", "--by", "ann", "--why", "ready")
    monkeypatch.setenv("KALSHI_TRADE_SESION_ORDERS", "5")
    assert "\nENGAGED: no new order is sent" in output_of(capsys, 0, "kill", "--by", "bob", "--why", "odd")
    monkeypatch.delenv("KALSHI_TRADE_SESION_ORDERS")
    assert "stopped by journal: bob (operator): odd" in output_of(capsys, 0, "status")
    output_of(capsys, 0, "release", "--by", "ann", "--why", "it was a typo")
    monkeypatch.setenv("KALSHI_TRADE_PRIVATE_KEY_FILE", "nowhere.pem")
    said = output_of(capsys, 1, "kill", "--level", "2", "--by", "cid", "--why", "odd again")
    assert "\nENGAGED, NOT FLAT: orders may still rest. nothing was canceled in sandbox, sub-account 0: " in said
    assert "stopped by journal: cid (operator): odd again" in output_of(capsys, 0, "status")


def test_drifted_position_is_acknowledged_by_its_digest(
    member: SandboxMember, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Nothing was recorded. No live session of the sub-account was ever opened" in output_of(
        capsys, 2, "acknowledge"
    )
    output_of(capsys, 0, "release", "--by", "ann", "--why", "ready")
    token = re.search(r"KALSHI_TRADE_ARM=(\S+)", output_of(capsys, 0, "arm", "--by", "ann", "--why", "a try"))
    assert token
    monkeypatch.setenv("KALSHI_TRADE_ARM", token[1])
    assert "no proposals" in output_of(capsys, 0, "trade", "--by", "ann", "--why", "a try")
    assert "every fact is explained" in output_of(capsys, 0, "acknowledge")
    ticker = member.tradable()["ticker"]
    monkeypatch.setattr(ExchangeAccount, "holdings", lambda _: {ticker: Holding(ticker, 300, 1_500_000)})
    assert f"position_drift {ticker}" in output_of(capsys, 1, "reconcile")
    shown = output_of(capsys, 1, "acknowledge")
    assert f"position_drift {ticker}: the exchange has 3.00 contracts, the journal 0.00 contracts" in shown
    digest = re.search(r"acknowledge --digest ([0-9a-f]{12}) ", shown)
    assert digest
    assert "--why has 0 characters" in output_of(capsys, 2, "acknowledge", "--digest", digest[1], "--by", "ann")
    why = ("--by", "ann", "--why", "a transfer")
    assert "another digest now" in output_of(capsys, 2, "acknowledge", "--digest", "0" * 12, *why)
    assert "has 5 digits" in output_of(capsys, 2, "acknowledge", "--digest", digest[1][:5], *why)
    acknowledged = output_of(capsys, 0, "acknowledge", "--digest", digest[1], *why)
    assert "Recorded for ann, as record" in acknowledged
    assert "clean: sandbox" in acknowledged
    output_of(capsys, 0, "release", "--by", "bob", "--why", "ann acknowledged it")
    assert "acknowledged by ann: a transfer" in output_of(capsys, 0, "verify-audit")


def test_command_that_cannot_be_done_prints_a_sentence_and_exits_2(
    member: SandboxMember, capsys: pytest.CaptureFixture[str]
) -> None:
    del member
    for arguments, sentence in (
        (("approve", "7", "0" * 64), "no intent 7"),
        (("close-session", "--why", "x"), "There is no live session"),
        (("import", "nowhere.csv"), "nowhere.csv: the file cannot be read"),
        (("propose", "buy", "yes", "KXA-1", "ten", "56", "--signal", "s"), "count: 'ten' is not"),
    ):
        said = output_of(capsys, 2, *arguments)
        assert sentence in said
        assert "Traceback" not in said


def test_missing_journal_prints_the_command_that_creates_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KALSHI_DATA_DIR", str(tmp_path))
    assert "dagster job execute -m kalshi_pipelines -j migrate" in output_of(capsys, 2, "status")
