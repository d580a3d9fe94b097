"""Proposed orders: requests of a person, a strategy or an agent to place an order.

No check reads the free text of a proposal (``reason``). This text is only stored and shown.
"""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kalshi_pipelines.execution.orders.terms import Contracts, Leg, MarketTicker, TimeInForce

#: The largest number of attempts of one signal. The journal's tables have the same limit.
MOST_ATTEMPTS: Final = 1_000


class ActorKind(StrEnum):
    """The kind of proposer. An agent's orders always need a person's approval."""

    PERSON = "person"
    STRATEGY = "strategy"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Proposer:
    """The proposer of an order. The calling program names the proposer; the text of a proposal never does."""

    kind: ActorKind
    name: str


@dataclass(frozen=True, slots=True)
class Signal:
    """The signal that identifies an order: proposals of one proposer with the same signal are the same order.

    The module ``idempotency`` derives the order's ids, and the module ``signal_text`` defines the form of the texts.
    """

    strategy: str
    strategy_version: str
    partition: str
    """The time window of the signal, such as a date. It is empty if the signal has none."""
    signal: str
    leg: str = "1"
    attempt: int = 1
    """The number of the attempt for this signal.

    Another attempt is allowed if the previous attempt ended without a fill.
    """


@dataclass(frozen=True, slots=True)
class ProposedOrder:
    """An order that was proposed and has not been decided about yet.

    Attributes:
        as_of: The time of the data behind the proposal.
        valid_until: The time after which the order must not be sent, at most ten minutes after ``as_of``.
        expires: When a good-till-canceled order ends. Such an order needs this time; other orders must not have one.
        open_short: Whether a sale may turn the position: sell more contracts of an outcome than the account holds.
    """

    signal: Signal
    ticker: MarketTicker
    leg: Leg
    count: Contracts
    time_in_force: TimeInForce
    as_of: dt.datetime
    valid_until: dt.datetime
    actor: ActorKind
    actor_name: str
    post_only: bool = False
    reduce_only: bool = False
    expires: dt.datetime | None = None
    reason: str = ""
    open_short: bool = False

    @property
    def proposer(self) -> Proposer:
        """The proposer of the order."""
        return Proposer(self.actor, self.actor_name)
