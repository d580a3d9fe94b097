"""Tables of news: tracked markets and events, articles, their links to markets and events, and sentiments."""

from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.tables.columns import (
    Digest,
    Flag,
    Integer,
    Real,
    Text,
    at_most_long,
    flags,
    json_arrays,
    metadata,
    not_negative,
    one_of,
    required,
)

TRACKED_ITEM_TYPES: Final = ("market", "event")
SENTIMENT_LABELS: Final = ("positive", "negative", "neutral")
MOST_LANGUAGE: Final = 35

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
    # The run is NULL for an item that a person tracks by hand.
    sa.Column("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
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
    sa.Column("language", Text),
    # The id of the first article of the same story. NULL in adopted articles, which begin a story of their own.
    sa.Column("group_id", Integer, index=True),
    sa.Column("text_sketch", Digest),
    sa.UniqueConstraint("url"),
    sa.Index("ix_news_articles_published_us", "published_us"),
    sa.Index("ix_news_articles_collected_us", "collected_us"),
    sa.CheckConstraint("url <> ''", name="url"),
    *at_most_long("language", MOST_LANGUAGE),
    sqlite_strict=True,
)


def _link_columns() -> list[Any]:
    """Return columns for the reason of a link. They are NULL in adopted links until the links are scored."""
    return [
        sa.Column("relevance", Real),
        sa.Column("relevance_method", Text),
        sa.Column("provider", Text),
        sa.Column("query", Text),
        sa.Column("rank", Integer),
        sa.Column("linked_us", Integer),
        sa.CheckConstraint("relevance BETWEEN 0 AND 1", name="relevance"),
        sa.CheckConstraint("(relevance IS NULL) = (relevance_method IS NULL)", name="relevance_of_a_method"),
        sa.CheckConstraint("rank >= 1", name="rank"),
    ]


def _article() -> sa.Column[int]:
    return sa.Column(
        "news_article_id", Integer, sa.ForeignKey("news_articles.news_article_id"), primary_key=True, nullable=False
    )


news_article_markets = sa.Table(
    "news_article_markets",
    metadata,
    _article(),
    sa.Column("ticker", Text, sa.ForeignKey("markets.ticker"), primary_key=True, nullable=False, index=True),
    *_link_columns(),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

news_article_events = sa.Table(
    "news_article_events",
    metadata,
    _article(),
    sa.Column("event_ticker", Text, sa.ForeignKey("events.event_ticker"), primary_key=True, nullable=False, index=True),
    *_link_columns(),
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

#: The providers that returned an article, with the ids and URLs that each provider uses for it.
news_article_sources = sa.Table(
    "news_article_sources",
    metadata,
    _article(),
    sa.Column("provider", Text, primary_key=True, nullable=False),
    required("url", Text),
    sa.Column("provider_article_id", Text),
    sa.Column("request_id", Text),
    required("found_us"),
    required("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    sa.CheckConstraint("provider <> ''", name="provider"),
    sa.CheckConstraint("url <> ''", name="url"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

#: Articles that a query for a market or event returned, before their relevance is judged.
news_finds = sa.Table(
    "news_finds",
    metadata,
    sa.Column("item_type", Text, primary_key=True, nullable=False),
    sa.Column("ticker", Text, primary_key=True, nullable=False),
    _article(),
    sa.Column("provider", Text, primary_key=True, nullable=False),
    sa.Column("query", Text, primary_key=True, nullable=False),
    required("rank"),
    required("found_us"),
    required("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    sa.Index("ix_news_finds_found_us", "found_us"),
    one_of("item_type", TRACKED_ITEM_TYPES),
    sa.CheckConstraint("ticker <> ''", name="ticker"),
    sa.CheckConstraint("provider <> ''", name="provider"),
    sa.CheckConstraint("rank >= 1", name="rank"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

#: Sentiment of the articles linked to a market or event, over some days before an instant. A story counts once.
news_sentiment_windows = sa.Table(
    "news_sentiment_windows",
    metadata,
    sa.Column("item_type", Text, primary_key=True, nullable=False),
    sa.Column("ticker", Text, primary_key=True, nullable=False),
    sa.Column("days", Integer, primary_key=True, nullable=False),
    sa.Column("until_us", Integer, primary_key=True, nullable=False),
    *[required(name) for name in ("articles", "stories", "positive", "neutral", "negative", "without_published_time")],
    required("mean_score", Real),
    required("weighted_score", Real),
    required("weight", Real),
    sa.Column("previous_weighted_score", Real),
    required("method", Text),
    required("computed_us"),
    required("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    one_of("item_type", TRACKED_ITEM_TYPES),
    sa.CheckConstraint("ticker <> ''", name="ticker"),
    sa.CheckConstraint("days >= 1", name="days"),
    *not_negative("positive", "neutral", "negative", "without_published_time"),
    sa.CheckConstraint("stories BETWEEN 1 AND articles", name="stories"),
    sa.CheckConstraint("positive + neutral + negative = stories", name="every_story_labelled"),
    sa.CheckConstraint("mean_score BETWEEN -1 AND 1", name="mean_score"),
    sa.CheckConstraint("weighted_score BETWEEN -1 AND 1", name="weighted_score"),
    sa.CheckConstraint("previous_weighted_score BETWEEN -1 AND 1", name="previous_weighted_score"),
    sa.CheckConstraint("weight >= 0", name="weight"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

#: The text that a search reads. A long text is cut to the length that fits into an index of Postgres.
SEARCHED_TEXT: Final = "title || ' ' || coalesce(left(full_text, 50000), text_snippet, '')"
FULL_TEXT_TABLE: Final = "news_search"
FULL_TEXT_INDEX: Final = "ix_news_articles_search"
#: The full-text index of SQLite, in a table that stores no copy of the articles' text. Triggers update the index when
#: articles are written.
FULL_TEXT_STATEMENTS: Final = (
    "CREATE VIRTUAL TABLE news_search USING fts5(title, text_snippet, full_text, content='news_articles', "
    "content_rowid='news_article_id', tokenize='porter unicode61 remove_diacritics 2')",
    "CREATE TRIGGER news_indexing_insert AFTER INSERT ON news_articles BEGIN "
    "INSERT INTO news_search (rowid, title, text_snippet, full_text) "
    "VALUES (new.news_article_id, new.title, new.text_snippet, new.full_text); END",
    "CREATE TRIGGER news_indexing_delete AFTER DELETE ON news_articles BEGIN "
    "INSERT INTO news_search (news_search, rowid, title, text_snippet, full_text) "
    "VALUES ('delete', old.news_article_id, old.title, old.text_snippet, old.full_text); END",
    "CREATE TRIGGER news_indexing_update AFTER UPDATE OF title, text_snippet, full_text ON news_articles BEGIN "
    "INSERT INTO news_search (news_search, rowid, title, text_snippet, full_text) "
    "VALUES ('delete', old.news_article_id, old.title, old.text_snippet, old.full_text); "
    "INSERT INTO news_search (rowid, title, text_snippet, full_text) "
    "VALUES (new.news_article_id, new.title, new.text_snippet, new.full_text); END",
)


def is_full_text_part(name: str) -> bool:
    """Return whether a table or index belongs to full-text search. SQLite keeps several tables for one index."""
    return name in (FULL_TEXT_TABLE, FULL_TEXT_INDEX) or name.startswith(f"{FULL_TEXT_TABLE}_")


def _create_with_articles(statement: str, dialect: str) -> None:
    ddl: Any = sa.DDL  # sqlalchemy.DDL has no type annotations
    sa.event.listen(news_articles, "after_create", ddl(statement).execute_if(dialect=dialect))


_create_with_articles(
    f"CREATE INDEX {FULL_TEXT_INDEX} ON news_articles USING gin (to_tsvector('english', {SEARCHED_TEXT}))", "postgresql"
)
for _statement in FULL_TEXT_STATEMENTS:
    _create_with_articles(_statement, "sqlite")
