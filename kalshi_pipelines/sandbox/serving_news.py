"""The generated news over HTTP: searches in Exa's format, and feeds.

The steps of a request are like those of a request to the exchange (``serving``), but without signatures and token
budgets. They are: record the request, apply faults, check the key, build the response, apply drift. Does not belong
here: the articles (``news``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from kalshi_pipelines.sandbox.errors import ErrorResponse
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.faults.effects import SandboxAnswer, after_answer, before_answer, find_fault
from kalshi_pipelines.sandbox.faults.plan import Fault, ObservedRequest
from kalshi_pipelines.sandbox.faults.wire import UNANSWERED
from kalshi_pipelines.sandbox.news import exa
from kalshi_pipelines.sandbox.news.charges import MICRO
from kalshi_pipelines.sandbox.news.feeds import ATOM, RSS
from kalshi_pipelines.sandbox.news.hostile import HOSTILE_FEEDS
from kalshi_pipelines.sandbox.serving import dated

EXA_ROOT: Final = "/exa"
KEY_HEADER: Final = "x-api-key"
_JSON: Final = "application/json"
_NOT_SERVED: Final = ("/contents", "/answer", "/findSimilar")

Answering = Callable[[Exchange, Request, bytes, Sequence[Fault]], SandboxAnswer]


@dataclass(frozen=True)
class NewsEndpoint:
    """An endpoint of the generated news.

    The path of its address is ``root`` plus ``path``. Faults and drift name the endpoint by its method and ``path``,
    without ``root``.
    """

    method: str
    path: str
    answer: Answering
    media_type: str = _JSON
    root: str = ""

    @property
    def name(self) -> str:
        """Method and path of the endpoint, such as ``POST /search``."""
        return f"{self.method} {self.path}"


def _search(exchange: Exchange, request: Request, body: bytes, faults: Sequence[Fault]) -> SandboxAnswer:
    news = exchange.news
    request_id = news.next_request_id()
    other = find_fault(faults, "other_cost")
    cost = None if other is None else int(Decimal(str(other.value)) * MICRO)
    try:
        news.check_access(request.headers.get(KEY_HEADER, ""))
        tells_cost = find_fault(faults, "no_cost") is None
        answer = news.search(body, exchange.clock.now_us(), request_id, cost=cost, tells_cost=tells_cost)
    except exa.SearchRefused as refused:
        return SandboxAnswer(refused.status, refused.body(request_id))
    return SandboxAnswer(200, answer)


def _not_served(exchange: Exchange, request: Request, body: bytes, faults: Sequence[Fault]) -> SandboxAnswer:
    refused = exa.SearchRefused(404, "The sandbox does not serve this endpoint", "NOT_SERVED")
    return SandboxAnswer(refused.status, refused.body(exchange.news.next_request_id()))


def _retired(exchange: Exchange, request: Request, body: bytes, faults: Sequence[Fault]) -> SandboxAnswer:
    refused = exa.SearchRefused(410, "The research endpoint was retired", "RESEARCH_RETIRED")
    return SandboxAnswer(refused.status, refused.body(exchange.news.next_request_id()))


def _rss(exchange: Exchange, request: Request, body: bytes, faults: Sequence[Fault]) -> SandboxAnswer:
    return SandboxAnswer(200, exchange.news.rss(request.query_params.get("q", ""), exchange.clock.now_us()))


def _front_page(exchange: Exchange, request: Request, body: bytes, faults: Sequence[Fault]) -> SandboxAnswer:
    return SandboxAnswer(200, exchange.news.rss(None, exchange.clock.now_us()))


def _atom(exchange: Exchange, request: Request, body: bytes, faults: Sequence[Fault]) -> SandboxAnswer:
    return SandboxAnswer(200, exchange.news.atom(request.query_params.get("q", ""), exchange.clock.now_us()))


NEWS_ENDPOINTS: Final = (
    NewsEndpoint("POST", "/search", _search, root=EXA_ROOT),
    *(NewsEndpoint("POST", path, _not_served, root=EXA_ROOT) for path in _NOT_SERVED),
    NewsEndpoint("POST", "/research/v1", _retired, root=EXA_ROOT),
    NewsEndpoint("GET", "/rss/search", _rss, RSS),
    NewsEndpoint("GET", "/rss/top.xml", _front_page, RSS),
    NewsEndpoint("GET", "/atom/search", _atom, ATOM),
)


def news_routes(exchange: Exchange) -> list[Route]:
    """Return the server routes of the generated news."""
    routes = [
        Route(endpoint.root + endpoint.path, _NewsService(exchange, endpoint).serve, methods=[endpoint.method])
        for endpoint in NEWS_ENDPOINTS
    ]

    async def hostile_feed(request: Request) -> Response:
        return _hostile_feed(exchange, request.path_params["kind"])

    return [*routes, Route("/rss/hostile/{kind}", hostile_feed)]


class _NewsService:
    """Handler of all requests to one endpoint of the generated news."""

    def __init__(self, exchange: Exchange, endpoint: NewsEndpoint) -> None:
        self._exchange, self._endpoint = exchange, endpoint

    async def serve(self, request: Request) -> Response:
        """Answer a request for news, or let it fail as the injected faults demand."""
        exchange, endpoint = self._exchange, self._endpoint
        record = exchange.journal.record_arrival(endpoint.name, exchange.clock.now_us())
        try:
            body = await request.body()
        except ClientDisconnect:
            record.statuses[UNANSWERED] += 1
            return Response()
        faults = exchange.faults.count_request(
            ObservedRequest(endpoint.name, request.path_params, request.query_params, body)
        )
        try:
            response = await before_answer(faults)
        except ErrorResponse as error:
            # A fault raised an error in the exchange's JSON shape. Replace it by an error in the news provider's shape.
            refused = exa.failed(error.status)
            response = Response(refused.body(exchange.news.next_request_id()), error.status, media_type=_JSON)
        if response is None:
            response = after_answer(faults, endpoint.answer(exchange, request, body, faults), "")
            if type(response) is Response and response.status_code == 200:
                response.headers["Content-Type"] = endpoint.media_type
        response = exchange.drift.apply(endpoint.name, response, is_signed=KEY_HEADER in request.headers)
        record.statuses[response.status_code] += 1
        return dated(exchange, response)


def _hostile_feed(exchange: Exchange, kind: str) -> Response:
    if kind == "redirect":
        return Response(status_code=302, headers={"Location": f"{exchange.news.trap}/redirected"})
    if kind not in HOSTILE_FEEDS:
        return Response(
            f"This kind does not exist. Use redirect, {', '.join(HOSTILE_FEEDS)}.", 404, media_type="text/plain"
        )
    headers = {"Content-Encoding": "gzip"} if kind == "gzip_bomb" else {}
    return Response(HOSTILE_FEEDS[kind](exchange.news.trap), headers=headers, media_type=RSS)
