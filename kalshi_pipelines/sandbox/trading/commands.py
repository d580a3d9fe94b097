"""Commands to the matching engine: order requests of a member, their results, and the error for a refused request.

Belongs here: well-formed requests and their results. Does not belong here: reading requests from JSON (``api``) and
deciding about them (``engine``).
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
"""HTTP statuses of the refusal codes that are not sent with status 400."""


class RequestRefused(Exception):
    """The exchange refuses a request of a member.

    The error holds the vendor's error code and, if a recording shows them, details.
    """

    def __init__(self, code: str, details: str | None = None) -> None:
        super().__init__(code if details is None else f"{code}: {details}")
        self.code = code
        self.details = details

    @property
    def status(self) -> int:
        """HTTP status that the refusal is sent with."""
        return STATUS_OF_REFUSAL.get(self.code, 400)


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order to be placed. ``shard`` is the shard that the member named, or None to route the order by its ticker."""

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
    """Reference to an existing order.

    ``shard`` or ``ticker`` determines the shard that is searched for the order. If both are None, shard 0 is searched.
    """

    member: str
    subaccount: int
    order_id: str
    shard: int | None = None
    ticker: str | None = None


@dataclass(frozen=True, slots=True)
class Amendment:
    """New terms of an order. ``count`` is the filled count plus the new remaining count.

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
    """Result of a request to place or amend an order: the trades that it caused at once, and the remaining count.

    ``remaining`` is the count that the response reports. If the exchange cancels the order directly after the request,
    ``remaining`` still holds the count before this cancel.
    """

    order: SandboxOrder
    remaining: int
    trades: list[Traded] = field(default_factory=list)
    resting_changed: bool = True

    @property
    def filled(self) -> int:
        """Centi-contracts that traded at once when the request was handled."""
        return sum(trade.count for trade in self.trades)

    @property
    def cost(self) -> int:
        """Sum of YES price times count over the trades of this result, in micro-dollars."""
        return sum(trade.price * trade.count for trade in self.trades)

    @property
    def fees(self) -> int:
        """Fees that the order paid as the taker, in micro-dollars."""
        return sum(trade.taker_fee for trade in self.trades)


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A canceled order and the centi-contracts that the cancel removed."""

    order: SandboxOrder
    reduced_by: int
