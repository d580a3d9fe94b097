"""The tables of the warehouse as SQLAlchemy describes them, with the constraints that keep illegal rows out.

Column names carry their unit: ``*_microdollars`` (1e-6 dollar), ``*_centicontracts`` (1e-2 contract), ``*_us``
(microseconds since 1970 UTC). Prices are YES prices unless the name says ``no_``. Objects the vendor leaves open
(price ranges, strikes of custom markets, tags ...) are kept as the JSON text that was received.

Only migrations create or change a table; a test compares them with this description.
"""

from collections.abc import Iterable
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# STRICT tables of SQLite know INTEGER, TEXT and BLOB only.
Integer: Final = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
Flag: Final = sa.Boolean().with_variant(sqlite.INTEGER(), "sqlite")
Text: Final = sa.Text()
Digest: Final = sa.LargeBinary()

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
RUN_STATUSES: Final = ("running", "succeeded", "failed")
ENVIRONMENTS: Final = ("sandbox", "demo", "prod")
SUBJECTS: Final = ("series", "events", "markets", "orderbooks")

MAX_PRICE_MICRODOLLARS: Final = 1_000_000


def one_of(column: str, values: Iterable[str], name: str | None = None) -> sa.CheckConstraint:
    """A CHECK that a column holds one of a closed vocabulary (or NULL where the column allows it)."""
    accepted = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({accepted})", name=name or column)


def between(column: str, low: int, high: int) -> sa.CheckConstraint:
    """A CHECK that an integer column lies in a closed range."""
    return sa.CheckConstraint(f"{column} BETWEEN {low} AND {high}", name=column)


def not_negative(*columns: str) -> list[sa.CheckConstraint]:
    """CHECKs that integer columns are zero or more."""
    return [sa.CheckConstraint(f"{column} >= 0", name=column) for column in columns]


def prices(*columns: str) -> list[sa.CheckConstraint]:
    """CHECKs that columns are prices: micro-dollars from 0 to 1 dollar."""
    return [between(column, 0, MAX_PRICE_MICRODOLLARS) for column in columns]


def flags(*columns: str) -> list[Any]:
    """CHECKs that flag columns are 0 or 1, where the database has no boolean of its own."""
    return [sa.CheckConstraint(f"{column} IN (0, 1)", name=column).ddl_if(dialect="sqlite") for column in columns]


def _column(name: str, type_: Any = Integer, *args: Any, nullable: bool = False) -> sa.Column[Any]:  # noqa: ANN401
    return sa.Column(name, type_, *args, nullable=nullable)


def _provenance() -> list[sa.Column[Any]]:
    return [
        sa.Column("unknown_fields", Text),
        _column("first_seen_us"),
        _column("recorded_us"),
        _column("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    ]


ingest_runs = sa.Table(
    "ingest_runs",
    metadata,
    sa.Column("ingest_run_id", Integer, primary_key=True, autoincrement=True),
    _column("subject", Text),
    _column("environment", Text),
    sa.Column("dagster_run_id", Text),
    _column("status", Text),
    _column("started_us"),
    sa.Column("finished_us", Integer),
    *[_column(name) for name in ("pages", "records_read", "records_written", "records_unchanged", "records_rejected")],
    _column("history_rows"),
    sa.Column("exported_us", Integer),
    sa.Column("error", Text),
    one_of("subject", SUBJECTS),
    one_of("environment", ENVIRONMENTS),
    one_of("status", RUN_STATUSES),
    *not_negative("pages", "records_read", "records_written", "records_unchanged", "records_rejected", "history_rows"),
    sa.CheckConstraint(
        "records_read = records_written + records_unchanged + records_rejected", name="every_record_accounted_for"
    ),
    sa.CheckConstraint("(status = 'running') = (finished_us IS NULL)", name="finished"),
    sqlite_strict=True,
)

watermarks = sa.Table(
    "watermarks",
    metadata,
    sa.Column("name", Text, primary_key=True, nullable=False),
    _column("position_us"),
    _column("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    sqlite_strict=True,
)

quarantine = sa.Table(
    "quarantine",
    metadata,
    sa.Column("subject", Text, primary_key=True, nullable=False),
    sa.Column("record_key", Text, primary_key=True, nullable=False),
    _column("reason", Text),
    _column("payload", Text),
    _column("payload_digest", Digest),
    _column("first_quarantined_us"),
    _column("quarantined_us"),
    sa.Column("resolved_us", Integer),
    _column("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    one_of("subject", SUBJECTS),
    sqlite_strict=True,
)

rate_budgets = sa.Table(
    "rate_budgets",
    metadata,
    sa.Column("budget_key", Text, primary_key=True, nullable=False),
    sa.Column("bucket", Text, primary_key=True, nullable=False),
    _column("theoretical_arrival_us"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

series = sa.Table(
    "series",
    metadata,
    sa.Column("ticker", Text, primary_key=True, nullable=False),
    sa.Column("record_digest", Digest),
    _column("is_placeholder", Flag),
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
    *_provenance(),
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
    _column("is_placeholder", Flag),
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
    *_provenance(),
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
#: A price snapshot is written when one of these differs from the market's stored row.
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

markets = sa.Table(
    "markets",
    metadata,
    sa.Column("ticker", Text, primary_key=True, nullable=False),
    # The digest and the quote stand before the long texts, so that looking them up reads one database page.
    _column("record_digest", Digest),
    *[_column(name) for name in QUOTE],
    _column("volume_24h_centicontracts"),
    *[_column(name) for name in PREVIOUS_DAY_PRICES],
    _column("event_ticker", Text, sa.ForeignKey("events.event_ticker")),
    _column("market_type", Text),
    _column("status", Text),
    _column("result", Text),
    *[_column(name) for name in MARKET_TIMES],
    *[sa.Column(name, Integer) for name in MARKET_OPTIONAL_TIMES],
    _column("settlement_timer_seconds"),
    _column("notional_value_microdollars"),
    sa.Column("settlement_value_microdollars", Integer),
    sa.Column("settlement_bounds_type", Text),
    sa.Column("settlement_floor_microdollars", Integer),
    _column("can_close_early", Flag),
    sa.Column("is_provisional", Flag),
    sa.Column("exchange_index", Integer),
    _column("price_level_structure", Text),
    _column("price_ranges", Text),
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
    _column("yes_sub_title", Text),
    _column("no_sub_title", Text),
    _column("expiration_value", Text),
    sa.Column("early_close_condition", Text),
    _column("rules_primary", Text),
    _column("rules_secondary", Text),
    *_provenance(),
    sa.Index("ix_markets_event_ticker", "event_ticker"),
    sa.Index("ix_markets_status_close_time_us", "status", "close_time_us"),
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
    *prices(*QUOTE_PRICES, *PREVIOUS_DAY_PRICES, "settlement_floor_microdollars"),
    *not_negative(*QUOTE_COUNTS, "volume_24h_centicontracts", "settlement_timer_seconds", "exchange_index"),
    *not_negative("notional_value_microdollars", "settlement_value_microdollars"),
    *flags("can_close_early", "is_provisional"),
    sqlite_strict=True,
)

price_snapshots = sa.Table(
    "price_snapshots",
    metadata,
    sa.Column("price_snapshot_id", Integer, primary_key=True, autoincrement=True),
    _column("ticker", Text, sa.ForeignKey("markets.ticker")),
    _column("observed_us"),
    _column("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    *[_column(name) for name in QUOTE],
    _column("volume_24h_centicontracts"),
    sa.UniqueConstraint("ticker", "observed_us"),
    sa.Index("ix_price_snapshots_ingest_run_id", "ingest_run_id"),
    *prices(*QUOTE_PRICES),
    *not_negative(*QUOTE_COUNTS, "volume_24h_centicontracts"),
    sqlite_strict=True,
)

BOOK_SIDES: Final = ("yes", "no")

orderbook_snapshots = sa.Table(
    "orderbook_snapshots",
    metadata,
    sa.Column("orderbook_snapshot_id", Integer, primary_key=True, autoincrement=True),
    _column("ticker", Text, sa.ForeignKey("markets.ticker")),
    _column("observed_us"),
    _column("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    _column("record_digest", Digest),
    *[
        column
        for side in BOOK_SIDES
        for column in (
            sa.Column(f"best_{side}_bid_microdollars", Integer),
            sa.Column(f"best_{side}_bid_size_centicontracts", Integer),
            _column(f"{side}_depth_centicontracts"),
            _column(f"{side}_levels", Text),
        )
    ],
    sa.Column("unknown_fields", Text),
    sa.UniqueConstraint("ticker", "observed_us"),
    sa.Index("ix_orderbook_snapshots_ingest_run_id", "ingest_run_id"),
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
    sqlite_strict=True,
)
