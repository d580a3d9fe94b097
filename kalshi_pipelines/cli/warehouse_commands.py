"""Commands that treat the warehouse as a whole: back it up, restore it, move it, and take a move back."""

import argparse
from pathlib import Path

import sqlalchemy as sa

from kalshi_pipelines.cli.lake_commands import move_older_history, square_with_lake
from kalshi_pipelines.cli.opening import disposed, opened_warehouse
from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.lake.lake import open_lake
from kalshi_pipelines.lake.owner import read_owner
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.warehouse.backup import BackupFailed, back_up
from kalshi_pipelines.warehouse.copying import copy_warehouse
from kalshi_pipelines.warehouse.engine import open_engine, warehouse_url
from kalshi_pipelines.warehouse.migrations import current_revision, use_write_ahead_log
from kalshi_pipelines.warehouse.postgres_backup import back_up_postgres, restore_to_postgres
from kalshi_pipelines.warehouse.reopening import NotReopened, reopen_warehouse
from kalshi_pipelines.warehouse.restoring import keep_identity, refuse_beside_a_copy, restore_file
from kalshi_pipelines.warehouse.upgrade import file_of, migrate

_JOURNAL: str = (
    "The journal of orders was not copied. To go on with it, set KALSHI_JOURNAL_URL to its place before you trade; "
    "docs/storage.md says more."
)


class CopyNotNamed(ExpectedError):
    """The database to copy to is not named, or is named in an unsafe way."""


def backup(settings: Settings, given: argparse.Namespace) -> int:
    """Make a verified copy of the warehouse, and print its path and size."""
    folder: Path | None = given.to
    if folder is not None and not folder.is_dir():
        raise BackupFailed(f"{folder} is not a folder, so no backup was made.", "Create it, or name another folder.")
    with opened_warehouse(settings) as engine:
        path = file_of(engine)
        if path is None:
            made = back_up_postgres(engine, folder or _data_folder(settings), print)
        elif not path.exists():
            raise BackupFailed(f"There is no warehouse at {path}, so no backup was made.", "Set KALSHI_WAREHOUSE_URL.")
        else:
            made = back_up(path, current_revision(engine) or "unstamped", folder, room=1)
    print(f"verified backup: {made} ({made.stat().st_size:,} bytes)")
    return 0


def restore(settings: Settings, given: argparse.Namespace) -> int:
    """Put a backup in the place of the warehouse, upgrade it, make it agree with the lake, and print what was done."""
    with opened_warehouse(settings) as engine:
        path = file_of(engine)
        if path is None:
            if not given.copy_is_gone:
                refuse_beside_a_copy(given.backup)
            tables = restore_to_postgres(engine, given.backup, settings.environment, print)
            print(f"restored: {sum(table.rows for table in tables):,} rows of {given.backup}")
        else:
            done = restore_file(path, given.backup, settings.environment, print, copy_is_gone=given.copy_is_gone)
            print(f"restored: {path} is at {done.found}")
            if done.kept:
                print(f"The former file is kept: {done.kept}")
            if given.no_upgrade:
                return 0
            if not done.found.at_head:
                print(migrate(engine, settings.environment, print))
            use_write_ahead_log(engine)
            if done.identity is not None:
                keep_identity(engine, done.identity)
        if read_owner(open_lake(settings).store) is None:
            # The lake is unused, or an older version wrote it.
            move_older_history(settings, engine)
            return 0
        return square_with_lake(settings, engine)


def copy(settings: Settings, given: argparse.Namespace) -> int:
    """Copy the warehouse to an empty database, retire this one, and print the report."""
    target = _named_copy(settings, given.to)
    if target is None:
        raise CopyNotNamed("No database to copy to is named.", "Set KALSHI_COPY_TO, or add --to URL.")
    with opened_warehouse(settings) as engine, disposed(target):
        print(copy_warehouse(engine, target, print))
    print("Set KALSHI_WAREHOUSE_URL to the copy now, on every computer. The lake and its settings stay as they are.")
    print(_JOURNAL)
    return 0


def reopen(settings: Settings, given: argparse.Namespace) -> int:
    """Let the retired warehouse take writes again, and print which tables of its copy differ."""
    target = None if given.copy_is_gone else _named_copy(settings, given.to)
    if target is None and not given.copy_is_gone:
        raise NotReopened(
            "Name the copy, so that it can be retired.", "Add --copy URL or set KALSHI_COPY_TO, or add --copy-is-gone."
        )
    with opened_warehouse(settings) as engine:
        try:
            differing = reopen_warehouse(engine, target, print, give_up_newer_rows=given.give_up_newer_rows)
        finally:
            if target is not None:
                target.dispose()
    if differing:
        print(f"The copy keeps rows that this warehouse does not have, in {', '.join(differing)}.")
    print("The warehouse takes writes. Set KALSHI_WAREHOUSE_URL to it on every computer.")
    return 0


def _named_copy(settings: Settings, argument: str | None) -> sa.Engine | None:
    if argument is not None:
        if warehouse_url(argument, "The URL").password is not None:
            raise CopyNotNamed(
                "A password on a command line is visible to every user of this computer.",
                "Set KALSHI_COPY_TO to the URL instead.",
            )
        return open_engine(argument, variable="the URL")
    if settings.copy_to is not None:
        return open_engine(settings.copy_to.get_secret_value(), variable="KALSHI_COPY_TO")
    return None


def _data_folder(settings: Settings) -> Path:
    settings.environment_dir.mkdir(parents=True, exist_ok=True)
    return settings.environment_dir
