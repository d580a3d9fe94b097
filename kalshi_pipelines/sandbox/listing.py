"""The lists of an exchange: series, events and markets, and the filtered, ordered views that are paged through.

Belongs here: the facts a filter can ask about, and the cached order of each filtered list. Does not belong here: where
rows come from (generated or recorded), what a row looks like on the wire, and which filters a request may combine.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol, TypeVar

from kalshi_pipelines.sandbox.pagination import SortKey
from kalshi_pipelines.sandbox.public_data import Figures, OpenedMarket
from kalshi_pipelines.sandbox.quotes import Level
from kalshi_pipelines.sandbox.trading.events import MarketChanged, Result
from kalshi_pipelines.sandbox.trading.records import TradedMarket

STATUSES_OF_FILTER: Final = {
    "unopened": frozenset({"initialized"}),
    "open": frozenset({"active"}),
    "paused": frozenset({"inactive"}),
    "closed": frozenset({"closed", "determined", "disputed", "amended"}),
    "settled": frozenset({"finalized"}),
}
"""The request's status vocabulary and the response statuses each word stands for; the two never overlap."""

_CACHED_LISTS: Final = 256
Row = TypeVar("Row", "MarketRow", "EventRow")


class MarketRow(ABC):
    """A market: what filters ask about, and its JSON at this moment.

    ``changes`` counts the changes of its status. ``opened`` is its side in the trading engine, once it has one.
    """

    __slots__ = (
        "changes",
        "close_us",
        "collection_ticker",
        "created_us",
        "event_ticker",
        "opened",
        "series_ticker",
        "settled_us",
        "sort_key",
        "status",
        "ticker",
        "updated_us",
    )

    ticker: str
    event_ticker: str
    series_ticker: str
    collection_ticker: str | None
    status: str
    created_us: int
    updated_us: int
    close_us: int
    settled_us: int | None
    sort_key: SortKey
    changes: int
    opened: OpenedMarket | None

    @property
    def is_combo(self) -> bool:
        """Whether it is a multivariate market, which has a collection."""
        return self.collection_ticker is not None

    @property
    @abstractmethod
    def shard(self) -> int:
        """The shard of the exchange it is traded on."""

    @property
    @abstractmethod
    def price_ranges(self) -> tuple[tuple[int, int, int], ...]:
        """Start, end and step in centi-cents of each stretch of its price grid."""

    @property
    def fee_waived_until_us(self) -> int:
        """Microseconds since 1970 until which its trades cost no fee."""
        return 0

    @property
    @abstractmethod
    def result(self) -> Result:
        """How it ended; empty until that is determined."""

    @property
    @abstractmethod
    def value(self) -> int | None:
        """What one YES pays in centi-cents, once that is determined."""

    @property
    @abstractmethod
    def settlement_timer_us(self) -> int:
        """Microseconds from being determined to being finalized."""

    @abstractmethod
    def own_book(self) -> tuple[list[Level], list[Level]]:
        """The YES and the NO bids as the catalogue alone knows them, each ascending in its own price, best last."""

    @abstractmethod
    def figures_at(self, instant_us: int) -> Figures:
        """Last price, volumes and open interest at an instant, as the catalogue alone knows them."""

    def follow(self, traded: TradedMarket, now_us: Callable[[], int]) -> None:
        """Show from now on what happens in the engine, on top of the figures it had when it was opened there."""
        self.opened = OpenedMarket(traded, self.figures_at(traded.facts.at_us), now_us)

    @abstractmethod
    def change(self, change: MarketChanged) -> None:
        """Take another status, with what comes with it."""

    @abstractmethod
    def json(self) -> bytes:
        """The ``Market`` object."""

    @abstractmethod
    def orderbook(self, depth: int = 0) -> bytes | None:
        """The ``OrderbookCountFp`` object, the best ``depth`` levels a side (0 for all); None if it has no book."""

    @abstractmethod
    def candlesticks(self, window: "CandleWindow") -> list[bytes]:
        """Its ``MarketCandlestick`` objects, oldest first."""


class EventRow(ABC):
    """An event: what filters ask about, and its JSON without its markets."""

    __slots__ = ("collection_ticker", "is_combo", "series_ticker", "sort_key", "ticker", "updated_us")

    ticker: str
    series_ticker: str
    collection_ticker: str | None
    is_combo: bool
    updated_us: int
    sort_key: SortKey

    @property
    def fee_type_override(self) -> str | None:
        """The fee type of its markets, where it is not the one of the series."""
        return None

    @property
    def fee_multiplier_override(self) -> Decimal | None:
        """The fee multiplier of its markets, where it is not the one of the series."""
        return None

    @abstractmethod
    def members(self, *, alone: bool) -> bytes:
        """The members of the ``EventData`` object, without braces and markets, as a list or a read shows them."""


class SeriesRow(ABC):
    """A series: what filters ask about, and its JSON."""

    __slots__ = ("categories", "tags", "ticker", "updated_us")

    ticker: str
    categories: tuple[str, ...]
    tags: tuple[str, ...]
    updated_us: int

    @property
    @abstractmethod
    def fee_type(self) -> str:
        """How fees of its markets are computed."""

    @property
    @abstractmethod
    def fee_multiplier(self) -> Decimal:
        """What fees of its markets are multiplied by."""

    @abstractmethod
    def json(self, *, volume: bool, metadata: bool) -> bytes:
        """The ``Series`` object, with its traded volume and product metadata if asked for."""


@dataclass(frozen=True, slots=True)
class TradeRow:
    """A public trade in list order, with its ``Trade`` object."""

    sort_key: SortKey
    json: bytes
    is_block: bool = False


@dataclass(frozen=True)
class TradeFilter:
    """Which public trades: of one market or all, created in a span of microseconds, block trades or not or both."""

    ticker: str | None
    min_us: int | None
    max_us: int | None
    is_block_trade: bool | None


class TradeHistory(Protocol):
    """The public trades the catalogue itself knows."""

    def rows(self, wanted: TradeFilter) -> Iterator[TradeRow]:
        """The trades that match, newest first; block trades or not is left to the caller."""
        ...

    def market_opened(self) -> None:
        """Note that the trades to come of a market happen in the engine."""
        ...


@dataclass(frozen=True)
class CandleWindow:
    """Which candlesticks: those that end within [start_s, end_s] unix seconds, each ``minutes`` long."""

    start_s: int
    end_s: int
    minutes: int
    latest_before_start: bool = False


@dataclass(frozen=True)
class Span:
    """Bounds in microseconds, both inclusive, either open."""

    least: int | None = None
    most: int | None = None

    def __contains__(self, instant: int | None) -> bool:
        if self.least is None and self.most is None:
            return True
        if instant is None or (self.least is not None and instant < self.least):
            return False
        return self.most is None or instant <= self.most


EVER: Final = Span()


@dataclass(frozen=True)
class MarketFilter:
    """The filters of GET /markets and GET /historical/markets."""

    status: str | None = None
    event_ticker: str | None = None
    series_ticker: str | None = None
    tickers: tuple[str, ...] | None = None
    combos: bool | None = None
    created: Span = EVER
    updated: Span = EVER
    closes: Span = EVER
    settled: Span = EVER
    archived: bool = False

    def admits(self, market: MarketRow) -> bool:
        """Whether a market matches, tickers aside."""
        return (
            (self.status is None or market.status in STATUSES_OF_FILTER[self.status])
            and (self.combos is None or market.is_combo == self.combos)
            and (self.event_ticker is None or market.event_ticker == self.event_ticker)
            and (self.series_ticker is None or market.series_ticker == self.series_ticker)
            and market.created_us in self.created
            and market.updated_us in self.updated
            and market.close_us in self.closes
            and market.settled_us in self.settled
        )


@dataclass(frozen=True)
class EventFilter:
    """The filters of GET /events and GET /events/multivariate."""

    combos: bool = False
    status: str | None = None
    series_ticker: str | None = None
    collection_ticker: str | None = None
    tickers: tuple[str, ...] | None = None
    min_close_us: int | None = None
    min_updated_us: int | None = None


class Catalogue:
    """All rows of an exchange. Lists are newest first; a filtered list is computed once until rows change."""

    def __init__(self, history: TradeHistory) -> None:
        self.history = history
        self.series: dict[str, SeriesRow] = {}
        self.events: dict[str, EventRow] = {}
        self.markets: dict[str, MarketRow] = {}
        self.archived_markets: dict[str, MarketRow] = {}
        self._of_event: defaultdict[str, list[MarketRow]] = defaultdict(list)
        self._of_series: defaultdict[str, list[MarketRow]] = defaultdict(list)
        self._newcomers: list[MarketRow] = []
        self._lists: OrderedDict[MarketFilter | EventFilter, Sequence[MarketRow] | Sequence[EventRow]] = OrderedDict()

    def add(
        self,
        series: Iterable[SeriesRow] = (),
        events: Iterable[EventRow] = (),
        markets: Iterable[MarketRow] = (),
        archived_markets: Iterable[MarketRow] = (),
    ) -> None:
        """Add rows; lists that were computed before are forgotten."""
        self.series.update((row.ticker, row) for row in series)
        self.events.update((row.ticker, row) for row in events)
        for market in markets:
            self.markets[market.ticker] = market
            self._of_event[market.event_ticker].append(market)
            self._of_series[market.series_ticker].append(market)
            self._newcomers.append(market)
        self.archived_markets.update((row.ticker, row) for row in archived_markets)
        self._lists.clear()

    def take_newcomers(self) -> list[MarketRow]:
        """The live markets added since the last call."""
        newcomers, self._newcomers = self._newcomers, []
        return newcomers

    def market_changed(self) -> None:
        """Forget the filtered lists; the order of all markets together does not depend on their status."""
        everything = self._lists.get(MarketFilter())
        self._lists.clear()
        if everything is not None:
            self._lists[MarketFilter()] = everything

    def archive(self, market: MarketRow) -> None:
        """Move a market from the live lists to the historical ones."""
        del self.markets[market.ticker]
        self._of_event[market.event_ticker].remove(market)
        self._of_series[market.series_ticker].remove(market)
        self.archived_markets[market.ticker] = market
        self._lists.clear()

    def markets_of_event(self, event_ticker: str) -> Sequence[MarketRow]:
        """The live markets of an event, in the order they were added."""
        return self._of_event.get(event_ticker, ())

    def markets_of_series(self, series_ticker: str) -> Sequence[MarketRow]:
        """The live markets of a series, in the order they were added."""
        return self._of_series.get(series_ticker, ())

    def select_markets(self, wanted: MarketFilter) -> Sequence[MarketRow]:
        """The markets that match, newest first."""
        return self._remembered(wanted, lambda: self._matching_markets(wanted))

    def select_events(self, wanted: EventFilter) -> Sequence[EventRow]:
        """The events that match, newest first. A status matches if any child market has it."""
        return self._remembered(wanted, lambda: self._matching_events(wanted))

    def _remembered(self, wanted: MarketFilter | EventFilter, compute: Callable[[], Sequence[Row]]) -> Sequence[Row]:
        known = self._lists.get(wanted)
        if known is None:
            known = compute()
            self._lists[wanted] = known
            if len(self._lists) > _CACHED_LISTS:
                self._lists.popitem(last=False)
        else:
            self._lists.move_to_end(wanted)
        return known  # type: ignore[return-value]  # a filter's type decides the row's type

    def _matching_markets(self, wanted: MarketFilter) -> list[MarketRow]:
        pool: Iterable[MarketRow]
        rows = self.archived_markets if wanted.archived else self.markets
        if wanted.tickers is not None:
            pool = [rows[ticker] for ticker in dict.fromkeys(wanted.tickers) if ticker in rows]
        elif wanted.event_ticker is not None and not wanted.archived:
            pool = self.markets_of_event(wanted.event_ticker)
        elif wanted.series_ticker is not None and not wanted.archived:
            pool = self.markets_of_series(wanted.series_ticker)
        elif wanted == MarketFilter():
            return sorted(rows.values(), key=_place)
        else:
            # Narrowing the ordered list of everything keeps its order, so each filter costs one pass and no sorting.
            pool = sorted(rows.values(), key=_place) if wanted.archived else self.select_markets(MarketFilter())
            return [market for market in pool if wanted.admits(market)]
        return sorted((market for market in pool if wanted.admits(market)), key=_place)

    def _matching_events(self, wanted: EventFilter) -> list[EventRow]:
        pool: Iterable[EventRow] = self.events.values()
        if wanted.tickers is not None:
            pool = [self.events[ticker] for ticker in dict.fromkeys(wanted.tickers) if ticker in self.events]
        return sorted((event for event in pool if self._admits(wanted, event)), key=_place)

    def _admits(self, wanted: EventFilter, event: EventRow) -> bool:
        if (
            event.is_combo != wanted.combos
            or wanted.series_ticker not in {None, event.series_ticker}
            or wanted.collection_ticker not in {None, event.collection_ticker}
            or (wanted.min_updated_us is not None and event.updated_us < wanted.min_updated_us)
        ):
            return False
        children = self.markets_of_event(event.ticker)
        if wanted.status is not None:
            statuses = STATUSES_OF_FILTER[wanted.status]
            if not any(market.status in statuses for market in children):
                return False
        least = wanted.min_close_us
        return least is None or any(market.close_us >= least for market in children)


def _place(row: MarketRow | EventRow) -> SortKey:
    return row.sort_key
