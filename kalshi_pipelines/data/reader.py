"""The object that :func:`kalshi_pipelines.data.open_data` returns: one method for each kind of row."""

import datetime as dt
from collections.abc import Collection
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import pyarrow as pa
import sqlalchemy as sa

from kalshi_pipelines.data.events import read_events
from kalshi_pipelines.data.newest import newest_rows
from kalshi_pipelines.data.news import news_query
from kalshi_pipelines.data.times import Time, microseconds_of
from kalshi_pipelines.data.trades import MAX_QUOTE_AGE, read_priced_trades, read_quoted_trades, read_trades
from kalshi_pipelines.lake.arrow_rows import arrow_table
from kalshi_pipelines.lake.buffers import ORDERBOOKS, PRICES
from kalshi_pipelines.lake.datasets import (
    CANDLESTICKS_1D,
    CANDLESTICKS_1H,
    CANDLESTICKS_1M,
    MISSING_MARKETS,
    PUBLIC_TRADES,
    SETTLED_MARKETS,
)
from kalshi_pipelines.lake.duckdb_views import SpanningView, connect, with_date
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.manifest import lake_files_of
from kalshi_pipelines.lake.reading import read
from kalshi_pipelines.lake.spanning import history_view, read_history
from kalshi_pipelines.units import now_us
from kalshi_pipelines.upkeep.reading import read_settled_markets, settled_view
from kalshi_pipelines.warehouse.engine import explain_failures
from kalshi_pipelines.warehouse.queries import market_query, quote_query
from kalshi_pipelines.warehouse.tables import fee_changes

if TYPE_CHECKING:
    import duckdb

Period = Literal["1m", "1h", "1d"]
_CANDLES: Final = {"1m": CANDLESTICKS_1M, "1h": CANDLESTICKS_1H, "1d": CANDLESTICKS_1D}
#: Columns of ``settlements``, a part of the columns of ``settled_markets``.
_SETTLEMENT: Final = (
    "ticker",
    "event_ticker",
    "series_ticker",
    "settled_time",
    "settlement_result",
    "yes_payout",
    "no_payout",
    "final_yes_price",
    "final_no_price",
    "market_type",
    "expiration_value",
    "open_time",
    "close_time",
    "volume",
    "recorded_time",
)


class Data:
    """A warehouse and its lake, opened for reading. Close it, or use it as a context manager.

    ``start`` is included and ``end`` is not. A date means the beginning of that trading day in New York. ``tickers``
    are those to return; None means all. Methods that return a ``RecordBatchReader`` read only the files and row groups
    that can have wanted rows, and keep a small part in memory.
    """

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

    def events(self, tickers: Collection[str] | None = None) -> pa.Table:
        """Return events with their series, also those whose markets have all left the warehouse.

        Args:
            tickers: Tickers of events to return; None for all.
        """
        with explain_failures(self._engine):
            return read_events(self._lake, self._engine, tickers)

    def quotes(self, tickers: Collection[str] | None = None, as_of: Time | None = None) -> pa.Table:
        """Return the newest quote of each market, or the quote that was known at a time.

        Args:
            tickers: Tickers to return; None for all.
            as_of: The time; a quote that we saw exactly then is known. None for now. The columns are those of
                ``price_history``, without the prices of the previous day.
        """
        if as_of is None:
            return self._table(quote_query(self._engine.dialect.name, tickers))
        until_us = microseconds_of(as_of)
        assert until_us is not None  # noqa: S101  # only None gives None
        return newest_rows(self._lake, self._engine, PRICES, until_us, tickers)

    def book(self, ticker: str, at: Time | None = None) -> pa.Table:
        """Return the price levels of the orderbook that was known at a time, by side and price.

        A book that was empty has a row with 0 contracts for each side. Without any row, no book was known.

        Args:
            ticker: The market.
            at: The time; a book that we saw exactly then is known. None for now.
        """
        until_us = microseconds_of(at)
        return newest_rows(self._lake, self._engine, ORDERBOOKS, now_us() if until_us is None else until_us, [ticker])

    def trades(
        self,
        start: Time | None = None,
        end: Time | None = None,
        tickers: Collection[str] | None = None,
        *,
        with_fees: bool = False,
    ) -> pa.RecordBatchReader:
        """Return public trades, UTC day after UTC day, each sorted by ticker, time and id.

        ``trade_id`` is text here, and a UUID in the files. The order of the feed is (created_time, trade_id).

        Args:
            start: First time to return; None for no limit.
            end: Time before which to return; None for no limit.
            tickers: Tickers to return; None for all.
            with_fees: Whether to add ``fee_type``, ``fee_multiplier``, ``taker_fee`` and ``maker_fee``: the fees of the
                moment of the trade, in dollars, before rounding rebates. Fees that are not known are null.
        """
        found = read_trades(self._lake, self._engine, microseconds_of(start), microseconds_of(end), tickers)
        return read_priced_trades(self._lake, self._engine, found) if with_fees else found

    def trades_with_quotes(
        self,
        start: Time | None = None,
        end: Time | None = None,
        tickers: Collection[str] | None = None,
        *,
        max_age: dt.timedelta = MAX_QUOTE_AGE,
    ) -> pa.RecordBatchReader:
        """Return public trades, each with the newest quote that we had seen before it: ``quote_yes_bid`` and so on.

        A quote that we saw later, or in the same microsecond, is never returned. ``quote_observed_time`` says when we
        saw the quote. The columns are null if there was none.

        Args:
            start: First time to return; None for no limit.
            end: Time before which to return; None for no limit.
            tickers: Tickers to return; None for all.
            max_age: The age from which on a quote does not count. We store a quote only when it changed, so an old
                quote is right as long as we looked often enough.
        """
        found = self.trades(start, end, tickers)
        return read_quoted_trades(self._lake, self._engine, found, tickers, max_age)

    def candles(
        self,
        period: Period,
        start: Time | None = None,
        end: Time | None = None,
        tickers: Collection[str] | None = None,
    ) -> pa.RecordBatchReader:
        """Return the exchange's candlesticks, day after day, each sorted by ticker and time.

        A period without trades and without a changed quote has no candlestick.

        Args:
            period: ``1m``, ``1h`` or ``1d``. Days end at midnight in New York.
            start: First end of a period to return; None for no limit.
            end: End of a period before which to return; None for no limit.
            tickers: Tickers to return; None for all.
        """
        if period not in _CANDLES:
            raise ValueError(f"{period!r} is no length of candlesticks: choose 1m, 1h or 1d")
        span = microseconds_of(start), microseconds_of(end)
        return read(self._lake, self._engine, _CANDLES[period], *span, tickers)

    def settlements(
        self, start: Time | None = None, end: Time | None = None, tickers: Collection[str] | None = None
    ) -> pa.RecordBatchReader:
        """Return the outcomes of settled markets with the payouts of both sides, by the day of settlement.

        Args:
            start: First time of settlement to return; None for no limit.
            end: Time of settlement before which to return; None for no limit.
            tickers: Tickers to return; None for all.
        """
        whole = self.settled_markets(start, end, tickers)
        schema = pa.schema([whole.schema.field(name) for name in _SETTLEMENT])
        return pa.RecordBatchReader.from_batches(schema, (batch.select(_SETTLEMENT) for batch in whole))

    def news(
        self, start: Time | None = None, end: Time | None = None, tickers: Collection[str] | None = None
    ) -> pa.Table:
        """Return articles with the market or event that they are about, and with their newest sentiment.

        An article that is about several markets has a row for each of them. An article is known from
        ``collected_time`` on, which is often later than ``published_time``.

        Args:
            start: First time of collection to return; None for no limit.
            end: Time of collection before which to return; None for no limit.
            tickers: Markets or events; None for all articles.
        """
        span = microseconds_of(start), microseconds_of(end)
        return self._table(news_query(self._engine.dialect.name, *span, tickers))

    def fee_changes(self) -> pa.Table:
        """Return the fee changes of series and events that stand, in order of the time from which on they apply."""
        columns = [column for column in fee_changes.columns if column.name != "withdrawn_us"]
        standing = sa.select(*columns).where(fee_changes.c.withdrawn_us.is_(None))
        return self._table(standing.order_by(fee_changes.c.effective_us, fee_changes.c.recorded_us))

    def price_history(
        self, start: Time | None = None, end: Time | None = None, tickers: Collection[str] | None = None
    ) -> pa.RecordBatchReader:
        """Return changed quotes, day after day, each day sorted by ticker and time.

        Args:
            start: First time to return; None for no limit.
            end: Time before which to return; None for no limit.
            tickers: Tickers to return; None for all.
        """
        return read_history(self._lake, self._engine, PRICES, microseconds_of(start), microseconds_of(end), tickers)

    def orderbook_levels(
        self, start: Time | None = None, end: Time | None = None, tickers: Collection[str] | None = None
    ) -> pa.RecordBatchReader:
        """Return price levels of stored orderbooks, day after day. An empty book is one row with 0 contracts."""
        return read_history(self._lake, self._engine, ORDERBOOKS, microseconds_of(start), microseconds_of(end), tickers)

    def settled_markets(
        self, start: Time | None = None, end: Time | None = None, tickers: Collection[str] | None = None
    ) -> pa.RecordBatchReader:
        """Return settled markets with their facts, rules, final quote and settlement, by the day of settlement.

        Args:
            start: First time of settlement to return; None for no limit.
            end: Time of settlement before which to return; None for no limit.
            tickers: Tickers to return; None for all.
        """
        span = microseconds_of(start), microseconds_of(end)
        return read_settled_markets(self._lake, self._engine, *span, tickers)

    def missing_markets(
        self, start: Time | None = None, end: Time | None = None, tickers: Collection[str] | None = None
    ) -> pa.RecordBatchReader:
        """Return the last records of markets that the exchange lost and that have left the warehouse.

        Args:
            start: First time to return of those since which markets are missing; None for no limit.
            end: Time before which markets were lost; None for no limit.
            tickers: Tickers to return; None for all.
        """
        return read(self._lake, self._engine, MISSING_MARKETS, microseconds_of(start), microseconds_of(end), tickers)

    def duckdb(self) -> "duckdb.DuckDBPyConnection":
        """Return a connection of DuckDB with the views ``markets``, ``quotes``, ``public_trades`` and others.

        Each view spans the warehouse and the lake, and shows the state of this moment. The rows of the warehouse are
        copied into memory; files of the lake are read when a query needs them.

        Raises:
            DuckDBMissing: DuckDB is not installed.
        """
        views = {buffer.dataset.name: history_view(self._engine, buffer) for buffer in (PRICES, ORDERBOOKS)}
        views[SETTLED_MARKETS.name] = settled_view(self._lake, self._engine)
        for dataset in (PUBLIC_TRADES, MISSING_MARKETS, *_CANDLES.values()):
            nothing = with_date(dataset.schema.empty_table(), dt.date.min)
            files = lake_files_of(self._engine, dataset.name)
            paths = tuple(file.path for file in files if file.sha256 is not None)
            views[dataset.name] = SpanningView(dataset, paths, nothing, dataset.key)
        tables = {"markets": self.markets(), "quotes": self.quotes(), "events": self.events()}
        return connect(self._lake, tables | {"fee_changes": self.fee_changes()}, views)

    def _table(self, query: sa.Select[Any]) -> pa.Table:
        with explain_failures(self._engine), self._engine.connect() as connection:
            return arrow_table(connection, query)
