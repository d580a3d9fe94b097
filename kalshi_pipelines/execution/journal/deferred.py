"""Insertions that wait for the next statement of their transaction on Postgres, so that they share its round trip.

An order waits for each round trip. A transaction often only inserts rows before it is committed, so the insertions and
the commit are sent together. If the database refuses a row, the error is therefore raised by the next statement of the
transaction or by its commit. Nothing is stored in either case.

On SQLite nothing waits, because a statement there needs no round trip.
"""

from collections.abc import Sequence
from typing import Any, Final, cast

import psycopg
import sqlalchemy as sa

from kalshi_pipelines.execution.journal.postgres_pipeline import Statement, run_together

_WAITING: Final = "journal_insertions"
#: The number of savepoints that are open.
_SAVEPOINTS: Final = "journal_savepoints"


def defer(connection: sa.Connection, statements: Sequence[Statement]) -> None:
    """Run insertions before the next statement of the transaction, or with its commit.

    They run at once on a connection whose engine does not share round trips, because nothing would send them later.
    They also run at once after a savepoint, so that a refused row raises its error before the savepoint is left.
    """
    waiting = connection.info.get(_WAITING)
    if waiting is None or connection.info[_SAVEPOINTS]:
        run_now(connection, statements)
    else:
        waiting.extend(statements)


def run_now(connection: sa.Connection, statements: Sequence[Statement] = ()) -> list[list[dict[str, Any]]]:
    """Run the insertions that wait and then some statements, and return the rows of these statements.

    Raises:
        psycopg.Error: The server refused an insertion or a statement, or the connection failed.
    """
    waiting = _take(connection)
    if not waiting and not statements:
        return []
    return run_together(_driver(connection), [*waiting, *statements])[len(waiting) :]


def share_round_trips(engine: sa.Engine) -> None:
    """Let insertions of an engine's transactions wait for their next statement or commit."""
    sa.event.listen(engine, "connect", _begin_waiting)
    sa.event.listen(engine, "before_cursor_execute", _before_statement)
    sa.event.listen(engine, "commit", _before_commit)
    sa.event.listen(engine, "rollback", _forget)
    sa.event.listen(engine, "savepoint", _enter_savepoint)
    sa.event.listen(engine, "release_savepoint", _leave_savepoint)
    sa.event.listen(engine, "rollback_savepoint", _leave_savepoint)
    sa.event.listen(engine, "checkin", _begin_waiting)


def _begin_waiting(_driver: object, record: Any) -> None:  # noqa: ANN401
    record.info |= {_WAITING: [], _SAVEPOINTS: 0}


def _take(connection: sa.Connection) -> list[Statement]:
    """Return the insertions that wait, which wait no longer."""
    waiting: list[Statement] = connection.info.get(_WAITING, [])
    taken = list(waiting)
    waiting.clear()
    return taken


def _forget(connection: sa.Connection) -> None:
    _take(connection)
    connection.info[_SAVEPOINTS] = 0


def _enter_savepoint(connection: sa.Connection, *_: object) -> None:
    connection.info[_SAVEPOINTS] += 1


def _leave_savepoint(connection: sa.Connection, *_: object) -> None:
    connection.info[_SAVEPOINTS] -= 1


def _before_statement(connection: sa.Connection, *_: object) -> None:
    run_now(connection)


def _before_commit(connection: sa.Connection) -> None:
    waiting = _take(connection)
    connection.info[_SAVEPOINTS] = 0
    if waiting:
        run_together(_driver(connection), waiting, commits=True)


def _driver(connection: sa.Connection) -> psycopg.Connection[Any]:
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)
