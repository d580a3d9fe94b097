"""Events of the trading side. All events together form the truth log.

Belongs here: the types of events. An event states a new fact and contains everything that is needed to apply it to the
state. Does not belong here: applying events (``state``) and deciding (``engine``). ``at_us`` is always the exchange's
time in microseconds since 1970.
"""

from typing import Literal

import msgspec

Side = Literal["bid", "ask"]
TimeInForce = Literal["fill_or_kill", "good_till_canceled", "immediate_or_cancel"]
SelfTradePrevention = Literal["taker_at_cross", "maker"]
MarketStatus = Literal["initialized", "active", "inactive", "closed", "determined", "disputed", "amended", "finalized"]
Result = Literal["", "yes", "no", "scalar"]
CancelReason = Literal[
    "member", "remainder", "self_trade", "post_only_cross", "expired", "group", "cancel_all", "cancel_all_tail",
    "market_resumed", "market_closed", "paused",
]  # fmt: skip


class TradingEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """An event: a fact about the trading side that became true at ``at_us``."""

    at_us: int


class MemberJoined(TradingEvent, frozen=True, kw_only=True, tag=True):
    """A new member exists. ``balance_step`` is the unit in micro-dollars to which each balance change is rounded.

    ``keeps_history`` is False for simulated traders: the state keeps only their open orders. Simulated traders place
    orders for days, so a history of all their orders would fill the memory.
    """

    member: str
    balance_step: int
    keeps_history: bool = True


class SubaccountOpened(TradingEvent, frozen=True, kw_only=True, tag=True):
    """A member has one more sub-account. Sub-account 0 exists from the start."""

    member: str
    subaccount: int


class KeyRegistered(TradingEvent, frozen=True, kw_only=True, tag=True):
    """A new API key exists. ``subaccount`` locks the key to one sub-account. ``public_key`` is PEM text."""

    key_id: str
    member: str
    name: str
    public_key: str
    scopes: tuple[str, ...]
    subaccount: int | None = None


class KeyDeleted(TradingEvent, frozen=True, kw_only=True, tag=True):
    """An API key was deleted."""

    key_id: str


class MoneyMoved(TradingEvent, frozen=True, kw_only=True, tag=True):
    """Money was deposited from outside the exchange, or withdrawn if ``amount`` is negative."""

    member: str
    subaccount: int
    shard: int
    amount: int


class MoneyTransferred(TradingEvent, frozen=True, kw_only=True, tag=True):
    """A member moved money between its sub-accounts or between shards."""

    transfer_id: str
    client_transfer_id: str | None
    member: str
    from_subaccount: int
    from_shard: int
    to_subaccount: int
    to_shard: int
    amount: int


class MarketOpened(TradingEvent, frozen=True, kw_only=True, tag=True):
    """A market was opened in the matching engine with an empty book. The event contains the facts that matching needs.

    ``price_ranges`` holds (start, end, step) in centi-cents. ``maker_rate`` and ``taker_rate`` are the rates in the fee
    formula rate x contracts x P x (1 - P), in units of 1e-8. The series' multiplier is included: a rate of 0.07 at
    multiplier 1 is 7_000_000. ``fee_steps`` holds later changes of the fees, in the order of time: the instant in
    microseconds since 1970, the new taker's rate and the new maker's rate.
    """

    ticker: str
    event_ticker: str
    series_ticker: str
    shard: int
    price_ranges: tuple[tuple[int, int, int], ...]
    taker_rate: int
    maker_rate: int
    status: MarketStatus
    close_us: int
    is_combo: bool = False
    fee_waived_until_us: int = 0
    fee_steps: tuple[tuple[int, int, int], ...] = ()


class MarketChanged(TradingEvent, frozen=True, kw_only=True, tag=True):
    """A market has a new status. Once determined, it also has a result and the centi-cents that one YES pays."""

    ticker: str
    status: MarketStatus
    result: Result = ""
    value: int | None = None
    close_us: int | None = None


class PositionSettled(TradingEvent, frozen=True, kw_only=True, tag=True):
    """A position in a finalized market was paid out: ``revenue`` micro-dollars (whole cents) less ``fee``."""

    member: str
    subaccount: int
    ticker: str
    revenue: int
    fee: int


class ShardChanged(TradingEvent, frozen=True, kw_only=True, tag=True):
    """A shard of the exchange was paused or resumed, either completely or for trading only."""

    shard: int
    exchange_active: bool
    trading_active: bool


class OrderAccepted(TradingEvent, frozen=True, kw_only=True, tag=True):
    """The exchange accepted an order. Later events record what happens to the order."""

    order_id: str
    member: str
    subaccount: int
    ticker: str
    side: Side
    price: int
    count: int
    time_in_force: TimeInForce
    self_trade_prevention: SelfTradePrevention
    client_order_id: str | None = None
    expires_us: int | None = None
    post_only: bool = False
    reduce_only: bool = False
    cancel_on_pause: bool = False
    order_group: str | None = None


class OrderRested(TradingEvent, frozen=True, kw_only=True, tag=True):
    """The remainder of an order joined the back of the queue at the order's price."""

    order_id: str


class OrderCanceled(TradingEvent, frozen=True, kw_only=True, tag=True):
    """The remaining ``count`` of an order was canceled."""

    order_id: str
    count: int
    reason: CancelReason


class OrderDecreased(TradingEvent, frozen=True, kw_only=True, tag=True):
    """A resting order was reduced by ``count`` and kept its place in the queue."""

    order_id: str
    count: int


class OrderAmended(TradingEvent, frozen=True, kw_only=True, tag=True):
    """An order has a new price, remaining count or expiry.

    If ``keeps_place`` is False, the order left the book. A later ``OrderRested`` puts the order back, unless it trades
    completely.
    """

    order_id: str
    price: int
    remaining: int
    expires_us: int | None
    client_order_id: str | None
    keeps_place: bool


class Traded(TradingEvent, frozen=True, kw_only=True, tag=True):
    """Two orders traded ``count`` at the maker's ``price``.

    Fees are net and in micro-dollars. ``maker_rounding`` and ``taker_rounding`` are the parts of the fees that round
    each balance change to the member's balance step. Such a part is negative if the trade returned more micro-dollars
    of earlier rounding fees than it added.
    """

    trade_id: str
    ticker: str
    price: int
    count: int
    maker_order: str
    taker_order: str
    maker_fee: int
    taker_fee: int
    maker_rounding: int
    taker_rounding: int


class GroupCreated(TradingEvent, frozen=True, kw_only=True, tag=True):
    """A new order group exists.

    The group is triggered when its orders trade ``limit`` centi-contracts within 15 rolling seconds.
    """

    group_id: str
    member: str
    subaccount: int
    shard: int
    limit: int


class GroupTriggered(TradingEvent, frozen=True, kw_only=True, tag=True):
    """An order group was triggered. The group refuses new orders until it is reset."""

    group_id: str


class GroupReset(TradingEvent, frozen=True, kw_only=True, tag=True):
    """An order group was reset. The group counts its trades from zero and accepts orders again."""

    group_id: str


class GroupLimitChanged(TradingEvent, frozen=True, kw_only=True, tag=True):
    """An order group has a new limit, in centi-contracts."""

    group_id: str
    limit: int


class GroupDeleted(TradingEvent, frozen=True, kw_only=True, tag=True):
    """An order group was deleted."""

    group_id: str


class CancelAllRequested(TradingEvent, frozen=True, kw_only=True, tag=True):
    """A member requested to cancel all its orders, in one sub-account or in all.

    The request may also cancel orders that start to rest in the minute after it.
    """

    member: str
    subaccount: int | None


class ClockMoved(TradingEvent, frozen=True, kw_only=True, tag=True):
    """The exchange's clock was set by hand. ``offset_us`` is the clock's new offset from its time source."""

    offset_us: int


AnyEvent = (
    MemberJoined | SubaccountOpened | KeyRegistered | KeyDeleted | MoneyMoved | MoneyTransferred | MarketOpened
    | MarketChanged | PositionSettled | ShardChanged | OrderAccepted | OrderRested | OrderCanceled | OrderDecreased
    | OrderAmended | Traded | GroupCreated | GroupTriggered | GroupReset | GroupLimitChanged | GroupDeleted
    | CancelAllRequested | ClockMoved
)  # fmt: skip
