"""Orders, settlements and positions as the exchange reports them, converted to exact units.

Prices are in centi-cents of YES, counts in centi-contracts, money in micro-dollars. Instants are microseconds since
1970 UTC.
"""

import hashlib
from collections.abc import Collection, Iterable
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
    """An order in the exchange's lists. ``client_order_id`` is empty if the order has no such id."""

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
    created_us: int = 0

    @property
    def placed_us(self) -> int:
        """The instant of the order, or of its last change if the exchange does not tell when the order was made."""
        return self.created_us or self.updated_us

    @property
    def is_resting(self) -> bool:
        """Whether the order may still trade."""
        return self.status is OrderStatus.RESTING

    @property
    def did_nothing(self) -> bool:
        """Whether the order has ended without any fill."""
        return not self.is_resting and self.filled_centicontracts == 0


@dataclass(frozen=True, slots=True)
class OrderSweep:
    """A sweep: every order of a market or an account, by the exchange's order id.

    The sweep covers all pages of all lists of orders.
    """

    orders: dict[str, ExchangeOrder]
    pages: int
    pages_sha256: str

    def without(self, order_ids: Collection[str]) -> "OrderSweep":
        """Return the sweep without the orders that have these ids."""
        left = {order_id: order for order_id, order in self.orders.items() if order_id not in order_ids}
        return OrderSweep(left, self.pages, self.pages_sha256)

    def of_client(self, client_order_id: str) -> list[ExchangeOrder]:
        """Return the orders that have this client order id.

        The id should be unique, so a reconciliation reports two or more such orders as a difference.
        """
        return [order for order in self.orders.values() if order.client_order_id == client_order_id]


@dataclass(frozen=True, slots=True)
class Holding:
    """A position in a market and its cost. The position is positive for YES and negative for NO."""

    ticker: str
    position_centicontracts: int
    cost_microdollars: int

    @property
    def spent_microdollars(self) -> int:
        """The net amount paid for the position, as the journal counts it: NO contracts count as sold YES contracts."""
        return self.cost_microdollars + min(0, self.position_centicontracts) * 10_000


@dataclass(frozen=True, slots=True)
class Settlement:
    """The settlement of a market, with the payout of one YES contract in centi-cents."""

    ticker: str
    event_ticker: str
    payoff_centicents: int
    settled_us: int

    @property
    def dedupe(self) -> str:
        """The key that ensures that the journal records this settlement only once."""
        return f"{self.ticker}:{self.settled_us}"


def merge_orders(orders: Iterable[ExchangeOrder]) -> dict[str, ExchangeOrder]:
    """Return the orders by id. If an order changed between two reads, its later state is returned."""
    found: dict[str, ExchangeOrder] = {}
    for order in orders:
        known = found.get(order.order_id)
        if known is None or _progress(known) <= _progress(order):
            found[order.order_id] = order
    return found


def combine_digests(digests: Iterable[str]) -> str:
    """Return a single SHA-256 digest of several digests."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _progress(order: ExchangeOrder) -> tuple[bool, int, int]:
    return (not order.is_resting, order.filled_centicontracts, order.updated_us)
