"""A warehouse that was copied to another database is retired: the database itself refuses every later write.

Triggers refuse the writes, so a program that does not know about the copy is stopped, too. Reading goes on.
"""

import datetime as dt
import re
import sqlite3
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.warehouse.engine import LOCK_WAIT_SECONDS
from kalshi_pipelines.warehouse.inspection import read_only
from kalshi_pipelines.warehouse.tables import ingest_runs, metadata

_PREFIX: Final = "retired_"
_FUNCTION: Final = "kalshi_warehouse_is_retired"
_TABLES_THERE: Final = "SELECT name FROM sqlite_master WHERE type = 'table'"
_TRIGGERS_THERE: Final = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
_MESSAGE: Final = re.compile(r"RAISE\(ABORT, '((?:[^']|'')*)'\)")
_COPIED_TO: Final = "This warehouse was copied to "
_REMEDY: Final = (
    "Set KALSHI_WAREHOUSE_URL to the copy, or run `kalshi-pipelines reopen` to write to this warehouse again."
)


class WarehouseRetired(ExpectedError):
    """The warehouse was copied to another place, and takes no more writes."""


def retire(connection: sa.Connection, sentence: str) -> None:
    """Make the database refuse every write to a table of the warehouse from the end of this transaction on.

    A second call replaces the sentence.

    Args:
        connection: A connection in an open write transaction.
        sentence: The reason, which every refused writer sees. It must contain no secret.
    """
    reopen(connection)
    text = _literal(sentence)
    if connection.dialect.name == "sqlite":
        there = set(connection.exec_driver_sql(_TABLES_THERE).scalars())
        for table in sorted(metadata.tables.keys() & there):
            for verb in ("INSERT", "UPDATE", "DELETE"):
                connection.exec_driver_sql(
                    f'CREATE TRIGGER "{_PREFIX}{table}_{verb.lower()}" BEFORE {verb} ON "{table}" '
                    f"BEGIN SELECT RAISE(ABORT, {text}); END"
                )
        return
    # A forgotten transaction of another program must not block a copy for ever.
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT_SECONDS}s'")
    message = text.replace("%", "%%")
    connection.exec_driver_sql(
        f"CREATE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$retired$ BEGIN RAISE EXCEPTION USING MESSAGE = {message}; END $retired$"
    )
    connection.exec_driver_sql(f"COMMENT ON FUNCTION {_FUNCTION}() IS {message}")
    for table in sorted(metadata.tables.keys() & set(sa.inspect(connection).get_table_names())):
        connection.exec_driver_sql(
            f'CREATE TRIGGER "{_PREFIX}{table}" BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON "{table}" '
            f"FOR EACH STATEMENT EXECUTE FUNCTION {_FUNCTION}()"
        )


def reopen(connection: sa.Connection) -> None:
    """Let a retired warehouse take writes again. A warehouse that is not retired stays as it is."""
    if connection.dialect.name == "sqlite":
        for name, _ in connection.exec_driver_sql(_TRIGGERS_THERE).all():
            if name.startswith(_PREFIX):
                connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
    else:
        connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {_FUNCTION}() CASCADE")


def retirement_of(connection: sa.Connection) -> str | None:
    """Return the sentence with which the warehouse was retired; None if it takes writes."""
    if connection.dialect.name == "postgresql":
        comment: str | None = connection.scalar(sa.func.obj_description(sa.func.to_regproc(_FUNCTION), "pg_proc"))
        return comment
    triggers: dict[str, str] = dict(connection.exec_driver_sql(_TRIGGERS_THERE).all())
    return _sentence_in(triggers)


def _sentence_in(triggers: dict[str, str]) -> str | None:
    trigger = triggers.get(f"{_PREFIX}{ingest_runs.name}_insert")
    found = _MESSAGE.search(trigger) if trigger else None
    return found.group(1).replace("''", "'") if found else None


def retirement_of_file(path: Path) -> str | None:
    """Return the sentence with which the warehouse in a SQLite file was retired; None if it takes writes or is damaged.

    The file is only read.
    """
    if not path.is_file():
        return None
    try:
        with read_only(path) as database:
            return _sentence_in(dict(database.execute(_TRIGGERS_THERE).fetchall()))
    except sqlite3.DatabaseError:
        return None


def refuse_retired(connection: sa.Connection) -> None:
    """Check that the warehouse is not retired.

    Raises:
        WarehouseRetired: The warehouse was copied to another place. The message names the place.
    """
    sentence = retirement_of(connection)
    if sentence:
        raise WarehouseRetired(sentence, _REMEDY)


def copying_sentence(place: str) -> str:
    """Return the sentence of a warehouse whose copy to a place has begun but is not known to be complete."""
    return f"This warehouse is being copied to {place}, so it is retired."


def copied_sentence(place: str, moment: dt.datetime) -> str:
    """Return the sentence of a warehouse that was copied to a place completely."""
    return f"{_COPIED_TO}{place} on {moment:%Y-%m-%d at %H:%M} UTC, so it is retired."


def is_for(sentence: str, place: str) -> bool:
    """Return whether a sentence of a retired warehouse names a place as the place of its copy."""
    return sentence == _shown(copying_sentence(place)) or sentence.startswith(_shown(f"{_COPIED_TO}{place} on "))


def _literal(sentence: str) -> str:
    return "'" + _shown(sentence).replace("'", "''") + "'"


def _shown(sentence: str) -> str:
    """Return the sentence with ``?`` for bytes of a path that are no text, control characters and dollar signs."""
    text = sentence.encode(errors="replace").decode()
    return "".join(each if each.isprintable() and each != "$" else "?" for each in text)
