"""Kill points of a program: the places at which a test kills a forked child with SIGKILL.

A kill point is a statement that is about to be executed, or a file that is about to be renamed, removed, locked, or
opened as a database. Each row of an ``executemany`` or ``COPY`` counts as a statement.
"""

import os
import resource
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import psycopg
import sqlalchemy as sa

#: A kill point is always chosen if its label begins with a text of ``_ALWAYS_BEGIN`` or contains a text of
#: ``_ALWAYS_NAME``. The kill points right before and after such a kill point are chosen, too.
_ALWAYS_BEGIN: Final = ("BEGIN", "COMMIT", "fcntl.flock", "SELECT pg_advisory")
_ALWAYS_NAME: Final = (".backup", "journal_mode = WAL")
_FILE_EVENTS: Final = frozenset({"os.rename", "os.remove", "fcntl.flock", "sqlite3.connect"})

Reached = Callable[[str], None]

#: Whether tests kill at every point, as ``make kills`` asks. The suite kills at some points only, to save time.
KILLS_EVERYWHERE: Final = bool(os.environ.get("KALSHI_TEST_KILLS_EVERYWHERE"))
#: More points than any program has.
EVERY_POINT: Final = 1_000_000
#: Seconds that a program of kill points may take; None for no limit.
MOST_SECONDS: Final = None if KILLS_EVERYWHERE else 290


class Points:
    """A counter of the kill points that a process reaches. The counter kills the process at the point ``fatal``."""

    def __init__(self, fatal: int | None = None, largest_file: Callable[[], int] | None = None) -> None:
        self.labels: list[str] = []
        self.largest = 0
        self.fatal = fatal
        self._largest_file = largest_file

    def __call__(self, label: str) -> None:
        self.labels.append(label)
        if len(self.labels) == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._largest_file:
            self.largest = max(self.largest, self._largest_file())


class _EachRow(list[Any]):
    """Parameters of an ``executemany`` call. Reading the parameters of one row counts as a kill point."""

    reached: Reached

    def __iter__(self) -> Iterator[Any]:
        for row in super().__iter__():
            self.reached("a row of executemany")
            yield row


def watch(reached: Reached) -> None:
    """Count every kill point that this process reaches from now on.

    This cannot be undone, so only a child process calls the function.
    """
    real_connect = sqlite3.connect

    class Traced(sqlite3.Connection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.set_trace_callback(reached)

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return real_connect(*arguments, **options, factory=Traced)

    for module in (sqlite3, sqlite3.dbapi2):
        module.connect = connect  # type: ignore[attr-defined]  # only in a child process, which then ends
    sys.addaudithook(lambda event, details: reached(f"{event} {details[:2]}") if event in _FILE_EVENTS else None)

    @sa.event.listens_for(sa.Engine, "before_cursor_execute", retval=True)
    def _statement(
        connection: sa.Connection, _cursor: object, statement: str, parameters: Any, _context: object, many: bool
    ) -> tuple[str, Any]:
        if connection.dialect.name == "postgresql":
            reached(statement)
            if many:
                parameters = _EachRow(parameters)
                parameters.reached = reached
        return statement, parameters

    @sa.event.listens_for(sa.Engine, "begin")
    def _begin(_connection: object) -> None:
        reached("BEGIN")

    @sa.event.listens_for(sa.Engine, "commit")
    def _commit(_connection: object) -> None:
        reached("COMMIT")

    @sa.event.listens_for(sa.Pool, "checkin")
    def _checkin(_connection: object, _record: object) -> None:
        reached("after COMMIT, before the connection is given back")

    real_write_row = psycopg.Copy.write_row

    def write_row(copy: Any, row: Sequence[Any]) -> None:
        reached("a row of COPY")
        real_write_row(copy, row)

    # Only in a child process, which then ends.
    psycopg.Copy.write_row = write_row  # type: ignore[assignment, method-assign]


def run_in_child(work: Callable[[], None]) -> int:
    """Run a function in a forked process, and return the status of the process from ``os.waitpid``."""
    sys.stderr.flush()
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        work()
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    # The process ends without cleaning up, because Arrow's client of object stores would wait for its threads.
    os._exit(0)


def choose_points(labels: Sequence[str], most: int, always_begin: tuple[str, ...] = _ALWAYS_BEGIN) -> list[int]:
    """Return the numbers of the chosen kill points, counted from 1: all notable points, and others spread evenly.

    Args:
        labels: The labels of all kill points.
        most: How many points are wanted. All notable points are chosen, even if there are more.
        always_begin: Beginnings of the labels of notable points.
    """
    last = len(labels)
    always = {1, last}
    for number, label in enumerate(labels, start=1):
        if label.startswith(always_begin) or any(each in label for each in _ALWAYS_NAME):
            always |= {max(number - 1, 1), number, min(number + 1, last)}
    rest = [number for number in range(1, last + 1) if number not in always]
    wanted = min(max(most - len(always), 0), len(rest))
    return sorted(always | {rest[(2 * each + 1) * len(rest) // (2 * wanted)] for each in range(wanted)})
