"""Apply Alembic migrations to a warehouse, one process at a time, and read its current revision.

The migrations themselves are in the top-level folder ``migrations/``.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.warehouse.engine import explain_failures, sqlite_driver
from kalshi_pipelines.warehouse.space import make_shrinkable
from kalshi_pipelines.warehouse.tables import is_full_text_part
from kalshi_pipelines.warehouse.write_guards import lower_guards, raise_guards

logger = logging.getLogger(__name__)

MIGRATE_COMMAND: Final = "dagster job execute -m kalshi_pipelines -j migrate"
#: Options of `alembic revision --autogenerate`. Full-text indexes are left out, because Alembic cannot describe them.
AUTOGENERATE: Final[dict[str, Any]] = {"include_name": lambda name, _kind, _parents: not is_full_text_part(str(name))}
_POSTGRES_LOCK: Final = sa.text("SELECT pg_advisory_xact_lock(hashtext('kalshi_pipelines.migrations'))")


class SchemaNotAtHead(ExpectedError):
    """The database does not have the schema that this code needs."""


@dataclass(frozen=True)
class Upgrade:
    """Revisions before and after an upgrade, and the applied migrations. ``before`` is None for an empty database."""

    before: str | None
    after: str
    applied: tuple[str, ...]


@contextmanager
def migration_transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open the one transaction of an upgrade or downgrade, and lock out all other writers.

    SQLite does not enforce foreign keys inside the transaction. Otherwise dropping a table to rebuild it could delete
    the rows that refer to it. The foreign keys are checked before the commit.

    Raises:
        SchemaNotAtHead: Some rows would refer to missing rows, so nothing was changed.
    """
    with engine.connect().execution_options(kalshi_writes=True) as connection:
        sqlite = engine.dialect.name == "sqlite"
        if sqlite:
            make_shrinkable(sqlite_driver(connection))
            sqlite_driver(connection).execute("PRAGMA foreign_keys = OFF")
            # Without ``legacy_alter_table``, SQLite refuses to rename any table if a view that the user created reads a
            # column that does not exist.
            sqlite_driver(connection).execute("PRAGMA legacy_alter_table = ON")
        try:
            with connection.begin():
                if not sqlite:
                    connection.execute(_POSTGRES_LOCK)
                lower_guards(connection)
                yield connection
                _refuse_dangling_references(connection)
                raise_guards(connection)
        finally:
            if sqlite:
                sqlite_driver(connection).execute("PRAGMA legacy_alter_table = OFF")
                sqlite_driver(connection).execute("PRAGMA foreign_keys = ON")


def apply_migrations(connection: sa.Connection) -> Upgrade:
    """Apply all missing migrations on a connection from :func:`migration_transaction`."""
    before = revision_of(connection)
    applied: list[str] = []
    command.upgrade(_alembic(connection, applied.append), "head")
    return Upgrade(before, wanted_revision(), tuple(applied))


def use_write_ahead_log(engine: sa.Engine) -> None:
    """Switch a SQLite file to the write-ahead log, so that readers and one writer can work at the same time.

    The file keeps this mode. The engine does not set the mode on connect, because that writes to the file, and the file
    may not be a warehouse.
    """
    if engine.dialect.name != "sqlite":
        return
    with engine.connect() as connection:
        driver = sqlite_driver(connection)
        try:
            if driver.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                driver.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            logger.info("Another connection is open. The next `migrate` switches on the write-ahead log.")


def current_revision(engine: sa.Engine) -> str | None:
    """Return the revision that the database is stamped with, or None if it was never migrated."""
    with explain_failures(engine), engine.connect() as connection:
        return revision_of(connection)


@cache
def wanted_revision() -> str:
    """Return the newest revision that this code has."""
    head = ScriptDirectory(str(migrations_folder())).get_current_head()
    if head is None:
        raise SchemaNotAtHead(f"No migrations were found in {migrations_folder()}.", "Reinstall kalshi_pipelines.")
    return head


@cache
def known_revisions() -> frozenset[str]:
    """Return all revisions that this code can upgrade from."""
    return frozenset(script.revision for script in ScriptDirectory(str(migrations_folder())).walk_revisions())


def require_head(engine: sa.Engine) -> None:
    """Check that the database has the schema that this code needs.

    Raises:
        SchemaNotAtHead: The database has another schema. The message names the command to run.
    """
    have, want = current_revision(engine), wanted_revision()
    if have != want:
        raise SchemaNotAtHead(
            f"The warehouse schema is at {have or '(empty)'}, but this code needs {want}.",
            f"Run `{MIGRATE_COMMAND}` first.",
        )


def migrations_folder() -> Path:
    """Return the folder of the migrations: inside the package if installed, next to the package in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def _alembic(connection: sa.Connection, on_apply: Callable[[str], None]) -> Config:
    config = Config(attributes={"connection": connection, "on_apply": on_apply})
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def revision_of(connection: sa.Connection) -> str | None:
    """Return the revision that the database of a connection is stamped with, or None."""
    return ", ".join(sorted(MigrationContext.configure(connection).get_current_heads())) or None


def _refuse_dangling_references(connection: sa.Connection) -> None:
    if connection.dialect.name != "sqlite":
        return
    dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(3)
    if dangling:
        raise SchemaNotAtHead(
            f"The upgrade would leave rows without the rows they refer to, so nothing was changed: {dangling}.",
            "Report this as a bug.",
        )
