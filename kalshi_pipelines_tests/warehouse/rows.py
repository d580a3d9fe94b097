"""Legal rows of each table, for tests that then make one column illegal."""

from typing import Any

import sqlalchemy as sa

from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import writing

RUN: dict[str, Any] = {
    "ingest_run_id": 1,
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
MARKET: dict[str, Any] = {
    "ticker": "KXMLBGAME-26NOV22-TOR",
    "record_digest": b"1",
    **QUOTE,
    "previous_yes_bid_microdollars": 0,
    "previous_yes_ask_microdollars": 0,
    "previous_price_microdollars": 0,
    "event_ticker": "KXMLBGAME-26NOV22",
    "market_type": "binary",
    "status": "active",
    "result": "",
    **dict.fromkeys(tables.MARKET_TIMES, 1),
    "settlement_timer_seconds": 60,
    "notional_value_microdollars": 1_000_000,
    "can_close_early": True,
    "price_level_structure": "linear_cent",
    "price_ranges": "[]",
    "yes_sub_title": "Toronto",
    "no_sub_title": "Toronto",
    "expiration_value": "",
    "rules_primary": "",
    "rules_secondary": "",
    "is_placeholder": False,
    **PROVENANCE,
}
PRICE_SNAPSHOT: dict[str, Any] = {"ticker": MARKET["ticker"], "observed_us": 1, "ingest_run_id": 1, **QUOTE}
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
LEGAL: dict[sa.Table, dict[str, Any]] = {
    tables.ingest_runs: RUN,
    tables.series: SERIES,
    tables.events: EVENT,
    tables.markets: MARKET,
    tables.price_snapshots: PRICE_SNAPSHOT,
    tables.orderbook_snapshots: ORDERBOOK_SNAPSHOT,
    tables.watermarks: {"name": "markets.settlement_time", "position_us": 1, "ingest_run_id": 1},
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
}


def fill(engine: sa.Engine, before: sa.Table | None = None) -> None:
    """One legal row in every table, or in those that stand before one (parents stand before their children)."""
    with writing(engine) as connection:
        for table, row in LEGAL.items():
            if table is before:
                return
            connection.execute(sa.insert(table), row)
