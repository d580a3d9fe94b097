"""A journal that is ready for trading, with a live session and an order group, and methods for the steps of orders."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, TypeVar, cast

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.journal import Journal, initialise
from kalshi_pipelines.execution.journal.records import (
    Binding,
    Intent,
    Lease,
    Mode,
    NewIntent,
    NewSession,
    Origin,
    ScopeCaps,
    ScopeKind,
    Sent,
    SessionCaps,
)
from kalshi_pipelines.execution.journal.tables import CEILINGS, UNCAPPED
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.request import SELF_TRADE_PREVENTION, OrderRequest
from kalshi_pipelines.execution.orders.terms import (
    ClientOrderId,
    Contracts,
    MarketTicker,
    OrderId,
    Side,
    TimeInForce,
    YesPrice,
)
from kalshi_pipelines.units import microseconds

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
#: Noon in New York on Monday, 2026-11-23.
NOON = microseconds(datetime(2026, 11, 23, 17, tzinfo=UTC))
VERSION = "1.0+test"
KEY = "a1b2c3d4e5f60718"
HOST = "127.0.0.1:8765"
ACCOUNT = Account("sandbox", 0)
GROUP = "9b2f2c4e-0000-4000-8000-000000000001"
EVENT = "KXRAIN-26NOV24"
TICKER = f"{EVENT}-T1"

Made = TypeVar("Made")
_TERMS = (
    "client_order_id", "ticker", "side", "price_centicents", "count_centicontracts", "time_in_force",
    "exchange_index", "order_group_id", "expires_us", "post_only", "reduce_only", "self_trade_prevention",
)  # fmt: skip

WIDE = SessionCaps(
    order_notional_microdollars=UNCAPPED,
    order_worst_microdollars=50_000_000,
    position_centicontracts=200_000,
    attempts_per_minute=60,
    scopes={ScopeKind(kind): ScopeCaps(*ceiling) for kind, ceiling in CEILINGS.items()},
)


def caps(
    order_notional: int = UNCAPPED,
    order_worst: int = 50_000_000,
    position: int = 200_000,
    attempts: int = 60,
    **changed: tuple[int, int, int],
) -> SessionCaps:
    """Return caps at the ceilings, except for scopes that are given as (orders, notional, worst)."""
    scopes = {**WIDE.scopes, **{ScopeKind(kind): ScopeCaps(*values) for kind, values in changed.items()}}
    return SessionCaps(order_notional, order_worst, position, attempts, scopes)


@dataclass
class Clock:
    """A clock whose time a test sets."""

    now_us: int = NOON

    def __call__(self) -> int:
        return self.now_us


def forge(kind: type[Made], like: Made | None = None, **values: object) -> Made:
    """Return a copy of ``like`` with other values, without running the checks of its class."""
    made = object.__new__(kind)
    for each in fields(cast("Any", kind)):
        object.__setattr__(made, each.name, values[each.name] if each.name in values else getattr(like, each.name))
    return made


@dataclass
class OrderSteps:
    """A journal that is ready for trading, and one method for each step of an order."""

    journal: Journal
    clock: Clock
    session_id: str = "session-0001"
    group: str = GROUP
    subaccount: int = 0
    numbers: Callable[[], int] = field(default_factory=lambda: count(1).__next__)

    def intent(self, *, request: Any = None, **changed: Any) -> NewIntent:
        """Return a new order: buy 10 YES at $0.50 with a fee of at most $0.20, unless ``changed`` says otherwise."""
        number = self.numbers()
        terms = {name: changed.pop(name) for name in _TERMS if name in changed}
        terms.setdefault("client_order_id", ClientOrderId(f"kx1-{self.session_id}-{number:06}"))
        values: dict[str, Any] = {
            "session_id": self.session_id,
            "idempotency_key": hashlib.sha256(f"{self.session_id}{number}".encode()).hexdigest(),
            "request": request or self._request(**terms),
            "event_ticker": EVENT,
            "fee_bound_microdollars": 200_000,
            "as_of_us": self.clock(),
            "valid_until_us": self.clock() + MINUTE,
            "actor": ActorKind.PERSON,
            "actor_name": "ada",
            "approval_required": False,
        }
        return NewIntent(**{**values, **changed})

    def _request(
        self,
        ticker: str = TICKER,
        price_centicents: int = 5_000,
        count_centicontracts: int = 1_000,
        self_trade_prevention: str = SELF_TRADE_PREVENTION,
        **terms: Any,
    ) -> OrderRequest:
        values: dict[str, Any] = {
            "side": Side.BID,
            "time_in_force": TimeInForce.IMMEDIATE_OR_CANCEL,
            "subaccount": self.subaccount,
            "exchange_index": 0,
            "order_group_id": OrderId(self.group),
            **terms,
        }
        # Prices and counts are not checked here, because tests show that the database refuses wrong ones.
        price, count = forge(YesPrice, centicents=price_centicents), forge(Contracts, centi=count_centicontracts)
        request = OrderRequest(ticker=MarketTicker(ticker), price=price, count=count, **values)
        return forge(OrderRequest, request, self_trade_prevention=self_trade_prevention)

    def plan(self, **changed: Any) -> Intent:
        with self.journal.writing() as transaction:
            return transaction.orders.plan(self.intent(**changed))

    def reserve(self, **changed: Any) -> Intent:
        with self.journal.writing() as transaction:
            return transaction.orders.reserve(transaction.orders.plan(self.intent(**changed)))

    def record_sending(self, intent: Intent, version: str = VERSION) -> Sent:
        with self.journal.writing() as transaction:
            return transaction.orders.record_sending(intent, version)

    def record_sent(self, **changed: Any) -> Intent:
        """Reserve a new order, record it as about to be sent, and return its intent."""
        intent = self.reserve(**changed)
        self.record_sending(intent)
        return self.reload(intent)

    def reload(self, intent: Intent) -> Intent:
        with self.journal.reading() as reading:
            return reading.orders.intent(intent.intent_id)

    def release_kill_switch(self, person: str = "grace") -> None:
        with self.journal.writing() as transaction:
            transaction.halts.release(person, "looked at it")


def new_session(
    session_id: str = "session-0001",
    *,
    now_us: int = NOON,
    allowed: SessionCaps = WIDE,
    mode: Mode = Mode.LIVE,
    origin: Origin = Origin.BY_HAND,
    lives_us: int = HOUR,
    **changed: Any,
) -> NewSession:
    live = mode is Mode.LIVE
    values: dict[str, Any] = {
        "session_id": session_id,
        "account": ACCOUNT,
        "mode": mode,
        "origin": origin,
        "opened_by": "ada",
        "opened_us": now_us,
        "expires_us": now_us + lives_us,
        "code_version": VERSION,
        "config_sha256": "c" * 64,
        "caps_sha256": "d" * 64,
        "caps": allowed,
        "binding": Binding(ACCOUNT, HOST, KEY) if live else None,
        "armed_by": "ada" if live else None,
    }
    values.update(changed)
    return NewSession(**values)


def open_session(transaction: JournalTransaction, session: NewSession, group: str = GROUP) -> None:
    """Open a session, with its key binding, its lease and its order group."""
    if session.binding:
        transaction.sessions.bind_key(session.binding, "ada")
    lease = Lease("host:1", session.expires_us) if session.mode is Mode.LIVE else None
    transaction.sessions.open(session, lease)
    if session.mode is Mode.LIVE:
        transaction.sessions.add_group(session.session_id, 0, group, 1_000_000)


def next_session(steps: OrderSteps, number: int, allowed: SessionCaps = WIDE) -> None:
    """End the session and open another with a new order group."""
    steps.group = f"9b2f2c4e-0000-4000-8000-{number:012}"
    with steps.journal.writing() as transaction:
        transaction.sessions.end(steps.session_id, "over")
        steps.session_id = f"session-{number:04}"
        open_session(transaction, new_session(steps.session_id, now_us=steps.clock(), allowed=allowed), steps.group)


def order_steps(
    engine: sa.Engine,
    allowed: SessionCaps = WIDE,
    *,
    released: bool = True,
    anchor_file: Path | None = None,
    **changed: Any,
) -> OrderSteps:
    """Create a journal with an open session, and return the steps of its orders."""
    clock = Clock()
    initialise(engine, "sandbox", clock_us=clock, database_id="0123456789abcdef0123456789abcdef")
    journal = Journal(engine, "sandbox", clock_us=clock, anchor_file=anchor_file)
    steps = OrderSteps(journal, clock)
    if released:
        steps.release_kill_switch()
    with journal.writing() as transaction:
        open_session(transaction, new_session(allowed=allowed, **changed))
    return steps
