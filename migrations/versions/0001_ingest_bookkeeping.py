"""Create tables of ingest runs, watermarks, quarantine and the shared rate budgets."""

import sqlalchemy as sa
from alembic import op

from kalshi_pipelines.warehouse.migration_steps import refuse_to_lose

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "ingest_runs",
        sa.Column("ingest_run_id", Integer, autoincrement=True, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("dagster_run_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started_us", Integer, nullable=False),
        sa.Column("finished_us", Integer, nullable=True),
        sa.Column("pages", Integer, nullable=False),
        sa.Column("records_read", Integer, nullable=False),
        sa.Column("records_written", Integer, nullable=False),
        sa.Column("records_unchanged", Integer, nullable=False),
        sa.Column("records_rejected", Integer, nullable=False),
        sa.Column("history_rows", Integer, nullable=False),
        sa.Column("exported_us", Integer, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("(status = 'running') = (finished_us IS NULL)", name=op.f("ck_ingest_runs_finished")),
        sa.CheckConstraint("environment IN ('sandbox', 'demo', 'prod')", name=op.f("ck_ingest_runs_environment")),
        sa.CheckConstraint("status IN ('running', 'succeeded', 'failed')", name=op.f("ck_ingest_runs_status")),
        sa.CheckConstraint(
            "subject IN ('series', 'events', 'markets', 'orderbooks')", name=op.f("ck_ingest_runs_subject")
        ),
        sa.CheckConstraint("history_rows >= 0", name=op.f("ck_ingest_runs_history_rows")),
        sa.CheckConstraint("pages >= 0", name=op.f("ck_ingest_runs_pages")),
        sa.CheckConstraint(
            "records_read = records_written + records_unchanged + records_rejected",
            name=op.f("ck_ingest_runs_every_record_accounted_for"),
        ),
        sa.CheckConstraint("records_read >= 0", name=op.f("ck_ingest_runs_records_read")),
        sa.CheckConstraint("records_rejected >= 0", name=op.f("ck_ingest_runs_records_rejected")),
        sa.CheckConstraint("records_unchanged >= 0", name=op.f("ck_ingest_runs_records_unchanged")),
        sa.CheckConstraint("records_written >= 0", name=op.f("ck_ingest_runs_records_written")),
        sa.PrimaryKeyConstraint("ingest_run_id", name=op.f("pk_ingest_runs")),
        sqlite_strict=True,
    )
    op.create_table(
        "rate_budgets",
        sa.Column("budget_key", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("theoretical_arrival_us", Integer, nullable=False),
        sa.PrimaryKeyConstraint("budget_key", "bucket", name=op.f("pk_rate_budgets")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "quarantine",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("record_key", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("payload_digest", sa.LargeBinary(), nullable=False),
        sa.Column("first_quarantined_us", Integer, nullable=False),
        sa.Column("quarantined_us", Integer, nullable=False),
        sa.Column("resolved_us", Integer, nullable=True),
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.CheckConstraint(
            "subject IN ('series', 'events', 'markets', 'orderbooks')", name=op.f("ck_quarantine_subject")
        ),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f("fk_quarantine_ingest_run_id_ingest_runs")
        ),
        sa.PrimaryKeyConstraint("subject", "record_key", name=op.f("pk_quarantine")),
        sqlite_strict=True,
    )
    op.create_table(
        "watermarks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position_us", Integer, nullable=False),
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f("fk_watermarks_ingest_run_id_ingest_runs")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_watermarks")),
        sqlite_strict=True,
    )


def downgrade() -> None:
    for table in ("watermarks", "quarantine", "rate_budgets", "ingest_runs"):
        refuse_to_lose(table)
        op.drop_table(table)
