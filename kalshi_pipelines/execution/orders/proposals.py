"""A proposed order: what a person, a strategy or an agent asks for. It is data, and can not become anything else.

Its free text (``reason``) is stored and shown, and read by nothing that decides.
"""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from kalshi_pipelines.execution.orders.terms import Contracts, Leg, MarketTicker, TimeInForce


class ActorKind(StrEnum):
    """Who proposes; an agent's orders always need a person's approval."""

    PERSON = "person"
    STRATEGY = "strategy"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Signal:
    """What makes an order the same order, however often it is proposed: see ``idempotency``."""

    strategy: str
    strategy_version: str
    partition: str
    """The window the signal is of, such as a date; empty where there is none."""
    signal: str
    leg: str = "1"
    attempt: int = 1
    """More than 1 only after a decision to try again, once the attempt before is over and was not filled."""


@dataclass(frozen=True, slots=True)
class ProposedOrder:
    """An order somebody wants.

    ``as_of`` is the instant of the knowledge it rests on, ``valid_until`` the instant after which it must not be sent;
    at most ten minutes lie between them. ``expires`` is set for good-till-canceled orders only and required there.
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
