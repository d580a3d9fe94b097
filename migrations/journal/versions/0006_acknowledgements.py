"""Add tables for acknowledgements: signatures, acknowledged evidence, and later states of foreign orders."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "acknowledgements",
        sa.Column("acknowledgement_id", Integer, autoincrement=False, nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("subaccount", Integer, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("evidence_sha256", sa.Text(), nullable=False),
        sa.Column("by_whom", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("needs_second", Integer, nullable=False),
        sa.Column("second_by", sa.Text(), nullable=True),
        sa.Column("second_reason", sa.Text(), nullable=True),
        sa.Column("at_us", Integer, nullable=False),
        sa.CheckConstraint("action IN ('acknowledge', 'adopt')", name=op.f("ck_acknowledgements_action")),
        sa.CheckConstraint("environment IN ('sandbox', 'demo', 'prod')", name=op.f("ck_acknowledgements_environment")),
        sa.CheckConstraint(
            "(second_by IS NULL) = (second_reason IS NULL)", name=op.f("ck_acknowledgements_second_reason")
        ),
        sa.CheckConstraint("length(by_whom) BETWEEN 1 AND 200", name=op.f("ck_acknowledgements_by_whom")),
        sa.CheckConstraint("length(evidence_sha256) = 64", name=op.f("ck_acknowledgements_evidence_sha256")),
        sa.CheckConstraint("length(reason) BETWEEN 1 AND 4000", name=op.f("ck_acknowledgements_reason")),
        sa.CheckConstraint("needs_second = 0 OR second_by IS NOT NULL", name=op.f("ck_acknowledgements_second_person")),
        sa.CheckConstraint("needs_second IN (0, 1)", name=op.f("ck_acknowledgements_needs_second")),
        sa.CheckConstraint(
            "second_by IS NULL OR second_by <> by_whom", name=op.f("ck_acknowledgements_another_person")
        ),
        sa.CheckConstraint("subaccount BETWEEN 0 AND 63", name=op.f("ck_acknowledgements_subaccount")),
        sa.ForeignKeyConstraint(
            ["acknowledgement_id"], ["audit_log.seq"], name=op.f("fk_acknowledgements_acknowledgement_id_audit_log")
        ),
        sa.PrimaryKeyConstraint("acknowledgement_id", name=op.f("pk_acknowledgements")),
        sqlite_strict=True,
    )
    op.create_table(
        "evidence_signatures",
        sa.Column("signature_id", Integer, autoincrement=False, nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("subaccount", Integer, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("evidence_sha256", sa.Text(), nullable=False),
        sa.Column("signed_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("signed_us", Integer, nullable=False),
        sa.CheckConstraint("action IN ('acknowledge', 'adopt')", name=op.f("ck_evidence_signatures_action")),
        sa.CheckConstraint(
            "environment IN ('sandbox', 'demo', 'prod')", name=op.f("ck_evidence_signatures_environment")
        ),
        sa.CheckConstraint("length(evidence_sha256) = 64", name=op.f("ck_evidence_signatures_evidence_sha256")),
        sa.CheckConstraint("length(reason) BETWEEN 1 AND 4000", name=op.f("ck_evidence_signatures_reason")),
        sa.CheckConstraint("length(signed_by) BETWEEN 1 AND 200", name=op.f("ck_evidence_signatures_signed_by")),
        sa.CheckConstraint("subaccount BETWEEN 0 AND 63", name=op.f("ck_evidence_signatures_subaccount")),
        sa.ForeignKeyConstraint(
            ["signature_id"], ["audit_log.seq"], name=op.f("fk_evidence_signatures_signature_id_audit_log")
        ),
        sa.PrimaryKeyConstraint("signature_id", name=op.f("pk_evidence_signatures")),
        sqlite_strict=True,
    )
    op.create_index(
        op.f("ix_evidence_signatures_evidence_sha256"), "evidence_signatures", ["evidence_sha256"], unique=False
    )
    op.create_table(
        "foreign_sightings",
        sa.Column("sighting_id", Integer, autoincrement=False, nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("price_centicents", Integer, nullable=False),
        sa.Column("remaining_centicontracts", Integer, nullable=False),
        sa.Column("fee_bound_microdollars", Integer, nullable=False),
        sa.CheckConstraint("fee_bound_microdollars >= 0", name=op.f("ck_foreign_sightings_fee_bound_microdollars")),
        sa.CheckConstraint("price_centicents BETWEEN 0 AND 10000", name=op.f("ck_foreign_sightings_price_centicents")),
        sa.CheckConstraint("remaining_centicontracts >= 0", name=op.f("ck_foreign_sightings_remaining_centicontracts")),
        sa.ForeignKeyConstraint(
            ["order_id"], ["foreign_orders.order_id"], name=op.f("fk_foreign_sightings_order_id_foreign_orders")
        ),
        sa.ForeignKeyConstraint(
            ["sighting_id"], ["audit_log.seq"], name=op.f("fk_foreign_sightings_sighting_id_audit_log")
        ),
        sa.PrimaryKeyConstraint("sighting_id", name=op.f("pk_foreign_sightings")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_foreign_sightings_order_id"), "foreign_sightings", ["order_id"], unique=False)
    op.create_table(
        "acknowledged_items",
        sa.Column("acknowledgement_id", Integer, autoincrement=False, nullable=False),
        sa.Column("number", Integer, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("intent_id", Integer, nullable=True),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("price_centicents", Integer, nullable=True),
        sa.Column("filled_centicontracts", Integer, nullable=True),
        sa.Column("remaining_centicontracts", Integer, nullable=True),
        sa.CheckConstraint("length(detail) BETWEEN 0 AND 2000", name=op.f("ck_acknowledged_items_detail")),
        sa.CheckConstraint("length(kind) BETWEEN 1 AND 40", name=op.f("ck_acknowledged_items_kind")),
        sa.CheckConstraint("length(subject) BETWEEN 1 AND 200", name=op.f("ck_acknowledged_items_subject")),
        sa.CheckConstraint(
            "order_id IS NULL OR length(order_id) BETWEEN 1 AND 100", name=op.f("ck_acknowledged_items_order_id")
        ),
        sa.ForeignKeyConstraint(
            ["acknowledgement_id"],
            ["acknowledgements.acknowledgement_id"],
            name=op.f("fk_acknowledged_items_acknowledgement_id_acknowledgements"),
        ),
        sa.ForeignKeyConstraint(
            ["acknowledgement_id"], ["audit_log.seq"], name=op.f("fk_acknowledged_items_acknowledgement_id_audit_log")
        ),
        sa.ForeignKeyConstraint(
            ["intent_id"], ["intents.intent_id"], name=op.f("fk_acknowledged_items_intent_id_intents")
        ),
        sa.PrimaryKeyConstraint("acknowledgement_id", "number", name=op.f("pk_acknowledged_items")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_acknowledged_items_intent_id"), "acknowledged_items", ["intent_id"], unique=False)
    op.create_index(op.f("ix_acknowledged_items_order_id"), "acknowledged_items", ["order_id"], unique=False)
    kinds = sa.table("audit_kinds", sa.column("kind"))
    op.bulk_insert(kinds, [{"kind": "signature"}, {"kind": "acknowledge"}])


def downgrade() -> None:
    raise NotImplementedError("a journal is never undone: keep it, and begin another in another place")
