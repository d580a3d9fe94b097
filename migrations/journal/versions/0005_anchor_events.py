"""Add the table of anchors that could not be written and of persons' decisions to anchor the journal again.

The revision also adds the audit kinds of these events and the denial reasons of live sessions whose anchors, journal or
account cannot be trusted.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "anchor_events",
        sa.Column("event_id", Integer, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("by_whom", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at_us", Integer, nullable=False),
        sa.Column("reconciliation_id", Integer, nullable=True),
        sa.CheckConstraint("kind IN ('failed', 're_anchored', 'adopted')", name=op.f("ck_anchor_events_kind")),
        sa.CheckConstraint(
            "kind = 'failed' OR reconciliation_id IS NOT NULL", name=op.f("ck_anchor_events_reconciled")
        ),
        sa.CheckConstraint("length(place) BETWEEN 1 AND 4096", name=op.f("ck_anchor_events_place")),
        sa.CheckConstraint("length(by_whom) BETWEEN 1 AND 200", name=op.f("ck_anchor_events_by_whom")),
        sa.CheckConstraint("length(reason) BETWEEN 1 AND 4000", name=op.f("ck_anchor_events_reason")),
        sa.ForeignKeyConstraint(["event_id"], ["audit_log.seq"], name=op.f("fk_anchor_events_event_id_audit_log")),
        sa.ForeignKeyConstraint(
            ["reconciliation_id"],
            ["reconciliations.reconciliation_id"],
            name=op.f("fk_anchor_events_reconciliation_id_reconciliations"),
        ),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_anchor_events")),
        sqlite_strict=True,
    )
    kinds = sa.table("audit_kinds", sa.column("kind"))
    reasons = sa.table("denial_reasons", sa.column("code"))
    op.bulk_insert(kinds, [{"kind": "anchor_failed"}, {"kind": "re_anchor"}])
    op.bulk_insert(
        reasons,
        [
            {"code": "anchors_not_trusted"},
            {"code": "journal_restored"},
            {"code": "journal_has_two_paths"},
            {"code": "another_journal_trades"},
        ],
    )


def downgrade() -> None:
    raise NotImplementedError("a journal is never undone: keep it, and begin another in another place")
