"""What a member can ask of the exchange, what comes of it, and why it may be refused.

Belongs here: requests that are well-formed, their outcomes, and the refusal. Reading them from JSON belongs to the
endpoints, deciding to ``engine``.
"""

from dataclasses import dataclass, field
from typing import Final

from kalshi_pipelines.sandbox.trading.events import SelfTradePrevention, Side, TimeInForce, Traded
from kalshi_pipelines.sandbox.trading.records import SandboxOrder

STATUS_OF_REFUSAL: Final = {
    "order_already_exists": 409,
    "fill_or_kill_insufficient_resting_volume": 409,
    "transfer_already_exists": 409,
    "not_found": 404,
    "exchange_unavailable": 503,
}
"""HTTP statuses of refusals other than 400."""


class RequestRefused(Exception):
    """The exchange refuses a request: its error code and, where recorded, details."""

    def __init__(self, code: str, details: str | None = None) -> None:
        super().__init__(code if details is None else f"{code}: {details}")
        self.code = code
        self.details = details

    @property
    def status(self) -> int:
        """The HTTP status it is answered with."""
        return STATUS_OF_REFUSAL.get(self.code, 400)


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order to be placed. ``shard`` is the one the member named, None to be routed by the ticker."""

    member: str
    subaccount: int
    ticker: str
    side: Side
    price: int
    count: int
    time_in_force: TimeInForce = "good_till_canceled"
    self_trade_prevention: SelfTradePrevention = "taker_at_cross"
    client_order_id: str | None = None
    expires_us: int | None = None
    post_only: bool = False
    reduce_only: bool = False
    cancel_on_pause: bool = False
    order_group: str | None = None
    shard: int | None = None


@dataclass(frozen=True, slots=True)
class OrderRef:
    """Which order a member means. ``shard`` and ``ticker`` say where to look: with neither, shard 0 is searched."""

    member: str
    subaccount: int
    order_id: str
    shard: int | None = None
    ticker: str | None = None


@dataclass(frozen=True, slots=True)
class Amendment:
    """New terms of an order: ``count`` is what was filled already plus what shall rest.

    ``expires_us`` is None to keep the expiry and 0 to remove it.
    """

    ref: OrderRef
    ticker: str
    side: Side
    price: int
    count: int
    client_order_id: str | None = None
    updated_client_order_id: str | None = None
    expires_us: int | None = None


@dataclass(slots=True)
class Execution:
    """What one request did to an order: the trades it took part in as the taker, and what is left of it.

    ``remaining`` is what the answer tells; the order itself may have been canceled right after.
    """

    order: SandboxOrder
    remaining: int
    trades: list[Traded] = field(default_factory=list)
    resting_changed: bool = True

    @property
    def filled(self) -> int:
        """Centi-contracts that traded at once."""
        return sum(trade.count for trade in self.trades)

    @property
    def cost(self) -> int:
        """Micro-dollars: YES price times count over its trades."""
        return sum(trade.price * trade.count for trade in self.trades)

    @property
    def fees(self) -> int:
        """Micro-dollars the taker paid."""
        return sum(trade.taker_fee for trade in self.trades)


@dataclass(frozen=True, slots=True)
class Cancellation:
    """An order and the centi-contracts that will not trade any more."""

    order: SandboxOrder
    reduced_by: int
