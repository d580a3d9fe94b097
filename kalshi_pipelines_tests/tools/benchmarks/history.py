"""Benchmarks of history: the speed and memory of reading trades, the size of the lake's files, and the time of queries.

The floor downloads the same trades in pages of the same size, parses them with orjson, makes one Arrow table of each
page, and writes one Parquet file with zstd. It converts, checks, sorts and stages nothing.
"""

import datetime as dt
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kalshi_pipelines.lake.datasets import PUBLIC_TRADES
from kalshi_pipelines.lake.manifest import lake_files_of
from kalshi_pipelines.lake.reading import read
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.migrated import upgrade_to_head
from kalshi_pipelines_tests.tools.history_trial.filled import fill_lake
from kalshi_pipelines_tests.tools.history_trial.tape import DAY_US, Tape, TapeOptions
from kalshi_pipelines_tests.tools.history_trial.worker import database_of, read_days

#: The tape of the benchmark of speed. Its first days are on the historical side only.
SPEED: Final = TapeOptions(days=10, trades=3_000_000)
_NAIVE_DAYS: Final = 3
_REPEATS: Final = 5


@dataclass(frozen=True)
class LakeFigures:
    """Bytes a trade in the lake and in naive Parquet, and seconds of a query of one market and day, and of a scan."""

    trades: int
    bytes_a_trade: float
    naive_bytes_a_trade: float
    query_seconds: float
    scan_seconds: float


def lake_figures(folder: Path, options: TapeOptions) -> LakeFigures:
    """Fill a lake from a tape, and measure its size and the time of reads."""
    engine, tape = open_engine(f"sqlite:///{folder / 'warehouse.db'}"), Tape(options)
    upgrade_to_head(engine)
    lake = fill_lake(engine, folder / "lake", tape)
    size = sum(file.bytes for file in lake.files(engine, PUBLIC_TRADES))
    days = [number for number in range(options.days) if tape.starts[number + 1] > tape.starts[number]][:_NAIVE_DAYS]
    naive = sum(_naive_bytes(folder, tape, number) for number in days)
    naive_rows = sum(tape.starts[number + 1] - tape.starts[number] for number in days)
    day = days[-1]
    start_us, ticker = tape.first_us + day * DAY_US, tape.day(day).tickers[0]

    def query() -> pa.RecordBatchReader:
        return read(lake, engine, PUBLIC_TRADES, start_us, start_us + DAY_US, [ticker])

    asked = _rows(query())
    if asked != tape.day(day).tickers.count(ticker) or _rows(read(lake, engine, PUBLIC_TRADES)) != options.trades:
        raise SystemExit("A read of the lake returned another number of trades than the tape has.")
    query_seconds = _seconds(query)
    scan_seconds = _seconds(lambda: read(lake, engine, PUBLIC_TRADES))
    engine.dispose()
    return LakeFigures(options.trades, size / options.trades, naive / naive_rows, query_seconds, scan_seconds)


def _naive_bytes(folder: Path, tape: Tape, number: int) -> int:
    """Return the size of a day that pandas writes with its defaults, with the texts that the exchange sends."""
    file = folder / "naive.parquet"
    table: Any = tape.day(number).truth()
    frame: pd.DataFrame = table.to_pandas().sort_values(["ticker", "created_time"], ignore_index=True)
    frame.to_parquet(file)
    return file.stat().st_size


def _rows(reader: pa.RecordBatchReader) -> int:
    return sum(batch.num_rows for batch in reader)


def _seconds(work: Callable[[], pa.RecordBatchReader]) -> float:
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        _rows(work())
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def floor(url: str, folder: Path) -> int:
    """Download, parse and write the first day of the tape, and return its number of trades."""
    first = int(dt.datetime.combine(SPEED.first_day, dt.time(), dt.UTC).timestamp())
    params = {"limit": "1000", "min_ts": str(first), "max_ts": str(first + 86_400)}
    tables, cursor = [], None
    with httpx.Client(base_url=url, timeout=60) as client:
        while cursor != "":
            asked = params if cursor is None else {**params, "cursor": cursor}
            page = orjson.loads(client.get("/historical/trades", params=asked).content)
            tables.append(pa.Table.from_pylist(page["trades"]))
            cursor = page["cursor"]
    table = pa.concat_tables(tables)
    pq.write_table(table, folder / "floor.parquet", compression="zstd")
    return int(table.num_rows)


def ingest(url: str, folder: Path) -> int:
    """Read the first day of the tape into a lake, and return its number of trades."""
    return _read(url, folder, SPEED, 1)


def read_range(options: TapeOptions, url: str, folder: Path) -> int:
    """Read all days of a tape into a lake, and return their number of trades."""
    return _read(url, folder, options, options.days)


def _read(url: str, folder: Path, options: TapeOptions, days: int) -> int:
    engine = database_of(folder)
    upgrade_to_head(engine)
    read_days(folder, url, options.first_day, days, 1)
    rows = sum(file.contents.rows for file in lake_files_of(engine, PUBLIC_TRADES.name))
    engine.dispose()
    return rows
