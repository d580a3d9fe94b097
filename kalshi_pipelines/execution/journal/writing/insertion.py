"""Inserting rows directly through the database driver, because an order waits for each insertion.

Running each statement through SQLAlchemy would take about twice as long.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Final, LiteralString

import psycopg
import sqlalchemy as sa

from kalshi_pipelines.warehouse.engine import sqlite_driver

#: The largest number of rows in one INSERT statement. A reservation has five postings; Postgres takes at most 65,535
#: values per statement.
_ROWS_PER_STATEMENT: Final = 50


def insert_rows(connection: sa.Connection, groups: Sequence[tuple[sa.Table, Sequence[Mapping[str, object]]]]) -> None:
    """Insert groups of rows. All rows of a group have the same columns, which hold integers and texts.

    On Postgres all statements share one round trip.
    """
    driver = connection.connection.driver_connection
    if isinstance(driver, psycopg.Connection):
        _insert_on_postgres(driver, groups)
        return
    sqlite = sqlite_driver(connection)
    for table, rows in groups:
        statement = insertion(table, tuple(rows[0]), "?")
        if len(rows) == 1:
            sqlite.execute(statement, tuple(rows[0].values()))
        else:
            sqlite.executemany(statement, [tuple(row.values()) for row in rows])


def _insert_on_postgres(
    driver: psycopg.Connection[tuple[object, ...]],
    groups: Sequence[tuple[sa.Table, Sequence[Mapping[str, object]]]],
) -> None:
    with driver.pipeline(), driver.cursor() as cursor:
        for table, rows in groups:
            # For each statement Postgres prepares the table's constraints. The preparation takes longer than inserting
            # a row, so a statement inserts many rows.
            for begin in range(0, len(rows), _ROWS_PER_STATEMENT):
                some = rows[begin : begin + _ROWS_PER_STATEMENT]
                statement = insertion(table, tuple(rows[0]), "%s", len(some))
                cursor.execute(statement, [value for row in some for value in row.values()])


@functools.cache
def insertion(table: sa.Table, columns: tuple[str, ...], mark: str, rows: int = 1) -> LiteralString:
    """Return the INSERT statement for a number of rows, with the driver's placeholder ``mark`` for each value."""
    names = ", ".join(f'"{table.c[name].name}"' for name in columns)
    places = f"({', '.join([mark] * len(columns))})"
    return f"INSERT INTO {table.name} ({names}) VALUES {', '.join([places] * rows)}"  # noqa: S608
