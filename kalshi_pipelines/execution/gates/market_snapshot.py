"""Snapshots of markets, from which orders are planned: status, price grid, best prices, fees and shard.

All values of a snapshot come from one reading of the market. The reading began at ``read_us``. A value that cannot be
read is an error; a default never replaces the value.
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
    """The exchange's answer about a market is malformed, so no order can be checked against it."""


@dataclass(frozen=True, slots=True)
class PriceRange:
    """A section of a market's price grid with a constant step between prices, in centi-cents of YES."""

    start: int
    end: int
    step: int

    def has(self, price: int) -> bool:
        """Return whether a price is valid on this section of the market's price grid."""
        return self.start <= price <= self.end and (price - self.start) % self.step == 0


@dataclass(frozen=True, slots=True)
class MarketSnapshot:
    """The state of a market at one reading. Prices are in centi-cents of YES, instants in microseconds."""

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
        """Whether the orderbook has both a bid and an ask, and the bid is below the ask."""
        return self.best_bid is not None and self.best_ask is not None and self.best_bid < self.best_ask


MarketReader = Callable[[MarketTicker], MarketSnapshot]


@dataclass(frozen=True, slots=True)
class ExchangeMarkets:
    """Reads markets from the exchange.

    Raises:
        KalshiError: The exchange could not be read.
        UnreadableMarket: The exchange's answer is malformed.
    """

    client: KalshiClient
    clock_us: Callable[[], int] = now_us

    def __call__(self, ticker: MarketTicker) -> MarketSnapshot:
        """Read the market with five requests to the exchange. The orderbook is read last."""
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
                raise UnreadableMarket(f"The exchange was asked for {asked[:80]} and answered with {listed[:80]!r}.")
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
        raise UnreadableMarket(f"The market {ticker} has no shard.")
    best_no_bid = _best(book.no_dollars)
    return MarketSnapshot(
        ticker=ticker,
        event_ticker=market.event_ticker,
        series_ticker=series.ticker,
        status=market.status,
        market_type=market.market_type,
        settlement_bounds=market.settlement_bounds_type or "not given",
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
    """Return whether a shard accepts orders.

    If the exchange's status lists shards, but not this shard, return False. If the status lists no shards at all, only
    shard 0 can accept orders.
    """
    if not status.exchange_index_statuses:
        return exchange_index == 0 and status.exchange_active and status.trading_active
    listed = [shard for shard in status.exchange_index_statuses if shard.exchange_index == exchange_index]
    return bool(listed) and all(shard.exchange_active and shard.trading_active for shard in listed)


def _grid(ticker: MarketTicker, raw: msgspec.Raw) -> tuple[PriceRange, ...]:
    try:
        listed = msgspec.json.decode(raw, type=list[dict[str, str]])
        ranges = tuple(PriceRange(*(_centicents(each[name]) for name in ("start", "end", "step"))) for each in listed)
    except (msgspec.MsgspecError, KeyError) as error:
        raise UnreadableMarket(f"The price grid of {ticker} cannot be read: {error}.") from None
    if not ranges or any(each.step <= 0 for each in ranges):
        raise UnreadableMarket(f"The market {ticker} has no price grid.")
    return ranges


def _best(levels: list[tuple[str, str]] | None) -> int | None:
    """Return the best bid of one side of the orderbook in centi-cents, ignoring prices without contracts."""
    try:
        prices = [_centicents(price) for price, count in levels or [] if centicontracts(count) > 0]
    except InexactValue as error:
        raise UnreadableMarket(f"The orderbook cannot be read: {error}.") from None
    return max(prices, default=None)


def _centicents(text: str) -> int:
    try:
        micro = microdollars(text)
    except InexactValue as error:
        raise UnreadableMarket(f"A price cannot be read: {error}.") from None
    if micro % MICRODOLLARS_PER_CENTICENT:
        raise UnreadableMarket(f"The price {text!r} is finer than $0.0001, the finest price of an order.")
    return micro // MICRODOLLARS_PER_CENTICENT
