"""Tables of the way back after an incident: signatures, acknowledged evidence, and later states of foreign orders."""

from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.tables.columns import (
    ENVIRONMENTS,
    Integer,
    Text,
    audit_id,
    between,
    flag,
    hexadecimal,
    metadata,
    not_negative,
    one_of,
    optional,
    required,
    text_of,
)

#: The two ways in which persons take responsibility for evidence: for an incident, or for an account's history.
EVIDENCE_ACTIONS: Final = ("acknowledge", "adopt")

#: Signatures of persons under the digest of evidence. Evidence that makes caps grow needs two of them.
evidence_signatures = sa.Table(
    "evidence_signatures",
    metadata,
    audit_id("signature_id"),
    required("environment", Text),
    required("subaccount"),
    required("action", Text),
    required("evidence_sha256", Text),
    required("signed_by", Text),
    required("reason", Text),
    required("signed_us"),
    one_of("environment", ENVIRONMENTS),
    between("subaccount", 0, 63),
    one_of("action", EVIDENCE_ACTIONS),
    hexadecimal("evidence_sha256"),
    text_of("signed_by", 1, 200),
    text_of("reason", 1, 4_000),
    sa.Index(None, "evidence_sha256"),
    sqlite_strict=True,
)

acknowledgements = sa.Table(
    "acknowledgements",
    metadata,
    audit_id("acknowledgement_id"),
    required("environment", Text),
    required("subaccount"),
    required("action", Text),
    required("evidence_sha256", Text),
    required("by_whom", Text),
    required("reason", Text),
    *flag("needs_second"),
    optional("second_by", Text),
    optional("second_reason", Text),
    required("at_us"),
    one_of("environment", ENVIRONMENTS),
    between("subaccount", 0, 63),
    one_of("action", EVIDENCE_ACTIONS),
    hexadecimal("evidence_sha256"),
    text_of("by_whom", 1, 200),
    text_of("reason", 1, 4_000),
    sa.CheckConstraint("needs_second = 0 OR second_by IS NOT NULL", name="second_person"),
    sa.CheckConstraint("second_by IS NULL OR second_by <> by_whom", name="another_person"),
    sa.CheckConstraint("(second_by IS NULL) = (second_reason IS NULL)", name="second_reason"),
    sqlite_strict=True,
)

#: The pieces of evidence of an acknowledgement. A piece with an intent ended the journal's tracking of that intent. A
#: piece with an order tells the order's state at the exchange when persons took responsibility for it.
acknowledged_items = sa.Table(
    "acknowledged_items",
    metadata,
    sa.Column("acknowledgement_id", Integer, sa.ForeignKey("audit_log.seq"), primary_key=True, autoincrement=False),
    sa.Column("number", Integer, primary_key=True, autoincrement=False),
    required("kind", Text),
    required("subject", Text),
    required("detail", Text),
    optional("intent_id", Integer, sa.ForeignKey("intents.intent_id")),
    optional("order_id", Text),
    optional("price_centicents"),
    optional("filled_centicontracts"),
    optional("remaining_centicontracts"),
    sa.ForeignKeyConstraint(["acknowledgement_id"], ["acknowledgements.acknowledgement_id"]),
    text_of("kind", 1, 40),
    text_of("subject", 1, 200),
    text_of("detail", 0, 2_000),
    sa.CheckConstraint("order_id IS NULL OR length(order_id) BETWEEN 1 AND 100", name="order_id"),
    sa.Index(None, "intent_id"),
    sa.Index(None, "order_id"),
    sqlite_strict=True,
)

#: Later states of foreign orders that the ledger counts: one row each time that the price or the remaining contracts
#: changed. A row with 0 remaining contracts means that the order no longer rests.
foreign_sightings = sa.Table(
    "foreign_sightings",
    metadata,
    audit_id("sighting_id"),
    required("order_id", Text, sa.ForeignKey("foreign_orders.order_id")),
    required("price_centicents"),
    required("remaining_centicontracts"),
    required("fee_bound_microdollars"),
    between("price_centicents", 0, 10_000),
    *not_negative("remaining_centicontracts", "fee_bound_microdollars"),
    sa.Index(None, "order_id"),
    sqlite_strict=True,
)
