"""Legal rows of each table: one fixed row, and any number of variants with other keys."""

from typing import Any

import sqlalchemy as sa

from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import writing

#: The run that all rows refer to. A new database gives it the number 1.
RUN: dict[str, Any] = {
    "subject": "markets",
    "environment": "sandbox",
    "status": "running",
    "started_us": 1,
    "pages": 0,
    "records_read": 0,
    "records_written": 0,
    "records_unchanged": 0,
    "records_rejected": 0,
    "history_rows": 0,
}
PROVENANCE: dict[str, Any] = {"first_seen_us": 1, "recorded_us": 1, "ingest_run_id": 1}
SERIES: dict[str, Any] = {
    "ticker": "KXMLBGAME",
    "record_digest": b"1",
    "is_placeholder": False,
    "title": "Baseball games",
    "category": "Sports",
    "frequency": "daily",
    "fee_type": "quadratic",
    "fee_multiplier": "0.5",
    **PROVENANCE,
}
EVENT: dict[str, Any] = {
    "event_ticker": "KXMLBGAME-26NOV22",
    "record_digest": b"1",
    "is_placeholder": False,
    "series_ticker": "KXMLBGAME",
    "title": "Toronto at Philadelphia",
    "sub_title": "Nov 22",
    "collateral_return_type": "MECNET",
    "mutually_exclusive": True,
    **PROVENANCE,
}
QUOTE: dict[str, Any] = {
    "yes_bid_microdollars": 570_000,
    "yes_ask_microdollars": 580_000,
    "no_bid_microdollars": 420_000,
    "no_ask_microdollars": 430_000,
    "last_price_microdollars": 575_000,
    "yes_bid_size_centicontracts": 34_349,
    "yes_ask_size_centicontracts": 100,
    "volume_centicontracts": 1,
    "open_interest_centicontracts": 0,
    "volume_24h_centicontracts": 0,
}
RULE_TEXT: dict[str, Any] = {"text_digest": b"0123456789abcdef", "text": "The game counts once it is over."}
MARKET: dict[str, Any] = {
    "ticker": "KXMLBGAME-26NOV22-TOR",
    "facts_digest": b"1",
    "event_ticker": "KXMLBGAME-26NOV22",
    "market_type": "binary",
    "status": "active",
    "result": "",
    **dict.fromkeys(tables.MARKET_TIMES, 1),
    "settlement_timer_seconds": 60,
    "notional_value_microdollars": 1_000_000,
    "can_close_early": True,
    "price_level_structure": "linear_cent",
    "yes_sub_title": "Toronto",
    "no_sub_title": "Toronto",
    "expiration_value": "",
    "rules_primary": "",
    "is_placeholder": False,
    **PROVENANCE,
    "rules_secondary_digest": RULE_TEXT["text_digest"],
    "price_ranges_digest": RULE_TEXT["text_digest"],
}
PREVIOUS_DAY: dict[str, Any] = dict.fromkeys(tables.PREVIOUS_DAY_PRICES, 0)
#: The columns that markets had before migration 0014 moved quotes and shared texts to tables of their own.
MARKET_BEFORE_0014: dict[str, Any] = {
    "record_digest": b"1",
    **QUOTE,
    **PREVIOUS_DAY,
    "rules_secondary": "",
    "price_ranges": "[]",
}
PRICE_SNAPSHOT: dict[str, Any] = {"ticker": MARKET["ticker"], "observed_us": 1, "ingest_run_id": 1, **QUOTE}
STORED_QUOTE: dict[str, Any] = {
    "ticker": MARKET["ticker"],
    "record_digest": b"1",
    **QUOTE,
    **PREVIOUS_DAY,
    "observed_us": 1,
    "ingest_run_id": 1,
}
ORDERBOOK_SNAPSHOT: dict[str, Any] = {
    "ticker": MARKET["ticker"],
    "observed_us": 1,
    "ingest_run_id": 1,
    "record_digest": b"1",
    "best_yes_bid_microdollars": 570_000,
    "best_yes_bid_size_centicontracts": 34_349,
    "yes_depth_centicontracts": 34_349,
    "yes_levels": "[[570000,34349]]",
    "best_no_bid_microdollars": None,
    "best_no_bid_size_centicontracts": None,
    "no_depth_centicontracts": 0,
    "no_levels": "[]",
}
OWN_RECORD: dict[str, Any] = {"recorded_us": 1, "ingest_run_id": 1}
BALANCE: dict[str, Any] = {"subaccount": 0, "balance_microdollars": 1_000_000, "observed_us": 1, **OWN_RECORD}
POSITION: dict[str, Any] = {
    "ticker": MARKET["ticker"],
    "subaccount": 0,
    "side": "yes",
    "quantity_centicontracts": 500,
    "average_cost_microdollars": 570_000,
    "realized_pnl_microdollars": -1,
    **OWN_RECORD,
}
TRADE: dict[str, Any] = {
    "fill_id": "fill",
    "ticker": MARKET["ticker"],
    "subaccount": 0,
    "side": "yes",
    "action": "buy",
    "outcome_side": "yes",
    "book_side": "bid",
    "quantity_centicontracts": 500,
    "yes_price_microdollars": 570_000,
    "no_price_microdollars": 430_000,
    "fee_microdollars": 20_000,
    "is_taker": True,
    "position_id": 1,
    "executed_us": 1,
    **OWN_RECORD,
}
PORTFOLIO_SETTLEMENT: dict[str, Any] = {
    "ticker": MARKET["ticker"],
    "event_ticker": MARKET["event_ticker"],
    "subaccount": 0,
    "market_result": "yes",
    "yes_count_centicontracts": 500,
    "yes_total_cost_microdollars": 2_850_000,
    "no_count_centicontracts": 0,
    "no_total_cost_microdollars": 0,
    "revenue_microdollars": 5_000_000,
    "fee_microdollars": 0,
    "settled_us": 1,
    **OWN_RECORD,
}
LEGAL: dict[sa.Table, dict[str, Any]] = {
    tables.ingest_runs: RUN,
    tables.series: SERIES,
    tables.events: EVENT,
    tables.rule_texts: RULE_TEXT,
    tables.markets: MARKET,
    tables.quotes: STORED_QUOTE,
    tables.orderbooks: ORDERBOOK_SNAPSHOT,
    tables.price_snapshots: PRICE_SNAPSHOT,
    tables.orderbook_snapshots: ORDERBOOK_SNAPSHOT,
    tables.watermarks: {"name": "markets.settlement_time", "position_us": 1, "ingest_run_id": 1},
    tables.list_reads: {
        "list_name": "GET /markets status=open",
        "subject": "markets",
        "records": 956,
        "read_us": 2,
        "problem": "956 records at the last complete read, 106 now.",
        "complete_records": 956,
        "complete_us": 1,
        "position": None,
        "ingest_run_id": 1,
    },
    tables.quarantine: {
        "subject": "markets",
        "record_key": "X",
        "reason": "because",
        "payload": "{}",
        "payload_digest": b"1",
        "first_quarantined_us": 1,
        "quarantined_us": 1,
        "ingest_run_id": 1,
    },
    tables.rate_budgets: {"budget_key": "anonymous", "bucket": "read", "theoretical_arrival_us": 1},
    tables.balances: BALANCE,
    tables.positions: POSITION,
    tables.trades: TRADE,
    tables.portfolio_settlements: PORTFOLIO_SETTLEMENT,
    tables.settlements: {
        "ticker": MARKET["ticker"],
        "event_ticker": MARKET["event_ticker"],
        "settled_us": 1,
        "result": "yes",
        "final_yes_price_microdollars": 990_000,
        "final_no_price_microdollars": 10_000,
        "yes_payout_microdollars": 1_000_000,
        "no_payout_microdollars": 0,
        **OWN_RECORD,
    },
    tables.history_moves: {
        "dataset": "price_history",
        "last_ingest_run_id": 1,
        "rows_before": 3,
        "rows_removed": 2,
        "rows_kept": 1,
        "finished_us": 1,
    },
    tables.superseded_files: {
        "path": "price_history/date=2026-11-22/run-1.parquet",
        "rows": 3,
        "rows_not_in_warehouse": 1,
        "set_aside_us": 1,
    },
    tables.tracked_items: {
        "ticker": MARKET["ticker"],
        "item_type": "market",
        "search_queries": '["Toronto baseball"]',
        "is_active": True,
        "created_us": 1,
        "ingest_run_id": 1,
    },
    tables.news_articles: {
        "url": "https://news.example/toronto",
        "title": "Toronto wins",
        "source_domain": "news.example",
        "collected_us": 1,
        "ingest_run_id": 1,
    },
    tables.news_article_markets: {"news_article_id": 1, "ticker": MARKET["ticker"]},
    tables.news_article_events: {"news_article_id": 1, "event_ticker": EVENT["event_ticker"]},
    tables.news_sentiments: {
        "news_article_id": 1,
        "analyzed_us": 1,
        "score": 0.5,
        "label": "positive",
        "confidence": 1.0,
        "method": "keywords",
        "keywords_matched": '["wins"]',
        "ingest_run_id": 1,
    },
    tables.news_article_sources: {
        "news_article_id": 1,
        "provider": "exa",
        "url": "https://news.example/toronto?utm_source=exa",
        "provider_article_id": "https://news.example/toronto",
        "request_id": "0123",
        "found_us": 1,
        "ingest_run_id": 1,
    },
    tables.news_finds: {
        "item_type": "market",
        "ticker": MARKET["ticker"],
        "news_article_id": 1,
        "provider": "exa",
        "query": "Toronto",
        "rank": 1,
        "found_us": 1,
        "ingest_run_id": 1,
    },
    tables.news_sentiment_windows: {
        "item_type": "market",
        "ticker": MARKET["ticker"],
        "days": 7,
        "until_us": 1,
        "articles": 3,
        "stories": 2,
        "positive": 1,
        "neutral": 0,
        "negative": 1,
        "without_published_time": 0,
        "mean_score": 0.25,
        "weighted_score": 0.5,
        "weight": 1.5,
        "previous_weighted_score": -0.5,
        "method": "lexicon 1",
        "computed_us": 1,
        "ingest_run_id": 1,
    },
    tables.adoption_counts: {
        "ingest_run_id": 1,
        "table_name": "markets",
        "rows_read": 3,
        "rows_kept": 1,
        "rows_normalised": 1,
        "rows_quarantined": 1,
    },
    tables.adoption_notes: {
        "ingest_run_id": 1,
        "table_name": "markets",
        "row_key": "X",
        "outcome": "normalised",
        "reason": "because",
        "original_values": "{}",
    },
    tables.contract_runs: {
        "environment": "sandbox",
        "source": "probes",
        "status": "running",
        "started_us": 1,
        **dict.fromkeys((f"endpoints_{outcome}" for outcome in tables.ENDPOINT_OUTCOMES), 0),
        "findings_opened": 0,
        "findings_closed": 0,
    },
    tables.contract_endpoints: {
        "environment": "sandbox",
        "endpoint": "GET /markets",
        "last_outcome": "checked",
        "last_attempted_us": 1,
        "last_checked_us": 1,
        "failures": 0,
        "contract_run_id": 1,
    },
    tables.contract_baselines: {
        "environment": "sandbox",
        "endpoint": "GET /markets",
        "baseline": "{}",
        "observations": 1,
        "first_observed_us": 1,
        "last_observed_us": 1,
        "contract_run_id": 1,
    },
    tables.contract_findings: {
        "environment": "sandbox",
        "endpoint": "GET /markets",
        "place": "markets[].yes_bid_dollars",
        "kind": "key_missing",
        "severity": "breaking",
        "status": "open",
        "before": "in 1,000 of 1,000",
        "after": "in none",
        "example": "KXMLBGAME-26NOV22-TOR",
        "advice": "Stop trading on quotes.",
        "assets": '["markets"]',
        "fingerprint": "0123456789abcdef",
        "seen_by": "probes",
        "openings": 1,
        "absences": 0,
        "first_seen_us": 1,
        "last_seen_us": 1,
        "opened_us": 1,
        "contract_run_id": 1,
    },
    tables.contract_finding_events: {
        "finding_id": 1,
        "event": "opened",
        "at_us": 1,
        "after": "in none",
        "contract_run_id": 1,
    },
    tables.vendor_documents: {"document": "openapi.yaml", "sha256": "0" * 64, "digest": "{}", "accepted_us": 1},
    tables.vendor_spending: {
        "spending_id": 1,
        "vendor": "api.exa.ai",
        "purpose": "news",
        "ingest_run_id": 1,
        "at_us": 1,
        "reserved_microdollars": 10_000,
        "spent_microdollars": 7_000,
    },
    tables.alerts: {
        "message_key": "finding:1",
        "origin": "finding",
        "severity": "breaking",
        "finding_id": 1,
        "title": "Breaking: GET /markets",
        "body": "markets[].yes_bid_dollars is missing.",
        "state": "pending",
        "created_us": 1,
    },
    tables.alert_deliveries: {
        "alert_id": 1,
        "channel": "json-0123abcd",
        "state": "pending",
        "attempts": 0,
        "next_attempt_us": 1,
    },
    tables.warehouse_identity: {"warehouse_id": "0" * 32, "environment": "sandbox", "created_us": 1},
    tables.lake_files: {
        "dataset": "price_history",
        "partition_date": "2026-11-22",
        "slot": "day",
        "path": "price_history/date=2026-11-22/2026-11-22.parquet",
        "status": "open",
        "rows": 1,
        "bytes": 1_000,
        "first_us": 1,
        "last_us": 1,
        "sums": '{"yes_bid":570000}',
        "sha256": "0" * 64,
        "source": "run 1",
        "published_us": 1,
    },
    tables.fee_changes: {
        "scope": "event",
        "ticker": "KXMLBGAME-26SEP271510CLEKC",
        "change_id": "2f6d",
        "recorded_us": 2,
        "series_ticker": "KXMLBGAME",
        "effective_us": 3,
        "fee_type": "quadratic_with_maker_fees",
        "fee_multiplier": "1",
        "source": "scheduled",
    },
    tables.history_partitions: {
        "dataset": "public_trades",
        "partition_date": "2026-11-22",
        "status": "open",
        "rows": 1,
        "holes": 1,
        "read_from_us": 1,
        "read_until_us": 2,
        "read_us": 3,
        "proof": "missing",
        "checked_us": 4,
        "figures": "{}",
    },
    tables.history_residuals: {
        "dataset": "public_trades",
        "partition_date": "2026-11-22",
        "ticker": MARKET["ticker"],
        "kind": "volume",
        "state": "missing",
        "expected": "2.00",
        "found": "1.00",
        "first_seen_us": 4,
    },
    tables.history_windows: {
        "dataset": "public_trades",
        "partition_date": "2026-11-22",
        "start_us": 1,
        "end_us": 2,
        "state": "hole",
        "source": "live",
        "rows": 0,
        "read_us": 3,
        "problem": "The exchange answered 500.",
    },
}

# The column whose value differs between variants of a row. Row numbers from the database differ as well.
_DISTINGUISHED_BY = {
    tables.series: "ticker",
    tables.events: "event_ticker",
    tables.rule_texts: "text_digest",
    tables.markets: "ticker",
    tables.quotes: "ticker",
    tables.orderbooks: "ticker",
    tables.price_snapshots: "observed_us",
    tables.orderbook_snapshots: "observed_us",
    tables.watermarks: "name",
    tables.list_reads: "list_name",
    tables.quarantine: "record_key",
    tables.rate_budgets: "budget_key",
    tables.balances: "observed_us",
    tables.positions: "subaccount",
    tables.trades: "fill_id",
    tables.portfolio_settlements: "settled_us",
    tables.settlements: "ticker",
    tables.history_moves: "dataset",
    tables.superseded_files: "path",
    tables.tracked_items: "ticker",
    tables.news_articles: "url",
    tables.news_article_markets: "ticker",
    tables.news_article_events: "event_ticker",
    tables.news_sentiments: "analyzed_us",
    tables.news_article_sources: "provider",
    tables.news_finds: "ticker",
    tables.news_sentiment_windows: "ticker",
    tables.adoption_counts: "table_name",
    tables.adoption_notes: "row_key",
    tables.contract_endpoints: "endpoint",
    tables.contract_baselines: "endpoint",
    tables.contract_findings: "endpoint",
    tables.vendor_documents: "document",
    tables.alerts: "message_key",
    tables.alert_deliveries: "channel",
    tables.history_residuals: "ticker",
    tables.fee_changes: "change_id",
}


def numbered(table: sa.Table, number: int) -> dict[str, Any]:
    """Return a numbered variant of the legal row of a table. Variants share no key, and number 0 is the row of `LEGAL`.

    If the key refers to a row of another table, the variant of that row with the same number must be stored.
    """
    row = dict(LEGAL[table])
    if table.autoincrement_column is not None:
        row[table.autoincrement_column.name] = number + 1
    name = _DISTINGUISHED_BY.get(table)
    if name == "table_name":
        row[name] = ["markets", *(other for other in tables.LEGACY_TABLES if other != "markets")][number]
    elif table is tables.warehouse_identity:
        row["warehouse_id"] = f"{number:032}"  # the length is fixed
    elif table is tables.lake_files:
        row |= {"slot": tables.LAKE_SLOTS[number], "path": f"{row['path']}-{number}"}
    elif table is tables.history_partitions:
        row["partition_date"] = f"2026-11-{22 + number}"  # the length is fixed
    elif table is tables.history_windows:
        row |= {"start_us": number + 1, "end_us": number + 2}
    elif name and number:
        row[name] = _other_key(row[name], number)
    return row


def _other_key(key: Any, number: int) -> Any:
    if isinstance(key, bytes):
        return key + b"-%d" % number
    return key + number if isinstance(key, int) else f"{key}-{number}"


def fill(engine: sa.Engine, before: sa.Table | None = None) -> None:
    """Insert one legal row into every table, parents first. Stop before the table ``before`` if it is given."""
    with writing(engine) as connection:
        for table, row in LEGAL.items():
            if table is before:
                return
            connection.execute(sa.insert(table), row)
