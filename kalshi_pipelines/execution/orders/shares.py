"""The shares that each kind of proposer has of what all proposers use together.

The attempts of a minute and the caps on the number of orders are shared. Without shares, orders that nobody approves
could use them up for everybody.
"""

from fractions import Fraction
from typing import Final

from kalshi_pipelines.execution.orders.proposals import ActorKind

_ALL: Final = Fraction(1)
#: The share of the attempts of a minute after which no further opening order of this kind of proposer is tried.
OPENING_ATTEMPTS: Final = {
    ActorKind.PERSON: Fraction(7, 8),
    ActorKind.STRATEGY: Fraction(3, 4),
    ActorKind.AGENT: Fraction(1, 2),
}
#: The same share for orders that only reduce a position. Agents leave a rest for persons.
CLOSING_ATTEMPTS: Final = {
    ActorKind.PERSON: _ALL,
    ActorKind.STRATEGY: _ALL,
    ActorKind.AGENT: Fraction(7, 8),
}
#: The same share for denials of expired proposals. Their number in one session is limited, too.
LATE_ATTEMPTS: Final = Fraction(3, 4)
LATE_AT_ONCE: Final = Fraction(1, 4)
#: The share of a cap on the number of orders after which no opening order of this kind of proposer is admitted.
ORDERS: Final = {**OPENING_ATTEMPTS, ActorKind.PERSON: _ALL}
#: The largest number of agents' opening orders that one session lets wait for a person's approval at once.
#:
#: A waiting order holds a part of the caps on losses, which all proposers share.
MOST_WAITING_OF_AGENTS: Final = 5


def most_orders(kind: ActorKind, cap: int) -> int:
    """Return the number of counted orders up to which a scope admits an opening order of this kind of proposer.

    The number is at least 1, so that every kind can trade with the smallest cap.
    """
    return min(cap, max(1, int(cap * ORDERS[kind])))
