"""Admin routes for the exchange as a whole: health, faults, requests, prices and clock.

Belongs here: what an operator or a test does to the whole exchange. Does not belong here: members, money and shards
(``trading_routes``), and single markets (``market_routes``). Admin routes are never rate limited and never signed.
"""

import datetime as dt
from dataclasses import fields
from typing import Final

import msgspec

from kalshi_pipelines import units
from kalshi_pipelines.sandbox.admin.drift_routes import DRIFT_ROUTES
from kalshi_pipelines.sandbox.admin.market_routes import MARKET_ROUTES
from kalshi_pipelines.sandbox.admin.news_routes import NEWS_ROUTES
from kalshi_pipelines.sandbox.admin.routes import AdminRequest, AdminRoute, BadAdminRequest
from kalshi_pipelines.sandbox.admin.trading_routes import TRADING_ROUTES
from kalshi_pipelines.sandbox.clock import rfc3339
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.faults.plan import Fault
from kalshi_pipelines.sandbox.markets.catalogue import GeneratedCatalogue
from kalshi_pipelines.sandbox.trading.events import ClockMoved
from kalshi_pipelines.units import SECOND_US

_CLOCK_RANGE_US: Final = range(units.microseconds(dt.datetime(3000, 1, 1, tzinfo=dt.UTC)))


def health(exchange: Exchange, request: AdminRequest) -> object:
    """Answer that the sandbox is up, with the size of its catalogue and the time of its clock."""
    catalogue = exchange.catalogue
    combos = sum(market.is_combo for market in catalogue.markets.values())
    return {
        "status": "ok",
        "series": len(catalogue.series),
        "events": len(catalogue.events),
        "markets": len(catalogue.markets) - combos,
        "combos": combos,
        "archived_markets": len(catalogue.archived_markets),
        "time": rfc3339(exchange.clock.now_us()),
    }


def inject_fault(exchange: Exchange, request: AdminRequest) -> object:
    """Inject a fault. The request body holds the fields of ``Fault``."""
    if unknown := set(request.body) - {part.name for part in fields(Fault)}:
        raise BadAdminRequest(f"A fault has no field {', '.join(sorted(unknown))}.")
    try:
        fault = msgspec.convert(request.body, Fault)
    except msgspec.ValidationError as error:
        raise BadAdminRequest(str(error)) from error
    exchange.faults.inject(fault)
    return {"injected": request.body}


def list_faults(exchange: Exchange, request: AdminRequest) -> object:
    """Answer with all injected faults.

    For each fault, show how many requests matched the fault and how many requests the fault affected. Counting ends
    when the fault has affected ``times`` requests.
    """
    return {"faults": exchange.faults.wire()}


def clear_faults(exchange: Exchange, request: AdminRequest) -> object:
    """Remove all injected faults."""
    exchange.faults.clear()
    return None


def requests(exchange: Exchange, request: AdminRequest) -> object:
    """Answer with the record of API requests.

    For each endpoint, the record shows the number of requests, their HTTP statuses and the charged tokens. It also
    shows the instants of the first and the last request.
    """
    return {"endpoints": exchange.journal.wire()}


def clear_requests(exchange: Exchange, request: AdminRequest) -> object:
    """Reset the record of API requests."""
    exchange.journal.clear()
    return None


def move_prices(exchange: Exchange, request: AdminRequest) -> object:
    """Move the quotes of the given ``fraction`` of the active markets."""
    fraction = request.decimal("fraction")
    if not 0 <= fraction <= 1 or fraction != round(fraction, 4):
        raise BadAdminRequest("fraction must be a number from 0 to 1 with at most four decimals.")
    moved = _generated(exchange).move_prices(int(fraction * 10_000))
    exchange.venue.prices_moved()
    return {"moved": len(moved), "tickers": moved}


def add_markets(exchange: Exchange, request: AdminRequest) -> object:
    """Create ``count`` active markets in new events. With ``provisional``, the exchange may delete them again."""
    count = request.whole("count", 1)
    if count < 1:
        raise BadAdminRequest("count must be a whole number of at least 1.")
    provisional = request.truth("provisional", default=False)
    return {"tickers": _generated(exchange).add_markets(count, is_provisional=provisional)}


def set_clock(exchange: Exchange, request: AdminRequest) -> object:
    """Set the exchange's clock to ``time`` (RFC 3339), or move it by ``seconds``. Then run every action that is due."""
    clock = exchange.clock
    if "time" in request.body:
        try:
            to_us = units.microseconds(dt.datetime.fromisoformat(request.text("time")))
        except (ValueError, TypeError) as error:
            raise BadAdminRequest("time must be an RFC 3339 time with an offset.") from error
    else:
        to_us = clock.now_us() + request.whole("seconds") * SECOND_US
    if to_us not in _CLOCK_RANGE_US:
        raise BadAdminRequest("The clock can only be set from 1970 to 2999.")
    clock.set(to_us)
    exchange.venue.engine.recorder.emit(ClockMoved(at_us=request.now_us, offset_us=clock.offset_us))
    exchange.venue.advance()
    return {"time": rfc3339(clock.now_us())}


def _generated(exchange: Exchange) -> GeneratedCatalogue:
    if not isinstance(exchange.catalogue, GeneratedCatalogue):
        raise BadAdminRequest("Recorded markets do not change.", "Start the sandbox without --recordings.")
    return exchange.catalogue


ADMIN_ROUTES: Final = (
    AdminRoute("GET", "/health", health),
    AdminRoute("GET", "/faults", list_faults),
    AdminRoute("POST", "/faults", inject_fault, 201),
    AdminRoute("DELETE", "/faults", clear_faults),
    AdminRoute("GET", "/requests", requests),
    AdminRoute("DELETE", "/requests", clear_requests),
    AdminRoute("POST", "/prices", move_prices),
    AdminRoute("POST", "/markets", add_markets, 201),
    AdminRoute("POST", "/clock", set_clock),
    *DRIFT_ROUTES,
    *MARKET_ROUTES,
    *NEWS_ROUTES,
    *TRADING_ROUTES,
)
