"""The command `setup`: each step to a live session, the .env file, and a key of the sandbox."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.gates.arming import ArmBinding, arm_token
from kalshi_pipelines.execution.journal.engine import journal_url, open_journal
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.service.cli import main
from kalshi_pipelines.execution.service.setup.setup_texts import VARIABLES
from kalshi_pipelines.settings import Environment, Settings
from kalshi_pipelines.units import HOUR_US, now_us
from kalshi_pipelines_tests.support.execution.sandbox_member import SandboxMember, sandbox_with_member
from kalshi_pipelines_tests.support.execution.trading_environment import prepare_trading

Lines = dict[str, str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and an environment without any setting."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("KALSHI_")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def member(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxMember]:
    """A sandbox with a member, and the environment variables of an operator who is ready but for the release."""
    with sandbox_with_member(folder) as made:
        prepare_trading(made, folder, monkeypatch)
        arm(made, monkeypatch)
        yield made


def arm(made: SandboxMember, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = ArmBinding(Environment.SANDBOX, made.signer.fingerprint, TradeSettings.from_environment().limits_sha256)
    monkeypatch.setenv("KALSHI_TRADE_ARM", arm_token(bound, now_us() + HOUR_US))


def checked(capsys: pytest.CaptureFixture[str], status: int) -> Lines:
    """Run `setup`, and return the state of each step by the step's title."""
    assert main(["setup"]) == status
    found: Lines = {}
    for line in capsys.readouterr().out.splitlines():
        state, _, rest = line.partition(" ")
        if state in ("done", "missing", "wrong", "advice"):
            found[rest.split(maxsplit=1)[1].partition(":")[0]] = line
    return found


def test_setup_without_any_setting_names_every_missing_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setup"]) == 1
    said = capsys.readouterr().out
    for name in VARIABLES.keys() - {"KALSHI_SANDBOX_URL", "KALSHI_TRADE_PRODUCTION"}:
        assert f"{name} is not set" in said, name
    assert "dagster job execute -m kalshi_pipelines -j migrate" in said
    assert "Not ready: 13 steps left" in said


def test_setup_for_production_proposes_no_consent_and_names_the_variable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALSHI_ENVIRONMENT", "prod")
    found = checked(capsys, 1)
    assert found["consent"].startswith("missing")
    assert found["data folder"].startswith("wrong")


def test_setup_takes_an_operator_to_the_first_session(
    member: SandboxMember, capsys: pytest.CaptureFixture[str]
) -> None:
    halted = checked(capsys, 1)
    assert [title for title, line in halted.items() if line.startswith(("missing", "wrong"))] == ["kill switch"]
    assert main(["release", "--why", "ready", "--by", "ann"]) == 0
    capsys.readouterr()
    assert main(["setup"]) == 0
    said = capsys.readouterr().out
    proposed = next(line for line in said.splitlines() if " propose buy yes " in line)
    words = proposed.replace('"', "").split()
    assert main([*words[words.index("propose") : words.index("--signal") + 1], "my first order"]) == 0
    assert main(["trade", "--why", "the first order", "--by", "ann"]) == 0
    assert "placed: buy 1.00 YES" in capsys.readouterr().out
    assert len(member.orders_on_exchange()) == 1
    assert "has already opened a live session" in checked(capsys, 1)["arming"]


def test_F80_setup_calls_a_key_file_that_others_can_read_wrong(
    member: SandboxMember, capsys: pytest.CaptureFixture[str]
) -> None:
    member.key_file.chmod(0o644)
    assert checked(capsys, 1)["trade key"].startswith("wrong")


def test_setup_calls_a_key_with_more_scopes_wrong(
    member: SandboxMember, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    from kalshi_pipelines.sandbox import create_key

    full = folder / "full.pem"
    assert create_key.main(["--url", member.sandbox.admin_url, "--out", str(full)]) == 0
    key_id = capsys.readouterr().out.split("KALSHI_API_KEY_ID=")[1].split()[0]
    monkeypatch.setenv("KALSHI_TRADE_API_KEY_ID", key_id)
    monkeypatch.setenv("KALSHI_TRADE_PRIVATE_KEY_FILE", str(full))
    found = checked(capsys, 1)
    assert found["key at the exchange"].startswith("wrong")
    assert found["arming"].startswith("wrong")


def test_setup_calls_a_token_for_other_caps_wrong(
    member: SandboxMember, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALSHI_TRADE_SESSION_LOSS_DOLLARS", "10")
    assert checked(capsys, 1)["arming"].startswith("wrong")


def test_setup_calls_the_anchors_of_another_journal_wrong(
    member: SandboxMember, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings.from_environment()
    line = {"at_us": 1, "database_id": "another-journal-0", "hash": "0" * 64, "seq": 1}
    settings.resolved_journal_anchors.write_text(f"{line}\n".replace("'", '"'))
    assert checked(capsys, 1)["anchors"].startswith("wrong")


def test_setup_with_an_unknown_variable_names_it_and_is_not_ready(
    member: SandboxMember, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALSHI_TRADE_SESION_ORDERS", "3")
    assert "KALSHI_TRADE_SESION_ORDERS" in checked(capsys, 1)["settings"]


def test_setup_during_another_session_names_it_and_is_not_ready(
    member: SandboxMember, capsys: pytest.CaptureFixture[str]
) -> None:
    from kalshi_pipelines.execution.executor import session as sessions
    from kalshi_pipelines.execution.executor.session import Opening
    from kalshi_pipelines.execution.journal.records import Origin

    settings = Settings.from_environment()
    engine = open_journal(journal_url(settings))
    journal = Journal(engine, settings.environment)
    with journal.writing() as transaction:
        transaction.halts.release("ann", "ready")
    transport = member.transport(TradeSettings.from_environment())
    opening = Opening("ann", Origin.BY_HAND)
    opened = sessions.open_live(journal, TradeSettings.from_environment(), settings.environment, opening, transport, ())
    engine.dispose()
    assert opened.session_id in checked(capsys, 1)["other session"]


def test_setup_writes_an_env_file_that_only_its_owner_can_read(
    member: SandboxMember, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    file = folder / "mine.env"
    file.write_text("# my own line\nKALSHI_TRADE_MODE=live")
    file.chmod(0o644)
    assert main(["setup", "--write-env", str(file)]) == 1
    text = file.read_text()
    assert text.startswith("# my own line\nKALSHI_TRADE_MODE=live\n")
    assert text.count("KALSHI_TRADE_MODE") == 1
    assert f"KALSHI_TRADE_API_KEY_ID={member.key_id}\n" in text
    assert "KALSHI_TRADE_ARM" not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert main(["setup", "--write-env", str(file)]) == 1
    assert file.read_text() == text
    assert "BEGIN" not in capsys.readouterr().out + text


def test_setup_does_not_overwrite_another_value_in_an_env_file(
    member: SandboxMember, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    file = folder / "mine.env"
    file.write_text("KALSHI_TRADE_SERIES=KXA\n")
    assert main(["setup", "--write-env", str(file)]) == 2
    assert "has another value of KALSHI_TRADE_SERIES" in capsys.readouterr().err
    assert file.read_text() == "KALSHI_TRADE_SERIES=KXA\n"


@pytest.mark.parametrize("name", ["KALSHI_TRADE_API_KEY_ID", "KALSHI_TRADE_PRIVATE_KEY_FILE"])
def test_setup_neither_shows_nor_writes_a_private_key_given_as_a_setting(
    name: str,
    member: SandboxMember,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
) -> None:
    secret = member.key_file.read_text().splitlines()[1]
    monkeypatch.setenv(name, member.key_file.read_text())
    assert main(["setup", "--write-env", str(folder / "mine.env")]) == 2
    assert main(["setup"]) == 1
    captured = capsys.readouterr()
    assert secret not in captured.out + captured.err
    assert not (folder / "mine.env").exists()


def test_setup_creates_a_key_at_the_sandbox_that_passes_the_key_gate(
    member: SandboxMember, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    for name in ("API_KEY_ID", "PRIVATE_KEY_FILE", "URL", "ARM"):
        monkeypatch.delenv(f"KALSHI_TRADE_{name}")
    monkeypatch.setenv("KALSHI_TRADE_API_KEY_ID", "")  # pytest removes what the command sets
    for name in ("PRIVATE_KEY_FILE", "URL"):
        monkeypatch.setenv(f"KALSHI_TRADE_{name}", "")
    assert main(["setup", "--sandbox-key", "new.pem", "--write-env", ".env"]) == 1
    said = capsys.readouterr().out
    assert "  5  key at the exchange: scopes" in said
    assert stat.S_IMODE((folder / "new.pem").stat().st_mode) == 0o600
    assert f"KALSHI_TRADE_PRIVATE_KEY_FILE={folder / 'new.pem'}" in (folder / ".env").read_text()
    assert main(["setup", "--sandbox-key", "second.pem"]) == 2
    assert not (folder / "second.pem").exists()


def test_setup_creates_no_key_outside_the_sandbox(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("KALSHI_ENVIRONMENT", "demo")
    assert main(["setup", "--sandbox-key", "new.pem"]) == 2
    assert "Only the sandbox" in capsys.readouterr().err
    assert not (folder / "new.pem").exists()
