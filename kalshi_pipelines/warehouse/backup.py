"""Verified copies of a SQLite database, including the rows that are only in its write-ahead log."""

import datetime as dt
import glob
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.warehouse.inspection import check_integrity, read_only

UNFINISHED: Final = ".unfinished"
_PAGES_AT_ONCE: Final = 4_096


class BackupFailed(ExpectedError):
    """No verified copy of the database could be made, so nothing was changed."""


def back_up(path: Path, revision: str) -> Path:
    """Copy a database within its folder, check the copy, and return the path of the backup.

    The copy gets its final name only after the check. The caller must keep other writers out of the database.

    Raises:
        BackupFailed: The disk is full or cannot be written, or the copy differs from the database.
    """
    remove_unfinished(path)
    moment = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S%f")
    backup = path.with_name(f"{path.name}.{revision}.{moment}.backup")
    unfinished = backup.with_name(backup.name + UNFINISHED)
    with temporary_copy(path, unfinished):
        with read_only(path) as source, read_only(unfinished) as copy:
            _require_same_rows(source, copy)
        unfinished.replace(backup)
    return backup


@contextmanager
def temporary_copy(path: Path, copy: Path) -> Iterator[Path]:
    """Make a checked copy of a database, and remove the copy at the end of the block.

    Raises:
        BackupFailed: The disk is full or cannot be written.
    """
    _require_space(path, copy.parent)
    try:
        _copy(path, copy)
        yield copy
    finally:
        remove_unfinished(path)


def _copy(path: Path, copy: Path) -> None:
    try:
        with read_only(path) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target, pages=_PAGES_AT_ONCE)
            # Without a write-ahead log, the whole backup is in one file.
            target.execute("PRAGMA journal_mode = DELETE")
        with read_only(copy) as made:
            # The copy has the same pages as the original, so damage in the copy is reported under the original's name.
            check_integrity(made, str(path))
        with copy.open("rb") as file:
            os.fsync(file.fileno())
    except (sqlite3.DatabaseError, OSError) as error:
        raise BackupFailed(
            f"No copy of {path} could be made ({error}), so nothing was changed.",
            f"Make room for {_size(path):,} bytes in {copy.parent}, and give yourself permission to write there.",
        ) from None


def remove_unfinished(path: Path) -> None:
    """Remove unfinished copies of a database, for example copies left by a killed process."""
    for left in path.parent.glob(f"{glob.escape(path.name)}.*{UNFINISHED}*"):
        left.unlink(missing_ok=True)


def _require_space(path: Path, folder: Path) -> None:
    """Require free space of twice the database's size: once for the copy, and once for the upgrade's writes."""
    free, needed = shutil.disk_usage(folder).free, 2 * _size(path)
    if free < needed:
        raise BackupFailed(
            f"{folder} has {free:,} bytes free, but a backup and an upgrade of {path.name} need {needed:,} bytes. "
            "Nothing was changed.",
            "Make room and run again.",
        )


def _size(path: Path) -> int:
    log = path.with_name(path.name + "-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


def _require_same_rows(source: sqlite3.Connection, copy: sqlite3.Connection) -> None:
    def fingerprint(database: sqlite3.Connection) -> list[tuple[str, int]]:
        tables = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
        ).fetchall()
        return [(name, _count(database, name)) for (name,) in tables]

    if fingerprint(source) != fingerprint(copy):
        raise BackupFailed(
            "The backup does not have the same rows as the database, so nothing was changed.",
            "Run again while no other program writes to the file.",
        )


def _count(database: sqlite3.Connection, table: str) -> int:
    quoted = table.replace('"', '""')
    return int(database.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0])  # noqa: S608
