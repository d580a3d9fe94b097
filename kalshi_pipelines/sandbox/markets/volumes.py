"""Traded contracts of a price path: how many in each epoch, and how many in total up to an epoch.

An epoch is the time between two regular price changes. The total up to an epoch has a closed form, so the volume of a
market is exactly the sum of its trades, and costs the same for a life of an hour as for a life of a year.

Belongs here: the number of contracts. Does not belong here: splitting an epoch's contracts into trades (``quotes``).
"""

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
    # Epochs form groups of four. The total of all groups up to one grows by four times the rate per group, plus noise
    # of less than one group, so each group trades something. Shares divide a group's contracts among its epochs.
    group = epoch >> _GROUP_SHIFT
    before = _total_of_groups(seed, rate, group - 1)
    of_group = _total_of_groups(seed, rate, group) - before
    noise = mixed(seed, group, _SHARES)
    shares = [max(0, (noise >> 8 * place & 15) + 1 - _EMPTY_SHARES) for place in range(_GROUP)]
    whole = sum(shares)
    if not whole:
        return before + of_group
    return before + of_group * sum(shares[: (epoch & _GROUP - 1) + 1]) // whole


def _total_of_groups(seed: int, rate: int, group: int) -> int:
    most = rate << _GROUP_SHIFT
    return most * group + mixed(seed, group, _TOTAL) % most
