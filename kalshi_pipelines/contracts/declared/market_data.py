"""Contracts with the public endpoints: catalogue, quotes, books, trades, candles and history."""

from typing import Final

from kalshi_pipelines.contracts.declared.errors import READ_ERRORS
from kalshi_pipelines.contracts.declared.event_rules import event_answer, event_rules, series_rules
from kalshi_pipelines.contracts.declared.fields import (
    CURSOR,
    NULLABLE,
    OPTIONAL,
    listed,
    number,
    record,
    records,
    text,
    time,
    whole,
    word,
)
from kalshi_pipelines.contracts.declared.market_records import (
    BOOK,
    COLLECTION,
    EVENT,
    FEE_TYPES,
    MARKET,
    MILESTONE,
    SERIES,
    SOURCE,
    TRADE,
    candle,
)
from kalshi_pipelines.contracts.declared.market_rules import market_rules
from kalshi_pipelines.contracts.declared.request_rules import (
    event_list_filters,
    market_list_filters,
    named_in_path,
    requested_books,
)
from kalshi_pipelines.contracts.declared.trading_rules import book_rules, candle_rules, trade_rules
from kalshi_pipelines.contracts.language.declarations import Contract, Field, LastingAttributes, Paging, by_place
from kalshi_pipelines.contracts.language.differences import Severity

_NOT_FOUND: Final = {404: frozenset({"not_found"})}
# The market type is not a lasting attribute: a market that settles between 0 and 1 becomes scalar.
_GRID: Final = ("price_level_structure", "settlement_bounds_type", "notional_value_dollars")
_TEXTS: Final = ("rules_primary",)


def _markets(rows: str) -> tuple[LastingAttributes, ...]:
    return (
        LastingAttributes(rows, ("ticker",), _GRID),
        LastingAttributes(rows, ("ticker",), _TEXTS, Severity.ADDITIVE),
        LastingAttributes(rows, ("event_ticker",), ("exchange_index",), prefix=True),
    )


def _series(rows: str) -> tuple[LastingAttributes, ...]:
    return (
        LastingAttributes(rows, ("ticker",), ("fee_type", "fee_multiplier", "exchange_index")),
        LastingAttributes(rows, ("ticker",), ("tags", "settlement_sources"), Severity.ADDITIVE),
    )


def _list(endpoint: str, rows: str, fields: tuple[Field, ...], most: int, usual: int, **options: object) -> Contract:
    key = {"markets": ("ticker",), "events": ("event_ticker",), "trades": ("trade_id",)}[rows]
    newest = "created_time" if rows == "trades" else ""
    return Contract(
        endpoint,
        by_place(records(rows, fields), (CURSOR,), options.pop("also", ())),  # type: ignore[arg-type]
        paging=Paging(rows, most=most, usual=usual, key=key, newest_first=newest),
        errors=READ_ERRORS,
        **options,  # type: ignore[arg-type]
    )


def _candles(endpoint: str, place: str, fields: tuple[Field, ...], suffix: str, ticker: Field | None) -> Contract:
    around = records("candlesticks", fields)
    body = by_place(around, (ticker,)) if ticker else by_place(records("markets", (text("market_ticker"), *around)))
    return Contract(
        endpoint,
        body,
        invariants=(candle_rules(place, suffix),),
        errors=READ_ERRORS,
        codes=_NOT_FOUND,
        used_by=("candlesticks",),
    )


_MARKET_INVARIANTS: Final = (market_rules("markets[]"), market_list_filters)
_EVENT_INVARIANTS: Final = (
    market_rules("events[].markets[]"),
    event_rules("events[]"),
    event_list_filters,
)
_CANDLE: Final = candle("_dollars", "_fp")
_FEE_CHANGE: Final = (
    text("id"),
    text("series_ticker"),
    # Rows of September 2026 have the fee type of a market maker program, which the document does not list.
    word("fee_type", FEE_TYPES, "fee_schedule", is_closed=False),
    number("fee_multiplier", "fee_schedule"),
    time("scheduled_ts", "fee_schedule"),
)
_EVENT_FEE_CHANGE: Final = (
    text("id"),
    text("event_ticker"),
    text("series_ticker"),
    word("fee_type_override", FEE_TYPES, "fee_schedule", is_closed=False, is_nullable=True),
    number("fee_multiplier_override", "fee_schedule", is_nullable=True),
    time("scheduled_ts", "fee_schedule"),
)

MARKET_DATA: Final = (
    _list(
        "GET /markets", "markets", MARKET, 1_000, 100, invariants=_MARKET_INVARIANTS, lasting=_markets("markets[]"),
        used_by=("markets", "price_snapshots", "quotes", "settlements"),
    ),
    Contract(
        "GET /markets/{ticker}",
        by_place(record("market", MARKET)),
        invariants=(market_rules("market"), named_in_path("market", "ticker", "ticker")),
        lasting=_markets("market"),
        errors=READ_ERRORS,
        codes=_NOT_FOUND,
        used_by=("markets",),
    ),
    _list(
        "GET /historical/markets", "markets", MARKET, 1_000, 100, invariants=_MARKET_INVARIANTS,
        lasting=_markets("markets[]"), used_by=("markets",),
    ),
    Contract(
        "GET /historical/markets/{ticker}",
        by_place(record("market", MARKET)),
        invariants=(market_rules("market"), named_in_path("market", "ticker", "ticker")),
        lasting=_markets("market"),
        errors=READ_ERRORS,
        codes=_NOT_FOUND,
        used_by=("markets",),
    ),
    _list(
        "GET /events", "events", EVENT, 200, 200, invariants=_EVENT_INVARIANTS,
        lasting=(*_markets("events[].markets[]"),
                 LastingAttributes("events[]", ("series_ticker",), ("exchange_index",)),
                 LastingAttributes("events[]", ("event_ticker",), ("mutually_exclusive", "collateral_return_type"))),
        also=records("milestones", MILESTONE, is_required=False), used_by=("events",),
    ),
    _list(
        "GET /events/multivariate", "events", EVENT, 200, 100, invariants=_EVENT_INVARIANTS, used_by=("events",),
        lasting=_markets("events[].markets[]"),
    ),
    Contract(
        "GET /events/{event_ticker}",
        by_place(record("event", EVENT), records("markets", MARKET, is_required=False)),
        invariants=(
            market_rules("event.markets[]"),
            market_rules("markets[]"),
            event_rules("event"),
            event_answer,
            named_in_path("event", "event_ticker", "event_ticker"),
        ),
        lasting=(*_markets("event.markets[]"), *_markets("markets[]")),
        errors=READ_ERRORS,
        codes=_NOT_FOUND,
        used_by=("events",),
    ),
    Contract(
        "GET /events/{event_ticker}/metadata",
        by_place(
            (text("image_url"), text("featured_image_url", **OPTIONAL)),
            records(
                "market_details", (text("market_ticker"), text("image_url"), text("color_code", **OPTIONAL)),
                is_required=False,
            ),
            records("settlement_sources", SOURCE, is_required=False, is_nullable=True),
            (text("competition", **NULLABLE), text("competition_scope", **NULLABLE)),
        ),
        errors=READ_ERRORS,
        codes=_NOT_FOUND,
    ),
    Contract(
        "GET /series",
        by_place(records("series", SERIES)),
        paging=Paging("series", cursor="", key=("ticker",), is_never_empty=True),
        invariants=(series_rules("series[]"),),
        lasting=_series("series[]"),
        errors=READ_ERRORS,
        used_by=("series",),
    ),
    Contract(
        "GET /series/{series_ticker}",
        by_place(record("series", SERIES)),
        invariants=(series_rules("series"), named_in_path("series", "ticker", "series_ticker")),
        lasting=_series("series"),
        errors=READ_ERRORS,
        codes={400: frozenset({"bad_request", "not_found", "invalid_parameters"}), **_NOT_FOUND},
        used_by=("series",),
    ),
    Contract(
        "GET /series/fee_changes",
        by_place(records("series_fee_change_arr", _FEE_CHANGE)),
        paging=Paging("series_fee_change_arr", cursor="", key=("id",)),
        errors=READ_ERRORS,
        used_by=("series", "fee_schedule"),
    ),
    Contract(
        "GET /events/fee_changes",
        by_place(records("event_fee_changes", _EVENT_FEE_CHANGE), (CURSOR,)),
        paging=Paging("event_fee_changes", most=1_000, usual=100, key=("id",)),
        errors=READ_ERRORS,
        used_by=("events", "fee_schedule"),
    ),
    Contract(
        "GET /markets/{ticker}/orderbook",
        by_place(BOOK),
        invariants=(book_rules("orderbook_fp"),),
        errors=READ_ERRORS,
        codes=_NOT_FOUND,
        used_by=("orderbooks",),
    ),
    Contract(
        "GET /markets/orderbooks",
        by_place(records("orderbooks", (text("ticker", "orderbooks"), *BOOK))),
        invariants=(book_rules("orderbooks[].orderbook_fp"), requested_books),
        errors=READ_ERRORS,
        used_by=("orderbooks",),
    ),
    _list("GET /markets/trades", "trades", TRADE, 1_000, 100, invariants=(trade_rules,),
          used_by=("public_trades",)),
    _list("GET /historical/trades", "trades", TRADE, 1_000, 100, invariants=(trade_rules,),
          used_by=("public_trades",)),
    _candles("GET /series/{series_ticker}/markets/{ticker}/candlesticks", "candlesticks[]", _CANDLE, "_dollars",
             text("ticker")),
    _candles("GET /historical/markets/{ticker}/candlesticks", "candlesticks[]", candle("", ""), "", text("ticker")),
    _candles("GET /markets/candlesticks", "markets[].candlesticks[]", _CANDLE, "_dollars", None),
    Contract(
        "GET /series/{series_ticker}/events/{ticker}/candlesticks",
        by_place(
            listed("market_tickers", text("")),
            listed("market_candlesticks", text(""))[:1],
            records("market_candlesticks[]", _CANDLE),
            (whole("adjusted_end_ts"),),
        ),
        errors=READ_ERRORS,
        codes=_NOT_FOUND,
        used_by=("candlesticks",),
    ),
    Contract(
        "GET /multivariate_event_collections",
        by_place(records("multivariate_contracts", COLLECTION), (CURSOR,)),
        paging=Paging("multivariate_contracts", most=200, key=("collection_ticker",)),
        lasting=(LastingAttributes("multivariate_contracts[]", ("collection_ticker",), ("exchange_index",)),),
        errors=READ_ERRORS,
    ),
    Contract(
        "GET /milestones",
        by_place(records("milestones", MILESTONE), (CURSOR,)),
        paging=Paging("milestones", most=500, key=("id",)),
        errors=READ_ERRORS,
    ),
)  # fmt: skip
