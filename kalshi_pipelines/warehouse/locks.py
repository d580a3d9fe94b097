"""Work that must not be done twice at once on one warehouse, whichever processes do it.

A lock ends with the process that holds it, however that ends.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable


class AlreadyRunning(ExpectedError):
    """The same work is being done by another run; the message says what to do."""

    is_retryable = True


@contextmanager
def hold_work_lock(engine: sa.Engine, work: str) -> Iterator[None]:
    """Hold the lock of some work for the length of a with block.

    Raises:
        AlreadyRunning: Another run holds it; nothing was waited for.
    """
    hold = _try_file_lock if engine.dialect.name == "sqlite" else _try_advisory_lock
    with hold(engine, work) as held:
        if not held:
            raise AlreadyRunning(
                f"Another run already works on {work} in this warehouse.", "Wait until that run has ended, or stop it."
            )
        yield


def serialize_transactions(connection: sa.Connection, work: str) -> None:
    """Make other transactions of the same work wait until this one, which writes, has ended."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(f"kalshi_pipelines.{work}"))))


@contextmanager
def hold_file_lock(file: Path, when_waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock file for the length of a with block; whoever comes meanwhile is told so and waits.

    Raises:
        WarehouseUnavailable: The lock file can not be made.
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
