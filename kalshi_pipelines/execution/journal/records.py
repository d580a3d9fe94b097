"""The records that go into the journal and come out of it. They do not depend on the database.

Money is in micro-dollars, prices are YES prices in centi-cents, counts are in centi-contracts. Times are microseconds
since 1970 in UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.request import OrderRequest
from kalshi_pipelines.execution.orders.states import OPEN_STATES, OrderState
from kalshi_pipelines.execution.orders.terms import Contracts, Side


class Mode(StrEnum):
    """The two modes of a session: a live session sends orders, a dry run only decides and records."""

    DRY_RUN = "dry_run"
    LIVE = "live"


class Origin(StrEnum):
    """How the run that opens a session was started. Only a run that a person started by hand may be live."""

    BY_HAND = "by_hand"
    RETRIED = "retried"
    RE_EXECUTED = "re_executed"
    BACKFILLED = "backfilled"
    AUTOMATED = "automated"
    LATE = "late"


class ScopeKind(StrEnum):
    """The kinds of scope that have caps: session, day, rolling day, event and account."""

    SESSION = "session"
    DAY = "day"
    ROLLING = "rolling"
    EVENT = "event"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class ScopeCaps:
    """The caps of one kind of scope. A cap of ``tables.UNCAPPED`` limits nothing."""

    orders: int
    notional_microdollars: int
    worst_microdollars: int


@dataclass(frozen=True, slots=True)
class SessionCaps:
    """All caps of a session. The database refuses caps above the ceilings in ``tables``."""

    order_notional_microdollars: int
    order_worst_microdollars: int
    position_centicontracts: int
    attempts_per_minute: int
    scopes: Mapping[ScopeKind, ScopeCaps]


@dataclass(frozen=True, slots=True)
class Binding:
    """A trade key, with the only host and the only account that it may be used for."""

    account: Account
    host: str
    key_fingerprint: str


class ArmingKind(StrEnum):
    """The kinds of arming that a live session uses up."""

    TOKEN = "token"  # noqa: S105 - the name of a kind, not a secret
    RUN = "run"


@dataclass(frozen=True, slots=True)
class Arming:
    """An arm token or an armed run, named by its SHA-256. It can open one live session."""

    kind: ArmingKind
    sha256: str


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to be opened.

    A live session needs ``armed_by``, the person who armed it. It also needs ``binding``, the binding of the trade key,
    which the journal must have stored before. ``armings`` are used up by the session. ``why`` is the reason for the
    session, as a note for people.
    """

    session_id: str
    account: Account
    mode: Mode
    origin: Origin
    opened_by: str
    opened_us: int
    expires_us: int
    code_version: str
    config_sha256: str
    caps_sha256: str
    caps: SessionCaps
    binding: Binding | None = None
    armed_by: str | None = None
    why: str = ""
    armings: tuple[Arming, ...] = ()


@dataclass(frozen=True, slots=True)
class Lease:
    """A new lease of a live session: the process that will hold the sub-account, and the lease's time of expiry."""

    holder: str
    until_us: int


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A stored lease: the session that holds a sub-account, and the lease's time of expiry."""

    session_id: str
    until_us: int


@dataclass(frozen=True, slots=True)
class NewIntent:
    """An order to be planned: its request, and the facts that are stored with it.

    ``proposed`` is the proposed count if the request is for fewer contracts, as for a reduce-only order.
    """

    session_id: str
    idempotency_key: str
    request: OrderRequest
    event_ticker: str
    fee_bound_microdollars: int
    as_of_us: int
    valid_until_us: int
    actor: ActorKind
    actor_name: str
    approval_required: bool
    proposal_id: int | None = None
    proposed: Contracts | None = None
    former_key: str | None = None
    """The order's idempotency key in journals of earlier versions, under which it may have been planned already."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of an order, with the limit and the observed value.

    Both values are text, because the audit log must not contain floats.
    """

    code: str
    ok: bool
    limit: str = ""
    observed: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why the journal does not admit an order, and all checks that were made."""

    reason: DenialReason
    detail: str
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Intent:
    """An intent: a stored order with its present state.

    ``filled_centicontracts`` and ``fees_microdollars`` are sums of the posted fills. ``reported_filled_centicontracts``
    is the filled count in the exchange's last answer; some of these fills may not be posted yet.

    ``closing_centicontracts`` is the part of the count that only closes a position. ``notional_microdollars`` is the
    price of the other contracts. ``proposed_centicontracts`` is the proposed count.
    """

    intent_id: int
    session_id: str
    account: Account
    mode: Mode
    client_order_id: str
    ticker: str
    event_ticker: str
    exchange_index: int
    order_group_id: str | None
    side: Side
    price_centicents: int
    count_centicontracts: int
    reduce_only: bool
    actor: ActorKind
    actor_name: str
    fee_bound_microdollars: int
    reserved_if_no_microdollars: int
    reserved_if_yes_microdollars: int
    notional_microdollars: int
    proposed_centicontracts: int
    closing_centicontracts: int
    idempotency_key: str
    request_json: str
    request_sha256: str
    valid_until_us: int
    expires_us: int | None
    planned_us: int
    proposal_id: int | None
    state: OrderState
    state_seq: int
    state_us: int
    order_id: str | None
    denial: DenialReason | None
    reported_filled_centicontracts: int | None
    filled_centicontracts: int
    fees_microdollars: int

    @property
    def only_closes(self) -> bool:
        """Whether the order only closes what is held. Such an order adds no risk except its fees."""
        return self.closing_centicontracts == self.count_centicontracts

    @property
    def reserved_centicontracts(self) -> int:
        """The centi-contracts for which the order still holds a reservation.

        An open order holds a reservation for all contracts without a posted fill. An ended order holds one only for
        contracts that the exchange reported as filled but whose fills are not posted yet.
        """
        if self.state in OPEN_STATES:
            return max(0, self.count_centicontracts - self.filled_centicontracts)
        return max(0, (self.reported_filled_centicontracts or 0) - self.filled_centicontracts)

    @property
    def fee_left_microdollars(self) -> int:
        """The part of the order's fee bound that its posted fills have not used."""
        return max(0, self.fee_bound_microdollars - self.fees_microdollars)


@dataclass(frozen=True, slots=True)
class Sent:
    """The committed record that an order is about to be sent. The permit to send the order is made from this record."""

    intent_id: int
    session_id: str
    audit_seq: int
    at_us: int
    request_json: str
    request_sha256: str
    host: str
    key_fingerprint: str
    client_order_id: str


@dataclass(frozen=True, slots=True)
class Fill:
    """A fill as the exchange reports it. ``price_centicents`` is the YES price; ``side`` is the side of our order."""

    fill_id: str
    order_id: str
    ticker: str
    side: Side
    price_centicents: int
    count_centicontracts: int
    fee_microdollars: int
    at_us: int


@dataclass(frozen=True, slots=True)
class ForeignOrder:
    """A resting order of the sub-account that this journal never sent or no longer tracks."""

    order_id: str
    ticker: str
    side: Side
    price_centicents: int
    remaining_centicontracts: int
    why: str

    @classmethod
    def from_exchange(cls, order: ExchangeOrder, why: str) -> Self:
        """Return an order in the exchange's lists as a foreign order."""
        return cls(
            order.order_id, order.ticker, order.side, order.price_centicents, order.remaining_centicontracts, why
        )


@dataclass(frozen=True, slots=True)
class CountedForeignOrder:
    """The state in which the ledger counts a foreign order. ``remaining_centicontracts`` is 0 after the order's end."""

    order_id: str
    ticker: str
    side: Side
    price_centicents: int
    remaining_centicontracts: int
    fee_bound_microdollars: int = 0


@dataclass(frozen=True, slots=True)
class EvidenceItem:
    """One piece of evidence that persons acknowledge.

    ``intent_id`` names an intent whose order the journal stops tracking. ``order_id`` names an order at the exchange
    for which persons take responsibility, together with its price and counts.
    """

    kind: str
    subject: str
    detail: str
    intent_id: int | None = None
    order_id: str | None = None
    price_centicents: int | None = None
    filled_centicontracts: int | None = None
    remaining_centicontracts: int | None = None

    @classmethod
    def of_order(cls, kind: str, subject: str, detail: str, order: ExchangeOrder, intent_id: int | None = None) -> Self:
        """Return a piece of evidence about an order in the exchange's lists."""
        return cls(
            kind,
            subject,
            detail,
            intent_id,
            order.order_id,
            order.price_centicents,
            order.filled_centicontracts,
            order.remaining_centicontracts,
        )


@dataclass(frozen=True, slots=True)
class Signature:
    """A person's signature under evidence, with the person's reason."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class SweepReading:
    """One reading of all orders of a market.

    The exchange guarantees that the reading is complete up to ``as_of_us``.
    """

    fence_id: int
    ticker: str
    started_us: int
    as_of_us: int
    pages: int
    pages_sha256: str
    complete: bool


@dataclass(frozen=True, slots=True)
class ReconciliationRecord:
    """The recorded result of a reconciliation."""

    reconciliation_id: int
    started_us: int
    as_of_us: int
    finished_us: int
    clean: bool
    differences: int


@dataclass(frozen=True, slots=True)
class KillState:
    """The state of the kill switch after one of its events, usually after the newest event."""

    engaged: bool
    level: int
    source: str
    by_whom: str
    reason: str
    at_us: int
    seq: int


@dataclass(frozen=True, slots=True)
class ScopeStanding:
    """The caps and counters of a ledger scope."""

    kind: ScopeKind
    key: str
    mode: Mode
    orders: int
    orders_cap: int
    notional_microdollars: int
    notional_cap_microdollars: int
    worst_microdollars: int
    worst_cap_microdollars: int
    breached: bool


@dataclass(frozen=True, slots=True)
class MarketStanding:
    """The account's position, open orders and possible losses in one market."""

    ticker: str
    position_centicontracts: int
    spent_microdollars: int
    open_bids_centicontracts: int
    open_asks_centicontracts: int
    if_no_microdollars: int
    if_yes_microdollars: int

    @property
    def is_outstanding(self) -> bool:
        """Whether a position is held or an order is open in the market."""
        return bool(self.position_centicontracts or self.open_bids_centicontracts or self.open_asks_centicontracts)


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A record of the audit log."""

    seq: int
    hash: str
    kind: str
    body: str


@dataclass(frozen=True, slots=True)
class Details:
    """Details of an event for the audit log: its checks, and further facts as JSON values without floats."""

    checks: tuple[Check, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
