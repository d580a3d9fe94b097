"""The formulas of fees, with exact decimals, and how the exchange rounded them at different times.

The trade fee of C contracts at price P is rate x multiplier x C x P x (1 - P), rounded up. The rates are from the
vendor's fee schedule and changelog. The amounts of ``flat`` and of other types are not published: such a fee is None.

The exchange changed the rounding twice. Its documents do not name the days:

- Until about March 2026, the trade fee was rounded up to a cent.
- Then it was rounded up to $0.0001. A fill of 2026-08-18 still was.
- The documents of 2026-09-26 round up to $0.000001.
"""

import datetime as dt
from bisect import bisect_right
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from enum import StrEnum
from typing import Final

from kalshi_pipelines.units import microseconds

TAKER_RATE: Final = Decimal("0.07")
#: The rate of makers by type of fees. Takers pay ``TAKER_RATE`` for each of these types.
MAKER_RATES: Final = {
    "quadratic": Decimal(0),
    "quadratic_with_maker_fees": Decimal("0.0175"),
    "quadratic_with_combo_maker_fees": Decimal("0.035"),
}
#: The number of decimals to which trade fees were rounded up first, and from these times on.
FIRST_DECIMALS: Final = 2
ROUNDING_CHANGES: Final = (
    (microseconds(dt.datetime(2026, 3, 1, tzinfo=dt.UTC)), 4),
    (microseconds(dt.datetime(2026, 9, 26, tzinfo=dt.UTC)), 6),
)
#: The largest number of decimals of a multiplier. The known multipliers have one.
MOST_MULTIPLIER_DECIMALS: Final = 6
MOST_MULTIPLIER: Final = Decimal(1_000)
_EXACT: Final = Context(prec=80)
_STARTS: Final = [start for start, _ in ROUNDING_CHANGES]


class Role(StrEnum):
    """The role of a member in a trade: the taker crossed the spread, and the maker's order rested."""

    TAKER = "taker"
    MAKER = "maker"


@dataclass(frozen=True)
class Fees:
    """The fees of a market at one time: their type, which is any text, and their multiplier."""

    fee_type: str
    multiplier: Decimal

    def rate(self, role: Role) -> Decimal | None:
        """Return the rate, multiplier included; None if the amount is not published or the multiplier is absurd."""
        if self.fee_type not in MAKER_RATES or not 0 <= self.multiplier <= MOST_MULTIPLIER:
            return None
        if self.multiplier != round(self.multiplier, MOST_MULTIPLIER_DECIMALS):
            return None
        rate = TAKER_RATE if role is Role.TAKER else MAKER_RATES[self.fee_type]
        return _EXACT.multiply(rate, self.multiplier)


def rounding_decimals(time_us: int) -> int:
    """Return the number of decimals to which the exchange rounded trade fees up at a time."""
    position = bisect_right(_STARTS, time_us)
    return ROUNDING_CHANGES[position - 1][1] if position else FIRST_DECIMALS


def trade_fee(fees: Fees, role: Role, *, price: Decimal, contracts: Decimal, time_us: int) -> Decimal | None:
    """Return the trade fee of one fill in dollars, rounded as at its time; None if the amount is not published.

    The price may be the price of YES or of NO, because the formula is symmetric.
    """
    rate = fees.rate(role)
    if rate is None:
        return None
    exact = _EXACT.multiply(
        _EXACT.multiply(rate, contracts), _EXACT.multiply(price, _EXACT.subtract(Decimal(1), price))
    )
    return exact.quantize(Decimal(1).scaleb(-rounding_decimals(time_us)), ROUND_CEILING, _EXACT)


def fill_fee(fee: Decimal, *, price: Decimal, contracts: Decimal, step: Decimal) -> Decimal:
    """Return the whole fee of a purchase that is an order's only fill: the trade fee and the rounding fee.

    The rounding fee moves the balance down to a multiple of its step. Later fills of the same order may get a part of
    it back, which is not computed here.

    Args:
        fee: The trade fee.
        price: The price of the side that was bought.
        contracts: The number of contracts.
        step: The smallest step of the account's balance: 0.0001 dollar for direct members since 2026-05-28, or a cent.
    """
    revenue = -_EXACT.multiply(price, contracts) - fee
    steps = (revenue / step).to_integral_value(ROUND_FLOOR)
    return fee + revenue - steps * step
