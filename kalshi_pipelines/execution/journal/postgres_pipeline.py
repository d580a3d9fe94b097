"""Several statements in one round trip to Postgres, on a connection of psycopg.

An order waits for each statement. For a short statement, a cursor of psycopg needs more time than the server does. This
module therefore prepares each statement once for a connection, and then sends only its values. psycopg still waits for
the answers, so Ctrl-C and other threads work as usual.

Values and results are integers, texts and NULL. A value may also be a list of integers or texts. Errors are psycopg's.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import psycopg
from psycopg import errors, generators, pq
from psycopg.abc import PQGen

#: The numbers of Postgres's types bigint, smallint and integer.
_INTEGERS: Final = frozenset({20, 21, 23})
#: The statements that each connection has prepared, with their names.
_PREPARED: Final[WeakKeyDictionary[psycopg.Connection[Any], dict[str, bytes]]] = WeakKeyDictionary()
#: Numbers for the names of prepared statements. A name is never used twice, even if it is not known whether a statement
#: was prepared before Ctrl-C.
_NUMBERS: Final = count(1)


class Statement(NamedTuple):
    """A statement with the placeholders ``$1``, ``$2`` and so on, and the values for them."""

    text: str
    values: Sequence[object] = ()


class _Command(NamedTuple):
    """A message to the server. ``prepares`` is the text of the statement that it prepares, if any."""

    send: Callable[[], None]
    prepares: str | None = None
    has_rows: bool = False


def run_together(
    driver: psycopg.Connection[Any], statements: Sequence[Statement], *, commits: bool = False
) -> list[list[dict[str, Any]]]:
    """Run statements in one round trip, and return the rows of each. A transaction begins if none is open.

    With ``commits``, the transaction is committed if the server refused no statement.

    Raises:
        psycopg.Error: The server refused a statement, so no later statement ran. Or the connection failed.
    """
    known = _PREPARED.setdefault(driver, {})
    begins = driver.pgconn.transaction_status == pq.TransactionStatus.IDLE and not driver.autocommit
    if begins and not any(statement.text in known for statement in statements):
        # Nothing in this round trip would show whether psycopg removed the prepared statements.
        known.clear()
    try:
        return _run(driver, statements, known, begins=begins, commits=commits)
    except errors.InvalidSqlStatementName:
        # psycopg removes all prepared statements of the connection after a rollback or a change of the schema.
        known.clear()
        if not begins:
            raise
        driver.rollback()
        return _run(driver, statements, known, begins=True, commits=commits)


def _run(
    driver: psycopg.Connection[Any],
    statements: Sequence[Statement],
    known: dict[str, bytes],
    *,
    begins: bool,
    commits: bool,
) -> list[list[dict[str, Any]]]:
    names = dict(known)
    commands = _commands(driver, statements, names)
    if begins:
        commands.insert(0, _Command(partial(driver.pgconn.send_query_params, _begin(driver), None)))
    if commits:
        commands.append(_Command(partial(driver.pgconn.send_query_params, b"COMMIT", None)))
    results = _exchange(driver, [command.send for command in commands])
    rows = []
    for command, result in zip(commands, results, strict=True):
        if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
            raise errors.error_from_result(result)
        if command.prepares is not None:
            known[command.prepares] = names[command.prepares]
        if command.has_rows:
            rows.append(_rows_of(result))
    return rows


def _commands(
    driver: psycopg.Connection[Any], statements: Sequence[Statement], names: dict[str, bytes]
) -> list[_Command]:
    """Return the messages for some statements. The name of each newly prepared statement is added to ``names``."""
    server, commands = driver.pgconn, []
    for text, values in statements:
        if text not in names:
            names[text] = f"journal_{next(_NUMBERS)}".encode()
            commands.append(_Command(partial(server.send_prepare, names[text], text.encode()), text))
        sent = [_encode(value) for value in values]
        commands.append(_Command(partial(server.send_query_prepared, names[text], sent), has_rows=True))
    return commands


def _begin(driver: psycopg.Connection[Any]) -> bytes:
    """Return the statement that begins a transaction with the settings of a connection."""
    parts = ["BEGIN"]
    if driver.isolation_level is not None:
        parts.append(f"ISOLATION LEVEL {psycopg.IsolationLevel(driver.isolation_level).name.replace('_', ' ')}")
    if driver.read_only is not None:
        parts.append("READ ONLY" if driver.read_only else "READ WRITE")
    return " ".join(parts).encode()


def _exchange(driver: psycopg.Connection[Any], sends: Sequence[Callable[[], None]]) -> list[pq.abc.PGresult]:
    """Send messages together, and return their results in the same order."""
    server = driver.pgconn
    server.enter_pipeline_mode()
    try:
        return driver.wait(_results(server, deque([*sends, server.pipeline_sync])))
    finally:
        # After Ctrl-C, psycopg has canceled the statements and read all results.
        if server.status == pq.ConnStatus.OK:
            server.exit_pipeline_mode()


def _results(server: pq.abc.PGconn, messages: deque[Callable[[], None]]) -> PQGen[list[pq.abc.PGresult]]:
    """Send messages, wait for all results, and return them. The last message must be a synchronization."""
    batches = yield from generators.pipeline_communicate(server, messages)
    results = [result for batch in batches for result in batch]
    while not results or results[-1].status != pq.ExecStatus.PIPELINE_SYNC:
        results += yield from generators.fetch_many(server)
    return results[:-1]


def _encode(value: object) -> bytes | None:
    """Return a value in the text format in which Postgres reads parameters."""
    if value is None:
        return None
    text = f"{{{','.join(map(_quote, value))}}}" if isinstance(value, list) else str(value)
    if "\0" in text:
        raise psycopg.DataError("Postgres cannot store a text with a NUL character")
    return text.encode()


def _quote(value: object) -> str:
    """Return an element of a list in the text format of Postgres's arrays."""
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _rows_of(result: pq.abc.PGresult) -> list[dict[str, Any]]:
    if result.ntuples == 0:
        return []
    columns = [
        ((result.fname(each) or b"").decode(), result.ftype(each) in _INTEGERS) for each in range(result.nfields)
    ]
    rows = []
    for number in range(result.ntuples):
        row: dict[str, Any] = {}
        for place, (name, is_integer) in enumerate(columns):
            value = result.get_value(number, place)
            row[name] = value if value is None else int(value) if is_integer else value.decode()
        rows.append(row)
    return rows
