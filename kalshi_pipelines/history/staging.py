"""Parts of a day that were read and are not in the lake yet: files of this computer, outside of the lake.

A run that was killed leaves complete files, and the next run continues after them. Each file says which span of time it
covers, from which side of the exchange, and which records were refused. The files of a day are removed when the day is
in the lake.
"""

import datetime as dt
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_pipelines.bookkeeping.quarantine import UnstorableRecord
from kalshi_pipelines.history.arrow_files import UNFINISHED, read_about, read_arrow_batches, write_arrow_file
from kalshi_pipelines.history.sides import Source
from kalshi_pipelines.history.windows import TimeWindow
from kalshi_pipelines.lake.datasets import Dataset

#: Rows of one batch. All files of a day are open at the same time when they are merged.
BATCH_ROWS: Final = 4_096
_VERSION: Final = 3
_ENDING: Final = ".arrow"
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


@dataclass(frozen=True)
class StagedPart:
    """A file with a part of a day. It can be iterated more than once, and yields small batches of sorted rows."""

    path: Path
    about: About

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return read_arrow_batches(self.path)

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

    def parts(self) -> list[StagedPart]:
        """Return the complete files. Remove files that another version wrote, and files that are damaged."""
        found: list[StagedPart] = []
        for path in sorted(self._folder.glob("*")) if self._folder.is_dir() else ():
            if path.suffix == UNFINISHED:
                path.unlink(missing_ok=True)
            elif (about := self._about(path)) is None:
                logger.warning("The part %s of a day cannot be used, so that time is read again.", path)
                path.unlink(missing_ok=True)
            else:
                found.append(StagedPart(path, about))
        return found

    def _about(self, path: Path) -> About | None:
        found = read_about(path, self._dataset.schema)
        try:
            stored = None if found is None else msgspec.json.decode(found, type=_Stored)
        except msgspec.DecodeError:
            return None
        return stored.about if stored is not None and stored.version == _VERSION else None

    def add(self, about: About, rows: pa.Table) -> StagedPart:
        """Write sorted rows to a new file. The file appears under its name only when it is complete."""
        name = f"{about.window.start_us}-{about.window.end_us}-{about.source}-{about.read_us}{_ENDING}"
        path = self._folder / name
        batches = rows.cast(self._dataset.schema).to_batches(max_chunksize=BATCH_ROWS)
        write_arrow_file(path, self._dataset.schema, batches, msgspec.json.encode(_Stored(_VERSION, about)), _WRITING)
        return StagedPart(path, about)

    def discard(self, parts: Sequence[StagedPart] | None = None) -> None:
        """Remove some files, or the whole folder."""
        for part in parts or ():
            part.path.unlink(missing_ok=True)
        if parts is None:
            shutil.rmtree(self._folder, ignore_errors=True)
