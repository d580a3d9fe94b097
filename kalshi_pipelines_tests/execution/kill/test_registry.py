"""The registry of sessions: private to its user, without secrets, and readable wherever one folder can be used."""

import dataclasses
import json
import os
import platform
from pathlib import Path

import pytest

from kalshi_pipelines.execution.kill.process import Process
from kalshi_pipelines.execution.kill.registry import (
    JournalEntry,
    NotRegistered,
    RegistryReading,
    read_registry,
    record_session_id,
    register_journal,
    register_session,
    registry_folders,
    remove_entry,
)

PLACE = JournalEntry("prod", "sqlite:////x/prod/journal.db", "/x/prod", "/y/anchors", "/home/ann")


def test_F61_session_is_read_from_any_folder_until_it_is_removed(tmp_path: Path) -> None:
    folders = (tmp_path / "a" / "active", tmp_path / "b")
    entry = register_session(folders, PLACE, 7, "live")
    assert read_registry(folders) == RegistryReading((PLACE,), (entry,))
    record_session_id(folders, entry, "0123")
    for folder in folders:
        (session,) = read_registry((folder,)).sessions
        assert session == dataclasses.replace(entry, session_id="0123")
        assert str(session) == f"session 0123 (live) of process {os.getpid()}, prod, sub-account 7"
    remove_entry(folders, entry.name)
    assert read_registry(folders) == RegistryReading((PLACE,))


def test_entries_can_be_read_by_their_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "active"
    folder.mkdir(mode=0o755)
    register_session((folder,), PLACE, 0, "dry_run")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [each.stat().st_mode & 0o777 for each in folder.iterdir()] == [0o600, 0o600]


def test_F61_one_writable_folder_is_enough_and_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    broken = tmp_path / "file" / "active"
    register_journal((broken, tmp_path / "good"), PLACE)
    assert read_registry((broken, tmp_path / "good")).journals == (PLACE,)
    with pytest.raises(NotRegistered, match="cannot be written"):
        register_session((broken,), PLACE, 0, "live")


def test_symbolic_links_and_other_users_folders_are_not_used(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    with pytest.raises(NotRegistered):
        register_journal((link,), PLACE)
    assert list(real.iterdir()) == []
    register_journal((real,), PLACE)
    assert read_registry((link,)) == RegistryReading()
    (name,) = (each.name for each in real.iterdir())
    (tmp_path / "elsewhere.json").write_bytes((real / name).read_bytes())
    (real / name).unlink()
    (real / name).symlink_to(tmp_path / "elsewhere.json")
    assert read_registry((real,)).journals == ()
    assert "cannot be read" in read_registry((real,)).problems[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_F61_folder_of_another_user_is_never_used(tmp_path: Path) -> None:
    register_journal((tmp_path / "theirs",), PLACE)
    os.chown(tmp_path / "theirs", 12345, 12345)
    assert read_registry((tmp_path / "theirs",)) == RegistryReading()
    with pytest.raises(NotRegistered):
        register_journal((tmp_path / "theirs",), PLACE)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"kind": "session"}', '{"kind": "journal", "environment": "prod"}']
)
def test_broken_entry_is_a_problem_unless_another_folder_has_it(tmp_path: Path, content: str) -> None:
    folders = (tmp_path / "a", tmp_path / "b")
    register_journal(folders, PLACE)
    (name,) = (each.name for each in folders[0].iterdir())
    (folders[0] / name).write_text(content)
    assert read_registry(folders) == RegistryReading((PLACE,))
    remove_entry(folders[1:], PLACE.name)
    read = read_registry(folders)
    assert read.journals == ()
    assert read.problems[0].startswith(f"the entry {folders[0] / name} cannot be read (")


def test_registry_that_exists_and_cannot_be_listed_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_journal((tmp_path / "a",), PLACE)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    read = read_registry((tmp_path / "a", tmp_path / "missing"))
    assert read.problems == (f"the registry {tmp_path / 'a'} cannot be read (Permission denied)",)


def test_well_known_folders_need_no_variable(tmp_path: Path) -> None:
    bare = registry_folders(None, None, {})
    assert bare[-1].name == f"kalshi-pipelines-{os.geteuid()}"
    both = registry_folders(None, None, {"HOME": "/h", "XDG_STATE_HOME": "/s"})
    assert both[:2] == (Path("/s/kalshi-pipelines/active"), Path("/h/.local/state/kalshi-pipelines/active"))
    assert both[2:] == bare
    assert registry_folders("sandbox", tmp_path, {}) == (tmp_path,)
    assert registry_folders("prod", tmp_path, {}) == (tmp_path, *bare)


def test_process_that_ended_or_has_a_reused_number_does_not_run() -> None:
    mine = Process.current()
    assert mine.may_run()
    assert str(mine) == f"process {os.getpid()}"
    assert not dataclasses.replace(mine, pid=2**22 + 1).may_run()
    if Path("/proc/self/stat").exists():
        assert not dataclasses.replace(mine, started="1").may_run()
    assert not dataclasses.replace(mine, boot=f"before {mine.boot.partition(' ')[2]}").may_run()


def test_process_elsewhere_may_always_run() -> None:
    mine = Process.current()
    another = dataclasses.replace(mine, host=f"not-{platform.node()}", pid=2**22 + 1)
    assert another.may_run()
    assert str(another) == f"process {another.pid} on not-{platform.node()}"
    assert dataclasses.replace(mine, boot=f"{mine.boot.partition(' ')[0]} another", pid=2**22 + 1).may_run()


def test_child_that_nobody_waited_for_does_not_run() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    mine = Process.current()
    stopped = dataclasses.replace(mine, pid=child, started="")
    try:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert not stopped.may_run()
    finally:
        os.waitpid(child, 0)


def test_entry_holds_the_fields_that_kill_needs_and_no_secret(tmp_path: Path) -> None:
    entry = register_session((tmp_path / "a",), PLACE, 3, "live")
    stored = json.loads((tmp_path / "a" / f"{entry.name}.json").read_text())
    assert stored["place"] == {
        "environment": "prod",
        "journal": "sqlite:////x/prod/journal.db",
        "folder": "/x/prod",
        "anchors": "/y/anchors",
        "started_in": "/home/ann",
    }
    assert (stored["subaccount"], stored["mode"], stored["process"]["pid"]) == (3, "live", os.getpid())
