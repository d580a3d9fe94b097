"""Candlesticks that were read, on this computer, until the whole day is read and published.

A part has the candlesticks of some markets. Its name is a hash of what was asked, so that a day that was interrupted
continues with the parts that it has, and a part for another question is never used.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from kalshi_pipelines.history.arrow_files import read_about, read_arrow_batches, write_arrow_file
from kalshi_pipelines.history.candles.periods import CandleSpan
from kalshi_pipelines.history.candles.reading import AskedMarket, ReadCandles
from kalshi_pipelines.history.candles.rows import SCHEMA

_VERSION: Final = "3"


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
        return read_arrow_batches(self.path)


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
        """Return a part, or None if it does not exist, or is damaged, or had markets that could not be read."""
        about = read_about(path, SCHEMA)
        if about is None:
            return None
        try:
            facts = CandlePartFacts(**json.loads(about))
        except (TypeError, ValueError):
            return None
        if facts.failed:
            return None
        return CandlePart(path, facts)

    def write(self, path: Path, found: ReadCandles, read_us: int) -> CandlePart:
        """Write a part in one step."""
        rows = sum(batch.num_rows for batch in found.batches)
        known = (found.not_served, found.empty, found.failed, found.requests, found.historical)
        facts = CandlePartFacts(rows, *known, read_us)
        table = pa.Table.from_batches(found.batches, SCHEMA).combine_chunks()
        write_arrow_file(path, SCHEMA, table.to_batches(), json.dumps(asdict(facts)).encode())
        return CandlePart(path, facts)

    def remove(self) -> None:
        """Remove the parts of the day."""
        shutil.rmtree(self.folder, ignore_errors=True)
