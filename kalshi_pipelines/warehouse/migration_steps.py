"""Steps that several migrations share: change a table, and refuse a downgrade that would lose rows.

The behaviour of a step never changes, because released migrations use it. A new behaviour gets a new function.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations
from alembic.util import CommandError

from kalshi_pipelines.errors import ExpectedError

_ATTACHED: Final = sa.text(
    "SELECT sql FROM sqlite_master WHERE tbl_name = :name AND type IN ('index', 'trigger') AND sql IS NOT NULL"
)


class DowngradeWouldLoseRows(ExpectedError, CommandError):
    """A downgrade would lose rows, because the older schema has no place for them.

    The class derives from ``CommandError`` because the alembic command prints such an error without a traceback.
    """


def dialect() -> str:
    """Return the name of the database's dialect. This works without a connection, too."""
    return op.get_context().dialect.name


@contextmanager
def changed_table(name: str, *, with_rowid: bool | None = None) -> Iterator[BatchOperations]:
    """Yield a batch of changes for a table: ALTER statements on Postgres, a rebuilt table on SQLite.

    The rebuilt table keeps all rows, and every column, key, constraint, index and trigger that the database has. This
    includes indexes and triggers that the user added.

    Args:
        name: The table to change.
        with_rowid: Whether the table rebuilt on SQLite has row numbers, without which its rows lie in the tree of the
            primary key; None keeps what the table has.
    """
    if dialect() == "postgresql":
        with op.batch_alter_table(name, recreate="never") as batch:
            yield batch
        return
    with warnings.catch_warnings():
        # SQLAlchemy warns about indexes it cannot reflect. They are created again from their SQL text below.
        warnings.simplefilter("ignore", sa.exc.SAWarning)
        there = sa.Table(name, sa.MetaData(), autoload_with=op.get_bind(), resolve_fks=False)
    there.indexes.clear()
    attached = op.get_bind().execute(_ATTACHED, {"name": name}).all()
    options = {"sqlite_strict": True} | ({} if with_rowid is None else {"sqlite_with_rowid": with_rowid})
    with op.batch_alter_table(name, recreate="always", copy_from=there, table_kwargs=options) as batch:
        yield batch
    for (statement,) in attached:
        op.execute(sa.text(statement.replace(":", "\\:")))


def refuse_to_lose(table: str, rows: str = "") -> None:
    """Stop a downgrade if a table has rows that the older schema cannot hold.

    Args:
        table: The table to check.
        rows: An SQL condition. Only rows that meet it stop the downgrade; empty means any row.

    Raises:
        DowngradeWouldLoseRows: Such rows exist. With ``alembic --sql``, the printed SQL makes the same check when it
            runs on Postgres.
    """
    lost: sa.Select[Any] = sa.select(sa.literal_column("1")).select_from(sa.table(table))
    if rows:
        lost = lost.where(sa.text(rows))
    problem = f"{table} holds rows{f' with {rows}' if rows else ''}, for which the older schema has no place."
    remedy = "Delete these rows, or restore the backup that was made before the upgrade."
    if op.get_context().as_sql:
        found = str(sa.exists(lost).compile(dialect=op.get_context().dialect))
        message = f"{problem} {remedy}".replace("'", "''")
        op.execute(f"DO $$ BEGIN IF {found} THEN RAISE EXCEPTION USING MESSAGE = '{message}'; END IF; END $$")
    elif op.get_bind().scalar(sa.select(sa.exists(lost))):
        raise DowngradeWouldLoseRows(problem, remedy)
