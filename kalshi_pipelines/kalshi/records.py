"""The exchange's records as they are on the wire.

Field names and types follow the OpenAPI document 3.34.0 (October 2026). A field that the document requires is optional
here if recordings of June to August 2026 lack it.

Money and counts stay the strings that were sent. A record with a JSON number instead of such a string is rejected.
Other numbers are ``Decimal`` with every digit. Objects without a fixed schema are ``msgspec.Raw``: the bytes as
received, empty if the key was absent, and ``null`` if the value was null. Values are not judged here. Decoding is in
``decoding``.
"""

import datetime as dt
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import Raw, Struct

Instant = Annotated[dt.datetime, msgspec.Meta(tz=True)]
Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
PriceLevel = tuple[str, str]

_ABSENT: Final = Raw()


def _refuse_non_finite(*numbers: Decimal | None) -> None:
    # Without this check, the JSON string "NaN" would be accepted as a Decimal.
    for number in numbers:
        if number is not None and not number.is_finite():
            raise ValueError(f"{number} is not a number")


class Market(Struct, frozen=True, gc=False):
    """One market, from ``GET /markets``. A price of ``1.0000`` or ``0.0000`` with size 0 means that no quote exists."""

    ticker: str
    event_ticker: str
    market_type: str
    yes_sub_title: str
    no_sub_title: str
    created_time: Instant
    updated_time: Instant
    open_time: Instant
    close_time: Instant
    latest_expiration_time: Instant
    settlement_timer_seconds: Integer
    status: str
    notional_value_dollars: str
    yes_bid_dollars: str
    yes_bid_size_fp: str
    yes_ask_dollars: str
    yes_ask_size_fp: str
    no_bid_dollars: str
    no_ask_dollars: str
    last_price_dollars: str
    previous_yes_bid_dollars: str
    previous_yes_ask_dollars: str
    previous_price_dollars: str
    volume_fp: str
    volume_24h_fp: str
    open_interest_fp: str
    result: str
    can_close_early: bool
    expiration_value: str
    rules_primary: str
    rules_secondary: str
    price_level_structure: str
    price_ranges: Raw
    title: str | None = None
    subtitle: str | None = None
    expected_expiration_time: Instant | None = None
    expiration_time: Instant | None = None
    settlement_value_dollars: str | None = None
    settlement_ts: Instant | None = None
    settlement_bounds_type: str | None = None
    settlement_floor_dollars: str | None = None
    occurrence_datetime: Instant | None = None
    fee_waiver_expiration_time: Instant | None = None
    early_close_condition: str | None = None
    strike_type: str | None = None
    floor_strike: Decimal | None = None
    cap_strike: Decimal | None = None
    functional_strike: str | None = None
    custom_strike: Raw = _ABSENT
    mve_collection_ticker: str | None = None
    mve_selected_legs: Raw = _ABSENT
    primary_participant_key: str | None = None
    is_provisional: bool | None = None
    exchange_index: Integer | None = None

    def __post_init__(self) -> None:
        _refuse_non_finite(self.floor_strike, self.cap_strike)


class Event(Struct, frozen=True, gc=False):
    """One event, from ``GET /events`` or ``/events/multivariate``. ``markets`` is sent only if nesting is requested."""

    event_ticker: str
    series_ticker: str
    sub_title: str
    title: str
    collateral_return_type: str
    mutually_exclusive: bool
    category: str | None = None
    strike_date: Instant | None = None
    strike_period: str | None = None
    markets: Raw = _ABSENT
    product_metadata: Raw = _ABSENT
    settlement_sources: Raw = _ABSENT
    last_updated_ts: Instant | None = None
    fee_type_override: str | None = None
    fee_multiplier_override: Decimal | None = None
    exchange_index: Integer | None = None

    def __post_init__(self) -> None:
        _refuse_non_finite(self.fee_multiplier_override)


class Series(Struct, frozen=True, gc=False):
    """One series, from ``GET /series``."""

    ticker: str
    frequency: str
    title: str
    category: str
    tags: Raw
    settlement_sources: Raw
    contract_url: str
    contract_terms_url: str
    fee_type: str
    fee_multiplier: Decimal
    additional_prohibitions: Raw
    categories: Raw = _ABSENT
    product_metadata: Raw = _ABSENT
    volume_fp: str | None = None
    last_updated_ts: Instant | None = None
    exchange_index: Integer | None = None

    def __post_init__(self) -> None:
        _refuse_non_finite(self.fee_multiplier)


class BookSides(Struct, frozen=True, gc=False):
    """The bids for each side as (price, count), in ascending order: the last bid is the best.

    An empty side may be null.
    """

    yes_dollars: list[PriceLevel] | None
    no_dollars: list[PriceLevel] | None


class Orderbook(Struct, frozen=True, gc=False):
    """The resting bids of one market. The best YES ask is 1 minus the best NO bid."""

    ticker: str
    orderbook_fp: BookSides


class ShardStatus(Struct, frozen=True):
    """The status of one shard (exchange index) of the exchange."""

    exchange_index: Integer
    description: str
    exchange_active: bool
    trading_active: bool
    intra_exchange_transfers_active: bool


class ExchangeStatus(Struct, frozen=True):
    """The status of the exchange. The top-level flags describe shard 0 only."""

    exchange_active: bool
    trading_active: bool
    intra_exchange_transfers_active: bool | None = None
    exchange_estimated_resume_time: Instant | None = None
    exchange_index_statuses: list[ShardStatus] | None = None


class DailyHours(Struct, frozen=True):
    """One period of trading in a day, in New York time ``HH:MM``; ``00:00`` to ``00:00`` is the whole day."""

    open_time: str
    close_time: str


class WeeklyHours(Struct, frozen=True):
    """The weekly trading hours that apply between two instants."""

    start_time: Instant
    end_time: Instant
    monday: list[DailyHours]
    tuesday: list[DailyHours]
    wednesday: list[DailyHours]
    thursday: list[DailyHours]
    friday: list[DailyHours]
    saturday: list[DailyHours]
    sunday: list[DailyHours]


class MaintenanceWindow(Struct, frozen=True):
    """A planned outage."""

    start_datetime: Instant
    end_datetime: Instant


class Schedule(Struct, frozen=True):
    """The trading hours and planned maintenance of the exchange."""

    standard_hours: list[WeeklyHours]
    maintenance_windows: list[MaintenanceWindow]


class HistoricalCutoff(Struct, frozen=True):
    """The instants before which records have moved from the live endpoints to the historical endpoints."""

    market_settled_ts: Instant
    trades_created_ts: Instant
    orders_updated_ts: Instant
    market_positions_last_updated_ts: Instant | None = None


class BucketLimits(Struct, frozen=True):
    """One token bucket: tokens refilled per second, and the capacity in tokens."""

    refill_rate: Integer
    bucket_capacity: Integer


class AccountLimits(Struct, frozen=True):
    """The rate limits of the account of the API key."""

    usage_tier: str
    read: BucketLimits
    write: BucketLimits
    grants: Raw = _ABSENT


class EndpointCost(Struct, frozen=True):
    """An endpoint whose token cost differs from the default. Paths look like ``/trade-api/v2/orders/:id``."""

    method: str
    path: str
    cost: Integer


class EndpointCostList(Struct, frozen=True):
    """The default token cost of a request, and the endpoints with another cost."""

    default_cost: Integer
    endpoint_costs: list[EndpointCost]
