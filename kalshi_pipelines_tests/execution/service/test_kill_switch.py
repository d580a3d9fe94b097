"""Tests of the configured kill switch and halt: both find their files, and both work even if other parts fail."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.journal.records import Mode
from kalshi_pipelines.execution.service.account.kill_switch import emergency_file, halt, kill_file, kill_switch
from kalshi_pipelines.kalshi.transport import Transport
from kalshi_pipelines.settings import Environment, Settings
from kalshi_pipelines_tests.support.execution.sandbox_member import ready_journal, sandbox_with_member


def test_files_that_stop_trading_are_in_the_environment_s_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert emergency_file(settings).path == tmp_path / "sandbox" / "kill.emergency.jsonl"
    assert kill_file(settings, TradeSettings()) == tmp_path / "sandbox" / "KILL"
    assert kill_file(settings, TradeSettings(kill_file=tmp_path / "STOP")) == tmp_path / "STOP"


@pytest.mark.parametrize(("kill_file", "engaged"), [(None, False), ("STOP", False), ("unmounted/STOP", True)])
def test_missing_folder_of_kill_file_or_data_stops_trading(
    sqlite_journal: sa.Engine, tmp_path: Path, kill_file: str | None, engaged: bool
) -> None:
    journal = ready_journal(sqlite_journal)
    trade = TradeSettings(kill_file=None if kill_file is None else tmp_path / kill_file)
    settings = Settings(data_dir=tmp_path / "data")
    assert kill_switch(settings, trade, lambda: journal).status().engaged
    settings.environment_dir.mkdir(parents=True)
    assert kill_switch(settings, trade, lambda: journal).status().engaged is engaged


@pytest.mark.parametrize(
    ("environment", "mode", "engaged"),
    [("demo", "live", True), ("prod", "live", True), ("prod", "dry_run", False), ("sandbox", "live", False)],
)
def test_F43_relative_data_folder_stops_live_trading_on_real_exchanges(
    sqlite_journal: sa.Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: str,
    mode: str,
    engaged: bool,
) -> None:
    journal, trade = ready_journal(sqlite_journal), TradeSettings(mode=Mode(mode))
    monkeypatch.chdir(tmp_path)
    relative = Settings(environment=Environment(environment), data_dir=Path("data"))
    relative.environment_dir.mkdir(parents=True)
    assert kill_switch(relative, trade, lambda: journal).status().engaged is engaged
    absolute = Settings(environment=Environment(environment), data_dir=tmp_path / "data")
    assert not kill_switch(absolute, trade, lambda: journal).status().engaged


@pytest.mark.parametrize("place", ["file", "variable", "emergency file"])
def test_every_source_of_the_kill_switch_stops_trading(
    sqlite_journal: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    journal, settings = ready_journal(sqlite_journal), Settings(data_dir=tmp_path)
    settings.environment_dir.mkdir()
    switch = kill_switch(settings, TradeSettings(), lambda: journal)
    assert switch.why_engaged() is None
    if place == "file":
        kill_file(settings, TradeSettings()).touch()
    elif place == "variable":
        monkeypatch.setenv("KALSHI_TRADE_KILL", "1")
    else:
        emergency_file(settings).path.write_text("not even a line\n")
    assert switch.why_engaged() is not None


def test_halt_on_a_local_sandbox_uses_no_proxy_and_closes_its_client(
    sqlite_journal: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, really = list[Transport](), Transport.close

    def close(transport: Transport) -> None:
        closed.append(transport)
        really(transport)

    monkeypatch.setattr(Transport, "close", close)
    with sandbox_with_member(tmp_path) as member:
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        journal = ready_journal(sqlite_journal)
        settings = Settings(data_dir=tmp_path)
        with halt(settings, member.settings(), lambda: journal) as halting:
            report = halting.run("bob", "practice", 30.0)
            assert closed == []
        assert report.flat
        assert len(closed) == 1
