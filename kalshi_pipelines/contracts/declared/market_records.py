"""The records of the public catalogue: markets, events, series and their parts.

Source: specification 3.34.0 of 2026-10-26, and the changelog. A field with ``since`` is required now, but recordings of
summer 2026 lack its key. A field with ``until`` was removed by the vendor, but these recordings still have its key.
"""

import datetime as dt
from typing import Final

from kalshi_pipelines.contracts.declared.fields import (
    NULLABLE,
    OPTIONAL,
    USUAL,
    count,
    dollars,
    flag,
    free,
    listed,
    number,
    price,
    record,
    records,
    shard,
    text,
    time,
    uuid,
    whole,
    word,
)
from kalshi_pipelines.contracts.language.declarations import Field

# Sizes have no lower bound: the demo exchange showed negative sizes in June 2026.
_QUOTES: Final = ("markets", "price_snapshots", "quotes")
STATUSES: Final = "initialized|inactive|active|closed|determined|disputed|amended|finalized"
FEE_TYPES: Final = "quadratic|quadratic_with_maker_fees|quadratic_with_combo_maker_fees|flat"
_STEPS: Final = ("whole", "half", "quint", "deci", "centi")
GRIDS: Final = "|".join(
    ["linear_cent", "deci_cent", "tapered_deci_cent"]
    + [f"center_{center}_edge_{edge}_cent" for center in _STEPS for edge in _STEPS]
)
"""Known labels of price grids. The documentation lists them as examples; ``price_ranges`` defines the grid."""


def _gone(place: str, year: int, month: int, day: int, kind: type = str) -> Field:
    make = {str: text, bool: flag, int: whole}[kind]
    return make(place, is_required=False, is_usual=True, until=dt.date(year, month, day))


PRICE_RANGE: Final = (
    price("start", "markets"),
    price("end", "markets"),
    dollars("step", "markets", least=0, most=1),
)
LEG: Final = (
    text("event_ticker", **OPTIONAL),
    text("market_ticker", **OPTIONAL),
    word("side", "yes|no", **OPTIONAL),
    price("yes_settlement_value_dollars", **NULLABLE),
)
MARKET: Final = (
    text("ticker", *_QUOTES, "orderbooks"),
    text("event_ticker", "markets"),
    word("market_type", "binary|scalar", "markets"),
    text("title", "markets", **USUAL),
    text("subtitle", **OPTIONAL),
    text("yes_sub_title", "markets"),
    text("no_sub_title", "markets"),
    time("created_time", "markets"),
    time("updated_time", "markets"),
    time("open_time", "markets"),
    time("close_time", "markets"),
    time("expected_expiration_time", "markets", **NULLABLE, is_usual=True),
    time("expiration_time", **USUAL),
    time("latest_expiration_time", "markets"),
    whole("settlement_timer_seconds", "markets", within=(0, 10_000_000)),
    word("status", STATUSES, *_QUOTES, "orderbooks"),
    price("yes_bid_dollars", *_QUOTES),
    count("yes_bid_size_fp", *_QUOTES, least=None),
    price("yes_ask_dollars", *_QUOTES),
    count("yes_ask_size_fp", *_QUOTES, least=None),
    price("no_bid_dollars", *_QUOTES),
    price("no_ask_dollars", *_QUOTES),
    price("last_price_dollars", *_QUOTES),
    count("volume_fp", *_QUOTES),
    count("volume_24h_fp", *_QUOTES),
    word("result", "yes|no|scalar|", "markets", "settlements"),
    flag("can_close_early", "markets"),
    count("open_interest_fp", *_QUOTES),
    dollars("notional_value_dollars", "markets", least=0),
    price("previous_yes_bid_dollars"),
    price("previous_yes_ask_dollars"),
    price("previous_price_dollars"),
    price("settlement_value_dollars", "markets", "settlements", **NULLABLE),
    time("settlement_ts", "markets", "settlements", **NULLABLE),
    word("settlement_bounds_type", "default|floor", "markets", is_closed=False, since=dt.date(2026, 10, 1)),
    price("settlement_floor_dollars", "markets", **NULLABLE),
    text("expiration_value", "markets"),
    time("occurrence_datetime", "markets", **NULLABLE),
    time("fee_waiver_expiration_time", **NULLABLE),
    text("early_close_condition", **NULLABLE),
    word(
        "strike_type",
        "greater|greater_or_equal|less|less_or_equal|between|functional|custom|structured",
        "markets",
        is_closed=False,
        is_required=False,
    ),
    number("floor_strike", "markets", **NULLABLE),
    number("cap_strike", "markets", **NULLABLE),
    text("functional_strike", **NULLABLE),
    free("custom_strike", "markets", **NULLABLE),
    text("rules_primary", "markets"),
    text("rules_secondary", "markets"),
    text("mve_collection_ticker", "markets", **OPTIONAL),
    *records("mve_selected_legs", LEG, is_required=False, is_nullable=True),
    text("primary_participant_key", **NULLABLE),
    word("price_level_structure", GRIDS, "markets", is_closed=False),
    *records("price_ranges", PRICE_RANGE, used_by=("markets",)),
    flag("is_provisional", **OPTIONAL),
    shard("exchange_index", "markets", **USUAL),
    dollars("liquidity_dollars", is_required=False, is_usual=True, until=dt.date(2026, 10, 1)),
    _gone("response_price_units", 2026, 7, 9),
    _gone("fractional_trading_enabled", 2026, 7, 9, bool),
    _gone("tick_size", 2026, 5, 7, int),
)
SOURCE: Final = (text("name", **OPTIONAL), text("url", **OPTIONAL))
EVENT: Final = (
    text("event_ticker", "events"),
    text("series_ticker", "events"),
    text("sub_title", "events"),
    text("title", "events"),
    word("collateral_return_type", "MECNET|DIRECNET|", "events", is_closed=False),
    flag("mutually_exclusive", "events"),
    text("category", "events", **USUAL),
    time("strike_date", "events", **NULLABLE),
    text("strike_period", "events", **NULLABLE),
    *records("markets", MARKET, is_required=False, is_filled=True),
    free("product_metadata", **NULLABLE),
    *records("settlement_sources", SOURCE, is_nullable=True, since=dt.date(2026, 6, 18)),
    time("last_updated_ts", "events", **USUAL),
    word("fee_type_override", FEE_TYPES, "events", is_required=False, is_nullable=True),
    number("fee_multiplier_override", "events", **NULLABLE),
    shard("exchange_index", "events", **USUAL),
    flag("available_on_brokers", is_required=False, is_usual=True, until=dt.date(2026, 9, 10)),
)
SERIES: Final = (
    text("ticker", "series"),
    text("frequency", "series"),
    text("title", "series"),
    text("category", "series"),
    *listed("categories", text("", "series"), since=dt.date(2026, 9, 17)),
    *listed("tags", text("", "series"), is_nullable=True),
    *records("settlement_sources", SOURCE, is_nullable=True),
    text("contract_url", "series"),
    text("contract_terms_url", "series"),
    free("product_metadata", **NULLABLE),
    word("fee_type", FEE_TYPES, "series"),
    number("fee_multiplier", "series", least=0, most=10),
    *listed("additional_prohibitions", text(""), is_nullable=True),
    count("volume_fp", **OPTIONAL),
    time("last_updated_ts", "series", **USUAL),
    shard("exchange_index", "series", **USUAL),
)
TRADE: Final = (
    uuid("trade_id", "public_trades"),
    text("ticker", "public_trades"),
    count("count_fp", "public_trades"),
    price("yes_price_dollars", "public_trades"),
    price("no_price_dollars", "public_trades"),
    word("taker_side", "yes|no", **USUAL),
    word("taker_outcome_side", "yes|no", "public_trades"),
    word("taker_book_side", "bid|ask", "public_trades"),
    time("created_time", "public_trades"),
    flag("is_block_trade", "public_trades"),
)
MILESTONE: Final = (
    text("id"),
    text("category"),
    text("type"),
    time("start_date"),
    time("end_date", **NULLABLE),
    *listed("related_event_tickers", text("")),
    text("title"),
    text("notification_message"),
    text("source_id", **NULLABLE),
    free("source_ids", **NULLABLE),
    free("details"),
    *listed("primary_event_tickers", text("")),
    time("last_updated_ts"),
)
COLLECTION: Final = (
    text("collection_ticker"),
    text("series_ticker"),
    shard(**USUAL),
    text("title"),
    text("description"),
    time("open_date"),
    time("close_date"),
    *records(
        "associated_events",
        (
            text("ticker"),
            flag("is_yes_only"),
            whole("size_max", **NULLABLE),
            whole("size_min", **NULLABLE),
            *listed("active_quoters", text("")),
        ),
    ),
    *listed("associated_event_tickers", text("")),
    flag("is_ordered"),
    flag("is_single_market_per_event"),
    flag("is_all_yes"),
    whole("size_min"),
    whole("size_max"),
    text("functional_description"),
    word("price_level_structure", GRIDS, is_closed=False, since=dt.date(2026, 10, 8)),
    *records("price_ranges", PRICE_RANGE, since=dt.date(2026, 10, 8)),
)


def levels(place: str) -> tuple[Field, ...]:
    """Return the fields of one side of an orderbook: a list of pairs of price and count."""
    return (
        *listed(place, text("", "orderbooks"))[:1],
        *listed(f"{place}[]", text(""))[:1],
        price(f"{place}[][0]", "orderbooks"),
        count(f"{place}[][1]", "orderbooks"),
    )


BOOK: Final = record("orderbook_fp", (*levels("yes_dollars"), *levels("no_dollars")), used_by=("orderbooks",))


def candle(suffix: str, count_suffix: str) -> tuple[Field, ...]:
    """Return the fields of a candle, whose keys end with the given suffixes for prices and for counts.

    Keys of historical candles have no suffix. Trade prices of a candle are null if nothing was traded.
    """

    def prices(names: str, **options: bool) -> tuple[Field, ...]:
        return tuple(price(f"{name}{suffix}", "candlesticks", **options) for name in names.split())

    return (
        whole("end_period_ts", "candlesticks", within=(1_000_000_000, 9_999_999_999)),
        *record("yes_bid", prices("open high low close")),
        *record("yes_ask", prices("open high low close")),
        *record("price", prices("open high low close mean previous min max", is_required=False, is_nullable=True)),
        count(f"volume{count_suffix}", "candlesticks"),
        count(f"open_interest{count_suffix}", "candlesticks"),
    )
