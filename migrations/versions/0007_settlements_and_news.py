"""Create tables of settlements and news: tracked items, articles, their links and sentiments."""

import sqlalchemy as sa
from alembic import op

from kalshi_pipelines.warehouse.migration_steps import refuse_to_lose

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
Flag = sa.Boolean().with_variant(sa.INTEGER(), "sqlite")
Real: sa.types.TypeEngine[float] = sa.Double().with_variant(sa.REAL(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "settlements",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("event_ticker", sa.Text(), nullable=False),
        sa.Column("settled_us", Integer, nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("final_yes_price_microdollars", Integer, nullable=True),
        sa.Column("final_no_price_microdollars", Integer, nullable=True),
        sa.Column("yes_payout_microdollars", Integer, nullable=True),
        sa.Column("no_payout_microdollars", Integer, nullable=True),
        sa.Column("recorded_us", Integer, nullable=False),
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.CheckConstraint("event_ticker <> ''", name=op.f("ck_settlements_event_ticker")),
        sa.CheckConstraint("result IN ('yes', 'no', 'scalar', 'void')", name=op.f("ck_settlements_result")),
        sa.CheckConstraint(
            "final_no_price_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_settlements_final_no_price_microdollars")
        ),
        sa.CheckConstraint(
            "final_yes_price_microdollars BETWEEN 0 AND 1000000",
            name=op.f("ck_settlements_final_yes_price_microdollars"),
        ),
        sa.CheckConstraint(
            "no_payout_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_settlements_no_payout_microdollars")
        ),
        sa.CheckConstraint(
            "yes_payout_microdollars + no_payout_microdollars = 1000000",
            name=op.f("ck_settlements_payouts_make_one_dollar"),
        ),
        sa.CheckConstraint(
            "yes_payout_microdollars BETWEEN 0 AND 1000000", name=op.f("ck_settlements_yes_payout_microdollars")
        ),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f("fk_settlements_ingest_run_id_ingest_runs")
        ),
        sa.ForeignKeyConstraint(["ticker"], ["markets.ticker"], name=op.f("fk_settlements_ticker_markets")),
        sa.PrimaryKeyConstraint("ticker", name=op.f("pk_settlements")),
        sqlite_strict=True,
    )
    op.create_index("ix_settlements_settled_us", "settlements", ["settled_us"])
    op.create_table(
        "tracked_items",
        sa.Column("tracked_item_id", Integer, autoincrement=True, nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("item_type", sa.Text(), nullable=False),
        sa.Column("search_queries", sa.Text(), nullable=False),
        sa.Column("is_active", Flag, nullable=False),
        sa.Column("created_us", Integer, nullable=False),
        sa.Column("last_collected_us", Integer, nullable=True),
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.CheckConstraint("item_type IN ('market', 'event')", name=op.f("ck_tracked_items_item_type")),
        sa.CheckConstraint(
            "jsonb_typeof(search_queries::jsonb) = 'array'", name=op.f("ck_tracked_items_search_queries")
        ).ddl_if(dialect="postgresql"),
        sa.CheckConstraint(
            "search_queries IS NULL OR CASE WHEN json_valid(search_queries) THEN json_type(search_queries) = 'array' ELSE 0 END",
            name=op.f("ck_tracked_items_search_queries"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint("ticker <> ''", name=op.f("ck_tracked_items_ticker")),
        sa.CheckConstraint("is_active IN (0, 1)", name=op.f("ck_tracked_items_is_active")).ddl_if(dialect="sqlite"),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f("fk_tracked_items_ingest_run_id_ingest_runs")
        ),
        sa.PrimaryKeyConstraint("tracked_item_id", name=op.f("pk_tracked_items")),
        sa.UniqueConstraint("ticker", name=op.f("uq_tracked_items_ticker")),
        sqlite_strict=True,
    )
    op.create_table(
        "news_articles",
        sa.Column("news_article_id", Integer, autoincrement=True, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("source_domain", sa.Text(), nullable=False),
        sa.Column("published_us", Integer, nullable=True),
        sa.Column("collected_us", Integer, nullable=False),
        sa.Column("text_snippet", sa.Text(), nullable=True),
        sa.Column("full_text", sa.Text(), nullable=True),
        sa.Column("exa_request_id", sa.Text(), nullable=True),
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.CheckConstraint("url <> ''", name=op.f("ck_news_articles_url")),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f("fk_news_articles_ingest_run_id_ingest_runs")
        ),
        sa.PrimaryKeyConstraint("news_article_id", name=op.f("pk_news_articles")),
        sa.UniqueConstraint("url", name=op.f("uq_news_articles_url")),
        sqlite_strict=True,
    )
    op.create_index("ix_news_articles_collected_us", "news_articles", ["collected_us"])
    op.create_index("ix_news_articles_published_us", "news_articles", ["published_us"])
    op.create_table(
        "news_article_markets",
        sa.Column("news_article_id", Integer, nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["news_article_id"],
            ["news_articles.news_article_id"],
            name=op.f("fk_news_article_markets_news_article_id_news_articles"),
        ),
        sa.ForeignKeyConstraint(["ticker"], ["markets.ticker"], name=op.f("fk_news_article_markets_ticker_markets")),
        sa.PrimaryKeyConstraint("news_article_id", "ticker", name=op.f("pk_news_article_markets")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_news_article_markets_ticker"), "news_article_markets", ["ticker"])
    op.create_table(
        "news_article_events",
        sa.Column("news_article_id", Integer, nullable=False),
        sa.Column("event_ticker", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_ticker"], ["events.event_ticker"], name=op.f("fk_news_article_events_event_ticker_events")
        ),
        sa.ForeignKeyConstraint(
            ["news_article_id"],
            ["news_articles.news_article_id"],
            name=op.f("fk_news_article_events_news_article_id_news_articles"),
        ),
        sa.PrimaryKeyConstraint("news_article_id", "event_ticker", name=op.f("pk_news_article_events")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_news_article_events_event_ticker"), "news_article_events", ["event_ticker"])
    op.create_table(
        "news_sentiments",
        sa.Column("news_sentiment_id", Integer, autoincrement=True, nullable=False),
        sa.Column("news_article_id", Integer, nullable=False),
        sa.Column("analyzed_us", Integer, nullable=False),
        sa.Column("score", Real, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("confidence", Real, nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("keywords_matched", sa.Text(), nullable=True),
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.CheckConstraint(
            "jsonb_typeof(keywords_matched::jsonb) = 'array'", name=op.f("ck_news_sentiments_keywords_matched")
        ).ddl_if(dialect="postgresql"),
        sa.CheckConstraint(
            "keywords_matched IS NULL OR CASE WHEN json_valid(keywords_matched) THEN json_type(keywords_matched) = 'array' ELSE 0 END",
            name=op.f("ck_news_sentiments_keywords_matched"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint("label IN ('positive', 'negative', 'neutral')", name=op.f("ck_news_sentiments_label")),
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name=op.f("ck_news_sentiments_confidence")),
        sa.CheckConstraint("score BETWEEN -1 AND 1", name=op.f("ck_news_sentiments_score")),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f("fk_news_sentiments_ingest_run_id_ingest_runs")
        ),
        sa.ForeignKeyConstraint(
            ["news_article_id"],
            ["news_articles.news_article_id"],
            name=op.f("fk_news_sentiments_news_article_id_news_articles"),
        ),
        sa.PrimaryKeyConstraint("news_sentiment_id", name=op.f("pk_news_sentiments")),
        sa.UniqueConstraint(
            "news_article_id",
            "method",
            "analyzed_us",
            name=op.f("uq_news_sentiments_news_article_id_method_analyzed_us"),
        ),
        sqlite_strict=True,
    )


def downgrade() -> None:
    for table in (
        "news_sentiments",
        "news_article_events",
        "news_article_markets",
        "news_articles",
        "tracked_items",
        "settlements",
    ):
        refuse_to_lose(table)
        op.drop_table(table)
