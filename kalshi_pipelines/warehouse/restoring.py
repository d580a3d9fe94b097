"""Put a backup in the place of a SQLite warehouse. The present file is kept, and the place is never without a file.

The manifest of the lake in a restored warehouse is older than the lake. ``lake/rebuilding.py`` squares the two.
"""

import datetime as dt
import errno
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.backup import UNFINISHED, copy_database, remove_unfinished, to_disk
from kalshi_pipelines.warehouse.engine import explain_failures, open_engine, sqlite_url, writing
from kalshi_pipelines.warehouse.environment import refuse_another_environment
from kalshi_pipelines.warehouse.inspection import CannotBeUpgraded, Content, Inspection, inspect_file, read_only
from kalshi_pipelines.warehouse.locks import hold_all_work
from kalshi_pipelines.warehouse.retirement import reopen, retirement_of_file
from kalshi_pipelines.warehouse.table_contents import has_rows
from kalshi_pipelines.warehouse.tables import warehouse_identity
from kalshi_pipelines.warehouse.upgrade import hold_upgrade_lock

REPLACED: Final = ".replaced"
_SECONDS_FOR_OTHERS: Final = 5
_COMPANIONS: Final = ("-wal", "-shm", "-journal")

Report = Callable[[str], None]


class RestoreRefused(ExpectedError):
    """The backup was not restored, and the warehouse is as it was before."""


@dataclass(frozen=True)
class Restored:
    """The result of a restore.

    Attributes:
        path: The warehouse.
        found: The content and revision of the backup.
        kept: Where the former file of the warehouse is now; None if there was no file.
        identity: The id of the former warehouse if the backup has none, because it is older than the lake's owner.
    """

    path: Path
    found: Inspection
    kept: Path | None
    identity: str | None = None


def restore_file(path: Path, backup: Path, environment: str, report: Report, *, copy_is_gone: bool = False) -> Restored:
    """Put a copy of a backup in the place of a SQLite warehouse.

    Args:
        path: The file of the warehouse.
        backup: A backup of ``migrate`` or ``backup``, or any SQLite file of a warehouse. It is only read.
        environment: The exchange that the warehouse is for.
        report: Called with a sentence for each step.
        copy_is_gone: Whether the copy of a retired warehouse does not exist any more, so that this one may take writes.

    Raises:
        RestoreRefused: The backup is no warehouse, another program has the warehouse open, or the restored warehouse
            would take writes beside a copy.
        AlreadyRunning: A run works on the warehouse.
        BackupFailed: The copy could not be made.
        WarehouseOfAnotherEnvironment: The backup holds data of another exchange.
        WarehouseUnavailable: A file or a folder cannot be written.
    """
    found = _inspect_backup(path, backup)
    if not copy_is_gone:
        refuse_beside_a_copy(backup, path)
    identity, backed_up = identity_of(path), identity_of(backup)
    if identity is not None and backed_up not in (None, identity):
        raise RestoreRefused(
            f"{backup} is a backup of another warehouse than {path}, so nothing was restored.",
            "Name another backup. To use this one, set KALSHI_DATA_DIR to another place.",
        )
    engine = open_engine(sqlite_url(path))
    unfinished = path.with_name(f"{path.name}.restore{UNFINISHED}")
    with ExitStack() as held:
        held.callback(engine.dispose)
        held.enter_context(hold_upgrade_lock(path, report))
        held.enter_context(hold_all_work(engine))
        remove_unfinished(path)
        held.callback(remove_unfinished, path)
        copy_database(backup, unfinished)
        if retirement_of_file(unfinished):
            _let_it_take_writes(unfinished)
        report(f"{backup}: checked, {found}")
        if found.content is Content.WAREHOUSE:
            _require_environment(unfinished, environment)
        with _only_user(path):
            try:
                kept = _keep(path)
                unfinished.replace(path)
                to_disk(path.parent)
            except OSError as error:
                raise RestoreRefused(
                    f"{backup} could not be put in the place of {path} ({error.strerror}).",
                    "Give yourself permission to write in the folder, and restore again.",
                ) from None
    return Restored(path, found, kept, identity if backed_up is None else None)


def refuse_beside_a_copy(backup: Path, path: Path | None = None) -> None:
    """Check that neither the backup nor the warehouse that it replaces was retired by a copy.

    Raises:
        RestoreRefused: One was. A restored warehouse would take writes beside the copy, or would take none.
    """
    for file in (backup, path):
        sentence = retirement_of_file(file) if file is not None else None
        if sentence:
            raise RestoreRefused(
                f"{file} is retired, so nothing was restored: {sentence}",
                "Work with the copy, or take the copying back with `kalshi-pipelines reopen`. If the copy does not "
                "exist any more, add --copy-is-gone.",
            )


def _let_it_take_writes(file: Path) -> None:
    engine = open_engine(sqlite_url(file))
    try:
        with explain_failures(engine), writing(engine) as connection:
            reopen(connection)
    finally:
        engine.dispose()
    to_disk(file)


def identity_of(path: Path) -> str | None:
    """Return the id of the warehouse in a SQLite file; None if it has no id or cannot be read."""
    if not path.is_file():
        return None
    try:
        with read_only(path) as database:
            row = database.execute("SELECT warehouse_id FROM warehouse_identity").fetchone()
    except sqlite3.DatabaseError:
        return None
    return None if row is None else str(row[0])


def keep_identity(engine: sa.Engine, identity: str) -> None:
    """Give a restored warehouse without an id the id of the warehouse that it replaced."""
    with writing(engine) as connection:
        if not has_rows(connection, warehouse_identity):
            connection.execute(sa.insert(warehouse_identity).values(warehouse_id=identity, created_us=now_us()))


def _inspect_backup(path: Path, backup: Path) -> Inspection:
    if not backup.is_file():
        raise RestoreRefused(f"{backup} is not a file, so nothing was restored.", "Name a backup.")
    if path.exists() and path.samefile(backup):
        raise RestoreRefused(f"{backup} is the warehouse itself, so nothing was restored.", "Name a backup.")
    try:
        found = inspect_file(backup)
    except CannotBeUpgraded as error:
        raise RestoreRefused(f"{error.problem} Nothing was restored.", "Name another backup.") from None
    if found.content is Content.NOTHING:
        raise RestoreRefused(f"{backup} is empty, so nothing was restored.", "Name another backup.")
    return found


def _require_environment(copy: Path, environment: str) -> None:
    engine = open_engine(sqlite_url(copy))
    try:
        with explain_failures(engine), engine.connect() as connection:
            refuse_another_environment(connection, environment)
    finally:
        engine.dispose()


@contextmanager
def _only_user(path: Path) -> Iterator[None]:
    """Keep every other program out of a SQLite file during the block, and empty its write-ahead log before.

    SQLite gives up the write-ahead log only if no other connection is open. A damaged file is not locked.

    Raises:
        RestoreRefused: Another program has the file open.
    """
    if not path.exists():
        yield
        return
    with closing(sqlite3.connect(path, timeout=_SECONDS_FOR_OTHERS, isolation_level=None)) as database:
        try:
            database.execute("PRAGMA journal_mode = DELETE").fetchone()
            database.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise RestoreRefused(
                    f"Another program has {path} open, so nothing was restored.",
                    "Stop Dagster and every other program that uses the warehouse, and restore again.",
                ) from None
        except sqlite3.DatabaseError:
            pass  # a damaged file is a reason for a restore
        yield


def _keep(path: Path) -> Path | None:
    """Give the present file a second name, so that it stays when its first name is taken."""
    if not path.exists():
        return None
    moment = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S%f")
    kept = path.with_name(f"{path.name}.{moment}{REPLACED}")
    _link(path, kept)
    # Only a damaged file still has companions here. SQLite would mix them with the restored file.
    for suffix in _COMPANIONS:
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            _link(companion, kept.with_name(kept.name + suffix))
            companion.unlink()
    return kept


def _link(file: Path, second: Path) -> None:
    try:
        second.hardlink_to(file)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK}:
            raise
        # Some file systems have no hard links.
        shutil.copy2(file, second)
        to_disk(second)
