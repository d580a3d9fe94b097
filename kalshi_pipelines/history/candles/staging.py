"""Candlesticks that were read, on this computer, until the whole day is read and published.

A part has the candlesticks of some markets. Its name is a hash of what was asked, so that a day that was interrupted
continues with the parts that it has, and a part for another question is never used.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from kalshi_pipelines.history.candles.periods import CandleSpan
from kalshi_pipelines.history.candles.reading import AskedMarket, ReadCandles
from kalshi_pipelines.history.candles.rows import SCHEMA

_VERSION: Final = "2"
_FACTS: Final = b"facts"


@dataclass(frozen=True)
class CandlePartFacts:
    """Facts of a part besides its rows: when it was read, and the attributes of ``ReadCandles``."""

    rows: int
    not_served: list[str]
    empty: int
    failed: dict[str, str]
    requests: int
    historical: int
    read_us: int


@dataclass(frozen=True)
class CandlePart:
    """A complete part. Each iteration reads its rows from the file."""

    path: Path
    facts: CandlePartFacts

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        with pa.memory_map(str(self.path)) as source, pa.ipc.open_file(source) as reader:
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)


@dataclass(frozen=True)
class CandleParts:
    """The rows of several parts, one part after the other. They can be read more than once."""

    parts: Sequence[CandlePart]

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for part in self.parts:
            yield from part


@dataclass(frozen=True)
class CandlePartFolder:
    """The folder of the parts of one day."""

    folder: Path

    def part_of(self, markets: Sequence[AskedMarket], span: CandleSpan) -> Path:
        """Return the file of the part that answers a question."""
        question = [
            _VERSION,
            span.length.dataset.name,
            span.start_s,
            span.end_s,
            [list(vars(each).values()) for each in markets],
        ]
        return self.folder / f"{hashlib.sha256(json.dumps(question).encode()).hexdigest()[:32]}.arrow"

    def find(self, path: Path) -> CandlePart | None:
        """Return a part, or None if it does not exist, or cannot be read, or had markets that could not be read."""
        try:
            with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
                facts = CandlePartFacts(**json.loads(reader.schema.metadata[_FACTS]))
                if not reader.schema.equals(SCHEMA) or facts.failed:
                    return None
        except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
            return None
        return CandlePart(path, facts)

    def write(self, path: Path, found: ReadCandles, read_us: int) -> CandlePart:
        """Write a part in one step."""
        rows = sum(batch.num_rows for batch in found.batches)
        known = (found.not_served, found.empty, found.failed, found.requests, found.historical)
        facts = CandlePartFacts(rows, *known, read_us)
        schema = SCHEMA.with_metadata({_FACTS: json.dumps(asdict(facts))})
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        with pa.OSFile(str(unfinished), "wb") as target, pa.ipc.new_file(target, schema) as writer:
            for batch in pa.Table.from_batches(found.batches, SCHEMA).combine_chunks().to_batches():
                writer.write_batch(batch.replace_schema_metadata(schema.metadata))
        unfinished.replace(path)
        return CandlePart(path, facts)

    def remove(self) -> None:
        """Remove the parts of the day."""
        shutil.rmtree(self.folder, ignore_errors=True)
