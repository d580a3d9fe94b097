"""Wire records to table rows: exact integers for money, counts and time; JSON text for what the vendor leaves open.

Each function returns its values in the order of the columns tuple above it. Values the database refuses (a price above
one dollar, a status outside the vocabulary) are not checked here a second time.
"""

import datetime as dt
from decimal import Decimal
from functools import lru_cache
from typing import Final

import msgspec

from kalshi_pipelines.bookkeeping.stamps import PROVENANCE, Stamp
from kalshi_pipelines.kalshi.records import Event, Market, Orderbook, Series
from kalshi_pipelines.units import centicontracts, microdollars, microseconds
from kalshi_pipelines.warehouse.bulk import Row
from kalshi_pipelines.warehouse.tables import QUOTE

# Markets repeat the same few prices and counts millions of times.
_price: Final = lru_cache(maxsize=1 << 16)(microdollars)
_count: Final = lru_cache(maxsize=1 << 16)(centicontracts)

_NEVER: Final = dt.datetime(1, 1, 1, tzinfo=dt.UTC)


SERIES_COLUMNS: Final = (
    "ticker",
    "record_digest",
    "is_placeholder",
    "title",
    "category",
    "categories",
    "tags",
    "frequency",
    "fee_type",
    "fee_multiplier",
    "settlement_sources",
    "contract_url",
    "contract_terms_url",
    "additional_prohibitions",
    "product_metadata",
    "volume_centicontracts",
    "last_updated_us",
    "exchange_index",
    *PROVENANCE,
)


def series_row(record: Series, digest: bytes, unknown_fields: str | None, stamp: Stamp) -> Row:
    """The row of a series."""
    return (
        record.ticker,
        digest,
        False,
        record.title,
        record.category,
        _json(record.categories),
        _json(record.tags),
        record.frequency,
        record.fee_type,
        _number(record.fee_multiplier),
        _json(record.settlement_sources),
        record.contract_url,
        record.contract_terms_url,
        _json(record.additional_prohibitions),
        _json(record.product_metadata),
        None if record.volume_fp is None else _count(record.volume_fp),
        _time(record.last_updated_ts),
        record.exchange_index,
        unknown_fields,
        stamp.recorded_us,
        stamp.recorded_us,
        stamp.ingest_run_id,
    )


EVENT_COLUMNS: Final = (
    "event_ticker",
    "record_digest",
    "is_placeholder",
    "series_ticker",
    "title",
    "sub_title",
    "category",
    "collateral_return_type",
    "mutually_exclusive",
    "strike_date_us",
    "strike_period",
    "fee_type_override",
    "fee_multiplier_override",
    "settlement_sources",
    "product_metadata",
    "last_updated_us",
    "exchange_index",
    *PROVENANCE,
)


def event_row(record: Event, digest: bytes, unknown_fields: str | None, stamp: Stamp) -> Row:
    """The row of an event."""
    return (
        record.event_ticker,
        digest,
        False,
        record.series_ticker,
        record.title,
        record.sub_title,
        record.category,
        record.collateral_return_type,
        record.mutually_exclusive,
        _time(record.strike_date),
        record.strike_period,
        record.fee_type_override,
        _number(record.fee_multiplier_override),
        _json(record.settlement_sources),
        _json(record.product_metadata),
        _time(record.last_updated_ts),
        record.exchange_index,
        unknown_fields,
        stamp.recorded_us,
        stamp.recorded_us,
        stamp.ingest_run_id,
    )


MARKET_COLUMNS: Final = (
    "ticker",
    "record_digest",
    *QUOTE,
    "volume_24h_centicontracts",
    "previous_yes_bid_microdollars",
    "previous_yes_ask_microdollars",
    "previous_price_microdollars",
    "event_ticker",
    "market_type",
    "status",
    "result",
    "created_time_us",
    "updated_time_us",
    "open_time_us",
    "close_time_us",
    "latest_expiration_time_us",
    "expiration_time_us",
    "expected_expiration_time_us",
    "occurrence_time_us",
    "settlement_time_us",
    "fee_waiver_expiration_time_us",
    "settlement_timer_seconds",
    "notional_value_microdollars",
    "settlement_value_microdollars",
    "settlement_bounds_type",
    "settlement_floor_microdollars",
    "can_close_early",
    "is_provisional",
    "exchange_index",
    "price_level_structure",
    "price_ranges",
    "strike_type",
    "floor_strike",
    "cap_strike",
    "functional_strike",
    "custom_strike",
    "mve_collection_ticker",
    "mve_selected_legs",
    "primary_participant_key",
    "title",
    "subtitle",
    "yes_sub_title",
    "no_sub_title",
    "expiration_value",
    "early_close_condition",
    "rules_primary",
    "rules_secondary",
    "is_placeholder",
    *PROVENANCE,
)
#: Where the quote and the 24 hour volume stand in a market's row.
QUOTE_IN_MARKET_ROW: Final = slice(2, 2 + len(QUOTE) + 1)


def market_row(record: Market, digest: bytes, unknown_fields: str | None, stamp: Stamp) -> Row:
    """The row of a market with its current quote.

    Raises:
        InexactValue: A price or count is no exact decimal text.
    """
    return (
        record.ticker,
        digest,
        _price(record.yes_bid_dollars),
        _price(record.yes_ask_dollars),
        _price(record.no_bid_dollars),
        _price(record.no_ask_dollars),
        _price(record.last_price_dollars),
        _count(record.yes_bid_size_fp),
        _count(record.yes_ask_size_fp),
        _count(record.volume_fp),
        _count(record.open_interest_fp),
        _count(record.volume_24h_fp),
        _price(record.previous_yes_bid_dollars),
        _price(record.previous_yes_ask_dollars),
        _price(record.previous_price_dollars),
        record.event_ticker,
        record.market_type,
        record.status,
        record.result,
        _time(record.created_time),
        _time(record.updated_time),
        _time(record.open_time),
        _time(record.close_time),
        _time(record.latest_expiration_time),
        _time(record.expiration_time),
        _time(record.expected_expiration_time),
        _time(record.occurrence_datetime),
        _time(record.settlement_ts),
        _time(record.fee_waiver_expiration_time),
        record.settlement_timer_seconds,
        _price(record.notional_value_dollars),
        _optional_price(record.settlement_value_dollars),
        record.settlement_bounds_type,
        _optional_price(record.settlement_floor_dollars),
        record.can_close_early,
        record.is_provisional,
        record.exchange_index,
        record.price_level_structure,
        _json(record.price_ranges),
        record.strike_type,
        _number(record.floor_strike),
        _number(record.cap_strike),
        record.functional_strike,
        _json(record.custom_strike),
        record.mve_collection_ticker,
        _json(record.mve_selected_legs),
        record.primary_participant_key,
        record.title,
        record.subtitle,
        record.yes_sub_title,
        record.no_sub_title,
        record.expiration_value,
        record.early_close_condition,
        record.rules_primary,
        record.rules_secondary,
        False,
        unknown_fields,
        stamp.recorded_us,
        stamp.recorded_us,
        stamp.ingest_run_id,
    )


ORDERBOOK_COLUMNS: Final = (
    "ticker",
    "observed_us",
    "ingest_run_id",
    "record_digest",
    *[
        name
        for side in ("yes", "no")
        for name in (
            f"best_{side}_bid_microdollars",
            f"best_{side}_bid_size_centicontracts",
            f"{side}_depth_centicontracts",
            f"{side}_levels",
        )
    ],
    "unknown_fields",
)


def orderbook_row(record: Orderbook, digest: bytes, unknown_fields: str | None, stamp: Stamp) -> Row:
    """The row of an orderbook: best level, depth and every level of both sides, bids only, in exact integers."""
    return (
        record.ticker,
        stamp.recorded_us,
        stamp.ingest_run_id,
        digest,
        *_side(record.orderbook_fp.yes_dollars),
        *_side(record.orderbook_fp.no_dollars),
        unknown_fields,
    )


def _side(wire_levels: list[tuple[str, str]] | None) -> tuple[int | None, int | None, int, str]:
    levels = [(_price(price), _count(count)) for price, count in wire_levels or ()]
    best, size = max(levels) if levels else (None, None)
    return best, size, sum(count for _, count in levels), msgspec.json.encode(levels).decode()


def _optional_price(text: str | None) -> int | None:
    return None if text is None else _price(text)


def _time(instant: dt.datetime | None) -> int | None:
    """Microseconds since 1970; the exchange writes the year 1 for "never"."""
    return None if instant is None or instant == _NEVER else microseconds(instant)


def _number(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _json(raw: msgspec.Raw) -> str | None:
    text = str(memoryview(raw), "utf-8")
    return None if text in ("", "null") else text
