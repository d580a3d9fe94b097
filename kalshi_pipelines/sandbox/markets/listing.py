"""Lists of series, events and markets, which requests filter and read page by page.

Belongs here: filters, and the cache of filtered lists. Does not belong here: single rows (``rows``), their origin
(generated or recorded), and checking which filters a request may combine.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from kalshi_pipelines.sandbox.markets.rows import EventRow, MarketRow, SeriesRow
from kalshi_pipelines.sandbox.pagination import SortKey

STATUSES_OF_FILTER: Final = {
    "unopened": frozenset({"initialized"}),
    "open": frozenset({"active"}),
    "paused": frozenset({"inactive"}),
    "closed": frozenset({"closed", "determined", "disputed", "amended"}),
    "settled": frozenset({"finalized"}),
}
"""Market statuses that each status filter of a request selects. Each market status belongs to at most one filter."""

_CACHED_LISTS: Final = 256
Row = TypeVar("Row", MarketRow, EventRow)


@dataclass(frozen=True, slots=True)
class TradeRow:
    """A public trade with its sort key, its ``Trade`` object and the ticker of its market."""

    sort_key: SortKey
    json: bytes
    is_block: bool = False
    ticker: str = ""


@dataclass(frozen=True)
class TradeFilter:
    """Filter of public trades: one market or all, a range of microseconds, and whether to include block trades."""

    ticker: str | None
    min_us: int | None
    max_us: int | None
    is_block_trade: bool | None


class TradeHistory(Protocol):
    """Public trades that happened outside the matching engine, generated or recorded."""

    def rows(self, wanted: TradeFilter) -> Iterator[TradeRow]:
        """Return the trades in the market and the period of a filter, newest first.

        The result contains block trades and other trades. The caller removes the trades that the filter's
        ``is_block_trade`` excludes.
        """
        ...

    def market_opened(self) -> None:
        """Discard cached trades, because a market was opened in the engine.

        The cache may hold trades of this market for instants after the opening. From the opening on, the engine alone
        makes the market's trades.
        """
        ...


@dataclass(frozen=True)
class TimeRange:
    """Time range in microseconds since 1970. Both bounds are inclusive, and either may be missing."""

    least: int | None = None
    most: int | None = None

    def __contains__(self, instant: int | None) -> bool:
        if self.least is None and self.most is None:
            return True
        if instant is None or (self.least is not None and instant < self.least):
            return False
        return self.most is None or instant <= self.most


EVER: Final = TimeRange()


@dataclass(frozen=True)
class MarketFilter:
    """Filters of a request for GET /markets or GET /historical/markets."""

    status: str | None = None
    event_ticker: str | None = None
    series_ticker: str | None = None
    tickers: tuple[str, ...] | None = None
    combos: bool | None = None
    created: TimeRange = EVER
    updated: TimeRange = EVER
    closes: TimeRange = EVER
    settled: TimeRange = EVER
    archived: bool = False

    def matches(self, market: MarketRow) -> bool:
        """Return whether a market matches all filters. ``tickers`` is not checked, because ``Catalogue`` applies it."""
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
    """Filters of a request for GET /events or GET /events/multivariate."""

    combos: bool = False
    status: str | None = None
    series_ticker: str | None = None
    collection_ticker: str | None = None
    tickers: tuple[str, ...] | None = None
    min_close_us: int | None = None
    min_updated_us: int | None = None


class Catalogue:
    """All series, events and markets of an exchange.

    Lists are newest first. A filtered list is computed once and cached until a row changes.
    """

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
        """Add series, events and markets, and discard the cached lists."""
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
        """Return the live markets added since the last call of this method."""
        newcomers, self._newcomers = self._newcomers, []
        return newcomers

    def market_changed(self) -> None:
        """Discard the cached filtered lists.

        The list of all markets stays, because its order does not depend on statuses.
        """
        everything = self._lists.get(MarketFilter())
        self._lists.clear()
        if everything is not None:
            self._lists[MarketFilter()] = everything

    def archive(self, market: MarketRow) -> None:
        """Show a market in the historical lists. It stays in the live lists until ``leave_live`` is called."""
        self.archived_markets[market.ticker] = market
        self._lists.clear()

    def leave_live(self, market: MarketRow) -> None:
        """Remove an archived market from the live lists."""
        del self.markets[market.ticker]
        market.discard_cache()
        self._of_event[market.event_ticker].remove(market)
        self._of_series[market.series_ticker].remove(market)
        self._lists.clear()

    def remove(self, market: MarketRow) -> None:
        """Delete a live market, so that no list of markets shows it any more. Its event stays.

        Counting the deletion as a change of status makes every planned change of its status void.
        """
        market.changes += 1
        del self.markets[market.ticker]
        self._of_event[market.event_ticker].remove(market)
        self._of_series[market.series_ticker].remove(market)
        self._lists.clear()

    def markets_of_event(self, event_ticker: str) -> Sequence[MarketRow]:
        """Return the live markets of an event, in the order in which they were added."""
        return self._of_event.get(event_ticker, ())

    def markets_of_series(self, series_ticker: str) -> Sequence[MarketRow]:
        """Return the live markets of a series, in the order in which they were added."""
        return self._of_series.get(series_ticker, ())

    def select_markets(self, wanted: MarketFilter) -> Sequence[MarketRow]:
        """Return the markets that match a filter, newest first."""
        return self._remembered(wanted, lambda: self._matching_markets(wanted))

    def select_events(self, wanted: EventFilter) -> Sequence[EventRow]:
        """Return the events that match a filter, newest first.

        A status filter matches an event if any of its markets has that status.
        """
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
            # Filter the list of all markets, which is sorted already. A filtered list therefore costs one pass and no
            # sorting.
            pool = sorted(rows.values(), key=_place) if wanted.archived else self.select_markets(MarketFilter())
            return [market for market in pool if wanted.matches(market)]
        return sorted((market for market in pool if wanted.matches(market)), key=_place)

    def _matching_events(self, wanted: EventFilter) -> list[EventRow]:
        pool: Iterable[EventRow] = self.events.values()
        if wanted.tickers is not None:
            pool = [self.events[ticker] for ticker in dict.fromkeys(wanted.tickers) if ticker in self.events]
        return sorted((event for event in pool if self._matches(wanted, event)), key=_place)

    def _matches(self, wanted: EventFilter, event: EventRow) -> bool:
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
