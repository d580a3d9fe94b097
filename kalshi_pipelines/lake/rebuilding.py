"""Rebuilding the manifest from the files of the lake, after a backup was restored or a file was lost.

No file is changed. Afterwards, publishing the history tables again adds the rows that the files lack.
"""

import datetime as dt
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import DATASETS
from kalshi_pipelines.lake.errors import LakeFileChanged, LakeUnavailable, explain_file_errors
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.manifest import Slot, find_lake_file, forget_file, lake_files_of, record_published
from kalshi_pipelines.lake.owner import LAYOUT, Owner, claim, identify_warehouse, read_owner, write_owner
from kalshi_pipelines.lake.parquet import Contents, check_file, lake_id_of
from kalshi_pipelines.lake.publishing import LAKE_WORK
from kalshi_pipelines.lake.store import FetchedFile
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.locks import wait_for_work_lock
from kalshi_pipelines.warehouse.tables import DAY_SLOT, history_partitions, history_windows

_PATH: Final = re.compile(
    r"(?P<dataset>[a-z0-9_]+)/date=(?P<day>\d{4}-\d\d-\d\d)/(?P=day)(?:T(?P<hour>[01]\d|2[0-3]))?\.parquet"
)


@dataclass(frozen=True)
class Rebuilt:
    """The result of rebuilding the manifest.

    Attributes:
        unchanged: Files that agree with the manifest.
        recorded: Files whose row in the manifest was written.
        missing: Files of the manifest that are not in the lake any more. Their rows were removed from the manifest.
        problems: A sentence for each file that cannot be used. Publishing to its slot stays refused.
    """

    unchanged: tuple[str, ...]
    recorded: tuple[str, ...]
    missing: tuple[str, ...]
    problems: tuple[str, ...]


def rebuild_manifest(lake: Lake, engine: sa.Engine, *, take_over: bool = False) -> Rebuilt:
    """Read every file of the lake, and make the manifest describe these files.

    With ``take_over``, the lake becomes the lake of this warehouse, whatever warehouse it belonged to. Only a person
    may decide that, because the other warehouse can no longer publish afterwards.

    Raises:
        LakeOfAnotherWarehouse: The lake belongs to another warehouse or environment.
        LakeUnavailable: The lake cannot be read.
    """
    with wait_for_work_lock(engine, LAKE_WORK), lake.store.hold() as unfinished:
        lake_id = _own(lake, engine, unfinished, take_over=take_over)
        unchanged: list[str] = []
        recorded: list[str] = []
        problems: list[str] = []
        found = [path for dataset in DATASETS for path in lake.store.paths(dataset)]
        for path in found:
            try:
                (recorded if _record(lake, engine, path, lake_id) else unchanged).append(path)
            except (LakeFileChanged, LakeUnavailable) as problem:
                problems.append(f"{path}: {problem}")
        missing = [file for file in lake_files_of(engine) if file.path not in found]
        for file in missing:
            forget_file(engine, file.slot)
        for slot in [slot for path in recorded if (slot := _slot(path))] + [file.slot for file in missing]:
            _open_again(engine, slot)
        gone = tuple(file.path for file in missing if file.sha256 is not None)
        return Rebuilt(tuple(unchanged), tuple(recorded), gone, tuple(problems))


def _open_again(engine: sa.Engine, slot: Slot) -> None:
    """Let the next read of history read a backfilled day as a whole, because its file is lost or another one."""
    if not DATASETS[slot.dataset].is_backfilled:
        return
    key = {"dataset": slot.dataset, "partition_date": slot.day.isoformat()}
    partition, windows = (
        sa.and_(*[table.c[name] == value for name, value in key.items()])
        for table in (history_partitions, history_windows)
    )
    opened = {"status": "open", "proof": "not_checked", "checked_us": None}
    with writing(engine) as connection:
        connection.execute(sa.update(history_partitions).where(partition).values(opened))
        connection.execute(sa.delete(history_windows).where(windows, history_windows.c.state == "complete"))


def _own(lake: Lake, engine: sa.Engine, unfinished: Path, *, take_over: bool) -> str:
    warehouse_id = identify_warehouse(engine, lake.environment)
    owner = read_owner(lake.store)
    if owner is None and (lake_id := _proven_lake_id(lake, engine)):
        owner = Owner(lake_id, warehouse_id, lake.environment, LAYOUT)
        write_owner(lake.store, owner, unfinished)
    if take_over and owner is not None and owner.environment == lake.environment:
        write_owner(lake.store, replace(owner, warehouse_id=warehouse_id), unfinished)
    return claim(lake.store, unfinished, warehouse_id, lake.environment).lake_id


def _proven_lake_id(lake: Lake, engine: sa.Engine) -> str | None:
    """Return the id of a lake that has lost its mark, if the manifest proves that it is this warehouse's lake."""
    for file in lake_files_of(engine):
        with lake.store.fetch(file.path) as found, explain_file_errors(lake.place):
            if found is not None and found.sha256 in file.hashes:
                with found.open() as source:
                    return lake_id_of(source)
    return None


def _record(lake: Lake, engine: sa.Engine, path: str, lake_id: str) -> bool:
    """Make the manifest describe a file, and return whether its row had to be written."""
    slot = _slot(path)
    if slot is None:
        raise LakeFileChanged(
            f"The file {path} of the lake {lake.place} has no name that the lake uses.", "Move it away."
        )
    with lake.store.fetch(path) as found:
        if found is None:
            raise LakeFileChanged(f"The file {path} of the lake {lake.place} vanished.")
        stored = find_lake_file(engine, slot)
        if stored is not None and stored.status != "publishing" and stored.sha256 == found.sha256:
            return False
        contents = _contents(lake, slot, found, lake_id)
        record_published(engine, slot, contents, found.bytes, found.sha256, "rebuild")
        return True


def _contents(lake: Lake, slot: Slot, found: FetchedFile, lake_id: str) -> Contents:
    with explain_file_errors(lake.place):
        with found.open() as source:
            if lake_id_of(source) != lake_id:
                raise LakeFileChanged(
                    f"The file {slot.path} of the lake {lake.place} was written for another lake.", "Move it away."
                )
        with found.open() as source:
            return check_file(source, DATASETS[slot.dataset], slot.path)


def _slot(path: str) -> Slot | None:
    match = _PATH.fullmatch(path)
    if match is None or match["dataset"] not in DATASETS:
        return None
    try:
        day = dt.date.fromisoformat(match["day"])
    except ValueError:
        return None
    return Slot(match["dataset"], day, match["hour"] or DAY_SLOT)
