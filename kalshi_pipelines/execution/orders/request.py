"""The request of a new order, fixed when it is planned: the bytes approved, recorded and sent are the same.

OpenAPI 3.34.0, ``CreateOrderV2Request``. Prices are YES prices in dollars (four decimals), counts contracts (two).
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.execution.audit.canonical import canonical_json
from kalshi_pipelines.execution.orders.terms import (
    ClientOrderId,
    Contracts,
    MarketTicker,
    OrderId,
    Side,
    TimeInForce,
    YesPrice,
)
from kalshi_pipelines.units import MICROSECONDS_PER_SECOND

#: The incoming order gives way when it would trade with one of our own.
SELF_TRADE_PREVENTION: Final = "taker_at_cross"


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """A new order in the exchange's words. ``order_group_id`` is missing in a dry run only."""

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

    @property
    def json(self) -> str:
        """The body, canonical: the same request is the same text. It always asks for cancellation on a pause."""
        return canonical_json(
            {
                "cancel_order_on_pause": True,
                "client_order_id": str(self.client_order_id),
                "count": str(self.count),
                "exchange_index": self.exchange_index,
                "expiration_time": None if self.expires_us is None else self.expires_us // MICROSECONDS_PER_SECOND,
                "order_group_id": None if self.order_group_id is None else str(self.order_group_id),
                "post_only": self.post_only or None,
                "price": str(self.price),
                "reduce_only": self.reduce_only or None,
                "self_trade_prevention_type": SELF_TRADE_PREVENTION,
                "side": self.side.value,
                "subaccount": self.subaccount,
                "ticker": str(self.ticker),
                "time_in_force": self.time_in_force.value,
            }
        )


def request_sha256(request_json: str) -> str:
    """The digest that an approval and the record of sending refer to."""
    return hashlib.sha256(request_json.encode()).hexdigest()
