"""Responses about order groups.

Belongs here: reading requests about a group, and the responses. Does not belong here: the effects on a group
(``trading.groups``).

Source: the vendor's OpenAPI document 3.34.0. If a request names no sub-account, a read covers all sub-accounts, and a
write affects the primary sub-account.
"""

from collections.abc import Callable
from typing import Final

import orjson

from kalshi_pipelines.sandbox.api.charges import single_write
from kalshi_pipelines.sandbox.api.endpoints import Call, Endpoint
from kalshi_pipelines.sandbox.api.order_requests import (
    Fields,
    Struct,
    decode_body,
    invalid_field,
    parse_count,
    subaccount_of,
)
from kalshi_pipelines.sandbox.api.portfolio_rows import group_row
from kalshi_pipelines.sandbox.errors import ErrorResponse, not_found
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.trading.commands import RequestRefused

LARGEST_LIMIT: Final = 1_000_000
_CREATE: Final = Struct(
    "CreateOrderGroupRequest",
    {"subaccount": "int", "contracts_limit": "int64", "contracts_limit_fp": "string", "exchange_index": "int"},
)
_LIMIT: Final = Struct("UpdateOrderGroupLimitRequest", {"contracts_limit": "int64", "contracts_limit_fp": "string"})
_EMPTY: Final = b"{}"


def _limit(fields: Fields) -> int:
    """Return the limit of an order group in centi-contracts.

    A request gives the limit as a whole number, as a decimal count, or as both if they agree.
    """
    whole, text = fields.whole("contracts_limit", 1, LARGEST_LIMIT), fields.text("contracts_limit_fp")
    if whole is None and text is None:
        raise invalid_field(fields.struct, "contracts_limit", "required", "missing_parameters")
    limit = parse_count(text) if text is not None else (whole or 0) * 100
    if whole is not None and whole * 100 != limit:
        raise RequestRefused("bad_request", "contracts_limit and contracts_limit_fp do not match")
    if limit > LARGEST_LIMIT * 100:
        raise invalid_field(fields.struct, "contracts_limit_fp", "lte")
    return limit


def get_order_groups(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /portfolio/order_groups."""
    subaccount = call.subaccount(call.query.integer("subaccount", least=0), None)
    groups = exchange.venue.as_read().groups_of.get(call.member, {}).values()
    rows = [{**group_row(group), "id": group.group_id} for group in groups if subaccount in {None, group.subaccount}]
    return orjson.dumps({"order_groups": rows})


def get_order_group(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /portfolio/order_groups/{order_group_id}."""
    subaccount = _asked(call, None)
    group = exchange.venue.as_read().groups.get(call.path["order_group_id"])
    if group is None or group.member != call.member or subaccount not in {None, group.subaccount}:
        raise not_found()
    return orjson.dumps({**group_row(group), "orders": list(group.orders)})


def create_order_group(exchange: Exchange, call: Call) -> bytes:
    """Answer POST /portfolio/order_groups/create."""
    fields = decode_body(call, _CREATE)
    subaccount, shard = subaccount_of(call, fields), fields.whole("exchange_index") or 0
    group = exchange.venue.engine.groups.create(call.member, subaccount, shard, _limit(fields), at_us=call.now_us)
    return orjson.dumps(
        {"exchange_index": group.shard, "order_group_id": group.group_id, "subaccount": group.subaccount}
    )


def delete_order_group(exchange: Exchange, call: Call) -> bytes:
    """Answer DELETE /portfolio/order_groups/{order_group_id}."""
    exchange.venue.engine.groups.delete(*_target(call), at_us=call.now_us)
    return _EMPTY


def reset_order_group(exchange: Exchange, call: Call) -> bytes:
    """Answer PUT /portfolio/order_groups/{order_group_id}/reset. The body, if any, is not read."""
    exchange.venue.engine.groups.reset(*_target(call), at_us=call.now_us)
    return _EMPTY


def trigger_order_group(exchange: Exchange, call: Call) -> bytes:
    """Answer PUT /portfolio/order_groups/{order_group_id}/trigger. The body, if any, is not read."""
    exchange.venue.engine.groups.trigger(*_target(call), at_us=call.now_us)
    return _EMPTY


def update_order_group_limit(exchange: Exchange, call: Call) -> bytes:
    """Answer PUT /portfolio/order_groups/{order_group_id}/limit."""
    limit = _limit(decode_body(call, _LIMIT))
    member, subaccount, group_id, shard = _target(call)
    exchange.venue.engine.groups.set_limit(member, subaccount, group_id, limit, shard, at_us=call.now_us)
    return _EMPTY


def _target(call: Call) -> tuple[str, int | None, str, int]:
    """Return the member, sub-account, group and shard that a request to change an order group names."""
    subaccount = _asked(call, 0)
    try:
        shard = call.query.integer("exchange_index") or 0
    except ErrorResponse as error:
        raise not_found() from error
    return call.member, subaccount, call.path["order_group_id"], shard


def _asked(call: Call, default: int | None) -> int | None:
    """Return the sub-account that a request about order groups names.

    The vendor's document lists no 400 for these requests, so a malformed value gets 404.
    """
    try:
        number = call.query.integer("subaccount", least=0)
    except ErrorResponse as error:
        raise not_found() from error
    return call.subaccount(number, default)


_GROUPS: Final = "/portfolio/order_groups"
_GROUP: Final = _GROUPS + "/{order_group_id}"


def _writes(
    operation: str, method: str, template: str, answer: Callable[[Exchange, Call], bytes], success: int = 200
) -> Endpoint:
    charges = single_write(None, "body" if method == "POST" else "query")
    return Endpoint(
        operation,
        method,
        template,
        answer,
        needs_key=True,
        success=success,
        scope="write::trade",
        charges=charges,
    )


ORDER_GROUP_ENDPOINTS: Final = (
    Endpoint("GetOrderGroups", "GET", _GROUPS, get_order_groups, needs_key=True, scope="read"),
    Endpoint("GetOrderGroup", "GET", _GROUP, get_order_group, needs_key=True, scope="read"),
    _writes("CreateOrderGroup", "POST", _GROUPS + "/create", create_order_group, 201),
    _writes("DeleteOrderGroup", "DELETE", _GROUP, delete_order_group),
    _writes("ResetOrderGroup", "PUT", _GROUP + "/reset", reset_order_group),
    _writes("TriggerOrderGroup", "PUT", _GROUP + "/trigger", trigger_order_group),
    _writes("UpdateOrderGroupLimit", "PUT", _GROUP + "/limit", update_order_group_limit),
)
