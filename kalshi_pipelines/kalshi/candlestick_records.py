"""Candlesticks as they are on the wire, and one record for both sides of the exchange.

The live side names its prices and counts with a suffix (``open_dollars``, ``volume_fp``), and omits prices of a period
without trades. The historical side names them without a suffix, and sends nulls. Both are decoded into records with the
same attributes. Values stay the texts that were sent.
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Struct

from kalshi_pipelines.kalshi.errors import UnreadableBody

#: Unix seconds of a time between the years 2001 and 2286. A time in milliseconds is refused.
_Seconds = Annotated[int, msgspec.Meta(ge=1_000_000_000, le=9_999_999_999)]


def _live_price(name: str) -> str:
    return f"{name}_dollars"


def _live_count(name: str) -> str:
    return f"{name}_fp" if name in ("volume", "open_interest") else name


class QuoteRange(Struct, frozen=True, gc=False):
    """The first, highest, lowest and last price of one side's best quote in a period.

    A bid of 0 and an ask of 1 mean that no quote existed.
    """

    open: str | None
    high: str | None
    low: str | None
    close: str | None


class TradeRange(Struct, frozen=True, gc=False):
    """The prices of the trades in a period. All but ``previous`` are None if nothing was traded.

    Attributes:
        open: Price of the first trade.
        high: Highest price.
        low: Lowest price.
        close: Price of the last trade.
        mean: Mean price.
        previous: Price of the last trade before the period; None before the first trade of the market.
    """

    open: str | None
    high: str | None
    low: str | None
    close: str | None
    mean: str | None
    previous: str | None


class LiveQuoteRange(Struct, frozen=True, gc=False, rename=_live_price):
    """A quote range with the keys of the live side."""

    open: str | None
    high: str | None
    low: str | None
    close: str | None


class LiveTradeRange(Struct, frozen=True, gc=False, rename=_live_price):
    """A trade range with the keys of the live side, which are omitted if nothing was traded."""

    open: str | None = None
    high: str | None = None
    low: str | None = None
    close: str | None = None
    mean: str | None = None
    previous: str | None = None


class Candlestick(Struct, frozen=True, gc=False):
    """One candlestick of a market.

    Attributes:
        end_period_ts: The last second of the period, in Unix seconds.
        yes_bid: Prices of the best bid for YES.
        yes_ask: Prices of the best ask for YES.
        price: Prices of the trades.
        volume: Contracts traded in the period, with two decimals.
        open_interest: Open contracts at the end of the period, with two decimals.
    """

    end_period_ts: _Seconds
    yes_bid: QuoteRange
    yes_ask: QuoteRange
    price: TradeRange
    volume: str
    open_interest: str


class LiveCandlestick(Struct, frozen=True, gc=False, rename=_live_count):
    """A candlestick with the keys of the live side. The attributes are those of ``Candlestick``."""

    end_period_ts: _Seconds
    yes_bid: LiveQuoteRange
    yes_ask: LiveQuoteRange
    price: LiveTradeRange
    volume: str
    open_interest: str


class _OfMarket(Struct, frozen=True):
    candlesticks: list[LiveCandlestick] | None


class _OfHistoricalMarket(Struct, frozen=True):
    candlesticks: list[Candlestick] | None


class _OfBatchedMarket(Struct, frozen=True):
    market_ticker: str
    candlesticks: list[LiveCandlestick] | None


class _OfMarkets(Struct, frozen=True):
    markets: list[_OfBatchedMarket]


AnyCandlestick = Candlestick | LiveCandlestick
_DECODERS: Final = {kind: msgspec.json.Decoder(kind) for kind in (_OfMarket, _OfHistoricalMarket, _OfMarkets)}


def _decode(kind: Any, body: bytes) -> Any:  # noqa: ANN401  # one of the envelopes above
    try:
        return _DECODERS[kind].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableBody(str(error)) from None


def decode_live(body: bytes) -> list[AnyCandlestick]:
    """Return the candlesticks of one market from the live side.

    Raises:
        UnreadableBody: The body is not such an answer. The message names the first wrong field.
    """
    return list(_decode(_OfMarket, body).candlesticks or ())


def decode_historical(body: bytes) -> list[AnyCandlestick]:
    """Return the candlesticks of one market from the historical side.

    Raises:
        UnreadableBody: The body is not such an answer. The message names the first wrong field.
    """
    return list(_decode(_OfHistoricalMarket, body).candlesticks or ())


def decode_batch(body: bytes) -> dict[str, list[AnyCandlestick]]:
    """Return the candlesticks of several markets from the live side, by ticker.

    Raises:
        UnreadableBody: The body is not such an answer, or names a market twice.
    """
    found: dict[str, list[AnyCandlestick]] = {}
    for market in _decode(_OfMarkets, body).markets:
        if market.market_ticker in found:
            raise UnreadableBody(f"the market {market.market_ticker!r} is named twice")
        found[market.market_ticker] = list(market.candlesticks or ())
    return found
