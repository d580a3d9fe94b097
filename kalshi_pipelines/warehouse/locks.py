"""Locks that keep several processes from doing the same work on one warehouse at the same time.

The operating system or the database releases a lock when its process ends, even if the process was killed.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable


class AlreadyRunning(ExpectedError):
    """Another run is already doing the same work on this warehouse."""

    is_retryable = True


@contextmanager
def hold_work_lock(engine: sa.Engine, work: str) -> Iterator[None]:
    """Hold the lock of a kind of work during the block. Fail at once if another run holds the lock.

    Raises:
        AlreadyRunning: Another run holds the lock.
    """
    hold = _try_file_lock if engine.dialect.name == "sqlite" else _try_advisory_lock
    with hold(engine, work) as held:
        if not held:
            raise AlreadyRunning(
                f"Another run already works on {work} in this warehouse.", "Wait until that run has ended, or stop it."
            )
        yield


def serialize_transactions(connection: sa.Connection, work: str) -> None:
    """Make other write transactions of the same kind of work wait until this transaction ends."""
    if connection.dialect.name == "postgresql":  # SQLite allows only one writer anyway
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(f"kalshi_pipelines.{work}"))))


@contextmanager
def hold_file_lock(file: Path, when_waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock file during the block. If another process holds it, call ``when_waiting`` and wait.

    Raises:
        WarehouseUnavailable: The lock file cannot be created.
    """
    try:
        opened = file.open("w")
    except OSError as error:
        raise WarehouseUnavailable(
            f"The folder {file.parent} cannot be written ({error.strerror}).",
            "Give yourself permission to write there, or set KALSHI_DATA_DIR or KALSHI_WAREHOUSE_URL to another place.",
        ) from None
    with opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            when_waiting()
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield


@contextmanager
def _try_file_lock(engine: sa.Engine, work: str) -> Iterator[bool]:
    path = Path(f"{engine.url.database}.{work}.lock")
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@contextmanager
def _try_advisory_lock(engine: sa.Engine, work: str) -> Iterator[bool]:
    key = sa.func.hashtext(f"kalshi_pipelines.{work}")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        held = bool(connection.scalar(sa.select(sa.func.pg_try_advisory_lock(key))))
        try:
            yield held
        finally:
            if held:
                connection.execute(sa.select(sa.func.pg_advisory_unlock(key)))
