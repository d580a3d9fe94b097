"""The fee bound of an order: the largest possible sum of the fees for its fills. The bound is reserved with the order.

Sources: the vendor's fee schedule, and its page on fee rounding in the editions of June and October 2026. The page
rounds the fees of each fill like this:

1. A trade at price P costs rate x contracts x P x (1 - P). This trade fee is rounded up to a micro-dollar. Until about
   September 2026 it was rounded up to a centi-cent ($0.0001). The day of the change is not known, so the bound holds
   for both.
2. A rounding fee, smaller than the balance step, moves the balance to a multiple of its step. The rounding fees of an
   order are accumulated.
3. If the accumulated rounding fees reach a step, whole steps are paid back. A rebate never exceeds the fill's own fees.

So a fill whose fees are below one step gets no rebate. Call it a small fill. Any other fill leaves at most one step in
the accumulator, or less than before. Therefore the net fees of an order are at most

    trade fees of all fills + (step - 1) x number of small fills + one step.

The trade fees are largest if each fill is 0.01 contract, because each fill is rounded up. The maker rates are fractions
of the taker rate, so the taker rate bounds both. The amount of ``flat`` fees is not published, so they have no bound.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
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
#: The coarsest unit, in micro-dollars, to which the vendor rounded a trade fee up in 2026: a centi-cent.
_TRADE_FEE_UNIT: Final = 100
#: The balance step of direct members in micro-dollars. Their small fills cost at most $0.01 a contract, so the bound
#: counts every 0.01 contract as a small fill.
_FINE_STEP: Final = 100
#: The small fills of one order that the bound covers if the balance step is a cent. The published rules set no limit:
#: 10,000 fills of 0.01 contract cost $100 at any price. A bound for that many would reserve a dollar for each
#: contract. An order with more small fills than this exceeds its bound, and that engages the kill switch.
MOST_SMALL_FILLS: Final = 100


class FeeNotBounded(ExpectedError, ValueError):
    """This version of the program knows no upper bound for the fee of a market."""


@dataclass(frozen=True, slots=True)
class FeeTerms:
    """The terms of a market's fees: fee type, multiplier, and the smallest step of the balance in micro-dollars."""

    fee_type: str
    multiplier: Decimal
    balance_step: int


def fee_bound(terms: FeeTerms, side: Side, limit: YesPrice, count: Contracts) -> int:
    """Return an upper bound in micro-dollars for the fees of an order, for any fills at the limit or better prices.

    If the balance step is a cent, at most ``MOST_SMALL_FILLS`` of the fills may be too small for a rebate. Otherwise
    the number of fills does not matter.

    Raises:
        FeeNotBounded: The type of fee is not known, or the multiplier is not plausible.
    """
    if terms.fee_type not in BOUNDED_FEE_TYPES:
        raise FeeNotBounded(f"Fees of type {terms.fee_type!r} have no published bound.")
    if not is_plausible(terms.multiplier):
        raise FeeNotBounded(f"A fee multiplier of {str(terms.multiplier)[:40]} is not plausible.")
    price = _most_expensive_price(side, limit.centicents)
    smallest = TAKER_RATE * terms.multiplier * price * (DOLLAR_CENTICENTS - price) / DOLLAR_CENTICENTS
    # The largest trade fee of 0.01 contract. No fill has a higher trade fee for each 0.01 contract.
    trade_fee = int((smallest / _TRADE_FEE_UNIT).to_integral_value(ROUND_CEILING)) * _TRADE_FEE_UNIT
    rounding = count.centi * (terms.balance_step - 1)
    if terms.balance_step > _FINE_STEP:
        rounding = min(rounding, MOST_SMALL_FILLS * (terms.balance_step - 1) + terms.balance_step)
    return count.centi * trade_fee + rounding


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
