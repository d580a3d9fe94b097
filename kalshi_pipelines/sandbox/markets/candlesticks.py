"""Candlesticks of a generated market, computed from its price path.

If members have traded the market in the matching engine, its candlesticks show those trades too. Bids, asks and open
interest still follow the price path. Belongs here: splitting time into periods and summarizing each period. Does not
belong here: refusing requests for candlesticks. Source of the JSON shape: ``MarketCandlestick`` in the vendor's OpenAPI
document 3.34.0.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import orjson

from kalshi_pipelines.sandbox.markets.quotes import PathTrade, QuotePath
from kalshi_pipelines.sandbox.markets.rows import CandleWindow
from kalshi_pipelines.sandbox.prices import count_text, price_text
from kalshi_pipelines.units import SECOND_US

NO_TRADE_PRICES: Final = dict.fromkeys(("close_dollars", "high_dollars", "low_dollars", "mean_dollars", "open_dollars"))


class Charted(Protocol):
    """The parts of a market from which candlesticks are computed."""

    path: QuotePath
    open_us: int
    close_us: int

    def epoch_at(self, instant_us: int) -> int:
        """Return the number of the price path's epoch at a past instant.

        An epoch is the time between two regular price changes.
        """
        ...

    def fills_between(self, after_us: int, until_us: int) -> list[PathTrade]:
        """Return the market's trades after ``after_us`` up to ``until_us``, oldest first."""
        ...

    def last_price_at(self, instant_us: int) -> int | None:
        """Return the price of the market's last trade up to an instant, or None if the price is unknown."""
        ...

    def open_interest(self, epoch: int) -> int:
        """Return the market's open interest during an epoch, in centi-contracts.

        An epoch is the time between two regular price changes.
        """
        ...

    def charted_until_us(self) -> int:
        """Return the latest instant that candlesticks can cover, in microseconds since 1970.

        This instant is the present or, if earlier, the close of the market.
        """
        ...


def candlesticks_of(market: Charted, window: CandleWindow) -> list[bytes]:
    """Return the candlesticks of a market within a time window, oldest first.

    As on the real exchange, a period without any change has no candlestick.
    """
    period_s = window.minutes * 60
    lived_until_us = market.charted_until_us()
    first_end = max(-(-window.start_s // period_s) * period_s, (market.open_us // SECOND_US // period_s + 1) * period_s)
    last_end = min(window.end_s, -(-lived_until_us // (period_s * SECOND_US)) * period_s)
    candles = []
    for end_s in range(first_end, last_end + 1, period_s):
        begin_us = max((end_s - period_s) * SECOND_US, market.open_us)
        candle = _candle(market, begin_us, min(end_s * SECOND_US, lived_until_us), end_s)
        if candle is not None:
            candles.append(candle)
    if window.latest_before_start and market.open_us < window.start_s * SECOND_US:
        boundary = -(-window.start_s // period_s) * period_s
        if not candles or candles[0]["end_period_ts"] != boundary:
            candles.insert(0, _projected(market, window.start_s * SECOND_US, boundary))
    return [orjson.dumps(candle) for candle in candles]


def _candle(market: Charted, begin_us: int, end_us: int, end_s: int) -> dict[str, object] | None:
    path = market.path
    before = market.epoch_at(begin_us)
    epochs = range(before + 1, market.epoch_at(end_us) + 1)
    fills = market.fills_between(begin_us, end_us)
    if not epochs and not fills and begin_us != market.open_us:
        return None
    quotes = [path.quote(epoch, as_begun=True) for epoch in (before, *epochs)]
    return {
        "end_period_ts": end_s,
        "open_interest_fp": count_text(market.open_interest(before + len(epochs))),
        "price": _trade_prices(fills, market.last_price_at(begin_us)),
        "volume_fp": count_text(sum(fill.size for fill in fills)),
        "yes_ask": _distribution([quote.ask for quote in quotes]),
        "yes_bid": _distribution([quote.bid for quote in quotes]),
    }


def _projected(market: Charted, start_us: int, boundary_s: int) -> dict[str, object]:
    epoch = market.epoch_at(min(start_us, market.close_us))
    quote = market.path.quote(epoch, as_begun=True)
    previous = market.last_price_at(min(start_us, market.close_us))
    return {
        "end_period_ts": boundary_s,
        "open_interest_fp": count_text(market.open_interest(epoch)),
        "price": {**NO_TRADE_PRICES, "previous_dollars": None if previous is None else price_text(previous)},
        "volume_fp": "0.00",
        "yes_ask": _distribution([quote.ask]),
        "yes_bid": _distribution([quote.bid]),
    }


def _distribution(prices: Sequence[int]) -> dict[str, str]:
    return {
        "close_dollars": price_text(prices[-1]),
        "high_dollars": price_text(max(prices)),
        "low_dollars": price_text(min(prices)),
        "open_dollars": price_text(prices[0]),
    }


def _trade_prices(fills: Sequence[PathTrade], previous: int | None) -> dict[str, str]:
    body = {} if previous is None else {"previous_dollars": price_text(previous)}
    if fills:
        traded = sum(fill.size for fill in fills)
        mean = sum(fill.price * fill.size for fill in fills) // traded
        body |= _distribution([fill.price for fill in fills]) | {"mean_dollars": price_text(mean)}
    return body
