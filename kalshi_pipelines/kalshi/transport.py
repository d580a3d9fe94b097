"""GET requests and their decoded responses: the only module of this package that uses httpx.

Each attempt is charged to the rate budget and has a new signature. No other HTTP method can be sent. The choice of
requests and the meaning of responses do not belong here.
"""

import email.utils
import logging
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import quote

import httpx
import stamina
import stamina.instrumentation

from kalshi_pipelines.kalshi.errors import (
    AbsurdAnswer,
    InvalidRequest,
    KalshiError,
    MalformedResponse,
    QueryParams,
    RateLimited,
    RequestLine,
    ServerError,
    TransportFailed,
    Unauthorized,
    UnreadableBody,
    api_error,
    printable,
)
from kalshi_pipelines.kalshi.rate_budget import BucketRates, EndpointCosts, RateBudget, bucket_of
from kalshi_pipelines.kalshi.signing import Signer
from kalshi_pipelines.units import now_us

logger = logging.getLogger("kalshi_pipelines.kalshi")
# The loggers of httpx and httpcore would print every request, and at debug level the headers, too. Only their warnings
# are kept, because this module logs the useful part of requests itself.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)
# The hooks of the retry library stamina are removed. They would print failed attempts regardless of the logging
# configuration, and this module logs failed attempts itself.
stamina.instrumentation.set_on_retry_hooks([])

T = TypeVar("T")

_TIMEOUT: Final = httpx.Timeout(connect=10, read=30, write=10, pool=60)
#: Pages that are fetched at the same time. More lists can be open, because most wait for their reader.
_PAGES_IN_FLIGHT: Final = 16
_LIMITS: Final = httpx.Limits(max_connections=16, max_keepalive_connections=16)
_HEADERS: Final = {
    "Accept": "application/json",
    # The client asks for English. For some other languages the exchange would send translated titles and rules.
    "Accept-Language": "en-US",
    "User-Agent": "kalshi-pipelines",
}
_RETRY: Final = (
    "Check the network, and for a sandbox that KALSHI_SANDBOX_URL names a running sandbox. Then run again later."
)
# A Date header has whole seconds. A clock error of less than two seconds cannot be the reason for an expired timestamp.
_LEAST_CLOCK_STEP_MS: Final = 2_000


@dataclass(frozen=True)
class Patience:
    """Limits of one request: attempts, seconds for all attempts, and seconds and bytes of one response.

    The longest genuine response, all series at once, has about 15 MB (13,000 rows in October 2026).
    """

    attempts: int = 5
    total_seconds: float = 180.0
    answer_seconds: float = 120.0
    answer_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True)
class _Answer:
    status: int
    body: bytes
    date: str | None
    signed_ms: int | None


class Transport:
    """A sender of GET requests to one API address.

    Args:
        base_url: The address, as returned by ``hosts.base_url``.
        budget: The rate budget to which every attempt is charged.
        signer: The signer of every attempt; requests are anonymous without a signer.
        patience: Limits of attempts, time and response size.
        closing: An event that is set when the transport is closed. It also ends waits for the rate budget.
        trust_proxies: Whether to use the proxies of the environment variables.
        network: A replacement for the network in tests.
    """

    def __init__(
        self,
        base_url: str,
        budget: RateBudget,
        *,
        signer: Signer | None = None,
        patience: Patience = Patience(),
        closing: threading.Event | None = None,
        trust_proxies: bool = True,
        network: httpx.BaseTransport | None = None,
    ) -> None:
        self._budget = budget
        self._costs = EndpointCosts()
        self._signer = signer
        self._patience = patience
        self._base_url = base_url
        self._closing = closing or threading.Event()
        self._pools: list[ThreadPoolExecutor] = []
        self._page_pool: ThreadPoolExecutor | None = None
        self._making_pool = threading.Lock()
        self.clock_difference_ms: int | None = None
        """Milliseconds by which the exchange's clock was ahead of this computer's clock, exact to about a second.

        The difference is measured at every response with a Date header. This value is from the last such response.
        """
        try:
            self._http = httpx.Client(
                headers=_HEADERS,
                timeout=_TIMEOUT,
                limits=_LIMITS,
                follow_redirects=False,
                trust_env=trust_proxies,
                transport=network,
            )
        except ImportError:
            raise TransportFailed(
                "ALL_PROXY or HTTPS_PROXY names a SOCKS proxy, which is not supported.",
                "Set the variable to an http:// proxy, or unset it.",
            ) from None

    def __repr__(self) -> str:
        return f"Transport({self._base_url}, {self._signer or 'anonymous'})"

    @property
    def address(self) -> str:
        """The address of the API."""
        return self._base_url

    @property
    def signed(self) -> bool:
        """Whether requests are signed."""
        return self._signer is not None

    def use_account_rates(self, rates: BucketRates, costs: EndpointCosts) -> None:
        """Use the account's own rate limits and token costs from now on."""
        self._budget.rates = rates
        self._costs = costs

    def tokens_of(self, path: str) -> int:
        """Return the tokens that a GET request of a path (below the API root) costs."""
        return self._costs.cost("GET", path)

    def tokens_per_second(self, path: str) -> int:
        """Return the tokens per second that may be spent on GET requests of a path."""
        return self._budget.rates[bucket_of(path)].refill_rate

    def threads(self, count: int, name: str) -> ThreadPoolExecutor:
        """Return a pool of threads for requests.

        ``close`` waits for these threads, so that afterwards no thread holds a connection.
        """
        pool = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._pools.append(pool)
        return pool

    @property
    def page_threads(self) -> ThreadPoolExecutor:
        """The pool of threads that fetch the next pages of all lists.

        The lists share one pool, because a backfill reads many thousands of lists with one transport.
        """
        with self._making_pool:
            if self._page_pool is None:
                self._page_pool = self.threads(_PAGES_IN_FLIGHT, "kalshi-page")
            return self._page_pool

    def close(self) -> None:
        """Close the connections. Running requests fail and are not retried."""
        self._closing.set()
        self._http.close()
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)

    def get(
        self,
        path: str,
        params: QueryParams = (),
        *,
        decode: Callable[[bytes], T],
        meaningful: Collection[int] = (),
    ) -> T:
        """Send a GET request for ``path`` (below the API root) and decode the response.

        Args:
            path: Path below the API root.
            params: Query parameters.
            decode: Decodes the body. If it raises UnreadableBody, the request is retried.
            meaningful: Error statuses whose body is decoded like that of status 200, if possible.

        Raises:
            ApiError: The exchange sent an error status. Statuses 429 and 5xx are raised only after the last attempt.
            MalformedResponse: The body could not be decoded on any attempt.
            TransportFailed: No complete response arrived on any attempt.
            RateBudgetExceeded: The wait for the rate budget would be too long.
        """
        line = RequestLine(path, tuple(params))
        # This list holds at most one error: a refusal because of an expired timestamp, if the clock of the signatures
        # was then set to the exchange's clock. After this error the request is sent once more.
        stale: list[KalshiError] = []
        for attempt in stamina.retry_context(
            on=lambda error: error in stale or self._worth_another_attempt(error),
            attempts=self._patience.attempts,
            timeout=self._patience.total_seconds,
            wait_initial=0.25,
            wait_max=15.0,
            wait_jitter=0.5,
        ):
            with attempt:
                answer = self._answer(line, attempt.num)
                decoded, failure = _outcome(line, answer, decode, meaningful, attempt.num)
                if failure is None:
                    return decoded  # type: ignore[return-value]  # there is a failure or a decoded answer
                if not stale and self._follow_clock_if_stale(failure, answer):
                    stale.append(failure)
                self._log_failure(failure, attempt.num)
                raise failure
        raise AssertionError("stamina gives up by raising")

    def _answer(self, line: RequestLine, number: int) -> _Answer:
        self._refuse_when_closing(line)
        request = self._http.build_request("GET", self._base_url + line.path, params=line.params)
        self._budget.acquire(self._costs.cost("GET", line.path), bucket_of(line.path))
        self._refuse_when_closing(line)
        if self._signer:
            path = request.url.raw_path.partition(b"?")[0].decode("ascii")
            request.headers.update(self._signer.headers("GET", path))
        answer, reason = self._send(request)
        if isinstance(answer, type):
            problem = f"{line} got no complete response from {self._base_url} on attempt {number} ({reason})."
            failure = answer(problem, _RETRY)
            self._log_failure(failure, number)
            # The error is raised outside the except block, because httpx errors hold the request with its signature.
            raise failure
        exchange_ms = _http_date_ms(answer.date)
        if exchange_ms is not None:
            self.clock_difference_ms = exchange_ms - now_us() // 1_000
        logger.debug("%s was answered %d with %d bytes", line, answer.status, len(answer.body))
        return answer

    def _send(self, request: httpx.Request) -> tuple[_Answer | type[TransportFailed], str]:
        """Return the response, or the type of the error and its reason if no complete response arrived."""
        give_up = time.monotonic() + self._patience.answer_seconds
        body = bytearray()
        try:
            response = self._http.send(request, stream=True)
            try:
                for chunk in response.iter_bytes():
                    body += chunk
                    if time.monotonic() > give_up:
                        return AbsurdAnswer, f"not complete after {self._patience.answer_seconds:.0f} s"
                    if len(body) > self._patience.answer_bytes:
                        return AbsurdAnswer, f"longer than {self._patience.answer_bytes} bytes"
            finally:
                response.close()
        except httpx.HTTPError as error:
            return TransportFailed, printable(f"{type(error).__name__}: {error}")
        except RuntimeError:
            if not self._closing.is_set():
                raise
            return TransportFailed, "the client was closed"
        signed_ms = request.headers.get("KALSHI-ACCESS-TIMESTAMP")
        date = response.headers.get("Date")
        return _Answer(response.status_code, bytes(body), date, int(signed_ms) if signed_ms else None), ""

    def _refuse_when_closing(self, line: RequestLine) -> None:
        if self._closing.is_set():
            raise TransportFailed(f"{line} was not sent: the client is closed.", "Open a new client.")

    def _worth_another_attempt(self, error: Exception) -> bool:
        if self._closing.is_set():
            return False
        return isinstance(error, RateLimited | ServerError | TransportFailed | MalformedResponse)

    def _follow_clock_if_stale(self, failure: KalshiError, answer: _Answer) -> bool:
        refused = isinstance(failure, Unauthorized) and failure.has_code("header_timestamp_expired")
        exchange_ms = _http_date_ms(answer.date)
        if self._signer is None or not refused or exchange_ms is None or answer.signed_ms is None:
            return False
        off = exchange_ms - answer.signed_ms
        if abs(off) < _LEAST_CLOCK_STEP_MS:
            return False
        self._signer.follow_clock(exchange_ms)
        logger.warning(
            "This computer's clock differs from the exchange's clock by %d ms; signatures use the exchange's clock.",
            off,
        )
        return True

    def _log_failure(self, failure: KalshiError, number: int) -> None:
        if isinstance(failure, RateLimited):
            self._budget.empty(bucket_of(failure.request.path))
        logger.warning(
            "%s",
            failure.problem,
            extra={"kalshi_attempt": number, "kalshi_error": type(failure).__name__},
        )


def path_with(template: str, **values: str) -> str:
    """Return a path with escaped values, such as tickers, in place of the template's names.

    Raises:
        InvalidRequest: A value is empty or is a relative path segment.
    """
    for name, value in values.items():
        if value in ("", ".", ".."):
            raise InvalidRequest(f"{value!r} is not a {name}.", "Pass the ticker as the exchange writes it.")
    return template.format(**{name: quote(value, safe="") for name, value in values.items()})


def _outcome(
    line: RequestLine, answer: _Answer, decode: Callable[[bytes], T], meaningful: Collection[int], attempts: int
) -> tuple[T | None, KalshiError | None]:
    """Return the decoded response, or the error that describes the response."""
    refusal = None if answer.status == 200 else api_error(line, answer.status, answer.body, attempts)
    if refusal and answer.status not in meaningful:
        return None, refusal
    try:
        return decode(answer.body), None
    except UnreadableBody as error:
        reason = printable(str(error))
    times = "" if attempts == 1 else f", {attempts} times"
    problem = f"{line} was answered {answer.status} with a body that cannot be decoded{times} ({reason})."
    remedy = "Run again. If the error persists, the exchange changed its format."
    return None, refusal or MalformedResponse(problem, remedy)


def _http_date_ms(text: str | None) -> int | None:
    try:
        moment = email.utils.parsedate_to_datetime(text or "")
    except ValueError:
        return None
    # The Date header omits the fraction of the second. Half a second is added, which is the mean fraction.
    return int(moment.timestamp() * 1000) + 500
