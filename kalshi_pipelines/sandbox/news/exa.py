"""Searches in Exa's format: the JSON of requests, results and refusals.

Sources: recordings of January 2026 (``/search``), and the fields that the client exa-py 2.28 sends and reads. The
refusals follow the vendor's page on error codes.
"""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from kalshi_pipelines import units
from kalshi_pipelines.sandbox.news.charges import dollars
from kalshi_pipelines.sandbox.news.search import ArticleQuery
from kalshi_pipelines.sandbox.news.stories import GeneratedArticle

MOST_RESULTS: Final = 100
_USUAL_RESULTS: Final = 10
_USUAL_CHARACTERS: Final = 10_000
_HIGHLIGHT: Final = 200
_MESSAGES: Final = {
    429: ("You've exceeded your Exa rate limit of 10 requests per second.", "RATE_LIMIT_EXCEEDED"),
    500: ("Internal server error", "INTERNAL_ERROR"),
}


class SearchRefused(Exception):
    """Refusal of a search request in Exa's format.

    Holds an HTTP status, a message, and the vendor's tag for the error.
    """

    def __init__(self, status: int, error: str, tag: str) -> None:
        super().__init__(error)
        self.status, self.error, self.tag = status, error, tag

    def body(self, request_id: str) -> bytes:
        """Return the refusal as JSON."""
        return orjson.dumps({"requestId": request_id, "error": self.error, "tag": self.tag})


def failed(status: int) -> SearchRefused:
    """Return the refusal for an HTTP status that an injected fault demands."""
    return SearchRefused(status, *_MESSAGES.get(status, (f"HTTP {status}", "UNKNOWN")))


@dataclass(frozen=True)
class Search:
    """A search request: its query, the length of text in each result, and whether results have highlights."""

    wanted: ArticleQuery
    text: int | None
    highlights: bool


def search_of(body: bytes) -> Search:
    """Parse the body of a search request.

    Raises:
        SearchRefused: 400 if the body is not a valid search request.
    """
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _bad("Request body is no JSON") from None
    if not isinstance(asked, dict) or not isinstance(asked.get("query"), str) or not asked["query"].strip():
        raise _bad("query: required, a string that is not empty")
    most = asked.get("numResults", _USUAL_RESULTS)
    if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= MOST_RESULTS:
        raise SearchRefused(400, f"numResults: a number from 1 to {MOST_RESULTS}", "INVALID_NUM_RESULTS")
    wanted = ArticleQuery(
        asked["query"],
        most,
        _instant(asked, "startPublishedDate"),
        _instant(asked, "endPublishedDate"),
        _domains(asked, "includeDomains"),
        _domains(asked, "excludeDomains"),
    )
    contents = asked.get("contents") or {}
    if not isinstance(contents, dict):
        raise _bad("contents: an object is expected")
    return Search(wanted, _characters(contents.get("text")), bool(contents.get("highlights")))


def result(article: GeneratedArticle, search: Search, number: int) -> dict[str, Any]:
    """Return one search result as JSON values. As in Exa's responses, an unknown date is absent, null or empty."""
    row: dict[str, Any] = {"id": article.url, "title": article.title, "url": article.url}
    if article.published_us is not None:
        row["publishedDate"] = units.instant(article.published_us).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    elif number % 3:
        row["publishedDate"] = None if number % 3 == 1 else ""
    row["author"] = article.author
    if number % 2:
        row["favicon"] = f"https://www.{article.outlet.domain}/favicon.ico"
    if search.text is not None:
        row["text"] = article.text[: search.text]
    if search.highlights:
        row["highlights"] = [article.text[:_HIGHLIGHT]]
    return row


def answer(results: list[dict[str, Any]], cost: int | None, request_id: str) -> bytes:
    """Return the body of a response to a search.

    ``cost`` is in micro-dollars. If it is None, the body contains no cost.
    """
    body: dict[str, Any] = {
        "requestId": request_id,
        "resolvedSearchType": "neural",
        "results": results,
        "searchTime": 100.0 + len(results),
    }
    if cost is not None:
        body["costDollars"] = {"total": dollars(cost), "search": {"neural": dollars(cost)}}
    # Use the json package. A hostile result may contain a lone surrogate, which JSON can express but orjson cannot
    # write.
    return json.dumps(body).encode()


def _bad(why: str) -> SearchRefused:
    return SearchRefused(400, why, "INVALID_REQUEST_BODY")


def _instant(asked: Mapping[str, Any], name: str) -> int | None:
    value = asked.get(name)
    if value is None:
        return None
    try:
        instant = dt.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _bad(f"{name}: an ISO 8601 date is expected") from None
    return units.microseconds(instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC))


def _domains(asked: Mapping[str, Any], name: str) -> tuple[str, ...]:
    domains = asked.get(name) or []
    if not isinstance(domains, list) or not all(isinstance(domain, str) for domain in domains):
        raise _bad(f"{name}: a list of strings is expected")
    return tuple(domains)


def _characters(text: object) -> int | None:
    """Return the number of characters of text that a search requests for each result, or None for no text."""
    if isinstance(text, dict):
        most = text.get("maxCharacters", _USUAL_CHARACTERS)
        return most if isinstance(most, int) and most > 0 else _USUAL_CHARACTERS
    return _USUAL_CHARACTERS if text is True else None
