"""Bulk writes: many rows a statement, prepared once; a row the database refuses is set aside, not its neighbours."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

#: Values of one row in the order of the statement's columns.
Row = tuple[Any, ...]

_REFUSALS: Final = (sa.exc.IntegrityError, sa.exc.DataError, OverflowError)


@dataclass(frozen=True)
class RefusedRow:
    """A row that breaks a constraint, by its position in what was given, with the database's reason."""

    position: int
    reason: str


@dataclass(frozen=True)
class Write:
    """What to insert where.

    Attributes:
        table: The table written to.
        columns: The columns each row gives, in that order.
        on_conflict: What becomes of a row whose primary key is there: it is overwritten, kept, or the new one refused.
        keep: Columns that keep their value when a row is overwritten.
    """

    table: sa.Table
    columns: tuple[str, ...]
    on_conflict: Literal["overwrite", "keep", "refuse"] = "overwrite"
    keep: tuple[str, ...] = ()


def wanted_keys(keys: Collection[str], dialect: str) -> sa.TableValuedAlias:
    """Keys as a table with the one column ``value``, to be joined with; they are one parameter, however many."""
    if dialect == "postgresql":
        array = sa.bindparam(None, list(keys), type_=postgresql.ARRAY(sa.Text()))
        return sa.func.unnest(array).table_valued(sa.column("value", sa.Text()), name="wanted").render_derived()
    return sa.func.json_each(msgspec.json.encode(list(keys)).decode()).table_valued("value", name="wanted")


def write_rows(connection: sa.Connection, write: Write, rows: Sequence[Row]) -> list[RefusedRow]:
    """Insert or overwrite rows inside the open transaction; returns those the database refused.

    All rows go in one statement. Only when that fails are they tried one by one, so that exactly the illegal ones are
    left out.
    """
    if not rows:
        return []
    try:
        with _undone_on_error(connection, write):
            _execute(connection, write, rows)
    except _REFUSALS:
        return [refused for position, row in enumerate(rows) if (refused := _try_one(connection, write, position, row))]
    return []


def _undone_on_error(connection: sa.Connection, write: Write) -> AbstractContextManager[object]:
    """Keep the transaction usable after a refusal.

    SQLite undoes just the failed row; the rows before it are written again one by one, which changes nothing unless
    the write refuses rows that are there. A savepoint costs SQLite a copy of every page it changes.
    """
    if connection.dialect.name == "sqlite" and write.on_conflict != "refuse":
        return nullcontext()
    return connection.begin_nested()


def _try_one(connection: sa.Connection, write: Write, position: int, row: Row) -> RefusedRow | None:
    try:
        with _undone_on_error(connection, write):
            _execute(connection, write, [row])
    except OverflowError as error:
        return RefusedRow(position, str(error))
    except (sa.exc.IntegrityError, sa.exc.DataError) as error:
        return RefusedRow(position, str(error.orig).splitlines()[0])
    return None


def _execute(connection: sa.Connection, write: Write, rows: Sequence[Row]) -> None:
    if connection.dialect.name == "sqlite":
        # Positional parameters go straight to the driver: half the time of building a dict for each row.
        connection.exec_driver_sql(_sqlite_text(write), list(rows))
    else:
        statement = _statement(write, "postgresql")
        connection.execute(statement, [dict(zip(write.columns, row, strict=True)) for row in rows])


@lru_cache(maxsize=64)
def _sqlite_text(write: Write) -> str:
    return str(_statement(write, "sqlite").compile(dialect=sqlite.dialect(), column_keys=list(write.columns)))


@lru_cache(maxsize=64)
def _statement(write: Write, dialect: str) -> sa.Insert:
    # SQLAlchemy writes columns in the order of the table; rows come in the order of the write.
    ordered = sa.table(write.table.name, *[sa.column(name, write.table.c[name].type) for name in write.columns])
    insert = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(ordered)
    key = [column.name for column in write.table.primary_key]
    insert = insert.values({name: sa.bindparam(name) for name in write.columns})
    if write.on_conflict == "refuse":
        return insert
    if write.on_conflict == "keep":
        return insert.on_conflict_do_nothing()
    changed = {name: insert.excluded[name] for name in write.columns if name not in (*key, *write.keep)}
    return insert.on_conflict_do_update(index_elements=key, set_=changed)
