"""Settled markets that were read, on this computer, until the whole range is read and published.

A chunk has the markets of some series, by day and ticker, so that a day can be collected from all chunks. It says which
series it completes. A series that a chunk holds in part is read again after an interruption.
"""

import datetime as dt
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_pipelines.lake.datasets import SETTLED_MARKETS
from kalshi_pipelines.lake.merging import MergeCounts, merge_streams
from kalshi_pipelines.units import DAY_US, HOUR_US

#: Rows of one chunk. A record has about two kilobytes.
CHUNK_ROWS: Final = 20_000
#: Rows of one batch. All chunks of a day are open at the same time when they are merged.
_BATCH_ROWS: Final = 1_024
_FACTS: Final = b"facts"
_VERSION: Final = 2


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
        with pa.memory_map(str(self.path)) as source, pa.ipc.open_file(source) as reader:
            for number in self.facts.batches.get(day.isoformat(), ()):
                yield reader.get_batch(number)


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
        """Return the complete chunks. Files that cannot be read are ignored, and their series are read again."""
        found = []
        for path in sorted(self.folder.glob("*.arrow")):
            try:
                with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
                    facts = ChunkFacts(**json.loads(reader.schema.metadata[_FACTS]))
                    fits = reader.schema.equals(SETTLED_MARKETS.schema) and facts.version == _VERSION
            except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
                continue
            if fits:
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
        schema = SETTLED_MARKETS.schema.with_metadata({_FACTS: json.dumps(asdict(facts))})
        self.folder.mkdir(parents=True, exist_ok=True)
        numbers = [int(path.stem) for path in self.folder.glob("*.arrow") if path.stem.isdigit()]
        path = self.folder / f"{max(numbers, default=0) + 1:08}.arrow"
        unfinished = path.with_suffix(f".{os.getpid()}")
        with pa.OSFile(str(unfinished), "wb") as target, pa.ipc.new_file(target, schema) as writer:
            for piece in pieces:
                writer.write_batch(piece.replace_schema_metadata(schema.metadata))
        unfinished.replace(path)
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
