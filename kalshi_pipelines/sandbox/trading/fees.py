"""What a fill costs: the fee of the model, and the rounding that keeps a balance on its member's grid.

Source: the vendor's fee schedule and its page on fee rounding, as of October 2026: the trade fee is rounded up to a
micro-dollar, a rounding fee brings the change of the balance down to the member's step, and what was so overpaid is
given back in whole steps by later fills of the order, as far as no fill's fee becomes negative.
"""

from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.sandbox.trading.events import MarketOpened
from kalshi_pipelines.units import DOLLAR_CENTICENTS

"""Centi-cents in a dollar."""

YOUNG_COMBO_ORDER_US: Final = 5_000_000
"""A combo's maker order that is younger trades fees with its taker."""

_RATE_SCALE: Final = 10**12


@dataclass(frozen=True, slots=True)
class FeeRates:
    """Rates of the two sides of one trade, in 1e-8 (see ``MarketOpened``)."""

    maker: int
    taker: int


NO_FEES: Final = FeeRates(0, 0)


def rates_of(market: MarketOpened, at_us: int, maker_since_us: int) -> FeeRates:
    """The rates of a trade with a maker order that was placed at an instant."""
    if at_us < market.fee_waived_until_us:
        return NO_FEES
    if market.is_combo and at_us - maker_since_us < YOUNG_COMBO_ORDER_US:
        return FeeRates(maker=market.taker_rate, taker=market.maker_rate)
    return FeeRates(maker=market.maker_rate, taker=market.taker_rate)


def trade_fee(rate: int, price: int, count: int) -> int:
    """Micro-dollars: rate x contracts x P x (1 - P), rounded up."""
    return -(-rate * count * price * (DOLLAR_CENTICENTS - price) // _RATE_SCALE)


@dataclass(frozen=True, slots=True)
class FillFee:
    """What a fill costs one side, in micro-dollars: the net fee, and by how much its order overpaid for rounding."""

    fee: int
    rounding: int


def fill_fee(fee: int, change: int, step: int, overpaid: int, affordable: int | None = None) -> FillFee:
    """The cost of a fill that changes a balance by ``change`` before fees, for an order that ``overpaid`` before.

    ``affordable`` caps the rounding: a member without money left is not driven below zero by it.
    """
    rounding = (change - fee) % step
    if affordable is not None and rounding > affordable:
        rounding = max(0, affordable)
    rebate = min(overpaid + rounding, fee + rounding) // step * step
    return FillFee(fee + rounding - rebate, rounding - rebate)


def resting_allowance(market: MarketOpened, price: int, count: int, step: int) -> int:
    """Micro-dollars a resting order reserves beyond its price: the fees it may cost as a maker."""
    rate = max(market.maker_rate, market.taker_rate) if market.is_combo else market.maker_rate
    if rate == 0 and price % step == 0:
        return 0
    most = trade_fee(rate, price, count) + count if rate else 0
    return most + step
