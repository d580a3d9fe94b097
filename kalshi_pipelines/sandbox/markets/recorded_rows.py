"""Recorded series, events, markets and trades.

Belongs here: keeping the recorded JSON character for character. Only a market that is traded or changed by hand gets
new JSON. Does not belong here: finding objects in recordings (``recorded_catalogue``).
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final, cast

import orjson

from kalshi_pipelines import units
from kalshi_pipelines.sandbox.clock import rfc3339
from kalshi_pipelines.sandbox.markets.fee_changes import PlannedFees
from kalshi_pipelines.sandbox.markets.json_spans import members
from kalshi_pipelines.sandbox.markets.listing import TradeFilter, TradeRow
from kalshi_pipelines.sandbox.markets.public_data import Figures, OpenedMarket, book_json, quote_members
from kalshi_pipelines.sandbox.markets.quotes import Level
from kalshi_pipelines.sandbox.markets.rows import CandleWindow, EventRow, MarketRow, SeriesRow
from kalshi_pipelines.sandbox.prices import price_text
from kalshi_pipelines.sandbox.trading.events import MarketChanged, Result
from kalshi_pipelines.units import DOLLAR_CENTICENTS, SECOND_US

_COMBO_PREFIX: Final = "KXMVE"
_NEVER: Final = "0001-01-01T00:00:00Z"
Levels = list[Any]


def instant_us(text: str | None) -> int:
    """Convert a recorded time to microseconds since 1970 UTC. A missing time and the zero time give 0."""
    if not text or text == _NEVER:
        return 0
    return units.microseconds(dt.datetime.fromisoformat(text))


class RecordedMarket(MarketRow):
    """A market whose JSON is a part of a recorded body."""

    __slots__ = ("_book", "_candles", "_text", "_value", "quote")

    def __init__(self, text: str, value: dict[str, Any]) -> None:
        self._text = text.encode()
        self._value = value
        self._book: dict[str, Levels] | None = None
        self._candles: dict[int, dict[int, bytes]] = defaultdict(dict)
        self.ticker = value["ticker"]
        self.event_ticker = value["event_ticker"]
        self.series_ticker = self.event_ticker.partition("-")[0]
        self.collection_ticker = value.get("mve_collection_ticker")
        if self.collection_ticker is None and self.ticker.startswith(_COMBO_PREFIX):
            self.collection_ticker = f"{self.series_ticker}-R"
        self.status = value["status"]
        self.created_us = instant_us(value.get("created_time"))
        self.updated_us = instant_us(value.get("updated_time"))
        self.close_us = instant_us(value.get("close_time"))
        self.settled_us = instant_us(value.get("settlement_ts")) or None
        self.sort_key = (-self.created_us, self.ticker)
        self.quote = quote_of(value)
        self.changes = 0
        self.opened: OpenedMarket | None = None

    @property
    def shard(self) -> int:
        """Recorded shard of the market, or 0 if the recording names no shard."""
        return int(self._value.get("exchange_index", 0))

    @property
    def price_ranges(self) -> tuple[tuple[int, int, int], ...]:
        """Start, end and step, in centi-cents, of each range of the market's recorded price grid."""
        parts = self._value.get("price_ranges") or [{"start": "0.0000", "end": "1.0000", "step": "0.0100"}]
        return tuple((_centicents(p["start"]), _centicents(p["end"]), _centicents(p["step"])) for p in parts)

    @property
    def fee_waived_until_us(self) -> int:
        """Recorded end of the market's fee waiver, in microseconds since 1970."""
        return instant_us(self._value.get("fee_waiver_expiration_time"))

    @property
    def result(self) -> Result:
        """Result of the market, or an empty text before it is determined."""
        return cast("Result", self._value.get("result", ""))

    @property
    def value(self) -> int | None:
        """Centi-cents that one YES pays, or None before the market is determined."""
        value = self._value.get("settlement_value_dollars")
        if value is not None:
            return _centicents(value)
        return {"yes": DOLLAR_CENTICENTS, "no": 0}.get(self.result)

    @property
    def settlement_timer_us(self) -> int:
        """Microseconds from the determination of the market to its finalization."""
        return int(self._value.get("settlement_timer_seconds", 0)) * SECOND_US

    def own_book(self) -> tuple[list[Level], list[Level]]:
        """Return the recorded YES and NO bids, each ascending in price. Orders in the engine are not included."""
        yes, no = (
            [Level(_centicents(price), units.centicontracts(count)) for price, count in levels]
            for levels in self._recorded_levels()
        )
        return yes, no

    def figures_at(self, instant_us: int) -> Figures:
        """Return the market's recorded last price, volumes and open interest."""
        value = self._value
        return Figures(
            _centicents(value.get("last_price_dollars") or "0"),
            *(
                units.centicontracts(value.get(key) or "0")
                for key in ("volume_fp", "volume_24h_fp", "open_interest_fp")
            ),
        )

    def change(self, change: MarketChanged) -> None:
        """Set the market's status, result and value to those of a status change.

        If the status change has a close time, set the market's close time too.
        """
        self.status, self.updated_us = change.status, change.at_us
        self.settled_us = change.at_us if change.status == "finalized" else None
        self.changes += 1
        new: dict[str, Any] = {
            "status": change.status,
            "updated_time": rfc3339(change.at_us),
            "result": change.result,
        }
        if change.close_us is not None:
            self.close_us = change.close_us
            new["close_time"] = rfc3339(change.close_us)
        if change.value is not None:
            new["settlement_value_dollars"] = price_text(change.value)
        if self.settled_us is not None:
            new["settlement_ts"] = rfc3339(self.settled_us)
        kept = {
            key: value for key, value in self._value.items() if key not in {"settlement_value_dollars", "settlement_ts"}
        }
        self._value = kept | new
        self._text = orjson.dumps(self._value)

    def json(self) -> bytes:
        """Return the market's JSON. If the market was never traded or changed, this is exactly the recorded JSON."""
        if self.opened is None:
            return self._text
        return orjson.dumps(self._value | quote_members(self.opened))

    def keep_book(self, book: dict[str, Levels]) -> None:
        """Store a recorded order book of the market."""
        self._book = book

    def keep_candlestick(self, minutes: int, end_s: int, text: str) -> None:
        """Store a recorded candlestick of the market."""
        self._candles[minutes][end_s] = text.encode()

    def orderbook(self, depth: int = 0) -> bytes:
        """Return the market's recorded order book.

        Without one, return the best level of each side from the recorded quote.
        """
        if self.opened is not None:
            return book_json(*self.opened.book(), depth)
        book = self._book or {"no_dollars": self.quote[1], "yes_dollars": self.quote[0]}
        return orjson.dumps({side: levels[-depth:] for side, levels in book.items()})

    def _recorded_levels(self) -> tuple[Levels, Levels]:
        return (self._book["yes_dollars"], self._book["no_dollars"]) if self._book else self.quote

    def candlesticks(self, window: CandleWindow) -> list[bytes]:
        """Return the market's recorded candlesticks that have the requested length and lie within the window."""
        known = self._candles.get(window.minutes, {})
        return [text for end_s, text in sorted(known.items()) if window.start_s <= end_s <= window.end_s]


def _centicents(dollars: str) -> int:
    return units.microdollars(dollars) // 100


def quote_of(value: dict[str, Any]) -> tuple[Levels, Levels]:
    """Return the best YES bid and the best NO bid of a recorded market, at most one level each.

    Prices and sizes are texts, exactly as they were recorded.
    """
    return _best(value, "yes_bid_dollars", "yes_bid_size_fp"), _best(value, "no_bid_dollars", "yes_ask_size_fp")


def _best(value: dict[str, Any], price: str, size: str) -> Levels:
    resting = value.get(size)
    return [[value[price], resting]] if price in value and resting and resting.strip("0.") else []


class RecordedEvent(EventRow):
    """A recorded event without its nested markets."""

    __slots__ = ("_fees", "_members")

    def __init__(self, text: str, value: dict[str, Any], newest_market: MarketRow | None) -> None:
        parts = members(text)
        self._members = ",".join(
            f"{orjson.dumps(name).decode()}:{text[span.start : span.end]}"
            for name, span in parts.items()
            if name != "markets"
        ).encode()
        fee_type, multiplier = value.get("fee_type_override"), value.get("fee_multiplier_override")
        self._fees: PlannedFees | None = None
        if fee_type is not None or multiplier is not None:
            self._fees = PlannedFees("", 0, fee_type, None if multiplier is None else Decimal(str(multiplier)))
        self.ticker = value["event_ticker"]
        self.series_ticker = value["series_ticker"]
        self.is_combo = self.ticker.startswith(_COMBO_PREFIX)
        self.collection_ticker = newest_market.collection_ticker if newest_market is not None else None
        self.updated_us = instant_us(value.get("last_updated_ts"))
        created = newest_market.created_us if newest_market is not None else self.updated_us
        self.sort_key = (-created, self.ticker)

    def fees_at(self, at_us: int) -> PlannedFees | None:
        """Return the recorded fees of the event, or None if it has none of its own."""
        return self._fees

    def members(self, *, alone: bool) -> bytes:
        """Return the recorded event without its markets. Lists and reads of a single event get the same JSON."""
        return self._members


class RecordedSeries(SeriesRow):
    """A recorded series."""

    __slots__ = ("_fees", "_text")

    def __init__(self, text: str, value: dict[str, Any]) -> None:
        self._text = text.encode()
        self.ticker = value["ticker"]
        self.categories = tuple(value.get("categories") or [value.get("category", "")])
        self.tags = tuple(value.get("tags") or ())
        self.updated_us = instant_us(value.get("last_updated_ts"))
        multiplier = Decimal(str(value.get("fee_multiplier", 1)))
        self._fees = PlannedFees("", 0, value.get("fee_type") or "quadratic", multiplier)

    def fees_at(self, at_us: int) -> PlannedFees:
        """Return the recorded fees of the series."""
        return self._fees

    def json(self, *, volume: bool, metadata: bool) -> bytes:
        """Return the recorded series. The request's options for volume and metadata have no effect."""
        return self._text


class RecordedTrades:
    """All recorded public trades."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[TradeRow, dict[str, Any]]] = {}

    def keep(self, text: str, value: dict[str, Any]) -> None:
        """Store a recorded trade."""
        key = (-instant_us(value["created_time"]), value["trade_id"])
        self._rows.setdefault(
            value["trade_id"],
            (TradeRow(key, text.encode(), value.get("is_block_trade", False), value["ticker"]), value),
        )

    def market_opened(self) -> None:
        """Do nothing, because recorded trades do not change when a market is opened in the engine."""

    def rows(self, wanted: TradeFilter) -> Iterator[TradeRow]:
        """Return the recorded trades in the market and the period of a filter, newest first.

        The result contains block trades and other trades. The caller removes the trades that the filter's
        ``is_block_trade`` excludes.
        """
        rows = [
            row
            for row, value in self._rows.values()
            if wanted.ticker in {None, value["ticker"]}
            and (wanted.min_us is None or -row.sort_key[0] >= wanted.min_us)
            and (wanted.max_us is None or -row.sort_key[0] <= wanted.max_us)
        ]
        return iter(sorted(rows, key=lambda row: row.sort_key))
