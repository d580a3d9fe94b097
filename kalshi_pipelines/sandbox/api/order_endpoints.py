"""Responses to requests that place and change orders, one at a time or in a batch.

Belongs here: passing requests to the matching engine, and the responses. Does not belong here: reading bodies
(``order_requests``), deciding (``trading.engine``), and reading orders back (``portfolio_endpoints``).

Sources: the vendor's OpenAPI document 3.34.0 and its page on order errors; recordings of June 2026. The recorded
responses to cancels contain no ``client_order_id``, even for orders that have one.
"""

from collections.abc import Callable
from typing import Any, Final

import orjson

from kalshi_pipelines.sandbox.api.charges import batch_write, single_write
from kalshi_pipelines.sandbox.api.endpoints import Call, Endpoint
from kalshi_pipelines.sandbox.api.order_requests import (
    AMEND,
    AUTO_ROUTE,
    BATCH_CANCEL,
    BATCH_CREATE,
    CREATE,
    DECREASE,
    Fields,
    amendment,
    decode_body,
    new_order,
    parse_count,
    subaccount_of,
)
from kalshi_pipelines.sandbox.api.portfolio_rows import Row, execution_row
from kalshi_pipelines.sandbox.errors import ErrorResponse, nested, not_found, refusal
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.prices import count_text
from kalshi_pipelines.sandbox.trading.commands import OrderRef, RequestRefused

_V2_PAGE: Final = "https://docs.kalshi.com/api-reference/orders/create-order-v2"
_SCOPE: Final = "write::trade"


def _place(exchange: Exchange, call: Call, fields: Fields) -> Row:
    order = new_order(call, fields)
    exchange.venue.ensure_open(order.ticker)
    return execution_row(exchange.venue.engine.place(order, at_us=call.now_us), call.now_us)


def create_order(exchange: Exchange, call: Call) -> bytes:
    """Answer POST /portfolio/events/orders."""
    return orjson.dumps(_place(exchange, call, decode_body(call, CREATE)))


def create_orders(exchange: Exchange, call: Call) -> bytes:
    """Answer POST /portfolio/events/orders/batched. Each order of the batch is accepted or refused separately."""

    def each(fields: Fields) -> Row:
        return _place(exchange, call, fields)

    def failed(fields: Fields) -> Row:
        client_order_id = fields.text("client_order_id")
        return {} if client_order_id is None else {"client_order_id": client_order_id}

    items = decode_body(call, BATCH_CREATE).each("orders")
    return _batch([Fields(CREATE.name, item) for item in items], each, failed)


def _batch(items: list[Fields], each: Callable[[Fields], Row], failed: Callable[[Fields], Row]) -> bytes:
    rows = []
    for item in items:
        try:
            rows.append(each(item))
        except RequestRefused as refused:
            rows.append({"error": _error_of(refusal(refused)), **failed(item)})
        except ErrorResponse as error:
            rows.append({"error": _error_of(error), **failed(item)})
    return orjson.dumps({"orders": rows})


def _error_of(error: ErrorResponse) -> dict[str, Any]:
    """Return the error of one item of a batch as a JSON object. The object always has the key ``details``."""
    return {"details": "", **orjson.loads(error.content)["error"]}


def cancel_order(exchange: Exchange, call: Call) -> bytes:
    """Answer DELETE /portfolio/events/orders/{order_id}."""
    subaccount, shard = _place_of(call)
    ticker = call.query.text("market_ticker")
    return orjson.dumps(
        _cancel(exchange, call, OrderRef(call.member, subaccount, call.path["order_id"], shard, ticker))
    )


def _place_of(call: Call) -> tuple[int, int | None]:
    """Return the sub-account and shard that a cancel request names.

    The vendor's document lists no 400 for a cancel, so a malformed value gets 404.
    """
    try:
        subaccount = _subaccount(call)
        shard = call.query.integer("exchange_index", least=AUTO_ROUTE)
    except ErrorResponse as error:
        raise (not_found() if error.status == 400 else error) from error
    if shard == AUTO_ROUTE and call.query.text("market_ticker") is None:
        raise not_found()
    return subaccount, None if shard == AUTO_ROUTE else shard


def _subaccount(call: Call) -> int:
    return call.subaccount(call.query.integer("subaccount", least=0)) or 0


def _cancel(exchange: Exchange, call: Call, ref: OrderRef) -> Row:
    cancellation = exchange.venue.engine.cancel(ref, at_us=call.now_us)
    return {
        "order_id": cancellation.order.order_id,
        "reduced_by": count_text(cancellation.reduced_by),
        "ts_ms": call.now_us // 1_000,
    }


def cancel_orders(exchange: Exchange, call: Call) -> bytes:
    """Answer DELETE /portfolio/events/orders/batched. Each order of the batch is canceled or refused separately."""

    def each(fields: Fields) -> Row:
        order_id, ticker, shard = fields.required("order_id"), fields.text("market_ticker"), fields.shard()
        if ticker is None and fields.values.get("exchange_index") == AUTO_ROUTE:
            raise RequestRefused("missing_parameters", "market_ticker is required for auto-routing")
        ref = OrderRef(call.member, subaccount_of(call, fields), order_id, shard, ticker)
        return _cancel(exchange, call, ref)

    def failed(fields: Fields) -> Row:
        return {"order_id": fields.text("order_id") or "", "reduced_by": "0.00"}

    items = decode_body(call, BATCH_CANCEL).each("orders")
    return _batch([Fields("BatchCancelOrdersV2RequestOrder", item) for item in items], each, failed)


def cancel_all_orders(exchange: Exchange, call: Call) -> bytes:
    """Answer DELETE /portfolio/events/orders, which cancels all resting orders of a member."""
    subaccount = call.subaccount(call.query.integer("subaccount", least=0), None)
    exchange.venue.engine.cancel_all(call.member, subaccount, at_us=call.now_us)
    return b""


def amend_order(exchange: Exchange, call: Call) -> bytes:
    """Answer POST /portfolio/events/orders/{order_id}/amend."""
    terms = amendment(call, decode_body(call, AMEND), _subaccount(call))
    execution = exchange.venue.engine.amend(terms, at_us=call.now_us)
    return orjson.dumps(execution_row(execution, call.now_us, counts=execution.resting_changed))


def decrease_order(exchange: Exchange, call: Call) -> bytes:
    """Answer POST /portfolio/events/orders/{order_id}/decrease."""
    fields = decode_body(call, DECREASE)
    reduce_by, reduce_to = fields.text("reduce_by"), fields.text("reduce_to")
    if (reduce_by is None) == (reduce_to is None):
        raise RequestRefused("invalid_order", "exactly one of reduce_by and reduce_to must be provided")
    ticker, shard = fields.text("market_ticker"), fields.shard()
    if ticker is None and fields.values.get("exchange_index") == AUTO_ROUTE:
        raise RequestRefused("missing_parameters", "market_ticker is required for auto-routing")
    order = exchange.venue.engine.decrease(
        OrderRef(call.member, _subaccount(call), call.path["order_id"], shard, ticker),
        at_us=call.now_us,
        reduce_by=None if reduce_by is None else parse_count(reduce_by),
        reduce_to=None if reduce_to is None else parse_count(reduce_to, least=0),
    )
    row = {"order_id": order.order_id, "remaining_count": count_text(order.remaining), "ts_ms": call.now_us // 1_000}
    if order.client_order_id is not None:
        row["client_order_id"] = order.client_order_id
    return orjson.dumps(row)


def refuse_legacy(exchange: Exchange, call: Call) -> bytes:
    """Refuse a request to an order endpoint of the API before version 2. The request may be signed or anonymous.

    In 2026, owners of bots that still used these endpoints published the refusal that they received.
    """
    raise nested(410, "deprecated_v1_order_endpoint", "Please switch to the V2 endpoints", _V2_PAGE)


_ORDERS: Final = "/portfolio/events/orders"
_LEGACY: Final = (
    ("CreateOrder", "POST", "/portfolio/orders"),
    ("BatchCreateOrders", "POST", "/portfolio/orders/batched"),
    ("BatchCancelOrders", "DELETE", "/portfolio/orders/batched"),
    ("CancelOrder", "DELETE", "/portfolio/orders/{order_id}"),
    ("AmendOrder", "POST", "/portfolio/orders/{order_id}/amend"),
    ("DecreaseOrder", "POST", "/portfolio/orders/{order_id}/decrease"),
)


def _writes(
    operation: str,
    method: str,
    template: str,
    answer: Callable[[Exchange, Call], bytes],
    ticker: str | None,
    success: int = 200,
) -> Endpoint:
    charges = single_write(ticker, "query" if method == "DELETE" else "body")
    return Endpoint(operation, method, template, answer, needs_key=True, success=success, scope=_SCOPE, charges=charges)


def _batches(operation: str, method: str, answer: Callable[[Exchange, Call], bytes], success: int = 200) -> Endpoint:
    return Endpoint(
        operation,
        method,
        _ORDERS + "/batched",
        answer,
        needs_key=True,
        success=success,
        scope=_SCOPE,
        charges=batch_write("orders"),
    )


ORDER_ENDPOINTS: Final = (
    _writes("CreateOrderV2", "POST", _ORDERS, create_order, "ticker", 201),
    _writes("CancelAllOrders", "DELETE", _ORDERS, cancel_all_orders, None, 204),
    _batches("BatchCreateOrdersV2", "POST", create_orders, 201),
    _batches("BatchCancelOrdersV2", "DELETE", cancel_orders),
    _writes("CancelOrderV2", "DELETE", _ORDERS + "/{order_id}", cancel_order, "market_ticker"),
    _writes("AmendOrderV2", "POST", _ORDERS + "/{order_id}/amend", amend_order, "ticker"),
    _writes("DecreaseOrderV2", "POST", _ORDERS + "/{order_id}/decrease", decrease_order, "market_ticker"),
    *(Endpoint(operation, method, path, refuse_legacy) for operation, method, path in _LEGACY),
)
