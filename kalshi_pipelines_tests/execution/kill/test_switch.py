"""Any source stops everything, what can not be read stops too, and only another person lets go."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.errors import JournalRefused, JournalUnavailable
from kalshi_pipelines.execution.journal.journal import Journal, initialise
from kalshi_pipelines.execution.journal.writing.halts import HaltWriter
from kalshi_pipelines.execution.kill.emergency import EmergencyFile, EmergencyLine
from kalshi_pipelines.execution.kill.sources import (
    EmergencySource,
    EnvironmentSource,
    FileSource,
    FolderSource,
    JournalSource,
    KillReading,
    KillSource,
    read_sources,
)
from kalshi_pipelines.execution.kill.switch import KillSwitch, NotReleased
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT


class _Clear:
    def read(self) -> KillReading:
        return KillReading("test", 0, "clear")


def _switch(journal: Journal, folder: Path, *others: KillSource) -> KillSwitch:
    emergency = EmergencyFile(folder / "emergency.jsonl")
    return KillSwitch(lambda: journal, emergency, others, account=ACCOUNT)


@pytest.fixture
def journal(journal_engine: sa.Engine) -> Journal:
    initialise(journal_engine, "sandbox")
    return Journal(journal_engine, "sandbox")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    other.close()


def test_a_new_journal_is_engaged_until_somebody_releases_it(journal: Journal, tmp_path: Path) -> None:
    switch = _switch(journal, tmp_path)
    assert switch.status().engaged
    switch.release("ann", "we begin")
    assert switch.why_engaged() is None


def test_who_engaged_can_not_release_and_a_reason_is_needed(journal: Journal, tmp_path: Path) -> None:
    switch = _switch(journal, tmp_path)
    switch.release("ann", "we begin")
    switch.engage("ann", "too many orders")
    assert "too many orders" in str(switch.why_engaged())
    with pytest.raises(NotReleased, match="another person"):
        switch.release("ann", "never mind")
    with pytest.raises(NotReleased, match="reason"):
        switch.release("bob", "  ")
    switch.release("bob", "looked into it")
    assert switch.why_engaged() is None
    with pytest.raises(NotReleased, match="not engaged"):
        switch.release("bob", "again")


def test_who_engaged_first_can_not_release_what_another_engaged_since(journal: Journal, tmp_path: Path) -> None:
    switch = _switch(journal, tmp_path)
    switch.release("ann", "we begin")
    switch.engage("ann", "too many orders")
    switch.engage("reconciler", "a foreign order", source="reconciliation")
    with pytest.raises(NotReleased, match="another person"):
        switch.release("ann", "never mind")
    switch.release("bob", "looked into both")
    assert switch.why_engaged() is None


def test_F43_a_journal_that_can_not_be_read_is_engaged(tmp_path: Path) -> None:
    def gone() -> Journal:
        raise JournalUnavailable("The journal cannot be used.")

    reading = JournalSource(gone).read()
    assert (reading.engaged, reading.why) == (True, "The journal cannot be used.")


def test_F43_a_file_stops_by_being_there_and_by_not_being_readable(tmp_path: Path) -> None:
    source = FileSource(tmp_path / "KILL")
    assert not source.read().engaged
    (tmp_path / "KILL").touch()
    assert source.read().engaged
    (tmp_path / "KILL").unlink()
    (tmp_path / "KILL").symlink_to(tmp_path / "nowhere")
    assert source.read().engaged
    assert FileSource(tmp_path / "nowhere" / "KILL").read().engaged is False
    (tmp_path / "plain").touch()
    assert FileSource(tmp_path / "plain" / "KILL").read().engaged


def test_F43_a_file_on_a_disk_that_is_not_mounted_is_engaged(tmp_path: Path) -> None:
    source = FileSource(tmp_path / "mount" / "KILL", needs_folder=True)
    assert source.read().engaged
    (tmp_path / "mount").mkdir()
    assert not source.read().engaged


def test_F43_an_unreadable_folder_is_engaged(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    source = FileSource(locked / ("x" * 5_000))
    assert source.read().engaged


@pytest.mark.parametrize(("value", "engaged"), [("", False), ("0", False), ("1", True), ("no", True), (" ", True)])
def test_the_variable_stops_with_any_value_but_none_and_0(
    monkeypatch: pytest.MonkeyPatch, value: str, engaged: bool
) -> None:
    monkeypatch.setenv("KALSHI_TRADE_KILL", value)
    assert EnvironmentSource().read().engaged is engaged


@pytest.mark.parametrize("name", ["Kalshi_Trade_Kill", "kalshi_trade_kill"])
def test_F43_the_variable_stops_in_any_letters_as_settings_are_read(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("KALSHI_TRADE_KILL", "0")
    monkeypatch.setenv(name, "1")
    assert EnvironmentSource().read() == KillReading("environment", 1, f"{name} is set")


def test_F43_a_data_folder_that_is_not_there_or_not_the_same_everywhere_is_engaged(tmp_path: Path) -> None:
    assert FolderSource(tmp_path).read() == KillReading("data folder", 0, f"{tmp_path} exists")
    missing, relative = tmp_path / "mount" / "prod", Path("kalshi_pipelines")
    assert FolderSource(missing).read().engaged
    assert "mount its disk" in FolderSource(missing).read().why
    assert FolderSource(tmp_path / ("x" * 5_000)).read().engaged
    (tmp_path / "file").touch()
    assert FolderSource(tmp_path / "file").read().engaged
    assert not FolderSource(tmp_path, needs_absolute_path=True).read().engaged
    unsure = FolderSource(relative, needs_absolute_path=True).read()
    assert (unsure.engaged, "KALSHI_DATA_DIR" in unsure.why) == (True, True)


def test_without_a_source_to_ask_it_is_stop() -> None:
    assert read_sources(()).engaged


def test_one_source_of_many_is_enough(monkeypatch: pytest.MonkeyPatch, journal: Journal, tmp_path: Path) -> None:
    switch = _switch(journal, tmp_path, _Clear(), FileSource(tmp_path / "KILL"), EnvironmentSource())
    switch.release("ann", "we begin")
    assert switch.why_engaged() is None
    (tmp_path / "KILL").touch()
    assert "KILL exists" in str(switch.why_engaged())
    with pytest.raises(NotReleased, match="still engaged"):
        switch.release("bob", "reason")
    (tmp_path / "KILL").unlink()
    monkeypatch.setenv("KALSHI_TRADE_KILL", "please")
    assert switch.why_engaged() is not None


def test_F20_with_the_journal_locked_the_switch_engages_in_its_file_and_the_release_brings_that_into_the_journal(
    sqlite_journal: sa.Engine, tmp_path: Path
) -> None:
    initialise(sqlite_journal, "sandbox")
    impatient = open_journal(sqlite_journal.url.render_as_string(), lock_wait_seconds=0.05)
    journal = Journal(impatient, "sandbox")
    switch = _switch(journal, tmp_path)
    switch.release("ann", "we begin")
    with _locked(Path(str(sqlite_journal.url.database))):
        engaged = switch.engage("ann", "the journal hangs")
        assert engaged.seq is None
        assert "the journal hangs" in str(switch.why_engaged())
    assert switch.status().engaged
    with pytest.raises(NotReleased, match="another person"):
        switch.release("ann", "fine again")
    with journal.reading() as reading:
        assert (reading.halts.kill_state().reason, reading.halts.kill_state().by_whom) == ("the journal hangs", "ann")
    switch.release("bob", "fine again")
    assert switch.why_engaged() is None
    assert (tmp_path / "emergency.jsonl.imported").read_text().count("the journal hangs") == 1
    impatient.dispose()


def test_F43_an_emergency_file_with_a_torn_or_foreign_line_is_engaged(tmp_path: Path) -> None:
    file = EmergencyFile(tmp_path / "emergency.jsonl")
    assert not EmergencySource(file).read().engaged
    file.path.write_bytes(b'{"by": "an')
    assert EmergencySource(file).read().engaged
    file.append(EmergencyLine("bob", "stop", 2, "operator", 1))
    assert [line.by for line in file.lines()] == ["unknown", "bob"]
    assert EmergencySource(file).read().level == 2
    file.path.unlink()
    file.path.mkdir()
    assert EmergencySource(file).read().engaged


def test_F43_what_is_engaged_while_the_file_is_put_away_stays_engaged(tmp_path: Path) -> None:
    file = EmergencyFile(tmp_path / "emergency.jsonl")
    ann, bob = EmergencyLine("ann", "stop", 1, "operator", 1), EmergencyLine("bob", "halt", 2, "operator", 2)
    file.append(ann)
    taken = file.lines()
    file.append(bob)
    file.put_away(taken)
    assert file.lines() == (bob,)
    # Somebody who had read the file before it was put away does so once more.
    file.put_away(taken)
    assert file.lines() == (bob,)
    file.put_away((bob,))
    assert file.lines() == ()
    assert [each.name for each in tmp_path.iterdir()] == ["emergency.jsonl.imported"]


def test_F43_a_crash_while_the_file_is_put_away_loses_nobody_s_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = EmergencyFile(tmp_path / "emergency.jsonl")
    ann, bob = EmergencyLine("ann", "stop", 1, "operator", 1), EmergencyLine("bob", "halt", 2, "operator", 2)
    file.append(ann)
    taken = file.lines()
    file.append(bob)
    with monkeypatch.context() as dying:
        dying.setattr(EmergencyFile, "append", _dies)
        with pytest.raises(KeyboardInterrupt):
            file.put_away(taken)
    assert not file.path.exists()
    assert file.lines() == (ann, bob)
    assert EmergencySource(file).read() == KillReading("emergency file", 2, "bob: halt")
    # A copy that somebody made by hand is not one of it.
    (tmp_path / "emergency.jsonl.old").write_text("ann was here")
    file.put_away((ann,))
    assert file.lines() == (bob,)
    file.put_away((ann, bob))
    assert file.lines() == ()
    assert {each.name for each in tmp_path.iterdir()} == {"emergency.jsonl.imported", "emergency.jsonl.old"}
    (tmp_path / f"emergency.jsonl.{'0' * 32}").mkdir()
    assert EmergencySource(file).read().engaged


def _dies(*_: object) -> None:
    raise KeyboardInterrupt


def test_F43_engaging_while_the_file_is_put_away_again_and_again_loses_nothing(tmp_path: Path) -> None:
    file = EmergencyFile(tmp_path / "emergency.jsonl")
    lines = [EmergencyLine("ann", "stop", 1, "operator", number) for number in range(200)]
    taken: set[EmergencyLine] = set()

    def append(share: list[EmergencyLine]) -> None:
        for line in share:
            file.append(line)

    with ThreadPoolExecutor(2) as pool:
        writing = [pool.submit(append, lines[each::2]) for each in (0, 1)]
        while not all(each.done() for each in writing):
            found = file.lines()
            file.put_away(found)
            taken |= set(found)
    assert taken | set(file.lines()) == set(lines)


def test_an_emergency_line_is_for_its_owner_s_eyes(tmp_path: Path) -> None:
    file = EmergencyFile(tmp_path / "emergency.jsonl")
    file.append(EmergencyLine("bob", "stop", 1, "operator", 1))
    assert file.path.stat().st_mode & 0o077 == 0


def test_F43_who_engages_while_somebody_releases_has_engaged_afterwards(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = _switch(journal, tmp_path)
    switch.release("ann", "we begin")
    really = EmergencyFile.append

    def append(file: EmergencyFile, line: EmergencyLine) -> None:
        really(file, line)
        monkeypatch.undo()
        switch.release("bob", "looked into it")

    monkeypatch.setattr(EmergencyFile, "append", append)
    engaged = switch.engage("carl", "too many orders")
    with journal.reading() as reading:
        kill = reading.halts.kill_state()
    assert (kill.engaged, kill.by_whom, kill.seq) == (True, "carl", engaged.seq)


@pytest.mark.parametrize(
    ("by", "reason", "stored"),
    [
        ("bob", "", ("bob", "not given")),
        ("", "stop", ("not given", "stop")),
        ("b\udcf6b", "caf\udce9\0", ("b?b", "caf? ")),
        ("bob", "x" * 5_000, ("bob", "x" * 4_000)),
    ],
)
def test_the_switch_engages_whatever_name_and_reason_are(
    journal: Journal, tmp_path: Path, by: str, reason: str, stored: tuple[str, str]
) -> None:
    switch = _switch(journal, tmp_path)
    switch.release("ann", "we begin")
    assert switch.engage(by, reason, level=9).seq is not None
    with journal.reading() as reading:
        kill = reading.halts.kill_state()
    assert ((kill.by_whom, kill.reason), kill.engaged, kill.level) == (stored, True, 3)


def test_an_engagement_the_journal_s_rules_refuse_is_engaged_all_the_same(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = _switch(journal, tmp_path)
    switch.release("ann", "we begin")

    def refuse(*_: object) -> int:
        raise JournalRefused("reason", "a rule that is not known yet")

    monkeypatch.setattr(HaltWriter, "engage", refuse)
    engaged = switch.engage("bob", "stop")
    assert (engaged.seq, bool(engaged.problem)) == (None, True)
    assert "emergency file: bob" in str(switch.why_engaged())
    monkeypatch.undo()
    with pytest.raises(NotReleased, match="bob"):
        switch.release("bob", "go on")


def test_when_nothing_can_be_written_engaging_says_so(tmp_path: Path) -> None:
    def gone() -> Journal:
        raise JournalUnavailable("The journal cannot be used.")

    (tmp_path / "plain").touch()
    switch = KillSwitch(gone, EmergencyFile(tmp_path / "plain" / "emergency.jsonl"), (), account=ACCOUNT)
    with pytest.raises(OSError, match="plain"):
        switch.engage("ann", "stop")
