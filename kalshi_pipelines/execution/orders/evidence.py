"""What was read of an account, in exact units: orders, settlements, holdings. Pure values.

Prices are centi-cents of YES, counts centi-contracts, money micro-dollars, instants microseconds since 1970 UTC.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Side


class OrderStatus(StrEnum):
    """The exchange's words for an order: OpenAPI 3.34.0, ``OrderStatus``."""

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
    """An order as the exchange tells of it; ``client_order_id`` is empty where there is none."""

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
        """Whether it may still trade."""
        return self.status is OrderStatus.RESTING

    @property
    def did_nothing(self) -> bool:
        """Whether it ended without a single contract."""
        return not self.is_resting and self.filled_centicontracts == 0


@dataclass(frozen=True, slots=True)
class OrderSweep:
    """Every order of a market, or of the account, by the exchange's id: all pages of all lists, or it is no sweep."""

    orders: dict[str, ExchangeOrder]
    pages: int
    pages_sha256: str

    def of_client(self, client_order_id: str) -> list[ExchangeOrder]:
        """The orders that carry one of our ids; more than one must not be."""
        return [order for order in self.orders.values() if order.client_order_id == client_order_id]


@dataclass(frozen=True, slots=True)
class Holding:
    """A position, positive for YES, and what it cost."""

    ticker: str
    position_centicontracts: int
    cost_microdollars: int

    @property
    def spent_microdollars(self) -> int:
        """What was paid net, if NO contracts are counted as sold YES: the journal's way."""
        return self.cost_microdollars + min(0, self.position_centicontracts) * 10_000


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a market paid out: centi-cents of one YES."""

    ticker: str
    event_ticker: str
    payoff_centicents: int
    settled_us: int

    @property
    def dedupe(self) -> str:
        """The same however often it is told."""
        return f"{self.ticker}:{self.settled_us}"


def merge_orders(orders: Iterable[ExchangeOrder]) -> dict[str, ExchangeOrder]:
    """Orders by id; of one that was told of twice, while it moved, what was told last of it counts."""
    found: dict[str, ExchangeOrder] = {}
    for order in orders:
        known = found.get(order.order_id)
        if known is None or _progress(known) <= _progress(order):
            found[order.order_id] = order
    return found


def combine_digests(digests: Iterable[str]) -> str:
    """One digest of several."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _progress(order: ExchangeOrder) -> tuple[bool, int, int]:
    return (not order.is_resting, order.filled_centicontracts, order.updated_us)
