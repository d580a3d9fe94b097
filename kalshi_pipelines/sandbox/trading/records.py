"""Records of the trading state: members, markets, orders, fills, positions, settlements, groups and transfers.

Belongs here: the records, and values computed from a single record. Only ``state`` changes records; all other code
reads them.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from kalshi_pipelines.sandbox.trading.book import OrderBook
from kalshi_pipelines.sandbox.trading.events import MarketOpened, MarketStatus, OrderAccepted, Result, Side

AccountKey = tuple[str, int, int]
"""Key of a cash balance: member, sub-account and shard."""
HoldingKey = tuple[str, int, str]
"""Key of a position: member, sub-account and ticker."""

RESTING: Final = "resting"
CANCELED: Final = "canceled"
EXECUTED: Final = "executed"


@dataclass(slots=True)
class Member:
    """A member of the exchange, with its sub-accounts and its used client order ids.

    A used client order id can never be used again.
    """

    member: str
    balance_step: int
    keeps_history: bool
    joined_us: int
    subaccounts: set[int] = field(default_factory=lambda: {0})
    client_order_ids: dict[str, str] = field(default_factory=dict)
    cancel_all_us: dict[int | None, int] = field(default_factory=dict)


@dataclass(slots=True)
class ApiKey:
    """An API key: the member it belongs to, its scopes, and the sub-account it is locked to, if any."""

    key_id: str
    member: str
    name: str
    public_key: str
    scopes: tuple[str, ...]
    subaccount: int | None


@dataclass(slots=True, eq=False)
class SandboxOrder:
    """An order in its present state.

    ``number`` is the order's serial number on the exchange. ``rounding`` is the sum of the order's rounding fees that
    were not yet returned, in micro-dollars. ``allowance`` is the amount reserved for fees while the order rests, in
    micro-dollars.
    """

    number: int
    order_id: str
    member: str
    subaccount: int
    ticker: str
    shard: int
    side: Side
    price: int
    initial_count: int
    remaining: int
    accepted: OrderAccepted
    client_order_id: str | None
    expires_us: int | None
    created_us: int
    updated_us: int
    status: str = RESTING
    filled: int = 0
    taker_cost: int = 0
    maker_cost: int = 0
    taker_fees: int = 0
    maker_fees: int = 0
    rounding: int = 0
    allowance: int = 0
    is_resting: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the order may still trade. An open order rests in the book or is being matched."""
        return self.status == RESTING

    @property
    def sort_key(self) -> tuple[int, str]:
        """Sort key of the order in a list, newest first."""
        return -self.created_us, self.order_id


@dataclass(frozen=True, slots=True)
class SandboxFill:
    """One side of a trade: the fill of the maker order or of the taker order."""

    fill_id: str
    order_id: str
    member: str
    subaccount: int
    ticker: str
    shard: int
    side: Side
    price: int
    count: int
    is_taker: bool
    fee: int
    created_us: int

    @property
    def sort_key(self) -> tuple[int, str]:
        """Sort key of the fill in a list, newest first."""
        return -self.created_us, self.fill_id


@dataclass(slots=True, eq=False)
class Position:
    """A position in a market: ``count`` centi-contracts (negative for NO), and money in micro-dollars.

    ``cost`` is the purchase cost of the open contracts. ``traded`` and ``traded_count`` are the cost and the count of
    all fills.
    """

    member: str
    subaccount: int
    ticker: str
    event_ticker: str
    shard: int
    opened_us: int
    updated_us: int
    count: int = 0
    cost: int = 0
    traded: int = 0
    traded_count: int = 0
    realized: int = 0
    fees: int = 0
    settled_us: int | None = None

    @property
    def sort_key(self) -> tuple[int, str]:
        """Sort key of the position in a list, newest first."""
        return -self.opened_us, f"{self.subaccount}:{self.ticker}"


@dataclass(frozen=True, slots=True)
class SandboxSettlement:
    """A position that was paid out. Counts are centi-contracts, money is micro-dollars, ``value`` is centi-cents."""

    member: str
    subaccount: int
    ticker: str
    event_ticker: str
    shard: int
    result: Result
    value: int
    yes_count: int
    yes_cost: int
    no_count: int
    no_cost: int
    revenue: int
    fee: int
    settled_us: int

    @property
    def sort_key(self) -> tuple[int, str]:
        """Sort key of the settlement in a list, newest first."""
        return -self.settled_us, f"{self.subaccount}:{self.ticker}"


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money that a member moved between its own sub-accounts or shards."""

    transfer_id: str
    client_transfer_id: str | None
    member: str
    from_subaccount: int
    from_shard: int
    to_subaccount: int
    to_shard: int
    amount: int
    created_us: int

    @property
    def sort_key(self) -> tuple[int, str]:
        """Sort key of the transfer in a list, newest first."""
        return -self.created_us, self.transfer_id


@dataclass(frozen=True, slots=True)
class PublicTrade:
    """A public trade. It does not identify the members who traded."""

    trade_id: str
    ticker: str
    price: int
    count: int
    taker_side: Side
    created_us: int

    @property
    def sort_key(self) -> tuple[int, str]:
        """Sort key of the trade in a list, newest first."""
        return -self.created_us, self.trade_id


@dataclass(slots=True, eq=False)
class TradedMarket:
    """A market with an order book.

    ``pool`` is the money that backs the open contracts, in micro-dollars: one dollar for each YES and NO pair.
    """

    facts: MarketOpened
    status: MarketStatus
    close_us: int
    book: OrderBook
    result: Result = ""
    value: int | None = None
    last_price: int = 0
    volume: int = 0
    open_interest: int = 0
    pool: int = 0
    trades: list[PublicTrade] = field(default_factory=list)

    @property
    def ticker(self) -> str:
        """Ticker of the market."""
        return self.facts.ticker


@dataclass(slots=True, eq=False)
class OrderGroup:
    """An order group: orders that share a limit.

    ``matched`` holds the instant and the centi-contracts of each trade in the 15 seconds up to the last trade.
    ``matched_count`` is the sum of these centi-contracts.
    """

    group_id: str
    member: str
    subaccount: int
    shard: int
    limit: int
    triggered: bool = False
    orders: dict[str, None] = field(default_factory=dict)
    matched: deque[tuple[int, int]] = field(default_factory=deque)
    matched_count: int = 0

    def matched_since(self, instant_us: int) -> int:
        """Return how many centi-contracts the orders of the group have traded after an instant."""
        return sum(count for at_us, count in self.matched if at_us > instant_us)


@dataclass(slots=True)
class Shard:
    """State of one shard of the exchange: whether it is up, and whether orders trade on it."""

    exchange_active: bool = True
    trading_active: bool = True
