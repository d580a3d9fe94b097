"""Tables of evidence: the journal's identity, the audit log (a chain of hashes), the chain's head, and its anchors."""

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.tables.columns import (
    ENVIRONMENTS,
    Integer,
    Text,
    audit_id,
    hexadecimal,
    metadata,
    one_of,
    optional,
    required,
    text_of,
)

#: The kinds of record in the audit log.
AUDIT_KINDS = (
    "genesis",
    "binding",
    "session",
    "session_end",
    "group",
    "approval",
    "attempt",
    "plan",
    "deny",
    "reserve",
    "abandon",
    "simulate",
    "send",
    "answer",
    "unknown",
    "resting",
    "executed",
    "canceled",
    "rejected",
    "absent",
    "cancel",
    "fence",
    "sweep",
    "resolve",
    "reconciliation",
    "fill",
    "foreign",
    "settle",
    "opening",
    "breach",
    "review",
    "kill",
    "release",
    "config",
    "note",
    "realise",
    "anchor_failed",
    "re_anchor",
    "signature",
    "acknowledge",
)

#: ``failed``: an anchor could not be written. ``re_anchored``: anchors were missing, and a person checked the journal.
#: ``adopted``: the journal itself was restored or replaced, and a person checked the account.
ANCHOR_EVENT_KINDS = ("failed", "re_anchored", "adopted")

audit_kinds = sa.Table(
    "audit_kinds",
    metadata,
    sa.Column("kind", Text, primary_key=True, nullable=False),
    sqlite_strict=True,
)

journal_identity = sa.Table(
    "journal_identity",
    metadata,
    sa.Column("one", Integer, primary_key=True, autoincrement=False),
    required("database_id", Text),
    required("environment", Text),
    required("created_us"),
    sa.CheckConstraint("one = 1", name="only_row"),
    text_of("database_id", 16, 64),
    one_of("environment", ENVIRONMENTS),
    # Foreign keys refer to the journal's environment, so no key binding or session can belong to another environment.
    sa.UniqueConstraint("environment"),
    sqlite_strict=True,
)

audit_log = sa.Table(
    "audit_log",
    metadata,
    sa.Column("seq", Integer, primary_key=True, autoincrement=False),
    sa.Column("prev_seq", Integer),
    sa.Column("prev_hash", Text),
    required("hash", Text),
    required("kind", Text, sa.ForeignKey("audit_kinds.kind")),
    required("body", Text),
    sa.UniqueConstraint("seq", "hash"),
    sa.CheckConstraint(
        "(seq = 0 AND prev_seq IS NULL AND prev_hash IS NULL AND kind = 'genesis') OR "
        "(seq > 0 AND prev_seq IS NOT NULL AND prev_hash IS NOT NULL AND prev_seq = seq - 1 AND kind <> 'genesis')",
        name="chain",
    ),
    sa.ForeignKeyConstraint(["prev_seq", "prev_hash"], ["audit_log.seq", "audit_log.hash"]),
    hexadecimal("hash"),
    sqlite_strict=True,
)

#: The head of the audit chain: the number and hash of its last record, updated by a trigger. Every writing transaction
#: locks this row. The row also reveals if the end of the audit log was deleted.
audit_head = sa.Table(
    "audit_head",
    metadata,
    sa.Column("one", Integer, primary_key=True, autoincrement=False),
    required("seq"),
    required("hash", Text),
    sa.CheckConstraint("one = 1", name="only_row"),
    sa.ForeignKeyConstraint(["seq", "hash"], ["audit_log.seq", "audit_log.hash"]),
    sqlite_strict=True,
)

anchors = sa.Table(
    "anchors",
    metadata,
    sa.Column("seq", Integer, primary_key=True, autoincrement=False),
    sa.Column("place", Text, primary_key=True, nullable=False),
    required("hash", Text),
    required("at_us"),
    sa.ForeignKeyConstraint(["seq", "hash"], ["audit_log.seq", "audit_log.hash"]),
    sqlite_strict=True,
)

#: Anchors that could not be written, and decisions of persons to anchor the journal again. Anchors from before such a
#: decision need not be in the anchor file any more. The column ``place`` is the path of the anchor file.
anchor_events = sa.Table(
    "anchor_events",
    metadata,
    audit_id("event_id"),
    required("kind", Text),
    required("place", Text),
    required("by_whom", Text),
    required("reason", Text),
    required("at_us"),
    optional("reconciliation_id", Integer, sa.ForeignKey("reconciliations.reconciliation_id")),
    one_of("kind", ANCHOR_EVENT_KINDS),
    sa.CheckConstraint("kind = 'failed' OR reconciliation_id IS NOT NULL", name="reconciled"),
    text_of("place", 1, 4_096),
    text_of("by_whom", 1, 200),
    text_of("reason", 1, 4_000),
    sqlite_strict=True,
)
