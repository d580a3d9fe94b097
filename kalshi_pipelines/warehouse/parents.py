"""Removal of many rows that other tables refer to, without a search of those tables for each removed row.

A database searches every referring table for each removed row. Large tables have no index for this search, because such
an index would slow down every write of a quote. Here the referring tables are read once for all rows together, and the
database does not repeat the search.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from kalshi_pipelines.warehouse.engine import sqlite_driver, writing
from kalshi_pipelines.warehouse.locks import AlreadyRunning
from kalshi_pipelines.warehouse.tables import metadata
from kalshi_pipelines.warehouse.write_guards import deleting_without_guard

_LOCK_NOT_AVAILABLE: Final = "55P03"

Key = int | bytes


def references_to(parent: sa.Table) -> list[sa.ForeignKeyConstraint]:
    """Return the constraints of all tables that refer to a table."""
    return [
        constraint
        for table in metadata.sorted_tables
        for constraint in table.foreign_key_constraints
        if constraint.referred_table is parent
    ]


def remove_unreferenced(engine: sa.Engine, parent: sa.Table, keys: Sequence[Key]) -> int:
    """Remove those rows of a table that no row refers to, in one transaction, and return their number.

    Args:
        engine: The warehouse.
        parent: A table whose primary key is one column of integers or digests.
        keys: Keys of the rows that may be removed.

    Raises:
        AlreadyRunning: On Postgres, another transaction uses a table that refers to ``parent``.
    """
    if not keys:
        return 0
    column = next(iter(parent.primary_key))
    removing = _removing_on_sqlite if engine.dialect.name == "sqlite" else _removing_on_postgres
    with removing(engine, parent) as connection:
        removed = sorted(set(keys) - _referenced(connection, parent, keys))
        if removed:
            with _wanted(connection, parent, removed) as wanted:
                connection.execute(sa.delete(parent).where(column.in_(sa.select(wanted.c.value))))
    return len(removed)


def count_unreferenced(connection: sa.Connection, parent: sa.Table, keys: Sequence[Key]) -> int:
    """Return the number of rows that :func:`remove_unreferenced` would remove now."""
    return len(set(keys) - _referenced(connection, parent, keys)) if keys else 0


def _referenced(connection: sa.Connection, parent: sa.Table, keys: Sequence[Key]) -> set[Key]:
    found: set[Key] = set()
    with _wanted(connection, parent, keys) as wanted:
        for constraint in references_to(parent):
            column = next(iter(constraint.columns))
            found.update(connection.scalars(sa.select(column).distinct().where(column.in_(sa.select(wanted.c.value)))))
    return found


@contextmanager
def _wanted(connection: sa.Connection, parent: sa.Table, keys: Sequence[Key]) -> Iterator[sa.Table]:
    """Put keys into a temporary table during the block."""
    column = sa.Column("value", next(iter(parent.primary_key)).type, primary_key=True)
    table = sa.Table("wanted_keys", sa.MetaData(), column, prefixes=["TEMPORARY"])
    table.create(connection)
    connection.execute(sa.insert(table), [{"value": key} for key in keys])
    yield table
    table.drop(connection)


@contextmanager
def _removing_on_sqlite(engine: sa.Engine, parent: sa.Table) -> Iterator[sa.Connection]:
    """Open a write transaction in which SQLite does not search for references to the removed rows.

    The write guard of the table refuses such transactions, so it is removed first and created again before the commit.
    """
    with engine.connect().execution_options(kalshi_writes=True) as connection:
        sqlite_driver(connection).execute("PRAGMA foreign_keys = OFF")
        try:
            with connection.begin(), deleting_without_guard(connection, parent.name):
                yield connection
        finally:
            sqlite_driver(connection).execute("PRAGMA foreign_keys = ON")


@contextmanager
def _removing_on_postgres(engine: sa.Engine, parent: sa.Table) -> Iterator[sa.Connection]:
    """Open a transaction without the foreign keys to a table. Before the commit, Postgres checks all rows at once."""
    constraints = references_to(parent)
    with writing(engine) as connection:
        preparer = connection.dialect.identifier_preparer
        names = ", ".join(preparer.format_table(table) for table in (parent, *{one.table for one in constraints}))
        try:
            # A transaction that waited for these locks could wait for an ingest that waits for this transaction.
            connection.exec_driver_sql(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE NOWAIT")
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", "") != _LOCK_NOT_AVAILABLE:
                raise
            raise AlreadyRunning(
                f"Another transaction uses tables that refer to {parent.name}.", "Run again later."
            ) from None
        for constraint in constraints:
            connection.execute(sa.schema.DropConstraint(constraint))
        yield connection
        for constraint in constraints:
            connection.execute(sa.schema.AddConstraint(constraint, isolate_from_table=False))
