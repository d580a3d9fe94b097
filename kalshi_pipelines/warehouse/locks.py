"""Locks that keep several processes from doing the same work on one warehouse at the same time.

The operating system or the database releases a lock when its process ends, even if the process was killed. Every kind
of work also shares the lock ``any``. A command that replaces or retires the warehouse holds ``any`` alone.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Final

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable

_ANY_WORK: Final = "any"


class AlreadyRunning(ExpectedError):
    """Another run is already doing the same work on this warehouse."""

    is_retryable = True


@contextmanager
def hold_work_lock(engine: sa.Engine, work: str) -> Iterator[None]:
    """Hold the lock of a kind of work during the block. Fail at once if another run holds the lock.

    Raises:
        AlreadyRunning: Another run holds the lock, or the whole warehouse is being replaced or copied.
        WarehouseUnavailable: The lock file cannot be created.
    """
    with _share_warehouse(engine), _try_lock(engine, work) as held:
        if not held:
            raise AlreadyRunning(
                f"Another run already works on {work} in this warehouse.",
                "Wait until that run has ended, or stop it.",
            )
        yield


@contextmanager
def wait_for_work_lock(engine: sa.Engine, work: str) -> Iterator[None]:
    """Hold the lock of a kind of work during the block. If another run holds the lock, wait until it is free.

    Raises:
        AlreadyRunning: The whole warehouse is being replaced or copied.
        WarehouseUnavailable: The lock file cannot be created.
    """
    with _share_warehouse(engine), _try_lock(engine, work, waits=True):
        yield


@contextmanager
def _share_warehouse(engine: sa.Engine) -> Iterator[None]:
    with _try_lock(engine, _ANY_WORK, shared=True) as held:
        if not held:
            raise AlreadyRunning(
                "This warehouse is being copied or restored, so no other work can begin.",
                "Wait until the copy or the restore has ended.",
            )
        yield


@contextmanager
def hold_all_work(engine: sa.Engine) -> Iterator[None]:
    """Keep every kind of work away from the warehouse during the block. Fail at once if some work is under way.

    Raises:
        AlreadyRunning: A run works on the warehouse.
        WarehouseUnavailable: The lock file cannot be created.
    """
    with _try_lock(engine, _ANY_WORK) as held:
        if not held:
            raise AlreadyRunning(
                "A run works on this warehouse, so it cannot be copied or replaced now.",
                "Wait until every run has ended, or stop the runs.",
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
    with _open_lock_file(file) as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            when_waiting()
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def _open_lock_file(file: Path) -> IO[str]:
    try:
        return file.open("w")
    except OSError as error:
        raise WarehouseUnavailable(
            f"The lock file {file} cannot be written ({error.strerror}).",
            "Give yourself permission to write there, or set KALSHI_DATA_DIR or KALSHI_WAREHOUSE_URL to another place.",
        ) from None


def _try_lock(
    engine: sa.Engine, work: str, *, shared: bool = False, waits: bool = False
) -> AbstractContextManager[bool]:
    """Return a context manager that takes a lock and yields whether it is held. With ``waits``, it is always held."""
    hold = _file_lock if engine.dialect.name == "sqlite" else _advisory_lock
    return hold(engine, work, shared=shared, waits=waits)


@contextmanager
def _file_lock(engine: sa.Engine, work: str, *, shared: bool, waits: bool) -> Iterator[bool]:
    with _open_lock_file(Path(f"{engine.url.database}.{work}.lock")) as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


@contextmanager
def _advisory_lock(engine: sa.Engine, work: str, *, shared: bool, waits: bool) -> Iterator[bool]:
    key = sa.func.hashtext(f"kalshi_pipelines.{work}")
    kind = "_shared" if shared else ""
    take = getattr(sa.func, f"pg_advisory_lock{kind}" if waits else f"pg_try_advisory_lock{kind}")
    release = getattr(sa.func, f"pg_advisory_unlock{kind}")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # The function that waits returns no value.
        held = connection.scalar(sa.select(take(key))) is not False
        try:
            yield held
        finally:
            if held:
                connection.execute(sa.select(release(key)))
