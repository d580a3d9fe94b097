"""Routes that steer the sandbox itself: health, faults, requests, prices, clock. None is part of the API.

Belongs here: what an operator or a test does to the exchange as a whole. What is done to members, money and shards is
in ``admin_trading``, to markets in ``admin_markets``. Admin routes are never rate limited and never signed.
"""

import datetime as dt
from decimal import Decimal, InvalidOperation
from typing import Final

from kalshi_pipelines import units
from kalshi_pipelines.sandbox.admin.market_routes import MARKET_ROUTES
from kalshi_pipelines.sandbox.admin.routes import AdminRoute, BadOrder, Order
from kalshi_pipelines.sandbox.admin.trading_routes import TRADING_ROUTES
from kalshi_pipelines.sandbox.clock import SECOND_US, rfc3339
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.faults.plan import Fault
from kalshi_pipelines.sandbox.markets.catalogue import GeneratedCatalogue
from kalshi_pipelines.sandbox.trading.events import ClockMoved


def health(exchange: Exchange, order: Order) -> object:
    """That it is up, with the size of its catalogue and its time."""
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


def inject_fault(exchange: Exchange, order: Order) -> object:
    """Inject a fault, described by the fields of ``Fault``."""
    try:
        exchange.faults.inject(Fault(**order.body))
    except TypeError as error:
        raise BadOrder(str(error)) from error
    return {"injected": order.body}


def list_faults(exchange: Exchange, order: Order) -> object:
    """All faults injected, with the requests each has seen and struck."""
    return {"faults": exchange.faults.wire()}


def clear_faults(exchange: Exchange, order: Order) -> object:
    """Forget all faults."""
    exchange.faults.clear()
    return None


def requests(exchange: Exchange, order: Order) -> object:
    """What the API was asked, by endpoint."""
    return {"endpoints": exchange.journal.wire()}


def clear_requests(exchange: Exchange, order: Order) -> object:
    """Forget what the API was asked."""
    exchange.journal.clear()
    return None


def move_prices(exchange: Exchange, order: Order) -> object:
    """Move the quotes of exactly a ``fraction`` of the active markets."""
    try:
        fraction = Decimal(str(order.body["fraction"]))
    except (KeyError, InvalidOperation) as error:
        raise BadOrder("fraction, a number from 0 to 1, is required") from error
    if not 0 <= fraction <= 1 or fraction != round(fraction, 4):
        raise BadOrder("fraction is a number from 0 to 1 with at most four decimals")
    moved = _generated(exchange).move_prices(int(fraction * 10_000))
    exchange.venue.prices_moved()
    return {"moved": len(moved), "tickers": moved}


def add_markets(exchange: Exchange, order: Order) -> object:
    """Create ``count`` active markets in new events."""
    count = order.whole("count", 1)
    if count < 1:
        raise BadOrder("count is a whole number from 1")
    return {"tickers": _generated(exchange).add_markets(count)}


def set_clock(exchange: Exchange, order: Order) -> object:
    """Set the exchange's clock to ``time`` (RFC 3339), or advance it by whole ``seconds``; what is due happens."""
    clock = exchange.clock
    try:
        if "time" in order.body:
            clock.set(units.microseconds(dt.datetime.fromisoformat(order.body["time"])))
        else:
            clock.advance(int(order.body["seconds"]) * SECOND_US)
    except (KeyError, ValueError, TypeError) as error:
        raise BadOrder("time (RFC 3339 with offset) or seconds (whole) is required") from error
    exchange.venue.engine.emit(ClockMoved(at_us=order.now_us, offset_us=clock.offset_us))
    exchange.venue.advance()
    return {"time": rfc3339(clock.now_us())}


def _generated(exchange: Exchange) -> GeneratedCatalogue:
    if not isinstance(exchange.catalogue, GeneratedCatalogue):
        raise BadOrder("recorded markets do not change")
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
    *MARKET_ROUTES,
    *TRADING_ROUTES,
)
