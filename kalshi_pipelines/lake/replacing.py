"""Replacing a whole day of a dataset by rows that were read again.

All new files of the day are written and verified before the first one is replaced. A file that has rows which the new
one lacks is copied to the folder ``superseded`` before, so that no row is ever lost silently. A replacement that was
killed leaves complete files, and is completed when the day is replaced again.
"""

import datetime as dt
import shutil
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from kalshi_pipelines.lake.content_hash import hash_of_contents
from kalshi_pipelines.lake.datasets import Dataset
from kalshi_pipelines.lake.errors import explain_file_errors
from kalshi_pipelines.lake.manifest import LakeFile, Slot, forget_file, lake_files_of, record_intent
from kalshi_pipelines.lake.merging import Differences, MergeCounts, differences, merge_streams
from kalshi_pipelines.lake.parquet import read_batches, write_file
from kalshi_pipelines.lake.publishing import NO_FILE, FinishedFile, LakeWriter, require_file_of_manifest
from kalshi_pipelines.lake.slots import divide_streams, is_divided
from kalshi_pipelines.lake.store import PARQUET, FetchedFile, open_local

#: Folder of the lake for files that were replaced by other rows. No reader of a dataset looks into it.
SUPERSEDED: Final = "superseded"
#: A day with more rows is a file for each of its hours.
MOST_DAY_ROWS: Final = 10_000_000
_HASH_CHARACTERS: Final = 16

Streams = Sequence[Iterable[pa.RecordBatch]]


@dataclass(frozen=True)
class ReplacedDay:
    """The result of replacing a day.

    Attributes:
        rows: Rows of the day now.
        content_sha256: Hash of all rows of the day.
        difference: Numbers of rows that were added, removed and changed.
        files: Paths of the files that were replaced; empty if the day had the same rows before.
        superseded: Paths of the files of before that were kept, because the day lacks or changes some of their rows.
        reopened: Whether the day was closed before. It is open again.
    """

    rows: int
    content_sha256: str
    difference: Differences
    files: tuple[str, ...]
    superseded: tuple[str, ...]
    reopened: bool

    @property
    def added(self) -> int:
        """Rows whose key the day did not have before."""
        return self.difference.added

    @property
    def removed(self) -> int:
        """Rows of before whose key the day does not have any more."""
        return self.difference.removed

    @property
    def changed(self) -> int:
        """Rows whose key was there before with other values."""
        return self.difference.changed


def replace_day(writer: LakeWriter, dataset: Dataset, day: dt.date, streams: Streams, source: str) -> ReplacedDay:
    """Make the rows of a day exactly the rows of the streams.

    See :meth:`kalshi_pipelines.lake.lake.Lake.replace_day`.
    """
    old = lake_files_of(writer.engine, dataset.name, [day])
    new = _write_all(writer, dataset, day, streams, old)
    before = {file.slot: file.contents.content_sha256 for file in old}
    after = {file.slot: file.contents.content_sha256 for file in new}
    if before == after:
        _require_files(writer, old)
        return ReplacedDay(*_total(new), Differences(), (), (), reopened=False)
    changed = [file for file in new if after[file.slot] != before.get(file.slot)]
    gone = [file for file in old if file.slot not in after]
    change, kept = _compare_and_keep(writer, dataset, old, new)
    for file in changed:
        writer.put(file, source)
    for stored in gone:
        _remove(writer, stored, source)
    paths = tuple(file.slot.path for file in changed)
    return ReplacedDay(*_total(new), change, paths, kept, reopened=any(file.status == "closed" for file in old))


def _total(new: Sequence[FinishedFile]) -> tuple[int, str]:
    hashes = [(file.slot.name, str(file.contents.content_sha256)) for file in new]
    return sum(file.contents.rows for file in new), hash_of_contents(hashes)


def _write_all(
    writer: LakeWriter, dataset: Dataset, day: dt.date, streams: Streams, old: Sequence[LakeFile]
) -> list[FinishedFile]:
    # The slots of a day that has files stay as they are. Otherwise readers could see a row in two files, or in none.
    by_hours = is_divided(old) if old else dataset.is_keyed_by_time and _has_too_many_rows(dataset, streams)
    files = []
    for slot, rows in divide_streams(dataset, day, streams, old) if by_hours else [(Slot(dataset.name, day), streams)]:
        path = writer.new_path()
        with explain_file_errors(writer.store.place), open_local(path, "wb") as target:
            written = write_file(target, dataset, merge_streams(dataset, rows, MergeCounts()), writer.lake_id)
        if written.rows:
            files.append(writer.finish(path, dataset, slot, written))
    return files


def _has_too_many_rows(dataset: Dataset, streams: Streams) -> bool:
    if sum(batch.num_rows for stream in streams for batch in stream) <= MOST_DAY_ROWS:
        return False
    # Rows that are in several streams count once, so that the answer does not depend on how the day was read.
    counts = MergeCounts()
    for _ in merge_streams(dataset, streams, counts):
        pass
    return counts.merged > MOST_DAY_ROWS


def _require_files(writer: LakeWriter, files: Iterable[LakeFile]) -> None:
    for file in files:
        with writer.store.fetch(file.path) as found:
            require_file_of_manifest(writer.store, file.slot, file, found)


def _compare_and_keep(
    writer: LakeWriter, dataset: Dataset, old: Sequence[LakeFile], new: Sequence[FinishedFile]
) -> tuple[Differences, tuple[str, ...]]:
    """Compare the files of a day with its new files. Keep those of the old files that have rows which the new lack."""
    if not old:
        for file in new:
            with writer.store.fetch(file.slot.path) as fetched:
                require_file_of_manifest(writer.store, file.slot, None, fetched)
        return Differences(added=sum(file.contents.rows for file in new)), ()
    known = {file.slot: file for file in old}
    with ExitStack() as opened:
        slots = dict.fromkeys([*known, *(file.slot for file in new)])
        found = {slot: opened.enter_context(writer.store.fetch(slot.path)) for slot in slots}
        for slot, fetched in found.items():
            require_file_of_manifest(writer.store, slot, known.get(slot), fetched)
        paths = ([file.local for file in found.values() if file is not None], [file.local for file in new])
        with explain_file_errors(writer.store.place):
            opened_files = [[opened.enter_context(open_local(path)) for path in side] for side in paths]
            change = differences(
                dataset, *[[read_batches(source, dataset) for source in side] for side in opened_files]
            )
        if not change.removed and not change.changed:
            return change, ()
        after = {file.slot: file.contents.content_sha256 for file in new}
        lost = [file for file in old if file.contents.content_sha256 != after.get(file.slot)]
        return change, tuple(_keep(writer, file, found[file.slot]) for file in lost)


def _keep(writer: LakeWriter, file: LakeFile, found: FetchedFile | None) -> str:
    """Copy a file of the lake to the folder for superseded files, and return the path of the copy."""
    path = f"{SUPERSEDED}/{file.path.removesuffix(PARQUET)}-{str(file.sha256)[:_HASH_CHARACTERS]}{PARQUET}"
    with writer.store.fetch(path) as copied:
        is_kept = copied is not None and copied.sha256 == file.sha256
    if found is not None and not is_kept:
        copy = writer.new_path()
        with explain_file_errors(writer.store.place):
            shutil.copyfile(found.local, copy)
        writer.store.put(copy, path)
    return path


def _remove(writer: LakeWriter, file: LakeFile, source: str) -> None:
    record_intent(writer.engine, file.slot, NO_FILE, source)
    writer.store.remove(file.path)
    forget_file(writer.engine, file.slot)
