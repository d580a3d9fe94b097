"""Rows that an exchange lists: series, events and markets, as filters and responses see them.

Belongs here: the facts of a row and the JSON it can produce. Does not belong here: the origin of rows (generated or
recorded), and the lists they belong to (``listing``).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from kalshi_pipelines.sandbox.markets.public_data import Figures, OpenedMarket
from kalshi_pipelines.sandbox.markets.quotes import Level
from kalshi_pipelines.sandbox.pagination import SortKey
from kalshi_pipelines.sandbox.trading.events import MarketChanged, Result
from kalshi_pipelines.sandbox.trading.records import TradedMarket


@dataclass(frozen=True)
class CandleWindow:
    """Requested candlesticks: each is ``minutes`` long and ends within [start_s, end_s], in Unix seconds."""

    start_s: int
    end_s: int
    minutes: int
    latest_before_start: bool = False


class MarketRow(ABC):
    """A market with the values that filters read, and its present JSON.

    ``changes`` counts the changes of its status. ``opened`` is its counterpart in the trading engine, or None before it
    is opened there.
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
        """Whether the market is a combo (a multivariate market), which belongs to a collection."""
        return self.collection_ticker is not None

    @property
    @abstractmethod
    def shard(self) -> int:
        """Shard of the exchange on which the market is traded."""

    @property
    @abstractmethod
    def price_ranges(self) -> tuple[tuple[int, int, int], ...]:
        """Start, end and step, in centi-cents, of each range of the market's price grid."""

    @property
    def fee_waived_until_us(self) -> int:
        """Instant until which trades of the market are free of fees, in microseconds since 1970."""
        return 0

    @property
    @abstractmethod
    def result(self) -> Result:
        """Result of the market, or an empty text before it is determined."""

    @property
    @abstractmethod
    def value(self) -> int | None:
        """Centi-cents that one YES pays, or None before the market is determined."""

    @property
    @abstractmethod
    def settlement_timer_us(self) -> int:
        """Microseconds from the determination of the market to its finalization."""

    @abstractmethod
    def own_book(self) -> tuple[list[Level], list[Level]]:
        """Return the YES and the NO bids of the catalogue without the engine, each ascending in price (best last)."""

    @abstractmethod
    def figures_at(self, instant_us: int) -> Figures:
        """Return last price, volumes and open interest of the catalogue without the engine, at an instant."""

    def follow(self, traded: TradedMarket, now_us: Callable[[], int]) -> None:
        """Show the engine's quotes and trades from now on, added to the figures at the opening."""
        self.opened = OpenedMarket(traded, self.figures_at(traded.facts.at_us), now_us)

    @abstractmethod
    def change(self, change: MarketChanged) -> None:
        """Apply a change of status with the result, value and close time that come with it."""

    @abstractmethod
    def json(self) -> bytes:
        """Return the ``Market`` object."""

    @abstractmethod
    def orderbook(self, depth: int = 0) -> bytes | None:
        """Return the ``OrderbookCountFp`` object with the best ``depth`` levels of each side (0 for all), or None
        without a book.
        """

    @abstractmethod
    def candlesticks(self, window: CandleWindow) -> list[bytes]:
        """Return the market's ``MarketCandlestick`` objects, oldest first."""


class EventRow(ABC):
    """An event with the values that filters read, and its JSON without its markets."""

    __slots__ = ("collection_ticker", "is_combo", "series_ticker", "sort_key", "ticker", "updated_us")

    ticker: str
    series_ticker: str
    collection_ticker: str | None
    is_combo: bool
    updated_us: int
    sort_key: SortKey

    @property
    def fee_type_override(self) -> str | None:
        """Fee type of the event's markets if it differs from the fee type of the series, else None."""
        return None

    @property
    def fee_multiplier_override(self) -> Decimal | None:
        """Fee multiplier of the event's markets if it differs from the multiplier of the series, else None."""
        return None

    @abstractmethod
    def members(self, *, alone: bool) -> bytes:
        """Return the members of the ``EventData`` object, without braces and markets.

        ``alone`` tells a read of a single event from a list.
        """


class SeriesRow(ABC):
    """A series with the values that filters read, and its JSON."""

    __slots__ = ("categories", "tags", "ticker", "updated_us")

    ticker: str
    categories: tuple[str, ...]
    tags: tuple[str, ...]
    updated_us: int

    @property
    @abstractmethod
    def fee_type(self) -> str:
        """Fee type of the markets of the series."""

    @property
    @abstractmethod
    def fee_multiplier(self) -> Decimal:
        """Fee multiplier of the markets of the series."""

    @abstractmethod
    def json(self, *, volume: bool, metadata: bool) -> bytes:
        """Return the ``Series`` object, on request with traded volume and product metadata."""
