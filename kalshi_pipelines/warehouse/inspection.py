"""Inspection of a database before an upgrade.

An empty database, a warehouse or a legacy database can be upgraded. Any other database is refused. A SQLite file is
inspected through a read-only connection, so a refused file stays unchanged byte for byte.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.warehouse.adoption.adopt import text_or_bytes
from kalshi_pipelines.warehouse.adoption.shapes import (
    LEGACY_REVISIONS,
    LEGACY_TABLES,
    STAMP_TABLE,
    UnknownShape,
    is_legacy_full_text_part,
    is_unfinished,
    legacy_tables,
    looks_legacy,
)
from kalshi_pipelines.warehouse.engine import LOCK_WAIT_SECONDS
from kalshi_pipelines.warehouse.migrations import known_revisions, wanted_revision
from kalshi_pipelines.warehouse.tables import FULL_TEXT_TABLE, VIEWS, ingest_runs, metadata

_PROBLEMS_SHOWN: Final = 3
_ANOTHER_PLACE: Final = "Set KALSHI_WAREHOUSE_URL or KALSHI_DATA_DIR to another place."


class CannotBeUpgraded(ExpectedError):
    """The database cannot be upgraded to a current warehouse, and was not touched."""


class Content(Enum):
    """The kinds of content that a database can have before an upgrade."""

    NOTHING = "(empty)"
    WAREHOUSE = "warehouse"
    LEGACY = "kalshi_research"


@dataclass(frozen=True)
class Inspection:
    """The result of inspecting a database.

    Attributes:
        content: The kind of content.
        revision: The revision that the database is stamped with, or None.
    """

    content: Content
    revision: str | None

    @property
    def at_head(self) -> bool:
        """Whether the database is a warehouse at the newest revision."""
        return self.content is Content.WAREHOUSE and self.revision == wanted_revision()

    def __str__(self) -> str:
        if self.content is Content.LEGACY:
            return f"{self.content.value} {self.revision or '(no revision)'}"
        return self.revision or self.content.value


@contextmanager
def read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a connection that cannot write to the file. It also reads the rows in the write-ahead log."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=LOCK_WAIT_SECONDS, isolation_level=None)) as database:
        database.text_factory = text_or_bytes
        # The constraints of a warehouse call functions. Without ``trusted_schema``, some builds of SQLite refuse such
        # functions.
        database.execute("PRAGMA trusted_schema = ON")
        yield database


def inspect_file(path: Path) -> Inspection:
    """Return the content and revision of a SQLite file.

    Raises:
        CannotBeUpgraded: The file holds nothing that this code can upgrade.
    """
    if not path.exists() or (path.stat().st_size == 0 and not _companion(path, "-wal").exists()):
        return Inspection(Content.NOTHING, None)
    _undo_killed_transaction(path)
    with explain_damage(path), read_only(path) as database:
        return _inspect(database, str(path))


def check_integrity(database: sqlite3.Connection, place: str) -> None:
    """Check that all pages, rows and indexes of a SQLite database are readable and consistent.

    Raises:
        CannotBeUpgraded: The database is damaged.
    """
    _run_check(database, "integrity_check", place)


def check_file(path: Path) -> None:
    """Check that all pages and rows of a SQLite file are readable, and that the file may be written.

    Comparing the indexes with the rows takes much longer, so that check runs on the backup copy.

    Raises:
        CannotBeUpgraded: The file is damaged or write-protected.
    """
    if path.exists() and not os.access(path, os.W_OK):
        raise CannotBeUpgraded(
            f"{path} is write-protected, so it was not touched.", "Give yourself permission to write the file."
        )
    with explain_damage(path), read_only(path) as database:
        _run_check(database, "quick_check", str(path))


def _run_check(database: sqlite3.Connection, check: str, place: str) -> None:
    found = [row[0] for row in database.execute(f"PRAGMA {check}({_PROBLEMS_SHOWN})")]
    if found != ["ok"]:
        raise _damaged(place, "; ".join(str(problem).splitlines()[0] for problem in found))


def inspect_connection(connection: sa.Connection, place: str) -> Inspection:
    """Return the content and revision of a Postgres database.

    Raises:
        CannotBeUpgraded: The database holds nothing that this code can upgrade.
    """
    tables = frozenset(sa.inspect(connection).get_table_names())
    stamps: list[str] = []
    if STAMP_TABLE in tables:
        stamps = list(connection.scalars(sa.select(sa.column("version_num")).select_from(sa.table(STAMP_TABLE))))
    found = _inspect_warehouse(tables, stamps, place)
    if found is None:
        raise CannotBeUpgraded(
            f"{place} holds tables of another program ({_join_some(tables)}), so it was not touched.",
            "Set KALSHI_WAREHOUSE_URL to an empty database.",
        )
    return found


def _inspect(database: sqlite3.Connection, place: str) -> Inspection:
    tables = frozenset(
        name
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if name != "sqlite_sequence"
    )
    stamps: list[str] = []
    if STAMP_TABLE in tables:
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({STAMP_TABLE})")]
        if columns != ["version_num"]:
            raise CannotBeUpgraded(
                f"{place} has a table {STAMP_TABLE} that is not Alembic's, so it was not touched.",
                _ANOTHER_PLACE,
            )
        stamps = [row[0] for row in database.execute("SELECT version_num FROM alembic_version")]
    return _inspect_warehouse(tables, stamps, place) or _inspect_legacy(database, tables, stamps, place)


def _inspect_warehouse(tables: frozenset[str], stamps: list[str], place: str) -> Inspection | None:
    if len(stamps) > 1:
        raise CannotBeUpgraded(
            f"{place} is stamped with {len(stamps)} revisions ({', '.join(sorted(map(str, stamps)))}), so its schema "
            "is unknown and it was not touched.",
            "Restore a backup, or leave only the true revision in alembic_version.",
        )
    stamp = stamps[0] if stamps else None
    if not tables - {STAMP_TABLE} and stamp is None:
        return Inspection(Content.NOTHING, None)
    if ingest_runs.name not in tables:
        if stamp in known_revisions():
            raise CannotBeUpgraded(
                f"{place} is stamped with revision {stamp} but lacks the tables of that revision, so it was not "
                "touched.",
                "Restore a backup, or use an empty database.",
            )
        return None
    if stamp is None:
        raise CannotBeUpgraded(
            f"{place} has the tables of a warehouse but no revision in alembic_version, so it was not touched.",
            "Restore a backup.",
        )
    if stamp not in known_revisions():
        raise CannotBeUpgraded(
            f"{place} is at revision {stamp}, which this version of kalshi_pipelines does not know "
            f"(its newest is {wanted_revision()}), so it was not touched.",
            "Install the newer version that made it.",
        )
    return Inspection(Content.WAREHOUSE, stamp)


def _inspect_legacy(database: sqlite3.Connection, tables: frozenset[str], stamps: list[str], place: str) -> Inspection:
    stamp = stamps[0] if stamps else None
    if stamp is not None and stamp not in LEGACY_REVISIONS:
        raise CannotBeUpgraded(
            f"{place} is stamped with revision {stamp}, which neither kalshi_pipelines nor kalshi_research has, "
            "so it was not touched.",
            "Restore a backup, or set KALSHI_WAREHOUSE_URL or KALSHI_DATA_DIR to another place.",
        )
    if not looks_legacy(tables):
        raise CannotBeUpgraded(
            f"{place} holds tables that belong to neither kalshi_pipelines nor kalshi_research "
            f"({_join_some(tables)}), so it was not touched.",
            _ANOTHER_PLACE,
        )
    try:
        legacy_tables(database)
    except UnknownShape as difference:
        raise CannotBeUpgraded(
            f"{place} looks like a kalshi_research database but differs from all known versions of one, so it was "
            f"not touched. {difference.problem}",
            difference.remedy or _ANOTHER_PLACE,
        ) from None
    _refuse_conflicting_names(database, place)
    return Inspection(Content.LEGACY, stamp)


def _refuse_conflicting_names(database: sqlite3.Connection, place: str) -> None:
    """Refuse a legacy database whose additional tables or indexes conflict with the warehouse.

    The user's own tables and indexes stay. They must not have names that the warehouse needs, and must not refer to
    tables that the upgrade replaces.
    """
    old = {table.name for table in LEGACY_TABLES}
    indexes = {index.name for table in metadata.tables.values() for index in table.indexes}
    needed = {*metadata.tables, *indexes, *VIEWS, FULL_TEXT_TABLE}
    in_the_way = {
        name
        for name, table in database.execute("SELECT name, tbl_name FROM sqlite_master WHERE type IN ('table', 'index')")
        if name in needed and table not in old
    }
    if in_the_way:
        raise CannotBeUpgraded(
            f"{place} is a kalshi_research database with additional tables or indexes whose names the warehouse needs "
            f"({_join_some(in_the_way)}), so it was not touched.",
            "Rename them first.",
        )
    referring = {
        table
        for table in other_tables(database)
        for key in database.execute('SELECT "table" FROM pragma_foreign_key_list(?)', (table,))
        if key[0] in old
    }
    if referring:
        raise CannotBeUpgraded(
            f"{place} is a kalshi_research database with additional tables that refer to tables of the older tool "
            f"({_join_some(referring)}), so it was not touched.",
            "Drop these references first.",
        )


def other_tables(database: sqlite3.Connection) -> list[str]:
    """Return the tables of a legacy database that belong to neither the older tool nor SQLite."""
    known = {table.name for table in LEGACY_TABLES} | {STAMP_TABLE}
    names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return sorted(
        name
        for name in names - known
        if not (is_legacy_full_text_part(name) or is_unfinished(name) or name.startswith("sqlite_"))
    )


def _undo_killed_transaction(path: Path) -> None:
    """Let SQLite undo the transaction of a killed writer. A read-only connection cannot undo it."""
    if _companion(path, "-journal").exists():
        with explain_damage(path), closing(sqlite3.connect(path, timeout=LOCK_WAIT_SECONDS)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()


@contextmanager
def explain_damage(path: Path) -> Iterator[None]:
    """Replace errors of SQLite inside the block by an error with a remedy.

    Raises:
        CannotBeUpgraded: The file is locked, cannot be opened, is not a database, or is damaged.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            raise CannotBeUpgraded(
                f"Another program holds {path}, so nothing was changed.", "Stop that program and run again."
            ) from None
        if "unable to open" in str(error) or "readonly" in str(error):
            raise CannotBeUpgraded(
                f"{path} cannot be opened ({error}), so it was not touched.",
                "Make sure that it is a file, and that you may read it and write in its folder.",
            ) from None
        if "not a database" in str(error):
            raise CannotBeUpgraded(
                f"{path} is not a SQLite database, so it was not touched.",
                "Set KALSHI_WAREHOUSE_URL or KALSHI_DATA_DIR to another place, or move the file away.",
            ) from None
        raise _damaged(str(path), str(error)) from None


def _damaged(place: str, problem: str) -> CannotBeUpgraded:
    return CannotBeUpgraded(
        f"{place} is damaged ({problem}), so it was not touched.",
        "Restore a backup, or recover what is readable with `sqlite3 FILE .recover` into a new file.",
    )


def _companion(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _join_some(names: frozenset[str] | set[str]) -> str:
    shown = sorted(names)[:_PROBLEMS_SHOWN]
    return ", ".join(shown) + (", ..." if len(names) > len(shown) else "")
