"""Settled markets that were read, on this computer, until the whole range is read and published.

A chunk has the markets of some series, by day and ticker, so that a day can be collected from all chunks. It says which
series it completes. A series that a chunk holds in part is read again after an interruption.
"""

import datetime as dt
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_pipelines.history.arrow_files import read_about, read_arrow_batches, write_arrow_file
from kalshi_pipelines.lake.datasets import SETTLED_MARKETS
from kalshi_pipelines.lake.merging import MergeCounts, merge_streams
from kalshi_pipelines.units import DAY_US, HOUR_US

#: Rows of one chunk. A record has about two kilobytes.
CHUNK_ROWS: Final = 20_000
#: Rows of one batch. All chunks of a day are open at the same time when they are merged.
_BATCH_ROWS: Final = 1_024
_VERSION: Final = 3


@dataclass(frozen=True)
class ChunkFacts:
    """Facts of a chunk besides its rows.

    Attributes:
        version: The version of this format.
        series: The series that are complete with this chunk.
        batches: The positions of the batches of each day, by the date.
        refused: Records that cannot be stored, by ticker, with the reasons.
        requests: The number of requests.
        left_out: The number of markets that upkeep archives.
        read_us: Time at which the chunk was written, soon after its markets were read.
    """

    version: int
    series: list[str]
    batches: dict[str, list[int]]
    refused: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    left_out: int = 0
    read_us: int = 0


@dataclass(frozen=True)
class SettledChunk:
    """A complete chunk."""

    path: Path
    facts: ChunkFacts

    def of_day(self, day: dt.date) -> Iterator[pa.RecordBatch]:
        """Yield the markets that settled on a day, by ticker."""
        return read_arrow_batches(self.path, self.facts.batches.get(day.isoformat(), ()))


@dataclass(frozen=True)
class _DayOfChunk:
    chunk: SettledChunk
    day: dt.date

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self.chunk.of_day(self.day)


@dataclass(frozen=True)
class SettledDay:
    """The markets of all chunks that settled on a day, by ticker, each once. Each iteration reads them again."""

    chunks: Sequence[SettledChunk]
    day: dt.date

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        streams = [_DayOfChunk(chunk, self.day) for chunk in self.chunks if self.day.isoformat() in chunk.facts.batches]
        return merge_streams(SETTLED_MARKETS, streams, MergeCounts())


@dataclass(frozen=True)
class ChunkFolder:
    """The folder of the chunks of one range."""

    folder: Path

    def chunks(self) -> list[SettledChunk]:
        """Return the complete chunks. Damaged files are ignored, and their series are read again."""
        found = []
        for path in sorted(self.folder.glob("*.arrow")):
            about = read_about(path, SETTLED_MARKETS.schema)
            try:
                facts = None if about is None else ChunkFacts(**json.loads(about))
            except (TypeError, ValueError):
                facts = None
            if facts is not None and facts.version == _VERSION:
                found.append(SettledChunk(path, facts))
        return found

    def write(
        self,
        batches: Sequence[pa.RecordBatch],
        series: Sequence[str],
        refused: Mapping[str, str],
        *,
        requests: int,
        left_out: int,
        read_us: int,
    ) -> SettledChunk:
        """Write a chunk in one step."""
        pieces, positions = _by_day(pa.Table.from_batches(batches, SETTLED_MARKETS.schema))
        facts = ChunkFacts(_VERSION, list(series), positions, dict(refused), requests, left_out, read_us)
        numbers = [int(path.stem) for path in self.folder.glob("*.arrow") if path.stem.isdigit()]
        path = self.folder / f"{max(numbers, default=0) + 1:08}.arrow"
        write_arrow_file(path, SETTLED_MARKETS.schema, pieces, json.dumps(asdict(facts)).encode())
        return SettledChunk(path, facts)

    def remove_old(self, end_us: int, now_us: int) -> None:
        """Remove chunks that may lack markets by now: those of the range's end, and those before the cutoff moved."""
        for chunk in self.chunks():
            age_us = now_us - chunk.facts.read_us
            was_over = chunk.facts.read_us >= end_us + HOUR_US
            if age_us >= (DAY_US if was_over else HOUR_US):
                chunk.path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the chunks of the range."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _by_day(rows: pa.Table) -> tuple[list[pa.RecordBatch], dict[str, list[int]]]:
    """Return the rows in batches of one day each, and the positions of the batches of each day."""
    time, ticker = SETTLED_MARKETS.time, SETTLED_MARKETS.key[0]
    days = [SETTLED_MARKETS.day_of(each).isoformat() for each in rows.column(time).cast(pa.int64()).to_pylist()]
    pieces: list[pa.RecordBatch] = []
    positions: dict[str, list[int]] = {}
    named = pa.array(days, pa.string())
    for day in sorted(set(days)):
        of_day = rows.filter(pc.equal(named, day)).sort_by(ticker).combine_chunks()
        for batch in of_day.to_batches(max_chunksize=_BATCH_ROWS):
            positions.setdefault(day, []).append(len(pieces))
            pieces.append(batch)
    return pieces, positions
