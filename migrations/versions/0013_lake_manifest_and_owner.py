"""Create the manifest of the lake and the identity of the warehouse."""

import sqlalchemy as sa
from alembic import op

from kalshi_pipelines.warehouse.migration_steps import refuse_to_lose

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
SLOTS = ", ".join(f"'{slot}'" for slot in ("day", *[f"{hour:02}" for hour in range(24)]))


def upgrade() -> None:
    op.create_table(
        "warehouse_identity",
        sa.Column("warehouse_id", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=True),
        sa.Column("created_us", Integer, nullable=False),
        sa.CheckConstraint(
            "environment IN ('sandbox', 'demo', 'prod')", name=op.f("ck_warehouse_identity_environment")
        ),
        sa.CheckConstraint("length(warehouse_id) = 32", name=op.f("ck_warehouse_identity_warehouse_id")),
        sa.PrimaryKeyConstraint("warehouse_id", name=op.f("pk_warehouse_identity")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "lake_files",
        *[
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("dataset", "partition_date", "slot", "path", "status")
        ],
        sa.Column("rows", Integer, nullable=False),
        sa.Column("bytes", Integer, nullable=False),
        sa.Column("first_us", Integer, nullable=True),
        sa.Column("last_us", Integer, nullable=True),
        sa.Column("sums", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("next_sha256", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("published_us", Integer, nullable=False),
        sa.Column("verified_us", Integer, nullable=True),
        *_checks_of_files(),
        sa.PrimaryKeyConstraint("dataset", "partition_date", "slot", name=op.f("pk_lake_files")),
        sa.UniqueConstraint("path", name=op.f("uq_lake_files_path")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _checks_of_files() -> list[sa.CheckConstraint]:
    datasets = "'price_history', 'orderbook_levels', 'settled_markets', 'past_events'"
    checks = {
        "dataset": f"dataset IN ({datasets})",
        "partition_date": "length(partition_date) = 10",
        "slot": f"slot IN ({SLOTS})",
        "status": "status IN ('publishing', 'open', 'closed')",
        "rows": "rows >= 0",
        "bytes": "bytes >= 0",
        "times": "first_us <= last_us",
        "sha256": "length(sha256) = 64",
        "next_sha256": "length(next_sha256) = 64",
        "publishing_names_the_next_file": "(status = 'publishing') = (next_sha256 IS NOT NULL)",
        "published_file_has_a_hash": "status = 'publishing' OR sha256 IS NOT NULL",
        "file_has_rows": "(sha256 IS NULL) = (rows = 0)",
    }
    json = {
        "sqlite": "sums IS NULL OR CASE WHEN json_valid(sums) THEN json_type(sums) = 'object' ELSE 0 END",
        "postgresql": "jsonb_typeof(sums::jsonb) = 'object'",
    }
    return [
        *[sa.CheckConstraint(check, name=op.f(f"ck_lake_files_{name}")) for name, check in checks.items()],
        *[
            sa.CheckConstraint(check, name=op.f("ck_lake_files_sums")).ddl_if(dialect=dialect)
            for dialect, check in json.items()
        ],
    ]


def downgrade() -> None:
    for table in ("lake_files", "warehouse_identity"):
        refuse_to_lose(table)
        op.drop_table(table)
