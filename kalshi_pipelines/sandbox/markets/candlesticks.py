"""Candlesticks of a generated market, computed from its price path.

If members have traded the market in the matching engine, its candlesticks show those trades too. Bids, asks and open
interest still follow the price path. Belongs here: splitting time into periods and summarizing each period. Does not
belong here: refusing requests for candlesticks. Source of the JSON shape: ``MarketCandlestick`` in the vendor's OpenAPI
document 3.34.0.

Volume and prices of a candlestick are those of all trades of its period, block trades included. The fills of one order
count in the order of their execution, which trade ids do not show. The mean is weighted by contracts and rounded to
1e-4 dollar.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import orjson

from kalshi_pipelines.sandbox.markets.periods import Period, period_of, periods_from
from kalshi_pipelines.sandbox.markets.quotes import NO_QUOTE, PathTrade, QuotePath
from kalshi_pipelines.sandbox.markets.rows import CandleWindow
from kalshi_pipelines.sandbox.prices import count_text, price_text
from kalshi_pipelines.units import SECOND_US

NO_TRADE_PRICES: Final = dict.fromkeys(("close_dollars", "high_dollars", "low_dollars", "mean_dollars", "open_dollars"))
_HISTORICAL_PRICES: Final = ("close", "high", "low", "mean", "open", "previous")


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

    As on the real exchange, a period without any change has no candlestick. The last candlestick of a closed market
    ends after the close: it shows that the book is empty.
    """
    start_us, minutes = window.start_s * SECOND_US, window.minutes
    lived_until_us = market.charted_until_us()
    is_over = lived_until_us >= market.close_us
    last = period_of(lived_until_us + is_over, minutes)
    candles = []
    for period in periods_from(period_of(max(start_us, market.open_us + 1), minutes), window.end_s, minutes):
        if period.end_s > last.end_s:
            break
        candle = _candle(market, period, lived_until_us, closes=is_over and period == last)
        if candle is not None:
            candles.append(candle)
    if window.latest_before_start and market.open_us < start_us:
        boundary = period_of(start_us, minutes).end_s
        if not candles or candles[0]["end_period_ts"] != boundary:
            candles.insert(0, _projected(market, start_us, boundary))
    return [orjson.dumps(candle) for candle in candles]


def historical_candlestick(candle: bytes) -> bytes:
    """Convert a ``MarketCandlestick`` object to the ``MarketCandlestickHistorical`` object of the same period.

    The keys have no suffix, and a price that does not exist is null.
    """
    body = orjson.loads(candle)
    prices = {name: body["price"].get(f"{name}_dollars") for name in _HISTORICAL_PRICES}
    quotes = {
        side: {name.removesuffix("_dollars"): price for name, price in body[side].items()}
        for side in ("yes_ask", "yes_bid")
    }
    return orjson.dumps(
        {
            "end_period_ts": body["end_period_ts"],
            "open_interest": body["open_interest_fp"],
            "price": prices,
            "volume": body["volume_fp"],
            **quotes,
        }
    )


def _candle(market: Charted, period: Period, lived_until_us: int, *, closes: bool) -> dict[str, object] | None:
    path = market.path
    begin_us = max(period.begin_s * SECOND_US, market.open_us)
    end_us = min(period.end_s * SECOND_US, lived_until_us)
    before = market.epoch_at(begin_us)
    epochs = range(before + 1, market.epoch_at(end_us) + 1)
    fills = market.fills_between(begin_us, end_us)
    if not epochs and not fills and begin_us != market.open_us and not closes:
        return None
    quotes = [path.quote(epoch, as_begun=True) for epoch in (before, *epochs)]
    if closes:
        quotes.append(NO_QUOTE)
    return {
        "end_period_ts": period.end_s,
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
        mean = (2 * sum(fill.price * fill.size for fill in fills) + traded) // (2 * traded)
        body |= _distribution([fill.price for fill in fills]) | {"mean_dollars": price_text(mean)}
    return body
