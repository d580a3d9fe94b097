"""History tables of the warehouse, which buffer rows on their way to the lake, and the batches made of their rows."""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import pyarrow as pa
import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import (
    CONTRACTS,
    COUNT_COLUMNS,
    DOLLARS,
    INSTANT,
    ORDERBOOK_LEVELS,
    PRICE_COLUMNS,
    PRICE_HISTORY,
    Dataset,
    exact_decimals,
)
from kalshi_pipelines.lake.slots import start_of
from kalshi_pipelines.units import trading_day
from kalshi_pipelines.warehouse.tables import ADOPTION, BOOK_SIDES, orderbook_snapshots, price_snapshots

#: Rows that are read or deleted at once.
ROWS_AT_ONCE: Final = 5_000
_LEVELS: Final = msgspec.json.Decoder(list[tuple[int, int]])


@dataclass(frozen=True)
class HistoryBuffer:
    """A history table and the dataset that its rows are published to.

    Attributes:
        subjects: Subjects of the runs whose rows are published.
        dataset: The dataset of the lake.
        table: The history table, which has the columns ticker, observed_us and ingest_run_id.
        columns: Columns of the table that ``batch`` takes, in order.
        batch: Makes a sorted record batch from rows that are sorted by ticker and time.
    """

    subjects: tuple[str, ...]
    dataset: Dataset
    table: sa.Table
    columns: tuple[str, ...]
    batch: Callable[[Sequence[Sequence[Any]]], pa.RecordBatch]


@dataclass(frozen=True)
class BufferedRows:
    """Rows of some runs in a span of time, as sorted batches. Each iteration reads them from the warehouse."""

    engine: sa.Engine
    buffer: HistoryBuffer
    runs: tuple[int, ...]
    start_us: int
    end_us: int

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        table = self.buffer.table.c
        # The merge compares tickers byte by byte, so the database must not sort them by a language's rules.
        ticker = table.ticker.collate("C") if self.engine.dialect.name == "postgresql" else table.ticker
        rows = (
            sa.select(*[table[name] for name in self.buffer.columns])
            .where(self.condition)
            .order_by(ticker, table.observed_us)
        )
        with self.engine.connect().execution_options(yield_per=ROWS_AT_ONCE) as connection:
            for part in connection.execute(rows).partitions():
                yield self.buffer.batch(part)

    @property
    def condition(self) -> sa.ColumnElement[bool]:
        """The SQL condition that selects exactly these rows."""
        table = self.buffer.table.c
        return sa.and_(
            table.ingest_run_id.in_(self.runs), table.observed_us >= self.start_us, table.observed_us < self.end_us
        )

    @property
    def exist(self) -> bool:
        """Whether there is any such row."""
        with self.engine.connect() as connection:
            return bool(connection.scalar(sa.select(sa.exists().where(self.condition))))


def days_of(engine: sa.Engine, buffer: HistoryBuffer, run: int, before_us: int | None = None) -> set[dt.date]:
    """Return the trading days from the first row of a run to its last row."""
    table = buffer.table.c
    bounds = sa.select(sa.func.min(table.observed_us), sa.func.max(table.observed_us)).where(table.ingest_run_id == run)
    if before_us is not None:
        bounds = bounds.where(table.observed_us < before_us)
    with engine.connect() as connection:
        first, last = connection.execute(bounds).one()
    if first is None:
        return set()
    first_day, last_day = trading_day(first), trading_day(last)
    return {first_day + dt.timedelta(days=number) for number in range((last_day - first_day).days + 1)}


def rows_by_day(
    engine: sa.Engine, buffer: HistoryBuffer, days_of_runs: dict[int, set[dt.date]], before_us: int | None = None
) -> dict[dt.date, BufferedRows]:
    """Return the rows of each day that has rows."""
    found = {}
    for day in sorted(set().union(*days_of_runs.values())):
        runs = tuple(run for run, days in days_of_runs.items() if day in days)
        end = start_of(day, 24) if before_us is None else min(start_of(day, 24), before_us)
        rows = BufferedRows(engine, buffer, runs, start_of(day), end)
        if rows.exist:
            found[day] = rows
    return found


def _price_batch(rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    tickers, times, *values = zip(*rows, strict=True)
    prices, counts = values[: len(PRICE_COLUMNS)], values[len(PRICE_COLUMNS) :]
    return pa.record_batch(
        [
            pa.array(tickers, pa.string()),
            pa.array(times, INSTANT),
            *[exact_decimals(pa.array(price, pa.int64()), DOLLARS) for price in prices],
            *[exact_decimals(pa.array(count, pa.int64()), CONTRACTS) for count in counts],
        ],
        schema=PRICE_HISTORY.schema,
    )


def _levels(text: str) -> list[tuple[int, int]]:
    """Return price and contracts of each level of a side, sorted. If a book names a price twice, the levels are one."""
    contracts: dict[int, int] = {}
    for price, count in _LEVELS.decode(text):
        contracts[price] = contracts.get(price, 0) + count
    return sorted(contracts.items())


def _level_batch(rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    levels = []
    for ticker, observed, *texts in rows:
        book = {side: _levels(text) for side, text in sorted(zip(BOOK_SIDES, texts, strict=True))}
        # Without a row, a reader would take the levels of an earlier time for the levels of an empty book.
        empty = [(0, 0)] if not any(book.values()) else []
        levels += [(ticker, observed, side, *level) for side, found in book.items() for level in found or empty]
    tickers, times, sides, prices, counts = zip(*levels, strict=True) if levels else ((),) * 5
    return pa.record_batch(
        [
            pa.array(tickers, pa.string()),
            pa.array(times, INSTANT),
            pa.array(sides, pa.string()),
            exact_decimals(pa.array(prices, pa.int64()), DOLLARS),
            exact_decimals(pa.array(counts, pa.int64()), CONTRACTS),
        ],
        schema=ORDERBOOK_LEVELS.schema,
    )


PRICES: Final = HistoryBuffer(
    subjects=("markets", ADOPTION),
    dataset=PRICE_HISTORY,
    table=price_snapshots,
    columns=("ticker", "observed_us", *PRICE_COLUMNS, *COUNT_COLUMNS),
    batch=_price_batch,
)
ORDERBOOKS: Final = HistoryBuffer(
    subjects=("orderbooks",),
    dataset=ORDERBOOK_LEVELS,
    table=orderbook_snapshots,
    columns=("ticker", "observed_us", *[f"{side}_levels" for side in BOOK_SIDES]),
    batch=_level_batch,
)
