"""Upgrades of the journal's schema, with their own scripts and version table, separate from the warehouse's."""

from functools import cache
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from kalshi_pipelines.execution.journal.engine import create_file, explain_failures, sqlite_file
from kalshi_pipelines.execution.journal.errors import JournalOutdated
from kalshi_pipelines.execution.journal.guards import SCHEMA, lower_guards, missing_guards, raise_guards
from kalshi_pipelines.warehouse.engine import sqlite_driver
from kalshi_pipelines.warehouse.migrations import MIGRATE_COMMAND, Upgrade, migrations_folder, use_write_ahead_log

VERSION_TABLE: Final = "journal_version"


def upgrade_journal(engine: sa.Engine, revision: str = "head") -> Upgrade:
    """Apply every missing migration and install the guards, in one transaction.

    The guards are installed only at the newest revision, because they watch its tables.

    If the journal is up to date, it is only read. A login for trading therefore needs no right to change the schema.

    Raises:
        JournalUnavailable: The database cannot be reached or written.
        JournalOutdated: The upgrade would leave rows that refer to missing rows; nothing was changed.
    """
    applied: list[str] = []
    create_file(engine)
    with explain_failures(engine):
        if revision == "head" and _is_ready(engine):
            return Upgrade(journal_head(), journal_head(), ())
        # SQLite can change its journal mode only outside a transaction.
        use_write_ahead_log(engine)
        with engine.connect().execution_options(kalshi_writes=True) as connection:
            sqlite = engine.dialect.name == "sqlite"
            if sqlite:
                sqlite_driver(connection).execute("PRAGMA foreign_keys = OFF")
            try:
                with connection.begin():
                    before = _prepared(connection)
                    lower_guards(connection)
                    command.upgrade(_alembic(connection, applied), revision)
                    _refuse_dangling_references(connection)
                    if revision == "head":
                        raise_guards(connection)
            finally:
                if sqlite:
                    sqlite_driver(connection).execute("PRAGMA foreign_keys = ON")
    return Upgrade(before, journal_head(), tuple(applied))


def altered_guards(engine: sa.Engine) -> list[str]:
    """Return the names of the guards that are missing or changed in a journal with this code's schema.

    A SQLite journal that does not exist yet has lost none.

    Raises:
        JournalUnavailable: The journal cannot be read.
    """
    file = sqlite_file(engine)
    if file is not None and not file.exists():
        return []
    with explain_failures(engine), engine.connect() as connection:
        return missing_guards(connection) if _revision(connection) == journal_head() else []


@cache
def journal_head() -> str:
    """Return the newest revision of the journal that this code knows."""
    head = ScriptDirectory(str(journal_migrations_folder())).get_current_head()
    if head is None:
        raise JournalOutdated(
            f"No migrations were found in {journal_migrations_folder()}.", "Reinstall kalshi_pipelines."
        )
    return head


def require_journal_head(engine: sa.Engine) -> None:
    """Check that the journal has the tables and the guards of this code.

    Raises:
        JournalOutdated: The tables or the guards differ; the message names the command to run.
        JournalUnavailable: The journal cannot be read.
    """
    with explain_failures(engine), engine.connect() as connection:
        have, want = _revision(connection), journal_head()
        if have != want:
            raise JournalOutdated(
                f"The journal's schema is at {have or '(empty)'}, but this code needs {want}.",
                f"Run `{MIGRATE_COMMAND}` first.",
            )
        missing = missing_guards(connection)
        if missing:
            raise JournalOutdated(
                f"Guards of the journal are missing or changed ({', '.join(missing[:5])}).",
                f"Find out who changed them, verify the audit log, then run `{MIGRATE_COMMAND}`.",
            )


def journal_revision(engine: sa.Engine) -> str | None:
    """Return the revision of a journal, or None if the database holds no journal.

    Raises:
        JournalMissing: The file of the journal does not exist.
        JournalUnavailable: The journal cannot be read.
    """
    with explain_failures(engine), engine.connect() as connection:
        return _revision(connection)


def journal_migrations_folder() -> Path:
    """Return the folder of the journal's migrations."""
    return migrations_folder() / "journal"


def _is_ready(engine: sa.Engine) -> bool:
    with engine.connect() as connection:
        return _revision(connection) == journal_head() and not missing_guards(connection)


def _prepared(connection: sa.Connection) -> str | None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('kalshi_pipelines.journal.migrations'))"))
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    return _revision(connection)


def _revision(connection: sa.Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return ", ".join(sorted(context.get_current_heads())) or None


def _alembic(connection: sa.Connection, applied: list[str]) -> Config:
    config = Config(attributes={"connection": connection, "on_apply": applied.append})
    config.set_main_option("script_location", str(journal_migrations_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _refuse_dangling_references(connection: sa.Connection) -> None:
    if connection.dialect.name != "sqlite":
        return
    dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(3)
    if dangling:
        raise JournalOutdated(
            f"The upgrade would leave rows without their parent, so nothing was changed: {dangling}",
            "Verify the audit log before you upgrade.",
        )
