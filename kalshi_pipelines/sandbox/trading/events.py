"""What can happen on the trading side, as events. Together they are the truth log.

Belongs here: the vocabulary. An event says what is so now, with everything needed to apply it; applying belongs to
``state``, deciding to ``engine``. ``at_us`` is always the exchange's time, microseconds since 1970.
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
    """Something that happened at ``at_us``."""

    at_us: int


class MemberJoined(TradingEvent, frozen=True, kw_only=True, tag=True):
    """A member exists from now on. ``balance_step`` is the grid its balance changes land on, in micro-dollars.

    Of a member without history only what is open is kept: a crowd that quotes for days would fill the memory.
    """

    member: str
    balance_step: int
    keeps_history: bool = True


class SubaccountOpened(TradingEvent, frozen=True, kw_only=True, tag=True):
    """A member has one more sub-account; number 0 is there from the start."""

    member: str
    subaccount: int


class KeyRegistered(TradingEvent, frozen=True, kw_only=True, tag=True):
    """An API key exists from now on. ``subaccount`` locks it to one; ``public_key`` is a PEM text."""

    key_id: str
    member: str
    name: str
    public_key: str
    scopes: tuple[str, ...]
    subaccount: int | None = None


class KeyDeleted(TradingEvent, frozen=True, kw_only=True, tag=True):
    """An API key is gone."""

    key_id: str


class MoneyMoved(TradingEvent, frozen=True, kw_only=True, tag=True):
    """Money came in from outside (a deposit), or left if ``amount`` is negative."""

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
    """A market can be traded from now on: its book exists, empty. Facts about it that matching needs come along.

    ``price_ranges`` holds (start, end, step) in centi-cents. ``maker_rate`` and ``taker_rate`` are the fee of a
    contract at P(1-P) = 1 dollar squared, in 1e-8 of it, the multiplier included (0.07 at multiplier 1: 7_000_000).
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


class MarketChanged(TradingEvent, frozen=True, kw_only=True, tag=True):
    """A market has another status (and, once determined, a result and what one YES pays in centi-cents)."""

    ticker: str
    status: MarketStatus
    result: Result = ""
    value: int | None = None
    close_us: int | None = None


class PositionSettled(TradingEvent, frozen=True, kw_only=True, tag=True):
    """A holding in a finalized market was paid out: ``revenue`` micro-dollars (whole cents) less ``fee``."""

    member: str
    subaccount: int
    ticker: str
    revenue: int
    fee: int


class ShardChanged(TradingEvent, frozen=True, kw_only=True, tag=True):
    """A shard of the exchange works, or pauses: nothing at all, or trading only."""

    shard: int
    exchange_active: bool
    trading_active: bool


class OrderAccepted(TradingEvent, frozen=True, kw_only=True, tag=True):
    """The exchange took an order. What becomes of it follows in further events."""

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
    """What is left of an order went to the back of the queue at its price."""

    order_id: str


class OrderCanceled(TradingEvent, frozen=True, kw_only=True, tag=True):
    """What was left of an order, ``count``, is no longer wanted."""

    order_id: str
    count: int
    reason: CancelReason


class OrderDecreased(TradingEvent, frozen=True, kw_only=True, tag=True):
    """A resting order wants ``count`` less and keeps its place."""

    order_id: str
    count: int


class OrderAmended(TradingEvent, frozen=True, kw_only=True, tag=True):
    """An order has another price, remaining count or expiry. Without ``keeps_place`` it left the book and, unless it
    trades away, rests again by an ``OrderRested``."""

    order_id: str
    price: int
    remaining: int
    expires_us: int | None
    client_order_id: str | None
    keeps_place: bool


class Traded(TradingEvent, frozen=True, kw_only=True, tag=True):
    """Two orders met: ``count`` at the maker's ``price``. Fees are in micro-dollars and net; a rounding is how much
    more of them an order has paid, or got back, for the sake of its member's balance step."""

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
    """An order group exists; ``limit`` is in centi-contracts matched over 15 rolling seconds."""

    group_id: str
    member: str
    subaccount: int
    shard: int
    limit: int


class GroupTriggered(TradingEvent, frozen=True, kw_only=True, tag=True):
    """An order group refuses orders until it is reset."""

    group_id: str


class GroupReset(TradingEvent, frozen=True, kw_only=True, tag=True):
    """An order group starts counting anew and takes orders."""

    group_id: str


class GroupLimitChanged(TradingEvent, frozen=True, kw_only=True, tag=True):
    """An order group has another limit, in centi-contracts."""

    group_id: str
    limit: int


class GroupDeleted(TradingEvent, frozen=True, kw_only=True, tag=True):
    """An order group is gone."""

    group_id: str


class CancelAllRequested(TradingEvent, frozen=True, kw_only=True, tag=True):
    """A member asked for all its orders (of one sub-account, or of all) to be canceled; it echoes for a minute."""

    member: str
    subaccount: int | None


class ClockMoved(TradingEvent, frozen=True, kw_only=True, tag=True):
    """The exchange's clock was set by hand; ``offset_us`` is what it now adds to its source."""

    offset_us: int


AnyEvent = (
    MemberJoined | SubaccountOpened | KeyRegistered | KeyDeleted | MoneyMoved | MoneyTransferred | MarketOpened
    | MarketChanged | PositionSettled | ShardChanged | OrderAccepted | OrderRested | OrderCanceled | OrderDecreased
    | OrderAmended | Traded | GroupCreated | GroupTriggered | GroupReset | GroupLimitChanged | GroupDeleted
    | CancelAllRequested | ClockMoved
)  # fmt: skip
