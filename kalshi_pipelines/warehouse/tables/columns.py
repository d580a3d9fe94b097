"""Building blocks of all tables: column types, names of constraints, and CHECKs of vocabularies and ranges."""

from collections.abc import Iterable
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# STRICT tables of SQLite have few types: booleans and big integers are stored as INTEGER, doubles as REAL.
Integer: Final = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
Flag: Final = sa.Boolean().with_variant(sqlite.INTEGER(), "sqlite")
Real: Final[sa.types.TypeEngine[float]] = sa.Double().with_variant(sqlite.REAL(), "sqlite")
Text: Final = sa.Text()
Digest: Final = sa.LargeBinary()

#: The views that migrations create. They show plain dollars, contracts and times to people.
VIEWS: Final = ("current_quotes", "price_history", "orderbook_levels", "vendor_drift")

MAX_PRICE_MICRODOLLARS: Final = 1_000_000


def one_of(column: str, values: Iterable[str], name: str | None = None) -> sa.CheckConstraint:
    """Return a CHECK that a column holds a term of a closed vocabulary, or NULL if the column allows it."""
    accepted = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({accepted})", name=name or column)


def between(column: str, low: int, high: int) -> sa.CheckConstraint:
    """Return a CHECK that an integer column is in a closed range."""
    return sa.CheckConstraint(f"{column} BETWEEN {low} AND {high}", name=column)


def not_negative(*columns: str) -> list[sa.CheckConstraint]:
    """Return CHECKs that integer columns are zero or more."""
    return [sa.CheckConstraint(f"{column} >= 0", name=column) for column in columns]


def prices(*columns: str) -> list[sa.CheckConstraint]:
    """Return CHECKs that columns are prices: micro-dollars from 0 to 1 dollar."""
    return [between(column, 0, MAX_PRICE_MICRODOLLARS) for column in columns]


def flags(*columns: str) -> list[Any]:
    """Return CHECKs that flag columns are 0 or 1, for databases without a boolean type."""
    return [sa.CheckConstraint(f"{column} IN (0, 1)", name=column).ddl_if(dialect="sqlite") for column in columns]


def required(name: str, type_: Any = Integer, *args: Any, nullable: bool = False) -> sa.Column[Any]:  # noqa: ANN401
    """Return a column that is NOT NULL unless ``nullable`` is true."""
    return sa.Column(name, type_, *args, nullable=nullable)


def json_arrays(*columns: str) -> list[Any]:
    """Return CHECKs that text columns hold a JSON array."""
    return _json("array", columns)


def json_objects(*columns: str) -> list[Any]:
    """Return CHECKs that text columns hold a JSON object."""
    return _json("object", columns)


def _json(kind: str, columns: Iterable[str]) -> list[Any]:
    return [
        check
        for column in columns
        for check in (
            sa.CheckConstraint(
                f"{column} IS NULL OR CASE WHEN json_valid({column}) THEN json_type({column}) = '{kind}' ELSE 0 END",
                name=column,
            ).ddl_if(dialect="sqlite"),
            sa.CheckConstraint(f"jsonb_typeof({column}::jsonb) = '{kind}'", name=column).ddl_if(dialect="postgresql"),
        )
    ]


def at_most_long(column: str, characters: int) -> list[sa.CheckConstraint]:
    """Return a CHECK that a text column has at most ``characters`` characters."""
    return [sa.CheckConstraint(f"length({column}) <= {characters}", name=f"{column}_length")]


def provenance() -> list[sa.Column[Any]]:
    """Return the columns that say when and by which run a record was stored.

    The columns hold the times of the first and the last write of the record, and the ingest run of the last write.
    Another column holds the fields of the record that the client does not know.
    """
    return [
        sa.Column("unknown_fields", Text),
        required("first_seen_us"),
        required("recorded_us"),
        required("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    ]
