"""Bodies of write requests: JSON decoded as a Go server decodes it, and orders checked as the exchange checks them.

Belongs here: types, required fields, closed vocabularies, formats of prices and counts, and contradictory terms of an
order. Does not belong here: rules that depend on the market, the money or the clock (``trading``). Sources: the
vendor's OpenAPI document 3.34.0 and its page on order errors; the 400 bodies in recordings of June 2026.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import orjson

from kalshi_pipelines.sandbox.api.endpoints import Call
from kalshi_pipelines.sandbox.api.validation import camel_case
from kalshi_pipelines.sandbox.errors import ErrorResponse, nested
from kalshi_pipelines.sandbox.trading.commands import Amendment, NewOrder, OrderRef, RequestRefused
from kalshi_pipelines.sandbox.trading.events import SelfTradePrevention, Side, TimeInForce
from kalshi_pipelines.units import SECOND_US

AUTO_ROUTE: Final = -1
"""Value of ``exchange_index`` that routes an order to the shard of its ticker."""
INT64: Final = range(-(1 << 63), 1 << 63)
LAST_SECOND: Final = 253_402_300_799
"""Last second of the year 9999 in Unix seconds, the latest time that a timestamp can express."""
_TIMES_IN_FORCE: Final = ("fill_or_kill", "good_till_canceled", "immediate_or_cancel")
_PREVENTIONS: Final = ("taker_at_cross", "maker")
_SIDES: Final = ("bid", "ask")
_PRICE: Final = re.compile(r"([0-9]{1,2})\.([0-9]{2,4})")
_COUNT: Final = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,2}))?")
_JSON_TYPES: Final = {
    str: "string", int: "number", float: "number", bool: "bool", list: "array", dict: "object",
}  # fmt: skip
_TYPES_OF: Final = {"string": str, "int": int, "int64": int, "bool": bool, "[]string": list, "[]struct": list}


def undecodable(details: str) -> ErrorResponse:
    """Return the HTTP 400 for a body that cannot be decoded.

    Recordings show that only this error is sent without an enclosing object with the key ``error``.
    """
    return ErrorResponse(400, {"code": "bad_request", "message": "bad request", "details": details})


def invalid_field(struct: str, name: str, tag: str, code: str = "invalid_parameters") -> RequestRefused:
    """Return the refusal of a body field that breaks a rule, in the wording of Go's validator."""
    key = camel_case(name)
    return RequestRefused(code, f"Key: '{struct}.{key}' Error:Field validation for '{key}' failed on the '{tag}' tag")


@dataclass(frozen=True)
class Struct:
    """Go struct that a request body is decoded into, with the Go type of each field.

    If a field is a list of objects, ``items`` is the struct that each object is decoded into.
    """

    name: str
    fields: Mapping[str, str]
    items: "Struct | None" = None
    path: str = ""

    def check(self, values: Mapping[str, Any], path: str) -> None:
        """Refuse a body if a field has a wrong type.

        The error names the first such field in the order of the body. Unknown fields are ignored.
        """
        for name, value in values.items():
            wanted = self.fields.get(name)
            if wanted is None or value is None:
                continue
            if type(value) is not _TYPES_OF[wanted]:
                raise self._mismatch(_JSON_TYPES[type(value)], path + name, wanted)
            if type(value) is int and value not in INT64:
                raise self._mismatch(f"number {value}", path + name, wanted)
            if type(value) is list:
                self._check_items(value, path + name, wanted)

    def _check_items(self, values: list[Any], path: str, wanted: str) -> None:
        for value in values:
            if self.items is None:
                if type(value) is not str:
                    raise self._mismatch(_JSON_TYPES.get(type(value), "null"), path, "string")
            elif type(value) is dict:
                self.items.check(value, path + ".")
            else:
                raise self._mismatch(_JSON_TYPES.get(type(value), "null"), path, self.items.name)

    def _mismatch(self, found: str, path: str, wanted: str) -> ErrorResponse:
        return undecodable(
            f"json: cannot unmarshal {found} into Go struct field {self.path or self.name}.{path} of type {wanted}"
        )


@dataclass(frozen=True)
class Fields:
    """Fields of a decoded request body. A field that is absent, null or an empty text counts as not given."""

    struct: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """Return the text of a body field, or None if the field was not given."""
        value: str | None = self.values.get(name)
        return value or None

    def required(self, name: str, code: str = "missing_parameters") -> str:
        """Return the text of a required body field.

        Raises ``RequestRefused`` with the given code if the field was not given.
        """
        value: str | None = self.values.get(name)
        if not value:
            raise invalid_field(self.struct, name, "required", code)
        return value

    def choice(self, name: str, allowed: Collection[str], code: str = "missing_parameters") -> str:
        """Return the value of a required body field, which must be one of the allowed values."""
        value = self.required(name, code)
        if value not in allowed:
            raise invalid_field(self.struct, name, "oneof")
        return value

    def whole(self, name: str, least: int | None = None, most: int | None = None) -> int | None:
        """Return the whole number of a body field within bounds, or None if the field was not given."""
        value: int | None = self.values.get(name)
        if value is not None and least is not None and value < least:
            raise invalid_field(self.struct, name, "gte")
        if value is not None and most is not None and value > most:
            raise invalid_field(self.struct, name, "lte")
        return value

    def required_whole(self, name: str, least: int | None = None, most: int | None = None) -> int:
        """Return the whole number of a required body field within bounds."""
        value = self.whole(name, least, most)
        if value is None:
            raise invalid_field(self.struct, name, "required", "missing_parameters")
        return value

    def truth(self, name: str) -> bool:
        """Return the boolean of a body field, or False if the field was not given."""
        return bool(self.values.get(name))

    def each(self, name: str) -> list[dict[str, Any]]:
        """Return the list of objects in a required body field. The list must not be empty."""
        value: list[dict[str, Any]] | None = self.values.get(name)
        if not value:
            raise invalid_field(self.struct, name, "required", "missing_parameters")
        return value

    def shard(self) -> int | None:
        """Return the shard that a request body names, or None if the order is to be routed by its ticker."""
        number: int | None = self.values.get("exchange_index")
        return None if number == AUTO_ROUTE else number

    def price(self, name: str = "price") -> int:
        """Return the price of a body field in centi-cents.

        The body gives it in dollars with 2 to 4 decimals. The engine checks the market's price grid later.
        """
        match = _PRICE.fullmatch(self.required(name, "invalid_order"))
        if match is None:
            raise RequestRefused("invalid_price")
        cents = int(match[1] + match[2].ljust(4, "0"))
        if not 0 < cents < 10_000:
            raise RequestRefused("invalid_price")
        return cents

    def count(self, name: str = "count", least: int = 1) -> int:
        """Return the count of a required body field in centi-contracts.

        The body gives it in contracts with at most 2 decimals.
        """
        return parse_count(self.required(name, "invalid_order"), least)


def parse_count(text: str, least: int = 1) -> int:
    """Return the count of a body field in centi-contracts.

    Raises ``RequestRefused`` if it is malformed or less than ``least``.
    """
    match = _COUNT.fullmatch(text)
    if match is None:
        raise RequestRefused("invalid_order_size")
    count = int(match[1] + (match[2] or "").ljust(2, "0"))
    if count < least:
        raise RequestRefused("invalid_order_size")
    return count


def decode_body(call: Call, struct: Struct) -> Fields:
    """Decode the body of a request that requires one.

    Raises:
        ErrorResponse: The content type is not JSON, the body is not JSON, or a field has a wrong type.
    """
    if not call.content_type.partition(";")[0].strip().lower() == "application/json":
        raise nested(400, "invalid_content_type", "invalid content type")
    try:
        values = orjson.loads(call.body)
    except orjson.JSONDecodeError as error:
        raise undecodable("EOF" if not call.body.strip() else f"invalid JSON: {error.msg}") from error
    if type(values) is not dict:
        raise undecodable(
            f"json: cannot unmarshal {_JSON_TYPES.get(type(values), 'null')} into Go value of type {struct.name}"
        )
    struct.check(values, "")
    return Fields(struct.name, values)


_ORDER_FIELDS: Final = {
    "ticker": "string", "client_order_id": "string", "side": "string", "count": "string", "price": "string",
    "expiration_time": "int64", "time_in_force": "string", "post_only": "bool", "self_trade_prevention_type": "string",
    "cancel_order_on_pause": "bool", "reduce_only": "bool", "subaccount": "int", "order_group_id": "string",
    "exchange_index": "int",
}  # fmt: skip
_CANCEL_FIELDS: Final = {
    "order_id": "string", "subaccount": "int", "exchange_index": "int", "market_ticker": "string",
}  # fmt: skip
CREATE: Final = Struct("CreateOrderV2Request", _ORDER_FIELDS)
BATCH_CREATE: Final = Struct(
    "BatchCreateOrdersV2Request",
    {"orders": "[]struct"},
    Struct(CREATE.name, _ORDER_FIELDS, path="BatchCreateOrdersV2Request"),
)
BATCH_CANCEL: Final = Struct(
    "BatchCancelOrdersV2Request",
    {"orders": "[]struct"},
    Struct("BatchCancelOrdersV2RequestOrder", _CANCEL_FIELDS, path="BatchCancelOrdersV2Request"),
)
AMEND: Final = Struct(
    "AmendOrderV2Request",
    {
        "ticker": "string", "side": "string", "price": "string", "count": "string", "client_order_id": "string",
        "updated_client_order_id": "string", "expiration_time": "int64", "exchange_index": "int",
    },
)  # fmt: skip
DECREASE: Final = Struct(
    "DecreaseOrderV2Request",
    {"reduce_by": "string", "reduce_to": "string", "exchange_index": "int", "market_ticker": "string"},
)


def subaccount_of(call: Call, fields: Fields, name: str = "subaccount") -> int:
    """Return the sub-account that a body names. Without one, return the sub-account that the key is locked to, or 0.

    Raises ``ErrorResponse`` 403 if the body names a sub-account other than the one that the key is locked to.
    """
    number = call.subaccount(fields.whole(name, least=0))
    return 0 if number is None else number


def new_order(call: Call, fields: Fields) -> NewOrder:
    """Return the new order that a request body describes.

    Raises:
        RequestRefused: A field is missing or malformed, or terms of the order contradict each other.
        ErrorResponse: The body names a sub-account other than the one that the request's key is locked to.
    """
    ticker = fields.required("ticker")
    side = fields.choice("side", _SIDES, "invalid_order")
    count, price = fields.count(), fields.price()
    time_in_force = fields.choice("time_in_force", _TIMES_IN_FORCE)
    prevention = fields.choice("self_trade_prevention_type", _PREVENTIONS)
    expires_us = _expiry_us(fields)
    post_only, reduce_only = fields.truth("post_only"), fields.truth("reduce_only")
    if time_in_force == "immediate_or_cancel":
        if expires_us is not None:
            raise RequestRefused("invalid_order", "immediate_or_cancel cannot be combined with expiration_time")
    elif reduce_only:
        raise RequestRefused("invalid_order", "reduce_only requires immediate_or_cancel")
    if post_only and time_in_force != "good_till_canceled":
        raise RequestRefused("invalid_order", f"post_only cannot be combined with {time_in_force}")
    return NewOrder(
        member=call.member,
        subaccount=subaccount_of(call, fields),
        ticker=ticker,
        side=cast("Side", side),
        price=price,
        count=count,
        time_in_force=cast("TimeInForce", time_in_force),
        self_trade_prevention=cast("SelfTradePrevention", prevention),
        client_order_id=fields.text("client_order_id"),
        expires_us=expires_us,
        post_only=post_only,
        reduce_only=reduce_only,
        cancel_on_pause=fields.truth("cancel_order_on_pause"),
        order_group=fields.text("order_group_id"),
        shard=fields.shard(),
    )


def amendment(call: Call, fields: Fields, subaccount: int) -> Amendment:
    """Return the new terms of an existing order, as a request body gives them.

    Raises ``RequestRefused`` if a term is missing or malformed.
    """
    ticker = fields.required("ticker")
    side = fields.choice("side", _SIDES, "invalid_order")
    return Amendment(
        ref=OrderRef(call.member, subaccount, call.path["order_id"], fields.shard(), ticker),
        ticker=ticker,
        side=cast("Side", side),
        price=fields.price(),
        count=fields.count(),
        client_order_id=fields.text("client_order_id"),
        updated_client_order_id=fields.text("updated_client_order_id"),
        expires_us=_expiry_us(fields),
    )


def _expiry_us(fields: Fields) -> int | None:
    seconds = fields.whole("expiration_time", 0, LAST_SECOND)
    return None if seconds is None else seconds * SECOND_US
