"""Admin routes for single markets: change a market's status, place orders of simulated traders, and cancel the
simulated traders' orders in a market's order book.

Belongs here: reading an admin request and checking that it is legal. Does not belong here: making the change
(``markets.venue``).
"""

import datetime as dt
from typing import Any, Final, cast, get_args

from kalshi_pipelines import units
from kalshi_pipelines.sandbox.admin.routes import AdminRequest, AdminRoute, BadAdminRequest
from kalshi_pipelines.sandbox.clock import rfc3339
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.faults.lists import is_in_share
from kalshi_pipelines.sandbox.markets.life_cycle import LEGAL_CHANGES
from kalshi_pipelines.sandbox.markets.rows import MarketRow
from kalshi_pipelines.sandbox.prices import count_text, price_text
from kalshi_pipelines.sandbox.trading.events import MarketChanged, MarketStatus, Result, Side, TimeInForce
from kalshi_pipelines.units import DAY_US, DOLLAR_CENTICENTS

_RESULT_VALUES: Final[dict[str, int]] = {"yes": DOLLAR_CENTICENTS, "no": 0}
_WITH_RESULT: Final = frozenset({"determined", "disputed", "amended", "finalized"})


def set_status(exchange: Exchange, request: AdminRequest) -> dict[str, Any]:
    """Change the ``status`` of a market.

    The status ``determined`` needs a ``result``; the result ``scalar`` needs a ``value``.

    A market that is set to ``closed`` closes now. A reopened market closes at ``close_time``, if the request gives one.
    Otherwise the market keeps its close time. If this close time has passed, the market closes one day from now.
    """
    row = _market(exchange, request)
    status = request.text("status")
    if status not in LEGAL_CHANGES[row.status]:
        legal = ", ".join(sorted(LEGAL_CHANGES[row.status])) or "nothing else"
        raise BadAdminRequest(f"{row.ticker} is {row.status} and cannot become {status}.", f"It can become {legal}.")
    result, value = _ending(row, status, request)
    close_us = _close_us(row, status, request)
    exchange.venue.ensure_open(row.ticker)
    change = MarketChanged(
        at_us=request.now_us,
        ticker=row.ticker,
        status=cast("MarketStatus", status),
        result=result,
        value=value,
        close_us=close_us,
    )
    exchange.venue.change_market(change)
    return {
        "ticker": row.ticker,
        "status": row.status,
        "result": row.result,
        "value": None if row.value is None else price_text(row.value),
        "close_time": rfc3339(row.close_us),
    }


def place_order(exchange: Exchange, request: AdminRequest) -> dict[str, Any]:
    """Place an order of a simulated trader. The request gives ``side``, ``price``, ``count`` and ``time_in_force``."""
    row = _market(exchange, request)
    side, time_in_force = request.text("side"), request.text("time_in_force", "good_till_canceled")
    if side not in get_args(Side) or time_in_force not in get_args(TimeInForce):
        raise BadAdminRequest(
            "The order has an unknown side or time_in_force.",
            f"Use {', '.join(get_args(Side))} for side, and {', '.join(get_args(TimeInForce))} for time_in_force.",
        )
    price, count = _number(request, "price", 10_000), _number(request, "count", 100)
    exchange.venue.ensure_open(row.ticker)
    execution = exchange.venue.simulated_traders.place(
        row.ticker, cast("Side", side), price, count, cast("TimeInForce", time_in_force), at_us=request.now_us
    )
    return {
        "order_id": execution.order.order_id,
        "fill_count": count_text(execution.filled),
        "remaining_count": count_text(execution.order.remaining if execution.order.is_resting else 0),
    }


def clear_book(exchange: Exchange, request: AdminRequest) -> dict[str, Any]:
    """Cancel the orders of all simulated traders in a market's book.

    The simulated traders place new orders at the market's next regular price change.
    """
    row = _market(exchange, request)
    exchange.venue.ensure_open(row.ticker)
    return {"canceled": exchange.venue.simulated_traders.clear(row.ticker, request.now_us)}


def delete_market(exchange: Exchange, request: AdminRequest) -> None:
    """Delete a market that nobody traded, as the exchange deletes provisional markets."""
    row = _market(exchange, request)
    if row.opened is not None:
        raise BadAdminRequest(f"{row.ticker} is open in the matching engine and cannot be deleted.")
    exchange.catalogue.remove(row)


def delete_share(exchange: Exchange, request: AdminRequest) -> dict[str, Any]:
    """Delete a ``share`` of the live markets that nobody traded. The tickers decide which ones."""
    share = float(request.decimal("share"))
    if not 0 <= share <= 1:
        raise BadAdminRequest("share must be a number from 0 to 1.")
    markets = list(exchange.catalogue.markets.values())
    chosen = [row for row in markets if row.opened is None and is_in_share(row.ticker, share)]
    for row in chosen:
        exchange.catalogue.remove(row)
    return {"tickers": [row.ticker for row in chosen]}


MARKET_ROUTES: Final = (
    AdminRoute("DELETE", "/markets", delete_share),
    AdminRoute("DELETE", "/markets/{ticker}", delete_market),
    AdminRoute("POST", "/markets/{ticker}/status", set_status),
    AdminRoute("POST", "/markets/{ticker}/orders", place_order, 201),
    AdminRoute("POST", "/markets/{ticker}/clear_book", clear_book),
)


def _market(exchange: Exchange, request: AdminRequest) -> MarketRow:
    row = exchange.catalogue.markets.get(request.path["ticker"])
    if row is None:
        raise BadAdminRequest(f"No live market has the ticker {request.path['ticker']}.")
    return row


def _ending(row: MarketRow, status: str, request: AdminRequest) -> tuple[Result, int | None]:
    """Return the new result of a market, and the centi-cents that one YES pays for this result.

    If the request omits the result, the market keeps its present result. If the market already has a scalar result and
    the request omits the value, the market keeps its present value. For a status that has no result, return an empty
    text and None.
    """
    if status not in _WITH_RESULT:
        return "", None
    result = request.text("result", row.result or None)
    if result not in {"yes", "no", "scalar"}:
        raise BadAdminRequest("result must be yes, no or scalar.")
    if result in _RESULT_VALUES:
        value = _RESULT_VALUES[result]
    elif "value" in request.body or row.result != "scalar":
        value = _number(request, "value", DOLLAR_CENTICENTS)
    else:
        value = row.value or 0
    if not 0 <= value <= DOLLAR_CENTICENTS:
        raise BadAdminRequest("value must be from 0 to 1 dollar.")
    if status == "finalized" and (result, value) != (row.result, row.value):
        raise BadAdminRequest("Finalizing cannot change the result.", "Set the status amended first.")
    return cast("Result", result), value


def _close_us(row: MarketRow, status: str, request: AdminRequest) -> int | None:
    if status == "closed":
        return request.now_us
    if status != "active":
        return None
    if "close_time" in request.body:
        try:
            close_us = units.microseconds(dt.datetime.fromisoformat(request.text("close_time")))
        except (ValueError, TypeError) as error:
            raise BadAdminRequest("close_time must be an RFC 3339 time with an offset.") from error
        if close_us <= request.now_us:
            raise BadAdminRequest("close_time must be in the future.")
        return close_us
    return request.now_us + DAY_US if row.close_us <= request.now_us else None


def _number(request: AdminRequest, name: str, scale: int) -> int:
    """Return a decimal number of the request body, multiplied by ``scale``."""
    scaled = request.decimal(name) * scale
    if scaled != int(scaled):
        raise BadAdminRequest(f"{name} has too many decimals.")
    return int(scaled)
