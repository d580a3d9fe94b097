"""Functions that fetch rows of the journal. Each row is a mapping from column names to values."""

from typing import Any

import sqlalchemy as sa

Row = sa.RowMapping


def first_row(connection: sa.Connection, statement: sa.Select[Any], **values: object) -> Row | None:
    """Return the first row of a query, or None if there is none."""
    return connection.execute(statement, values).mappings().first()


def all_rows(connection: sa.Connection, statement: sa.Select[Any]) -> list[Row]:
    """Return every row of a query."""
    return list(connection.execute(statement).mappings())


def is_stored(connection: sa.Connection, column: sa.Column[str], value: str) -> bool:
    """Return whether a table has a row with this value in a column."""
    return connection.execute(sa.select(sa.literal(1)).where(column == value).limit(1)).first() is not None
