"""Connections to the journal.

A commit returns only when it is on the disk, and no transaction waits long for a lock.
"""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg
import sqlalchemy as sa
from psycopg.types.numeric import Int8BinaryDumper
from sqlalchemy.exc import DBAPIError, IntegrityError

from kalshi_pipelines.execution.journal.deferred import share_round_trips
from kalshi_pipelines.execution.journal.errors import JournalMissing, JournalRefused, JournalUnavailable
from kalshi_pipelines.execution.journal.guards import HASH_DOMAIN, HASH_FUNCTION, SCHEMA, WRITER_FUNCTION
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.warehouse.engine import (
    WarehouseUnavailable,
    make_writable_folder,
    open_engine,
    place_of,
    warehouse_url,
)

#: The longest wait for a lock of the journal, in seconds. An order that had to wait longer would be too old to send.
LOCK_WAIT_SECONDS: Final = 5
_POSTGRES_OPTIONS: Final = (
    f"-c search_path={SCHEMA} -c synchronous_commit=on -c lock_timeout={LOCK_WAIT_SECONDS}s "
    f"-c idle_in_transaction_session_timeout=60s -c timezone=UTC -c plan_cache_mode=force_generic_plan"
)
#: Timeouts after which a vanished Postgres server is noticed. They are in seconds, except ``tcp_user_timeout``, which
#: is in milliseconds.
_POSTGRES_PATIENCE: Final = {
    "connect_timeout": LOCK_WAIT_SECONDS,
    "keepalives_idle": LOCK_WAIT_SECONDS,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 2_000 * LOCK_WAIT_SECONDS,
}


def journal_url(settings: Settings) -> str:
    """Return the URL of the journal.

    The setting ``journal_url`` takes precedence. Without it, the journal is ``journal.db`` in the environment's folder
    if the warehouse is SQLite, and otherwise shares the warehouse's Postgres database.
    """
    if settings.journal_url is not None:
        return settings.journal_url.get_secret_value()
    warehouse = warehouse_url(settings.resolved_warehouse_url)
    if warehouse.get_backend_name() == "sqlite":
        return f"sqlite:///{quote(str(settings.environment_dir / 'journal.db'))}"
    return warehouse.render_as_string(hide_password=False)


def open_journal(url: str, lock_wait_seconds: float = LOCK_WAIT_SECONDS) -> sa.Engine:
    """Return an engine for the journal's URL, without connecting to the database yet.

    Connecting never creates a SQLite file, because an empty file looks like a journal in which nothing is traded. Only
    ``upgrade_journal`` creates it; connecting to a missing file raises ``JournalMissing``.

    Raises:
        JournalUnavailable: The URL cannot be used, or the journal's folder cannot be written.
    """
    try:
        parsed = warehouse_url(url)
        if parsed.get_backend_name() != "sqlite":
            postgres = sa.create_engine(
                parsed, pool_pre_ping=True, connect_args={"options": _POSTGRES_OPTIONS} | _POSTGRES_PATIENCE
            )
            sa.event.listen(postgres, "connect", _prepare_postgres)
            share_round_trips(postgres)
            return postgres
        engine = open_engine(url, missing_journal)
    except WarehouseUnavailable as error:
        renamed = [part.replace("KALSHI_WAREHOUSE_URL", "KALSHI_JOURNAL_URL") for part in (error.problem, error.remedy)]
        raise JournalUnavailable(*renamed) from None

    def prepare(connection: sqlite3.Connection, _record: Any) -> None:  # noqa: ANN401
        connection.execute(f"PRAGMA busy_timeout = {int(lock_wait_seconds * 1000)}")
        # In WAL mode, ``synchronous = NORMAL`` may lose the last commits in a power failure. One of them may be the
        # record that an order was sent.
        connection.execute("PRAGMA synchronous = FULL")
        connection.create_function(HASH_FUNCTION, 3, record_hash, deterministic=True)
        connection.create_function(WRITER_FUNCTION, 0, _writes, deterministic=True)

    sa.event.listen(engine, "connect", prepare)
    return engine


def missing_journal(file: Path, others: Sequence[str] = ()) -> JournalMissing:
    """Return the error that a SQLite journal does not exist. ``others`` are journals in which sessions traded."""
    elsewhere = f" You last traded with {', '.join(others)}." if others else ""
    return JournalMissing(
        f"There is no journal in {file.parent.absolute()}.{elsewhere}",
        "Go to the folder in which you trade, or set KALSHI_DATA_DIR. For a new journal, run "
        "`dagster job execute -m kalshi_pipelines -j migrate`.",
    )


def sqlite_file(engine: sa.Engine) -> Path | None:
    """Return the file of a SQLite journal, or None for a journal on a server."""
    return Path(str(engine.url.database)) if engine.dialect.name == "sqlite" else None


def create_file(engine: sa.Engine) -> None:
    """Create the file of a SQLite journal and its folder, if they are missing.

    Raises:
        JournalUnavailable: The file or folder cannot be created.
    """
    file = sqlite_file(engine)
    if file is None or file.exists():
        return
    try:
        make_writable_folder(file.parent, "KALSHI_DATA_DIR or KALSHI_JOURNAL_URL")
        file.touch(0o644)
    except WarehouseUnavailable as error:
        raise JournalUnavailable(error.problem, error.remedy) from error
    except OSError as error:
        raise JournalUnavailable(f"{file} cannot be created ({error.strerror}).", "Check its folder.") from error


def record_hash(seq: int, prev_hash: str | None, body: str) -> str:
    """Return the SHA-256 hash of an audit record.

    The hash covers a fixed prefix, the record's number, the previous record's hash and the record's body.
    """
    return hashlib.sha256(f"{HASH_DOMAIN}\n{seq}\n{prev_hash or ''}\n{body}".encode()).hexdigest()


def _prepare_postgres(connection: psycopg.Connection[Any], _record: object) -> None:
    # All integers are sent as 8-byte integers. By default psycopg would choose a type by the size of each number. Each
    # mix of types would then be prepared as a statement of its own.
    connection.adapters.register_dumper(int, Int8BinaryDumper)


def _writes() -> int:
    return 1


@contextmanager
def explain_failures(engine: sa.Engine) -> Iterator[None]:
    """Translate errors of the database driver into errors of the journal.

    Raises:
        JournalRefused: A constraint or guard refused a row; nothing was stored.
        JournalUnavailable: The driver reported any other error; nothing was stored.
    """
    try:
        yield
    except (IntegrityError, sqlite3.IntegrityError, psycopg.IntegrityError) as error:
        cause = error.orig if isinstance(error, IntegrityError) else error
        raise JournalRefused(_rule_of(cause), _first_line(cause)) from error
    except (DBAPIError, sqlite3.Error, psycopg.Error) as error:
        message = _first_line(error.orig if isinstance(error, DBAPIError) else error)
        raise JournalUnavailable(
            f"The journal {place_of(engine)} cannot be used ({message}); nothing was stored.",
            "Check its disk, locks, permissions and server, then run again.",
        ) from error


def _rule_of(error: BaseException | None) -> str:
    """Return the name of the guard or constraint that refused a row.

    For some constraints SQLite reports only the names of the columns.
    """
    diagnosis = getattr(error, "diag", None)
    if diagnosis is not None and diagnosis.constraint_name:
        return str(diagnosis.constraint_name)
    text = _first_line(error)
    for beginning in ("CHECK constraint failed: ", "UNIQUE constraint failed: ", "NOT NULL constraint failed: "):
        if text.startswith(beginning):
            return text.removeprefix(beginning)
    return "foreign_key" if text == "FOREIGN KEY constraint failed" else text


def _first_line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
