"""Publishing rows: merge them into the files of their slots, and replace each file in one step.

A replacement can be killed at every point. The steps are:

1. Write the merged rows to an unfinished file, read it back, and compare it with the rows written.
2. Record in the manifest that the slot is ``publishing``, with the hash of the new file.
3. Replace the file.
4. Record the new contents in the manifest.

After a kill, the next publish compares the hash of the slot's file with the manifest and finishes or forgets the step.
"""

import datetime as dt
import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import DATASETS, Dataset
from kalshi_pipelines.lake.errors import LakeFileChanged, LakeUnavailable, explain_file_errors
from kalshi_pipelines.lake.manifest import (
    LakeFile,
    Slot,
    count_published,
    forget_file,
    forget_intent,
    lake_files_of,
    record_intent,
    record_published,
    unfinished_lake_files,
)
from kalshi_pipelines.lake.merging import MergeCounts, merge
from kalshi_pipelines.lake.owner import claim, identify_warehouse
from kalshi_pipelines.lake.parquet import Contents, check_file, read_batches, write_file
from kalshi_pipelines.lake.slots import Share, divide
from kalshi_pipelines.lake.store import FetchedFile, Store, open_local, sha256_of
from kalshi_pipelines.units import HOUR_US, now_us
from kalshi_pipelines.warehouse.locks import wait_for_work_lock

#: The work lock in the warehouse that every writer of the lake holds.
LAKE_WORK: Final = "lake"
#: In the manifest, the hash of the file to come if the slot's file is about to be removed: the hash of no bytes.
NO_FILE: Final = hashlib.sha256().hexdigest()
#: A slot with a larger file is replaced at most once an hour.
MOST_BYTES_AT_ANY_TIME: Final = 32 << 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishedFile:
    """A file that a publish replaced.

    Attributes:
        path: Path of the file in the lake.
        added: Rows whose key was not in the file before.
        rows: All rows of the file.
        bytes: Size of the file.
    """

    path: str
    added: int
    rows: int
    bytes: int


@dataclass(frozen=True)
class Published:
    """The result of a publish.

    Attributes:
        files: The replaced files.
        deferred_days: Days whose rows wait, because a large file is recent.
        reopened_days: Days that were closed and got late rows. They are open again.
    """

    files: tuple[PublishedFile, ...] = ()
    deferred_days: tuple[dt.date, ...] = ()
    reopened_days: tuple[dt.date, ...] = ()


@dataclass(frozen=True)
class FinishedFile:
    """A verified file of this computer that will be the file of a slot."""

    slot: Slot
    local: Path
    contents: Contents
    bytes: int
    sha256: str


@dataclass(frozen=True)
class LakeWriter:
    """A lake whose locks are held: no other process replaces files meanwhile.

    Attributes:
        engine: The warehouse that owns the lake.
        store: Where the files are.
        unfinished: Folder of this computer for unfinished files.
        lake_id: Id of the lake, which each file names.
    """

    engine: sa.Engine
    store: Store
    unfinished: Path
    lake_id: str
    _names: Iterator[int] = field(default_factory=lambda: iter(range(1 << 30)))

    def publish(
        self, dataset: Dataset, batches_by_day: Mapping[dt.date, Iterable[pa.RecordBatch]], source: str, *, now: bool
    ) -> Published:
        """Merge rows into the lake. See :meth:`kalshi_pipelines.lake.lake.Lake.publish`."""
        written: list[PublishedFile] = []
        deferred: list[dt.date] = []
        reopened: list[dt.date] = []
        for day, batches in sorted(batches_by_day.items()):
            files = lake_files_of(self.engine, dataset.name, [day])
            shares = divide(dataset, day, batches, files)
            by_slot = {file.slot: file for file in files}
            for share in shares:
                stored = by_slot.get(share.slot)
                if stored is not None and not now and _is_large_and_recent(stored):
                    deferred.append(day)
                elif published := self._replace(dataset, share, stored, source):
                    written.append(published)
                    reopened += [day] if stored is not None and stored.status == "closed" else []
        return Published(tuple(written), tuple(sorted(set(deferred))), tuple(sorted(set(reopened))))

    def _replace(self, dataset: Dataset, share: Share, stored: LakeFile | None, source: str) -> PublishedFile | None:
        counts = MergeCounts()
        new = self.new_path()
        with self.store.fetch(share.slot.path) as old:
            require_file_of_manifest(self.store, share.slot, stored, old)
            written = self._write(new, dataset, old, share.batches, counts)
        if not counts.has_changes:
            new.unlink()
            return None
        finished = self.finish(new, dataset, share.slot, written)
        self.put(finished, source)
        return PublishedFile(share.slot.path, counts.added, written.rows, finished.bytes)

    def finish(self, new: Path, dataset: Dataset, slot: Slot, written: Contents) -> FinishedFile:
        """Read a new file back, and compare it with the rows written."""
        _require_day(dataset, slot, written)
        return FinishedFile(slot, new, written, new.stat().st_size, self._verify(new, dataset, written))

    def put(self, new: FinishedFile, source: str) -> None:
        """Replace the file of a slot by a finished file."""
        record_intent(self.engine, new.slot, new.sha256, source)
        self.store.put(new.local, new.slot.path)
        record_published(self.engine, new.slot, new.contents, new.bytes, new.sha256, source)
        new.local.unlink(missing_ok=True)

    def new_path(self) -> Path:
        """Return the path of a further unfinished file."""
        return self.unfinished / f"{next(self._names)}.parquet"

    def _write(
        self,
        new: Path,
        dataset: Dataset,
        old: FetchedFile | None,
        batches: Iterable[pa.RecordBatch],
        counts: MergeCounts,
    ) -> Contents:
        with explain_file_errors(self.store.place), open_local(new, "wb") as target:
            if old is None:
                return write_file(target, dataset, merge(dataset, (), batches, counts), self.lake_id)
            with old.open() as source:
                merged = merge(dataset, read_batches(source, dataset), batches, counts)
                return write_file(target, dataset, merged, self.lake_id)

    def _verify(self, new: Path, dataset: Dataset, written: Contents) -> str:
        with explain_file_errors(self.store.place), open_local(new) as source:
            found = check_file(source, dataset, new.name)
            if found != written:
                raise LakeUnavailable(
                    f"The lake {self.store.place} gave back other rows than were written.",
                    "Check the disk and its file system, and run again.",
                )
            return sha256_of(new)

    def recover(self) -> None:
        """Finish or forget the replacements that killed processes left.

        Raises:
            LakeFileChanged: A slot has a file that is neither the old one nor the new one.
        """
        for file in unfinished_lake_files(self.engine):
            self._recover(file)

    def _recover(self, file: LakeFile) -> None:
        with self.store.fetch(file.path) as found:
            if found is None and file.next_sha256 == NO_FILE:
                forget_file(self.engine, file.slot)
            elif (found.sha256 if found else None) == file.sha256:
                forget_intent(self.engine, file.slot)
            elif found is not None and found.sha256 == file.next_sha256:
                with explain_file_errors(self.store.place), found.open() as source:
                    contents = check_file(source, DATASETS[file.slot.dataset], file.path)
                record_published(self.engine, file.slot, contents, found.bytes, found.sha256, file.source)
            else:
                raise _changed(self.store, file.slot)


@contextmanager
def hold_lake(engine: sa.Engine, store: Store, environment: str) -> Iterator[LakeWriter]:
    """Keep other writers out during the block, check the owner, and repair what killed processes left.

    Raises:
        LakeOfAnotherWarehouse: The lake belongs to another warehouse or environment.
        LakeLost: The lake is empty, but the manifest has files.
        LakeUnavailable: The lake cannot be read or written.
    """
    with wait_for_work_lock(engine, LAKE_WORK), store.hold() as unfinished:
        warehouse_id = identify_warehouse(engine, environment)
        owner = claim(store, unfinished, warehouse_id, environment, lambda: count_published(engine))
        writer = LakeWriter(engine, store, unfinished, owner.lake_id)
        writer.recover()
        yield writer


def require_file_of_manifest(store: Store, slot: Slot, stored: LakeFile | None, found: FetchedFile | None) -> None:
    """Check that the slot's file is the file that the manifest describes.

    Raises:
        LakeFileChanged: The file is missing, unknown or different.
    """
    expected = stored.sha256 if stored else None
    if expected == (found.sha256 if found else None):
        return
    raise (
        _changed(store, slot, None if found else "is missing")
        if stored
        else _changed(store, slot, "is in the lake, but not in the manifest")
    )


def _changed(store: Store, slot: Slot, problem: str | None = None) -> LakeFileChanged:
    problem = problem or "is not the file that the warehouse published"
    return LakeFileChanged(f"The file {slot.path} of the lake {store.place} {problem}, so nothing was written.")


def _is_large_and_recent(file: LakeFile) -> bool:
    return file.bytes > MOST_BYTES_AT_ANY_TIME and file.published_us > now_us() - HOUR_US


def _require_day(dataset: Dataset, slot: Slot, contents: Contents) -> None:
    if not dataset.is_keyed_by_time or contents.first_us is None or contents.last_us is None:
        return
    first_us, after_us = dataset.bounds_of(slot.day)
    if not first_us <= contents.first_us <= contents.last_us < after_us:
        raise ValueError(f"The rows offered for {slot.path} are not all of its day.")
