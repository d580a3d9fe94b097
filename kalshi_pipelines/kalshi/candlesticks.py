"""Reads of candlesticks, live and historical, within the limits of the exchange.

A read asks one side only. Which side must be asked depends on the historical cutoff: see ``history``.
"""

from collections.abc import Sequence
from typing import Final, Literal

from kalshi_pipelines.kalshi.candlestick_records import AnyCandlestick, decode_batch, decode_historical, decode_live
from kalshi_pipelines.kalshi.errors import InvalidRequest, QueryParams
from kalshi_pipelines.kalshi.transport import Transport, path_with

#: The length of a period in minutes.
PeriodMinutes = Literal[1, 60, 1440]

#: The largest number of markets in one request.
MOST_BATCHED_TICKERS: Final = 100
#: The largest number of candlesticks that one request for several markets may ask for: markets times periods.
MOST_BATCHED_CANDLESTICKS: Final = 10_000
#: The largest number of periods that one request for one market may ask for.
MOST_PERIODS: Final = 5_000


def periods_between(start_ts: int, end_ts: int, minutes: int) -> int:
    """Return how many periods can end between two Unix seconds, both included.

    The exchange counts the periods of the requested span, not the candlesticks of the answer.
    """
    return (end_ts - start_ts) // (minutes * 60) + 1


class CandlestickReader:
    """A reader of candlesticks. ``KalshiClient.candlesticks`` makes it.

    Every method takes the length of a period in minutes, and two Unix seconds: candlesticks whose period ends between
    them, both included, are returned. A period without trades and without changes of the quotes has no candlestick.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def of_markets(
        self, tickers: Sequence[str], minutes: PeriodMinutes, *, start_ts: int, end_ts: int
    ) -> dict[str, list[AnyCandlestick]]:
        """Return the live side's candlesticks of several markets, read in one request, by ticker.

        A market that the live side does not know, for example an archived market, is not in the answer. A market
        without candlesticks has an empty list. For an archived market, neither means that it has no candlesticks.

        Raises:
            InvalidRequest: The request is larger than the exchange permits; it was not sent.
        """
        asked = len(tickers) * _periods(start_ts, end_ts, minutes)
        if not 1 <= len(tickers) <= MOST_BATCHED_TICKERS or asked > MOST_BATCHED_CANDLESTICKS:
            raise InvalidRequest(
                f"GET /markets/candlesticks cannot be asked for {asked} candlesticks of {len(tickers)} markets.",
                f"Ask for at most {MOST_BATCHED_CANDLESTICKS} candlesticks of 1 to {MOST_BATCHED_TICKERS} markets.",
            )
        params = [("market_tickers", ",".join(tickers)), *_params(start_ts, end_ts, minutes)]
        return self._transport.get("/markets/candlesticks", params, decode=decode_batch)

    def of_market(
        self, series_ticker: str, ticker: str, minutes: PeriodMinutes, *, start_ts: int, end_ts: int
    ) -> list[AnyCandlestick]:
        """Return the live side's candlesticks of one market.

        Raises:
            InvalidRequest: The span has more periods than the exchange permits; no request was sent.
            NotFound: The live side does not know the market, or the market is of another series.
        """
        path = path_with(
            "/series/{series_ticker}/markets/{ticker}/candlesticks", series_ticker=series_ticker, ticker=ticker
        )
        return self._one(path, minutes, start_ts, end_ts, is_historical=False)

    def of_historical_market(
        self, ticker: str, minutes: PeriodMinutes, *, start_ts: int, end_ts: int
    ) -> list[AnyCandlestick]:
        """Return the historical side's candlesticks of one archived market.

        Raises:
            InvalidRequest: The span has more periods than the exchange permits; no request was sent.
            NotFound: The historical side does not know the market.
        """
        path = path_with("/historical/markets/{ticker}/candlesticks", ticker=ticker)
        return self._one(path, minutes, start_ts, end_ts, is_historical=True)

    def _one(
        self, path: str, minutes: PeriodMinutes, start_ts: int, end_ts: int, *, is_historical: bool
    ) -> list[AnyCandlestick]:
        periods = _periods(start_ts, end_ts, minutes)
        if periods > MOST_PERIODS:
            raise InvalidRequest(
                f"GET {path} cannot be asked for {periods} periods.", f"Ask for at most {MOST_PERIODS}."
            )
        decode = decode_historical if is_historical else decode_live
        return self._transport.get(path, _params(start_ts, end_ts, minutes), decode=decode)


def _periods(start_ts: int, end_ts: int, minutes: PeriodMinutes) -> int:
    if end_ts < start_ts:
        raise InvalidRequest(
            f"Candlesticks cannot be read from second {start_ts} to the earlier second {end_ts}.", "Swap the bounds."
        )
    return periods_between(start_ts, end_ts, minutes)


def _params(start_ts: int, end_ts: int, minutes: int) -> QueryParams:
    return [("start_ts", str(start_ts)), ("end_ts", str(end_ts)), ("period_interval", str(minutes))]
