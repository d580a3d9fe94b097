"""Create tables of series, events, and markets with their current quotes."""

import sqlalchemy as sa
from alembic import op

from kalshi_pipelines.warehouse.migration_steps import refuse_to_lose

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
Flag = sa.Boolean().with_variant(sa.INTEGER(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "series",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("record_digest", sa.LargeBinary(), nullable=True),
        sa.Column("is_placeholder", Flag, nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("categories", sa.Text(), nullable=True),
        sa.Column("tags", sa.Text(), nullable=True),
        sa.Column("frequency", sa.Text(), nullable=True),
        sa.Column("fee_type", sa.Text(), nullable=True),
        sa.Column("fee_multiplier", sa.Text(), nullable=True),
        sa.Column("settlement_sources", sa.Text(), nullable=True),
        sa.Column("contract_url", sa.Text(), nullable=True),
        sa.Column("contract_terms_url", sa.Text(), nullable=True),
        sa.Column("additional_prohibitions", sa.Text(), nullable=True),
        sa.Column("product_metadata", sa.Text(), nullable=True),
        sa.Column("volume_centicontracts", Integer, nullable=True),
        sa.Column("last_updated_us", Integer, nullable=True),
        sa.Column("exchange_index", Integer, nullable=True),
        sa.Column("unknown_fields", sa.Text(), nullable=True),
        sa.Column("first_seen_us", Integer, nullable=False),
        sa.Column("recorded_us", Integer, nullable=False),
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.CheckConstraint(
            "fee_type IN ('quadratic', 'quadratic_with_maker_fees', 'quadratic_with_combo_maker_fees', 'flat')",
            name=op.f("ck_series_fee_type"),
        ),
        sa.CheckConstraint("exchange_index >= 0", name=op.f("ck_series_exchange_index")),
        sa.CheckConstraint(
            "is_placeholder = (record_digest IS NULL)", name=op.f("ck_series_placeholder_has_no_record")
        ),
        sa.CheckConstraint("is_placeholder IN (0, 1)", name=op.f("ck_series_is_placeholder")).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "record_digest IS NULL OR (title IS NOT NULL AND category IS NOT NULL AND frequency IS NOT NULL AND fee_type IS NOT NULL AND fee_multiplier IS NOT NULL)",
            name=op.f("ck_series_complete_unless_placeholder"),
        ),
        sa.CheckConstraint("volume_centicontracts >= 0", name=op.f("ck_series_volume_centicontracts")),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f("fk_series_ingest_run_id_ingest_runs")
        ),
        sa.PrimaryKeyConstraint("ticker", name=op.f("pk_series")),
        sqlite_strict=True,
    )
    op.create_table(
        "events",
        sa.Column("event_ticker", sa.Text(), nullable=False),
        sa.Column("record_digest", sa.LargeBinary(), nullable=True),
        sa.Column("is_placeholder", Flag, nullable=False),
        sa.Column("series_ticker", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("sub_title", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("collateral_return_type", sa.Text(), nullable=True),
        sa.Column("mutually_exclusive", Flag, nullable=True),
        sa.Column("strike_date_us", Integer, nullable=True),
        sa.Column("strike_period", sa.Text(), nullable=True),
        sa.Column("fee_type_override", sa.Text(), nullable=True),
        sa.Column("fee_multiplier_override", sa.Text(), nullable=True),
        sa.Column("settlement_sources", sa.Text(), nullable=True),
        sa.Column("product_metadata", sa.Text(), nullable=True),
        sa.Column("last_updated_us", Integer, nullable=True),
        sa.Column("exchange_index", Integer, nullable=True),
        sa.Column("unknown_fields", sa.Text(), nullable=True),
        sa.Column("first_seen_us", Integer, nullable=False),
        sa.Column("recorded_us", Integer, nullable=False),
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.CheckConstraint(
            "fee_type_override IN ('quadratic', 'quadratic_with_maker_fees', 'quadratic_with_combo_maker_fees', 'flat')",
            name=op.f("ck_events_fee_type_override"),
        ),
        sa.CheckConstraint("exchange_index >= 0", name=op.f("ck_events_exchange_index")),
        sa.CheckConstraint(
            "is_placeholder = (record_digest IS NULL)", name=op.f("ck_events_placeholder_has_no_record")
        ),
        sa.CheckConstraint("is_placeholder IN (0, 1)", name=op.f("ck_events_is_placeholder")).ddl_if(dialect="sqlite"),
        sa.CheckConstraint("mutually_exclusive IN (0, 1)", name=op.f("ck_events_mutually_exclusive")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint(
            "record_digest IS NULL OR (series_ticker IS NOT NULL AND title IS NOT NULL AND sub_title IS NOT NULL AND collateral_return_type IS NOT NULL AND mutually_exclusive IS NOT NULL)",
            name=op.f("ck_events_complete_unless_placeholder"),
        ),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f("fk_events_ingest_run_id_ingest_runs")
        ),
        sa.ForeignKeyConstraint(["series_ticker"], ["series.ticker"], name=op.f("fk_events_series_ticker_series")),
        sa.PrimaryKeyConstraint("event_ticker", name=op.f("pk_events")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_events_series_ticker"), "events", ["series_ticker"], unique=False)
    op.create_table(
        "markets",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("record_digest", sa.LargeBinary(), nullable=False),
        sa.Column("yes_bid_microdollars", Integer, nullable=False),
        sa.Column("yes_ask_microdollars", Integer, nullable=False),
        sa.Column("no_bid_microdollars", Integer, nullable=False),
        sa.Column("no_ask_microdollars", Integer, nullable=False),
        sa.Column("last_price_microdollars", Integer, nullable=False),
        sa.Column("yes_bid_size_centicontracts", Integer, nullable=False),
        sa.Column("yes_ask_size_centicontracts", Integer, nullable=False),
        sa.Column("volume_centicontracts", Integer, nullable=False),
        sa.Column("open_interest_centicontracts", Integer, nullable=False),
        sa.Column("volume_24h_centicontracts", Integer, nullable=False),
        sa.Column("previous_yes_bid_microdollars", Integer, nullable=False),
        sa.Column("previous_yes_ask_microdollars", Integer, nullable=False),
        sa.Column("previous_price_microdollars", Integer, nullable=False),
        sa.Column("event_ticker", sa.Text(), nullable=False),
        sa.Column("market_type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("created_time_us", Integer, nullable=False),
        sa.Column("updated_time_us", Integer, nullable=False),
        sa.Column("open_time_us", Integer, nullable=False),
        sa.Column("close_time_us", Integer, nullable=False),
        sa.Column("latest_expiration_time_us", Integer, nullable=False),
        sa.Column("expiration_time_us", Integer, nullable=True),
        sa.Column("expected_expiration_time_us", Integer, nullable=True),
        sa.Column("occurrence_time_us", Integer, nullable=True),
        sa.Column("settlement_time_us", Integer, nullable=True),
        sa.Column("fee_waiver_expiration_time_us", Integer, nullable=True),
        sa.Column("settlement_timer_seconds", Integer, nullable=False),
        sa.Column("notional_value_microdollars", Integer, nullable=False),
        sa.Column("settlement_value_microdollars", Integer, nullable=True),
        sa.Column("settlement_bounds_type", sa.Text(), nullable=True),
        sa.Column("settlement_floor_microdollars", Integer, nullable=True),
        sa.Column("can_close_early", Flag, nullable=False),
        sa.Column("is_provisional", Flag, nullable=True),
        sa.Column("exchange_index", Integer, nullable=True),
        sa.Column("price_level_structure", sa.Text(), nullable=False),
        sa.Column("price_ranges", sa.Text(), nullable=False),
        sa.Column("strike_type", sa.Text(), nullable=True),
        sa.Column("floor_strike", sa.Text(), nullable=True),
        sa.Column("cap_strike", sa.Text(), nullable=True),
        sa.Column("functional_strike", sa.Text(), nullable=True),
        sa.Column("custom_strike", sa.Text(), nullable=True),
        sa.Column("mve_collection_ticker", sa.Text(), nullable=True),
        sa.Column("mve_selected_legs", sa.Text(), nullable=True),
        sa.Column("primary_participant_key", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("subtitle", sa.Text(), nullable=True),
        sa.Column("yes_sub_title", sa.Text(), nullable=False),
        sa.Column("no_sub_title", sa.Text(), nullable=False),
        sa.Column("expiration_value", sa.Text(), nullable=False),
        sa.Column("early_close_condition", sa.Text(), nullable=True),
        sa.Column("rules_primary", sa.Text(), nullable=False),
        sa.Column("rules_secondary", sa.Text(), nullable=False),
        sa.Column("unknown_fields", sa.Text(), nullable=True),
        sa.Column("first_seen_us", Integer, nullable=False),
        sa.Column("recorded_us", Integer, nullable=False),
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.CheckConstraint("market_type IN ('binary', 'scalar')", name=op.f("ck_markets_market_type")),
        sa.CheckConstraint("result IN ('', 'yes', 'no', 'scalar')", name=op.f("ck_markets_result")),
        sa.CheckConstraint(
            "settlement_bounds_type IN ('default', 'floor')", name=op.f("ck_markets_settlement_bounds_type")
        ),
        sa.CheckConstraint(
            "status IN ('initialized', 'inactive', 'active', 'closed', 'determined', 'disputed', 'amended', 'finalized')",
            name=op.f("ck_markets_status"),
        ),
        sa.CheckConstraint("can_close_early IN (0, 1)", name=op.f("ck_markets_can_close_early")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint("exchange_index >= 0", name=op.f("ck_markets_exchange_index")),
        sa.CheckConstraint("is_provisional IN (0, 1)", name=op.f("ck_markets_is_provisional")).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "last_price_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_markets_last_price_microdollars")
        ),
        sa.CheckConstraint("no_ask_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_markets_no_ask_microdollars")),
        sa.CheckConstraint("no_bid_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_markets_no_bid_microdollars")),
        sa.CheckConstraint("notional_value_microdollars >= 0", name=op.f("ck_markets_notional_value_microdollars")),
        sa.CheckConstraint("open_interest_centicontracts >= 0", name=op.f("ck_markets_open_interest_centicontracts")),
        sa.CheckConstraint(
            "previous_price_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_markets_previous_price_microdollars")
        ),
        sa.CheckConstraint(
            "previous_yes_ask_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_markets_previous_yes_ask_microdollars")
        ),
        sa.CheckConstraint(
            "previous_yes_bid_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_markets_previous_yes_bid_microdollars")
        ),
        sa.CheckConstraint(
            "settlement_floor_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_markets_settlement_floor_microdollars")
        ),
        sa.CheckConstraint("settlement_timer_seconds >= 0", name=op.f("ck_markets_settlement_timer_seconds")),
        sa.CheckConstraint("settlement_value_microdollars >= 0", name=op.f("ck_markets_settlement_value_microdollars")),
        sa.CheckConstraint("volume_24h_centicontracts >= 0", name=op.f("ck_markets_volume_24h_centicontracts")),
        sa.CheckConstraint("volume_centicontracts >= 0", name=op.f("ck_markets_volume_centicontracts")),
        sa.CheckConstraint("yes_ask_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_markets_yes_ask_microdollars")),
        sa.CheckConstraint("yes_ask_size_centicontracts >= 0", name=op.f("ck_markets_yes_ask_size_centicontracts")),
        sa.CheckConstraint("yes_bid_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_markets_yes_bid_microdollars")),
        sa.CheckConstraint("yes_bid_size_centicontracts >= 0", name=op.f("ck_markets_yes_bid_size_centicontracts")),
        sa.ForeignKeyConstraint(["event_ticker"], ["events.event_ticker"], name=op.f("fk_markets_event_ticker_events")),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f("fk_markets_ingest_run_id_ingest_runs")
        ),
        sa.PrimaryKeyConstraint("ticker", name=op.f("pk_markets")),
        sqlite_strict=True,
    )
    op.create_index("ix_markets_event_ticker", "markets", ["event_ticker"], unique=False)
    op.create_index("ix_markets_status_close_time_us", "markets", ["status", "close_time_us"], unique=False)
    op.create_index(
        "ix_markets_settlement_time_us",
        "markets",
        ["settlement_time_us"],
        unique=False,
        sqlite_where=sa.text("settlement_time_us IS NOT NULL"),
        postgresql_where=sa.text("settlement_time_us IS NOT NULL"),
    )


def downgrade() -> None:
    for table in ("markets", "events", "series"):
        refuse_to_lose(table)
        op.drop_table(table)
