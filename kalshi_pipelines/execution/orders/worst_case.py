"""The worst case of open orders and a position: the largest possible loss, in exact micro-dollars.

Each market has two numbers: the loss if YES pays nothing (``if_no``) and the loss if YES pays a dollar (``if_yes``). In
a scalar market the payout lies in between, and the loss lies between these two losses. So the larger of the two is the
worst case. Prices are in centi-cents, counts in centi-contracts. The tests compare the formulas with brute force over
all fills and outcomes.
"""

from dataclasses import dataclass
from typing import Self

from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.units import DOLLAR_CENTICENTS


def closable(side: Side, position: int, open_bids: int, open_asks: int) -> int:
    """Return how many centi-contracts an order of a side could close that other open orders do not close already.

    Args:
        side: The side of the order: an ask closes a YES position, a bid closes a NO position.
        position: The held centi-contracts; positive is YES.
        open_bids: The centi-contracts of all open bids in the market.
        open_asks: The centi-contracts of all open asks in the market.
    """
    return max(0, position - open_asks) if side is Side.ASK else max(0, -position - open_bids)


@dataclass(frozen=True, slots=True)
class Exposure:
    """The losses in micro-dollars in two cases: YES pays nothing, or YES pays a dollar. A negative loss is a gain."""

    if_no: int = 0
    if_yes: int = 0

    def __add__(self, other: "Exposure") -> "Exposure":
        return Exposure(self.if_no + other.if_no, self.if_yes + other.if_yes)

    def __sub__(self, other: "Exposure") -> "Exposure":
        return Exposure(self.if_no - other.if_no, self.if_yes - other.if_yes)

    @property
    def worst(self) -> int:
        """The larger of the two losses, at least 0."""
        return max(0, self.if_no, self.if_yes)

    @classmethod
    def of_resting(cls, side: Side, price: int, count: int, fee_bound: int) -> Self:
        """Return the losses that a resting order may add.

        Its possible gains do not count, because the order may never be filled.

        The whole fee bound counts even for the case in which the order wins. The fees of many tiny fills are rounded
        up, so the fees may exceed the gain.

        Args:
            side: The side of the order.
            price: The limit price.
            count: The contracts that are not filled yet.
            fee_bound: The largest possible sum of the fees for the order's fills.
        """
        if side is Side.BID:
            return cls(price * count + fee_bound, fee_bound)
        return cls(fee_bound, (DOLLAR_CENTICENTS - price) * count + fee_bound)

    @classmethod
    def of_fill(cls, side: Side, price: int, count: int, fee: int) -> Self:
        """Return how a fill changes the losses, from its price, count and fee."""
        paid, won = price * count, (DOLLAR_CENTICENTS - price) * count
        if side is Side.BID:
            return cls(paid + fee, fee - won)
        return cls(fee - paid, won + fee)

    @classmethod
    def of_position(cls, signed_count: int, spent: int) -> Self:
        """Return the losses of a position that cost ``spent`` micro-dollars net.

        The count is in signed centi-contracts; positive is YES.
        """
        return cls(spent, spent - DOLLAR_CENTICENTS * signed_count)
