"""Backups of a Postgres warehouse, as SQLite files: every row of every table, compared after the copy."""

import datetime as dt
import glob
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import sqlalchemy as sa

from kalshi_pipelines.warehouse.backup import UNFINISHED, BackupFailed, to_disk
from kalshi_pipelines.warehouse.copying import (
    CopiedTable,
    CopyRefused,
    fill_new_warehouse,
    reading_one_state,
    require_empty,
)
from kalshi_pipelines.warehouse.engine import explain_failures, open_engine, open_reader, sqlite_url
from kalshi_pipelines.warehouse.environment import refuse_another_environment
from kalshi_pipelines.warehouse.inspection import inspect_file
from kalshi_pipelines.warehouse.locks import hold_all_work
from kalshi_pipelines.warehouse.migrations import require_head, wanted_revision

Report = Callable[[str], None]


def back_up_postgres(engine: sa.Engine, folder: Path, report: Report) -> Path:
    """Write a backup of a Postgres warehouse into a folder, and return its path. Other programs go on meanwhile.

    Raises:
        BackupFailed: The folder cannot be written.
        SchemaNotAtHead: The warehouse has an older or a newer schema.
        CopyRefused: The rows of the backup differ from those of the warehouse.
    """
    with explain_failures(engine):
        require_head(engine)
    moment = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S%f")
    backup = folder / f"{engine.url.database}.{wanted_revision()}.{moment}.backup"
    unfinished = backup.with_name(backup.name + UNFINISHED)
    target = open_engine(sqlite_url(unfinished))
    try:
        with explain_failures(target), reading_one_state(engine) as source:
            fill_new_warehouse(source, target, report)
        target.dispose()
        to_disk(unfinished)
        unfinished.replace(backup)
        to_disk(folder)
    except OSError as error:
        raise BackupFailed(
            f"No backup could be written to {folder} ({error.strerror}).",
            "Make room there, and give yourself permission to write there.",
        ) from None
    finally:
        target.dispose()
        for left in folder.glob(f"{glob.escape(unfinished.name)}*"):
            left.unlink(missing_ok=True)
    return backup


def restore_to_postgres(engine: sa.Engine, backup: Path, environment: str, report: Report) -> tuple[CopiedTable, ...]:
    """Copy every row of a backup into an empty Postgres database. The backup is only read.

    Raises:
        CopyRefused: The database holds data, or the backup has an older or a newer schema.
        AlreadyRunning: A run works on the database.
        WarehouseOfAnotherEnvironment: The backup holds data of another exchange.
    """
    found = inspect_file(backup)
    if not found.at_head:
        raise CopyRefused(
            f"{backup} is at {found}, but only a backup at {wanted_revision()} can be restored to Postgres.",
            "Restore it to a SQLite warehouse with KALSHI_WAREHOUSE_URL=sqlite:///..., which upgrades it, and then "
            "copy that warehouse.",
        )
    with ExitStack() as held:
        held.enter_context(explain_failures(engine))
        held.enter_context(hold_all_work(engine))
        require_empty(engine)
        source = open_reader(sqlite_url(backup), _vanished)
        held.callback(source.dispose)
        reading = held.enter_context(reading_one_state(source))
        refuse_another_environment(reading, environment)
        return fill_new_warehouse(reading, engine, report)


def _vanished(backup: Path) -> BackupFailed:
    return BackupFailed(f"The backup {backup} does not exist any more.", "Name another backup.")
