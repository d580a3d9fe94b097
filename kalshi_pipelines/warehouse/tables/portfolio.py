"""Tables of the account: balances, positions, fills, and payments from settlements.

``side`` is the outcome that is held or traded, as in the older API. ``outcome_side`` and ``book_side`` come from the
current API (docs.kalshi.com, "Direction", October 2026). In the current API, buying YES and selling NO have the same
direction: outcome side yes, book side bid.
"""

from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.tables.columns import (
    MAX_PRICE_MICRODOLLARS,
    Flag,
    Integer,
    Text,
    flags,
    metadata,
    not_negative,
    one_of,
    prices,
    required,
)
from kalshi_pipelines.warehouse.tables.market_data import SETTLEMENT_RESULTS

OUTCOME_SIDES: Final = ("yes", "no")
ACTIONS: Final = ("buy", "sell")
BOOK_ORDER_SIDES: Final = ("bid", "ask")


def _account() -> list[sa.Column[int]]:
    return [required("subaccount"), sa.Column("exchange_index", Integer)]


def _record() -> list[sa.Column[int]]:
    return [required("recorded_us"), required("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id"))]


balances = sa.Table(
    "balances",
    metadata,
    sa.Column("balance_id", Integer, primary_key=True, autoincrement=True),
    # A balance with NULL in ``exchange_index`` is the sum over all shards of the exchange.
    *_account(),
    required("balance_microdollars"),
    sa.Column("portfolio_value_microdollars", Integer),
    sa.Column("updated_us", Integer),
    required("observed_us"),
    *_record(),
    sa.Index(
        "uq_balances_subaccount_observed_us",
        "subaccount",
        "observed_us",
        unique=True,
        sqlite_where=sa.text("exchange_index IS NULL"),
        postgresql_where=sa.text("exchange_index IS NULL"),
    ),
    sa.UniqueConstraint("subaccount", "exchange_index", "observed_us"),
    *not_negative("subaccount", "exchange_index"),
    sqlite_strict=True,
)

positions = sa.Table(
    "positions",
    metadata,
    sa.Column("position_id", Integer, primary_key=True, autoincrement=True),
    required("ticker", Text, sa.ForeignKey("markets.ticker")),
    *_account(),
    required("side", Text),
    required("quantity_centicontracts"),
    # The cost of one contract of the position's side.
    sa.Column("average_cost_microdollars", Integer),
    sa.Column("current_value_microdollars", Integer),
    sa.Column("unrealized_pnl_microdollars", Integer),
    required("realized_pnl_microdollars"),
    sa.Column("fees_paid_microdollars", Integer),
    sa.Column("total_traded_microdollars", Integer),
    sa.Column("market_exposure_microdollars", Integer),
    sa.Column("thesis_id", Text),
    sa.Column("opened_us", Integer),
    sa.Column("closed_us", Integer),
    sa.Column("last_updated_us", Integer),
    *_record(),
    sa.Index("ix_positions_ticker_closed_us", "ticker", "closed_us"),
    one_of("side", OUTCOME_SIDES),
    *prices("average_cost_microdollars", "current_value_microdollars"),
    *not_negative("subaccount", "exchange_index", "quantity_centicontracts"),
    *not_negative("fees_paid_microdollars", "total_traded_microdollars", "market_exposure_microdollars"),
    sqlite_strict=True,
)

trades = sa.Table(
    "trades",
    metadata,
    sa.Column("fill_id", Text, primary_key=True, nullable=False),
    sa.Column("order_id", Text),
    required("ticker", Text, sa.ForeignKey("markets.ticker")),
    *_account(),
    required("side", Text),
    required("action", Text),
    required("outcome_side", Text),
    required("book_side", Text),
    required("quantity_centicontracts"),
    required("yes_price_microdollars"),
    required("no_price_microdollars"),
    required("fee_microdollars"),
    sa.Column("is_taker", Flag),
    sa.Column("position_id", Integer, sa.ForeignKey("positions.position_id")),
    required("executed_us"),
    *_record(),
    sa.Index("ix_trades_ticker_executed_us", "ticker", "executed_us"),
    sa.Index("ix_trades_executed_us", "executed_us"),
    sa.Index("ix_trades_position_id", "position_id"),
    sa.CheckConstraint("fill_id <> ''", name="fill_id"),
    one_of("side", OUTCOME_SIDES),
    one_of("action", ACTIONS),
    one_of("outcome_side", OUTCOME_SIDES),
    one_of("book_side", BOOK_ORDER_SIDES),
    sa.CheckConstraint("(outcome_side = 'yes') = ((side = 'yes') = (action = 'buy'))", name="direction"),
    sa.CheckConstraint("(book_side = 'bid') = (outcome_side = 'yes')", name="bid_is_yes"),
    sa.CheckConstraint("quantity_centicontracts > 0", name="quantity_centicontracts"),
    *prices("yes_price_microdollars", "no_price_microdollars"),
    sa.CheckConstraint(
        f"yes_price_microdollars + no_price_microdollars = {MAX_PRICE_MICRODOLLARS}", name="prices_make_one_dollar"
    ),
    *not_negative("subaccount", "exchange_index", "fee_microdollars"),
    *flags("is_taker"),
    sqlite_strict=True,
)

portfolio_settlements = sa.Table(
    "portfolio_settlements",
    metadata,
    sa.Column("portfolio_settlement_id", Integer, primary_key=True, autoincrement=True),
    required("ticker", Text, sa.ForeignKey("markets.ticker")),
    required("event_ticker", Text),
    *_account(),
    required("market_result", Text),
    required("yes_count_centicontracts"),
    required("yes_total_cost_microdollars"),
    required("no_count_centicontracts"),
    required("no_total_cost_microdollars"),
    required("revenue_microdollars"),
    required("fee_microdollars"),
    # The settlement value of one YES contract.
    sa.Column("value_microdollars", Integer),
    required("settled_us"),
    *_record(),
    sa.UniqueConstraint("subaccount", "ticker", "settled_us"),
    sa.Index("ix_portfolio_settlements_ticker", "ticker"),
    sa.Index("ix_portfolio_settlements_settled_us", "settled_us"),
    sa.CheckConstraint("event_ticker <> ''", name="event_ticker"),
    one_of("market_result", SETTLEMENT_RESULTS),
    sa.CheckConstraint("market_result <> 'scalar' OR value_microdollars IS NOT NULL", name="scalar_has_a_value"),
    *not_negative("subaccount", "exchange_index", "yes_count_centicontracts", "no_count_centicontracts"),
    *not_negative("yes_total_cost_microdollars", "no_total_cost_microdollars", "revenue_microdollars"),
    *not_negative("fee_microdollars"),
    *prices("value_microdollars"),
    sqlite_strict=True,
)
