"""Export of history rows from the warehouse to the lake, one ingest run after the other.

A file holds the rows of one run only. If an export is interrupted, the next export makes the same files again from the
warehouse.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import sqlalchemy as sa

from kalshi_pipelines.lake.parquet import (
    CONTRACTS,
    DOLLARS,
    INSTANT,
    WrittenFile,
    exact_decimals,
    write_file,
)
from kalshi_pipelines.units import EXCHANGE_TIME_ZONE, microseconds, now_us, trading_day
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import (
    ADOPTION,
    BOOK_SIDES,
    QUOTE_COUNTS,
    QUOTE_OPTIONAL,
    QUOTE_PRICES,
    ingest_runs,
    orderbook_snapshots,
    price_snapshots,
)

_ROWS_AT_ONCE: Final = 5_000
_DOLLARS_SUFFIX: Final = "_microdollars"
_CONTRACTS_SUFFIX: Final = "_centicontracts"
_LEVELS: Final = msgspec.json.Decoder(list[tuple[int, int]])

_PRICES: Final = QUOTE_PRICES
_COUNTS: Final = (*QUOTE_COUNTS, "volume_24h_centicontracts")

PRICE_HISTORY: Final = pa.schema(
    [
        pa.field("ticker", pa.string(), nullable=False),
        pa.field("observed_time", INSTANT, nullable=False),
        *[pa.field(name.removesuffix(_DOLLARS_SUFFIX), DOLLARS, name in QUOTE_OPTIONAL) for name in _PRICES],
        *[pa.field(name.removesuffix(_CONTRACTS_SUFFIX), CONTRACTS, name in QUOTE_OPTIONAL) for name in _COUNTS],
    ]
)
ORDERBOOK_LEVELS: Final = pa.schema(
    [
        pa.field("ticker", pa.string(), nullable=False),
        pa.field("observed_time", INSTANT, nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("price", DOLLARS, nullable=False),
        pa.field("contracts", CONTRACTS, nullable=False),
    ]
)


@dataclass(frozen=True)
class Dataset:
    """A history table and the lake dataset it is exported to.

    Attributes:
        subjects: Subjects of the runs whose rows are exported.
        name: Folder of the dataset in the lake.
        table: The history table, which has the columns ticker, observed_us and ingest_run_id.
        columns: Columns of the table that ``batch`` takes, in order.
        schema: Schema of the files.
        batch: Makes a record batch from rows.
    """

    subjects: tuple[str, ...]
    name: str
    table: sa.Table
    columns: tuple[str, ...]
    schema: pa.Schema
    batch: Callable[[Sequence[Sequence[Any]]], pa.RecordBatch]


def export_history(engine: sa.Engine, lake: Path, dataset: Dataset) -> list[WrittenFile]:
    """Export the history rows of every ended run that is not in the lake yet: one file per run and trading day.

    Raises:
        WarehouseUnavailable: The lake's folder cannot be written.
    """
    written: list[WrittenFile] = []
    for run_id in _pending_runs(engine, dataset.subjects):
        written += _export_run(engine, lake, dataset, run_id)
        with writing(engine) as connection:
            connection.execute(
                sa.update(ingest_runs).where(ingest_runs.c.ingest_run_id == run_id).values(exported_us=now_us())
            )
    return written


def _pending_runs(engine: sa.Engine, subjects: Sequence[str]) -> list[int]:
    runs = ingest_runs.c
    pending = (
        sa.select(runs.ingest_run_id)
        .where(runs.subject.in_(subjects), runs.status != "running", runs.exported_us.is_(None), runs.history_rows > 0)
        .order_by(runs.ingest_run_id)
    )
    with engine.connect() as connection:
        return list(connection.scalars(pending))


def _export_run(engine: sa.Engine, lake: Path, dataset: Dataset, run_id: int) -> list[WrittenFile]:
    table = dataset.table.c
    bounds = sa.select(sa.func.min(table.observed_us), sa.func.max(table.observed_us)).where(
        table.ingest_run_id == run_id
    )
    with engine.connect() as connection:
        first, last = connection.execute(bounds).one()
        if first is None:
            return []
        return [
            write_file(
                lake, dataset.name, day, f"run-{run_id}", dataset.schema, _batches(connection, dataset, run_id, day)
            )
            for day in _days(trading_day(first), trading_day(last))
        ]


def _days(first: dt.date, last: dt.date) -> list[dt.date]:
    return [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]


def _batches(connection: sa.Connection, dataset: Dataset, run_id: int, day: dt.date) -> Iterator[pa.RecordBatch]:
    table = dataset.table.c
    start, end = (
        microseconds(dt.datetime.combine(date, dt.time(), EXCHANGE_TIME_ZONE))
        for date in (day, day + dt.timedelta(days=1))
    )
    rows = (
        sa.select(*[table[name] for name in dataset.columns])
        .where(table.ingest_run_id == run_id, table.observed_us >= start, table.observed_us < end)
        .order_by(table.ticker, table.observed_us)
    )
    with connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(rows) as result:
        for part in result.partitions():
            yield dataset.batch(part)


def _price_batch(rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    tickers, times, *values = zip(*rows, strict=True)
    prices, counts = values[: len(_PRICES)], values[len(_PRICES) :]
    return pa.record_batch(
        [
            pa.array(tickers, pa.string()),
            pa.array(times, INSTANT),
            *[exact_decimals(pa.array(price, pa.int64()), DOLLARS) for price in prices],
            *[exact_decimals(pa.array(count, pa.int64()), CONTRACTS) for count in counts],
        ],
        schema=PRICE_HISTORY,
    )


def _level_batch(rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    levels = [
        (ticker, observed, side, price, count)
        for ticker, observed, *sides in rows
        for side, text in zip(BOOK_SIDES, sides, strict=True)
        for price, count in _LEVELS.decode(text)
    ]
    tickers, times, sides, prices, counts = zip(*levels, strict=True) if levels else ((),) * 5
    return pa.record_batch(
        [
            pa.array(tickers, pa.string()),
            pa.array(times, INSTANT),
            pa.array(sides, pa.string()),
            exact_decimals(pa.array(prices, pa.int64()), DOLLARS),
            exact_decimals(pa.array(counts, pa.int64()), CONTRACTS),
        ],
        schema=ORDERBOOK_LEVELS,
    )


PRICES: Final = Dataset(
    subjects=("markets", ADOPTION),
    name="price_history",
    table=price_snapshots,
    columns=("ticker", "observed_us", *_PRICES, *_COUNTS),
    schema=PRICE_HISTORY,
    batch=_price_batch,
)
ORDERBOOKS: Final = Dataset(
    subjects=("orderbooks",),
    name="orderbook_levels",
    table=orderbook_snapshots,
    columns=("ticker", "observed_us", *[f"{side}_levels" for side in BOOK_SIDES]),
    schema=ORDERBOOK_LEVELS,
    batch=_level_batch,
)
