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


def back_up(path: Path, revision: str, folder: Path | None = None, *, room: int = 2) -> Path:
    """Copy a database, check the copy, and return the path of the backup.

    The copy gets its final name only after the check. It has the state of one moment, even if other programs write.

    Args:
        path: The database.
        revision: The revision of its schema, which becomes a part of the backup's name.
        folder: The folder of the backup; None for the folder of the database.
        room: The free space to require, as a multiple of the database's size.

    Raises:
        BackupFailed: The disk is full or cannot be written, or the copy differs from the database.
    """
    place = folder or path.parent
    remove_unfinished(path, place)
    moment = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S%f")
    backup = place / f"{path.name}.{revision}.{moment}.backup"
    unfinished = backup.with_name(backup.name + UNFINISHED)
    with temporary_copy(path, unfinished, room=room):
        try:
            unfinished.replace(backup)
            to_disk(place)
        except OSError as error:
            raise _no_copy(path, place, error) from None
    return backup


@contextmanager
def temporary_copy(path: Path, copy: Path, *, room: int = 2) -> Iterator[Path]:
    """Make a checked copy of a database, and remove the copy at the end of the block.

    Raises:
        BackupFailed: The disk is full or cannot be written, or the copy differs from the database.
    """
    _require_space(path, copy.parent, room)
    try:
        copy_database(path, copy)
        yield copy
    finally:
        remove_unfinished(path, copy.parent)


def copy_database(path: Path, copy: Path) -> None:
    """Copy the state that a database has at one moment into a new file without a write-ahead log, and check the copy.

    Raises:
        BackupFailed: The disk is full or cannot be written, or the copy differs from the database.
        CannotBeUpgraded: The database is damaged.
    """
    try:
        with read_only(path) as source, closing(sqlite3.connect(copy)) as target:
            # The transaction keeps one state for the whole copy. Without it, the copy would begin again with each
            # write of another program.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            source.backup(target, pages=_PAGES_AT_ONCE)
            # Without a write-ahead log, the whole backup is in one file.
            target.execute("PRAGMA journal_mode = DELETE")
            with read_only(copy) as made:
                # The copy has the same pages as the original, so damage in the copy is reported under the original's
                # name.
                check_integrity(made, str(path))
                _require_same_rows(source, made)
        to_disk(copy)
    except (sqlite3.DatabaseError, OSError) as error:
        raise _no_copy(path, copy.parent, error) from None


def _no_copy(path: Path, folder: Path, error: Exception) -> BackupFailed:
    return BackupFailed(
        f"No copy of {path} could be made ({error}), so nothing was changed.",
        f"Make room for {_size(path):,} bytes in {folder}, and give yourself permission to write there.",
    )


def to_disk(path: Path) -> None:
    """Make the content of a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(path: Path, folder: Path | None = None) -> None:
    """Remove unfinished copies of a database from a folder, for example copies left by a killed process."""
    for left in (folder or path.parent).glob(f"{glob.escape(path.name)}.*{UNFINISHED}*"):
        left.unlink(missing_ok=True)


def _require_space(path: Path, folder: Path, room: int) -> None:
    """Require free space. An upgrade needs twice the database's size: for the copy, and for the upgrade's writes."""
    try:
        free, needed = shutil.disk_usage(folder).free, room * _size(path)
    except OSError as error:
        raise _no_copy(path, folder, error) from None
    if free < needed:
        work = "a backup and an upgrade of" if room > 1 else "a copy of"
        raise BackupFailed(
            f"{folder} has {free:,} bytes free, but {work} {path.name} need{'s' * (room == 1)} {needed:,} bytes. "
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
