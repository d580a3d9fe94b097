"""Tests of the trust in anchors: a live session opens only if the journal and its anchor file belong together."""

import fcntl
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import AuditVerdict, verify
from kalshi_pipelines.execution.journal.anchor_trust import RE_ANCHORABLE, AnchorFinding
from kalshi_pipelines.execution.journal.anchoring import ANCHOR_EVERY
from kalshi_pipelines.execution.journal.anchors import Anchor, AnchorFile
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.errors import AnchorsNotTrusted, JournalRefused, JournalRestored
from kalshi_pipelines.execution.journal.journal import Journal, initialise
from kalshi_pipelines.execution.journal.tables import anchor_events, anchors, session_ends
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT, NOON, OrderSteps, order_steps


def _steps(engine: sa.Engine, file: Path) -> OrderSteps:
    """Return the steps of orders in a journal that was anchored when it was made, released and closed."""
    initialise(engine, "sandbox", database_id="0123456789abcdef0123456789abcdef", anchor_file=file)
    steps = order_steps(engine, anchor_file=file)
    steps.journal.anchor()
    return steps


def _finding(steps: OrderSteps) -> AnchorFinding:
    report = steps.journal.anchor_report()
    assert report is not None
    return report.finding


def _reconcile(steps: OrderSteps) -> int:
    with steps.journal.writing() as transaction:
        return transaction.reconciliations.record(ACCOUNT, NOON, NOON, differences=0, clean=True, report="")


def _unmount(file: Path) -> None:
    file.parent.rename(file.parent.with_name("unplugged"))


def _mount_point_without_its_disk(file: Path) -> None:
    _unmount(file)
    file.parent.mkdir()


def _empty_file_appears(file: Path) -> None:
    _mount_point_without_its_disk(file)
    file.touch()


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])


def _lose_the_newest(file: Path) -> None:
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))


def _lose_one_in_the_middle(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0], *lines[2:]]))


def _link_to(target: str) -> Callable[[Path], None]:
    def link(file: Path) -> None:
        file.unlink()
        file.symlink_to(target)

    return link


def _named_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


#: Changes of the anchor file by name, each with the finding of the next opening.
LOST: dict[str, tuple[Callable[[Path], None], AnchorFinding]] = {
    "disk not mounted": (_unmount, AnchorFinding.MISSING),
    "mount point without its disk": (_mount_point_without_its_disk, AnchorFinding.MISSING),
    "empty file appears": (_empty_file_appears, AnchorFinding.MISSING),
    "truncated": (_truncate, AnchorFinding.MISSING),
    "older copy": (_lose_the_newest, AnchorFinding.MISSING),
    "one anchor lost": (_lose_one_in_the_middle, AnchorFinding.MISSING),
    "/dev/null": (_link_to("/dev/null"), AnchorFinding.UNREADABLE),
    "/dev/full": (_link_to("/dev/full"), AnchorFinding.UNREADABLE),
    "symlink to nowhere": (_link_to("/nowhere/at/all"), AnchorFinding.MISSING),
    "symlink to a new file": (_link_to("fresh"), AnchorFinding.MISSING),
    "named pipe": (_named_pipe, AnchorFinding.UNREADABLE),
    "folder": (_folder, AnchorFinding.UNREADABLE),
}


@pytest.mark.parametrize("case", LOST)
def test_F22_F66_lost_anchors_open_no_live_session_until_a_person_re_anchors(
    journal_engine: sa.Engine, tmp_path: Path, case: str
) -> None:
    file = tmp_path / "disk" / "anchors"
    steps = _steps(journal_engine, file)
    steps.journal.require_trusted_anchors()
    with steps.journal.writing() as transaction:
        transaction.audit.append("note", {})
    steps.journal.anchor()
    lose, finding = LOST[case]
    lose(file)
    for _ in range(2):
        assert _finding(steps) is finding
        with pytest.raises(AnchorsNotTrusted, match="re-anchor"):
            steps.journal.require_trusted_anchors()
    assert finding in RE_ANCHORABLE
    if file.exists() or file.is_symlink():
        file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()
    steps.journal.re_anchor("ada", "the disk is lost", _reconcile(steps))
    steps.journal.require_trusted_anchors()
    assert _finding(steps) is AnchorFinding.TRUSTED
    assert verify(journal_engine, file).ok


def test_F22_disk_that_is_mounted_again_needs_no_person(journal_engine: sa.Engine, tmp_path: Path) -> None:
    file = tmp_path / "disk" / "anchors"
    steps = _steps(journal_engine, file)
    _unmount(file)
    with pytest.raises(AnchorsNotTrusted):
        steps.journal.require_trusted_anchors()
    (tmp_path / "unplugged").rename(tmp_path / "disk")
    steps.journal.require_trusted_anchors()


def test_F66_anchor_never_creates_a_file_where_anchors_existed(journal_engine: sa.Engine, tmp_path: Path) -> None:
    file = tmp_path / "disk" / "anchors"
    steps = _steps(journal_engine, file)
    _unmount(file)
    with pytest.raises(FileNotFoundError):
        steps.journal.anchor()
    assert not file.parent.exists()


@pytest.mark.parametrize("is_halt", [False, True])
def test_F66_failed_anchor_ends_the_session_and_keeps_the_facts(
    journal_engine: sa.Engine, tmp_path: Path, is_halt: bool
) -> None:
    file = tmp_path / "disk" / "anchors"
    steps = _steps(journal_engine, file)
    waiting = steps.reserve()
    shutil.move(file, tmp_path / "kept")
    _link_to("/dev/full")(file) if file.exists() else file.symlink_to("/dev/full")
    with steps.journal.writing() as transaction:
        if is_halt:
            transaction.halts.engage(1, "operator", "bob", "stop")
        for number in range(ANCHOR_EVERY):
            transaction.audit.append("note", {"number": number})
    with journal_engine.connect() as connection:
        assert connection.scalars(sa.select(session_ends.c.reason)).all() == ["its anchor could not be written"]
    with steps.journal.reading() as reading:
        assert reading.halts.kill_state().engaged is is_halt
    with pytest.raises(JournalRefused) as refused:
        steps.record_sending(waiting)
    assert refused.value.rule in ("send_guard:session_ended", "send_guard:kill")
    file.unlink()
    shutil.move(tmp_path / "kept", file)
    assert _finding(steps) is AnchorFinding.FAILED
    with pytest.raises(AnchorsNotTrusted, match="not a regular file"):
        steps.journal.require_trusted_anchors()
    steps.journal.re_anchor("ada", "the disk works again", _reconcile(steps))
    steps.journal.require_trusted_anchors()
    assert verify(journal_engine, file).ok


def test_failure_is_recorded_once_for_each_path(sqlite_journal: sa.Engine, tmp_path: Path) -> None:
    file = tmp_path / "disk" / "anchors"
    steps = _steps(sqlite_journal, file)
    elsewhere = Journal(sqlite_journal, "sandbox", clock_us=steps.clock, anchor_file=tmp_path / "other" / "anchors")
    for _ in range(2):
        with elsewhere.writing() as transaction:
            transaction.halts.engage(1, "operator", "bob", "from a shell without the variables")
    with sqlite_journal.connect() as connection:
        places = connection.scalars(sa.select(anchor_events.c.place)).all()
    assert places == [str(tmp_path / "other" / "anchors")]
    steps.journal.require_trusted_anchors()


def test_F66_append_only_file_is_refused(tmp_path: Path, sqlite_journal: sa.Engine) -> None:
    file = tmp_path / "anchors"
    steps = _steps(sqlite_journal, file)
    if subprocess.run(["chattr", "+a", file], capture_output=True, check=False).returncode:
        pytest.skip("this file system or user cannot make a file append-only")
    try:
        with pytest.raises(AnchorsNotTrusted, match="not permitted"):
            steps.journal.require_trusted_anchors()
    finally:
        subprocess.run(["chattr", "-a", file], check=True)


def test_F66_file_that_is_exchanged_while_it_is_written_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, anchor = AnchorFile(tmp_path / "anchors"), Anchor("mine", 1, "a" * 64, 5)
    file.append(anchor)
    really = os.fsync

    def exchange(descriptor: int) -> None:
        really(descriptor)
        shutil.copy(file.path, tmp_path / "copy")
        (tmp_path / "copy").replace(file.path)

    monkeypatch.setattr(os, "fsync", exchange)
    with pytest.raises(OSError, match="does not keep"):
        file.append(anchor)


def _backup(engine: sa.Engine, path: Path) -> None:
    with closing(sqlite3.connect(str(engine.url.database))) as source, closing(sqlite3.connect(path)) as copy:
        source.backup(copy)


@pytest.mark.parametrize("anchors_there", [False, True])
def test_F22_restored_new_journal_is_noticed_with_and_without_its_anchors(
    sqlite_journal: sa.Engine, tmp_path: Path, anchors_there: bool
) -> None:
    """Even a backup from before the first session knows that its anchors exist."""
    file = tmp_path / "disk" / "anchors"
    initialise(sqlite_journal, "sandbox", database_id="0123456789abcdef0123456789abcdef", anchor_file=file)
    _backup(sqlite_journal, tmp_path / "backup.db")
    steps = order_steps(sqlite_journal, anchor_file=file)
    if not anchors_there:
        _unmount(file)
    engine = open_journal(f"sqlite:///{tmp_path / 'backup.db'}")
    restored = Journal(engine, "sandbox", clock_us=steps.clock, anchor_file=file)
    with pytest.raises(JournalRestored if anchors_there else AnchorsNotTrusted):
        restored.require_trusted_anchors()
    engine.dispose()


def test_F22_adopted_journal_trusts_only_later_anchors(sqlite_journal: sa.Engine, tmp_path: Path) -> None:
    file = tmp_path / "anchors"
    steps = _steps(sqlite_journal, file)
    _backup(sqlite_journal, tmp_path / "backup.db")
    steps.record_sent()
    steps.journal.anchor()
    engine = open_journal(f"sqlite:///{tmp_path / 'backup.db'}")
    restored = Journal(engine, "sandbox", clock_us=steps.clock, anchor_file=file)
    with pytest.raises(JournalRestored):
        restored.require_trusted_anchors()
    with restored.writing() as transaction:
        number = transaction.reconciliations.record(ACCOUNT, NOON, NOON, differences=0, clean=True, report="")
    restored.re_anchor("ada", "the disk died", number, adopted=True)
    restored.require_trusted_anchors()
    assert verify(engine, file).ok
    steps.journal.anchor()
    with pytest.raises(JournalRestored):
        restored.require_trusted_anchors()
    engine.dispose()


def test_new_journal_is_anchored_when_it_is_made(journal_engine: sa.Engine, tmp_path: Path) -> None:
    file = tmp_path / "new" / "anchors"
    for _ in range(2):
        initialise(journal_engine, "sandbox", anchor_file=file)
    with journal_engine.connect() as connection:
        assert connection.execute(sa.select(anchors.c.seq, anchors.c.place)).all() == [(1, "file")]
    journal = Journal(journal_engine, "sandbox", anchor_file=file)
    file.unlink()
    with pytest.raises(AnchorsNotTrusted):
        journal.require_trusted_anchors()


def test_journal_without_any_anchor_is_anchored_by_its_first_session(sqlite_journal: sa.Engine, tmp_path: Path) -> None:
    initialise(sqlite_journal, "sandbox")
    journal = Journal(sqlite_journal, "sandbox", anchor_file=tmp_path / "new" / "anchors")
    report = journal.anchor_report()
    assert report is not None
    assert report.finding is AnchorFinding.NEVER_ANCHORED
    journal.require_trusted_anchors()
    assert len(AnchorFile(tmp_path / "new" / "anchors").all_anchors()) == 1


def test_F63_kill_without_a_writable_anchor_file_is_engaged(journal_engine: sa.Engine, tmp_path: Path) -> None:
    file = tmp_path / "disk" / "anchors"
    steps = _steps(journal_engine, file)
    with file.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with steps.journal.writing() as transaction:
            transaction.halts.engage(2, "operator", "bob", "stop")
    with steps.journal.reading() as reading:
        assert reading.halts.kill_state().engaged
    assert _finding(steps) is AnchorFinding.FAILED


def test_verification_names_the_anchors_that_are_missing(journal_engine: sa.Engine, tmp_path: Path) -> None:
    file = tmp_path / "anchors"
    steps = _steps(journal_engine, file)
    _truncate(file)
    report = verify(journal_engine, file)
    assert report.verdict is AuditVerdict.CORRUPT
    assert "is missing from" in str(report)
    found = steps.journal.anchor_report()
    assert found is not None
    assert len(found.missing) == 2
