"""The fee bound of an order: the largest possible sum of the fees for its fills. The bound is reserved with the order.

Source: the vendor's fee schedule and its page on fee rounding, October 2026. A trade at price P costs rate x contracts
x P x (1 - P), rounded up to a micro-dollar. A rounding fee then moves the account's balance to a multiple of its
smallest step. The maker rates are fractions of the taker rate, so the taker rate bounds both. The amount of ``flat``
fees is not published, so they have no bound.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.orders.terms import Contracts, Side, YesPrice
from kalshi_pipelines.units import DOLLAR_CENTICENTS

#: Fee types whose trade fee is at most the taker fee: ``TAKER_RATE`` times the market's multiplier.
BOUNDED_FEE_TYPES: Final = frozenset({"quadratic", "quadratic_with_maker_fees", "quadratic_with_combo_maker_fees"})
TAKER_RATE: Final = Decimal("0.07")
#: The highest plausible fee multiplier. Up to this value, price plus fee grows with the price, so a fill at the limit
#: price costs the most.
MOST_MULTIPLIER: Final = Decimal(10)
#: The largest number of decimals of a plausible fee multiplier. Without this limit, Python would write out all million
#: digits of a number such as 1e-1000000.
_MOST_DIGITS: Final = 12
_EVEN: Final = DOLLAR_CENTICENTS // 2


class FeeNotBounded(ExpectedError, ValueError):
    """This version of the program knows no upper bound for the fee of a market."""


@dataclass(frozen=True, slots=True)
class FeeTerms:
    """The terms of a market's fees: fee type, multiplier, and the smallest step of the balance in micro-dollars."""

    fee_type: str
    multiplier: Decimal
    balance_step: int


def fee_bound(terms: FeeTerms, side: Side, limit: YesPrice, count: Contracts) -> int:
    """Return an upper bound in micro-dollars for the fees of an order, for any number of fills at any prices.

    Raises:
        FeeNotBounded: The type of fee is not known, or the multiplier is not plausible.
    """
    if terms.fee_type not in BOUNDED_FEE_TYPES:
        raise FeeNotBounded(f"Fees of type {terms.fee_type!r} have no published bound.")
    if not is_plausible(terms.multiplier):
        raise FeeNotBounded(f"A fee multiplier of {str(terms.multiplier)[:40]} is not plausible.")
    price = _most_expensive_price(side, limit.centicents)
    exact = TAKER_RATE * terms.multiplier * count.centi * price * (DOLLAR_CENTICENTS - price) / DOLLAR_CENTICENTS
    # A fill can be as small as 0.01 contract. The fee of each fill is rounded up twice: to a micro-dollar, then to the
    # smallest step of the balance.
    return int(exact) + 1 + count.centi * (1 + terms.balance_step)


def is_plausible(multiplier: Decimal) -> bool:
    """Return whether a fee multiplier is plausible: from 0 to ``MOST_MULTIPLIER``, with few decimals."""
    exponent = multiplier.as_tuple().exponent
    return (
        isinstance(exponent, int) and -_MOST_DIGITS <= exponent <= _MOST_DIGITS and 0 <= multiplier <= MOST_MULTIPLIER
    )


def _most_expensive_price(side: Side, limit: int) -> int:
    """Return the price with the highest trade fee among the limit price of an order and all better prices."""
    if side is Side.BID:
        return min(limit, _EVEN)
    return max(limit, _EVEN)
