"""Comparing files of the lake with the manifest, and closing the slots of days that are over."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace

import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import DATASETS, Dataset
from kalshi_pipelines.lake.errors import LakeFileChanged, explain_file_errors
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.manifest import (
    LakeFile,
    Slot,
    find_lake_file,
    lake_files_of,
    lake_files_verified_before,
    open_lake_files,
    record_verified,
)
from kalshi_pipelines.lake.owner import MARK
from kalshi_pipelines.lake.parquet import Contents, check_file, lake_id_of
from kalshi_pipelines.lake.publishing import hold_lake, require_file_of_manifest
from kalshi_pipelines.lake.store import Store
from kalshi_pipelines.units import EXCHANGE_TIME_ZONE, now_us


@dataclass(frozen=True)
class Verified:
    """Files that agree with the manifest, files that were closed, and a sentence for each file that does not agree."""

    verified: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def today() -> dt.date:
    """Return the present trading day."""
    return dt.datetime.now(EXCHANGE_TIME_ZONE).date()


def close_days(lake: Lake, engine: sa.Engine, before: dt.date | None = None) -> Verified:
    """Compare the files of past days with the manifest, and close their slots. Late rows open a slot again.

    Days that are backfilled stay open: the backfill knows when such a day is complete, and calls :func:`close_day`.

    Args:
        lake: The lake of the warehouse.
        engine: The warehouse.
        before: The first day that stays open; None for the present trading day.

    Raises:
        LakeOfAnotherWarehouse: The lake belongs to another warehouse or environment.
        LakeUnavailable: The lake cannot be read.
    """
    return _verify(lake, engine, [file.slot for file in files_to_close(engine, before or today())], closes=True)


def files_to_close(engine: sa.Engine, before: dt.date) -> list[LakeFile]:
    """Return the files that :func:`close_days` compares and closes."""
    return [
        file
        for file in open_lake_files(engine)
        if file.slot.day < before and not DATASETS[file.slot.dataset].is_backfilled
    ]


def close_day(lake: Lake, engine: sa.Engine, dataset: Dataset, day: dt.date) -> Verified:
    """Compare the files of one day of a dataset with the manifest, and close them if they agree.

    Raises:
        LakeOfAnotherWarehouse: The lake belongs to another warehouse or environment.
        LakeUnavailable: The lake cannot be read.
    """
    return _verify(lake, engine, [file.slot for file in lake_files_of(engine, dataset.name, [day])], closes=True)


def verify_lake(lake: Lake, engine: sa.Engine, verified_before_us: int | None = None) -> Verified:
    """Compare every file with the manifest; only files not verified since a time if ``verified_before_us`` is given.

    Raises:
        LakeOfAnotherWarehouse: The lake belongs to another warehouse or environment.
        LakeUnavailable: The lake cannot be read.
    """
    before = now_us() + 1 if verified_before_us is None else verified_before_us
    files = lake_files_verified_before(engine, before)
    return _verify(lake, engine, [file.slot for file in files], closes=False)


def _verify(lake: Lake, engine: sa.Engine, slots: Iterable[Slot], *, closes: bool) -> Verified:
    verified, problems = [], []
    for slot in slots:
        # The lake is free again after each file, because reading a large lake takes hours.
        with hold_lake(engine, lake.store, lake.environment) as writer:
            file = find_lake_file(engine, slot)
            if file is None:
                continue  # no file was there, and a killed publish was undone
            try:
                contents = verify_file(lake.store, file, writer.lake_id)
            except LakeFileChanged as problem:
                problems.append(str(problem))
            else:
                record_verified(engine, file, contents.content_sha256, closed=closes)
                verified.append(file.path)
    return Verified(tuple(verified), tuple(verified) if closes else (), tuple(problems))


def verify_file(store: Store, file: LakeFile, lake_id: str | None = None) -> Contents:
    """Check that a file has the hash and contents of the manifest and names the lake, and return its contents.

    Without ``lake_id``, the file may name any lake.

    Raises:
        LakeFileChanged: It does not.
    """
    with store.fetch(file.path) as found:
        require_file_of_manifest(store, file.slot, file, found)
        if found is None:
            return file.contents
        with explain_file_errors(store.place), found.open() as source:
            named = lake_id_of(source)
        if lake_id is not None and named != lake_id:
            raise LakeFileChanged(
                f"The file {file.path} of the lake {store.place} was written for {_name(named)}, but {MARK} names "
                f"the lake {lake_id}.",
                f"Put back the {MARK} of this lake.",
            )
        with explain_file_errors(store.place), found.open() as source:
            contents = check_file(source, DATASETS[file.slot.dataset], file.path)
    known = file.contents
    if known.content_sha256 is None:
        known = replace(known, content_sha256=contents.content_sha256)
    if contents != known or found.bytes != file.bytes:
        raise LakeFileChanged(f"The manifest describes other rows than {file.path} of the lake {store.place} has.")
    return contents


def _name(lake_id: str | None) -> str:
    return "no lake" if lake_id is None else f"the lake {lake_id}"
