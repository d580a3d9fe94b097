"""Add the table of used armings: each arm token and each armed run opens one live session."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "used_armings",
        sa.Column("arming_sha256", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("audit_seq", Integer, nullable=False),
        sa.CheckConstraint("length(arming_sha256) = 64", name=op.f("ck_used_armings_arming_sha256")),
        sa.CheckConstraint("kind IN ('token', 'run')", name=op.f("ck_used_armings_kind")),
        sa.ForeignKeyConstraint(["audit_seq"], ["audit_log.seq"], name=op.f("fk_used_armings_audit_seq_audit_log")),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.session_id"], name=op.f("fk_used_armings_session_id_sessions")
        ),
        sa.PrimaryKeyConstraint("arming_sha256", name=op.f("pk_used_armings")),
        sa.UniqueConstraint("session_id", "kind", name=op.f("uq_used_armings_session_id_kind")),
        sqlite_strict=True,
    )
    op.bulk_insert(sa.table("denial_reasons", sa.column("code")), [{"code": "arming_used"}])


def downgrade() -> None:
    raise NotImplementedError("a journal is never undone: keep it, and begin another in another place")
