"""Create tables of the counts and notes of an adoption."""

import sqlalchemy as sa
from alembic import op

from kalshi_pipelines.warehouse.migration_steps import refuse_to_lose

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "adoption_counts",
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("rows_read", Integer, nullable=False),
        sa.Column("rows_kept", Integer, nullable=False),
        sa.Column("rows_normalised", Integer, nullable=False),
        sa.Column("rows_quarantined", Integer, nullable=False),
        sa.CheckConstraint(
            "table_name IN ('events', 'markets', 'price_snapshots', 'settlements', 'positions', 'trades', 'portfolio_settlements', 'tracked_items', 'news_articles', 'news_article_markets', 'news_article_events', 'news_sentiments')",
            name=op.f("ck_adoption_counts_table_name"),
        ),
        sa.CheckConstraint("rows_kept >= 0", name=op.f("ck_adoption_counts_rows_kept")),
        sa.CheckConstraint("rows_normalised >= 0", name=op.f("ck_adoption_counts_rows_normalised")),
        sa.CheckConstraint("rows_quarantined >= 0", name=op.f("ck_adoption_counts_rows_quarantined")),
        sa.CheckConstraint(
            "rows_read = rows_kept + rows_normalised + rows_quarantined",
            name=op.f("ck_adoption_counts_every_row_accounted_for"),
        ),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f("fk_adoption_counts_ingest_run_id_ingest_runs")
        ),
        sa.PrimaryKeyConstraint("ingest_run_id", "table_name", name=op.f("pk_adoption_counts")),
        sqlite_strict=True,
    )
    op.create_table(
        "adoption_notes",
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("row_key", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("original_values", sa.Text(), nullable=False),
        sa.CheckConstraint("outcome IN ('kept', 'normalised')", name=op.f("ck_adoption_notes_outcome")),
        sa.CheckConstraint(
            "table_name IN ('events', 'markets', 'price_snapshots', 'settlements', 'positions', 'trades', 'portfolio_settlements', 'tracked_items', 'news_articles', 'news_article_markets', 'news_article_events', 'news_sentiments')",
            name=op.f("ck_adoption_notes_table_name"),
        ),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f("fk_adoption_notes_ingest_run_id_ingest_runs")
        ),
        sa.PrimaryKeyConstraint("ingest_run_id", "table_name", "row_key", name=op.f("pk_adoption_notes")),
        sqlite_strict=True,
    )


def downgrade() -> None:
    for table in ("adoption_notes", "adoption_counts"):
        refuse_to_lose(table)
        op.drop_table(table)
