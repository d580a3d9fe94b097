"""Collateral that the resting orders of one position reserve.

A bought contract costs its price. A sold contract (a bought NO) costs a dollar minus its price. A contract that closes
the member's position costs nothing. A member's best-priced orders trade first, so these orders close the position.
Belongs here: the sum of the collateral, updated with each order. Does not belong here: the position itself, and fees
other than the allowance of resting orders.
"""

from dataclasses import dataclass, field

from kalshi_pipelines.sandbox.trading.events import Side
from kalshi_pipelines.units import DOLLAR_CENTICENTS


def cost_each(side: Side, price: int) -> int:
    """Return the micro-dollars that it costs to open one centi-contract at a price."""
    return price if side == "bid" else DOLLAR_CENTICENTS - price


@dataclass(slots=True)
class _RestingSide:
    """Resting centi-contracts of one member on one side of a market's book.

    ``counts`` groups the centi-contracts by the cost of opening one of them. ``count`` and ``cost`` are the totals.
    """

    counts: dict[int, int] = field(default_factory=dict)
    count: int = 0
    cost: int = 0

    def change(self, cost: int, count: int) -> None:
        now = self.counts.get(cost, 0) + count
        if now:
            self.counts[cost] = now
        else:
            del self.counts[cost]
        self.count += count
        self.cost += cost * count

    def opening_cost(self, closing: int) -> int:
        """Return the total opening cost of the resting contracts, except for ``closing`` centi-contracts.

        The excepted contracts close the member's position, so they cost nothing. They are the contracts with the
        highest opening cost, because orders at better prices cost more and trade first.
        """
        if closing <= 0:
            return self.cost
        if closing >= self.count:
            return 0
        total = self.cost
        for cost in sorted(self.counts, reverse=True):
            taken = min(closing, self.counts[cost])
            total -= cost * taken
            closing -= taken
            if not closing:
                break
        return total


@dataclass(slots=True)
class RestingExposure:
    """Resting orders of one member in one sub-account and market, and the collateral that they reserve."""

    bids: _RestingSide = field(default_factory=_RestingSide)
    asks: _RestingSide = field(default_factory=_RestingSide)
    allowance: int = 0

    def change(self, side: Side, price: int, count: int, allowance: int) -> None:
        """Add ``count`` centi-contracts at a price, or remove them if ``count`` is negative.

        Adjust the allowance for fees.
        """
        (self.bids if side == "bid" else self.asks).change(cost_each(side, price), count)
        self.allowance += allowance

    def reserve(self, holding: int) -> int:
        """Return the micro-dollars that the resting orders reserve.

        The member holds ``holding`` centi-contracts of the market (negative for NO).
        """
        return self.bids.opening_cost(-holding) + self.asks.opening_cost(holding) + self.allowance

    def reserve_with(self, side: Side, price: int, count: int, allowance: int, holding: int) -> int:
        """Return the micro-dollars that would be reserved if one more order rested."""
        if not count:
            return self.reserve(holding)
        self.change(side, price, count, allowance)
        reserve = self.reserve(holding)
        self.change(side, price, -count, -allowance)
        return reserve
