"""Public data of a market that is traded in the engine: its quote, book, figures and trades.

Belongs here: deriving public data from a ``TradedMarket`` and from the market's figures when it was opened in the
engine. Does not belong here: markets that are not open in the engine. The public data of such markets is computed
(``generated``, ``quotes``) or recorded.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter

import orjson

from kalshi_pipelines.sandbox.markets.quotes import Level, PathTrade, Quote
from kalshi_pipelines.sandbox.prices import count_text, price_text
from kalshi_pipelines.sandbox.trading.records import TradedMarket
from kalshi_pipelines.units import DAY_US, DOLLAR_CENTICENTS


@dataclass(frozen=True, slots=True)
class Figures:
    """Public figures of a market: the last price in centi-cents, and the volumes and the open interest in
    centi-contracts.
    """

    last_price: int = 0
    volume: int = 0
    volume_24h: int = 0
    open_interest: int = 0


@dataclass(slots=True)
class OpenedMarket:
    """Public data of a market that has been opened in the matching engine.

    ``traded`` is the engine's record of the market. ``before`` holds the public figures that the market had when it was
    opened in the engine. ``now_us`` returns the exchange's time in microseconds since 1970.
    """

    traded: TradedMarket
    before: Figures
    now_us: Callable[[], int]
    _day_from: int = field(default=0, init=False)
    _day_to: int = field(default=0, init=False)
    _day_volume: int = field(default=0, init=False)

    @property
    def opened_us(self) -> int:
        """Instant at which the market was opened in the engine, in microseconds since 1970."""
        return self.traded.facts.at_us

    def quote(self) -> Quote:
        """Return the market's best bid and best ask."""
        book = self.traded.book
        bid, ask = book.best("bid"), book.best("ask")
        return Quote(
            bid or 0,
            0 if bid is None else book.count_at("bid", bid),
            DOLLAR_CENTICENTS if ask is None else ask,
            0 if ask is None else book.count_at("ask", ask),
        )

    def book(self) -> tuple[list[Level], list[Level]]:
        """Return the market's YES and NO bids, each ascending in price (best last)."""
        yes = [Level(price, count) for price, count in reversed(self.traded.book.levels("bid"))]
        no = [Level(DOLLAR_CENTICENTS - price, count) for price, count in reversed(self.traded.book.levels("ask"))]
        return yes, no

    def figures(self) -> Figures:
        """Return the present figures of the market."""
        traded, before = self.traded, self.before
        return Figures(
            traded.last_price or before.last_price,
            before.volume + traded.volume,
            self._volume_of_a_day(self.now_us()),
            before.open_interest + traded.open_interest,
        )

    def fills(self, after_us: int, until_us: int) -> list[PathTrade]:
        """Return the market's trades after ``after_us`` up to ``until_us``, oldest first."""
        trades = self.traded.trades
        low, high = (bisect_right(trades, instant, key=_created) for instant in (after_us, until_us))
        return [PathTrade(trade.price, trade.count, trade.taker_side == "bid", False) for trade in trades[low:high]]

    def last_price_at(self, instant_us: int) -> int | None:
        """Return the price of the market's last trade up to an instant, or None before the first trade."""
        trades = self.traded.trades
        place = bisect_right(trades, instant_us, key=_created)
        return trades[place - 1].price if place else None

    def _volume_of_a_day(self, now_us: int) -> int:
        # For the 24 hours before the market was opened in the engine, only the total volume is known. Assume that this
        # volume was spread evenly over the 24 hours.
        left_us = max(0, min(DAY_US, self.opened_us + DAY_US - now_us))
        return self.before.volume_24h * left_us // DAY_US + self._volume_since(now_us - DAY_US)

    def _volume_since(self, instant_us: int) -> int:
        # Add up the volume in a moving window. Both ends only move forward, so each trade is added once and subtracted
        # once.
        trades = self.traded.trades
        for trade in trades[self._day_to :]:
            self._day_volume += trade.count
        self._day_to = len(trades)
        while self._day_from < self._day_to and trades[self._day_from].created_us <= instant_us:
            self._day_volume -= trades[self._day_from].count
            self._day_from += 1
        return self._day_volume


_created = attrgetter("created_us")


def book_json(yes: list[Level], no: list[Level], depth: int = 0) -> bytes:
    """Return an ``OrderbookCountFp`` object with the best ``depth`` levels of each side (0 for all)."""
    return orjson.dumps(
        {
            "no_dollars": [(price_text(price), count_text(size)) for price, size in no[-depth:]],
            "yes_dollars": [(price_text(price), count_text(size)) for price, size in yes[-depth:]],
        }
    )


def quote_members(market: OpenedMarket) -> dict[str, str]:
    """Return the members of the ``Market`` object that trading changes, such as quotes and volumes."""
    quote, figures = market.quote(), market.figures()
    return {
        "last_price_dollars": price_text(figures.last_price),
        "no_ask_dollars": price_text(DOLLAR_CENTICENTS - quote.bid),
        "no_bid_dollars": price_text(DOLLAR_CENTICENTS - quote.ask),
        "open_interest_fp": count_text(figures.open_interest),
        "volume_24h_fp": count_text(figures.volume_24h),
        "volume_fp": count_text(figures.volume),
        "yes_ask_dollars": price_text(quote.ask),
        "yes_ask_size_fp": count_text(quote.ask_size),
        "yes_bid_dollars": price_text(quote.bid),
        "yes_bid_size_fp": count_text(quote.bid_size),
    }
