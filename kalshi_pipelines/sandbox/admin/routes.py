"""Admin routes of the sandbox. A route has a method, a path, and a function that acts on the exchange.

Belongs here: reading and answering admin requests. Does not belong here: the routes themselves (``exchange_routes``,
``trading_routes``, ``market_routes``, ``news_routes``, ``drift_routes``).
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.sandbox.access.memberships import UnusableScopes
from kalshi_pipelines.sandbox.access.signatures import UnusablePublicKey
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.faults.plan import UnknownFault
from kalshi_pipelines.sandbox.trading.commands import RequestRefused

ADMIN_ROOT: Final = "/sandbox"
_MOST_DIGITS: Final = 20


class BadAdminRequest(ExpectedError, ValueError):
    """An admin request has a missing or wrong value, or names something that does not exist."""


@dataclass(frozen=True)
class AdminRequest:
    """An admin request: its path and query parameters, the JSON object in its body, and the instant of its arrival."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]
    now_us: int

    def whole(self, name: str, default: int | None = None) -> int:
        """Return the whole number in a field of the request body.

        Raises ``BadAdminRequest`` if the field is not a whole number, or is absent and has no default.
        """
        value = self.body.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadAdminRequest(f"{name} must be given as a whole number.")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        """Return the text in a field of the request body.

        Raises ``BadAdminRequest`` if the field is empty or not a text, or is absent and has no default.
        """
        value = self.body.get(name, default)
        if not isinstance(value, str) or not value:
            raise BadAdminRequest(f"{name} must be given as a text that is not empty.")
        return value

    def decimal(self, name: str) -> Decimal:
        """Return the decimal number in a field of the request body. The field holds a number or a text.

        Raises ``BadAdminRequest`` if the field is absent or not a number.
        """
        try:
            number = Decimal(str(self.body[name]))
        except (KeyError, InvalidOperation):
            number = Decimal("nan")
        if not number.is_finite() or abs(number.adjusted()) > _MOST_DIGITS:
            raise BadAdminRequest(f"{name} must be given as a decimal number.")
        return number

    def truth(self, name: str, default: bool | None = None) -> bool:
        """Return the boolean in a field of the request body.

        Raises ``BadAdminRequest`` if the field is not a boolean, or is absent and has no default.
        """
        value = self.body.get(name, default)
        if not isinstance(value, bool):
            raise BadAdminRequest(f"{name} must be given as true or false.")
        return value


@dataclass(frozen=True)
class AdminRoute:
    """An admin route.

    ``act`` handles a request and returns the response: a JSON value, bytes that are JSON already, or None for a 204.
    """

    method: str
    path: str
    act: Callable[[Exchange, AdminRequest], object]
    status: int = 200


def routes_of(exchange: Exchange, table: Iterable[AdminRoute]) -> list[Route]:
    """Return the server routes for a table of admin routes. All their paths begin with ``/sandbox``."""
    return [Route(ADMIN_ROOT + route.path, _served(exchange, route), methods=[route.method]) for route in table]


def _served(exchange: Exchange, route: AdminRoute) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        try:
            body = _object(await request.body())
            now_us = exchange.venue.advance()
            answer = route.act(exchange, AdminRequest(request.path_params, request.query_params, body, now_us))
        except ClientDisconnect:
            return Response()
        except (BadAdminRequest, UnknownFault, UnusablePublicKey, UnusableScopes, RequestRefused) as error:
            return _response({"error": str(error)}, 400)
        finally:
            exchange.log.flush()
        return Response(status_code=204) if answer is None else _response(answer, route.status)

    return serve


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        body = orjson.loads(content or b"{}")
    except orjson.JSONDecodeError as error:
        raise BadAdminRequest(f"The body is not JSON: {error}", "Send a JSON object.") from error
    if not isinstance(body, dict):
        raise BadAdminRequest("The body is not a JSON object.", "Send a JSON object.")
    return body


def _response(answer: object, status: int) -> Response:
    content = answer if isinstance(answer, bytes) else orjson.dumps(answer)
    return Response(content, status, media_type="application/json")
