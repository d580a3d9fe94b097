"""Contracts outside of the exchange's REST interface: WebSocket frames, documents, Exa and news feeds."""

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from kalshi_pipelines.contracts.declared.fields import (
    MILLISECONDS,
    NULLABLE,
    OPTIONAL,
    USUAL,
    count,
    free,
    listed,
    number,
    price,
    record,
    records,
    text,
    uuid,
    whole,
    word,
)
from kalshi_pipelines.contracts.declared.reading import instant_of, rows_at, text_at
from kalshi_pipelines.contracts.language.declarations import Access, BrokenRule, Contract, Field, Paging, by_place
from kalshi_pipelines.contracts.language.responses import Response

_EVERYWHERE: Final = ("sandbox", "demo", "prod")


def _hosts(*names: str) -> dict[str, frozenset[str]]:
    return dict.fromkeys(_EVERYWHERE, frozenset({*names, "127.0.0.1", "localhost"}))


EXA_HOST: Final = _hosts("api.exa.ai")
DOCS_HOST: Final = _hosts("docs.kalshi.com")
_EXA_ERRORS: Final = {400: ("text",), 401: ("text",), 429: ("text",), 410: ("text",)}
_RESULT: Final = (
    text("id", "news_articles"),
    text("title", "news_articles", is_nullable=True),
    text("url", "news_articles"),
    text("publishedDate", "news_articles", **NULLABLE),
    text("author", **NULLABLE),
    number("score", **NULLABLE),
    text("text", "news_articles", **OPTIONAL),
    text("summary", **OPTIONAL),
    *listed("highlights", text(""), is_required=False),
    *listed("highlightScores", number(""), is_required=False),
    text("image", **NULLABLE),
    text("favicon", **NULLABLE),
)
_COSTS: Final = (number("total", "news_articles", least=0), free("search", **OPTIONAL), free("contents", **OPTIONAL))
_STATUS: Final = (
    text("id"),
    word("status", "success|error", is_closed=False),
    text("source", **OPTIONAL),
    free("error", **NULLABLE),
)


def _asked_for(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
    sent = dict(response.request.sent)
    most, domains = sent.get("numResults"), sent.get("includeDomains")
    rows = [row for _, row in rows_at(body, "results[]")]
    if isinstance(most, int) and len(rows) > most:
        yield BrokenRule("results", "more results than were paid for", f"{len(rows)} of {most}")
    for row in rows:
        host = _host_of(text_at(row, "url"))
        if isinstance(domains, list) and domains and not any(host.endswith(str(domain)) for domain in domains):
            yield BrokenRule("results[].url", "includeDomains is ignored", host)
        published = instant_of(row.get("publishedDate"))
        earliest, latest = (instant_of(sent.get(f"{end}PublishedDate")) for end in ("start", "end"))
        if published and earliest and published < earliest:
            yield BrokenRule("results[].publishedDate", "startPublishedDate is ignored", str(published))
        if published and latest and published > latest:
            yield BrokenRule("results[].publishedDate", "endPublishedDate is ignored", str(published))


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # The address is malformed, such as https://[::1/
        return ""


def _exa(endpoint: str, *also: tuple[Field, ...]) -> Contract:
    return Contract(
        endpoint,
        by_place(
            (
                text("requestId"),
                text("resolvedSearchType", is_required=False, is_usual=True),
                number("searchTime", **OPTIONAL),
                text("context", **OPTIONAL),
                text("autopromptString", **NULLABLE),
            ),
            records("results", _RESULT),
            record("costDollars", _COSTS, is_required=False),
            *also,
        ),
        access=Access.KEY,
        paging=Paging("results", cursor="", key=("id",)),
        invariants=(_asked_for,),
        errors=_EXA_ERRORS,
        hosts=EXA_HOST,
        used_by=("news_articles",),
    )


_SIDE: Final = word("side", "yes|no", "orderbooks")
_DELTA: Final = (
    text("market_ticker", "orderbooks"),
    uuid("market_id", **OPTIONAL),
    price("price_dollars", "orderbooks"),
    count("delta_fp", "orderbooks", least=None),
    _SIDE,
    text("ts", **USUAL),
    whole("ts_ms", within=MILLISECONDS, is_required=False),
    text("client_order_id", **OPTIONAL),
    whole("subaccount", **OPTIONAL),
)

OTHER_VENDORS: Final = (
    _exa("POST api.exa.ai/search"),
    _exa("POST api.exa.ai/contents", records("statuses", _STATUS, is_required=False, is_usual=True)),
    _exa("POST api.exa.ai/findSimilar"),
    Contract(
        "WS orderbook_delta",
        by_place((word("type", "orderbook_delta"), whole("sid"), whole("seq")), record("msg", _DELTA)),
        access=Access.KEY,
        used_by=("orderbooks",),
    ),
    Contract("GET docs.kalshi.com/changelog/rss.xml", {}, hosts=DOCS_HOST),
    Contract("GET docs.kalshi.com/openapi.yaml", {}, hosts=DOCS_HOST),
)
"""Contracts outside of the exchange's REST interface.

A contract with a published document declares no fields, so only the status, the host and redirects are checked.
"""
