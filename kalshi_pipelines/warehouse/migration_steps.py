"""What several migrations do: change a table in place on either database, and refuse a downgrade that loses rows.

Frozen like the migrations themselves: a step that has to do something else gets another name.
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
    """The older schema has no place for rows that are stored; the message says which.

    A ``CommandError``, because the alembic command shows just the message of those.
    """


def dialect() -> str:
    """The name of the database's dialect, known offline, too."""
    return op.get_context().dialect.name


@contextmanager
def changed_table(name: str) -> Iterator[BatchOperations]:
    """A batch of changes of a table: ALTERs on Postgres, a new table with the old rows on SQLite.

    The new table has every column, key and constraint of the old one, as they are in the database, and every index and
    trigger, those of the user's own included.
    """
    if dialect() == "postgresql":
        with op.batch_alter_table(name, recreate="never") as batch:
            yield batch
        return
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", sa.exc.SAWarning
        )  # of indexes it can not read, which are made again by their text
        there = sa.Table(name, sa.MetaData(), autoload_with=op.get_bind(), resolve_fks=False)
    there.indexes.clear()
    attached = op.get_bind().execute(_ATTACHED, {"name": name}).all()
    with op.batch_alter_table(name, recreate="always", copy_from=there, table_kwargs={"sqlite_strict": True}) as batch:
        yield batch
    for (statement,) in attached:
        op.execute(sa.text(statement.replace(":", "\\:")))


def refuse_to_lose(table: str, rows: str = "") -> None:
    """Stop a downgrade if the table has rows (or rows of the given SQL condition) the older schema can not hold.

    Raises:
        DowngradeWouldLoseRows: It has. SQL that is printed instead of run raises an exception of Postgres.
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
