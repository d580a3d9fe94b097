"""Connections to the warehouse: SQLite in WAL mode by default, Postgres by URL.

Every setting that all connections need belongs here: enforce foreign keys, wait for locks, and take the write lock at
the beginning of a write.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from kalshi_pipelines.errors import ExpectedError

LOCK_WAIT_SECONDS: Final = 60
_CACHE_KIB: Final = 8_192
_CHECKPOINT_PAGES: Final = 8_000
_WRITES: Final = "kalshi_writes"
# A connection that only holds a lock is idle during a whole ingest.
# Keepalives stop firewalls from closing the connection.
_KEEP_ALIVE: Final = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 6}
_DRIVERS: Final = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


_ANOTHER_PLACE: Final = "Check the file's permissions, or set KALSHI_WAREHOUSE_URL to another place."
_DAMAGED: Final = "The file is damaged or not a database: restore a backup, or move the file away and run again."
#: Remedies for errors of the database. Each key is a part of the error's text.
_REMEDIES: Final = {
    "not a database": _DAMAGED,
    "malformed": _DAMAGED,
    "readonly": _ANOTHER_PLACE,
    "unable to open": _ANOTHER_PLACE,
    "locked": "Stop the other program that holds the database, and run again.",
    "lock timeout": "Stop the other program that holds the database, and run again.",
    "full": "Free some disk space and run again.",
    "disk I/O": "Check the health of the disk and the limits on file sizes, and run again.",
    "already exists": "Rename your own table, view or index that has a name the warehouse needs, and run again.",
    "foreign key mismatch": "Drop the reference from your own table to a table of the warehouse, and run again.",
    "no such module: fts5": "Use another build of Python: the SQLite of this Python has no full-text search.",
    "so it is retired": "Set KALSHI_WAREHOUSE_URL to the copy, or run `kalshi-pipelines reopen` to write here again.",
    "depend on it": "Drop your own view that reads a view the upgrade rebuilds, and create your view again afterwards.",
}


class WarehouseUnavailable(ExpectedError):
    """The warehouse cannot be opened or used."""

    is_retryable = True


def warehouse_url(text: str, variable: str = "KALSHI_WAREHOUSE_URL") -> URL:
    """Parse a database URL, and add the driver if the URL names none (psycopg 3 for ``postgresql://``).

    Errors name the variable that the URL is from.

    Raises:
        WarehouseUnavailable: The text is not a database URL, or names a database other than SQLite or Postgres.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise WarehouseUnavailable(
            f"{variable} is not a database URL.",
            "Write sqlite:///path/warehouse.db or postgresql+psycopg://user:password@host/database.",
        ) from None
    if "@" in (url.host or "") or "password" in url.query:
        raise WarehouseUnavailable(
            f"{variable} contains its password in a place where logs would show it.",
            "Write user:password@host, and percent-encode every special character of the password (@ is %40).",
        )
    if url.drivername in _DRIVERS:
        url = url.set(drivername=_DRIVERS[url.drivername])
    if url.drivername not in _DRIVERS.values():
        raise WarehouseUnavailable(
            f"{variable} names the driver {url.drivername!r}, which is not supported.",
            "Use sqlite or postgresql+psycopg.",
        )
    if url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}:
        raise WarehouseUnavailable(
            f"{variable} names a database in memory, which is lost when the process ends.",
            "Write sqlite:///path/warehouse.db.",
        )
    return url


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file, with special characters of its path escaped.

    Raises:
        WarehouseUnavailable: The path has bytes that are no text.
    """
    try:
        return f"sqlite:///{quote(str(path))}"
    except UnicodeEncodeError:
        shown = str(path).encode(errors="backslashreplace").decode()
        raise WarehouseUnavailable(
            f"The path {shown} has bytes that are no UTF-8 text.", "Use a folder whose name is text."
        ) from None


def sqlite_driver(connection: sa.Connection) -> sqlite3.Connection:
    """Return the connection of the SQLite driver, for operations that SQLAlchemy does not offer.

    Raises:
        TypeError: The connection is not to SQLite.
    """
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        raise TypeError(f"{connection.dialect.name} is not SQLite")
    return driver


def place_of(database: sa.Engine | sa.URL) -> str:
    """Return where a database is, without user and password: a file path, or host, port and database name."""
    url = database.url if isinstance(database, sa.Engine) else database
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return f"{url.get_backend_name()}://{url.host or ''}{f':{url.port}' if url.port else ''}/{url.database or ''}"


def open_engine(
    text: str, missing: Callable[[Path], ExpectedError] | None = None, variable: str = "KALSHI_WAREHOUSE_URL"
) -> sa.Engine:
    """Return an engine for a warehouse URL, and create the folder of a SQLite file if it is missing.

    With ``missing``, no folder or file is ever created: connecting to a missing file raises the error that ``missing``
    returns for its path. Errors name the variable that the URL is from.

    Raises:
        WarehouseUnavailable: The URL cannot be used, or the folder cannot be created or written.
    """
    url = warehouse_url(text, variable)
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True, connect_args=_KEEP_ALIVE)
    file = Path(str(url.database))
    if missing is None or file.parent.is_dir():
        make_writable_folder(file.parent, f"KALSHI_DATA_DIR or {variable}")
    engine = sa.create_engine(url, connect_args={"timeout": LOCK_WAIT_SECONDS})
    if missing is not None:

        def require_file(*_: object) -> None:
            if not file.exists():
                raise missing(file)

        sa.event.listen(engine, "do_connect", require_file)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def open_reader(text: str, missing: Callable[[Path], ExpectedError]) -> sa.Engine:
    """Return an engine that can only read: it creates no file, and the database refuses every write.

    Raises:
        WarehouseUnavailable: The URL cannot be used.
    """
    url = warehouse_url(text)
    if url.get_backend_name() != "sqlite":
        options = {**_KEEP_ALIVE, "options": "-c default_transaction_read_only=on"}
        return sa.create_engine(url, pool_pre_ping=True, connect_args=options)
    file = Path(str(url.database))

    def connect() -> sqlite3.Connection:
        if not file.exists():
            raise missing(file)
        uri = f"{file.absolute().as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, timeout=LOCK_WAIT_SECONDS, check_same_thread=False)

    engine = sa.create_engine(url, creator=connect)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def make_writable_folder(folder: Path, variables: str) -> None:
    """Create a folder if it is missing, and check that files can be written in it.

    Raises:
        WarehouseUnavailable: The folder cannot be created or written. The message names the variables to set.
    """
    probe = folder / ".write-probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise WarehouseUnavailable(
            f"The folder {folder} cannot be written ({error.strerror}).",
            f"Give yourself permission to write there, or set {variables} to another place.",
        ) from error


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:  # noqa: ANN401
    # With None, the driver begins no transaction by itself. The function _begin_sqlite begins every transaction.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {LOCK_WAIT_SECONDS * 1000}")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    # A page of 1,000 markets is 3 MB. The cache must hold the lookups for such a page. A cache of 32 MB saves 3 % of
    # the CPU time of a write, but lets the memory of a sweep grow with the number of stored markets. The checkpoint
    # limit must be so high that not every commit causes a checkpoint.
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    # Some builds of SQLite distrust schemas by default. Such builds would refuse the functions in our constraints and
    # guards.
    connection.execute("PRAGMA trusted_schema = ON")
    # Without ``recursive_triggers``, INSERT OR REPLACE on SQLite deletes the old row without running the
    # table's DELETE triggers.
    connection.execute("PRAGMA recursive_triggers = ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a write transaction, and commit it at the end of the block. SQLite takes the write lock at the start."""
    with engine.execution_options(**{_WRITES: True}).begin() as connection:
        yield connection


@contextmanager
def explain_failures(engine: sa.Engine) -> Iterator[None]:
    """Replace errors of the database driver inside the block by an error with a remedy.

    Raises:
        WarehouseUnavailable: The driver raised an error, for example because the database cannot be reached.
    """
    try:
        yield
    except DBAPIError as error:
        cause = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
        remedy = _remedy(cause, engine.url.get_backend_name())
        raise WarehouseUnavailable(f"The warehouse {place_of(engine)} cannot be used ({cause}).", remedy) from error


def _remedy(cause: str, backend: str) -> str:
    for sign, remedy in _REMEDIES.items():
        if sign in cause:
            return remedy
    if backend == "sqlite":
        return "Nothing was changed. Repair the cause that SQLite names, and run again."
    return "Check the URL of this database, and check that its server is running."
