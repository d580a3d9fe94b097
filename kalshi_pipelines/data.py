"""Readers for researchers: markets, quotes, price history, orderbook levels and settled markets as Arrow tables.

::

    from kalshi_pipelines.data import open_data

    with open_data("data/prod") as data:
        frame = data.quotes().to_pandas()
        for batch in data.price_history(start=dt.date(2026, 11, 1), tickers=["KXHIGHNY-26NOV22-B60"]):
            ...

A question does not have to know where a row lives. Each method reads the warehouse and the lake, and returns each row
once, even while rows move from one to the other. Nothing is ever written. Money and counts are exact decimals, times
are UTC. The methods and their columns stay the same between versions unless the changelog says otherwise.
"""

import datetime as dt
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.lake.arrow_rows import arrow_table
from kalshi_pipelines.lake.buffers import ORDERBOOKS, PRICES
from kalshi_pipelines.lake.datasets import SETTLED_MARKETS
from kalshi_pipelines.lake.duckdb_views import connect
from kalshi_pipelines.lake.lake import Lake, open_lake
from kalshi_pipelines.lake.spanning import history_view, read_history
from kalshi_pipelines.settings import Environment, Settings
from kalshi_pipelines.units import EXCHANGE_TIME_ZONE, microseconds
from kalshi_pipelines.upkeep.reading import read_settled_markets, settled_view
from kalshi_pipelines.warehouse.engine import explain_failures, open_reader, sqlite_url
from kalshi_pipelines.warehouse.migrations import require_head
from kalshi_pipelines.warehouse.queries import market_query, quote_query

if TYPE_CHECKING:
    import duckdb

#: An instant with a time zone, or the beginning of a trading day in New York.
Time = dt.datetime | dt.date


class NoData(ExpectedError):
    """The named place has no warehouse."""


def open_data(where: Settings | Path | str | None = None) -> "Data":
    """Open the warehouse and the lake for reading.

    Args:
        where: Settings, or the folder of an environment such as ``data/prod``; None for the settings of the environment
            variables.

    Raises:
        NoData: There is no warehouse.
        SchemaNotAtHead: The warehouse has the schema of another version.
        WarehouseUnavailable: The warehouse cannot be read.
    """
    if isinstance(where, Settings):
        settings = where
    else:
        settings = Settings.from_environment() if where is None else _settings_of(Path(where))
    engine = open_reader(settings.resolved_warehouse_url, _no_data)
    require_head(engine)
    return Data(engine, open_lake(settings))


def _no_data(path: Path) -> NoData:
    return NoData(f"There is no warehouse at {path}.", "Name the folder of an environment, such as data/prod.")


def _settings_of(folder: Path) -> Settings:
    known = {each.value for each in Environment}
    return Settings(
        environment=Environment(folder.name) if folder.name in known else Environment.SANDBOX,
        warehouse_url=sqlite_url(folder / "warehouse.db"),
        lake_dir=folder / "lake",
    )


class Data:
    """A warehouse and its lake, opened for reading. Close it, or use it as a context manager."""

    def __init__(self, engine: sa.Engine, lake: Lake) -> None:
        self._engine = engine
        self._lake = lake

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the warehouse."""
        self._engine.dispose()

    def markets(self, tickers: Collection[str] | None = None, status: Collection[str] | None = None) -> pa.Table:
        """Return the markets of the warehouse: their facts and rules, without quotes.

        Args:
            tickers: Tickers to return; None for all.
            status: Statuses to return, such as ``["active"]``; None for all.
        """
        return self._table(market_query(self._engine.dialect.name, tickers, status))

    def quotes(self, tickers: Collection[str] | None = None) -> pa.Table:
        """Return the newest quote of each market."""
        return self._table(quote_query(self._engine.dialect.name, tickers))

    def price_history(
        self, start: Time | None = None, end: Time | None = None, tickers: Collection[str] | None = None
    ) -> pa.RecordBatchReader:
        """Return changed quotes, day after day, each day sorted by ticker and time.

        Args:
            start: First time to return; None for no limit.
            end: Time before which to return; None for no limit.
            tickers: Tickers to return; None for all.
        """
        return read_history(self._lake, self._engine, PRICES, _instant(start), _instant(end), tickers)

    def orderbook_levels(
        self, start: Time | None = None, end: Time | None = None, tickers: Collection[str] | None = None
    ) -> pa.RecordBatchReader:
        """Return price levels of stored orderbooks, day after day. An empty book is one row with 0 contracts."""
        return read_history(self._lake, self._engine, ORDERBOOKS, _instant(start), _instant(end), tickers)

    def settled_markets(
        self, start: Time | None = None, end: Time | None = None, tickers: Collection[str] | None = None
    ) -> pa.RecordBatchReader:
        """Return settled markets with their facts, rules, final quote and settlement, by the day of settlement.

        Args:
            start: First time of settlement to return; None for no limit.
            end: Time of settlement before which to return; None for no limit.
            tickers: Tickers to return; None for all.
        """
        return read_settled_markets(self._lake, self._engine, _instant(start), _instant(end), tickers)

    def duckdb(self) -> "duckdb.DuckDBPyConnection":
        """Return a connection of DuckDB with the views ``markets``, ``quotes``, ``price_history`` and others.

        Each view spans the warehouse and the lake, and shows the state of this moment. The rows of the warehouse are
        copied into memory; files of the lake are read when a query needs them.

        Raises:
            DuckDBMissing: DuckDB is not installed.
        """
        views = {buffer.dataset.name: history_view(self._engine, buffer) for buffer in (PRICES, ORDERBOOKS)}
        views[SETTLED_MARKETS.name] = settled_view(self._engine)
        return connect(self._lake, {"markets": self.markets(), "quotes": self.quotes()}, views)

    def _table(self, query: sa.Select[Any]) -> pa.Table:
        with explain_failures(self._engine), self._engine.connect() as connection:
            return arrow_table(connection, query)


def _instant(time: Time | None) -> int | None:
    if time is None:
        return None
    if not isinstance(time, dt.datetime):
        return microseconds(dt.datetime.combine(time, dt.time(), EXCHANGE_TIME_ZONE))
    if time.tzinfo is None:
        raise ValueError(f"{time} has no time zone: write dt.datetime(..., tzinfo=dt.UTC)")
    return microseconds(time)
