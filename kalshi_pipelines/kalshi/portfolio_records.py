"""Records of an account as they are on the wire: orders, fills, positions, settlements and balance.

The rules of ``records`` apply: names and types follow the OpenAPI document 3.34.0, and money and counts stay text.
Fields that the program does not use are omitted. A record that lacks a field without a default cannot be decoded.
"""

from msgspec import Struct

from kalshi_pipelines.kalshi.records import Instant, Integer


class OrderRecord(Struct, frozen=True, gc=False):
    """One order, from ``GET /portfolio/orders`` or ``/historical/orders``; ``book_side`` is bid or ask."""

    order_id: str
    client_order_id: str
    ticker: str
    book_side: str
    status: str
    yes_price_dollars: str
    fill_count_fp: str
    remaining_count_fp: str
    initial_count_fp: str
    taker_fees_dollars: str
    maker_fees_dollars: str
    created_time: Instant | None = None
    last_update_time: Instant | None = None
    order_group_id: str | None = None
    subaccount_number: Integer | None = None
    exchange_index: Integer | None = None


class FillRecord(Struct, frozen=True, gc=False):
    """One fill, from ``GET /portfolio/fills``. Since March 2026 a fill no longer holds the client order id."""

    fill_id: str
    order_id: str
    ticker: str
    book_side: str
    count_fp: str
    yes_price_dollars: str
    is_taker: bool
    fee_cost: str
    created_time: Instant
    subaccount_number: Integer | None = None
    exchange_index: Integer | None = None


class PositionRecord(Struct, frozen=True, gc=False):
    """The position in one market, negative for NO, from ``GET /portfolio/positions``."""

    ticker: str
    position_fp: str
    market_exposure_dollars: str
    fees_paid_dollars: str
    realized_pnl_dollars: str
    exchange_index: Integer | None = None


class SettlementRecord(Struct, frozen=True, gc=False):
    """The payout of one market, from ``GET /portfolio/settlements``; ``value`` is cents per YES contract."""

    ticker: str
    event_ticker: str
    market_result: str
    settled_time: Instant
    fee_cost: str
    revenue: Integer
    value: Integer | None = None
    exchange_index: Integer | None = None


class ShardBalanceRecord(Struct, frozen=True, gc=False):
    """The money on one shard, in dollars."""

    exchange_index: Integer
    balance: str


class Balance(Struct, frozen=True):
    """The money available for orders.

    ``balance_breakdown`` covers the whole account; API keys locked to one sub-account do not receive it.
    """

    balance_dollars: str
    updated_ts: Integer
    balance_breakdown: list[ShardBalanceRecord] | None = None


class SubaccountBalance(Struct, frozen=True, gc=False):
    """The money of one sub-account on one shard, in dollars. Sub-account 0 is the main account."""

    subaccount_number: Integer
    exchange_index: Integer
    balance: str


class SubaccountBalances(Struct, frozen=True):
    """The money of all sub-accounts. A key that is locked to a sub-account receives only that sub-account's rows."""

    subaccount_balances: list[SubaccountBalance]


class UserDataTimestamp(Struct, frozen=True, gc=False):
    """The instant up to which reads of the account include all writes."""

    as_of_time: Instant


class ApiKeyRecord(Struct, frozen=True, gc=False):
    """An API key and its scopes. If the key is locked to one sub-account, ``subaccount`` names it."""

    api_key_id: str
    name: str
    scopes: list[str]
    subaccount: Integer | None = None


class ApiKeys(Struct, frozen=True):
    """The API keys of the member."""

    api_keys: list[ApiKeyRecord]


class OrderGroupRecord(Struct, frozen=True, gc=False):
    """An order group; ``exchange_index`` is its shard."""

    id: str
    is_auto_cancel_enabled: bool
    exchange_index: Integer = 0


class OrderGroups(Struct, frozen=True):
    """The order groups of a sub-account. The exchange omits the list if there are none."""

    order_groups: list[OrderGroupRecord] = []
