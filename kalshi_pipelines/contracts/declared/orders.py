"""Contracts with the endpoints that create, change and cancel orders and order groups."""

from typing import Final

from kalshi_pipelines.contracts.declared import portfolio_rules as rules
from kalshi_pipelines.contracts.declared.errors import CHANGE_CODES, CREATE_CODES, WRITE_ERRORS
from kalshi_pipelines.contracts.declared.fields import (
    MILLISECONDS,
    NULLABLE,
    OPTIONAL,
    USUAL,
    count,
    dollars,
    free,
    price,
    records,
    shard,
    text,
    uuid,
    whole,
)
from kalshi_pipelines.contracts.language.declarations import Access, Contract, Field, by_place

_ASSET: Final = "executed_orders"
_IDS: Final = (uuid("order_id", _ASSET), text("client_order_id", _ASSET, **OPTIONAL))
_AT: Final = whole("ts_ms", _ASSET, within=MILLISECONDS)
_AVERAGES: Final = (
    price("average_fill_price", _ASSET, decimals=(4, 5, 6), **NULLABLE),
    dollars("average_fee_paid", _ASSET, decimals=(4, 5, 6), **NULLABLE),
)
_CREATED: Final = (
    uuid("order_id", _ASSET),
    text("client_order_id", _ASSET, **USUAL),
    count("fill_count", _ASSET),
    count("remaining_count", _ASSET),
    *_AVERAGES,
    _AT,
)
_OPTIONAL_COUNTS: Final = (count("fill_count", _ASSET, **NULLABLE), count("remaining_count", _ASSET, **NULLABLE))
_PER_ITEM: Final = (
    text("order_id", **NULLABLE),
    text("client_order_id", **NULLABLE),
    whole("ts_ms", within=MILLISECONDS, **NULLABLE),
    free("error", **NULLABLE),
)


def _write(endpoint: str, status: int, fields: tuple[Field, ...]) -> Contract:
    is_create = endpoint == "POST /portfolio/events/orders"
    return Contract(
        endpoint,
        by_place(fields),
        statuses=(status,),
        access=Access.KEY,
        invariants=(rules.write_echo, rules.fee_of_answer),
        errors=WRITE_ERRORS,
        codes=CREATE_CODES if is_create else CHANGE_CODES,
        used_by=(_ASSET,),
    )


_ORDERS: Final = "/portfolio/events/orders"
ORDERS: Final = (
    _write(f"POST {_ORDERS}", 201, _CREATED),
    _write(f"DELETE {_ORDERS}/{{order_id}}", 200, (*_IDS, count("reduced_by", _ASSET), _AT)),
    _write(f"POST {_ORDERS}/{{order_id}}/amend", 200, (*_IDS, *_OPTIONAL_COUNTS, *_AVERAGES, _AT)),
    _write(f"POST {_ORDERS}/{{order_id}}/decrease", 200, (*_IDS, count("remaining_count", _ASSET), _AT)),
    _write(f"POST {_ORDERS}/batched", 201, records("orders", (*_PER_ITEM, *_OPTIONAL_COUNTS, *_AVERAGES))),
    _write(f"DELETE {_ORDERS}/batched", 200, records("orders", (*_PER_ITEM, count("reduced_by")))),
    _write(f"DELETE {_ORDERS}", 204, ()),
    _write(
        "POST /portfolio/order_groups/create",
        201,
        (text("order_group_id", _ASSET), whole("subaccount", **USUAL), shard(**OPTIONAL)),
    ),
    _write("DELETE /portfolio/order_groups/{order_group_id}", 200, ()),
    _write("PUT /portfolio/order_groups/{order_group_id}/reset", 200, ()),
    _write("PUT /portfolio/order_groups/{order_group_id}/trigger", 200, ()),
    _write("PUT /portfolio/order_groups/{order_group_id}/limit", 200, ()),
)
