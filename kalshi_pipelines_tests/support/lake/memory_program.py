"""A program that merges some rows into a file with many rows, and prints its peak memory in bytes.

``python -m kalshi_pipelines_tests.support.lake.memory_program FOLDER TICKERS`` makes a file with 100 rows a ticker.
"""

import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_pipelines.lake.datasets import CONTRACTS, DOLLARS, INSTANT, PRICE_HISTORY, exact_decimals
from kalshi_pipelines.units import MINUTE_US
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.lake.lakes import DAY, MIDNIGHT_US, local_lake
from kalshi_pipelines_tests.support.migrated import upgrade_to_head

_TICKERS_AT_ONCE = 200


@dataclass(frozen=True)
class _Rows:
    """Quotes of many tickers at regular times, sorted. Each iteration makes them again."""

    tickers: int
    times: int
    start_us: int

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for first in range(0, self.tickers, _TICKERS_AT_ONCE):
            numbers = range(first, min(first + _TICKERS_AT_ONCE, self.tickers))
            yield self._batch([number for number in numbers for _ in range(self.times)], len(numbers))

    def _batch(self, numbers: list[int], tickers: int) -> pa.RecordBatch:
        times = [self.start_us + time * MINUTE_US for time in range(self.times)] * tickers
        # The values differ from row to row, so that the file does not shrink to nothing.
        mixed = pc.bit_wise_and(pc.multiply(pa.array(range(len(times)), pa.int64()), 2_654_435_761), 0xFFFFF)
        values = {DOLLARS: exact_decimals(mixed, DOLLARS), CONTRACTS: exact_decimals(mixed, CONTRACTS)}
        return pa.record_batch(
            [
                pa.array([f"KXMLBGAME-26NOV22-{number:07}" for number in numbers], pa.string()),
                pa.array(times, INSTANT),
                *[values[field.type] for field in PRICE_HISTORY.schema if field.type in values],
            ],
            schema=PRICE_HISTORY.schema,
        )


def main() -> None:
    """Run the program."""
    folder, tickers = Path(sys.argv[1]), int(sys.argv[2])
    engine = open_engine(f"sqlite:///{folder / 'warehouse.db'}")
    upgrade_to_head(engine)
    for rows in (_Rows(tickers, 100, MIDNIGHT_US), _Rows(tickers // 10, 1, MIDNIGHT_US + 1)):
        (file,) = local_lake(folder / "lake").publish(engine, PRICE_HISTORY, {DAY: rows}, "test", now=True).files
    engine.dispose()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1_024)
    sys.stdout.write(f"{file.rows} {file.bytes} {peak}")


if __name__ == "__main__":
    main()
