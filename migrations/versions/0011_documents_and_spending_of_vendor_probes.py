"""Create tables of vendor documents and of spending at vendors."""

import sqlalchemy as sa
from alembic import op

from kalshi_pipelines.warehouse.migration_steps import refuse_to_lose

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "vendor_documents",
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("accepted_us", Integer, nullable=False),
        sa.CheckConstraint(
            "digest IS NULL OR CASE WHEN json_valid(digest) THEN json_type(digest) = 'object' ELSE 0 END",
            name=op.f("ck_vendor_documents_digest"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint("document <> ''", name=op.f("ck_vendor_documents_document")),
        sa.CheckConstraint("jsonb_typeof(digest::jsonb) = 'object'", name=op.f("ck_vendor_documents_digest")).ddl_if(
            dialect="postgresql"
        ),
        sa.CheckConstraint("length(sha256) = 64", name=op.f("ck_vendor_documents_sha256")),
        sa.PrimaryKeyConstraint("document", name=op.f("pk_vendor_documents")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "vendor_spending",
        sa.Column("spending_id", Integer, autoincrement=True, nullable=False),
        sa.Column("vendor", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("ingest_run_id", Integer, nullable=True),
        sa.Column("at_us", Integer, nullable=False),
        sa.Column("reserved_microdollars", Integer, nullable=False),
        sa.Column("spent_microdollars", Integer, nullable=True),
        sa.CheckConstraint("vendor <> ''", name=op.f("ck_vendor_spending_vendor")),
        sa.CheckConstraint("purpose IN ('probes', 'news')", name=op.f("ck_vendor_spending_purpose")),
        sa.CheckConstraint("reserved_microdollars >= 0", name=op.f("ck_vendor_spending_reserved_microdollars")),
        sa.CheckConstraint("spent_microdollars >= 0", name=op.f("ck_vendor_spending_spent_microdollars")),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f("fk_vendor_spending_ingest_run_id_ingest_runs")
        ),
        sa.PrimaryKeyConstraint("spending_id", name=op.f("pk_vendor_spending")),
        sqlite_strict=True,
    )
    op.create_index("ix_vendor_spending_vendor_at_us", "vendor_spending", ["vendor", "at_us"], unique=False)
    op.create_index(op.f("ix_vendor_spending_ingest_run_id"), "vendor_spending", ["ingest_run_id"], unique=False)


def downgrade() -> None:
    for table in ("vendor_documents", "vendor_spending"):
        refuse_to_lose(table)
    op.drop_index(op.f("ix_vendor_spending_ingest_run_id"), table_name="vendor_spending")
    op.drop_index("ix_vendor_spending_vendor_at_us", table_name="vendor_spending")
    op.drop_table("vendor_spending")
    op.drop_table("vendor_documents")
