"""Tables of bookkeeping: ingest runs, watermarks, quarantined records, and the shared rate budgets."""

from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.tables.columns import Digest, Integer, Text, metadata, not_negative, one_of, required

RUN_STATUSES: Final = ("running", "succeeded", "failed")
ENVIRONMENTS: Final = ("sandbox", "demo", "prod")
#: Subjects of runs that read from the exchange.
SUBJECTS: Final = ("series", "events", "markets", "orderbooks")
#: Subjects of runs that collect and process news.
NEWS_SUBJECTS: Final = ("news_articles", "news_market_links", "news_sentiment")
#: Subjects of runs that read history day by day. Several runs of one subject work at the same time.
HISTORY_SUBJECTS: Final = ("public_trades", "candlesticks", "fee_schedule")
#: The subject of the run that adopts a legacy database.
ADOPTION: Final = "adoption"
#: The tables of a legacy database. Rows from these tables have quarantine subjects that join ``LEGACY_PREFIX`` and the
#: name of the table.
LEGACY_TABLES: Final = (
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
LEGACY_PREFIX: Final = "kalshi_research."
LEGACY_SUBJECTS: Final = tuple(f"{LEGACY_PREFIX}{table}" for table in LEGACY_TABLES)
#: The rate buckets of the exchange that requests are charged to.
RATE_BUCKETS: Final = ("read", "balance")

ingest_runs = sa.Table(
    "ingest_runs",
    metadata,
    sa.Column("ingest_run_id", Integer, primary_key=True, autoincrement=True),
    required("subject", Text),
    sa.Column("environment", Text),
    sa.Column("dagster_run_id", Text),
    required("status", Text),
    required("started_us"),
    sa.Column("finished_us", Integer),
    *[required(name) for name in ("pages", "records_read", "records_written", "records_unchanged", "records_rejected")],
    required("history_rows"),
    sa.Column("exported_us", Integer),
    sa.Column("error", Text),
    one_of("subject", (*SUBJECTS, *NEWS_SUBJECTS, *HISTORY_SUBJECTS, ADOPTION)),
    one_of("environment", ENVIRONMENTS),
    # Only an adoption has no environment, because a legacy database does not say which exchange its rows are from.
    sa.CheckConstraint(f"(environment IS NULL) = (subject = '{ADOPTION}')", name="environment_known"),
    one_of("status", RUN_STATUSES),
    *not_negative("pages", "records_read", "records_written", "records_unchanged", "records_rejected", "history_rows"),
    sa.CheckConstraint(
        "records_read = records_written + records_unchanged + records_rejected", name="every_record_accounted_for"
    ),
    sa.CheckConstraint("(status = 'running') = (finished_us IS NULL)", name="finished"),
    sqlite_strict=True,
)

watermarks = sa.Table(
    "watermarks",
    metadata,
    sa.Column("name", Text, primary_key=True, nullable=False),
    required("position_us"),
    required("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    sqlite_strict=True,
)

#: The newest read of each list of the exchange. ``position`` is where a read that takes several runs continues.
list_reads = sa.Table(
    "list_reads",
    metadata,
    sa.Column("list_name", Text, primary_key=True, nullable=False),
    required("subject", Text),
    required("records"),
    required("read_us"),
    sa.Column("problem", Text),
    sa.Column("complete_records", Integer),
    sa.Column("complete_us", Integer),
    sa.Column("position", Text),
    required("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    one_of("subject", SUBJECTS),
    sa.CheckConstraint("list_name <> ''", name="list_name"),
    sa.CheckConstraint("problem <> ''", name="problem"),
    *not_negative("records", "complete_records"),
    sa.CheckConstraint("(complete_records IS NULL) = (complete_us IS NULL)", name="complete_read_has_a_time"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

quarantine = sa.Table(
    "quarantine",
    metadata,
    sa.Column("subject", Text, primary_key=True, nullable=False),
    sa.Column("record_key", Text, primary_key=True, nullable=False),
    required("reason", Text),
    required("payload", Text),
    required("payload_digest", Digest),
    required("first_quarantined_us"),
    required("quarantined_us"),
    sa.Column("resolved_us", Integer),
    required("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id")),
    one_of("subject", (*SUBJECTS, *NEWS_SUBJECTS, *HISTORY_SUBJECTS, *LEGACY_SUBJECTS)),
    sqlite_strict=True,
)

rate_budgets = sa.Table(
    "rate_budgets",
    metadata,
    sa.Column("budget_key", Text, primary_key=True, nullable=False),
    sa.Column("bucket", Text, primary_key=True, nullable=False),
    required("theoretical_arrival_us"),
    one_of("bucket", RATE_BUCKETS),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
