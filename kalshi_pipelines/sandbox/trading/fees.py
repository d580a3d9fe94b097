"""Fees of a fill: the trade fee by the vendor's formula, and a rounding fee that keeps a balance at a multiple of its
step.

Source: the vendor's fee schedule and its page on fee rounding, as of October 2026. The trade fee is rounded up to a
micro-dollar. The rounding fee then rounds the balance change down to a multiple of the balance step. Later fills of the
same order return earlier rounding fees in whole steps, as long as no fee becomes negative.
"""

from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.sandbox.trading.events import MarketOpened
from kalshi_pipelines.units import DOLLAR_CENTICENTS

YOUNG_COMBO_ORDER_US: Final = 5_000_000
"""Age of a maker order, in microseconds, that decides the fee rates of a trade in a combo.

If the maker order is younger than this age, the maker pays the taker's rate and the taker pays the maker's rate.
"""

_RATE_SCALE: Final = 10**12


@dataclass(frozen=True, slots=True)
class FeeRates:
    """Fee rates of the taker and the maker of one trade, in units of 1e-8 (see ``MarketOpened``)."""

    maker: int
    taker: int


NO_FEES: Final = FeeRates(0, 0)


def rates_of(market: MarketOpened, at_us: int, maker_since_us: int) -> FeeRates:
    """Return the taker's and the maker's fee rate.

    ``maker_since_us`` is the instant at which the maker order was placed.
    """
    if at_us < market.fee_waived_until_us:
        return NO_FEES
    taker, maker = market.taker_rate, market.maker_rate
    for since_us, taker_rate, maker_rate in market.fee_steps:
        if since_us <= at_us:
            taker, maker = taker_rate, maker_rate
    if market.is_combo and at_us - maker_since_us < YOUNG_COMBO_ORDER_US:
        return FeeRates(maker=taker, taker=maker)
    return FeeRates(maker=maker, taker=taker)


def trade_fee(rate: int, price: int, count: int) -> int:
    """Return the trade fee in micro-dollars: rate x contracts x P x (1 - P), rounded up."""
    return -(-rate * count * price * (DOLLAR_CENTICENTS - price) // _RATE_SCALE)


@dataclass(frozen=True, slots=True)
class FillFee:
    """Net fee of a fill for one of its two orders, in micro-dollars.

    ``rounding`` is the rounding fee that the fill added, less the rounding fees that it returned.
    """

    fee: int
    rounding: int


def fill_fee(fee: int, change: int, step: int, overpaid: int, affordable: int | None = None) -> FillFee:
    """Return the fee of a fill that changes a balance by ``change`` before fees.

    ``overpaid`` is the sum of the rounding fees of the order's earlier fills, less the rounding fees already returned.
    ``affordable`` caps the new rounding fee, so that this fee never makes a balance negative.
    """
    rounding = (change - fee) % step
    if affordable is not None and rounding > affordable:
        rounding = max(0, affordable)
    rebate = min(overpaid + rounding, fee + rounding) // step * step
    return FillFee(fee + rounding - rebate, rounding - rebate)


def resting_allowance(market: MarketOpened, price: int, count: int, step: int) -> int:
    """Return the micro-dollars that a resting order reserves for maker fees, in addition to its price.

    Scheduled changes of the fees count, because the order may rest until then.
    """
    rates = [(market.taker_rate, market.maker_rate), *((taker, maker) for _, taker, maker in market.fee_steps)]
    rate = max(max(pair) if market.is_combo else pair[1] for pair in rates)
    if rate == 0 and price % step == 0:
        return 0
    most = trade_fee(rate, price, count) + count if rate else 0
    return most + step
