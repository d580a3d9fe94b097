"""Reading the candlesticks of some markets in a span, from the live side, the historical side, or both.

The live side answers for many markets at once. It omits archived markets, or answers an empty list for them, without an
error. Such an answer means "ask the historical side", never "none". The historical side answers for one market at a
time. A market for which neither side has candlesticks, although it was traded, is not served.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import pyarrow as pa

from kalshi_pipelines.history.candles.periods import CandleSpan
from kalshi_pipelines.history.candles.rows import candle_rows
from kalshi_pipelines.kalshi.candlestick_records import AnyCandlestick
from kalshi_pipelines.kalshi.candlesticks import CandlestickReader
from kalshi_pipelines.kalshi.errors import KalshiError, MalformedResponse, NotFound, ServerError, TransportFailed

#: Errors that can concern one market only. Other errors concern every request, so they end the read.
_LOCAL: Final = (ServerError, TransportFailed, MalformedResponse)
#: After this number of markets in a row that could not be read, the exchange itself is taken to be down.
MOST_FAILURES_IN_A_ROW: Final = 5


class FirstSide(StrEnum):
    """The side of the exchange that is asked first."""

    LIVE = "live"
    HISTORICAL = "historical"


@dataclass(frozen=True, order=True)
class AskedMarket:
    """A market to ask for.

    Attributes:
        ticker: The market.
        first: The side that is asked first.
        is_traded: Whether the market was traded on the day. It must then have candlesticks.
        may_be_elsewhere: Whether the other side is asked too if the first side has no candlesticks.
    """

    ticker: str
    first: FirstSide = FirstSide.LIVE
    is_traded: bool = True
    may_be_elsewhere: bool = True


@dataclass
class ReadCandles:
    """The candlesticks of some markets, and the markets that have none.

    Attributes:
        batches: The rows of each market that has candlesticks, in the order of the tickers.
        not_served: Markets that were traded, but for which the exchange has no candlesticks.
        empty: The number of markets that were not traded and have no candlesticks.
        failed: Markets that could not be read, or not as a whole, with the reasons.
        requests: The number of requests.
        historical: The number of markets whose candlesticks are from the historical side.
    """

    batches: list[pa.RecordBatch] = field(default_factory=list)
    not_served: list[str] = field(default_factory=list)
    empty: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    historical: int = 0


Found = dict[str, list[AnyCandlestick]]


@dataclass
class CandleReads:
    """The reads of one span. ``exchange_is_down`` is asked after several failures in a row."""

    reader: CandlestickReader
    span: CandleSpan
    exchange_is_down: Callable[[], bool]
    failures: int = 0

    def read(self, markets: Sequence[AskedMarket]) -> ReadCandles:
        """Read the candlesticks of the markets, each with one ticker, in the order of their tickers.

        Raises:
            KalshiError: The exchange is down, or refuses every request.
        """
        result = ReadCandles()
        found: Found = {}
        historical: set[str] = set()
        live_first = [market for market in markets if market.first is FirstSide.LIVE]
        self._ask_live(live_first, found, result)
        for market in sorted(markets):
            asks = market.first is FirstSide.HISTORICAL or (
                self._is_open(market, found, result) and market.may_be_elsewhere
            )
            if asks and self._ask_historical(market, found, result):
                historical.add(market.ticker)
        rest = [market for market in markets if market.first is FirstSide.HISTORICAL and market.may_be_elsewhere]
        self._ask_live([market for market in rest if self._is_open(market, found, result)], found, result)
        result.historical = len(historical)
        self._convert(sorted(markets), found, result)
        return result

    def _is_open(self, market: AskedMarket, found: Found, result: ReadCandles) -> bool:
        return not found.get(market.ticker) and market.ticker not in result.failed

    def _ask_live(self, markets: Sequence[AskedMarket], found: Found, result: ReadCandles) -> None:
        at_once = self.span.tickers_at_once
        for first in range(0, len(markets), at_once):
            batch = [market.ticker for market in markets[first : first + at_once]]
            for tickers, answer in self._answers(batch, result):
                found.update({ticker: answer[ticker] for ticker in tickers if ticker in answer})

    def _answers(self, tickers: list[str], result: ReadCandles) -> Iterator[tuple[list[str], Found]]:
        """Yield the live side's answers. A request that fails is split, so that one bad market spoils no other."""
        result.requests += 1
        start_s, end_s = self.span.asked
        try:
            answer = self.reader.of_markets(tickers, self.span.length.minutes, start_ts=start_s, end_ts=end_s)
        except _LOCAL as error:
            if len(tickers) == 1:
                self._fail(tickers[0], error, result)
                return
            self._count_failure(error)
            middle = len(tickers) // 2
            yield from self._answers(tickers[:middle], result)
            yield from self._answers(tickers[middle:], result)
            return
        self.failures = 0
        yield tickers, answer

    def _ask_historical(self, market: AskedMarket, found: Found, result: ReadCandles) -> bool:
        """Ask the historical side, and return whether it has candlesticks of the market."""
        result.requests += 1
        start_s, end_s = self.span.asked
        minutes = self.span.length.minutes
        try:
            candles = self.reader.of_historical_market(market.ticker, minutes, start_ts=start_s, end_ts=end_s)
        except NotFound:
            self.failures = 0
            return False
        except _LOCAL as error:
            self._fail(market.ticker, error, result)
            return False
        self.failures = 0
        if candles:
            found[market.ticker] = candles
        return bool(candles)

    def _fail(self, ticker: str, error: KalshiError, result: ReadCandles) -> None:
        result.failed[ticker] = error.problem
        self._count_failure(error)

    def _count_failure(self, error: KalshiError) -> None:
        self.failures += 1
        if self.failures >= MOST_FAILURES_IN_A_ROW and self.exchange_is_down():
            raise error

    def _convert(self, markets: Sequence[AskedMarket], found: Found, result: ReadCandles) -> None:
        for market in markets:
            if market.ticker in result.failed:
                continue
            rows = candle_rows(market.ticker, found.get(market.ticker, ()), self.span)
            if rows.refused:
                result.failed[market.ticker] = f"{len(rows.refused)} cannot be stored. The first: {rows.refused[0]}"
            if rows.batch.num_rows:
                result.batches.append(rows.batch)
            elif not rows.refused and market.is_traded:
                result.not_served.append(market.ticker)
            elif not rows.refused:
                result.empty += 1
