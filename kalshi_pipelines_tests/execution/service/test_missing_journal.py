"""Commands in a folder without a journal: they create nothing, and say where the journal is."""

from pathlib import Path

import pytest

from kalshi_pipelines.execution.kill.registry import JournalEntry, register_journal
from kalshi_pipelines.execution.service.cli import main

COMMANDS = [
    ["status"],
    ["verify-audit"],
    ["reconcile"],
    ["setup"],
    ["propose", "buy", "yes", "KXA-26-B", "1", "0.5000", "--signal", "x"],
    ["propose", "buy", "yes", "KXA-26-B", "1", "0.5000", "--signal", "x", "--again"],
    ["trade", "--why", "a look"],
    ["release", "--why", "going on"],
    ["close-session", "--why", "gone"],
    ["acknowledge"],
    ["adopt"],
    ["re-anchor", "--why", "lost"],
    ["approve", "1", "8f3a5c0de1b2"],
]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, in a terminal without variables."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("KALSHI_SESSIONS_DIR", str(tmp_path / "sessions"))
    return folder


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_command_without_a_journal_creates_nothing_and_says_so(
    elsewhere: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(arguments)
    captured = capsys.readouterr()
    assert list(elsewhere.rglob("*")) == []
    said = captured.out + captured.err
    wanted = (f"There is no journal in {elsewhere / 'data' / 'sandbox'}", "There is no warehouse in")
    # `release` first refuses because of the missing data folder, which is a source of the kill switch.
    if arguments[0] != "release":
        assert any(each in said for each in wanted), said
        assert "-j migrate" in said
    if arguments[0] != "status":
        assert status != 0


@pytest.mark.parametrize("arguments", [COMMANDS[0], COMMANDS[4]], ids=" ".join)
def test_command_without_a_journal_names_where_the_user_traded(
    elsewhere: Path, tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    traded = tmp_path / "traded" / "journal.db"
    traded.parent.mkdir()
    traded.touch()
    place = JournalEntry("sandbox", f"sqlite:///{traded}", str(traded.parent), str(traded.parent / "anchors"))
    register_journal((tmp_path / "sessions",), place)
    main(arguments)
    captured = capsys.readouterr()
    assert f"You last traded with {traded}." in captured.out + captured.err
