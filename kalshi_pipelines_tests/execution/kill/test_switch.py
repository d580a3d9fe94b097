"""The kill switch: each engaged or unreadable source stops trading, and only a second person releases the switch."""

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


def test_new_journal_is_halted_until_a_person_releases_it(journal: Journal, tmp_path: Path) -> None:
    switch = _switch(journal, tmp_path)
    assert switch.status().engaged
    switch.release("ann", "we begin")
    assert switch.why_engaged() is None


def test_release_needs_a_second_person_and_a_reason(journal: Journal, tmp_path: Path) -> None:
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


def test_first_engager_cannot_release_after_a_second_engagement(journal: Journal, tmp_path: Path) -> None:
    switch = _switch(journal, tmp_path)
    switch.release("ann", "we begin")
    switch.engage("ann", "too many orders")
    switch.engage("reconciler", "a foreign order", source="reconciliation")
    with pytest.raises(NotReleased, match="another person"):
        switch.release("ann", "never mind")
    switch.release("bob", "looked into both")
    assert switch.why_engaged() is None


def test_F43_unreadable_journal_counts_as_engaged(tmp_path: Path) -> None:
    def gone() -> Journal:
        raise JournalUnavailable("The journal cannot be used.")

    reading = JournalSource(gone).read()
    assert (reading.engaged, reading.why) == (True, "The journal cannot be used.")


def test_F43_kill_file_that_exists_or_is_unreadable_is_engaged(tmp_path: Path) -> None:
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


def test_F43_kill_file_on_an_unmounted_disk_is_engaged(tmp_path: Path) -> None:
    source = FileSource(tmp_path / "mount" / "KILL", needs_folder=True)
    assert source.read().engaged
    (tmp_path / "mount").mkdir()
    assert not source.read().engaged


def test_F43_unreadable_folder_is_engaged(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    source = FileSource(locked / ("x" * 5_000))
    assert source.read().engaged


@pytest.mark.parametrize(("value", "engaged"), [("", False), ("0", False), ("1", True), ("no", True), (" ", True)])
def test_kill_variable_is_engaged_by_any_value_but_empty_and_0(
    monkeypatch: pytest.MonkeyPatch, value: str, engaged: bool
) -> None:
    monkeypatch.setenv("KALSHI_TRADE_KILL", value)
    assert EnvironmentSource().read().engaged is engaged


@pytest.mark.parametrize("name", ["Kalshi_Trade_Kill", "kalshi_trade_kill"])
def test_F43_kill_variable_in_any_letter_case_is_engaged(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("KALSHI_TRADE_KILL", "0")
    monkeypatch.setenv(name, "1")
    assert EnvironmentSource().read() == KillReading("environment", 1, f"{name} is set")


def test_F43_missing_or_relative_data_folder_is_engaged(tmp_path: Path) -> None:
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


def test_empty_list_of_sources_is_engaged() -> None:
    assert read_sources(()).engaged


def test_one_engaged_source_is_enough(monkeypatch: pytest.MonkeyPatch, journal: Journal, tmp_path: Path) -> None:
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


def test_F20_locked_journal_leaves_the_engagement_in_the_emergency_file(
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


def test_F43_emergency_file_with_a_torn_or_foreign_line_is_engaged(tmp_path: Path) -> None:
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


def test_F43_engagement_while_the_file_is_moved_aside_is_kept(tmp_path: Path) -> None:
    file = EmergencyFile(tmp_path / "emergency.jsonl")
    ann, bob = EmergencyLine("ann", "stop", 1, "operator", 1), EmergencyLine("bob", "halt", 2, "operator", 2)
    file.append(ann)
    taken = file.lines()
    file.append(bob)
    file.put_away(taken)
    assert file.lines() == (bob,)
    # Two processes read Ann's line before Bob's line was added. Both remove Ann's line, and Bob's line must stay.
    file.put_away(taken)
    assert file.lines() == (bob,)
    file.put_away((bob,))
    assert file.lines() == ()
    assert [each.name for each in tmp_path.iterdir()] == ["emergency.jsonl.imported"]


def test_F43_crash_while_the_file_is_moved_aside_loses_no_engagement(
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
    # A copy that a person made does not count as the emergency file.
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


def test_F43_concurrent_engagements_and_moves_of_the_file_lose_nothing(tmp_path: Path) -> None:
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


def test_emergency_file_is_readable_only_by_its_owner(tmp_path: Path) -> None:
    file = EmergencyFile(tmp_path / "emergency.jsonl")
    file.append(EmergencyLine("bob", "stop", 1, "operator", 1))
    assert file.path.stat().st_mode & 0o077 == 0


def test_F43_engagement_during_a_release_counts_as_after_it(
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
def test_any_name_and_reason_engage_the_switch(
    journal: Journal, tmp_path: Path, by: str, reason: str, stored: tuple[str, str]
) -> None:
    switch = _switch(journal, tmp_path)
    switch.release("ann", "we begin")
    assert switch.engage(by, reason, level=9).seq is not None
    with journal.reading() as reading:
        kill = reading.halts.kill_state()
    assert ((kill.by_whom, kill.reason), kill.engaged, kill.level) == (stored, True, 3)


def test_engagement_refused_by_the_journal_stays_in_the_file(
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


def test_engaging_without_a_writable_place_is_an_error(tmp_path: Path) -> None:
    def gone() -> Journal:
        raise JournalUnavailable("The journal cannot be used.")

    (tmp_path / "plain").touch()
    switch = KillSwitch(gone, EmergencyFile(tmp_path / "plain" / "emergency.jsonl"), (), account=ACCOUNT)
    with pytest.raises(OSError, match="plain"):
        switch.engage("ann", "stop")
