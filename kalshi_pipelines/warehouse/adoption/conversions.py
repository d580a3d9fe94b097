"""The list of conversions: for each legacy table, the new table, its columns, and the converting function."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import sqlalchemy as sa

from kalshi_pipelines.warehouse.adoption import shapes
from kalshi_pipelines.warehouse.adoption.rows import (
    event,
    market,
    news_article,
    news_article_event,
    news_article_market,
    news_sentiment,
    portfolio_settlement,
    position,
    price_snapshot,
    settlement,
    tracked_item,
    trade,
)
from kalshi_pipelines.warehouse.adoption.shapes import LegacyTable
from kalshi_pipelines.warehouse.adoption.state import AdoptionState
from kalshi_pipelines.warehouse.adoption.values import Remarks
from kalshi_pipelines.warehouse.bulk import BulkWrite, Row
from kalshi_pipelines.warehouse.tables import (
    events,
    markets,
    news_article_events,
    news_article_markets,
    news_articles,
    news_sentiments,
    portfolio_settlements,
    positions,
    price_snapshots,
    settlements,
    tracked_items,
    trades,
)

Convert = Callable[[tuple[Any, ...], AdoptionState, Remarks], Row]


@dataclass(frozen=True)
class Conversion:
    """The conversion of one legacy table into one table of the warehouse.

    Attributes:
        table: The legacy table.
        write: The table and columns of the warehouse.
        convert: The function that converts one row.
    """

    table: LegacyTable
    write: BulkWrite
    convert: Convert


def _write(table: sa.Table, columns: str, on_conflict: Literal["keep", "refuse"] = "refuse") -> BulkWrite:
    return BulkWrite(table, tuple(columns.split()), on_conflict)


CONVERSIONS: Final = (
    Conversion(
        shapes.EVENTS,
        _write(
            events,
            "event_ticker is_placeholder series_ticker title category mutually_exclusive unknown_fields first_seen_us"
            " recorded_us ingest_run_id",
        ),
        event,
    ),
    Conversion(
        shapes.MARKETS,
        _write(
            markets,
            "ticker is_placeholder event_ticker title subtitle status result open_time_us close_time_us"
            " expiration_time_us unknown_fields first_seen_us recorded_us ingest_run_id",
        ),
        market,
    ),
    Conversion(
        shapes.PRICE_SNAPSHOTS,
        _write(
            price_snapshots,
            "price_snapshot_id ticker observed_us ingest_run_id yes_bid_microdollars yes_ask_microdollars"
            " no_bid_microdollars no_ask_microdollars last_price_microdollars volume_centicontracts"
            " open_interest_centicontracts volume_24h_centicontracts",
            on_conflict="keep",
        ),
        price_snapshot,
    ),
    Conversion(
        shapes.SETTLEMENTS,
        _write(
            settlements,
            "ticker event_ticker settled_us result final_yes_price_microdollars final_no_price_microdollars"
            " yes_payout_microdollars no_payout_microdollars recorded_us ingest_run_id",
        ),
        settlement,
    ),
    Conversion(
        shapes.POSITIONS,
        _write(
            positions,
            "position_id ticker subaccount side quantity_centicontracts average_cost_microdollars"
            " current_value_microdollars unrealized_pnl_microdollars realized_pnl_microdollars thesis_id opened_us"
            " closed_us recorded_us ingest_run_id",
        ),
        position,
    ),
    Conversion(
        shapes.TRADES,
        _write(
            trades,
            "fill_id ticker subaccount side action outcome_side book_side quantity_centicontracts"
            " yes_price_microdollars no_price_microdollars fee_microdollars position_id executed_us recorded_us"
            " ingest_run_id",
        ),
        trade,
    ),
    Conversion(
        shapes.PORTFOLIO_SETTLEMENTS,
        _write(
            portfolio_settlements,
            "portfolio_settlement_id ticker event_ticker subaccount market_result yes_count_centicontracts"
            " yes_total_cost_microdollars no_count_centicontracts no_total_cost_microdollars revenue_microdollars"
            " fee_microdollars value_microdollars settled_us recorded_us ingest_run_id",
        ),
        portfolio_settlement,
    ),
    Conversion(
        shapes.TRACKED_ITEMS,
        _write(
            tracked_items,
            "tracked_item_id ticker item_type search_queries is_active created_us last_collected_us ingest_run_id",
        ),
        tracked_item,
    ),
    Conversion(
        shapes.NEWS_ARTICLES,
        _write(
            news_articles,
            "news_article_id url title source_domain published_us collected_us text_snippet full_text exa_request_id"
            " ingest_run_id",
        ),
        news_article,
    ),
    Conversion(
        shapes.NEWS_ARTICLE_MARKETS, _write(news_article_markets, "news_article_id ticker"), news_article_market
    ),
    Conversion(
        shapes.NEWS_ARTICLE_EVENTS, _write(news_article_events, "news_article_id event_ticker"), news_article_event
    ),
    Conversion(
        shapes.NEWS_SENTIMENTS,
        _write(
            news_sentiments,
            "news_sentiment_id news_article_id analyzed_us score label confidence method keywords_matched"
            " ingest_run_id",
        ),
        news_sentiment,
    ),
)
