"""The vendor's page on fee rounding in decimal dollars, written from the page alone.

It shares no code with the program or the sandbox, so that both can be checked against it.
"""

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

NOTHING = Decimal(0)


@dataclass
class FeePage:
    """The fees of one order: ``precision`` rounds the trade fee, ``grid`` is the step of the balance.

    ``rebates`` is the step of a rebate. In the June 2026 edition it was a cent even for balances with a finer step.
    """

    grid: Decimal
    precision: Decimal = Decimal("0.000001")
    rebates: Decimal | None = None
    accumulator: Decimal = field(default=NOTHING, init=False)
    paid: Decimal = field(default=NOTHING, init=False)
    small_fills: int = field(default=0, init=False)

    def fill(self, revenue: Decimal, model_fee: Decimal) -> Decimal:
        """Return the net fee of the next fill. The revenue is negative for a purchase."""
        trade_fee = _rounded(model_fee, self.precision, ROUND_CEILING)
        aligned = _rounded(revenue - trade_fee, self.grid, ROUND_FLOOR)
        rounding = revenue - trade_fee - aligned
        self.accumulator += rounding
        step = self.rebates or self.grid
        rebate = _rounded(min(self.accumulator, trade_fee + rounding), step, ROUND_FLOOR)
        self.accumulator -= rebate
        self.small_fills += trade_fee + rounding < step
        net = trade_fee + rounding - rebate
        assert net >= 0
        self.paid += net
        return net


def model_fee(price: Decimal, count: Decimal, rate: Decimal = Decimal("0.07")) -> Decimal:
    """Return rate x contracts x P x (1 - P), which is not rounded."""
    return rate * count * price * (1 - price)


def _rounded(amount: Decimal, step: Decimal, how: str) -> Decimal:
    return (amount / step).to_integral_value(how) * step
