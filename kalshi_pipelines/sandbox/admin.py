"""Routes that steer the sandbox itself: faults, requests, prices, keys, clock, health. None is part of the API.

Belongs here: what an operator or a test does to the exchange. These routes are never rate limited and never signed.
"""

import datetime as dt
from collections.abc import Awaitable, Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kalshi_pipelines import units
from kalshi_pipelines.sandbox.catalogue import GeneratedCatalogue
from kalshi_pipelines.sandbox.clock import SECOND_US, rfc3339
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.faults import Fault, UnknownFault
from kalshi_pipelines.sandbox.signatures import UnusableKey, public_key_of

ADMIN_ROOT: Final = "/sandbox"


class BadOrder(ValueError):
    """A body an admin route can not act on."""


def _answer(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.body() or b"{}")
    except orjson.JSONDecodeError as error:
        raise BadOrder(f"no JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadOrder("a JSON object is expected")
    return body


class Admin:
    """The admin routes of one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def routes(self) -> list[Route]:
        """All admin routes."""
        table: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
            ("GET", "/health", self.health),
            ("POST", "/faults", self.inject_fault),
            ("DELETE", "/faults", self.clear_faults),
            ("GET", "/requests", self.requests),
            ("DELETE", "/requests", self.clear_requests),
            ("POST", "/prices", self.move_prices),
            ("POST", "/markets", self.add_markets),
            ("POST", "/keys", self.add_key),
            ("POST", "/clock", self.set_clock),
        ]
        return [Route(ADMIN_ROOT + path, _guarded(act), methods=[method]) for method, path, act in table]

    async def health(self, request: Request) -> Response:
        """That it is up, with the size of its catalogue and its time."""
        catalogue = self._exchange.catalogue
        combos = sum(market.is_combo for market in catalogue.markets.values())
        return _answer(
            {
                "status": "ok",
                "series": len(catalogue.series),
                "events": len(catalogue.events),
                "markets": len(catalogue.markets) - combos,
                "combos": combos,
                "archived_markets": len(catalogue.archived_markets),
                "time": rfc3339(self._exchange.clock.now_us()),
            }
        )

    async def inject_fault(self, request: Request) -> Response:
        """Inject a fault, described by the fields of ``Fault``."""
        body = await _body(request)
        try:
            fault = Fault(**body)
        except TypeError as error:
            raise BadOrder(str(error)) from error
        self._exchange.faults.inject(fault)
        return _answer({"injected": body}, 201)

    async def clear_faults(self, request: Request) -> Response:
        """Forget all faults."""
        self._exchange.faults.clear()
        return Response(status_code=204)

    async def requests(self, request: Request) -> Response:
        """What the API was asked, by endpoint."""
        return _answer({"endpoints": self._exchange.journal.wire()})

    async def clear_requests(self, request: Request) -> Response:
        """Forget what the API was asked."""
        self._exchange.journal.clear()
        return Response(status_code=204)

    async def move_prices(self, request: Request) -> Response:
        """Move the quotes of exactly a ``fraction`` of the active markets."""
        body = await _body(request)
        try:
            fraction = Decimal(str(body["fraction"]))
        except (KeyError, InvalidOperation) as error:
            raise BadOrder("fraction, a number from 0 to 1, is required") from error
        if not 0 <= fraction <= 1 or fraction != round(fraction, 4):
            raise BadOrder("fraction is a number from 0 to 1 with at most four decimals")
        moved = self._generated().move_prices(int(fraction * 10_000))
        return _answer({"moved": len(moved), "tickers": moved})

    async def add_markets(self, request: Request) -> Response:
        """Create ``count`` active markets in new events."""
        count = (await _body(request)).get("count", 1)
        if not isinstance(count, int) or count < 1:
            raise BadOrder("count is a whole number from 1")
        return _answer({"tickers": self._generated().add_markets(count)}, 201)

    async def add_key(self, request: Request) -> Response:
        """Register the public part of an API key."""
        body = await _body(request)
        try:
            key_id, pem = str(body["key_id"]), str(body["public_key_pem"])
        except KeyError as error:
            raise BadOrder("key_id and public_key_pem are required") from error
        self._exchange.keys.register(key_id, public_key_of(pem.encode()))
        return _answer({"key_id": key_id}, 201)

    async def set_clock(self, request: Request) -> Response:
        """Set the exchange's clock to ``time`` (RFC 3339), or advance it by whole ``seconds``."""
        body = await _body(request)
        clock = self._exchange.clock
        try:
            if "time" in body:
                clock.set(units.microseconds(dt.datetime.fromisoformat(body["time"])))
            else:
                clock.advance(int(body["seconds"]) * SECOND_US)
        except (KeyError, ValueError, TypeError) as error:
            raise BadOrder("time (RFC 3339 with offset) or seconds (whole) is required") from error
        return _answer({"time": rfc3339(clock.now_us())})

    def _generated(self) -> GeneratedCatalogue:
        if not isinstance(self._exchange.catalogue, GeneratedCatalogue):
            raise BadOrder("recorded markets do not change")
        return self._exchange.catalogue


def _guarded(act: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return await act(request)
        except (BadOrder, UnknownFault, UnusableKey) as error:
            return _answer({"error": str(error)}, 400)

    return answer
