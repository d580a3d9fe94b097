"""The read-only Kalshi client: one method for each thing that is read.

Parameters are named as the exchange names them. Walks over lists yield pages of raw rows (see ``decoding``), so that
rows that did not change need not be decoded.
"""

import logging
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import chain, islice
from types import TracebackType
from typing import Final, Literal, Self, TypeVar

import msgspec
import sqlalchemy as sa

from kalshi_pipelines.kalshi import hosts
from kalshi_pipelines.kalshi.decoding import decode_record, member
from kalshi_pipelines.kalshi.errors import (
    InvalidRequest,
    KalshiError,
    MalformedResponse,
    NotFound,
    QueryParams,
    RateLimited,
    ServerError,
    TransportFailed,
)
from kalshi_pipelines.kalshi.pagination import ListEndpoint, Page, pages, read_page
from kalshi_pipelines.kalshi.portfolio import PortfolioClient
from kalshi_pipelines.kalshi.rate_budget import EndpointCosts, RateBudget, account_rates, documented_rates
from kalshi_pipelines.kalshi.records import (
    AccountLimits,
    BookSides,
    EndpointCostList,
    Event,
    ExchangeStatus,
    HistoricalCutoff,
    Market,
    Orderbook,
    Schedule,
    Series,
)
from kalshi_pipelines.kalshi.signing import Signer
from kalshi_pipelines.kalshi.transport import Transport, path_with
from kalshi_pipelines.settings import Environment, Settings

logger = logging.getLogger("kalshi_pipelines.kalshi")

T = TypeVar("T", bound=msgspec.Struct)

EventStatusFilter = Literal["unopened", "open", "closed", "settled"]
MarketStatusFilter = Literal["unopened", "open", "paused", "closed", "settled"]
MveFilter = Literal["only", "exclude"]

# Most rows a page: OpenAPI 3.34.0.
MARKETS: Final = ListEndpoint("/markets", "markets", Market, most_rows=1000)
EVENTS: Final = ListEndpoint("/events", "events", Event, most_rows=200)
COMBO_EVENTS: Final = ListEndpoint("/events/multivariate", "events", Event, most_rows=200)
SERIES: Final = ListEndpoint("/series", "series", Series)
ORDERBOOKS: Final = ListEndpoint("/markets/orderbooks", "orderbooks", Orderbook)

MOST_ORDERBOOKS: Final = 100
MOST_ORDERBOOK_DEPTH: Final = 100
_TICKERS_PER_SWEEP: Final = 100
_ORDERBOOK_REQUESTS_IN_FLIGHT: Final = 8


class KalshiClient:
    """Reads the exchange. Use it in a ``with`` block; methods may be called from several threads.

    With an API key every request is signed, and the ``with`` block begins by reading the account's own rate limits.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @classmethod
    def from_settings(
        cls, settings: Settings, engine: sa.Engine, url: str | None = None, url_setting: str = ""
    ) -> Self:
        """A client for the configured environment; the rate budget is kept in the warehouse behind ``engine``.

        ``url`` is the address of a sandbox this program started itself, or another allowed address; ``url_setting`` is
        the environment variable it is from.

        Raises:
            EnvironmentMismatch: The address does not belong to the environment.
            UnusableKey: The private key file can not be used.
        """
        sandbox = settings.environment is Environment.SANDBOX
        given = url or (settings.sandbox_url if sandbox else None)
        base_url = hosts.base_url(settings.environment, given, url_setting)
        signer = None
        if settings.api_key_id and settings.private_key_file:
            signer = Signer.from_file(settings.api_key_id, settings.private_key_file)
        closing = threading.Event()
        budget = RateBudget(
            engine,
            f"{settings.environment.value}:{signer.fingerprint if signer else 'anonymous'}",
            documented_rates(settings.rate_tier),
            sleep=closing.wait,
        )
        return cls(Transport(base_url, budget, signer=signer, closing=closing, trust_proxies=not sandbox))

    def __repr__(self) -> str:
        return f"KalshiClient({self._transport!r})"

    @property
    def address(self) -> str:
        """The root of the API it reads."""
        return self._transport.address

    @property
    def clock_difference_ms(self) -> int | None:
        """By how much the exchange's clock was ahead of this computer's at the last answer; exact to about a second."""
        return self._transport.clock_difference_ms

    def __enter__(self) -> Self:
        try:
            if self._transport.signed:
                self._follow_account_limits()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; walks under way end with TransportFailed."""
        self._transport.close()

    @property
    def portfolio(self) -> PortfolioClient:
        """Reads of the account of the key that signs, over the same connections and budget."""
        return PortfolioClient(self._transport)

    # --- the exchange and the account

    def exchange_status(self) -> ExchangeStatus:
        """Whether the exchange and each of its shards works; it answers this also while it is down (5xx)."""
        return self._read(ExchangeStatus, "/exchange/status", meaningful=(500, 503, 504))

    def exchange_schedule(self) -> Schedule:
        """Trading hours and planned maintenance."""
        return self._read(Schedule, "/exchange/schedule", inside="schedule")

    def historical_cutoff(self) -> HistoricalCutoff:
        """Before which instants records are found at the historical endpoints only."""
        return self._read(HistoricalCutoff, "/historical/cutoff")

    def account_limits(self) -> AccountLimits:
        """The rate limits of the account. Needs an API key."""
        return self._read(AccountLimits, "/account/limits")

    def endpoint_costs(self) -> EndpointCostList:
        """The token cost of requests."""
        return self._read(EndpointCostList, "/account/endpoint_costs")

    # --- catalogue

    def series_pages(self) -> Iterator[Page]:
        """All series, as one page: the endpoint is not paginated (13,000 rows in October 2026)."""
        yield read_page(self._transport, SERIES, ())

    def event_pages(
        self,
        *,
        status: EventStatusFilter | None = None,
        combos: bool = False,
        tickers: Iterable[str] | None = None,
        series_ticker: str | None = None,
        min_updated_ts: int | None = None,
        limit: int = 200,
    ) -> Iterator[Page]:
        """Events without their markets; with ``combos`` the multivariate events, which the plain list leaves out.

        Args:
            status: Events of which any market has this status.
            combos: Ask for multivariate combo events; these can not be filtered by status or time of update.
            tickers: Only these events; unknown ones are missing from the answer.
            series_ticker: Only events of this series.
            min_updated_ts: Only events whose metadata changed since, unix seconds.
            limit: Rows a page, at most 200.
        """
        if combos and (status or min_updated_ts is not None):
            raise InvalidRequest(
                "Combo events can not be filtered by status or time of update.", "Leave these filters out."
            )
        params = _params(status=status, series_ticker=series_ticker, min_updated_ts=min_updated_ts)
        return self._pages_of(COMBO_EVENTS if combos else EVENTS, params, tickers, limit)

    def market_pages(
        self,
        *,
        status: MarketStatusFilter | None = None,
        mve_filter: MveFilter | None = "exclude",
        tickers: Iterable[str] | None = None,
        event_ticker: str | None = None,
        series_ticker: str | None = None,
        min_settled_ts: int | None = None,
        max_settled_ts: int | None = None,
        min_updated_ts: int | None = None,
        limit: int = 1000,
    ) -> Iterator[Page]:
        """Markets with their current quotes.

        Args:
            status: The exchange's filter vocabulary, which is not that of ``Market.status``.
            mve_filter: ``exclude`` leaves the combos out (99 % of all markets, also when asked for by ticker), ``only``
                wants nothing else, ``None`` both.
            tickers: Only these markets; unknown ones are missing from the answer.
            event_ticker: Only markets of this event.
            series_ticker: Only markets of this series.
            min_settled_ts: Settled at or after, unix seconds; goes with status ``settled``.
            max_settled_ts: Settled at or before, unix seconds.
            min_updated_ts: Metadata (not prices) changed since, unix seconds; goes with no status.
            limit: Rows a page, at most 1000.
        """
        params = _params(
            status=status,
            mve_filter=mve_filter,
            event_ticker=event_ticker,
            series_ticker=series_ticker,
            min_settled_ts=min_settled_ts,
            max_settled_ts=max_settled_ts,
            min_updated_ts=min_updated_ts,
        )
        return self._pages_of(MARKETS, params, tickers, limit)

    def market(self, ticker: str) -> Market:
        """One market with its current quotes."""
        return self._read(Market, path_with("/markets/{ticker}", ticker=ticker), inside="market")

    def event(self, event_ticker: str) -> Event:
        """One event without its markets."""
        return self._read(Event, path_with("/events/{ticker}", ticker=event_ticker), inside="event")

    def series(self, series_ticker: str) -> Series:
        """One series."""
        return self._read(Series, path_with("/series/{ticker}", ticker=series_ticker), inside="series")

    # --- orderbooks

    def orderbook(self, ticker: str, depth: int = 0) -> Orderbook:
        """The orderbook of one market; ``depth`` levels a side, 0 for all."""
        if not 0 <= depth <= MOST_ORDERBOOK_DEPTH:
            raise InvalidRequest(f"An orderbook has no depth {depth}.", f"Ask for 0 (all) to {MOST_ORDERBOOK_DEPTH}.")
        path = path_with("/markets/{ticker}/orderbook", ticker=ticker)
        return Orderbook(ticker, self._read(BookSides, path, [("depth", str(depth))], inside="orderbook_fp"))

    def orderbooks(self, tickers: Sequence[str]) -> Page:
        """The orderbooks of 1 to 100 markets in one request, as raw ``Orderbook`` rows in no particular order."""
        if not 1 <= len(tickers) <= MOST_ORDERBOOKS:
            raise InvalidRequest(
                f"GET {ORDERBOOKS.path} can not be asked for {len(tickers)} markets.",
                f"Ask for 1 to {MOST_ORDERBOOKS}.",
            )
        return read_page(self._transport, ORDERBOOKS, [("tickers", ticker) for ticker in tickers])

    def orderbook_batches(self, tickers: Iterable[str]) -> Iterator[tuple[tuple[str, ...], Page]]:
        """The orderbooks of many markets: 100 a request, several requests under way, answers in the order asked."""
        pool = self._transport.threads(_ORDERBOOK_REQUESTS_IN_FLIGHT, "kalshi-orderbooks")
        under_way: deque[tuple[tuple[str, ...], Future[Page]]] = deque()
        try:
            for batch in _batches(tickers, MOST_ORDERBOOKS):
                under_way.append((batch, pool.submit(self.orderbooks, batch)))
                if len(under_way) > _ORDERBOOK_REQUESTS_IN_FLIGHT:
                    first, answer = under_way.popleft()
                    yield first, _books(first, answer)
            for later, answer in under_way:
                yield later, _books(later, answer)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    # ---

    def _pages_of(
        self, endpoint: ListEndpoint, params: QueryParams, tickers: Iterable[str] | None, limit: int
    ) -> Iterator[Page]:
        if tickers is None:
            return pages(self._transport, endpoint, params, limit)
        batches = (
            pages(self._transport, endpoint, [*params, ("tickers", ",".join(batch))], limit)
            for batch in _batches(tickers, _TICKERS_PER_SWEEP)
        )
        return chain.from_iterable(batches)

    def _read(
        self,
        kind: type[T],
        path: str,
        params: QueryParams = (),
        *,
        inside: str | None = None,
        meaningful: Sequence[int] = (),
    ) -> T:
        def decode(body: bytes) -> T:
            record, unknown = decode_record(kind, member(body, inside) if inside else body)
            if unknown:
                logger.info("GET %s has fields this version does not know: %s", path, ", ".join(sorted(unknown)))
            return record

        return self._transport.get(path, params, decode=decode, meaningful=meaningful)

    def _follow_account_limits(self) -> None:
        try:
            limits, costs = self.account_limits(), self.endpoint_costs()
        except (ServerError, RateLimited, TransportFailed, MalformedResponse, NotFound) as error:
            logger.warning("The published limits of the usage level are used instead of the account's own: %s", error)
            return
        self._transport.use_account_rates(
            account_rates(limits), EndpointCosts(costs.default_cost, tuple(costs.endpoint_costs))
        )


def _books(tickers: Sequence[str], answer: Future[Page]) -> Page:
    try:
        return answer.result()
    except KalshiError as error:
        error.where = f"This was the page of {len(tickers)} orderbooks from {tickers[0]} to {tickers[-1]}."
        raise


def _params(**values: str | int | None) -> QueryParams:
    return [(name, str(value)) for name, value in values.items() if value is not None]


def _batches(tickers: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    remaining = iter(tickers)
    while batch := tuple(islice(remaining, size)):
        yield batch
