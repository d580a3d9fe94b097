"""Keep the changes of fees: which fees a series or an event has from which time on.

A downgrade is refused once changes are stored, because the exchange may not list past changes for ever.
"""

import sqlalchemy as sa
from alembic import op

from kalshi_pipelines.warehouse.migration_steps import refuse_to_lose

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
CHECKS = {
    "scope": "scope IN ('series', 'event')",
    "source": "source IN ('scheduled', 'seen')",
    "ticker": "ticker <> ''",
    "change_id": "change_id <> ''",
    "effective_us": "effective_us >= 0",
    "series_has_fees": "scope = 'event' OR (fee_type IS NOT NULL AND fee_multiplier IS NOT NULL)",
    "event_has_a_series": "(scope = 'event') = (series_ticker IS NOT NULL)",
    "withdrawn_later": "withdrawn_us >= recorded_us",
}


def upgrade() -> None:
    op.create_table(
        "fee_changes",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("change_id", sa.Text(), nullable=False),
        sa.Column("recorded_us", Integer, nullable=False),
        sa.Column("series_ticker", sa.Text(), nullable=True),
        sa.Column("effective_us", Integer, nullable=False),
        sa.Column("fee_type", sa.Text(), nullable=True),
        sa.Column("fee_multiplier", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("withdrawn_us", Integer, nullable=True),
        *[sa.CheckConstraint(check, name=op.f(f"ck_fee_changes_{name}")) for name, check in CHECKS.items()],
        sa.PrimaryKeyConstraint("scope", "ticker", "change_id", "recorded_us", name=op.f("pk_fee_changes")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    refuse_to_lose("fee_changes")
    op.drop_table("fee_changes")
