"""Interfaces of the series, events and markets that an exchange lists.

Belongs here: the attributes that filters read, and the methods that return JSON. Does not belong here: the origin of
rows (generated or recorded), and the lists they belong to (``listing``).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kalshi_pipelines.sandbox.markets.fee_changes import PlannedFees
from kalshi_pipelines.sandbox.markets.public_data import Figures, OpenedMarket
from kalshi_pipelines.sandbox.markets.quotes import Level
from kalshi_pipelines.sandbox.pagination import SortKey
from kalshi_pipelines.sandbox.trading.events import MarketChanged, Result
from kalshi_pipelines.sandbox.trading.records import TradedMarket


@dataclass(frozen=True)
class CandleWindow:
    """Requested candlesticks of a market.

    Each is ``minutes`` long and ends between ``start_s`` and ``end_s`` in Unix seconds, both inclusive.
    """

    start_s: int
    end_s: int
    minutes: int
    latest_before_start: bool = False


class MarketRow(ABC):
    """A market of a catalogue, generated or recorded.

    ``changes`` counts the changes of the market's status. ``opened`` derives the market's public data from the
    matching engine. It is None before the market is opened in the engine.
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
        """Return the catalogue's YES and NO bids for the market, each ascending in price.

        Orders in the engine are not included.
        """

    @abstractmethod
    def figures_at(self, instant_us: int) -> Figures:
        """Return the catalogue's last price, volumes and open interest for the market at an instant.

        Trades in the engine are not included.
        """

    def follow(self, traded: TradedMarket, now_us: Callable[[], int]) -> None:
        """From now on, show the market's quotes and trades from the matching engine.

        Each shown volume is the volume before the market was opened in the engine, plus the engine's volume.
        """
        self.opened = OpenedMarket(traded, self.figures_at(traded.facts.at_us), now_us)

    @abstractmethod
    def change(self, change: MarketChanged) -> None:
        """Set the market's status, result and value to those of a status change.

        If the status change has a close time, set the market's close time too.
        """

    @abstractmethod
    def json(self) -> bytes:
        """Return the market's ``Market`` object as JSON."""

    def discard_cache(self) -> None:
        """Discard whatever the market caches, because it moves to the historical lists."""
        return

    @abstractmethod
    def orderbook(self, depth: int = 0) -> bytes | None:
        """Return the market's ``OrderbookCountFp`` object with the best ``depth`` levels of each side (0 for all).

        Return None if the market has no book.
        """

    @abstractmethod
    def candlesticks(self, window: CandleWindow) -> list[bytes]:
        """Return the market's ``MarketCandlestick`` objects, oldest first."""


class EventRow(ABC):
    """An event of a catalogue, with the values that filters read. Its JSON does not include its markets."""

    __slots__ = ("collection_ticker", "is_combo", "series_ticker", "sort_key", "ticker", "updated_us")

    ticker: str
    series_ticker: str
    collection_ticker: str | None
    is_combo: bool
    updated_us: int
    sort_key: SortKey

    @property
    def fee_changes(self) -> Sequence[PlannedFees]:
        """Past and scheduled changes of the event's own fees, in the order of time."""
        return ()

    def fees_at(self, at_us: int) -> PlannedFees | None:
        """Return the event's own fees at an instant, or None if the fees of its series apply."""
        return None

    @abstractmethod
    def members(self, *, alone: bool) -> bytes:
        """Return the event's ``EventData`` object without its braces and without its markets.

        ``alone`` is True for a read of this event alone, and False for a list of events.
        """


class SeriesRow(ABC):
    """A series of a catalogue, with the values that filters read."""

    __slots__ = ("categories", "tags", "ticker", "updated_us")

    ticker: str
    categories: tuple[str, ...]
    tags: tuple[str, ...]
    updated_us: int

    @property
    def fee_changes(self) -> Sequence[PlannedFees]:
        """Past and scheduled changes of the fees of the series, in the order of time."""
        return ()

    @abstractmethod
    def fees_at(self, at_us: int) -> PlannedFees:
        """Return the fees of the series at an instant."""

    @abstractmethod
    def json(self, *, volume: bool, metadata: bool) -> bytes:
        """Return the series as a ``Series`` object.

        The traded volume and the product metadata are included on request.
        """
