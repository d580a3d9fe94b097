"""The HTTP client of probes. It returns each answer as received, up to a size limit, and follows no redirect.

Belongs here: time-outs, bounds, the rate budget, signatures, the second attempt. Does not belong here: the choice of
requests (``exchange_probes``, ``other_vendor_probes``), and judging answers (``comparison``).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlsplit

import httpx
import orjson

from kalshi_pipelines.contracts.language.differences import in_one_line
from kalshi_pipelines.contracts.language.responses import Response, VendorRequest
from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.kalshi.rate_budget import DEFAULT_COST, RateBudget, bucket_of
from kalshi_pipelines.kalshi.signing import Signer
from kalshi_pipelines.units import now_us

#: The largest number of bytes that an answer may have. If an answer is longer, reading stops one byte after this limit,
#: so that the check reports the body as absurd.
MOST_BYTES: Final = 32 * 1024 * 1024
ANSWER_SECONDS: Final = 30.0
_TIMEOUT: Final = httpx.Timeout(connect=10, read=15, write=10, pool=10)
_AGAIN_AFTER_SECONDS: Final = 1.0
_WORTH_ANOTHER: Final = frozenset({429, 500, 502, 503, 504})
_HEADERS: Final = {
    "Accept": "application/json, application/yaml, application/rss+xml, text/xml;q=0.9",
    # Probes ask for English. For other languages the exchange would translate titles and rules.
    "Accept-Language": "en-US",
    "User-Agent": "kalshi-pipelines",
}


@dataclass(frozen=True)
class ProbeFailure:
    """A probe that got no complete answer.

    Attributes:
        request: The request without a complete answer.
        reason: Why there is no complete answer, without secrets.
    """

    request: VendorRequest
    reason: str


class ProbeTimeUsedUp(ExpectedError):
    """The error for a probe that is not sent, because the time limit of the contract run is reached."""


@dataclass
class ProbeClient:
    """The client that sends the requests of one run.

    Attributes:
        http: The HTTP client, which must not follow redirects.
        environment: ``sandbox``, ``demo`` or ``prod``.
        ends_at: The end of the run by ``time.monotonic``.
        clock: Returns the present instant in microseconds since 1970 UTC.
        budget: The rate budget to charge for each request; ``None`` if requests are free.
        signer: The signer of signed requests; ``None`` if there is no key.
        requests: The number of requests sent.
        sleep: Waits between two attempts.
    """

    http: httpx.Client
    environment: str
    ends_at: float
    clock: Callable[[], int] = now_us
    budget: RateBudget | None = None
    signer: Signer | None = None
    requests: int = 0
    sleep: Callable[[float], object] = field(default=time.sleep, repr=False)

    def send(
        self, request: VendorRequest, root: str, extra: Mapping[str, str] | None = None, path: str | None = None
    ) -> Response | ProbeFailure:
        """Send a request, with a second attempt after a temporary failure.

        Args:
            request: The request to send.
            root: The root address, to which the path is appended.
            extra: Additional headers.
            path: A path that replaces the path of the endpoint.

        Raises:
            ProbeTimeUsedUp: The time limit of the run is reached.
        """
        answer = self.send_once(request, root, extra or {}, path)
        if isinstance(answer, ProbeFailure) or answer.status in _WORTH_ANOTHER:
            self.sleep(_AGAIN_AFTER_SECONDS)
            return self.send_once(request, root, extra or {}, path)
        return answer

    def send_once(
        self, request: VendorRequest, root: str, extra: Mapping[str, str], path: str | None = None
    ) -> Response | ProbeFailure:
        """Send a request in a single attempt.

        Raises:
            ProbeTimeUsedUp: The time limit of the run is reached.
        """
        if time.monotonic() > self.ends_at:
            raise ProbeTimeUsedUp("the time of the run is used up")
        method, path = request.endpoint.split(" ", 1)[0], path or path_of(request)
        params = httpx.QueryParams({name: list(values) for name, values in request.query.items()})
        body = orjson.dumps(dict(request.sent)) if request.sent else None
        headers = dict(extra) | ({"Content-Type": "application/json"} if body else {})
        outgoing = self.http.build_request(method, root + path, params=params or None, content=body, headers=headers)
        try:
            if self.budget is not None:
                self.budget.acquire(DEFAULT_COST, bucket_of(path))
            if request.is_signed and self.signer is not None and request.endpoint.split(" ")[1].startswith("/"):
                signed = outgoing.url.raw_path.partition(b"?")[0].decode("ascii")
                outgoing.headers.update(self.signer.headers(method, signed))
        except KalshiError as error:
            return ProbeFailure(request, in_one_line(str(error)))
        self.requests += 1
        return self._receive(request, outgoing)

    def _receive(self, request: VendorRequest, outgoing: httpx.Request) -> Response | ProbeFailure:
        give_up = min(time.monotonic() + ANSWER_SECONDS, self.ends_at + 1)
        body = bytearray()
        try:
            answer = self.http.send(outgoing, stream=True)
            try:
                for chunk in answer.iter_bytes(64 * 1024):
                    body += chunk[: MOST_BYTES + 1 - len(body)]
                    if len(body) > MOST_BYTES:
                        break
                    if time.monotonic() > give_up:
                        return ProbeFailure(request, f"the answer was not complete after {ANSWER_SECONDS:.0f} seconds")
            finally:
                answer.close()
        except httpx.HTTPError as error:
            return ProbeFailure(request, in_one_line(f"{type(error).__name__}: {error}"))
        headers = {name.lower(): value for name, value in answer.headers.items()}
        url = str(outgoing.url)
        return Response(request, answer.status_code, headers, bytes(body), self.clock(), url, self.environment)


def plain_client(*, trust_proxies: bool) -> httpx.Client:
    """Return an HTTP client for probes, which follows no redirect."""
    return httpx.Client(
        headers=_HEADERS, timeout=_TIMEOUT, follow_redirects=False, trust_env=trust_proxies, max_redirects=0
    )


def path_of(request: VendorRequest) -> str:
    """Return the path of a request with the values of its path parameters.

    The endpoint of another vendor, such as ``POST api.exa.ai/search``, has a host; the path starts after the host.
    """
    target = request.endpoint.split(" ", 1)[1]
    target = target if target.startswith("/") else urlsplit(f"https://{target}").path
    return target.format(**{name: quote(value, safe="") for name, value in request.path.items()})
