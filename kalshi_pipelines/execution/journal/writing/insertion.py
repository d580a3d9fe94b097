"""Inserting rows directly through the database driver, because an order waits for each insertion.

Running each statement through SQLAlchemy would take about twice as long.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import LiteralString

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.deferred import defer
from kalshi_pipelines.execution.journal.postgres_pipeline import Statement
from kalshi_pipelines.warehouse.engine import sqlite_driver


def insert_rows(connection: sa.Connection, groups: Sequence[tuple[sa.Table, Sequence[Mapping[str, object]]]]) -> None:
    """Insert groups of rows. All rows of a group have the same columns, which hold integers and texts.

    On Postgres the rows are sent with the next statement or the commit of the transaction (see ``deferred``).
    """
    if connection.dialect.name != "sqlite":
        defer(connection, insertions(groups))
        return
    sqlite = sqlite_driver(connection)
    for table, rows in groups:
        statement = insertion(table, tuple(rows[0]))
        if len(rows) == 1:
            sqlite.execute(statement, tuple(rows[0].values()))
        else:
            sqlite.executemany(statement, [tuple(row.values()) for row in rows])


def insertions(groups: Sequence[tuple[sa.Table, Sequence[Mapping[str, object]]]]) -> list[Statement]:
    """Return the statements that insert groups of rows on Postgres.

    For each statement Postgres prepares the table's constraints. The preparation takes longer than inserting a row, so
    one statement inserts all rows of a group.
    """
    statements = []
    for table, rows in groups:
        first = rows[0]
        columns = tuple(first)
        if len(rows) == 1:
            statements.append(Statement(_insertion_of_row(table, columns), list(first.values())))
            continue
        # Equal values are sent once.
        differing = tuple(name for name in columns if any(row[name] != first[name] for row in rows))
        equal = [value for name, value in first.items() if name not in differing]
        lists = [[row[name] for row in rows] for name in differing]
        statements.append(Statement(_insertion_of_rows(table, columns, differing), [*equal, *lists]))
    return statements


@functools.cache
def insertion(table: sa.Table, columns: tuple[str, ...]) -> LiteralString:
    """Return SQLite's INSERT statement for one row."""
    places = ", ".join(["?"] * len(columns))
    return f"INSERT INTO {table.name} ({_names(table, columns)}) VALUES ({places})"  # noqa: S608


@functools.cache
def _insertion_of_row(table: sa.Table, columns: tuple[str, ...]) -> LiteralString:
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    return f"INSERT INTO {table.name} ({_names(table, columns)}) VALUES ({places})"  # noqa: S608


@functools.cache
def _insertion_of_rows(table: sa.Table, columns: tuple[str, ...], differing: tuple[str, ...]) -> LiteralString:
    """Return Postgres's INSERT statement for several rows, which differ only in some columns.

    Its parameters are the values of all other columns, and then a list of values for each differing column.
    """
    kinds: dict[str, LiteralString] = {
        name: "bigint" if isinstance(table.c[name].type, sa.Integer) else "text" for name in columns
    }
    given = [name for name in columns if name not in differing] + list(differing)
    places = {name: f"${number}::{kinds[name]}" for number, name in enumerate(given, start=1)}
    values = ", ".join(f'each."{name}"' if name in differing else places[name] for name in columns)
    lists = ", ".join(f"{places[name]}[]" for name in differing)
    each = ", ".join(f'"{name}"' for name in differing)
    return (
        f"INSERT INTO {table.name} ({_names(table, columns)}) "  # noqa: S608
        f"SELECT {values} FROM unnest({lists}) AS each ({each})"
    )


def _names(table: sa.Table, columns: tuple[str, ...]) -> LiteralString:
    return ", ".join(f'"{table.c[name].name}"' for name in columns)
