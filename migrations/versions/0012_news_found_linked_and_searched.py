"""Add news sources, search results, reasons for links, stories, sentiment windows, and full-text search."""

import sqlalchemy as sa
from alembic import op

from kalshi_pipelines.warehouse.migration_steps import changed_table, dialect, refuse_to_lose

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
Real: sa.types.TypeEngine[float] = sa.Double().with_variant(sa.REAL(), "sqlite")

SUBJECTS = "'series', 'events', 'markets', 'orderbooks'"
NEWS_SUBJECTS = "'news_articles', 'news_market_links', 'news_sentiment'"
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
SEARCHED_TEXT = "title || ' ' || coalesce(left(full_text, 50000), text_snippet, '')"
FULL_TEXT = (
    "CREATE VIRTUAL TABLE news_search USING fts5(title, text_snippet, full_text, content='news_articles', content_rowid='news_article_id', tokenize='porter unicode61 remove_diacritics 2')",
    "INSERT INTO news_search (news_search) VALUES ('rebuild')",
    "CREATE TRIGGER news_indexing_insert AFTER INSERT ON news_articles BEGIN INSERT INTO news_search (rowid, title, text_snippet, full_text) VALUES (new.news_article_id, new.title, new.text_snippet, new.full_text); END",
    "CREATE TRIGGER news_indexing_delete AFTER DELETE ON news_articles BEGIN INSERT INTO news_search (news_search, rowid, title, text_snippet, full_text) VALUES ('delete', old.news_article_id, old.title, old.text_snippet, old.full_text); END",
    "CREATE TRIGGER news_indexing_update AFTER UPDATE OF title, text_snippet, full_text ON news_articles BEGIN INSERT INTO news_search (news_search, rowid, title, text_snippet, full_text) VALUES ('delete', old.news_article_id, old.title, old.text_snippet, old.full_text); INSERT INTO news_search (rowid, title, text_snippet, full_text) VALUES (new.news_article_id, new.title, new.text_snippet, new.full_text); END",
)


def upgrade() -> None:
    clean_up()
    with changed_table("ingest_runs") as runs:
        runs.drop_constraint(op.f("ck_ingest_runs_subject"), type_="check")
        runs.create_check_constraint(
            op.f("ck_ingest_runs_subject"), f"subject IN ({SUBJECTS}, {NEWS_SUBJECTS}, 'adoption')"
        )
    with changed_table("quarantine") as quarantine:
        quarantine.drop_constraint(op.f("ck_quarantine_subject"), type_="check")
        quarantine.create_check_constraint(
            op.f("ck_quarantine_subject"), f"subject IN ({SUBJECTS}, {NEWS_SUBJECTS}, {LEGACY_SUBJECTS})"
        )
    with changed_table("tracked_items") as items:
        # The run is NULL for an item that a person tracks by hand.
        items.alter_column("ingest_run_id", existing_type=Integer, nullable=True)
    _add_to_articles()
    for table in ("news_article_markets", "news_article_events"):
        _add_to_links(table)
    _make_tables()
    if dialect() == "sqlite":
        for statement in FULL_TEXT:
            op.execute(sa.text(statement.replace(":", "\\:")))
    else:
        op.execute(
            f"CREATE INDEX ix_news_articles_search ON news_articles USING gin (to_tsvector('english', {SEARCHED_TEXT}))"
        )


def clean_up() -> None:
    """Do nothing: no row can break the new constraints.

    Each new constraint is looser than the constraint it replaces, or concerns an empty column or table.
    """


def _add_to_articles() -> None:
    with changed_table("news_articles") as articles:
        articles.add_column(sa.Column("language", sa.Text(), nullable=True))
        articles.add_column(sa.Column("group_id", Integer, nullable=True))
        articles.add_column(sa.Column("text_sketch", sa.LargeBinary(), nullable=True))
        articles.create_check_constraint(op.f("ck_news_articles_language_length"), "length(language) <= 35")
    op.create_index(op.f("ix_news_articles_group_id"), "news_articles", ["group_id"])


def _add_to_links(table: str) -> None:
    with changed_table(table) as links:
        links.add_column(sa.Column("relevance", Real, nullable=True))
        links.add_column(sa.Column("relevance_method", sa.Text(), nullable=True))
        links.add_column(sa.Column("provider", sa.Text(), nullable=True))
        links.add_column(sa.Column("query", sa.Text(), nullable=True))
        links.add_column(sa.Column("rank", Integer, nullable=True))
        links.add_column(sa.Column("linked_us", Integer, nullable=True))
        links.create_check_constraint(op.f(f"ck_{table}_relevance"), "relevance BETWEEN 0 AND 1")
        links.create_check_constraint(
            op.f(f"ck_{table}_relevance_of_a_method"), "(relevance IS NULL) = (relevance_method IS NULL)"
        )
        links.create_check_constraint(op.f(f"ck_{table}_rank"), "rank >= 1")


def _run_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f(f"fk_{table}_ingest_run_id_ingest_runs")
    )


def _article_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["news_article_id"],
        ["news_articles.news_article_id"],
        name=op.f(f"fk_{table}_news_article_id_news_articles"),
    )


def _make_tables() -> None:
    op.create_table(
        "news_article_sources",
        sa.Column("news_article_id", Integer, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("provider_article_id", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("found_us", Integer, nullable=False),
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.CheckConstraint("provider <> ''", name=op.f("ck_news_article_sources_provider")),
        sa.CheckConstraint("url <> ''", name=op.f("ck_news_article_sources_url")),
        _run_key("news_article_sources"),
        _article_key("news_article_sources"),
        sa.PrimaryKeyConstraint("news_article_id", "provider", name=op.f("pk_news_article_sources")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "news_finds",
        sa.Column("item_type", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("news_article_id", Integer, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("rank", Integer, nullable=False),
        sa.Column("found_us", Integer, nullable=False),
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.CheckConstraint("item_type IN ('market', 'event')", name=op.f("ck_news_finds_item_type")),
        sa.CheckConstraint("ticker <> ''", name=op.f("ck_news_finds_ticker")),
        sa.CheckConstraint("provider <> ''", name=op.f("ck_news_finds_provider")),
        sa.CheckConstraint("rank >= 1", name=op.f("ck_news_finds_rank")),
        _run_key("news_finds"),
        _article_key("news_finds"),
        sa.PrimaryKeyConstraint(
            "item_type", "ticker", "news_article_id", "provider", "query", name=op.f("pk_news_finds")
        ),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_news_finds_found_us", "news_finds", ["found_us"])
    _make_windows()


def _make_windows() -> None:
    name = "news_sentiment_windows"
    counts = ("positive", "neutral", "negative", "without_published_time")
    op.create_table(
        name,
        sa.Column("item_type", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("days", Integer, nullable=False),
        sa.Column("until_us", Integer, nullable=False),
        *[sa.Column(each, Integer, nullable=False) for each in ("articles", "stories", *counts)],
        sa.Column("mean_score", Real, nullable=False),
        sa.Column("weighted_score", Real, nullable=False),
        sa.Column("weight", Real, nullable=False),
        sa.Column("previous_weighted_score", Real, nullable=True),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("computed_us", Integer, nullable=False),
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.CheckConstraint("item_type IN ('market', 'event')", name=op.f(f"ck_{name}_item_type")),
        sa.CheckConstraint("ticker <> ''", name=op.f(f"ck_{name}_ticker")),
        sa.CheckConstraint("days >= 1", name=op.f(f"ck_{name}_days")),
        *[sa.CheckConstraint(f"{each} >= 0", name=op.f(f"ck_{name}_{each}")) for each in counts],
        sa.CheckConstraint("stories BETWEEN 1 AND articles", name=op.f(f"ck_{name}_stories")),
        sa.CheckConstraint("positive + neutral + negative = stories", name=op.f(f"ck_{name}_every_story_labelled")),
        *[
            sa.CheckConstraint(f"{each} BETWEEN -1 AND 1", name=op.f(f"ck_{name}_{each}"))
            for each in ("mean_score", "weighted_score", "previous_weighted_score")
        ],
        sa.CheckConstraint("weight >= 0", name=op.f(f"ck_{name}_weight")),
        _run_key(name),
        sa.PrimaryKeyConstraint("item_type", "ticker", "days", "until_us", name=op.f(f"pk_{name}")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for table in ("news_sentiment_windows", "news_finds", "news_article_sources"):
        refuse_to_lose(table)
    refuse_to_lose("ingest_runs", f"subject IN ({NEWS_SUBJECTS})")
    refuse_to_lose("quarantine", f"subject IN ({NEWS_SUBJECTS})")
    refuse_to_lose("tracked_items", "ingest_run_id IS NULL")
    refuse_to_lose("news_articles", "language IS NOT NULL OR group_id IS NOT NULL OR text_sketch IS NOT NULL")
    why = ("relevance", "relevance_method", "provider", "query", "rank", "linked_us")
    links = ("news_article_markets", "news_article_events")
    for table in links:
        refuse_to_lose(table, " OR ".join(f"{column} IS NOT NULL" for column in why))
    if dialect() == "sqlite":
        for verb in ("insert", "delete", "update"):
            op.execute(f"DROP TRIGGER news_indexing_{verb}")
        op.execute("DROP TABLE news_search")
    else:
        op.execute("DROP INDEX ix_news_articles_search")
    for table in ("news_sentiment_windows", "news_finds", "news_article_sources"):
        op.drop_table(table)
    for table in links:
        with changed_table(table) as changed:
            for check in ("relevance", "relevance_of_a_method", "rank"):
                changed.drop_constraint(op.f(f"ck_{table}_{check}"), type_="check")
            for column in reversed(why):
                changed.drop_column(column)
    op.drop_index(op.f("ix_news_articles_group_id"), table_name="news_articles")
    with changed_table("news_articles") as articles:
        articles.drop_constraint(op.f("ck_news_articles_language_length"), type_="check")
        for column in ("text_sketch", "group_id", "language"):
            articles.drop_column(column)
    with changed_table("tracked_items") as items:
        items.alter_column("ingest_run_id", existing_type=Integer, nullable=False)
    with changed_table("quarantine") as quarantine:
        quarantine.drop_constraint(op.f("ck_quarantine_subject"), type_="check")
        quarantine.create_check_constraint(op.f("ck_quarantine_subject"), f"subject IN ({SUBJECTS}, {LEGACY_SUBJECTS})")
    with changed_table("ingest_runs") as runs:
        runs.drop_constraint(op.f("ck_ingest_runs_subject"), type_="check")
        runs.create_check_constraint(op.f("ck_ingest_runs_subject"), f"subject IN ({SUBJECTS}, 'adoption')")
