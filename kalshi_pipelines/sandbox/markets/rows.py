"""What an exchange lists: series, events, markets, as filters and answers see them.

Belongs here: the facts of a row, and what it can be asked for. Does not belong here: where rows come from (generated or
recorded), and the lists they are in (``listing``).
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
    """Which candlesticks: those that end within [start_s, end_s] unix seconds, each ``minutes`` long."""

    start_s: int
    end_s: int
    minutes: int
    latest_before_start: bool = False


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
    def candlesticks(self, window: CandleWindow) -> list[bytes]:
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
