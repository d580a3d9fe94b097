"""One market as it is when an order is planned: status, grid, best prices, fees, shard.

Every value is from one reading whose beginning is ``read_us``; what can not be read is an error, never a default.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.orders.terms import MarketTicker
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.records import BookSides, Event, ExchangeStatus, Market, Series
from kalshi_pipelines.units import (
    DOLLAR_CENTICENTS,
    MICRODOLLARS_PER_CENTICENT,
    InexactValue,
    centicontracts,
    microdollars,
    microseconds,
    now_us,
)


class UnreadableMarket(ExpectedError, ValueError):
    """An answer of the exchange that no order can be judged by; the message says what of it."""


@dataclass(frozen=True, slots=True)
class PriceRange:
    """A stretch of the market's grid, in centi-cents of YES."""

    start: int
    end: int
    step: int

    def has(self, price: int) -> bool:
        """Whether a price is on it."""
        return self.start <= price <= self.end and (price - self.start) % self.step == 0


@dataclass(frozen=True, slots=True)
class MarketSnapshot:
    """A market at one reading. Prices are centi-cents of YES, instants microseconds."""

    ticker: MarketTicker
    event_ticker: str
    series_ticker: str
    status: str
    market_type: str
    settlement_bounds: str
    exchange_index: int
    price_ranges: tuple[PriceRange, ...]
    close_us: int
    best_bid: int | None
    best_ask: int | None
    fee_type: str
    fee_multiplier: Decimal
    shard_trades: bool
    clock_difference_ms: int | None
    read_us: int

    @property
    def is_two_sided(self) -> bool:
        """Whether the book has both sides and they do not cross."""
        return self.best_bid is not None and self.best_ask is not None and self.best_bid < self.best_ask


MarketReader = Callable[[MarketTicker], MarketSnapshot]


@dataclass(frozen=True, slots=True)
class ExchangeMarkets:
    """Reads markets from the exchange.

    Raises:
        KalshiError: It could not be read.
        UnreadableMarket: What was read is no market that can be judged.
    """

    client: KalshiClient
    clock_us: Callable[[], int] = now_us

    def __call__(self, ticker: MarketTicker) -> MarketSnapshot:
        """The market now: five requests, the orderbook last."""
        read_us = self.clock_us()
        status = self.client.exchange_status()
        market = self.client.market(str(ticker))
        event = self.client.event(market.event_ticker)
        series = self.client.series(event.series_ticker)
        book = self.client.orderbook(str(ticker)).orderbook_fp
        for asked, listed in (
            (str(ticker), market.ticker),
            (market.event_ticker, event.event_ticker),
            (event.series_ticker, series.ticker),
        ):
            if asked != listed:
                raise UnreadableMarket(f"asked for {asked[:80]}, the exchange answered with {listed[:80]!r}")
        return _snapshot(ticker, market, event, series, book, status, self.client.clock_difference_ms, read_us)


def _snapshot(
    ticker: MarketTicker,
    market: Market,
    event: Event,
    series: Series,
    book: BookSides,
    status: ExchangeStatus,
    clock_difference_ms: int | None,
    read_us: int,
) -> MarketSnapshot:
    if market.exchange_index is None:
        raise UnreadableMarket(f"{ticker} does not say on which shard it trades")
    best_no_bid = _best(book.no_dollars)
    return MarketSnapshot(
        ticker=ticker,
        event_ticker=market.event_ticker,
        series_ticker=series.ticker,
        status=market.status,
        market_type=market.market_type,
        settlement_bounds=market.settlement_bounds_type or "not told",
        exchange_index=market.exchange_index,
        price_ranges=_grid(ticker, market.price_ranges),
        close_us=microseconds(market.close_time),
        best_bid=_best(book.yes_dollars),
        best_ask=None if best_no_bid is None else DOLLAR_CENTICENTS - best_no_bid,
        fee_type=event.fee_type_override or series.fee_type,
        fee_multiplier=series.fee_multiplier
        if event.fee_multiplier_override is None
        else event.fee_multiplier_override,
        shard_trades=_trades(status, market.exchange_index),
        clock_difference_ms=clock_difference_ms,
        read_us=read_us,
    )


def _trades(status: ExchangeStatus, exchange_index: int) -> bool:
    """Whether a shard takes orders; one the exchange does not tell of does not."""
    if not status.exchange_index_statuses:
        return exchange_index == 0 and status.exchange_active and status.trading_active
    listed = [shard for shard in status.exchange_index_statuses if shard.exchange_index == exchange_index]
    return bool(listed) and all(shard.exchange_active and shard.trading_active for shard in listed)


def _grid(ticker: MarketTicker, raw: msgspec.Raw) -> tuple[PriceRange, ...]:
    try:
        listed = msgspec.json.decode(raw, type=list[dict[str, str]])
        ranges = tuple(PriceRange(*(_centicents(each[name]) for name in ("start", "end", "step"))) for each in listed)
    except (msgspec.MsgspecError, KeyError) as error:
        raise UnreadableMarket(f"the price grid of {ticker} can not be read: {error}") from None
    if not ranges or any(each.step <= 0 for each in ranges):
        raise UnreadableMarket(f"{ticker} has no price grid")
    return ranges


def _best(levels: list[tuple[str, str]] | None) -> int | None:
    """The best of a side's bids that holds contracts, in centi-cents."""
    try:
        prices = [_centicents(price) for price, count in levels or [] if centicontracts(count) > 0]
    except InexactValue as error:
        raise UnreadableMarket(f"the orderbook can not be read: {error}") from None
    return max(prices, default=None)


def _centicents(text: str) -> int:
    try:
        micro = microdollars(text)
    except InexactValue as error:
        raise UnreadableMarket(f"a price can not be read: {error}") from None
    if micro % MICRODOLLARS_PER_CENTICENT:
        raise UnreadableMarket(f"the price {text!r} is finer than any order can have")
    return micro // MICRODOLLARS_PER_CENTICENT
