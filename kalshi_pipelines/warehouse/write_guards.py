"""Triggers that refuse writes from a SQLite connection that does not enforce foreign keys and CHECK constraints.

SQLite lets each connection decide whether to enforce them, and most programs do not switch foreign keys on. The
triggers make the database itself refuse such a connection. Migrations switch foreign keys off on purpose, so they
remove the triggers first and create them again afterwards.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.tables import metadata

_PREFIX: Final = "write_guard_"
_GUARD: Final = """
CREATE TRIGGER "{name}" BEFORE {verb} ON "{table}"
WHEN (SELECT foreign_keys FROM pragma_foreign_keys) = 0
  OR (SELECT ignore_check_constraints FROM pragma_ignore_check_constraints) = 1
BEGIN
  SELECT RAISE(ABORT, 'this connection does not enforce foreign keys and CHECKs: run PRAGMA foreign_keys = ON first');
END
"""


def raise_guards(connection: sa.Connection) -> None:
    """Create the guards of every table of a SQLite warehouse. Postgres needs no guards."""
    if connection.dialect.name != "sqlite":
        return
    for table in sorted(metadata.tables.keys() & _names(connection, "table")):
        for verb in ("INSERT", "UPDATE", "DELETE"):
            name = f"{_PREFIX}{table}_{verb.lower()}"
            connection.exec_driver_sql(_GUARD.format(name=name, verb=verb, table=table))


@contextmanager
def deleting_without_guard(connection: sa.Connection, table: str) -> Iterator[None]:
    """Permit the open SQLite transaction to delete rows of one table without enforcing foreign keys.

    The guard exists again at the end of the block. The caller proves that no row refers to a deleted row.
    """
    name = f"{_PREFIX}{table}_delete"
    connection.exec_driver_sql(f'DROP TRIGGER IF EXISTS "{name}"')
    yield
    connection.exec_driver_sql(_GUARD.format(name=name, verb="DELETE", table=table))


def lower_guards(connection: sa.Connection) -> None:
    """Remove every guard of a SQLite warehouse."""
    if connection.dialect.name != "sqlite":
        return
    for trigger in sorted(_names(connection, "trigger")):
        if trigger.startswith(_PREFIX):
            connection.exec_driver_sql(f'DROP TRIGGER "{trigger}"')


def _names(connection: sa.Connection, kind: str) -> set[str]:
    return {name for (name,) in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = ?", (kind,))}
