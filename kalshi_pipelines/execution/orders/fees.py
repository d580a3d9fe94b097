"""The most an order's fills can cost in fees: what is reserved for them. Never what a fill did cost.

Source: the vendor's fee schedule and its page on fee rounding, October 2026. A trade costs rate x contracts x P x (1 -
P) at its own price, rounded up to a micro-dollar; a rounding fee then brings the balance onto the member's grid. The
maker rates are parts of the taker rate, so that bounds both. What ``flat`` costs is not published: it has no bound.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.orders.terms import Contracts, Side, YesPrice
from kalshi_pipelines.units import DOLLAR_CENTICENTS

#: Fee types whose trade fee is at most ``TAKER_RATE`` times the multiplier.
BOUNDED_FEE_TYPES: Final = frozenset({"quadratic", "quadratic_with_maker_fees", "quadratic_with_combo_maker_fees"})
TAKER_RATE: Final = Decimal("0.07")
#: p + fee(p) grows with p only up to here; at more the limit would not be the dearest price.
MOST_MULTIPLIER: Final = Decimal(10)
#: Digits after the point of a multiplier: one with an exponent of millions would be written out digit by digit.
_MOST_DIGITS: Final = 12
_EVEN: Final = DOLLAR_CENTICENTS // 2


class FeeNotBounded(ExpectedError, ValueError):
    """The fee of a market has no bound this version knows."""


@dataclass(frozen=True, slots=True)
class FeeTerms:
    """What is known of a market's fees and of the account: ``balance_step`` is micro-dollars of its balance's grid."""

    fee_type: str
    multiplier: Decimal
    balance_step: int


def fee_bound(terms: FeeTerms, side: Side, limit: YesPrice, count: Contracts) -> int:
    """Micro-dollars that all fills of an order can cost at most, however it is cut into fills and at what prices.

    Raises:
        FeeNotBounded: The type of fee is not known, or the multiplier is no plausible one.
    """
    if terms.fee_type not in BOUNDED_FEE_TYPES:
        raise FeeNotBounded(f"fees of type {terms.fee_type!r} have no published bound")
    if not is_plausible(terms.multiplier):
        raise FeeNotBounded(f"a fee multiplier of {str(terms.multiplier)[:40]} is not plausible")
    price = _most_expensive_price(side, limit.centicents)
    exact = TAKER_RATE * terms.multiplier * count.centi * price * (DOLLAR_CENTICENTS - price) / DOLLAR_CENTICENTS
    # Each fill may be of 0.01 contract, and is rounded up twice: to a micro-dollar, then to the grid.
    return int(exact) + 1 + count.centi * (1 + terms.balance_step)


def is_plausible(multiplier: Decimal) -> bool:
    """Whether a number can be a fee multiplier: from 0 to ``MOST_MULTIPLIER``, with few digits after the point."""
    exponent = multiplier.as_tuple().exponent
    return (
        isinstance(exponent, int)
        and -_MOST_DIGITS <= exponent <= _MOST_DIGITS
        and 0 <= multiplier <= MOST_MULTIPLIER
    )  # fmt: skip


def _most_expensive_price(side: Side, limit: int) -> int:
    """Of the prices an order may fill at, its limit and better ones, the one whose trade fee is highest."""
    if side is Side.BID:
        return min(limit, _EVEN)
    return max(limit, _EVEN)
