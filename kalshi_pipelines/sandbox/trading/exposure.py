"""The collateral that resting orders of one holding bind.

A contract bought costs its price, a contract sold (NO bought) a dollar less its price, unless it closes what the member
holds. Of a member's own orders on a side the best-priced trade first, so these are the ones that close. Belongs here:
that sum, kept up to date order by order. Does not belong here: the holding itself, and other fees.
"""

from dataclasses import dataclass, field

from kalshi_pipelines.sandbox.trading.events import Side
from kalshi_pipelines.units import DOLLAR_CENTICENTS


def cost_each(side: Side, price: int) -> int:
    """Micro-dollars that one centi-contract costs to open."""
    return price if side == "bid" else DOLLAR_CENTICENTS - price


@dataclass(slots=True)
class _RestingSide:
    """Centi-contracts by what each costs to open, their number and what they cost together."""

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
        """The cost of all but the first ``closing`` contracts; those that trade first cost the most."""
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
    """Resting orders of one member, sub-account and market."""

    bids: _RestingSide = field(default_factory=_RestingSide)
    asks: _RestingSide = field(default_factory=_RestingSide)
    allowance: int = 0

    def change(self, side: Side, price: int, count: int, allowance: int) -> None:
        """Note that ``count`` more (or less) rest at a price, and how the allowance for fees changes."""
        (self.bids if side == "bid" else self.asks).change(cost_each(side, price), count)
        self.allowance += allowance

    def reserve(self, holding: int) -> int:
        """Micro-dollars bound while the member holds ``holding`` centi-contracts, negative for NO."""
        return self.bids.opening_cost(-holding) + self.asks.opening_cost(holding) + self.allowance

    def reserve_with(self, side: Side, price: int, count: int, allowance: int, holding: int) -> int:
        """The reserve if one more order rested."""
        if not count:
            return self.reserve(holding)
        self.change(side, price, count, allowance)
        reserve = self.reserve(holding)
        self.change(side, price, -count, -allowance)
        return reserve
