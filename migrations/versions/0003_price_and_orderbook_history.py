"""Create tables of quote and orderbook history, with one row for each change."""

import sqlalchemy as sa
from alembic import op

from kalshi_pipelines.warehouse.migration_steps import refuse_to_lose

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "orderbook_snapshots",
        sa.Column("orderbook_snapshot_id", Integer, autoincrement=True, nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("observed_us", Integer, nullable=False),
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.Column("record_digest", sa.LargeBinary(), nullable=False),
        sa.Column("best_yes_bid_microdollars", Integer, nullable=True),
        sa.Column("best_yes_bid_size_centicontracts", Integer, nullable=True),
        sa.Column("yes_depth_centicontracts", Integer, nullable=False),
        sa.Column("yes_levels", sa.Text(), nullable=False),
        sa.Column("best_no_bid_microdollars", Integer, nullable=True),
        sa.Column("best_no_bid_size_centicontracts", Integer, nullable=True),
        sa.Column("no_depth_centicontracts", Integer, nullable=False),
        sa.Column("no_levels", sa.Text(), nullable=False),
        sa.Column("unknown_fields", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(best_no_bid_microdollars IS NULL) = (best_no_bid_size_centicontracts IS NULL)",
            name=op.f("ck_orderbook_snapshots_best_no_bid_has_a_size"),
        ),
        sa.CheckConstraint(
            "(best_yes_bid_microdollars IS NULL) = (best_yes_bid_size_centicontracts IS NULL)",
            name=op.f("ck_orderbook_snapshots_best_yes_bid_has_a_size"),
        ),
        sa.CheckConstraint(
            "best_no_bid_microdollars BETWEEN 0 AND 1000000",
            name=op.f("ck_orderbook_snapshots_best_no_bid_microdollars"),
        ),
        sa.CheckConstraint(
            "best_no_bid_size_centicontracts >= 0", name=op.f("ck_orderbook_snapshots_best_no_bid_size_centicontracts")
        ),
        sa.CheckConstraint(
            "best_yes_bid_microdollars BETWEEN 0 AND 1000000",
            name=op.f("ck_orderbook_snapshots_best_yes_bid_microdollars"),
        ),
        sa.CheckConstraint(
            "best_yes_bid_size_centicontracts >= 0",
            name=op.f("ck_orderbook_snapshots_best_yes_bid_size_centicontracts"),
        ),
        sa.CheckConstraint("no_depth_centicontracts >= 0", name=op.f("ck_orderbook_snapshots_no_depth_centicontracts")),
        sa.CheckConstraint(
            "yes_depth_centicontracts >= 0", name=op.f("ck_orderbook_snapshots_yes_depth_centicontracts")
        ),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"],
            ["ingest_runs.ingest_run_id"],
            name=op.f("fk_orderbook_snapshots_ingest_run_id_ingest_runs"),
        ),
        sa.ForeignKeyConstraint(["ticker"], ["markets.ticker"], name=op.f("fk_orderbook_snapshots_ticker_markets")),
        sa.PrimaryKeyConstraint("orderbook_snapshot_id", name=op.f("pk_orderbook_snapshots")),
        sa.UniqueConstraint("ticker", "observed_us", name=op.f("uq_orderbook_snapshots_ticker_observed_us")),
        sqlite_strict=True,
    )
    op.create_index("ix_orderbook_snapshots_ingest_run_id", "orderbook_snapshots", ["ingest_run_id"], unique=False)
    op.create_table(
        "price_snapshots",
        sa.Column("price_snapshot_id", Integer, autoincrement=True, nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("observed_us", Integer, nullable=False),
        sa.Column("ingest_run_id", Integer, nullable=False),
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
        sa.CheckConstraint(
            "last_price_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_price_snapshots_last_price_microdollars")
        ),
        sa.CheckConstraint(
            "no_ask_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_price_snapshots_no_ask_microdollars")
        ),
        sa.CheckConstraint(
            "no_bid_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_price_snapshots_no_bid_microdollars")
        ),
        sa.CheckConstraint(
            "open_interest_centicontracts >= 0", name=op.f("ck_price_snapshots_open_interest_centicontracts")
        ),
        sa.CheckConstraint("volume_24h_centicontracts >= 0", name=op.f("ck_price_snapshots_volume_24h_centicontracts")),
        sa.CheckConstraint("volume_centicontracts >= 0", name=op.f("ck_price_snapshots_volume_centicontracts")),
        sa.CheckConstraint(
            "yes_ask_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_price_snapshots_yes_ask_microdollars")
        ),
        sa.CheckConstraint(
            "yes_ask_size_centicontracts >= 0", name=op.f("ck_price_snapshots_yes_ask_size_centicontracts")
        ),
        sa.CheckConstraint(
            "yes_bid_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_price_snapshots_yes_bid_microdollars")
        ),
        sa.CheckConstraint(
            "yes_bid_size_centicontracts >= 0", name=op.f("ck_price_snapshots_yes_bid_size_centicontracts")
        ),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f("fk_price_snapshots_ingest_run_id_ingest_runs")
        ),
        sa.ForeignKeyConstraint(["ticker"], ["markets.ticker"], name=op.f("fk_price_snapshots_ticker_markets")),
        sa.PrimaryKeyConstraint("price_snapshot_id", name=op.f("pk_price_snapshots")),
        sa.UniqueConstraint("ticker", "observed_us", name=op.f("uq_price_snapshots_ticker_observed_us")),
        sqlite_strict=True,
    )
    op.create_index("ix_price_snapshots_ingest_run_id", "price_snapshots", ["ingest_run_id"], unique=False)


def downgrade() -> None:
    for table in ("price_snapshots", "orderbook_snapshots"):
        refuse_to_lose(table)
        op.drop_table(table)
