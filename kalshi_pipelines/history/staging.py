"""Parts of a day that were read and are not in the lake yet: files of this computer, outside of the lake.

A run that was killed leaves complete files, and the next run continues after them. Each file says which span of time it
covers, from which side of the exchange, and which records were refused. The files of a day are removed when the day is
in the lake.
"""

import datetime as dt
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_pipelines.bookkeeping.quarantine import UnstorableRecord
from kalshi_pipelines.history.sides import Source
from kalshi_pipelines.history.windows import TimeWindow
from kalshi_pipelines.lake.content_hash import ContentHash
from kalshi_pipelines.lake.datasets import Dataset
from kalshi_pipelines.lake.errors import explain_file_errors

#: Rows of one batch. All files of a day are open at the same time when they are merged.
BATCH_ROWS: Final = 4_096
_ABOUT: Final = b"kalshi_pipelines.staged"
_VERSION: Final = 2
_ENDING: Final = ".arrow"
_UNFINISHED: Final = ".unfinished"
_WRITING: Final = pa.ipc.IpcWriteOptions(compression="lz4")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hole:
    """A window that the exchange did not serve, and the answer of the exchange."""

    window: TimeWindow
    problem: str


@dataclass(frozen=True)
class About:
    """A description of a file of this room.

    Attributes:
        window: The span of time that was read.
        source: The side of the exchange.
        cutoff_us: The historical cutoff at the time of the read.
        read_us: Time of the read.
        rows: Rows of the file.
        holes: Windows of the span that the exchange did not serve.
        refused: Records that cannot be stored.
    """

    window: TimeWindow
    source: Source
    cutoff_us: int
    read_us: int
    rows: int
    holes: tuple[Hole, ...] = ()
    refused: tuple[UnstorableRecord, ...] = ()


class _Stored(msgspec.Struct, frozen=True):
    version: int
    about: About
    content_sha256: str


@dataclass(frozen=True)
class StagedPart:
    """A file with a part of a day. It can be iterated more than once, and yields small batches of sorted rows."""

    path: Path
    about: About

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        with explain_file_errors(str(self.path)), pa.OSFile(os.fsencode(self.path)) as source:
            reader = pa.ipc.open_file(source)
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)

    def rows_within(self, window: TimeWindow, time: str) -> int:
        """Return the number of rows whose time is inside a window."""
        return sum(rows_within(batch, window, time).num_rows for batch in self)


def rows_within(rows: pa.RecordBatch, window: TimeWindow, time: str) -> pa.RecordBatch:
    """Return the rows whose time is inside a window."""
    times = rows.column(time).view(pa.int64())
    found = pc.min_max(times).as_py()
    if found["min"] is not None and window.start_us <= found["min"] and found["max"] < window.end_us:
        return rows
    return rows.filter(pc.and_(pc.greater_equal(times, window.start_us), pc.less(times, window.end_us)))


def _hash_of(dataset: Dataset, rows: Iterable[pa.RecordBatch | pa.Table]) -> str:
    """Return the hash of rows. A file of this folder has no other checksum."""
    content = ContentHash(dataset.schema)
    for each in rows:
        content.add(each)
    return content.hexdigest()


class StagingFolder:
    """The files of one day of a dataset.

    Args:
        work_folder: Folder for the files of all days.
        dataset: The dataset of the rows.
        day: The day.
    """

    def __init__(self, work_folder: Path, dataset: Dataset, day: dt.date) -> None:
        self._dataset = dataset
        self._folder = work_folder / dataset.name / day.isoformat()
        self._sound: set[Path] = set()

    def parts(self) -> list[StagedPart]:
        """Return the complete files. Remove files that another version wrote, and files that are damaged."""
        found: list[StagedPart] = []
        for path in sorted(self._folder.glob("*")) if self._folder.is_dir() else ():
            if path.suffix == _UNFINISHED:
                path.unlink(missing_ok=True)
            elif (about := self._about(path)) is None:
                logger.warning("The part %s of a day cannot be used, so that time is read again.", path)
                path.unlink(missing_ok=True)
            else:
                found.append(StagedPart(path, about))
        return found

    def _about(self, path: Path) -> About | None:
        try:
            with pa.OSFile(os.fsencode(path)) as source:
                reader = pa.ipc.open_file(source)
                stored = msgspec.json.decode((reader.schema.metadata or {}).get(_ABOUT, b""), type=_Stored)
                fits = stored.version == _VERSION and reader.schema.remove_metadata().equals(self._dataset.schema)
                if fits and path not in self._sound:
                    batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
                    fits = _hash_of(self._dataset, batches) == stored.content_sha256
        except (OSError, pa.ArrowException, msgspec.DecodeError, ValueError):
            return None
        if fits:
            self._sound.add(path)
        return stored.about if fits else None

    def add(self, about: About, rows: pa.Table) -> StagedPart:
        """Write sorted rows to a new file. The file appears under its name only when it is complete."""
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{about.window.start_us}-{about.window.end_us}-{about.source}-{about.read_us}{_ENDING}"
        path = self._folder / name
        unfinished = path.with_suffix(_UNFINISHED)
        rows = rows.cast(self._dataset.schema)
        stored = _Stored(_VERSION, about, _hash_of(self._dataset, [rows]))
        metadata: dict[bytes, Any] = {_ABOUT: msgspec.json.encode(stored)}
        schema = self._dataset.schema.with_metadata(metadata)
        with explain_file_errors(str(self._folder)):
            with (
                pa.OSFile(os.fsencode(unfinished), "wb") as target,
                pa.ipc.new_file(target, schema, options=_WRITING) as writer,
            ):
                writer.write_table(rows, max_chunksize=BATCH_ROWS)
            # After a loss of power, a file under its name is complete.
            with unfinished.open("rb") as written:
                os.fsync(written.fileno())
            unfinished.replace(path)
        self._sound.add(path)
        return StagedPart(path, about)

    def discard(self, parts: Sequence[StagedPart] | None = None) -> None:
        """Remove some files, or the whole folder."""
        for part in parts or ():
            part.path.unlink(missing_ok=True)
        if parts is None:
            shutil.rmtree(self._folder, ignore_errors=True)
