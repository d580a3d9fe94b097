"""Why a database refused a statement, in the same words for SQLite and Postgres."""

import re
from typing import Final, NamedTuple

import psycopg
import sqlalchemy as sa

_SQLITE_KINDS: Final = {
    "CHECK constraint failed: ": "check",
    "NOT NULL constraint failed: ": "not null",
    "UNIQUE constraint failed: ": "unique",
    "FOREIGN KEY constraint failed": "foreign key",
    "cannot store ": "type",
    "datatype mismatch": "type",
}
_POSTGRES_KINDS: Final = {
    "23514": "check",
    "23502": "not null",
    "23505": "unique",
    "23503": "foreign key",
    "22P02": "type",  # a text that is no value of the type
    "42804": "type",  # a value of a type that is not converted
    "22003": "type",  # out of range
}


class ConstraintRefusal(NamedTuple):
    """What kind of constraint refused, and its name; of NOT NULL the column's.

    SQLite does not name foreign keys, and names the columns of a unique key: both are left out.
    """

    kind: str
    name: str | None = None


def classify_refusal(error: sa.exc.DBAPIError) -> ConstraintRefusal:
    """What the database's error says; other errors are raised again."""
    if isinstance(error.orig, psycopg.Error):
        kind = _POSTGRES_KINDS.get(error.orig.sqlstate or "")
        diagnostics = error.orig.diag
        name = {"check": diagnostics.constraint_name, "not null": diagnostics.column_name}.get(kind or "")
    else:
        text = str(error.orig)
        kind = next((kind for start, kind in _SQLITE_KINDS.items() if text.startswith(start)), None)
        name = re.split(r"[ .]", text)[-1] if kind in ("check", "not null") else None
    if kind is None:
        raise error
    return ConstraintRefusal(kind, name)


def constraint_name(error: sa.exc.DBAPIError) -> str | None:
    """The constraint's name where the database tells it."""
    return error.orig.diag.constraint_name if isinstance(error.orig, psycopg.Error) else None
