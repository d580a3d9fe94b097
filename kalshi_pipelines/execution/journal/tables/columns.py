"""What every table of the journal is made of: the vocabulary of columns and CHECKs, and references to the audit log."""

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
    """A column that may be NULL."""
    return sa.Column(name, type_, *args, nullable=True)


def row_id(name: str) -> sa.Column[Any]:
    """The primary key that the database counts up itself."""
    return sa.Column(name, Integer, primary_key=True, autoincrement=True)


def audit_id(name: str) -> sa.Column[Any]:
    """A primary key that is the number of the row's own audit record, so that both databases count alike."""
    return sa.Column(name, Integer, sa.ForeignKey("audit_log.seq"), primary_key=True, autoincrement=False)


def flag(name: str) -> list[Any]:
    """A column of 0 or 1 and its CHECK; the same in both databases, so that their guards can be the same text."""
    return [required(name), sa.CheckConstraint(f"{name} IN (0, 1)", name=name)]


def hexadecimal(name: str) -> sa.CheckConstraint:
    """A CHECK that a text has the length of a SHA-256 in hexadecimal."""
    return sa.CheckConstraint(f"length({name}) = 64", name=name)


def text_of(name: str, shortest: int, longest: int) -> sa.CheckConstraint:
    """A CHECK of a text's length."""
    return sa.CheckConstraint(f"length({name}) BETWEEN {shortest} AND {longest}", name=name)


def audited() -> sa.Column[Any]:
    """The row of the audit log that tells of this one; no two rows of a table share one."""
    return sa.Column("audit_seq", Integer, sa.ForeignKey("audit_log.seq"), nullable=False, unique=True)


def rows_where(condition: str) -> dict[str, Any]:
    """Return the options of an index that covers only the rows for which a condition holds, in both databases."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
