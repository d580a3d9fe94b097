"""Disk space of a database: statistics for its planner, and pages that removed rows left free.

A SQLite file shrinks only if its pages are vacuumed incrementally, which a file decides when it is made. Postgres
reuses the space of removed rows by itself.
"""

import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.engine import LOCK_WAIT_SECONDS, sqlite_driver

_INCREMENTAL: Final = 2
_PAGES_AT_ONCE: Final = 2_000
#: The statistics of each index are taken from at most this number of rows, so that they take a moment only.
_ANALYSIS_LIMIT: Final = 1_000
_SHORT_WAIT_MS: Final = 5_000


@dataclass(frozen=True)
class Space:
    """The size of a SQLite file.

    Attributes:
        bytes: Bytes of the file.
        free_bytes: Bytes of pages that hold nothing.
        is_incremental: Whether the file can shrink page by page.
    """

    bytes: int
    free_bytes: int
    is_incremental: bool


def space_of(engine: sa.Engine) -> Space | None:
    """Return the size of a SQLite warehouse, or None for Postgres."""
    if engine.dialect.name != "sqlite":
        return None
    with engine.connect() as connection:
        return _space(sqlite_driver(connection))


def _space(database: sqlite3.Connection) -> Space:
    pages, free, size, mode = (
        int(database.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size", "auto_vacuum")
    )
    return Space(pages * size, free * size, mode == _INCREMENTAL)


def make_shrinkable(database: sqlite3.Connection) -> None:
    """Let a SQLite file that is still empty shrink page by page. Any other file stays as it is."""
    if database.execute("PRAGMA page_count").fetchone() == (0,):
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")


def optimize(engine: sa.Engine) -> None:
    """Update the statistics of the database's planner where they are missing or old."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "sqlite":
            database = sqlite_driver(connection)
            database.execute(f"PRAGMA analysis_limit = {_ANALYSIS_LIMIT}")
            # Outside a write transaction, SQLite would not wait for another writer, but fail at once. Upkeep runs
            # beside the ingests of market data.
            database.execute("BEGIN IMMEDIATE")
            try:
                database.execute("PRAGMA optimize").fetchall()
            finally:
                database.execute("COMMIT")
        else:
            connection.execute(sa.text("ANALYZE"))


def release_free_pages(engine: sa.Engine) -> str:
    """Give the free pages of a SQLite file back to the disk, and return a sentence if that was impossible.

    A file that cannot shrink page by page is rewritten once. Its rewriting needs room for the rows that are left, in
    the folder of temporary files and in the file's folder. Other programs can write between two steps.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        database = sqlite_driver(connection)
        database.execute(f"PRAGMA busy_timeout = {_SHORT_WAIT_MS}")
        try:
            if not _space(database).is_incremental:
                return _rewrite(database, Path(str(engine.url.database)).resolve().parent)
            while _space(database).free_bytes:
                before = _space(database).free_bytes
                database.execute(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})").fetchall()
                if _space(database).free_bytes >= before:
                    break
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.OperationalError as error:
            return f"The file could not shrink now ({error}); the next upkeep tries again."
        finally:
            database.execute(f"PRAGMA busy_timeout = {LOCK_WAIT_SECONDS * 1000}")
    return ""


def _rewrite(database: sqlite3.Connection, folder: Path) -> str:
    space = _space(database)
    needed = space.bytes - space.free_bytes
    # SQLite writes a copy to its folder of temporary files, and then the copy's pages to the write-ahead log.
    for place in (folder, Path(tempfile.gettempdir())):
        free = shutil.disk_usage(place).free
        if free < 2 * needed:
            return f"The file could not shrink: {place} has {free:,} bytes free, and {2 * needed:,} are needed."
    database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    database.execute("VACUUM")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return ""
