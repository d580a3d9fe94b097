"""Create tables of balances, of positions, of fills and of settlement payments. Names follow the current API."""

import sqlalchemy as sa
from alembic import op

from kalshi_pipelines.warehouse.migration_steps import refuse_to_lose

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
Flag = sa.Boolean().with_variant(sa.INTEGER(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "balances",
        sa.Column("balance_id", Integer, autoincrement=True, nullable=False),
        sa.Column("subaccount", Integer, nullable=False),
        sa.Column("exchange_index", Integer, nullable=True),
        sa.Column("balance_microdollars", Integer, nullable=False),
        sa.Column("portfolio_value_microdollars", Integer, nullable=True),
        sa.Column("updated_us", Integer, nullable=True),
        sa.Column("observed_us", Integer, nullable=False),
        sa.Column("recorded_us", Integer, nullable=False),
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.CheckConstraint("exchange_index >= 0", name=op.f("ck_balances_exchange_index")),
        sa.CheckConstraint("subaccount >= 0", name=op.f("ck_balances_subaccount")),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f("fk_balances_ingest_run_id_ingest_runs")
        ),
        sa.PrimaryKeyConstraint("balance_id", name=op.f("pk_balances")),
        sa.UniqueConstraint(
            "subaccount",
            "exchange_index",
            "observed_us",
            name=op.f("uq_balances_subaccount_exchange_index_observed_us"),
        ),
        sqlite_strict=True,
    )
    op.create_index(
        "uq_balances_subaccount_observed_us",
        "balances",
        ["subaccount", "observed_us"],
        unique=True,
        sqlite_where=sa.text("exchange_index IS NULL"),
        postgresql_where=sa.text("exchange_index IS NULL"),
    )
    op.create_table(
        "positions",
        sa.Column("position_id", Integer, autoincrement=True, nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("subaccount", Integer, nullable=False),
        sa.Column("exchange_index", Integer, nullable=True),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("quantity_centicontracts", Integer, nullable=False),
        sa.Column("average_cost_microdollars", Integer, nullable=True),
        sa.Column("current_value_microdollars", Integer, nullable=True),
        sa.Column("unrealized_pnl_microdollars", Integer, nullable=True),
        sa.Column("realized_pnl_microdollars", Integer, nullable=False),
        sa.Column("fees_paid_microdollars", Integer, nullable=True),
        sa.Column("total_traded_microdollars", Integer, nullable=True),
        sa.Column("market_exposure_microdollars", Integer, nullable=True),
        sa.Column("thesis_id", sa.Text(), nullable=True),
        sa.Column("opened_us", Integer, nullable=True),
        sa.Column("closed_us", Integer, nullable=True),
        sa.Column("last_updated_us", Integer, nullable=True),
        sa.Column("recorded_us", Integer, nullable=False),
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.CheckConstraint("side IN ('yes', 'no')", name=op.f("ck_positions_side")),
        sa.CheckConstraint(
            "average_cost_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_positions_average_cost_microdollars")
        ),
        sa.CheckConstraint(
            "current_value_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_positions_current_value_microdollars")
        ),
        sa.CheckConstraint("exchange_index >= 0", name=op.f("ck_positions_exchange_index")),
        sa.CheckConstraint("fees_paid_microdollars >= 0", name=op.f("ck_positions_fees_paid_microdollars")),
        sa.CheckConstraint("market_exposure_microdollars >= 0", name=op.f("ck_positions_market_exposure_microdollars")),
        sa.CheckConstraint("quantity_centicontracts >= 0", name=op.f("ck_positions_quantity_centicontracts")),
        sa.CheckConstraint("subaccount >= 0", name=op.f("ck_positions_subaccount")),
        sa.CheckConstraint("total_traded_microdollars >= 0", name=op.f("ck_positions_total_traded_microdollars")),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f("fk_positions_ingest_run_id_ingest_runs")
        ),
        sa.ForeignKeyConstraint(["ticker"], ["markets.ticker"], name=op.f("fk_positions_ticker_markets")),
        sa.PrimaryKeyConstraint("position_id", name=op.f("pk_positions")),
        sqlite_strict=True,
    )
    op.create_index("ix_positions_ticker_closed_us", "positions", ["ticker", "closed_us"])
    op.create_table(
        "trades",
        sa.Column("fill_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("subaccount", Integer, nullable=False),
        sa.Column("exchange_index", Integer, nullable=True),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("outcome_side", sa.Text(), nullable=False),
        sa.Column("book_side", sa.Text(), nullable=False),
        sa.Column("quantity_centicontracts", Integer, nullable=False),
        sa.Column("yes_price_microdollars", Integer, nullable=False),
        sa.Column("no_price_microdollars", Integer, nullable=False),
        sa.Column("fee_microdollars", Integer, nullable=False),
        sa.Column("is_taker", Flag, nullable=True),
        sa.Column("position_id", Integer, nullable=True),
        sa.Column("executed_us", Integer, nullable=False),
        sa.Column("recorded_us", Integer, nullable=False),
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.CheckConstraint("(book_side = 'bid') = (outcome_side = 'yes')", name=op.f("ck_trades_bid_is_yes")),
        sa.CheckConstraint(
            "(outcome_side = 'yes') = ((side = 'yes') = (action = 'buy'))", name=op.f("ck_trades_direction")
        ),
        sa.CheckConstraint("action IN ('buy', 'sell')", name=op.f("ck_trades_action")),
        sa.CheckConstraint("book_side IN ('bid', 'ask')", name=op.f("ck_trades_book_side")),
        sa.CheckConstraint("fill_id <> ''", name=op.f("ck_trades_fill_id")),
        sa.CheckConstraint("outcome_side IN ('yes', 'no')", name=op.f("ck_trades_outcome_side")),
        sa.CheckConstraint("side IN ('yes', 'no')", name=op.f("ck_trades_side")),
        sa.CheckConstraint("exchange_index >= 0", name=op.f("ck_trades_exchange_index")),
        sa.CheckConstraint("fee_microdollars >= 0", name=op.f("ck_trades_fee_microdollars")),
        sa.CheckConstraint("is_taker IN (0, 1)", name=op.f("ck_trades_is_taker")).ddl_if(dialect="sqlite"),
        sa.CheckConstraint("no_price_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_trades_no_price_microdollars")),
        sa.CheckConstraint("quantity_centicontracts > 0", name=op.f("ck_trades_quantity_centicontracts")),
        sa.CheckConstraint("subaccount >= 0", name=op.f("ck_trades_subaccount")),
        sa.CheckConstraint(
            "yes_price_microdollars + no_price_microdollars = 1000000", name=op.f("ck_trades_prices_make_one_dollar")
        ),
        sa.CheckConstraint(
            "yes_price_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_trades_yes_price_microdollars")
        ),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f("fk_trades_ingest_run_id_ingest_runs")
        ),
        sa.ForeignKeyConstraint(
            ["position_id"], ["positions.position_id"], name=op.f("fk_trades_position_id_positions")
        ),
        sa.ForeignKeyConstraint(["ticker"], ["markets.ticker"], name=op.f("fk_trades_ticker_markets")),
        sa.PrimaryKeyConstraint("fill_id", name=op.f("pk_trades")),
        sqlite_strict=True,
    )
    op.create_index("ix_trades_executed_us", "trades", ["executed_us"])
    op.create_index("ix_trades_position_id", "trades", ["position_id"])
    op.create_index("ix_trades_ticker_executed_us", "trades", ["ticker", "executed_us"])
    op.create_table(
        "portfolio_settlements",
        sa.Column("portfolio_settlement_id", Integer, autoincrement=True, nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("event_ticker", sa.Text(), nullable=False),
        sa.Column("subaccount", Integer, nullable=False),
        sa.Column("exchange_index", Integer, nullable=True),
        sa.Column("market_result", sa.Text(), nullable=False),
        sa.Column("yes_count_centicontracts", Integer, nullable=False),
        sa.Column("yes_total_cost_microdollars", Integer, nullable=False),
        sa.Column("no_count_centicontracts", Integer, nullable=False),
        sa.Column("no_total_cost_microdollars", Integer, nullable=False),
        sa.Column("revenue_microdollars", Integer, nullable=False),
        sa.Column("fee_microdollars", Integer, nullable=False),
        sa.Column("value_microdollars", Integer, nullable=True),
        sa.Column("settled_us", Integer, nullable=False),
        sa.Column("recorded_us", Integer, nullable=False),
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.CheckConstraint("event_ticker <> ''", name=op.f("ck_portfolio_settlements_event_ticker")),
        sa.CheckConstraint(
            "market_result <> 'scalar' OR value_microdollars IS NOT NULL",
            name=op.f("ck_portfolio_settlements_scalar_has_a_value"),
        ),
        sa.CheckConstraint(
            "market_result IN ('yes', 'no', 'scalar', 'void')", name=op.f("ck_portfolio_settlements_market_result")
        ),
        sa.CheckConstraint("exchange_index >= 0", name=op.f("ck_portfolio_settlements_exchange_index")),
        sa.CheckConstraint("fee_microdollars >= 0", name=op.f("ck_portfolio_settlements_fee_microdollars")),
        sa.CheckConstraint(
            "no_count_centicontracts >= 0", name=op.f("ck_portfolio_settlements_no_count_centicontracts")
        ),
        sa.CheckConstraint(
            "no_total_cost_microdollars >= 0", name=op.f("ck_portfolio_settlements_no_total_cost_microdollars")
        ),
        sa.CheckConstraint("revenue_microdollars >= 0", name=op.f("ck_portfolio_settlements_revenue_microdollars")),
        sa.CheckConstraint("subaccount >= 0", name=op.f("ck_portfolio_settlements_subaccount")),
        sa.CheckConstraint(
            "value_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_portfolio_settlements_value_microdollars")
        ),
        sa.CheckConstraint(
            "yes_count_centicontracts >= 0", name=op.f("ck_portfolio_settlements_yes_count_centicontracts")
        ),
        sa.CheckConstraint(
            "yes_total_cost_microdollars >= 0", name=op.f("ck_portfolio_settlements_yes_total_cost_microdollars")
        ),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"],
            ["ingest_runs.ingest_run_id"],
            name=op.f("fk_portfolio_settlements_ingest_run_id_ingest_runs"),
        ),
        sa.ForeignKeyConstraint(["ticker"], ["markets.ticker"], name=op.f("fk_portfolio_settlements_ticker_markets")),
        sa.PrimaryKeyConstraint("portfolio_settlement_id", name=op.f("pk_portfolio_settlements")),
        sa.UniqueConstraint(
            "subaccount", "ticker", "settled_us", name=op.f("uq_portfolio_settlements_subaccount_ticker_settled_us")
        ),
        sqlite_strict=True,
    )
    op.create_index("ix_portfolio_settlements_settled_us", "portfolio_settlements", ["settled_us"])
    op.create_index("ix_portfolio_settlements_ticker", "portfolio_settlements", ["ticker"])


def downgrade() -> None:
    for table in ("portfolio_settlements", "trades", "positions", "balances"):
        refuse_to_lose(table)
        op.drop_table(table)
