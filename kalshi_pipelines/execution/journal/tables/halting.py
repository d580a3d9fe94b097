"""Tables for stopping trading and for resolving unknown orders.

They hold kill events, fences, sweeps, resolutions and reconciliations.
"""

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.tables.columns import (
    ENVIRONMENTS,
    Integer,
    Text,
    audit_id,
    audited,
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

#: Engagements and releases of the kill switch. The newest row is the present state; without any row the switch counts
#: as engaged. A row of a release names the engagement that it ends and the person who engaged the switch.
kill_events = sa.Table(
    "kill_events",
    metadata,
    sa.Column("seq", Integer, primary_key=True, autoincrement=False),
    optional("prev_seq"),
    *flag("engaged"),
    required("level"),
    required("source", Text),
    required("by_whom", Text),
    required("reason", Text),
    required("at_us"),
    optional("released_seq"),
    optional("engaged_by", Text),
    optional("released_engaged"),
    optional("reconciliation_id", Integer, sa.ForeignKey("reconciliations.reconciliation_id")),
    audited(),
    sa.UniqueConstraint("seq", "by_whom", "engaged"),
    sa.ForeignKeyConstraint(["prev_seq"], ["kill_events.seq"]),
    sa.ForeignKeyConstraint(
        ["released_seq", "engaged_by", "released_engaged"],
        ["kill_events.seq", "kill_events.by_whom", "kill_events.engaged"],
    ),
    sa.CheckConstraint(
        "(seq = 1 AND prev_seq IS NULL) OR (seq > 1 AND prev_seq IS NOT NULL AND prev_seq = seq - 1)", name="chain"
    ),
    sa.CheckConstraint(
        "(engaged = 1 AND released_seq IS NULL AND engaged_by IS NULL AND released_engaged IS NULL AND "
        "level BETWEEN 1 AND 3) OR (engaged = 0 AND released_seq IS NOT NULL AND engaged_by IS NOT NULL AND "
        "released_engaged IS NOT NULL AND released_engaged = 1 AND level = 0)",
        name="release_names_engagement",
    ),
    sa.CheckConstraint("engaged = 1 OR by_whom <> engaged_by", name="released_by_another"),
    sa.CheckConstraint("engaged = 1 OR released_seq = prev_seq", name="releases_the_newest"),
    text_of("by_whom", 1, 200),
    text_of("reason", 1, 4_000),
    text_of("source", 1, 100),
    sqlite_strict=True,
)

fences = sa.Table(
    "fences",
    metadata,
    audit_id("fence_id"),
    required("order_group_id", Text, sa.ForeignKey("session_groups.order_group_id")),
    required("fenced_us"),
    sa.UniqueConstraint("order_group_id"),
    sa.UniqueConstraint("fence_id", "fenced_us"),
    sa.UniqueConstraint("fence_id", "order_group_id"),
    sqlite_strict=True,
)

#: Sweeps: each row is one read of all orders of a market. A sweep can prove that an order is absent. For
#: this proof the sweep must be complete, and the exchange's answer must be newer than the fence of the order group.
sweeps = sa.Table(
    "sweeps",
    metadata,
    audit_id("sweep_id"),
    required("fence_id"),
    required("fenced_us"),
    required("ticker", Text),
    required("started_us"),
    required("as_of_us"),
    required("pages"),
    required("pages_sha256", Text),
    *flag("complete"),
    sa.UniqueConstraint("sweep_id", "fence_id", "ticker", "complete"),
    sa.ForeignKeyConstraint(["fence_id", "fenced_us"], ["fences.fence_id", "fences.fenced_us"]),
    sa.CheckConstraint("complete = 0 OR (as_of_us > fenced_us AND pages > 0)", name="proves_absence"),
    *not_negative("pages"),
    hexadecimal("pages_sha256"),
    sqlite_strict=True,
)

#: Proofs that an order is absent: the order's group was fenced, and its market was swept afterwards. Without a row in
#: this table, an order cannot get the state "absent".
resolutions = sa.Table(
    "resolutions",
    metadata,
    audit_id("resolution_id"),
    required("intent_id"),
    required("order_group_id", Text),
    required("ticker", Text),
    required("fence_id"),
    required("sweep_id"),
    required("complete"),
    required("at_us"),
    sa.UniqueConstraint("intent_id"),
    sa.UniqueConstraint("resolution_id", "intent_id"),
    sa.ForeignKeyConstraint(["fence_id", "order_group_id"], ["fences.fence_id", "fences.order_group_id"]),
    sa.ForeignKeyConstraint(
        ["sweep_id", "fence_id", "ticker", "complete"],
        ["sweeps.sweep_id", "sweeps.fence_id", "sweeps.ticker", "sweeps.complete"],
    ),
    sa.ForeignKeyConstraint(
        ["intent_id", "order_group_id", "ticker"],
        ["intents.intent_id", "intents.order_group_id", "intents.ticker"],
    ),
    sa.CheckConstraint("complete = 1", name="complete"),
    sqlite_strict=True,
)

reconciliations = sa.Table(
    "reconciliations",
    metadata,
    audit_id("reconciliation_id"),
    required("environment", Text),
    required("subaccount"),
    required("started_us"),
    required("as_of_us"),
    required("finished_us"),
    *flag("clean"),
    required("differences"),
    required("report", Text),
    one_of("environment", ENVIRONMENTS),
    between("subaccount", 0, 63),
    *not_negative("differences"),
    sa.CheckConstraint("finished_us >= started_us", name="lifetime"),
    sa.CheckConstraint("clean = 0 OR differences = 0", name="clean_has_no_differences"),
    sa.Index(None, "environment", "subaccount", "finished_us"),
    sqlite_strict=True,
)
