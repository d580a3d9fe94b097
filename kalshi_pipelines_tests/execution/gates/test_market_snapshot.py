"""Market snapshots: the values of a market are read exactly, or reading the market raises an error."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

import msgspec
import pytest

from kalshi_pipelines.execution.gates.market_snapshot import (
    ExchangeMarkets,
    MarketSnapshot,
    PriceRange,
    UnreadableMarket,
)
from kalshi_pipelines.execution.orders.terms import MarketTicker
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.decoding import decode_record
from kalshi_pipelines.kalshi.records import BookSides, Event, ExchangeStatus, Market, Orderbook, Series, ShardStatus
from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines.units import microseconds
from kalshi_pipelines_tests.support.sandbox.local_sandbox import local_sandbox

TICKER = MarketTicker("KXA-26-B")
GRID = b'[{"start":"0.0000","end":"0.1000","step":"0.0010"},{"start":"0.1000","end":"0.9000","step":"0.0100"}]'


def _records() -> tuple[Market, Event, Series]:
    """Return records of a generated exchange, renamed to the tickers of these tests."""
    sandbox = local_sandbox(SandboxOptions(markets=5, combos=0))
    with sandbox.client:
        market = sandbox.markets(status="open")[0]
        event = sandbox.read(f"/events/{market['event_ticker']}")["event"]
        series = sandbox.read(f"/series/{event['series_ticker']}")["series"]
    market |= {"ticker": str(TICKER), "event_ticker": "KXA-26", "exchange_index": 2}
    event |= {"event_ticker": "KXA-26", "series_ticker": "KXA", "fee_type_override": None}
    series |= {"ticker": "KXA", "fee_type": "quadratic", "fee_multiplier": 0.5}
    return (
        decode_record(Market, msgspec.json.encode(market))[0],
        decode_record(Event, msgspec.json.encode(event))[0],
        decode_record(Series, msgspec.json.encode(series))[0],
    )


MARKET, EVENT, SERIES = _records()


@dataclass
class _Client:
    """A stand-in for the exchange's client."""

    of_market: Market
    of_event: Event
    of_series: Series
    book: BookSides
    shards: list[ShardStatus]
    clock_difference_ms: int = 400
    exchange_active: bool = True
    trading_active: bool = True

    def exchange_status(self) -> ExchangeStatus:
        return ExchangeStatus(self.exchange_active, self.trading_active, exchange_index_statuses=self.shards)

    def market(self, ticker: str) -> Market:
        assert ticker == str(TICKER)
        return self.of_market

    def event(self, event_ticker: str) -> Event:
        assert event_ticker == "KXA-26"
        return self.of_event

    def series(self, series_ticker: str) -> Series:
        assert series_ticker == "KXA"
        return self.of_series

    def orderbook(self, ticker: str) -> Orderbook:
        assert ticker == str(TICKER)
        return Orderbook(ticker, self.book)


BOOK = BookSides([("0.4000", "10.00"), ("0.4500", "1.00")], [("0.5000", "3.00"), ("0.5200", "0.50")])
TRADING = [ShardStatus(0, "", True, True, True), ShardStatus(2, "", True, True, True)]


def _read(
    market: dict[str, Any] | None = None,
    book: BookSides = BOOK,
    shards: list[ShardStatus] | None = None,
    event: dict[str, Any] | None = None,
    series: dict[str, Any] | None = None,
    **exchange: bool,
) -> MarketSnapshot:
    changes = {"price_ranges": GRID, **(market or {})}
    changes["price_ranges"] = msgspec.Raw(changes["price_ranges"])
    client = _Client(
        msgspec.structs.replace(MARKET, **changes),
        msgspec.structs.replace(EVENT, **(event or {})),
        msgspec.structs.replace(SERIES, **(series or {})),
        book,
        TRADING if shards is None else shards,
        **exchange,
    )
    return ExchangeMarkets(cast("KalshiClient", client), lambda: 7)(TICKER)


def test_market_is_read_exactly() -> None:
    read = _read()
    assert (read.best_bid, read.best_ask, read.is_two_sided) == (4_500, 4_800, True)
    assert read.price_ranges == (PriceRange(0, 1_000, 10), PriceRange(1_000, 9_000, 100))
    assert (read.fee_type, read.fee_multiplier, read.series_ticker) == ("quadratic", Decimal("0.5"), "KXA")
    assert (read.ticker, read.event_ticker, read.status, read.market_type) == (TICKER, "KXA-26", "active", "binary")
    assert (read.settlement_bounds, read.close_us) == ("default", microseconds(MARKET.close_time))
    assert all(type(price) is int for price in (read.best_bid, read.price_ranges[1].step))
    assert (read.exchange_index, read.shard_trades, read.read_us, read.clock_difference_ms) == (2, True, 7, 400)


def test_answer_about_another_event_or_series_is_an_error() -> None:
    with pytest.raises(UnreadableMarket, match="asked for KXA-26 and answered with 'KXA-27'"):
        _read(event={"event_ticker": "KXA-27"})
    with pytest.raises(UnreadableMarket, match="asked for KXA and answered with 'KXB'"):
        _read(series={"ticker": "KXB"})


def test_fee_of_the_event_overrides_the_series() -> None:
    read = _read(event={"fee_type_override": "flat", "fee_multiplier_override": Decimal(0)})
    assert (read.fee_type, read.fee_multiplier) == ("flat", Decimal(0))


@pytest.mark.parametrize(
    ("book", "best"),
    [
        (BookSides(None, None), (None, None)),
        (BookSides([], [("0.5200", "0.50")]), (None, 4_800)),
        (BookSides([("0.4500", "0.00")], []), (None, None)),
        (BookSides([("0.4500", "1.00"), ("0.4400", "2.00")], []), (4_500, None)),
        (BookSides([("0.4500", "0.01")], []), (4_500, None)),
        (BookSides([("0.4500", "1.00")], [("0.5500", "1.00")]), (4_500, 4_500)),
        (BookSides([("0.4500", "1.00")], [("0.5600", "1.00")]), (4_500, 4_400)),
    ],
)
def test_book_side_without_contracts_has_no_best_price(book: BookSides, best: tuple[int | None, int | None]) -> None:
    read = _read(book=book)
    assert (read.best_bid, read.best_ask) == best
    assert not read.is_two_sided


@pytest.mark.parametrize(
    "changes",
    [
        {"exchange_index": None},
        {"ticker": "KXA-26-C"},
        {"price_ranges": b"[]"},
        {"price_ranges": b"null"},
        {"price_ranges": b'[{"start":"0.0000","end":"1.0000"}]'},
        {"price_ranges": b'[{"start":"0.0000","end":"1.0000","step":"0.0000"}]'},
        {"price_ranges": b'[{"start":"0.0000","end":"1.0000","step":"0.00005"}]'},
        {"price_ranges": GRID[:-1] + b',{"start":"0.9000","end":"1.0000","step":"0.0000"}]'},
        {"price_ranges": b'[{"start":0,"end":1,"step":0.01}]'},
        {"price_ranges": b'[{"start":"0.0000","end":"1.0000","step":"nan"}]'},
    ],
)
def test_malformed_market_is_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(UnreadableMarket):
        _read(changes)


@pytest.mark.parametrize("level", [("1e-1", "1.00"), ("0.45", "many"), ("0.45005", "1.00"), ("٠.٥", "1.00")])
def test_malformed_book_level_is_an_error(level: tuple[str, str]) -> None:
    with pytest.raises(UnreadableMarket):
        _read(book=BookSides([level], []))


@pytest.mark.parametrize(
    "shards",
    [
        [],
        [ShardStatus(0, "", True, True, True)],
        [ShardStatus(2, "", True, False, True)],
        [ShardStatus(2, "", False, True, True)],
        [ShardStatus(2, "", True, True, True), ShardStatus(2, "", True, False, True)],
    ],
)
def test_shard_that_is_not_reported_trading_does_not_trade(shards: list[ShardStatus]) -> None:
    assert not _read(shards=shards).shard_trades


def test_market_without_settlement_bounds_has_the_text_not_given() -> None:
    assert _read({"settlement_bounds_type": None}).settlement_bounds == "not given"


@pytest.mark.parametrize(
    ("index", "exchange", "trades"),
    [
        (0, {}, True),
        (0, {"exchange_active": False}, False),
        (0, {"trading_active": False}, False),
        (1, {}, False),
    ],
)
def test_exchange_without_a_list_of_shards_has_shard_0(index: int, exchange: dict[str, Any], trades: bool) -> None:
    assert _read({"exchange_index": index}, shards=[], **exchange).shard_trades is trades


def test_price_range_contains_its_ends_and_the_steps_from_its_start() -> None:
    range_ = PriceRange(52, 72, 10)
    assert [price for price in range(100) if range_.has(price)] == [52, 62, 72]
    finest = _read({"price_ranges": b'[{"start":"0.0000","end":"1.0000","step":"0.0001"}]'}).price_ranges
    assert finest == (PriceRange(0, 10_000, 1),)
