"""Rows of whole tables, the same on SQLite and Postgres, and a digest that two equal tables share in any row order."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from kalshi_pipelines.warehouse.engine import explain_failures

ROWS_AT_ONCE: Final = 2_000
_DIGEST_BYTES: Final = 32
_MODULUS: Final = 1 << (8 * _DIGEST_BYTES)
_encode = msgspec.msgpack.Encoder().encode


@dataclass
class TableDigest:
    """A digest of a table's rows. It does not depend on the order of the rows."""

    rows: int = 0
    total: int = field(default=0, repr=False)

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows to the digest."""
        digest = hashlib.blake2b
        self.total = (
            self.total + sum(int.from_bytes(digest(_encode(row), digest_size=_DIGEST_BYTES).digest()) for row in rows)
        ) % _MODULUS
        self.rows += len(rows)

    def __str__(self) -> str:
        return f"{self.total:0{2 * _DIGEST_BYTES}x}"


def table_rows(connection: sa.Connection, table: sa.Table) -> Iterator[list[tuple[Any, ...]]]:
    """Yield all rows of a table, some thousand at once, with flags as truth values on both databases.

    Raises:
        WarehouseUnavailable: The database cannot be read, for example because a text is not UTF-8.
    """
    flags = [position for position, column in enumerate(table.columns) if isinstance(column.type, sa.Boolean)]
    # Set on the statement, because options of a connection would also reach its later statements.
    query = sa.select(*table.columns).execution_options(yield_per=ROWS_AT_ONCE)
    with (
        explain_failures(connection.engine),
        connection.execute(query) as result,
    ):
        for part in result.partitions():
            rows = [tuple(row) for row in part]
            if flags and connection.dialect.name == "sqlite":
                rows = [_with_truth_values(row, flags) for row in rows]
            yield rows


def _with_truth_values(row: tuple[Any, ...], flags: Sequence[int]) -> tuple[Any, ...]:
    values = list(row)
    for position in flags:
        values[position] = None if values[position] is None else bool(values[position])
    return tuple(values)


def digest_of(connection: sa.Connection, table: sa.Table) -> TableDigest:
    """Return the digest of a table's rows."""
    digest = TableDigest()
    for rows in table_rows(connection, table):
        digest.add(rows)
    return digest


def has_rows(connection: sa.Connection, table: sa.Table) -> bool:
    """Return whether a table holds at least one row."""
    return connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is not None
