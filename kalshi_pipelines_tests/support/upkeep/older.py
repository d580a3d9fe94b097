"""Warehouses of an older version: revision 0012, history rows of many runs, and Parquet files of the older layout."""

import datetime as dt
import json
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from kalshi_pipelines.lake.buffers import ORDERBOOKS, PRICES, HistoryBuffer
from kalshi_pipelines.units import HOUR_US, trading_day
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines_tests.support.upkeep.tasks import days_ago
from kalshi_pipelines_tests.support.warehouse.revisions import Database
from kalshi_pipelines_tests.support.warehouse.rows import ORDERBOOK_SNAPSHOT, PRICE_SNAPSHOT, RUN

#: The revision of the older version.
OLDER: Final = "0012"
#: Days of history, of which the last seven stay in the warehouse after the move.
DAYS: Final = 12
TICKERS: Final = ("KXMLBGAME-26NOV22-TOR", "KXMLBGAME-26NOV22-TOR-1", "KXMLBGAME-26NOV22-TOR-2")
_RUN_COLUMNS: Final = (*RUN, "finished_us", "exported_us")

Row = dict[str, Any]


def fill_older(database: Database, folder: Path, rows_a_day: int = 60) -> dict[str, list[Row]]:
    """Fill a database at the older revision, write its old files, and return its history rows by table."""
    database.fill({"ingest_runs", "series", "events", "markets"})
    made: dict[str, list[Row]] = {"price_snapshots": [], "orderbook_snapshots": []}
    for day in range(DAYS):
        start = days_ago(DAYS - day) + HOUR_US
        prices = [_price(10 + day, start, number) for number in range(rows_a_day)]
        books = [_book(100 + day, start, number) for number in range(rows_a_day // 6)]
        _run(database, 10 + day, "markets", len(prices), start)
        _run(database, 100 + day, "orderbooks", len(books), start)
        made["price_snapshots"] += prices
        made["orderbook_snapshots"] += books
        write_old_file(folder, PRICES, 10 + day, prices)
        write_old_file(folder, ORDERBOOKS, 100 + day, books)
    for table, rows in made.items():
        _insert(database, table, rows)
    return made


def _price(run: int, start: int, number: int) -> Row:
    ticker, at = TICKERS[number % len(TICKERS)], start + number * 1_000_003
    row = {name: value for name, value in PRICE_SNAPSHOT.items() if name != "price_snapshot_id"}
    return row | {"ticker": ticker, "observed_us": at, "ingest_run_id": run, "volume_centicontracts": number}


def _book(run: int, start: int, number: int) -> Row:
    ticker, at = TICKERS[number % len(TICKERS)], start + number * 1_000_003
    levels = json.dumps([[10_000 * (number % 90 + 1), 100 + number]] if number % 5 else [])
    return ORDERBOOK_SNAPSHOT | {"ticker": ticker, "observed_us": at, "ingest_run_id": run, "yes_levels": levels}


def _run(database: Database, number: int, subject: str, rows: int, at: int) -> None:
    values = RUN | {"subject": subject, "status": "succeeded", "finished_us": at, "exported_us": at}
    _insert(database, "ingest_runs", [values | {"ingest_run_id": number, "history_rows": rows}])


def _insert(database: Database, table: str, rows: list[Row]) -> None:
    names = list(rows[0])
    marks = ", ".join("?" if database.engine.dialect.name == "sqlite" else "%s" for _ in names)
    with writing(database.engine) as connection:
        connection.exec_driver_sql(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", [tuple(row.values()) for row in rows]
        )


def write_old_file(folder: Path, buffer: HistoryBuffer, run: int, rows: list[Row]) -> Path:
    """Write one file for a run, as older versions did: all rows are of the trading day of the first row."""
    sorted_rows = sorted(rows, key=lambda row: (row["ticker"], row["observed_us"]))
    day: dt.date = trading_day(rows[0]["observed_us"])
    file = folder / buffer.dataset.name / f"date={day.isoformat()}" / f"run-{run}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    batch = buffer.batch([tuple(row[name] for name in buffer.columns) for row in sorted_rows])
    pq.write_table(pa.Table.from_batches([batch]), file, compression="zstd")
    return file


def as_in_lake(buffer: HistoryBuffer, rows: list[Row]) -> list[Row]:
    """Return history rows as the lake's rows, sorted by their key."""
    sorted_rows = sorted(rows, key=lambda row: (row["ticker"], row["observed_us"]))
    found: list[Row] = buffer.batch([tuple(row[name] for name in buffer.columns) for row in sorted_rows]).to_pylist()
    return found
