"""Let runs and quarantined records be about history: public trades, candlesticks and fees.

A downgrade is refused once there are such runs or records.
"""

from alembic import op

from kalshi_pipelines.warehouse.migration_steps import changed_table, refuse_to_lose

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

SUBJECTS = "'series', 'events', 'markets', 'orderbooks', 'news_articles', 'news_market_links', 'news_sentiment'"
HISTORY_SUBJECTS = "'public_trades', 'candlesticks', 'fee_schedule'"
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


def upgrade() -> None:
    clean_up()
    _permit("ingest_runs", f"{SUBJECTS}, {HISTORY_SUBJECTS}, 'adoption'")
    _permit("quarantine", f"{SUBJECTS}, {HISTORY_SUBJECTS}, {LEGACY_SUBJECTS}")


def clean_up() -> None:
    """Do nothing: no row can break the new constraints, because they permit more words."""


def _permit(name: str, subjects: str) -> None:
    constraint = op.f(f"ck_{name}_subject")
    with changed_table(name) as table:
        table.drop_constraint(constraint, type_="check")
        table.create_check_constraint(constraint, f"subject IN ({subjects})")


def downgrade() -> None:
    for name in ("quarantine", "ingest_runs"):
        refuse_to_lose(name, f"subject IN ({HISTORY_SUBJECTS})")
    _permit("quarantine", f"{SUBJECTS}, {LEGACY_SUBJECTS}")
    _permit("ingest_runs", f"{SUBJECTS}, 'adoption'")
