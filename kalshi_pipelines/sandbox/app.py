"""The sandbox exchange as an ASGI application.

Belongs here: what every API request goes through (journal, faults, signature, rate limit) and the table of endpoints.
Does not belong here: the answers. Another side of the exchange joins by adding its endpoints to ``sandbox_app``.
"""

from collections.abc import Awaitable, Callable, Sequence
from email.utils import formatdate
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kalshi_pipelines.sandbox.admin import Admin
from kalshi_pipelines.sandbox.clock import SECOND_US
from kalshi_pipelines.sandbox.endpoints import Call, Endpoint
from kalshi_pipelines.sandbox.errors import ApiError, nested, not_found
from kalshi_pipelines.sandbox.event_endpoints import EVENT_ENDPOINTS
from kalshi_pipelines.sandbox.exchange import EndpointRecord, Exchange
from kalshi_pipelines.sandbox.exchange_endpoints import EXCHANGE_ENDPOINTS
from kalshi_pipelines.sandbox.faults import after_answer, before_answer
from kalshi_pipelines.sandbox.market_endpoints import MARKET_ENDPOINTS
from kalshi_pipelines.sandbox.recordings import API_ROOT
from kalshi_pipelines.sandbox.signatures import SignedText, unsigned
from kalshi_pipelines.sandbox.validation import Query

READ_ENDPOINTS: Final = (*EXCHANGE_ENDPOINTS, *EVENT_ENDPOINTS, *MARKET_ENDPOINTS)


def sandbox_app(exchange: Exchange, endpoints: Sequence[Endpoint] = READ_ENDPOINTS) -> Starlette:
    """The ASGI application of an exchange: its API endpoints and its admin routes."""

    # The longest literal paths first: /markets/orderbooks is no ticker.
    ordered = sorted(endpoints, key=lambda endpoint: (endpoint.template.count("{"), -len(endpoint.template)))
    routes = [
        Route(API_ROOT + endpoint.template, _served(exchange, endpoint), methods=[endpoint.method])
        for endpoint in ordered
    ]

    async def unknown(request: Request, error: Exception) -> Response:
        return _unknown_path(exchange, request, error)

    return Starlette(
        routes=[*routes, *Admin(exchange).routes()],
        exception_handlers={HTTPException: unknown},
    )


def _served(exchange: Exchange, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        record = exchange.journal.arrived(endpoint.name, exchange.clock.now_us())
        try:
            response = await _answer(exchange, endpoint, request, record)
        except ApiError as refusal:
            response = Response(refusal.content, refusal.status, media_type="application/json")
        record.statuses[response.status_code] += 1
        return _dated(exchange, response)

    return serve


async def _answer(exchange: Exchange, endpoint: Endpoint, request: Request, record: EndpointRecord) -> Response:
    faults = exchange.faults.due(endpoint.name)
    broken = await before_answer(faults) if faults else None
    if broken is not None:
        return broken
    caller = exchange.keys.caller(request.headers, SignedText(request.method, request.scope["raw_path"].decode()))
    if endpoint.needs_key and caller is None:
        raise unsigned()
    call = Call(
        request.path_params,
        Query(endpoint.operation, request.query_params),
        caller,
        body=await request.body(),
        now_us=exchange.clock.now_us(),
    )
    charges = endpoint.price(exchange.limits.cost(endpoint.name), call)
    exchange.limits.charge(caller, charges)
    record.tokens += sum(charge.tokens for charge in charges)
    content, status = _content(exchange, endpoint, request, call)
    spoiled = after_answer(faults, content, request.query_params.get("cursor", "")) if faults else None
    return spoiled or _response(content, status)


def _response(content: bytes, status: int) -> Response:
    return Response(status_code=204) if status == 204 else Response(content, status, media_type="application/json")


def _content(exchange: Exchange, endpoint: Endpoint, request: Request, call: Call) -> tuple[bytes, int]:
    if exchange.replay is not None and request.method == "GET":
        path = request.url.path.removeprefix(API_ROOT)
        recorded = exchange.replay.answer(path, request.url.query)
        if recorded is not None:
            return recorded.text.encode(), recorded.status
    return endpoint.answer(exchange, call), endpoint.success


def _unknown_path(exchange: Exchange, request: Request, error: Exception) -> Response:
    """Paths without an endpoint: a recording may still answer them; else 404, or 405 for a wrong method."""
    if exchange.replay is not None and request.method == "GET":
        recorded = exchange.replay.answer(request.url.path.removeprefix(API_ROOT), request.url.query)
        if recorded is not None:
            return _dated(exchange, Response(recorded.text, recorded.status, media_type="application/json"))
    if isinstance(error, HTTPException) and error.status_code == 405:
        refusal = nested(405, "method_not_allowed", "method not allowed")
    else:
        refusal = not_found()
    return _dated(exchange, Response(refusal.content, refusal.status, media_type="application/json"))


def _dated(exchange: Exchange, response: Response) -> Response:
    # The exchange's own time, which a client with a wrong clock is told to go by.
    response.headers["Date"] = formatdate(exchange.clock.now_us() / SECOND_US, usegmt=True)
    return response
