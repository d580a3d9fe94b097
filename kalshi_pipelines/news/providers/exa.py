"""Exa's search through the vendor's SDK ``exa-py``.

The SDK builds the request and reads the answer. This module overrides the SDK's ``request`` and sends the request
itself. The SDK would follow a redirect with the key, wait ten minutes and read an answer of any length.

Prices (exa.ai/docs/reference/pricing, November 2026): a search with ten results and their texts costs $0.007. Each
further result costs $0.001. Until March 2026 a search cost $0.005 and each text $0.001. The reservation covers both
price lists.
"""

import datetime as dt
import json
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from kalshi_pipelines.alerts.scrubbing import neutral
from kalshi_pipelines.contracts.comparison.checking import check
from kalshi_pipelines.contracts.language.differences import Difference
from kalshi_pipelines.contracts.language.responses import Response, VendorRequest
from kalshi_pipelines.contracts.probing.other_vendor_probes import EXA, cost_of
from kalshi_pipelines.news.fetching import NotFetched, read_bounded, unpack
from kalshi_pipelines.news.providers.protocol import NewsQuery, ProviderAnswer, ProviderFailed, RawArticle
from kalshi_pipelines.units import instant, microseconds, now_us

VENDOR: Final = "api.exa.ai"
ENDPOINT: Final = "POST api.exa.ai/search"
_SEARCH_MICRODOLLARS: Final = 7_000
_RESULT_MICRODOLLARS: Final = 1_000
_MOST_BYTES: Final = 16 * 1024 * 1024
_SECONDS: Final = 60.0
_ATTEMPTS: Final = 3
_LONGEST_WAIT: Final = 10.0
#: HTTP statuses of searches that did not run and cost nothing.
_NOT_CHARGED: Final = frozenset({400, 401, 402, 403, 404, 405, 410, 413, 422, 429})
#: HTTP statuses after which every later search of the run would fail, too. Each status has a reason and a remedy.
_FATAL: Final = {
    401: ("the key is refused", "Check EXA_API_KEY."),
    402: ("the account has no credit left", "Top it up at dashboard.exa.ai."),
    403: ("the key may not search", "Check EXA_API_KEY."),
    404: ("there is no search at this address", "Update kalshi_pipelines."),
    410: ("the endpoint is gone", "Update kalshi_pipelines."),
}


class ExaProvider:
    """Exa's search as a news provider.

    Args:
        key: The API key.
        environment: The environment that contract findings are recorded for.
        base_url: The address of Exa, or of the sandbox in tests and demos.
        text_characters: The number of characters of text to request for each result; 0 requests no text.
    """

    name = "exa"
    vendor = VENDOR
    takes_queries = True

    def __init__(self, key: str, environment: str, base_url: str = EXA, text_characters: int = 10_000) -> None:
        self._key = key
        self._environment = environment
        self._base_url = base_url.rstrip("/")
        self._text_characters = text_characters

    def __repr__(self) -> str:
        return f"ExaProvider({self._base_url})"

    def most_microdollars(self, query: NewsQuery) -> int:
        """Return the price of a search plus the price of every result.

        The sum is an upper bound: the price of a search already includes ten results, which are counted twice here.
        """
        return _SEARCH_MICRODOLLARS + _RESULT_MICRODOLLARS * query.most_results

    def find(self, query: NewsQuery) -> ProviderAnswer:
        """Search Exa once.

        Raises:
            ProviderFailed: Exa gave no usable answer.
        """
        exchange = _Exchange(self._base_url, self._environment)
        client = _client(self._key, self._base_url, exchange)
        contents: Any = {"text": {"max_characters": self._text_characters}} if self._text_characters else False
        try:
            answer = client.search(
                query.text,
                type="auto",
                category="news",
                num_results=query.most_results,
                start_published_date=_moment(query.since_us),
                end_published_date=_moment(query.until_us),
                contents=contents,
            )
            articles = tuple(_article(result) for result in answer.results[: query.most_results])
        except ProviderFailed:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = f"Exa's answer cannot be read ({type(error).__name__}). Nothing of the answer was stored."
            raise ProviderFailed(problem, differences=exchange.differences) from None
        return ProviderAnswer(
            articles,
            cost_of(exchange.body),
            _request_id(exchange.body),
            max(len(answer.results) - query.most_results, 0),
            exchange.differences,
        )


class _Exchange:
    """One request to Exa, sent by this module instead of the SDK, and the contract differences in the answer."""

    def __init__(self, base_url: str, environment: str) -> None:
        self._base_url = base_url
        self._environment = environment
        self.body = b""
        self.differences: tuple[Difference, ...] = ()

    def request(self, endpoint: str, data: Mapping[str, Any], headers: Mapping[str, str]) -> Any:  # noqa: ANN401
        """Send a request to Exa, and return the JSON object of its answer in the form that the SDK expects."""
        status = 0
        for attempt in range(1, _ATTEMPTS + 1):
            status, answer_headers = self._post(endpoint, data, headers)
            if status != 429 or attempt == _ATTEMPTS:
                break
            time.sleep(_wait(answer_headers.get("retry-after"), attempt))
        self._compare(endpoint, data, status, answer_headers)
        if status != 200:
            raise self._failure(status)
        try:
            answer = json.loads(self.body)
        except (ValueError, RecursionError):
            raise ProviderFailed("Exa's answer is not JSON.", differences=self.differences) from None
        if not isinstance(answer, dict):
            raise ProviderFailed("Exa's answer is not a JSON object.", differences=self.differences)
        return answer

    def _post(self, endpoint: str, data: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[int, dict[str, str]]:
        import requests  # noqa: PLC0415  # a dependency of the SDK

        give_up = time.monotonic() + _SECONDS
        try:
            with requests.Session() as session:
                session.trust_env = urlsplit(self._base_url).hostname not in ("127.0.0.1", "localhost")
                response = session.post(
                    self._base_url + endpoint,
                    data=json.dumps(data),
                    headers={**headers, "Accept-Encoding": "gzip"},
                    timeout=(10, 30),
                    stream=True,
                    allow_redirects=False,
                )
                with response:
                    answer_headers = {name.lower(): value for name, value in response.headers.items()}
                    raw = response.raw.stream(65_536, decode_content=False)
                    chunks = unpack(answer_headers.get("content-encoding", ""), raw, _MOST_BYTES)
                    self.body = read_bounded(chunks, _MOST_BYTES, give_up, _SECONDS)
        except NotFetched as problem:
            raise ProviderFailed(f"Exa's answer cannot be used. {problem}") from None
        except requests.ConnectTimeout:
            raise ProviderFailed("Exa cannot be reached (timeout).", is_charged=False) from None
        except (requests.RequestException, OSError, ValueError) as error:
            raise ProviderFailed(f"Exa gave no complete answer ({type(error).__name__}).") from None
        except Exception as error:
            # Reading the raw stream raises errors of the package urllib3 instead of errors of the package requests.
            if type(error).__module__.startswith("urllib3"):
                raise ProviderFailed(f"Exa gave no complete answer ({type(error).__name__}).") from None
            raise
        return response.status_code, answer_headers

    def _compare(self, endpoint: str, data: Mapping[str, Any], status: int, headers: dict[str, str]) -> None:
        request = VendorRequest(ENDPOINT, is_signed=True, sent=dict(data))
        response = Response(request, status, headers, self.body, now_us(), self._base_url + endpoint, self._environment)
        self.differences = tuple(check(response).differences)

    def _failure(self, status: int) -> ProviderFailed:
        reason, remedy = _FATAL.get(status, (_message(self.body), ""))
        if 300 <= status < 400:
            reason = "the redirect was not followed and the key was not sent on"
        return ProviderFailed(
            f"Exa answered {status}: {reason}.",
            remedy,
            is_charged=status not in _NOT_CHARGED and not 300 <= status < 400,
            is_fatal=status in _FATAL,
            differences=self.differences,
        )


def _client(key: str, base_url: str, exchange: _Exchange) -> Any:  # noqa: ANN401  # the SDK has no types
    from exa_py import Exa  # noqa: PLC0415  # takes seconds: the SDK imports other vendors' SDKs

    class BoundedExa(Exa):
        """The SDK with bounded requests that never follow a redirect."""

        def request(self, endpoint: str, data: Any = None, *_: Any, **__: Any) -> Any:  # noqa: ANN401
            return exchange.request(endpoint, data or {}, self.headers)

    return BoundedExa(key, base_url)


def _article(result: Any) -> RawArticle:  # noqa: ANN401  # the SDK has no types
    return RawArticle(
        url=_text(result.url) or "",
        title=_text(result.title),
        published_us=_instant(result.published_date),
        text=_text(result.text) or _text(result.summary),
        provider_id=_text(result.id),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _instant(text: object) -> int | None:
    """Convert an ISO 8601 time to microseconds since 1970 UTC.

    A time without a zone is UTC. An invalid or empty time gives None. Exa is known to send empty times.
    """
    if not isinstance(text, str) or not text:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return microseconds(moment)


def _moment(us: int) -> str:
    """Return a time in the format that Exa accepts: ISO 8601, UTC, to the millisecond."""
    return instant(us).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _request_id(body: bytes) -> str | None:
    found = json.loads(body).get("requestId")
    return neutral(found, 100) if isinstance(found, str) else None


def _message(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return "no reason given"
    reason = answer.get("error") if isinstance(answer, dict) else None
    return neutral(reason, 100) if isinstance(reason, str) and reason else "no reason given"


def _wait(retry_after: str | None, attempt: int) -> float:
    """Return the seconds to wait before the next attempt.

    Exa's header ``retry-after`` sets the wait. Without the header, the wait grows with each attempt.
    """
    try:
        seconds = float(retry_after) if retry_after else float(attempt)
    except ValueError:
        seconds = float(attempt)
    return min(max(seconds, 0.0), _LONGEST_WAIT)
