"""What is handed to the journal and what it hands back: plain values, no database.

Money is micro-dollars, prices centi-cents of YES, counts centi-contracts, instants microseconds since 1970 UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.request import OrderRequest
from kalshi_pipelines.execution.orders.states import OPEN_STATES, OrderState
from kalshi_pipelines.execution.orders.terms import Side


class Mode(StrEnum):
    """Whether orders are sent or only decided upon."""

    DRY_RUN = "dry_run"
    LIVE = "live"


class Origin(StrEnum):
    """How the run of a session came about; only one made by hand may be live."""

    BY_HAND = "by_hand"
    RETRIED = "retried"
    RE_EXECUTED = "re_executed"
    BACKFILLED = "backfilled"
    AUTOMATED = "automated"
    LATE = "late"


class ScopeKind(StrEnum):
    """What a cap is of."""

    SESSION = "session"
    DAY = "day"
    ROLLING = "rolling"
    EVENT = "event"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class ScopeCaps:
    """The caps of one kind of scope; ``tables.UNCAPPED`` where there is none."""

    orders: int
    notional_microdollars: int
    worst_microdollars: int


@dataclass(frozen=True, slots=True)
class SessionCaps:
    """Every cap of a session. The database refuses any that is above the ceilings in ``tables``."""

    order_notional_microdollars: int
    order_worst_microdollars: int
    position_centicontracts: int
    attempts_per_minute: int
    scopes: Mapping[ScopeKind, ScopeCaps]


@dataclass(frozen=True, slots=True)
class Binding:
    """A trade key, the one host it is for and the sub-account it is locked to."""

    account: Account
    host: str
    key_fingerprint: str


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to open; a live one needs ``binding`` (stored before) and ``armed_by``. ``why`` is for people."""

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


@dataclass(frozen=True, slots=True)
class Lease:
    """The process that is to hold the sub-account for a live session, and the time its lease expires."""

    holder: str
    until_us: int


@dataclass(frozen=True, slots=True)
class HeldLease:
    """The session that holds a sub-account, and the time its lease expires."""

    session_id: str
    until_us: int


@dataclass(frozen=True, slots=True)
class NewIntent:
    """An order to be planned: the request as it would be sent, and what else the journal keeps of the order."""

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


@dataclass(frozen=True, slots=True)
class Check:
    """One check of an order: what was allowed and what was found, as text, so that the audit has no floats."""

    code: str
    ok: bool
    limit: str = ""
    observed: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the journal does not admit an order, and the checks it made."""

    reason: DenialReason
    detail: str
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Intent:
    """A stored intent and where it is now.

    ``filled_centicontracts`` and ``fees_microdollars`` are those of the fills that were posted;
    ``reported_filled_centicontracts`` is what the exchange said with its last answer, whose fills may follow later.
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
    fee_bound_microdollars: int
    reserved_if_no_microdollars: int
    reserved_if_yes_microdollars: int
    notional_microdollars: int
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
    def reserved_centicontracts(self) -> int:
        """What is still reserved for: all that may be filled, or was and is not posted yet."""
        if self.state in OPEN_STATES:
            return max(0, self.count_centicontracts - self.filled_centicontracts)
        return max(0, (self.reported_filled_centicontracts or 0) - self.filled_centicontracts)

    @property
    def fee_left_microdollars(self) -> int:
        """What of the fee bound no fill has used."""
        return max(0, self.fee_bound_microdollars - self.fees_microdollars)


@dataclass(frozen=True, slots=True)
class Sent:
    """The committed record that an order is about to be sent: what a permit is made of."""

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
    """A fill as the exchange tells it; ``price_centicents`` is the YES price, ``side`` the side of our order."""

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
    """An order of the sub-account that this journal never sent."""

    order_id: str
    ticker: str
    side: Side
    price_centicents: int
    remaining_centicontracts: int
    why: str


@dataclass(frozen=True, slots=True)
class SweepReading:
    """One reading of all orders of a market, as of an instant the exchange vouches for."""

    fence_id: int
    ticker: str
    started_us: int
    as_of_us: int
    pages: int
    pages_sha256: str
    complete: bool


@dataclass(frozen=True, slots=True)
class ReconciliationRecord:
    """The newest reconciliation."""

    reconciliation_id: int
    started_us: int
    as_of_us: int
    finished_us: int
    clean: bool
    differences: int


@dataclass(frozen=True, slots=True)
class KillState:
    """The newest kill event; engaged if there is none."""

    engaged: bool
    level: int
    source: str
    by_whom: str
    reason: str
    at_us: int
    seq: int


@dataclass(frozen=True, slots=True)
class ScopeStanding:
    """A scope's caps and counters."""

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
    """Position and possible losses of a market in the account's ledger."""

    ticker: str
    position_centicontracts: int
    spent_microdollars: int
    open_bids_centicontracts: int
    open_asks_centicontracts: int
    if_no_microdollars: int
    if_yes_microdollars: int


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A row of the audit log."""

    seq: int
    hash: str
    kind: str
    body: str


@dataclass(frozen=True, slots=True)
class Details:
    """What else the audit is to say of an event: JSON-like, without floats; the checks are put in by code."""

    checks: tuple[Check, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
