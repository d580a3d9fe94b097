"""A database that ``migrate`` refuses or cannot finish stays unchanged byte for byte, and no backup is left."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse.backup import BackupFailed
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable, open_engine
from kalshi_pipelines.warehouse.inspection import CannotBeUpgraded, read_only
from kalshi_pipelines.warehouse.migrations import wanted_revision
from kalshi_pipelines.warehouse.upgrade import UpgradeReport, migrate
from kalshi_pipelines_tests.support.warehouse.legacy import (
    EVENT_IN_THE_LOG,
    HEAD,
    REVISIONS,
    UNKNOWN_REVISION,
    leave_a_hot_journal,
    leave_a_row_in_the_log,
    make_legacy_database,
)
from kalshi_pipelines_tests.support.warehouse.revisions import open_database

#: With this number of rows, the middle of the database file holds rows.
MANY = 5_000
KIB = 1_024

# A program that upgrades a database while the size of files that it may write is limited.
MIGRATE = """
import resource, sys
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.upgrade import migrate
url, most = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
try:
    migrate(open_engine(url), "sandbox", lambda _sentence: None)
except Exception as error:
    print(type(error).__name__, error, sep=": ")
    sys.exit(3)
"""


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, without the upgrade lock and the empty logs and indexes that readers create."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if not path.name.endswith((".migrate.lock", "-shm")) and (path.stat().st_size or not path.name.endswith("-wal"))
    }


def upgrade_file(path: Path) -> UpgradeReport:
    engine = open_engine(f"sqlite:///{path}")
    try:
        return migrate(engine, "sandbox", lambda _sentence: None)
    finally:
        engine.dispose()


def make_truncated(path: Path) -> None:
    make_legacy_database(path, snapshots=MANY)
    os.truncate(path, path.stat().st_size * 6 // 10)


def make_zeroed_in_the_middle(path: Path) -> None:
    make_legacy_database(path, snapshots=MANY)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(bytes(64 * KIB))


def make_text_file(path: Path) -> None:
    path.write_text("ticker,yes_bid\nKXFED,40\n" * 200, encoding="utf-8")


def make_with_two_stamps(path: Path) -> None:
    make_legacy_database(path, stamp=(REVISIONS[-2], HEAD))


def make_with_two_stamps_and_log(path: Path) -> None:
    make_with_two_stamps(path)
    leave_a_row_in_the_log(path)


def make_with_unknown_stamp(path: Path) -> None:
    make_legacy_database(path, stamp=UNKNOWN_REVISION)


def make_with_unknown_stamp_and_log(path: Path) -> None:
    make_with_unknown_stamp(path)
    leave_a_row_in_the_log(path)


def make_damaged_with_log(path: Path) -> None:
    make_legacy_database(path, snapshots=MANY)
    leave_a_row_in_the_log(path)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(bytes(64 * KIB))


def make_newer(path: Path) -> None:
    upgrade_file(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '0042'")


def make_foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE recipes (name TEXT)")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (make_truncated, "is damaged"),
        (make_zeroed_in_the_middle, "is damaged"),
        (make_damaged_with_log, "is damaged"),
        (make_text_file, "is not a SQLite database"),
        (make_with_two_stamps, "is stamped with 2 revisions"),
        (make_with_two_stamps_and_log, "is stamped with 2 revisions"),
        (make_with_unknown_stamp, f"is stamped with revision {UNKNOWN_REVISION}"),
        (make_with_unknown_stamp_and_log, f"is stamped with revision {UNKNOWN_REVISION}"),
        (make_newer, "Install the newer version"),
        (make_foreign, r"neither kalshi_pipelines nor kalshi_research \(recipes\)"),
    ],
)
def test_refused_file_stays_unchanged(make: Callable[[Path], None], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.db"
    make(path)
    before = files_in(tmp_path)
    with pytest.raises(CannotBeUpgraded, match=sentence) as refusal:
        upgrade_file(path)
    assert is_one_line(str(refusal.value), path)
    assert files_in(tmp_path) == before


def test_write_protected_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "warehouse.db"
    make_legacy_database(path)
    before = files_in(tmp_path)
    monkeypatch.setattr(
        os, "access", lambda _path, mode: mode != os.W_OK
    )  # a real read-only file would not stop tests that run as root
    with pytest.raises(CannotBeUpgraded, match="is write-protected") as refusal:
        upgrade_file(path)
    assert is_one_line(str(refusal.value), path)
    assert files_in(tmp_path) == before


def is_one_line(text: str, path: Path) -> bool:
    return str(path) in text and "\n" not in text and text.endswith(".") and "sqlalche.me" not in text


def test_empty_file_is_a_new_database(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.db"
    path.touch()
    done = upgrade_file(path)
    assert (done.after, done.backup, done.adoption) == (wanted_revision(), None, None)


def test_rows_in_a_leftover_log_are_adopted_and_backed_up(tmp_path: Path) -> None:
    old = make_legacy_database(tmp_path / "warehouse.db")
    leave_a_row_in_the_log(old.path)
    done = upgrade_file(old.path)
    assert done.backup
    statement = "SELECT count(*) FROM events WHERE {} = ?"
    for path, column in ((done.backup, "ticker"), (old.path, "event_ticker")):
        with read_only(path) as database:
            assert database.execute(statement.format(column), (EVENT_IN_THE_LOG,)).fetchone() == (1,), path


def test_uncommitted_deletes_of_a_crashed_writer_are_undone_before_backup(tmp_path: Path) -> None:
    old = make_legacy_database(tmp_path / "warehouse.db", snapshots=MANY)
    leave_a_hot_journal(old.path)
    done = upgrade_file(old.path)
    assert done.backup
    assert done.adoption
    assert {table.name: table.read for table in done.adoption.tables} == old.rows
    with read_only(done.backup) as backup:
        assert backup.execute("SELECT count(*) FROM price_snapshots").fetchone() == (old.rows["price_snapshots"],)


def test_too_little_disk_space_is_refused_before_any_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_legacy_database(tmp_path / "warehouse.db").path
    before = files_in(tmp_path)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage(10**9, 10**9, path.stat().st_size))
    with pytest.raises(BackupFailed, match="Make room and run again") as refusal:
        upgrade_file(path)
    assert is_one_line(str(refusal.value), path.parent)
    assert files_in(tmp_path) == before


@pytest.mark.parametrize(
    ("share", "what"),
    [(0.5, "BackupFailed: No copy"), (1.2, "WarehouseUnavailable: The warehouse")],
    ids=["copy", "adoption"],
)
def test_write_error_in_the_middle_leaves_the_file_unchanged(share: float, what: str, tmp_path: Path) -> None:
    """A file size limit makes writes fail. Setting the limit needs no privileges, unlike mounting a small disk."""
    # An adoption of few rows makes the file larger, so even 1.2 times the old size is not enough for the new file.
    path = make_legacy_database(tmp_path / "warehouse.db").path
    before = files_in(tmp_path)
    most = int(path.stat().st_size * share)

    command = [sys.executable, "-c", MIGRATE, f"sqlite:///{path}", str(most)]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert failed.returncode == 3, failed.stderr
    assert failed.stdout.startswith(what)
    assert is_one_line(failed.stdout.strip(), path)
    assert "server" not in failed.stdout
    assert files_in(tmp_path) == before
    assert upgrade_file(path).adoption


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 4 MiB, and return its folder. Skip the test if mounting is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"This process may not mount a file system: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize(
    ("free", "what"), [(0.5, BackupFailed), (2.05, WarehouseUnavailable)], ids=["refused", "in the middle"]
)
def test_full_disk_leaves_the_file_unchanged(small_disk: Path, free: float, what: type[Exception]) -> None:
    path = make_legacy_database(small_disk / "warehouse.db").path
    statistics = os.statvfs(small_disk)
    available = statistics.f_bavail * statistics.f_frsize
    (small_disk / "ballast").write_bytes(bytes(available - int(path.stat().st_size * free)))
    before = files_in(small_disk)
    with pytest.raises(what, match=r"room|disk space") as refusal:
        upgrade_file(path)
    assert is_one_line(str(refusal.value), small_disk)
    assert files_in(small_disk) == before
    (small_disk / "ballast").unlink()
    assert upgrade_file(path).adoption


def test_read_only_file_system_is_refused(small_disk: Path) -> None:
    path = make_legacy_database(small_disk / "warehouse.db").path
    before = files_in(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(WarehouseUnavailable, match="cannot be written") as refusal:
        upgrade_file(path)
    assert is_one_line(str(refusal.value), small_disk)
    assert files_in(small_disk) == before


def test_upgrade_deletes_an_unused_rate_budget_and_succeeds(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_database(empty_database_url, monkeypatch) as database:
        database.upgrade("0008")
        budgets = [
            {"budget_key": "ours", "bucket": bucket, "theoretical_arrival_us": 1} for bucket in ("read", "write")
        ]
        for budget in budgets:
            database.insert("rate_budgets", budget)
        assert migrate(database.engine, "sandbox", lambda _sentence: None).after == wanted_revision()
        assert database.rows()["rate_budgets"] == budgets[:1]


def test_engine_is_usable_after_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.db"
    make_with_two_stamps(path)
    engine = open_engine(f"sqlite:///{path}")
    with pytest.raises(CannotBeUpgraded):
        migrate(engine, "sandbox", lambda _sentence: None)
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM alembic_version WHERE version_num <> :head"), {"head": HEAD})
    assert migrate(engine, "sandbox", lambda _sentence: None).adoption
    engine.dispose()
