"""Traded contracts of a price path: how many in each epoch, and how many in total up to an epoch.

An epoch is the time between two regular price changes. The total up to an epoch has a closed form. A market's volume is
therefore exactly the sum of its trades, and computing it takes no longer for a life of a year than for one of an hour.

Belongs here: the number of contracts. Does not belong here: splitting an epoch's contracts into trades (``quotes``).
"""

from functools import cache
from itertools import accumulate
from typing import Final

from kalshi_pipelines.sandbox.noise import mixed

LONGEST_PAUSE: Final = 6
"""Most epochs in a row without a trade."""

_GROUP_SHIFT: Final = 2
_GROUP: Final = 1 << _GROUP_SHIFT
_TOTAL, _SHARES = 31, 32
#: Of sixteen equally likely shares of an epoch in its group, this many are empty: the epoch has no trade.
_EMPTY_SHARES: Final = 4


def total_through(seed: int, rate: int, epoch: int) -> int:
    """Return the centi-contracts that a price path trades up to the end of an epoch, counted from a fixed epoch.

    Only differences of this total have a meaning. ``rate`` is the mean number of centi-contracts per epoch.
    """
    if not rate:
        return 0
    before, after, shares = _group(seed, rate, epoch >> _GROUP_SHIFT)
    return before + _part(after - before, shares, (epoch & _GROUP - 1) + 1)


def traded_in(seed: int, rate: int, epoch: int) -> int:
    """Return the centi-contracts that a price path trades in one epoch."""
    if not rate:
        return 0
    before, after, shares = _group(seed, rate, epoch >> _GROUP_SHIFT)
    place = epoch & _GROUP - 1
    return _part(after - before, shares, place + 1) - _part(after - before, shares, place)


def _group(seed: int, rate: int, group: int) -> tuple[int, int, tuple[int, ...]]:
    """Return the totals before and after a group of four epochs, and the sums of the shares of its epochs.

    The total grows by four times the rate per group, plus noise of less than one group, so each group trades something.
    """
    most = rate << _GROUP_SHIFT
    total = most * group
    before = total - most + mixed(seed, group - 1, _TOTAL) % most
    return before, total + mixed(seed, group, _TOTAL) % most, _sums_of(mixed(seed, group, _SHARES) & 0xFFFF)


def _part(contracts: int, sums: tuple[int, ...], epochs: int) -> int:
    """Return the contracts of the first epochs of a group."""
    return contracts * sums[epochs] // sums[_GROUP]


@cache
def _sums_of(noise: int) -> tuple[int, ...]:
    """Return the sums of the first 0 to 4 shares. Four bits of noise decide each share."""
    shares = [max(0, (noise >> 4 * place & 15) + 1 - _EMPTY_SHARES) for place in range(_GROUP)]
    sums = (0, *accumulate(shares))
    return sums if sums[-1] else (0, 1, 1, 1, 1)
