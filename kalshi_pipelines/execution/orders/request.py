"""The request for a new order. It is fixed when the order is planned: the same bytes are approved, recorded and sent.

The format is ``CreateOrderV2Request`` of OpenAPI 3.34.0. Prices are YES prices in dollars with four decimals, counts
are contracts with two decimals.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kalshi_pipelines.execution.orders.canonical_json import canonical_json
from kalshi_pipelines.execution.orders.columns import to_columns
from kalshi_pipelines.execution.orders.terms import (
    ClientOrderId,
    Contracts,
    MarketTicker,
    OrderId,
    Side,
    TimeInForce,
    YesPrice,
)
from kalshi_pipelines.units import SECOND_US

#: The mode of self-trade prevention: the exchange cancels a new order that would trade with one of our own orders.
SELF_TRADE_PREVENTION: Final = "taker_at_cross"


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """The terms of a new order, as the exchange needs them. ``order_group_id`` is None only in a dry run."""

    client_order_id: ClientOrderId
    ticker: MarketTicker
    side: Side
    price: YesPrice
    count: Contracts
    time_in_force: TimeInForce
    subaccount: int
    exchange_index: int
    order_group_id: OrderId | None
    expires_us: int | None = None
    post_only: bool = False
    reduce_only: bool = False
    self_trade_prevention: str = field(default=SELF_TRADE_PREVENTION, init=False)

    @property
    def json(self) -> str:
        """The canonical text of the request body.

        The body always asks the exchange to cancel the order if trading pauses.
        """
        return request_text(to_columns(self))


def request_text(columns: Mapping[str, Any]) -> str:
    """Return the request body of an order that is stored in these columns.

    The caps are checked with the same columns, so an order is sent with exactly the checked terms.
    """
    expires_us, price, count = (columns[name] for name in ("expires_us", "price_centicents", "count_centicontracts"))
    return canonical_json(
        {
            "cancel_order_on_pause": True,
            "client_order_id": columns["client_order_id"],
            "count": f"{count // 100}.{count % 100:02}",
            "exchange_index": columns["exchange_index"],
            "expiration_time": None if expires_us is None else expires_us // SECOND_US,
            "order_group_id": columns["order_group_id"],
            "post_only": bool(columns["post_only"]) or None,
            "price": f"0.{price:04}",
            "reduce_only": bool(columns["reduce_only"]) or None,
            "self_trade_prevention_type": columns["self_trade_prevention"],
            "side": columns["side"],
            "subaccount": columns["subaccount"],
            "ticker": columns["ticker"],
            "time_in_force": columns["time_in_force"],
        }
    )


def request_sha256(request_json: str) -> str:
    """Return the SHA-256 of a request body, by which approvals and records of sent orders refer to the request."""
    return hashlib.sha256(request_json.encode()).hexdigest()
