"""The records of an account as they are on the wire: orders, fills, positions, settlements, balance.

The rules of ``records`` apply: names and types of the OpenAPI document 3.34.0, money and counts as the text they were
sent as. Fields nothing here reads are left out; a record that lacks one of these can not be used.
"""

from msgspec import Struct

from kalshi_pipelines.kalshi.records import Instant, Integer


class OrderRecord(Struct, frozen=True, gc=False):
    """One order, from ``GET /portfolio/orders`` or ``/historical/orders``. Its side is ``book_side``: bid or ask."""

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
    """One fill, from ``GET /portfolio/fills``; it does not tell the client order id (since March 2026)."""

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
    """What is held of one market, negative for NO, from ``GET /portfolio/positions``."""

    ticker: str
    position_fp: str
    market_exposure_dollars: str
    fees_paid_dollars: str
    realized_pnl_dollars: str
    exchange_index: Integer | None = None


class SettlementRecord(Struct, frozen=True, gc=False):
    """What a market paid out, from ``GET /portfolio/settlements``; ``value`` is whole cents of one YES."""

    ticker: str
    event_ticker: str
    market_result: str
    settled_time: Instant
    fee_cost: str
    revenue: Integer
    value: Integer | None = None
    exchange_index: Integer | None = None


class ShardBalance(Struct, frozen=True, gc=False):
    """The money on one shard, in dollars."""

    exchange_index: Integer
    balance: str


class Balance(Struct, frozen=True):
    """The money that orders could use. ``balance_breakdown`` is of the whole account; locked keys do not get it."""

    balance_dollars: str
    updated_ts: Integer
    balance_breakdown: list[ShardBalance] | None = None


class UserDataTimestamp(Struct, frozen=True, gc=False):
    """The instant up to which reads of the account have caught up with what was written."""

    as_of_time: Instant


class ApiKeyRecord(Struct, frozen=True, gc=False):
    """What an API key may do; ``subaccount`` is the only one it may use, if it is locked to one."""

    api_key_id: str
    name: str
    scopes: list[str]
    subaccount: Integer | None = None


class ApiKeys(Struct, frozen=True):
    """The keys of the member."""

    api_keys: list[ApiKeyRecord]


class OrderGroupRecord(Struct, frozen=True, gc=False):
    """An order group; ``exchange_index`` is its shard."""

    id: str
    is_auto_cancel_enabled: bool
    exchange_index: Integer = 0


class OrderGroups(Struct, frozen=True):
    """The order groups of a sub-account; absent when there are none."""

    order_groups: list[OrderGroupRecord] = []
