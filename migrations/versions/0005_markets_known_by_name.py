"""Allow placeholder markets and quotes without sizes. Allow an adoption to store run records and quarantined rows.

A market that is only mentioned (in a legacy database or by a position) gets a row with ``is_placeholder``, as series
and events do. Quotes of a legacy database have no sizes. This migration only loosens constraints, so no row can break
them.
"""

import sqlalchemy as sa
from alembic import op

from kalshi_pipelines.warehouse.migration_steps import changed_table, dialect, refuse_to_lose

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SUBJECTS = "'series', 'events', 'markets', 'orderbooks'"
LEGACY_SUBJECTS = ", ".join(
    f"'kalshi_research.{table}'"
    for table in (
        "events",
        "markets",
        "price_snapshots",
        "settlements",
        "positions",
        "trades",
        "portfolio_settlements",
        "tracked_items",
        "news_articles",
        "news_article_markets",
        "news_article_events",
        "news_sentiments",
    )
)
MARKET_FACTS = (
    "yes_bid_microdollars",
    "yes_ask_microdollars",
    "no_bid_microdollars",
    "no_ask_microdollars",
    "last_price_microdollars",
    "yes_bid_size_centicontracts",
    "yes_ask_size_centicontracts",
    "volume_centicontracts",
    "open_interest_centicontracts",
    "volume_24h_centicontracts",
    "previous_yes_bid_microdollars",
    "previous_yes_ask_microdollars",
    "previous_price_microdollars",
    "event_ticker",
    "market_type",
    "status",
    "result",
    "created_time_us",
    "updated_time_us",
    "open_time_us",
    "close_time_us",
    "latest_expiration_time_us",
    "settlement_timer_seconds",
    "notional_value_microdollars",
    "can_close_early",
    "price_level_structure",
    "price_ranges",
    "yes_sub_title",
    "no_sub_title",
    "expiration_value",
    "rules_primary",
    "rules_secondary",
)
QUOTE_OPTIONAL = ("last_price_microdollars", "yes_bid_size_centicontracts", "yes_ask_size_centicontracts")
PRICES = ("yes_bid", "yes_ask", "no_bid", "no_ask", "last_price")
COUNTS = ("yes_bid_size", "yes_ask_size", "volume", "volume_24h", "open_interest")


def upgrade() -> None:
    drop_views()
    with changed_table("ingest_runs") as runs:
        runs.alter_column("environment", existing_type=sa.Text(), nullable=True)
        runs.drop_constraint(op.f("ck_ingest_runs_subject"), type_="check")
        runs.create_check_constraint(op.f("ck_ingest_runs_subject"), f"subject IN ({SUBJECTS}, 'adoption')")
        runs.create_check_constraint(
            op.f("ck_ingest_runs_environment_known"), "(environment IS NULL) = (subject = 'adoption')"
        )
    with changed_table("quarantine") as quarantine:
        quarantine.drop_constraint(op.f("ck_quarantine_subject"), type_="check")
        quarantine.create_check_constraint(op.f("ck_quarantine_subject"), f"subject IN ({SUBJECTS}, {LEGACY_SUBJECTS})")
    flag = sa.Boolean().with_variant(sa.INTEGER(), "sqlite")
    op.add_column("markets", sa.Column("is_placeholder", flag, nullable=False, server_default=sa.text(false())))
    with changed_table("markets") as markets:
        markets.alter_column("is_placeholder", existing_type=flag, existing_nullable=False, server_default=None)
        for name in ("record_digest", *MARKET_FACTS):
            markets.alter_column(name, nullable=True)
        if dialect() == "sqlite":
            markets.create_check_constraint(op.f("ck_markets_is_placeholder"), "is_placeholder IN (0, 1)")
        markets.create_check_constraint(
            op.f("ck_markets_placeholder_has_no_record"), "is_placeholder = (record_digest IS NULL)"
        )
        markets.create_check_constraint(
            op.f("ck_markets_complete_unless_placeholder"),
            "record_digest IS NULL OR (" + " AND ".join(f"{name} IS NOT NULL" for name in MARKET_FACTS) + ")",
        )
    op.drop_index("ix_price_snapshots_ingest_run_id", "price_snapshots")
    with changed_table("price_snapshots") as snapshots:
        for name in QUOTE_OPTIONAL:
            snapshots.alter_column(name, nullable=True)
    op.create_index("ix_price_snapshots_ingest_run_id_observed_us", "price_snapshots", ["ingest_run_id", "observed_us"])
    create_views(unknown_is_null=True)


def downgrade() -> None:
    refuse_to_lose("markets", "is_placeholder")
    refuse_to_lose("price_snapshots", " OR ".join(f"{name} IS NULL" for name in QUOTE_OPTIONAL))
    refuse_to_lose("ingest_runs", "subject = 'adoption'")
    refuse_to_lose("quarantine", "subject LIKE 'kalshi_research.%'")
    drop_views()
    op.drop_index("ix_price_snapshots_ingest_run_id_observed_us", "price_snapshots")
    with changed_table("price_snapshots") as snapshots:
        for name in QUOTE_OPTIONAL:
            snapshots.alter_column(name, nullable=False)
    op.create_index("ix_price_snapshots_ingest_run_id", "price_snapshots", ["ingest_run_id"])
    with changed_table("markets") as markets:
        markets.drop_constraint(op.f("ck_markets_complete_unless_placeholder"), type_="check")
        markets.drop_constraint(op.f("ck_markets_placeholder_has_no_record"), type_="check")
        if dialect() == "sqlite":
            markets.drop_constraint(op.f("ck_markets_is_placeholder"), type_="check")
        for name in ("record_digest", *MARKET_FACTS):
            markets.alter_column(name, nullable=False)
        markets.drop_column("is_placeholder")
    with changed_table("quarantine") as quarantine:
        quarantine.drop_constraint(op.f("ck_quarantine_subject"), type_="check")
        quarantine.create_check_constraint(op.f("ck_quarantine_subject"), f"subject IN ({SUBJECTS})")
    with changed_table("ingest_runs") as runs:
        runs.drop_constraint(op.f("ck_ingest_runs_environment_known"), type_="check")
        runs.drop_constraint(op.f("ck_ingest_runs_subject"), type_="check")
        runs.create_check_constraint(op.f("ck_ingest_runs_subject"), f"subject IN ({SUBJECTS})")
        runs.alter_column("environment", existing_type=sa.Text(), nullable=False)
    create_views(unknown_is_null=False)


def false() -> str:
    return "0" if dialect() == "sqlite" else "false"


def drop_views() -> None:
    for view in ("orderbook_levels", "price_history", "current_quotes"):
        op.execute(f"DROP VIEW {view}")


def create_views(*, unknown_is_null: bool) -> None:
    """Create the views of migration 0004.

    From this revision on, the views skip placeholder markets and show NULL for unknown values.
    """
    quote = _quote(unknown_is_null=unknown_is_null)
    with_record = "WHERE record_digest IS NOT NULL" if unknown_is_null else ""
    op.execute(
        f"""
        CREATE VIEW current_quotes AS
        SELECT ticker, event_ticker, title, status, result, {quote},
               {_time("close_time_us")} AS close_time, {_time("recorded_us")} AS recorded_time
        FROM markets {with_record}
        """
    )
    op.execute(
        f"""
        CREATE VIEW price_history AS
        SELECT ticker, {_time("observed_us")} AS observed_time, {quote}, observed_us
        FROM price_snapshots
        """
    )
    op.execute(f"CREATE VIEW orderbook_levels AS {_levels('yes')} UNION ALL {_levels('no')}")


def _quote(*, unknown_is_null: bool) -> str:
    columns = []
    for name in PRICES:
        shown = _dollars(f"{name}_microdollars")
        if name in ("yes_bid", "no_ask"):
            shown = f"CASE WHEN yes_bid_size_centicontracts = 0 THEN NULL ELSE {shown} END"
        if name in ("yes_ask", "no_bid"):
            shown = f"CASE WHEN yes_ask_size_centicontracts = 0 THEN NULL ELSE {shown} END"
        if name == "last_price" and unknown_is_null:
            shown = f"CASE WHEN {name}_microdollars IS NULL THEN NULL ELSE {shown} END"
        columns.append(f"{shown} AS {name}")
    for name in COUNTS:
        shown = _contracts(f"{name}_centicontracts")
        if name in ("yes_bid_size", "yes_ask_size") and unknown_is_null:
            shown = f"CASE WHEN {name}_centicontracts IS NULL THEN NULL ELSE {shown} END"
        columns.append(f"{shown} AS {name}")
    columns += [f"{name}_microdollars" for name in PRICES]
    return ", ".join(columns)


def _levels(side: str) -> str:
    if dialect() == "postgresql":
        exploded = f"jsonb_array_elements({side}_levels::jsonb) AS level"
        price, count = "(level ->> 0)::bigint", "(level ->> 1)::bigint"
    else:
        exploded = f"json_each({side}_levels) AS level"
        price, count = "json_extract(level.value, '$[0]')", "json_extract(level.value, '$[1]')"
    return f"""
        SELECT ticker, {_time("observed_us")} AS observed_time, '{side}' AS side,
               {_dollars(price)} AS price, {_contracts(count)} AS contracts,
               observed_us, {price} AS price_microdollars, {count} AS centicontracts
        FROM orderbook_snapshots, {exploded}"""


def _dollars(integer: str) -> str:
    if dialect() == "postgresql":
        return f"({integer} * 0.000001)::numeric(18, 6)"
    return f"printf('%d.%06d', {integer} / 1000000, {integer} % 1000000)"


def _contracts(integer: str) -> str:
    if dialect() == "postgresql":
        return f"({integer} * 0.01)::numeric(18, 2)"
    return f"printf('%d.%02d', {integer} / 100, {integer} % 100)"


def _time(microseconds: str) -> str:
    if dialect() == "postgresql":
        return f"(timestamptz 'epoch' + {microseconds} * interval '1 microsecond')"
    return (
        f"strftime('%Y-%m-%dT%H:%M:%S', {microseconds} / 1000000, 'unixepoch')"
        f" || printf('.%06dZ', {microseconds} % 1000000)"
    )
