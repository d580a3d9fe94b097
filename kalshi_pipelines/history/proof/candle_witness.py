"""The candlesticks that a day of trades is compared with: those of the lake, and those that the exchange is asked for.

The lake has candlesticks of markets that were traded by the trades of the lake. A market whose trades are all missing
is not among them. So the exchange is asked for every market that may have traded and that no other witness covers.
"""

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from kalshi_pipelines.history.candles.markets import CandleMarkets
from kalshi_pipelines.history.candles.periods import LENGTH_OF_DATASET, CandleSpan
from kalshi_pipelines.history.candles.reading import CandleReads, ReadCandles
from kalshi_pipelines.history.partitions import partitions_of
from kalshi_pipelines.history.proof.in_step import in_step
from kalshi_pipelines.history.proof.inputs import ProofInputs
from kalshi_pipelines.history.proof.minutes import CANDLE_COLUMNS, TRADE_COLUMNS, MinuteComparison
from kalshi_pipelines.history.proof.residuals import Residual, State
from kalshi_pipelines.history.trade_columns import COMBO_PREFIX
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.lake.datasets import CANDLESTICKS_1M, PUBLIC_TRADES, SETTLED_MARKETS, Dataset
from kalshi_pipelines.lake.reading import RowSelection, read, read_file
from kalshi_pipelines.units import SECOND_US, microseconds
from kalshi_pipelines.warehouse.tables import markets, quotes

#: The exchange is asked for so many markets before their minutes are compared.
_MARKETS_AT_ONCE: Final = 240
_ROWS_AT_ONCE: Final = 5_000


class CandleWitness:
    """The comparison of one UTC day with candlesticks.

    Attributes:
        residuals: Every difference.
        figures: Numbers of compared minutes and volumes.
    """

    def __init__(self, inputs: ProofInputs, day: dt.date, equal_volumes: set[str]) -> None:
        self._inputs, self._day, self._equal_volumes = inputs, day, equal_volumes
        self._start_us, self._end_us = PUBLIC_TRADES.bounds_of(day)
        self._minutes = MinuteComparison()
        self._traded: set[str] = set()
        self._in_lake: dict[dt.date, set[str]] = {}
        self._asked: set[str] = set()
        self._unserved: set[str] = set()
        self._answered = 0
        self.residuals: list[Residual] = []

    def compare(self) -> bool:
        """Compare all minutes, and return whether the day was compared.

        Raises:
            KalshiError: The exchange is down.
            LakeFileChanged: A file of the lake is missing or different.
        """
        has_candles = self._compare_with_lake()
        if self._inputs.client is not None:
            self._ask(self._inputs.client, self._to_ask(has_candles=has_candles))
        self._list_unserved(has_candles=has_candles)
        self.residuals += self._minutes.residuals(self._equal_volumes, self._end_us)
        return has_candles or self._inputs.client is not None

    def agrees_about(self, ticker: str) -> bool:
        """Return whether the candlesticks of a market cover the whole day and agree with its trades."""
        has_all = bool(self._in_lake) and all(ticker in tickers for tickers in self._in_lake.values())
        is_known = has_all or (ticker in self._asked and ticker not in self._unserved)
        return is_known and ticker not in self._minutes.differing

    @property
    def figures(self) -> dict[str, Any]:
        """Numbers of compared minutes and markets, for people."""
        return {
            "minutes_compared": self._minutes.minutes,
            "minutes_equal_in_some_order_of_ties": self._minutes.ties,
            "minutes_that_differ": sum(self._minutes.numbers.values()),
            "minutes_equal_only_without_blocks": self._minutes.without_blocks,
            "markets_traded": len(self._traded),
            "markets_asked": len(self._asked),
            "markets_asked_with_candlesticks": self._answered,
            "markets_not_served": len(self._unserved),
            "nothing_traded": not self._traded,
        }

    def _compare_with_lake(self) -> bool:
        """Compare with the lake's candlesticks if it has those of the whole day, and return whether it has."""
        needed = {CANDLESTICKS_1M.day_of(each) for each in (self._start_us + 1, self._end_us)}
        read_days = {
            each.day
            for each in partitions_of(self._inputs.engine, CANDLESTICKS_1M.name, needed)
            if each.read_until_us is not None and each.read_until_us >= CANDLESTICKS_1M.bounds_of(each.day)[1] - 1
        }
        has_candles = needed == read_days
        self._in_lake = {day: set() for day in needed} if has_candles else {}
        selections = [
            self._selection(PUBLIC_TRADES, TRADE_COLUMNS),
            self._selection(CANDLESTICKS_1M, CANDLE_COLUMNS),
        ]
        sources = [self._streams(each) for each in (selections if has_candles else selections[:1])]
        for trades, *candles in in_step(sources, [each.schema for each in selections[: len(sources)]]):
            self._traded.update(pc.unique(trades["ticker"]).to_pylist())
            for table in candles:
                self._minutes.compare(trades, table)
                self._note(table)
        return has_candles

    def _note(self, candles: pa.Table) -> None:
        """Remember which markets have candlesticks in which New York day."""
        ends = candles["end_time"].cast(pa.int64())
        for day, tickers in self._in_lake.items():
            first_us, after_us = CANDLESTICKS_1M.bounds_of(day)
            inside = pc.and_(pc.greater_equal(ends, first_us), pc.less(ends, after_us))
            tickers.update(pc.unique(candles["ticker"].filter(inside)).to_pylist())

    def _selection(self, dataset: Dataset, columns: tuple[str, ...]) -> RowSelection:
        # A minute includes its end, so a trade at exactly midnight belongs to the last minute before.
        return RowSelection(dataset, self._start_us + 1, self._end_us + 1, None, columns)

    def _streams(self, selection: RowSelection) -> list[Iterator[pa.RecordBatch]]:
        lake, engine = self._inputs.lake, self._inputs.engine
        files = [file for file in lake.files(engine, selection.dataset) if selection.may_have_rows(file)]
        return [read_file(lake, engine, file, selection) for file in files]

    def _to_ask(self, *, has_candles: bool) -> list[str]:
        """Return the markets that may have traded and that neither the lake's candlesticks nor a volume covers."""
        everywhere = set.intersection(*self._in_lake.values()) if has_candles else set()
        somewhere = set().union(*self._in_lake.values())
        may_lack = (self._traded | self._may_have_traded()) - everywhere - self._equal_volumes
        wanted = may_lack | (self._traded - somewhere)
        if self._inputs.includes_combos:
            return sorted(wanted)
        return sorted(ticker for ticker in wanted if not ticker.startswith(COMBO_PREFIX))

    def _may_have_traded(self) -> set[str]:
        """Return the markets that were open on the day, unless they are known to have no volume at all."""
        columns, volume = markets.c, quotes.c.volume_centicontracts
        query = (
            sa.select(columns.ticker)
            .join_from(markets, quotes, columns.ticker == quotes.c.ticker, isouter=True)
            .where(~columns.is_placeholder, columns.open_time_us < self._end_us, columns.close_time_us > self._start_us)
            .where(sa.or_(volume.is_(None), volume > 0))
        )
        with self._inputs.engine.connect().execution_options(yield_per=_ROWS_AT_ONCE) as connection:
            found = set(connection.scalars(query))
        names = ["ticker", "open_time", "close_time", "volume"]
        for batch in read(self._inputs.lake, self._inputs.engine, SETTLED_MARKETS, self._start_us, columns=names):
            opened, closed = (batch.column(name).cast(pa.int64()) for name in names[1:3])
            is_open = pc.and_(pc.less(opened, self._end_us), pc.greater(closed, self._start_us))
            counts = pc.fill_null(pc.not_equal(batch.column("volume").cast(pa.float64()), 0.0), True)
            found.update(batch.column("ticker").filter(pc.and_(is_open, counts)).to_pylist())
        return found

    def _ask(self, client: KalshiClient, tickers: list[str]) -> None:
        """Compare the trades of some markets with the candlesticks that the exchange serves now."""
        # The answers replace what the lake's candlesticks said about these markets.
        self._minutes.forget(tickers)
        self._asked = set(tickers)
        length = LENGTH_OF_DATASET[CANDLESTICKS_1M.name]
        span = CandleSpan(length, self._start_us // SECOND_US + 1, self._end_us // SECOND_US)
        cutoff_us = microseconds(client.historical_cutoff().market_settled_ts) if tickers else 0
        reads = CandleReads(client.candlesticks, span, lambda: _is_down(client))
        chooser = CandleMarkets(self._inputs.lake, self._inputs.engine, includes_combos=True)
        for first in range(0, len(tickers), _MARKETS_AT_ONCE):
            group = tickers[first : first + _MARKETS_AT_ONCE]
            answer = reads.read(chooser.asked_about(group, self._traded, self._end_us, cutoff_us))
            self._compare_answer(group, answer)

    def _compare_answer(self, group: list[str], answer: ReadCandles) -> None:
        schema = self._selection(CANDLESTICKS_1M, CANDLE_COLUMNS).schema
        candles = pa.concat_tables(
            [schema.empty_table()]
            + [pa.Table.from_batches([batch]).select(schema.names).cast(schema) for batch in answer.batches]
        )
        self._answered += len(pc.unique(candles["ticker"]))
        silent = {*answer.not_served, *answer.failed}
        self._unserved |= silent
        start, end = self._start_us + 1, self._end_us + 1
        found = read(self._inputs.lake, self._inputs.engine, PUBLIC_TRADES, start, end, group, TRADE_COLUMNS)
        trades = found.read_all()
        heard = pa.array(sorted(set(group) - silent), pa.string())
        self._minutes.compare(
            trades.filter(pc.is_in(trades["ticker"], heard)), candles.filter(pc.is_in(candles["ticker"], heard))
        )
        for ticker, problem in sorted(answer.failed.items()):
            self._add(ticker, f"The exchange did not serve the candlesticks: {problem}")

    def _list_unserved(self, *, has_candles: bool) -> None:
        if not has_candles and self._inputs.client is None:
            self._add("", "The lake does not have the candlesticks of the day, and the exchange was not asked.")
            return
        known = set().union(*self._in_lake.values()) | (self._asked - self._unserved)
        failed = {each.ticker for each in self.residuals}
        for ticker in sorted(self._traded - known - failed):
            self._minutes.forget([ticker])
            if ticker in self._asked:
                self._add(ticker, "The market was traded, but neither side of the exchange has its candlesticks.")
            elif ticker not in self._equal_volumes:
                self._add(ticker, "The lake has no candlesticks of the market, and the exchange was not asked.")

    def _add(self, ticker: str, explanation: str) -> None:
        self.residuals.append(Residual(ticker, "candlesticks", State.NOT_SERVED, "candlesticks", "none", explanation))


def _is_down(client: KalshiClient) -> bool:
    try:
        return not client.exchange_status().exchange_active
    except KalshiError:
        return True
