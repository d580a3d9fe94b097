"""Lakes in folders, and rows of history tables to publish to them."""

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import INSTANT, Dataset
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.store import LocalStore
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import ingest_runs, markets, orderbook_snapshots, price_snapshots
from kalshi_pipelines_tests.support.warehouse.rows import MARKET, ORDERBOOK_SNAPSHOT, PRICE_SNAPSHOT, RUN, fill

#: 2026-11-22T05:00Z, the beginning of the trading day 2026-11-22, in microseconds.
MIDNIGHT_US: Final = 1_795_323_600_000_000
DAY: Final = dt.date(2026, 11, 22)
TICKER: Final[str] = MARKET["ticker"]

Row = tuple[Any, ...]
#: A small dataset whose rows of the same key must be equal.
EXACT: Final = Dataset(
    "price_history",
    pa.schema(
        [
            pa.field("ticker", pa.string(), nullable=False),
            pa.field("observed_time", INSTANT, nullable=False),
            pa.field("price", pa.decimal128(18, 6)),
        ]
    ),
    key=("ticker", "observed_time"),
    time="observed_time",
)
#: A small dataset in which the newest row of a key wins.
NEWEST: Final = Dataset(
    "settled_markets",
    pa.schema(
        [
            pa.field("ticker", pa.string(), nullable=False),
            pa.field("recorded_time", INSTANT, nullable=False),
            pa.field("result", pa.string()),
        ]
    ),
    key=("ticker",),
    time="recorded_time",
    newest="recorded_time",
)


def local_lake(folder: Path, environment: str = "sandbox") -> Lake:
    """Return a lake in a folder."""
    return Lake(LocalStore(folder), environment)


def batch(dataset: Dataset, rows: Iterable[Row]) -> pa.RecordBatch:
    """Return rows of a small dataset as a batch. A time is microseconds, and a price is micro-dollars."""
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    if dataset is EXACT:
        columns[2] = [None if price is None else Decimal(price).scaleb(-6) for price in columns[2]]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, dataset.schema, strict=True)]
    return pa.record_batch(arrays, schema=dataset.schema)


def add_run(engine: sa.Engine, subject: str = "markets", history_rows: int = 1) -> int:
    """Add an ended run with history rows, and return its number."""
    values = RUN | {"subject": subject, "status": "succeeded", "finished_us": 2, "history_rows": history_rows}
    with writing(engine) as connection:
        return int(connection.scalar(sa.insert(ingest_runs).returning(ingest_runs.c.ingest_run_id), values))


def start_history(engine: sa.Engine) -> None:
    """Fill every table with a legal row, end its run, and empty the history tables and the manifest."""
    fill(engine)
    with writing(engine) as connection:
        for name in ("price_snapshots", "orderbook_snapshots", "lake_files", "warehouse_identity"):
            connection.exec_driver_sql(f"DELETE FROM {name}")
        connection.execute(sa.update(ingest_runs).values(status="succeeded", finished_us=2))


def add_markets(engine: sa.Engine, tickers: Iterable[str]) -> None:
    """Add markets, so that history rows can refer to them."""
    with writing(engine) as connection:
        connection.execute(sa.insert(markets), [MARKET | {"ticker": ticker} for ticker in tickers])


def add_quotes(engine: sa.Engine, times: Iterable[int], ticker: str = TICKER, **values: int) -> int:
    """Add a run with a quote of a market at each time, and return the run's number."""
    run = add_run(engine)
    rows = [PRICE_SNAPSHOT | {"ticker": ticker, "observed_us": time, "ingest_run_id": run} | values for time in times]
    with writing(engine) as connection:
        connection.execute(sa.insert(price_snapshots), rows)
    return run


def add_book(engine: sa.Engine, time: int, yes: str = "[[570000,34349]]", no: str = "[]") -> int:
    """Add a run with an orderbook at a time, and return the run's number."""
    run = add_run(engine, "orderbooks")
    values = {"observed_us": time, "ingest_run_id": run, "yes_levels": yes, "no_levels": no}
    with writing(engine) as connection:
        connection.execute(sa.insert(orderbook_snapshots), ORDERBOOK_SNAPSHOT | values)
    return run


def exported(engine: sa.Engine, run: int) -> bool:
    """Return whether a run is marked as exported."""
    with engine.connect() as connection:
        found = connection.scalar(sa.select(ingest_runs.c.exported_us).where(ingest_runs.c.ingest_run_id == run))
    return found is not None


def count(engine: sa.Engine, table: sa.Table) -> int:
    """Return the number of rows of a table."""
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def lake_rows(folder: Path, dataset: str = "price_history") -> list[dict[str, Any]]:
    """Return the rows of a dataset as a plain reader of the folder sees them."""
    if not (folder / dataset).exists():
        return []
    table = pq.read_table(folder / dataset)
    return [row | {"date": str(row["date"])} for row in table.to_pylist()]


def files_in(folder: Path) -> list[str]:
    """Return the files in a lake's folder, except its mark and its lock."""
    found = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return sorted(set(found) - {"lake.json", ".lock"})
