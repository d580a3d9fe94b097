"""Classification of the errors of SQLite and Postgres that refuse a statement."""

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
    "22P02": "type",  # The text cannot be parsed as the column's type.
    "42804": "type",  # The value is not converted to the column's type.
    "22003": "type",  # The number is out of the column's range.
}


class ConstraintRefusal(NamedTuple):
    """The kind and name of the constraint that refused a statement. For NOT NULL, the name is that of the column.

    The name is None for foreign keys and unique keys, because SQLite does not report the names of their constraints.
    """

    kind: str
    name: str | None = None


def classify_refusal(error: sa.exc.DBAPIError) -> ConstraintRefusal:
    """Return the refusal that an error reports. Raise the error again if it is not a refusal."""
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
    """Return the name of the constraint that an error reports, or None on SQLite."""
    return error.orig.diag.constraint_name if isinstance(error.orig, psycopg.Error) else None
