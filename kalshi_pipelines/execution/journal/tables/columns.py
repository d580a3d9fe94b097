"""Builders of columns, CHECK constraints and references to the audit log, for all tables of the journal."""

from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.tables.columns import (
    Integer,
    Text,
    at_most_long,
    between,
    not_negative,
    one_of,
    required,
)
from kalshi_pipelines.warehouse.tables.columns import metadata as warehouse_metadata

__all__ = [
    "ENVIRONMENTS",
    "MODES",
    "Integer",
    "Text",
    "at_most_long",
    "audit_id",
    "audited",
    "between",
    "flag",
    "hexadecimal",
    "metadata",
    "not_negative",
    "one_of",
    "optional",
    "required",
    "row_id",
    "rows_where",
    "text_of",
]

metadata: Final = sa.MetaData(naming_convention=warehouse_metadata.naming_convention)

ENVIRONMENTS: Final = ("sandbox", "demo", "prod")
MODES: Final = ("dry_run", "live")


def optional(name: str, type_: Any = Integer, *args: Any) -> sa.Column[Any]:  # noqa: ANN401
    """Return a column that may be NULL."""
    return sa.Column(name, type_, *args, nullable=True)


def row_id(name: str) -> sa.Column[Any]:
    """Return a primary key column that the database numbers automatically."""
    return sa.Column(name, Integer, primary_key=True, autoincrement=True)


def audit_id(name: str) -> sa.Column[Any]:
    """Return a primary key column that holds the number of the row's audit record.

    Rows therefore get the same numbers in SQLite and Postgres.
    """
    return sa.Column(name, Integer, sa.ForeignKey("audit_log.seq"), primary_key=True, autoincrement=False)


def flag(name: str) -> list[Any]:
    """Return a column for a flag: an integer that a CHECK constraint limits to 0 and 1.

    SQLite and Postgres both use integers, so that the guards can use the same conditions in both.
    """
    return [required(name), sa.CheckConstraint(f"{name} IN (0, 1)", name=name)]


def hexadecimal(name: str) -> sa.CheckConstraint:
    """Return a CHECK constraint that a text has 64 characters, the length of a SHA-256 digest in hexadecimal."""
    return sa.CheckConstraint(f"length({name}) = 64", name=name)


def text_of(name: str, shortest: int, longest: int) -> sa.CheckConstraint:
    """Return a CHECK constraint that limits the length of a text."""
    return sa.CheckConstraint(f"length({name}) BETWEEN {shortest} AND {longest}", name=name)


def audited() -> sa.Column[Any]:
    """Return a column that refers to the row's audit record. No two rows of a table share an audit record."""
    return sa.Column("audit_seq", Integer, sa.ForeignKey("audit_log.seq"), nullable=False, unique=True)


def rows_where(condition: str) -> dict[str, Any]:
    """Return the options of an index that covers only rows that meet a condition, for SQLite and Postgres."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
