"""Allow rate budgets of the exchange's own buckets only."""

import sqlalchemy as sa
from alembic import op

from kalshi_pipelines.warehouse.migration_steps import changed_table

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BUCKETS = ("read", "balance")


def upgrade() -> None:
    clean_up()
    with changed_table("rate_budgets") as budgets:
        budgets.create_check_constraint(op.f("ck_rate_budgets_bucket"), "bucket IN ('read', 'balance')")


def clean_up() -> None:
    """Delete rate budgets of buckets that no request is charged to. No code reads these budgets."""
    budgets = sa.table("rate_budgets", sa.column("bucket", sa.Text()))
    op.execute(sa.delete(budgets).where(budgets.c.bucket.not_in(BUCKETS)))


def downgrade() -> None:
    with changed_table("rate_budgets") as budgets:
        budgets.drop_constraint(op.f("ck_rate_budgets_bucket"), type_="check")
