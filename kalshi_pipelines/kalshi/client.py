"""The read-only Kalshi client: one method for each read of the exchange.

Parameters have the exchange's names. Reads of lists yield pages of raw rows, so that rows that did not change need not
be decoded (see ``decoding``).
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
from kalshi_pipelines.kalshi.candlesticks import CandlestickReader
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
from kalshi_pipelines.kalshi.fee_changes import FeeChangeReader
from kalshi_pipelines.kalshi.market_history import MarketHistory
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
from kalshi_pipelines.units import now_us

logger = logging.getLogger("kalshi_pipelines.kalshi")

T = TypeVar("T", bound=msgspec.Struct)

EventStatusFilter = Literal["unopened", "open", "closed", "settled"]
MarketStatusFilter = Literal["unopened", "open", "paused", "closed", "settled"]
MveFilter = Literal["only", "exclude"]

# The limits of rows per page are from the OpenAPI document 3.34.0.
MARKETS: Final = ListEndpoint("/markets", "markets", Market, most_rows=1000)
EVENTS: Final = ListEndpoint("/events", "events", Event, most_rows=200)
COMBO_EVENTS: Final = ListEndpoint("/events/multivariate", "events", Event, most_rows=200)
SERIES: Final = ListEndpoint("/series", "series", Series)
HISTORICAL_MARKETS: Final = ListEndpoint("/historical/markets", "markets", Market, most_rows=1000)
ORDERBOOKS: Final = ListEndpoint("/markets/orderbooks", "orderbooks", Orderbook)

MOST_ORDERBOOKS: Final = 100
MOST_ORDERBOOK_DEPTH: Final = 100
MOST_TICKERS: Final = 100
_ORDERBOOK_REQUESTS_IN_FLIGHT: Final = 8


class KalshiClient:
    """A client that reads the exchange, for use in a ``with`` block. Methods may be called from several threads.

    With an API key every request is signed, and the ``with`` block begins by reading the account's own rate limits.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @classmethod
    def from_settings(
        cls, settings: Settings, engine: sa.Engine, url: str | None = None, url_setting: str = ""
    ) -> Self:
        """Return a client for the configured environment.

        Args:
            settings: The settings that name the environment, the API key and the rate tier.
            engine: The warehouse, which holds the rate budget.
            url: The address of a sandbox that this program started, or another allowed address.
            url_setting: The environment variable from which ``url`` was read.

        Raises:
            EnvironmentMismatch: The address does not belong to the environment.
            UnusableKey: The private key file cannot be used.
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
        """The address of the API that this client reads."""
        return self._transport.address

    @property
    def clock_difference_ms(self) -> int | None:
        """Milliseconds by which the exchange's clock was ahead of this computer's clock, exact to about a second.

        The difference is measured at every response with a Date header. This value is from the last such response.
        """
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
        """Close the connections. Reads that are still running end with TransportFailed."""
        self._transport.close()

    @property
    def portfolio(self) -> PortfolioClient:
        """A reader of the account that owns the API key, with the connections and the rate budget of this client."""
        return PortfolioClient(self._transport)

    @property
    def history(self) -> MarketHistory:
        """A reader of what happened in markets, with the connections and the rate budget of this client."""
        return MarketHistory(self._transport)

    @property
    def candlesticks(self) -> CandlestickReader:
        """A reader of candlesticks, with the connections and the rate budget of this client."""
        return CandlestickReader(self._transport)

    @property
    def fee_changes(self) -> FeeChangeReader:
        """A reader of scheduled fee changes, with the connections and the rate budget of this client."""
        return FeeChangeReader(self._transport)

    def tokens_of(self, path: str) -> int:
        """Return the tokens that one read of a path, such as ``/markets/trades``, costs."""
        return self._transport.tokens_of(path)

    def tokens_per_second(self, path: str) -> int:
        """Return the tokens per second that all programs with this API key may spend on reads of a path."""
        return self._transport.tokens_per_second(path)

    # Reads about the exchange and the account.

    def exchange_status(self) -> ExchangeStatus:
        """Return the status of the exchange and its shards.

        The status is read even from a response with an error (5xx).
        """
        return self._read(ExchangeStatus, "/exchange/status", meaningful=(500, 503, 504))

    def exchange_schedule(self) -> Schedule:
        """Return trading hours and planned maintenance."""
        return self._read(Schedule, "/exchange/schedule", inside="schedule")

    def historical_cutoff(self) -> HistoricalCutoff:
        """Return the instants before which records are available only at the historical endpoints."""
        return self._read(HistoricalCutoff, "/historical/cutoff")

    def account_limits(self) -> AccountLimits:
        """Return the rate limits of the account. This request needs an API key."""
        return self._read(AccountLimits, "/account/limits")

    def endpoint_costs(self) -> EndpointCostList:
        """Return the token costs of requests."""
        return self._read(EndpointCostList, "/account/endpoint_costs")

    # Reads of the catalogue: series, events and markets.

    def series_pages(self, *, min_updated_ts: int | None = None) -> Iterator[Page]:
        """Yield series as one page: the endpoint is not paginated (13,000 rows in October 2026).

        Args:
            min_updated_ts: Only series whose metadata changed at or after this Unix second.
        """
        yield read_page(self._transport, SERIES, _params(min_updated_ts=min_updated_ts))

    def series_page(self, series_ticker: str) -> Page:
        """Return one series as a page with one raw row.

        Raises:
            ApiError: The exchange does not know the series.
        """
        path = path_with("/series/{ticker}", ticker=series_ticker)
        row = self._transport.get(path, (), decode=lambda body: member(body, "series"))
        return Page(f"GET {SERIES.path}", 1, "", [row], now_us())

    def event_pages(
        self,
        *,
        status: EventStatusFilter | None = None,
        combos: bool = False,
        tickers: Iterable[str] | None = None,
        series_ticker: str | None = None,
        min_updated_ts: int | None = None,
        min_close_ts: int | None = None,
        with_nested_markets: bool = False,
        limit: int = 200,
    ) -> Iterator[Page]:
        """Return pages of events, without their markets unless these are requested.

        Args:
            status: Only events with at least one market of this status.
            combos: Whether to read only multivariate combo events, which are not in the plain list of events. Combo
                events cannot be filtered by status or time of update.
            tickers: Only these events. The response omits unknown tickers.
            series_ticker: Only events of this series.
            min_updated_ts: Only events whose metadata changed at or after this Unix second.
            min_close_ts: Only events with a market that closes after this Unix second.
            with_nested_markets: Whether each event contains its markets. Archived markets are never among them.
            limit: Rows per page, at most 200.
        """
        if combos and (status or min_updated_ts is not None or min_close_ts is not None):
            raise InvalidRequest("Combo events cannot be filtered by status or time.", "Remove these filters.")
        params = _params(
            status=status,
            series_ticker=series_ticker,
            min_updated_ts=min_updated_ts,
            min_close_ts=min_close_ts,
            with_nested_markets="true" if with_nested_markets else None,
        )
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
        """Return pages of markets with their current quotes.

        Args:
            status: A status of the exchange's filter vocabulary, which differs from the values of ``Market.status``.
            mve_filter: ``exclude`` omits combos (99 % of all markets), even if ``tickers`` names them. ``only`` reads
                nothing but combos. ``None`` reads both.
            tickers: Only these markets. The response omits unknown tickers.
            event_ticker: Only markets of this event.
            series_ticker: Only markets of this series.
            min_settled_ts: Only markets settled at or after this Unix second. Needs the status ``settled``.
            max_settled_ts: Only markets settled at or before this Unix second.
            min_updated_ts: Only markets whose metadata (not prices) changed at or after this Unix second. Cannot be
                combined with a status.
            limit: Rows per page, at most 1000.
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

    def historical_market_pages(
        self,
        *,
        tickers: Iterable[str] | None = None,
        series_ticker: str | None = None,
        mve_filter: Literal["exclude"] | None = None,
        limit: int = 1000,
    ) -> Iterator[Page]:
        """Return pages of archived markets, the newest settlement first. The exchange accepts one filter at most.

        Args:
            tickers: Only these markets. The response omits markets that are not archived.
            series_ticker: Only markets of this series.
            mve_filter: ``exclude`` omits combos.
            limit: Rows per page, at most 1000.
        """
        params = _params(series_ticker=series_ticker, mve_filter=mve_filter)
        if len(params) + (tickers is not None) > 1:
            raise InvalidRequest("Archived markets can be filtered by one criterion only.", "Remove the others.")
        return self._pages_of(HISTORICAL_MARKETS, params, tickers, limit)

    def market(self, ticker: str) -> Market:
        """Return one market with its current quotes."""
        return self._read(Market, path_with("/markets/{ticker}", ticker=ticker), inside="market")

    def event(self, event_ticker: str) -> Event:
        """Return one event without its markets."""
        return self._read(Event, path_with("/events/{ticker}", ticker=event_ticker), inside="event")

    def series(self, series_ticker: str) -> Series:
        """Return one series."""
        return self._read(Series, path_with("/series/{ticker}", ticker=series_ticker), inside="series")

    # Reads of orderbooks.

    def orderbook(self, ticker: str, depth: int = 0) -> Orderbook:
        """Return the orderbook of one market with ``depth`` levels per side, or all levels if ``depth`` is 0."""
        if not 0 <= depth <= MOST_ORDERBOOK_DEPTH:
            raise InvalidRequest(
                f"An orderbook cannot be read with depth {depth}.", f"Use 0 (all levels) to {MOST_ORDERBOOK_DEPTH}."
            )
        path = path_with("/markets/{ticker}/orderbook", ticker=ticker)
        return Orderbook(ticker, self._read(BookSides, path, [("depth", str(depth))], inside="orderbook_fp"))

    def orderbooks(self, tickers: Sequence[str]) -> Page:
        """Return the orderbooks of 1 to 100 markets, read in one request, as raw ``Orderbook`` rows in any order."""
        if not 1 <= len(tickers) <= MOST_ORDERBOOKS:
            raise InvalidRequest(
                f"GET {ORDERBOOKS.path} cannot be asked for {len(tickers)} markets.",
                f"Ask for 1 to {MOST_ORDERBOOKS}.",
            )
        return read_page(self._transport, ORDERBOOKS, [("tickers", ticker) for ticker in tickers])

    def orderbook_batches(self, tickers: Iterable[str]) -> Iterator[tuple[tuple[str, ...], Page]]:
        """Yield the orderbooks of many markets: 100 per request, in the order of ``tickers``.

        Several requests run at the same time.
        """
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

    def _pages_of(
        self, endpoint: ListEndpoint, params: QueryParams, tickers: Iterable[str] | None, limit: int
    ) -> Iterator[Page]:
        if tickers is None:
            return pages(self._transport, endpoint, params, limit)
        batches = (
            pages(self._transport, endpoint, [*params, ("tickers", ",".join(batch))], limit)
            for batch in _batches(tickers, MOST_TICKERS)
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
                logger.info("GET %s has fields that this version does not know: %s", path, ", ".join(sorted(unknown)))
            return record

        return self._transport.get(path, params, decode=decode, meaningful=meaningful)

    def _follow_account_limits(self) -> None:
        try:
            limits, costs = self.account_limits(), self.endpoint_costs()
        except (ServerError, RateLimited, TransportFailed, MalformedResponse, NotFound) as error:
            logger.warning(
                "The account's own rate limits could not be read; the published limits of its usage level apply: %s",
                error,
            )
            return
        self._transport.use_account_rates(
            account_rates(limits), EndpointCosts(costs.default_cost, tuple(costs.endpoint_costs))
        )


def _books(tickers: Sequence[str], answer: Future[Page]) -> Page:
    try:
        return answer.result()
    except KalshiError as error:
        error.where = f"This happened on the page of {len(tickers)} orderbooks from {tickers[0]} to {tickers[-1]}."
        raise


def _params(**values: str | int | None) -> QueryParams:
    return [(name, str(value)) for name, value in values.items() if value is not None]


def _batches(tickers: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    remaining = iter(tickers)
    while batch := tuple(islice(remaining, size)):
        yield batch
