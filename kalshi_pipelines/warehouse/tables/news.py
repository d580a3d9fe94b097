"""News: what is followed, the articles found, the markets and events they are about, and how they read."""

from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.tables.columns import (
    Flag,
    Integer,
    Real,
    Text,
    flags,
    json_arrays,
    metadata,
    one_of,
    required,
)

TRACKED_ITEM_TYPES: Final = ("market", "event")
SENTIMENT_LABELS: Final = ("positive", "negative", "neutral")

tracked_items = sa.Table(
    "tracked_items",
    metadata,
    sa.Column("tracked_item_id", Integer, primary_key=True, autoincrement=True),
    required("ticker", Text),
    required("item_type", Text),
    required("search_queries", Text),
    required("is_active", Flag),
    required("created_us"),
    sa.Column("last_collected_us", Integer),
    required("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    sa.UniqueConstraint("ticker"),
    sa.CheckConstraint("ticker <> ''", name="ticker"),
    one_of("item_type", TRACKED_ITEM_TYPES),
    *json_arrays("search_queries"),
    *flags("is_active"),
    sqlite_strict=True,
)

news_articles = sa.Table(
    "news_articles",
    metadata,
    sa.Column("news_article_id", Integer, primary_key=True, autoincrement=True),
    required("url", Text),
    required("title", Text),
    required("source_domain", Text),
    sa.Column("published_us", Integer),
    required("collected_us"),
    sa.Column("text_snippet", Text),
    sa.Column("full_text", Text),
    sa.Column("exa_request_id", Text),
    required("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    sa.UniqueConstraint("url"),
    sa.Index("ix_news_articles_published_us", "published_us"),
    sa.Index("ix_news_articles_collected_us", "collected_us"),
    sa.CheckConstraint("url <> ''", name="url"),
    sqlite_strict=True,
)


def _article() -> sa.Column[int]:
    return sa.Column(
        "news_article_id", Integer, sa.ForeignKey("news_articles.news_article_id"), primary_key=True, nullable=False
    )


news_article_markets = sa.Table(
    "news_article_markets",
    metadata,
    _article(),
    sa.Column("ticker", Text, sa.ForeignKey("markets.ticker"), primary_key=True, nullable=False, index=True),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

news_article_events = sa.Table(
    "news_article_events",
    metadata,
    _article(),
    sa.Column("event_ticker", Text, sa.ForeignKey("events.event_ticker"), primary_key=True, nullable=False, index=True),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

news_sentiments = sa.Table(
    "news_sentiments",
    metadata,
    sa.Column("news_sentiment_id", Integer, primary_key=True, autoincrement=True),
    required("news_article_id", Integer, sa.ForeignKey("news_articles.news_article_id")),
    required("analyzed_us"),
    required("score", Real),
    required("label", Text),
    required("confidence", Real),
    required("method", Text),
    sa.Column("keywords_matched", Text),
    required("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    sa.UniqueConstraint("news_article_id", "method", "analyzed_us"),
    one_of("label", SENTIMENT_LABELS),
    sa.CheckConstraint("score BETWEEN -1 AND 1", name="score"),
    sa.CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
    *json_arrays("keywords_matched"),
    sqlite_strict=True,
)
