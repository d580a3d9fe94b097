"""The sandbox exchange as an ASGI application.

Belongs here: the table of endpoints, unknown paths, and actions that fall due between requests. Does not belong here:
the responses, and the steps of a request (``serving``). New groups of endpoints are added to ``ENDPOINTS``.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kalshi_pipelines.sandbox.admin.exchange_routes import ADMIN_ROUTES
from kalshi_pipelines.sandbox.admin.routes import routes_of
from kalshi_pipelines.sandbox.api.account_endpoints import ACCOUNT_ENDPOINTS
from kalshi_pipelines.sandbox.api.endpoints import Endpoint
from kalshi_pipelines.sandbox.api.event_endpoints import EVENT_ENDPOINTS
from kalshi_pipelines.sandbox.api.exchange_endpoints import EXCHANGE_ENDPOINTS
from kalshi_pipelines.sandbox.api.market_endpoints import MARKET_ENDPOINTS
from kalshi_pipelines.sandbox.api.order_endpoints import ORDER_ENDPOINTS
from kalshi_pipelines.sandbox.api.order_group_endpoints import ORDER_GROUP_ENDPOINTS
from kalshi_pipelines.sandbox.api.portfolio_endpoints import PORTFOLIO_ENDPOINTS
from kalshi_pipelines.sandbox.errors import nested, not_found
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.markets.recordings import API_ROOT
from kalshi_pipelines.sandbox.serving import Service, dated
from kalshi_pipelines.sandbox.serving_news import NEWS_ENDPOINTS, news_routes
from kalshi_pipelines.sandbox.serving_reports import REPORTS_ENDPOINT, report_routes

_LOG: Final = logging.getLogger(__name__)
_TICK_SECONDS: Final = 0.05
ENDPOINTS: Final = (
    *EXCHANGE_ENDPOINTS,
    *EVENT_ENDPOINTS,
    *MARKET_ENDPOINTS,
    *ORDER_ENDPOINTS,
    *ORDER_GROUP_ENDPOINTS,
    *PORTFOLIO_ENDPOINTS,
    *ACCOUNT_ENDPOINTS,
)


def sandbox_app(exchange: Exchange, endpoints: Sequence[Endpoint] = ENDPOINTS) -> Starlette:
    """Return the ASGI application of an exchange, with its API endpoints and its admin routes."""
    # Match paths without parameters first. Otherwise /markets/orderbooks would match the path of a single market.
    ordered = sorted(endpoints, key=lambda endpoint: (endpoint.template.count("{"), -len(endpoint.template)))
    names = [
        *(endpoint.name for endpoint in ordered),
        *(endpoint.name for endpoint in NEWS_ENDPOINTS),
        REPORTS_ENDPOINT,
    ]
    exchange.faults.endpoints = exchange.drift.endpoints = names
    routes = [
        Route(API_ROOT + endpoint.template, Service(exchange, endpoint).serve, methods=[endpoint.method])
        for endpoint in ordered
    ]

    async def unknown(request: Request, error: Exception) -> Response:
        return _unknown_path(exchange, request, error)

    @asynccontextmanager
    async def while_serving(_: Starlette) -> AsyncIterator[None]:
        ticking = asyncio.create_task(_let_time_pass(exchange))
        ticking.add_done_callback(_report)
        try:
            yield
        finally:
            ticking.cancel()

    app = Starlette(
        routes=[*routes, *news_routes(exchange), *report_routes(exchange), *routes_of(exchange, ADMIN_ROUTES)],
        exception_handlers={HTTPException: unknown},
        lifespan=while_serving,
    )
    # For a path that ends with a slash, Starlette would answer 307, which makes a client send an order again. The
    # exchange answers 301.
    app.router.redirect_slashes = False
    return app


async def _let_time_pass(exchange: Exchange) -> None:
    """Run due actions even while no request arrives: expiries and closes, simulated traders, and delayed requests."""
    is_written = True
    while True:
        exchange.venue.advance()
        try:
            exchange.log.flush()
            is_written = True
        except OSError:
            # The state file cannot be written. The handler of a request that meets this error reports the error to the
            # client. This loop continues to run due actions, and writes the events as soon as writing works again.
            if is_written:
                _LOG.exception(
                    "The truth log cannot be written. New events are kept in memory until writing works again."
                )
            is_written = False
        await asyncio.sleep(_TICK_SECONDS)


def _report(ticking: asyncio.Task[None]) -> None:
    if not ticking.cancelled() and (error := ticking.exception()) is not None:
        _LOG.critical(
            "The timer of the sandbox has failed. Due events now happen only when a request arrives.", exc_info=error
        )


def _unknown_path(exchange: Exchange, request: Request, error: Exception) -> Response:
    """Answer a request that matches no endpoint.

    An API path that ends with a slash gets a 301 to the path without the slash. Any other GET request gets its recorded
    response, if there is one. Otherwise, a wrong method gets 405 and an unknown path gets 404.
    """
    path = request.url.path
    if path.startswith(API_ROOT + "/") and path.endswith("/"):
        there = path.rstrip("/") + (f"?{request.url.query}" if request.url.query else "")
        return dated(exchange, Response(status_code=301, headers={"Location": there}))
    if exchange.replay is not None and request.method == "GET":
        recorded = exchange.replay.answer(path.removeprefix(API_ROOT), request.url.query)
        if recorded is not None:
            return dated(exchange, Response(recorded.text, recorded.status, media_type="application/json"))
    if isinstance(error, HTTPException) and error.status_code == 405:
        refusal = nested(405, "method_not_allowed", "method not allowed")
    else:
        refusal = not_found()
    return dated(exchange, Response(refusal.content, refusal.status, media_type="application/json"))
