"""Markets of the generated catalogue and their JSON.

Belongs here: a market that builds its JSON and keeps the JSON until its quote moves. Does not belong here: deciding
which markets exist (``catalogue``), their series and events (``generated_events``), and price paths (``quotes``).
Source of the JSON keys: ``Market`` in the vendor's OpenAPI document 3.34.0.
"""

from dataclasses import dataclass
from typing import Final

import orjson

from kalshi_pipelines.sandbox.clock import PriceTime, rfc3339
from kalshi_pipelines.sandbox.markets.candlesticks import candlesticks_of
from kalshi_pipelines.sandbox.markets.generated_events import GeneratedEvent
from kalshi_pipelines.sandbox.markets.public_data import Figures, OpenedMarket, book_json
from kalshi_pipelines.sandbox.markets.quotes import NO_QUOTE, Level, PathTrade, Quote, QuotePath
from kalshi_pipelines.sandbox.markets.rows import CandleWindow, MarketRow
from kalshi_pipelines.sandbox.prices import count_text, price_text
from kalshi_pipelines.sandbox.trading.events import MarketChanged, Result
from kalshi_pipelines.units import DAY_US, DOLLAR_CENTICENTS, SECOND_US

EXPIRATION_VALUES: Final[dict[str, str]] = {"yes": "occurred", "no": "did not occur", "scalar": "fair price"}
#: Mean centi-contracts per epoch (the time between two price changes): at least this, plus a share of the liquidity.
_LEAST_RATE: Final = 4_000
_RATE_SHARE: Final = 800
STATUSES_WITH_RESULT: Final = frozenset({"determined", "disputed", "amended", "finalized"})


@dataclass(frozen=True, slots=True)
class MarketOutcome:
    """The outcome that a market bets on: its ticker suffix, its wording and its strike values."""

    suffix: str
    sub_title: str
    strike: dict[str, object]


@dataclass(frozen=True, slots=True)
class GeneratedSettlement:
    """Settlement of a market: its result, the centi-cents that one YES pays, and the expiration value in its JSON."""

    result: Result
    value: int
    expiration_value: str


class GeneratedMarket(MarketRow):
    """A market of the generated catalogue."""

    __slots__ = (
        "_book", "_constant", "_epoch", "_moves", "_quoted", "event", "is_provisional", "legs", "number",
        "open_us", "outcome", "path", "settlement", "time",
    )  # fmt: skip

    def __init__(
        self,
        event: GeneratedEvent,
        outcome: MarketOutcome,
        path: QuotePath,
        time: PriceTime,
        *,
        number: int,
        status: str,
        created_us: int,
        close_us: int,
        liquidity: int,
        settlement: GeneratedSettlement | None = None,
        settled_us: int | None = None,
        legs: list[dict[str, str]] | None = None,
        is_provisional: bool = False,
    ) -> None:
        self.ticker = f"{event.ticker}-{outcome.suffix}"
        self.event, self.event_ticker, self.series_ticker = event, event.ticker, event.series_ticker
        self.collection_ticker = event.collection_ticker
        self.outcome, self.path, self.time, self.number, self.status = outcome, path, time, number, status
        self.created_us, self.close_us, self.settled_us = created_us, close_us, settled_us
        self.open_us = created_us - created_us % SECOND_US if status != "initialized" else close_us - DAY_US
        self.updated_us = settled_us or created_us + number % 7_919 * 1_000_003 % 86_400_000_000
        self.settlement, self.legs = settlement, legs
        self.path.rate = _LEAST_RATE + liquidity // _RATE_SHARE if liquidity else 0
        self.is_provisional = is_provisional or legs is not None
        self.sort_key = (-created_us, self.ticker)
        self.changes = 0
        self.opened: OpenedMarket | None = None
        self._epoch = self._moves = -1
        self._constant: bytes | None = None
        self._quoted: bytes | None = None
        self._book: bytes | None = None

    @property
    def shard(self) -> int:
        """Shard of the exchange on which the market is traded."""
        return self.event.shard

    @property
    def price_ranges(self) -> tuple[tuple[int, int, int], ...]:
        """Start, end and step, in centi-cents, of each range of the market's price grid."""
        return tuple((part.start, part.end, part.step) for part in self.path.grid.ranges)

    @property
    def is_quoted(self) -> bool:
        """Whether the market shows quotes and a book. Only an active market does."""
        return self.status == "active"

    def present_epoch(self) -> int:
        """Return the number of the price path's present epoch (the time between two regular price changes).

        For a closed market, return the number of the epoch in which the market closed.
        """
        now = self.time.now_us()
        return self.path.epoch_at(min(self.close_us, now))

    @property
    def result(self) -> Result:
        """Result of the market, or an empty text before it is determined."""
        return "" if self.settlement is None else self.settlement.result

    @property
    def value(self) -> int | None:
        """Centi-cents that one YES pays, or None before the market is determined."""
        return None if self.settlement is None else self.settlement.value

    @property
    def settlement_timer_us(self) -> int:
        """Microseconds from the determination of the market to its finalization."""
        return (5 if self.is_combo else 60 * (1 + self.number % 30)) * SECOND_US

    def change(self, change: MarketChanged) -> None:
        """Set the market's status, result and value to those of a status change.

        If the status change has a close time, set the market's close time too.
        """
        if self.status == "initialized" and change.status == "active":
            self.open_us = min(self.open_us, change.at_us)
        self.status = change.status
        self.changes += 1
        self.updated_us = change.at_us
        self.settled_us = change.at_us if change.status == "finalized" else None
        if change.close_us is not None:
            self.close_us = change.close_us
        if change.value is None:
            self.settlement = None
        elif (change.result, change.value) != (self.result, self.value):
            self.settlement = GeneratedSettlement(change.result, change.value, EXPIRATION_VALUES[change.result])
        self._epoch, self._constant = -1, None

    def trades_alone_in(self, epoch: int) -> bool:
        """Return whether the market shows trades of its price path in an epoch.

        An epoch is the time between two regular price changes. In an epoch that begins after the market was opened in
        the matching engine, the market shows only trades of the engine.
        """
        until_us = None if self.opened is None else self.time.of(self.opened.opened_us)
        return self.trades_in(epoch) and (until_us is None or self.path.begins_us(epoch) <= until_us)

    def trades_in(self, epoch: int) -> bool:
        """Return whether the price path has trades in an epoch (the time between two regular price changes).

        There are no trades if the market was not open when the epoch began, or is never traded.
        """
        return bool(self.path.rate) and self.open_us < self.path.begins_us(epoch) < self.close_us

    def volume_through(self, epoch: int) -> int:
        """Return the centi-contracts of all trades of the price path from the opening up to the end of an epoch.

        An epoch is the time between two regular price changes.
        """
        return self.path.volume(self._first_epoch, min(epoch, self._last_epoch))

    @property
    def _first_epoch(self) -> int:
        """First epoch (time between two regular price changes) that begins after the market's opening."""
        return self.path.epoch_at(self.open_us) + 1

    @property
    def _last_epoch(self) -> int:
        """Last epoch (time between two regular price changes) that begins before the market's close."""
        return self.path.epoch_at(self.close_us - 1)

    def fills_between(self, after_us: int, until_us: int) -> list[PathTrade]:
        """Return the market's trades after ``after_us`` up to ``until_us``, oldest first."""
        epochs = range(self.epoch_at(after_us) + 1, self.epoch_at(until_us) + 1)
        fills = [fill for epoch in epochs if self.trades_alone_in(epoch) for fill in self.path.fills(epoch)]
        return fills if self.opened is None else fills + self.opened.fills(after_us, until_us)

    def last_price_at(self, instant_us: int) -> int | None:
        """Return the price of the market's last trade up to an instant, or None before its first trade."""
        price = None if self.opened is None else self.opened.last_price_at(instant_us)
        if price is not None:
            return price
        if self.opened is not None:
            instant_us = min(instant_us, self.opened.opened_us)
        return self._last_price(self.epoch_at(instant_us)) or None

    def epoch_at(self, instant_us: int) -> int:
        """Return the number of the price path's epoch at a past instant.

        An epoch is the time between two regular price changes.
        """
        return self.path.epoch_at(min(instant_us, self.time.now_us()))

    def epoch_of(self, instant_us: int) -> int:
        """Return the number of the epoch whose quote the market shows at an instant, past or future.

        An epoch is the time between two regular price changes.
        """
        return self.path.epoch_at(min(self.close_us, self.time.of(instant_us)))

    def charted_until_us(self) -> int:
        """Return the latest instant that candlesticks can cover, in microseconds since 1970.

        This instant is the present or, if earlier, the close of the market.
        """
        now_us = self.time.now_us() if self.opened is None else self.time.clock_us()
        return min(self.close_us, now_us)

    def move(self) -> None:
        """Move the market's quote now. The move is permanent."""
        self.path.move(self.present_epoch())

    def own_book(self) -> tuple[list[Level], list[Level]]:
        """Return the YES and the NO bids of the price path, each ascending in price.

        Orders in the engine are not included.
        """
        return self.path.book(self.present_epoch()) if self.is_quoted else ([], [])

    def figures_at(self, instant_us: int) -> Figures:
        """Return the last price, the volumes and the open interest of the price path at an instant."""
        return self._figures(self.epoch_of(instant_us))

    def json(self) -> bytes:
        """Return the market's ``Market`` object as JSON."""
        self._refresh()
        if self._quoted is None or self.opened is not None:
            self._quoted = self._quote_members(self._epoch)
        if self._constant is None:
            # Keep the constant part of the JSON separately. When the quote moves, only a few hundred bytes are
            # rewritten, and not the long rules.
            self._constant = orjson.dumps(self._constant_body())[:-1] + b","
        return self._constant + self._quoted

    def discard_cache(self) -> None:
        """Discard the cached JSON, which a market in the historical lists hardly ever needs again."""
        self._epoch, self._constant, self._quoted, self._book = -1, None, None, None

    def orderbook(self, depth: int = 0) -> bytes | None:
        """Return the market's ``OrderbookCountFp`` object with the best ``depth`` levels of each side (0 for all)."""
        self._refresh()
        if self.opened is not None:
            return book_json(*self.opened.book(), depth)
        if depth:
            return book_json(*self.own_book(), depth)
        if self._book is None:
            self._book = book_json(*self.own_book())
        return self._book

    def candlesticks(self, window: CandleWindow) -> list[bytes]:
        """Return the market's ``MarketCandlestick`` objects, oldest first."""
        if self.status == "initialized":
            return []
        return candlesticks_of(self, window)

    def open_interest(self, epoch: int) -> int:
        """Return the open interest of the price path during an epoch, in centi-contracts.

        An epoch is the time between two regular price changes.
        """
        if self.opened is not None:
            # From then on, the trades of the matching engine replace those of the price path.
            epoch = min(epoch, self.epoch_of(self.opened.opened_us))
        return self._open_interest(epoch, self.volume_through(epoch))

    def _open_interest(self, epoch: int, traded: int) -> int:
        return traded // 3 + self.path.open_interest_swing(epoch, traded // 60)

    def _refresh(self) -> None:
        epoch = self.present_epoch()
        if epoch != self._epoch or self.path.moves != self._moves:
            self._epoch, self._moves, self._quoted, self._book = epoch, self.path.moves, None, None

    def _figures(self, epoch: int) -> Figures:
        traded, day = self.volume_through(epoch), DAY_US // self.path.period_us
        return Figures(
            self._last_price(epoch),
            traded,
            traded - self.volume_through(epoch - day) if self.is_quoted else 0,
            self._open_interest(epoch, traded),
        )

    def _last_price(self, epoch: int) -> int:
        return self.path.last_price(min(epoch, self._last_epoch), self._first_epoch) if self.path.rate else 0

    def _constant_body(self) -> dict[str, object]:
        body = {**self._words(), **self._times(), **self.outcome.strike}
        if self.settlement is not None:
            body["expiration_value"] = self.settlement.expiration_value
            body["result"] = self.settlement.result
            if self.status == "finalized" or self.settlement.result != "scalar":
                body["settlement_value_dollars"] = price_text(self.settlement.value)
        if self.legs is not None:
            body["mve_collection_ticker"] = self.collection_ticker
            body["mve_selected_legs"] = self.legs
        if self.is_provisional:
            body["is_provisional"] = True
        return body

    def _words(self) -> dict[str, object]:
        event, name = self.event, self.outcome.sub_title
        body: dict[str, object] = {
            "can_close_early": bool(self.number % 6),
            "event_ticker": self.event_ticker,
            "exchange_index": self.shard,
            "expiration_value": "",
            "market_type": "scalar" if self.settlement is not None and self.settlement.result == "scalar" else "binary",
            "no_sub_title": name,
            "notional_value_dollars": "1.0000",
            "price_level_structure": self.path.grid.label,
            "price_ranges": self.path.grid.wire_ranges,
            "result": "",
            "rules_primary": ""
            if self.is_combo
            else f"If {name} is the outcome of {event.text.title} ({event.text.sub_title}), "
            f"as reported by {event.series.source[0]}, then the market resolves to Yes.",
            "rules_secondary": event.secondary_rules,
            "settlement_bounds_type": "default",
            "settlement_timer_seconds": self.settlement_timer_us // SECOND_US,
            "status": self.status,
            "ticker": self.ticker,
            "title": name if self.is_combo else f"{event.text.title}: {name}?",
            "yes_sub_title": name,
        }
        if self.number % 6:
            body["early_close_condition"] = "The market closes and expires early once the outcome is known."
        if self.number % 13 == 0:
            body["subtitle"] = name
        if self.number % 19 == 0:
            body["primary_participant_key"] = "participant"
        return body

    def _times(self) -> dict[str, object]:
        close = rfc3339(self.close_us)
        body: dict[str, object] = {
            "close_time": close,
            "created_time": rfc3339(self.created_us),
            "expiration_time": close,
            "latest_expiration_time": rfc3339(self.close_us + 7 * DAY_US),
            "open_time": rfc3339(self.open_us),
            "updated_time": rfc3339(self.updated_us),
        }
        if self.number % 10:
            body["expected_expiration_time"] = rfc3339(self.close_us - 3 * 3_600_000_000)
        if self.number % 3:
            body["occurrence_datetime"] = rfc3339(self.close_us - 3 * 3_600_000_000)
        if self.settled_us is not None:
            body["settlement_ts"] = rfc3339(self.settled_us)
        return body

    def _quote_members(self, epoch: int) -> bytes:
        if self.opened is not None:
            quote, figures = self.opened.quote(), self.opened.figures()
        else:
            quote, figures = self.path.quote(epoch) if self.is_quoted else NO_QUOTE, self._figures(epoch)
        yesterday = epoch - DAY_US // self.path.period_us
        traded_yesterday = self.path.begins_us(yesterday) >= self.open_us and self.status != "initialized"
        before = self.path.quote(yesterday) if traded_yesterday else Quote(0, 0, 0, 0)
        return (
            f'"last_price_dollars":"{price_text(figures.last_price)}",'
            f'"no_ask_dollars":"{price_text(DOLLAR_CENTICENTS - quote.bid)}",'
            f'"no_bid_dollars":"{price_text(DOLLAR_CENTICENTS - quote.ask)}",'
            f'"open_interest_fp":"{count_text(figures.open_interest)}",'
            f'"previous_price_dollars":"{price_text(self._last_price(yesterday))}",'
            f'"previous_yes_ask_dollars":"{price_text(before.ask)}",'
            f'"previous_yes_bid_dollars":"{price_text(before.bid)}",'
            f'"volume_24h_fp":"{count_text(figures.volume_24h)}",'
            f'"volume_fp":"{count_text(figures.volume)}",'
            f'"yes_ask_dollars":"{price_text(quote.ask)}",'
            f'"yes_ask_size_fp":"{count_text(quote.ask_size)}",'
            f'"yes_bid_dollars":"{price_text(quote.bid)}",'
            f'"yes_bid_size_fp":"{count_text(quote.bid_size)}"}}'
        ).encode()
