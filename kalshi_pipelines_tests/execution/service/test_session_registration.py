"""The registration of sessions: a live session that ``kill`` could not find is not opened."""

from pathlib import Path

import pytest

from kalshi_pipelines.execution.journal.records import Mode
from kalshi_pipelines.execution.kill.registry import NotRegistered, read_registry
from kalshi_pipelines.execution.service.sessions.session_registration import (
    register_released_journal,
    registered_session,
)
from kalshi_pipelines.execution.service.stopping.stop_settings import StopSettings
from kalshi_pipelines.settings import Settings


def test_session_is_registered_with_absolute_places_while_it_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(data_dir=Path("data"), sessions_dir=Path("registry"))
    folder = tmp_path / "registry"
    with registered_session(settings, 5, Mode.LIVE, print) as registration:
        registration.record_id("0123")
        (session,) = read_registry((folder,)).sessions
        assert (session.session_id, session.subaccount, session.mode) == ("0123", 5, "live")
        assert session.place.folder == str(tmp_path / "data" / "sandbox")
        assert session.place.journal == f"sqlite:///{tmp_path / 'data' / 'sandbox' / 'journal.db'}"
        assert session.place.started_in == str(tmp_path)
    after = read_registry((folder,))
    assert (after.sessions, after.journals) == ((), (session.place,))
    # A stop with the same settings finds the same journal, and does not treat it as another one.
    assert (
        StopSettings.from_environment().target_of(session.place).key == StopSettings.from_environment().targets[0].key
    )


def test_entry_is_removed_when_the_session_fails(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, sessions_dir=tmp_path / "registry")
    with pytest.raises(ZeroDivisionError), registered_session(settings, 0, Mode.LIVE, print):
        raise ZeroDivisionError
    assert read_registry((tmp_path / "registry",)).sessions == ()


def test_F61_live_session_without_an_entry_is_refused_and_a_dry_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings, said = Settings(data_dir=tmp_path, sessions_dir=tmp_path / "file" / "registry"), list[str]()
    with pytest.raises(NotRegistered), registered_session(settings, 0, Mode.LIVE, said.append):
        raise AssertionError("the session was opened")
    assert said == []
    with registered_session(settings, 0, Mode.DRY_RUN, said.append) as registration:
        registration.record_id("0123")
    assert said[0].startswith("`kill` does not find this dry run from other folders. The registry of sessions cannot")
    assert "cannot be written" in register_released_journal(settings)


def test_released_journal_is_registered_before_any_session(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, sessions_dir=tmp_path / "registry")
    assert register_released_journal(settings) == ""
    (place,) = read_registry((tmp_path / "registry",)).journals
    assert place.folder == str(tmp_path / "sandbox")
