"""What open orders and a position can cost at worst: exact micro-dollars, closed form.

For every market two numbers are kept: the loss if YES pays nothing (``if_no``) and the loss if it pays a dollar
(``if_yes``). A pay-out between them (a scalar market) is a mixture of both, so the worst of all is at one of the ends.
Prices are centi-cents, counts centi-contracts. Proved against brute force over all fills and outcomes in the tests.
"""

from dataclasses import dataclass
from typing import Self

from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.units import DOLLAR_CENTICENTS


@dataclass(frozen=True, slots=True)
class Exposure:
    """Losses in micro-dollars, negative where money is won: if YES pays nothing, and if it pays a dollar."""

    if_no: int = 0
    if_yes: int = 0

    def __add__(self, other: "Exposure") -> "Exposure":
        return Exposure(self.if_no + other.if_no, self.if_yes + other.if_yes)

    def __sub__(self, other: "Exposure") -> "Exposure":
        return Exposure(self.if_no - other.if_no, self.if_yes - other.if_yes)

    @property
    def worst(self) -> int:
        """The most that can be lost; never less than 0."""
        return max(0, self.if_no, self.if_yes)

    @classmethod
    def of_resting(cls, side: Side, price: int, count: int, fee_bound: int) -> Self:
        """What an order may add: it may fill or not, so it never counts as a gain.

        ``price`` is its limit, ``count`` what is left of it, ``fee_bound`` the most its fills can cost in fees. Fees
        count whole on the winning side, too: rounding may charge nearly all of them for a tiny fill.
        """
        if side is Side.BID:
            return cls(price * count + fee_bound, fee_bound)
        return cls(fee_bound, (DOLLAR_CENTICENTS - price) * count + fee_bound)

    @classmethod
    def of_fill(cls, side: Side, price: int, count: int, fee: int) -> Self:
        """What a fill changes: money spent or received, and contracts won or owed."""
        paid, won = price * count, (DOLLAR_CENTICENTS - price) * count
        if side is Side.BID:
            return cls(paid + fee, fee - won)
        return cls(fee - paid, won + fee)

    @classmethod
    def of_position(cls, signed_count: int, spent: int) -> Self:
        """A position of signed centi-contracts (positive is YES) on which ``spent`` micro-dollars net were paid."""
        return cls(spent, spent - DOLLAR_CENTICENTS * signed_count)
