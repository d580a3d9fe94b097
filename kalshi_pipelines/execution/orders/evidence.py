"""Orders, settlements and holdings as read from the exchange, in exact units.

Prices are in centi-cents of YES, counts in centi-contracts, money in micro-dollars. Instants are microseconds since
1970 UTC.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Side


class OrderStatus(StrEnum):
    """The exchange's status of an order: OpenAPI 3.34.0, ``OrderStatus``."""

    RESTING = "resting"
    CANCELED = "canceled"
    EXECUTED = "executed"


STATE_OF: Final = {
    OrderStatus.RESTING: OrderState.RESTING,
    OrderStatus.CANCELED: OrderState.CANCELED,
    OrderStatus.EXECUTED: OrderState.EXECUTED,
}


@dataclass(frozen=True, slots=True)
class ExchangeOrder:
    """An order as the exchange lists it. ``client_order_id`` is empty if the order has none."""

    order_id: str
    client_order_id: str
    ticker: str
    side: Side
    price_centicents: int
    count_centicontracts: int
    filled_centicontracts: int
    remaining_centicontracts: int
    status: OrderStatus
    order_group_id: str | None
    updated_us: int

    @property
    def is_resting(self) -> bool:
        """Whether the order may still trade."""
        return self.status is OrderStatus.RESTING

    @property
    def did_nothing(self) -> bool:
        """Whether the order ended without a fill."""
        return not self.is_resting and self.filled_centicontracts == 0


@dataclass(frozen=True, slots=True)
class OrderSweep:
    """Every order of a market or of the account, by the exchange's id, from all pages of all lists."""

    orders: dict[str, ExchangeOrder]
    pages: int
    pages_sha256: str

    def of_client(self, client_order_id: str) -> list[ExchangeOrder]:
        """Return the orders with one of our client order ids. More than one is a difference."""
        return [order for order in self.orders.values() if order.client_order_id == client_order_id]


@dataclass(frozen=True, slots=True)
class Holding:
    """A position, positive for YES, and its cost."""

    ticker: str
    position_centicontracts: int
    cost_microdollars: int

    @property
    def spent_microdollars(self) -> int:
        """The net amount paid, if NO contracts are counted as sold YES contracts, as the journal counts them."""
        return self.cost_microdollars + min(0, self.position_centicontracts) * 10_000


@dataclass(frozen=True, slots=True)
class Settlement:
    """The payout of a market in centi-cents for one YES contract."""

    ticker: str
    event_ticker: str
    payoff_centicents: int
    settled_us: int

    @property
    def dedupe(self) -> str:
        """The key under which the journal records this settlement only once."""
        return f"{self.ticker}:{self.settled_us}"


def merge_orders(orders: Iterable[ExchangeOrder]) -> dict[str, ExchangeOrder]:
    """Return the orders by id. If an order was read twice while it changed, the later state counts."""
    found: dict[str, ExchangeOrder] = {}
    for order in orders:
        known = found.get(order.order_id)
        if known is None or _progress(known) <= _progress(order):
            found[order.order_id] = order
    return found


def combine_digests(digests: Iterable[str]) -> str:
    """Return one SHA-256 digest of several digests."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _progress(order: ExchangeOrder) -> tuple[bool, int, int]:
    return (not order.is_resting, order.filled_centicontracts, order.updated_us)
