"""Tables of market data: series, events, markets, their current quotes and books, changes of both, and settlements.

A quote changes far more often than the facts of its market (titles, rules, strikes), so quotes have a table of their
own. Long texts that many markets share are stored once, in ``rule_texts``.
"""

from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.tables.columns import (
    MAX_PRICE_MICRODOLLARS,
    Digest,
    Flag,
    Integer,
    Text,
    flags,
    metadata,
    not_negative,
    one_of,
    prices,
    provenance,
    required,
)

MARKET_TYPES: Final = ("binary", "scalar")
MARKET_STATUSES: Final = (
    "initialized",
    "inactive",
    "active",
    "closed",
    "determined",
    "disputed",
    "amended",
    "finalized",
)
MARKET_RESULTS: Final = ("", "yes", "no", "scalar")
FEE_TYPES: Final = ("quadratic", "quadratic_with_maker_fees", "quadratic_with_combo_maker_fees", "flat")
SETTLEMENT_BOUNDS_TYPES: Final = ("default", "floor")

series = sa.Table(
    "series",
    metadata,
    sa.Column("ticker", Text, primary_key=True, nullable=False),
    sa.Column("record_digest", Digest),
    required("is_placeholder", Flag),
    sa.Column("title", Text),
    sa.Column("category", Text),
    sa.Column("categories", Text),
    sa.Column("tags", Text),
    sa.Column("frequency", Text),
    sa.Column("fee_type", Text),
    sa.Column("fee_multiplier", Text),
    sa.Column("settlement_sources", Text),
    sa.Column("contract_url", Text),
    sa.Column("contract_terms_url", Text),
    sa.Column("additional_prohibitions", Text),
    sa.Column("product_metadata", Text),
    sa.Column("volume_centicontracts", Integer),
    sa.Column("last_updated_us", Integer),
    sa.Column("exchange_index", Integer),
    *provenance(),
    sa.Column("missing_since_us", Integer),
    *flags("is_placeholder"),
    one_of("fee_type", FEE_TYPES),
    *not_negative("volume_centicontracts", "exchange_index"),
    sa.CheckConstraint("is_placeholder = (record_digest IS NULL)", name="placeholder_has_no_record"),
    sa.CheckConstraint(
        "record_digest IS NULL OR (title IS NOT NULL AND category IS NOT NULL AND frequency IS NOT NULL"
        " AND fee_type IS NOT NULL AND fee_multiplier IS NOT NULL)",
        name="complete_unless_placeholder",
    ),
    sqlite_strict=True,
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("event_ticker", Text, primary_key=True, nullable=False),
    sa.Column("record_digest", Digest),
    required("is_placeholder", Flag),
    sa.Column("series_ticker", Text, sa.ForeignKey("series.ticker"), index=True),
    sa.Column("title", Text),
    sa.Column("sub_title", Text),
    sa.Column("category", Text),
    sa.Column("collateral_return_type", Text),
    sa.Column("mutually_exclusive", Flag),
    sa.Column("strike_date_us", Integer),
    sa.Column("strike_period", Text),
    sa.Column("fee_type_override", Text),
    sa.Column("fee_multiplier_override", Text),
    sa.Column("settlement_sources", Text),
    sa.Column("product_metadata", Text),
    sa.Column("last_updated_us", Integer),
    sa.Column("exchange_index", Integer),
    *provenance(),
    sa.Column("missing_since_us", Integer),
    sa.Column("listed_us", Integer),
    # The last settlement of the markets that have left the warehouse.
    sa.Column("last_settlement_us", Integer),
    *flags("is_placeholder", "mutually_exclusive"),
    one_of("fee_type_override", FEE_TYPES),
    *not_negative("exchange_index"),
    sa.CheckConstraint("is_placeholder = (record_digest IS NULL)", name="placeholder_has_no_record"),
    sa.CheckConstraint(
        "record_digest IS NULL OR (series_ticker IS NOT NULL AND title IS NOT NULL AND sub_title IS NOT NULL"
        " AND collateral_return_type IS NOT NULL AND mutually_exclusive IS NOT NULL)",
        name="complete_unless_placeholder",
    ),
    sqlite_strict=True,
)

QUOTE_PRICES: Final = (
    "yes_bid_microdollars",
    "yes_ask_microdollars",
    "no_bid_microdollars",
    "no_ask_microdollars",
    "last_price_microdollars",
)
QUOTE_COUNTS: Final = (
    "yes_bid_size_centicontracts",
    "yes_ask_size_centicontracts",
    "volume_centicontracts",
    "open_interest_centicontracts",
)
#: Columns of a quote. A price snapshot is written when one of them differs from the stored quote of the market.
QUOTE: Final = (*QUOTE_PRICES, *QUOTE_COUNTS)
PREVIOUS_DAY_PRICES: Final = (
    "previous_yes_bid_microdollars",
    "previous_yes_ask_microdollars",
    "previous_price_microdollars",
)
MARKET_TIMES: Final = (
    "created_time_us",
    "updated_time_us",
    "open_time_us",
    "close_time_us",
    "latest_expiration_time_us",
)
MARKET_OPTIONAL_TIMES: Final = (
    "expiration_time_us",
    "expected_expiration_time_us",
    "occurrence_time_us",
    "settlement_time_us",
    "fee_waiver_expiration_time_us",
)

#: The texts of a market that are stored once in ``rule_texts``. ``markets`` has a column ``<text>_digest`` for each.
SHARED_TEXTS: Final = ("rules_secondary", "early_close_condition", "price_ranges")

#: Columns that every market record of the exchange fills. They may be NULL in a placeholder.
MARKET_FACTS: Final = (
    "event_ticker",
    "market_type",
    "status",
    "result",
    *MARKET_TIMES,
    "settlement_timer_seconds",
    "notional_value_microdollars",
    "can_close_early",
    "price_level_structure",
    "yes_sub_title",
    "no_sub_title",
    "expiration_value",
    "rules_primary",
    "rules_secondary_digest",
    "price_ranges_digest",
)

#: Texts that many markets share, each stored once. The key is the first 16 bytes of the SHA-256 of the UTF-8 text.
#: ``markets`` refers to the keys without a foreign key: without an index, a foreign key would search all markets for
#: each deleted text. A process that deletes unused texts must hold the work lock of the markets, so that no ingest adds
#: a market that refers to a text while the text is deleted.
rule_texts = sa.Table(
    "rule_texts",
    metadata,
    sa.Column("text_digest", Digest, primary_key=True, nullable=False),
    required("text", Text),
    # The table has row numbers, because a text of 1,000 bytes in the tree of the key would waste most of a page.
    sqlite_strict=True,
)

markets = sa.Table(
    "markets",
    metadata,
    sa.Column("ticker", Text, primary_key=True, nullable=False),
    # The digest of the record without its quote. It comes before the long texts, so that looking it up reads only one
    # database page.
    sa.Column("facts_digest", Digest),
    sa.Column("event_ticker", Text, sa.ForeignKey("events.event_ticker")),
    sa.Column("market_type", Text),
    sa.Column("status", Text),
    sa.Column("result", Text),
    *[sa.Column(name, Integer) for name in MARKET_TIMES],
    *[sa.Column(name, Integer) for name in MARKET_OPTIONAL_TIMES],
    sa.Column("settlement_timer_seconds", Integer),
    sa.Column("notional_value_microdollars", Integer),
    sa.Column("settlement_value_microdollars", Integer),
    sa.Column("settlement_bounds_type", Text),
    sa.Column("settlement_floor_microdollars", Integer),
    sa.Column("can_close_early", Flag),
    sa.Column("is_provisional", Flag),
    sa.Column("exchange_index", Integer),
    sa.Column("price_level_structure", Text),
    sa.Column("strike_type", Text),
    sa.Column("floor_strike", Text),
    sa.Column("cap_strike", Text),
    sa.Column("functional_strike", Text),
    sa.Column("custom_strike", Text),
    sa.Column("mve_collection_ticker", Text),
    sa.Column("mve_selected_legs", Text),
    sa.Column("primary_participant_key", Text),
    sa.Column("title", Text),
    sa.Column("subtitle", Text),
    sa.Column("yes_sub_title", Text),
    sa.Column("no_sub_title", Text),
    sa.Column("expiration_value", Text),
    sa.Column("rules_primary", Text),
    *provenance(),
    required("is_placeholder", Flag),
    *[sa.Column(f"{name}_digest", Digest) for name in SHARED_TEXTS],
    sa.Column("missing_since_us", Integer),
    sa.Index("ix_markets_event_ticker", "event_ticker"),
    sa.Index(
        "ix_markets_missing_since_us",
        "missing_since_us",
        sqlite_where=sa.text("missing_since_us IS NOT NULL"),
        postgresql_where=sa.text("missing_since_us IS NOT NULL"),
    ),
    # Finalized markets are nine in ten, and nobody looks them up by status.
    sa.Index(
        "ix_markets_status_close_time_us",
        "status",
        "close_time_us",
        sqlite_where=sa.text("status <> 'finalized'"),
        postgresql_where=sa.text("status <> 'finalized'"),
    ),
    sa.Index(
        "ix_markets_settlement_time_us",
        "settlement_time_us",
        sqlite_where=sa.text("settlement_time_us IS NOT NULL"),
        postgresql_where=sa.text("settlement_time_us IS NOT NULL"),
    ),
    one_of("market_type", MARKET_TYPES),
    one_of("status", MARKET_STATUSES),
    one_of("result", MARKET_RESULTS),
    one_of("settlement_bounds_type", SETTLEMENT_BOUNDS_TYPES),
    *prices("settlement_floor_microdollars"),
    *not_negative("settlement_timer_seconds", "exchange_index"),
    *not_negative("notional_value_microdollars", "settlement_value_microdollars"),
    *flags("can_close_early", "is_provisional", "is_placeholder"),
    sa.CheckConstraint("is_placeholder = (facts_digest IS NULL)", name="placeholder_has_no_record"),
    sa.CheckConstraint(
        "facts_digest IS NULL OR (" + " AND ".join(f"{name} IS NOT NULL" for name in MARKET_FACTS) + ")",
        name="complete_unless_placeholder",
    ),
    sqlite_strict=True,
)

#: The condition of the index of statuses. A query for other statuses must contain it without a parameter, or SQLite
#: does not know that the index has all rows the query wants.
UNSETTLED: Final = markets.c.status != sa.literal_column("'finalized'")

#: The newest quote of each market whose record was read. ``record_digest`` covers the whole record: a record with the
#: same digest is neither decoded nor stored again. The row is written each time the record changed.
quotes = sa.Table(
    "quotes",
    metadata,
    sa.Column("ticker", Text, sa.ForeignKey("markets.ticker"), primary_key=True, nullable=False),
    required("record_digest", Digest),
    *[required(name) for name in QUOTE],
    required("volume_24h_centicontracts"),
    *[required(name) for name in PREVIOUS_DAY_PRICES],
    required("observed_us"),
    required("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    *prices(*QUOTE_PRICES, *PREVIOUS_DAY_PRICES),
    *not_negative(*QUOTE_COUNTS, "volume_24h_centicontracts"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

#: Columns that may be unknown in quotes from a legacy database.
QUOTE_OPTIONAL: Final = ("last_price_microdollars", "yes_bid_size_centicontracts", "yes_ask_size_centicontracts")

price_snapshots = sa.Table(
    "price_snapshots",
    metadata,
    sa.Column("price_snapshot_id", Integer, primary_key=True, autoincrement=True),
    required("ticker", Text, sa.ForeignKey("markets.ticker")),
    required("observed_us"),
    required("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    *[required(name, nullable=name in QUOTE_OPTIONAL) for name in QUOTE],
    required("volume_24h_centicontracts"),
    sa.UniqueConstraint("ticker", "observed_us"),
    sa.Index("ix_price_snapshots_ingest_run_id_observed_us", "ingest_run_id", "observed_us"),
    *prices(*QUOTE_PRICES),
    *not_negative(*QUOTE_COUNTS, "volume_24h_centicontracts"),
    sqlite_strict=True,
)

BOOK_SIDES: Final = ("yes", "no")


def _book_columns() -> list[sa.Column[Any]]:
    return [
        column
        for side in BOOK_SIDES
        for column in (
            sa.Column(f"best_{side}_bid_microdollars", Integer),
            sa.Column(f"best_{side}_bid_size_centicontracts", Integer),
            required(f"{side}_depth_centicontracts"),
            required(f"{side}_levels", Text),
        )
    ]


def _book_checks() -> list[sa.CheckConstraint]:
    return [
        *prices(*[f"best_{side}_bid_microdollars" for side in BOOK_SIDES]),
        *not_negative(
            *[f"best_{side}_bid_size_centicontracts" for side in BOOK_SIDES],
            *[f"{side}_depth_centicontracts" for side in BOOK_SIDES],
        ),
        *[
            sa.CheckConstraint(
                f"(best_{side}_bid_microdollars IS NULL) = (best_{side}_bid_size_centicontracts IS NULL)",
                name=f"best_{side}_bid_has_a_size",
            )
            for side in BOOK_SIDES
        ],
    ]


#: The newest orderbook of each market. The digest comes first, so that looking it up does not read the levels.
orderbooks = sa.Table(
    "orderbooks",
    metadata,
    sa.Column("ticker", Text, sa.ForeignKey("markets.ticker"), primary_key=True, nullable=False),
    required("record_digest", Digest),
    required("observed_us"),
    required("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    *_book_columns(),
    sa.Column("unknown_fields", Text),
    *_book_checks(),
    sqlite_strict=True,
)

orderbook_snapshots = sa.Table(
    "orderbook_snapshots",
    metadata,
    sa.Column("orderbook_snapshot_id", Integer, primary_key=True, autoincrement=True),
    required("ticker", Text, sa.ForeignKey("markets.ticker")),
    required("observed_us"),
    required("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    required("record_digest", Digest),
    *_book_columns(),
    sa.Column("unknown_fields", Text),
    sa.UniqueConstraint("ticker", "observed_us"),
    sa.Index("ix_orderbook_snapshots_ingest_run_id", "ingest_run_id"),
    *_book_checks(),
    sqlite_strict=True,
)

SETTLEMENT_RESULTS: Final = ("yes", "no", "scalar", "void")

settlements = sa.Table(
    "settlements",
    metadata,
    sa.Column("ticker", Text, sa.ForeignKey("markets.ticker"), primary_key=True, nullable=False),
    required("event_ticker", Text),
    required("settled_us"),
    required("result", Text),
    sa.Column("final_yes_price_microdollars", Integer),
    sa.Column("final_no_price_microdollars", Integer),
    sa.Column("yes_payout_microdollars", Integer),
    sa.Column("no_payout_microdollars", Integer),
    required("recorded_us"),
    required("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    # The partition of the lake that has the market's record, as days since 1970, and the time of that record.
    sa.Column("archived_day", Integer),
    sa.Column("archived_us", Integer),
    sa.Index(
        "ix_settlements_not_archived",
        "settled_us",
        sqlite_where=sa.text("archived_us IS NULL"),
        postgresql_where=sa.text("archived_us IS NULL"),
    ),
    sa.CheckConstraint("event_ticker <> ''", name="event_ticker"),
    one_of("result", SETTLEMENT_RESULTS),
    *prices("final_yes_price_microdollars", "final_no_price_microdollars"),
    *prices("yes_payout_microdollars", "no_payout_microdollars"),
    sa.CheckConstraint(
        f"yes_payout_microdollars + no_payout_microdollars = {MAX_PRICE_MICRODOLLARS}", name="payouts_make_one_dollar"
    ),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
