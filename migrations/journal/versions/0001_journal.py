"""Create all tables of the journal: audit chain, sessions, orders, ledger and kill switch."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
LEGAL_TRANSITIONS = (
    ("planned", "denied"),
    ("planned", "reserved"),
    ("reserved", "abandoned"),
    ("reserved", "simulated"),
    ("reserved", "sending"),
    ("sending", "resting"),
    ("sending", "executed"),
    ("sending", "canceled"),
    ("sending", "rejected"),
    ("sending", "unknown"),
    ("unknown", "resting"),
    ("unknown", "executed"),
    ("unknown", "canceled"),
    ("unknown", "absent"),
    ("resting", "pending_cancel"),
    ("resting", "executed"),
    ("resting", "canceled"),
    ("pending_cancel", "resting"),
    ("pending_cancel", "executed"),
    ("pending_cancel", "canceled"),
)

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
)
DENIAL_REASONS = (
    "invalid_proposal",
    "idempotency_conflict",
    "attempt_not_due",
    "proposal_expired",
    "proposal_stale",
    "ticker_not_allowed",
    "not_armed",
    "arm_token_invalid",
    "kill_switch_engaged",
    "environment_mismatch",
    "key_not_fit",
    "session_closed",
    "session_not_exclusive",
    "schema_not_at_head",
    "code_version_changed",
    "contracts_not_checked",
    "contracts_broken",
    "reconciliation_not_clean",
    "unresolved_order",
    "approval_required",
    "origin_not_live",
    "exchange_not_trading",
    "market_not_active",
    "market_not_supported",
    "market_data_stale",
    "book_not_two_sided",
    "price_off_grid",
    "price_outside_band",
    "time_in_force_not_allowed",
    "fee_unknown",
    "self_cross",
    "insufficient_balance",
    "clock_skewed",
    "cap_order_count",
    "cap_notional",
    "cap_worst_loss",
    "cap_position",
    "cap_message_rate",
    "scope_breached",
    "rate_budget_spent",
    "journal_unavailable",
    "check_failed",
    "crashed_before_sending",
)


def upgrade() -> None:
    op.create_table(
        "audit_kinds",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_audit_kinds")),
        sqlite_strict=True,
    )
    op.create_table(
        "denial_reasons",
        sa.Column("code", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_denial_reasons")),
        sqlite_strict=True,
    )
    op.create_table(
        "audit_log",
        sa.Column("seq", Integer, autoincrement=False, nullable=False),
        sa.Column("prev_seq", Integer, nullable=True),
        sa.Column("prev_hash", sa.Text(), nullable=True),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(seq = 0 AND prev_seq IS NULL AND prev_hash IS NULL AND kind = 'genesis') OR (seq > 0 AND prev_seq IS NOT NULL AND prev_hash IS NOT NULL AND prev_seq = seq - 1 AND kind <> 'genesis')",
            name=op.f("ck_audit_log_chain"),
        ),
        sa.CheckConstraint("length(hash) = 64", name=op.f("ck_audit_log_hash")),
        sa.ForeignKeyConstraint(
            ["prev_seq", "prev_hash"],
            ["audit_log.seq", "audit_log.hash"],
            name=op.f("fk_audit_log_prev_seq_prev_hash_audit_log"),
        ),
        sa.ForeignKeyConstraint(["kind"], ["audit_kinds.kind"], name=op.f("fk_audit_log_kind_audit_kinds")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_log")),
        sa.UniqueConstraint("seq", "hash", name=op.f("uq_audit_log_seq_hash")),
        sqlite_strict=True,
    )
    op.create_table(
        "journal_identity",
        sa.Column("one", Integer, autoincrement=False, nullable=False),
        sa.Column("database_id", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("created_us", Integer, nullable=False),
        sa.CheckConstraint("environment IN ('sandbox', 'demo', 'prod')", name=op.f("ck_journal_identity_environment")),
        sa.CheckConstraint("length(database_id) BETWEEN 16 AND 64", name=op.f("ck_journal_identity_database_id")),
        sa.CheckConstraint("one = 1", name=op.f("ck_journal_identity_only_row")),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_journal_identity")),
        sa.UniqueConstraint("environment", name=op.f("uq_journal_identity_environment")),
        sqlite_strict=True,
    )
    op.create_table(
        "legal_transitions",
        sa.Column("from_state", sa.Text(), nullable=False),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("from_state", "to_state", name=op.f("pk_legal_transitions")),
        sqlite_strict=True,
    )
    op.create_table(
        "proposals",
        sa.Column("proposal_id", Integer, autoincrement=True, nullable=False),
        sa.Column("proposed_us", Integer, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("strategy_version", sa.Text(), nullable=False),
        sa.Column("partition", sa.Text(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("leg", sa.Text(), nullable=False),
        sa.Column("attempt", Integer, nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("price_centicents", Integer, nullable=False),
        sa.Column("count_centicontracts", Integer, nullable=False),
        sa.Column("time_in_force", sa.Text(), nullable=False),
        sa.Column("as_of_us", Integer, nullable=False),
        sa.Column("valid_until_us", Integer, nullable=False),
        sa.Column("expires_us", Integer, nullable=True),
        sa.Column("post_only", Integer, nullable=False),
        sa.Column("reduce_only", Integer, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(time_in_force = 'good_till_canceled') = (expires_us IS NOT NULL)", name=op.f("ck_proposals_expiry")
        ),
        sa.CheckConstraint("action IN ('buy', 'sell')", name=op.f("ck_proposals_action")),
        sa.CheckConstraint("actor_kind IN ('person', 'strategy', 'agent')", name=op.f("ck_proposals_actor_kind")),
        sa.CheckConstraint("outcome IN ('yes', 'no')", name=op.f("ck_proposals_outcome")),
        sa.CheckConstraint(
            "time_in_force IN ('fill_or_kill', 'immediate_or_cancel', 'good_till_canceled')",
            name=op.f("ck_proposals_time_in_force"),
        ),
        sa.CheckConstraint("attempt BETWEEN 1 AND 1000", name=op.f("ck_proposals_attempt")),
        sa.CheckConstraint(
            "count_centicontracts BETWEEN 1 AND 1000000000000", name=op.f("ck_proposals_count_centicontracts")
        ),
        sa.CheckConstraint("length(actor_name) BETWEEN 1 AND 200", name=op.f("ck_proposals_actor_name")),
        sa.CheckConstraint("length(leg) BETWEEN 1 AND 100", name=op.f("ck_proposals_leg")),
        sa.CheckConstraint("length(partition) <= 200", name=op.f("ck_proposals_partition_length")),
        sa.CheckConstraint("length(reason) <= 4000", name=op.f("ck_proposals_reason_length")),
        sa.CheckConstraint("length(signal) BETWEEN 1 AND 400", name=op.f("ck_proposals_signal")),
        sa.CheckConstraint("length(source) <= 200", name=op.f("ck_proposals_source_length")),
        sa.CheckConstraint("length(strategy) BETWEEN 1 AND 200", name=op.f("ck_proposals_strategy")),
        sa.CheckConstraint("length(strategy_version) <= 200", name=op.f("ck_proposals_strategy_version_length")),
        sa.CheckConstraint("length(ticker) BETWEEN 1 AND 120", name=op.f("ck_proposals_ticker")),
        sa.CheckConstraint("post_only IN (0, 1)", name=op.f("ck_proposals_post_only")),
        sa.CheckConstraint("price_centicents BETWEEN 1 AND 9999", name=op.f("ck_proposals_price_centicents")),
        sa.CheckConstraint("reduce_only IN (0, 1)", name=op.f("ck_proposals_reduce_only")),
        sa.CheckConstraint("valid_until_us - as_of_us BETWEEN 1 AND 600000000", name=op.f("ck_proposals_validity")),
        sa.PrimaryKeyConstraint("proposal_id", name=op.f("pk_proposals")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_proposals_valid_until_us"), "proposals", ["valid_until_us"], unique=False)
    op.create_table(
        "scopes",
        sa.Column("scope_id", Integer, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("subaccount", Integer, nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("hour", Integer, nullable=True),
        sa.Column("opened_us", Integer, nullable=False),
        sa.Column("orders_cap", Integer, nullable=False),
        sa.Column("notional_cap_microdollars", Integer, nullable=False),
        sa.Column("worst_cap_microdollars", Integer, nullable=False),
        sa.Column("orders", Integer, nullable=False),
        sa.Column("notional_microdollars", Integer, nullable=False),
        sa.Column("worst_microdollars", Integer, nullable=False),
        sa.Column("breached", Integer, nullable=False),
        sa.CheckConstraint("(kind = 'rolling') = (hour IS NOT NULL)", name=op.f("ck_scopes_hour_of_rolling")),
        sa.CheckConstraint("environment IN ('sandbox', 'demo', 'prod')", name=op.f("ck_scopes_environment")),
        sa.CheckConstraint("kind IN ('session', 'day', 'rolling', 'event', 'account')", name=op.f("ck_scopes_kind")),
        sa.CheckConstraint("mode IN ('dry_run', 'live')", name=op.f("ck_scopes_mode")),
        sa.CheckConstraint("breached IN (0, 1)", name=op.f("ck_scopes_breached")),
        sa.CheckConstraint("length(key) BETWEEN 1 AND 200", name=op.f("ck_scopes_key")),
        sa.CheckConstraint(
            "notional_microdollars BETWEEN 0 AND notional_cap_microdollars", name=op.f("ck_scopes_cap_notional")
        ),
        sa.CheckConstraint("orders BETWEEN 0 AND orders_cap", name=op.f("ck_scopes_cap_order_count")),
        sa.CheckConstraint(
            "worst_microdollars <= worst_cap_microdollars OR breached = 1", name=op.f("ck_scopes_cap_worst_loss")
        ),
        sa.CheckConstraint("worst_microdollars >= 0", name=op.f("ck_scopes_worst")),
        sa.PrimaryKeyConstraint("scope_id", name=op.f("pk_scopes")),
        sa.UniqueConstraint(
            "kind",
            "environment",
            "subaccount",
            "mode",
            "key",
            name=op.f("uq_scopes_kind_environment_subaccount_mode_key"),
        ),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_scopes_hour",
        "scopes",
        ["environment", "subaccount", "mode", "hour"],
        unique=False,
        sqlite_where=sa.text("hour IS NOT NULL"),
        postgresql_where=sa.text("hour IS NOT NULL"),
    )
    op.create_table(
        "anchors",
        sa.Column("seq", Integer, autoincrement=False, nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("at_us", Integer, nullable=False),
        sa.ForeignKeyConstraint(
            ["seq", "hash"], ["audit_log.seq", "audit_log.hash"], name=op.f("fk_anchors_seq_hash_audit_log")
        ),
        sa.PrimaryKeyConstraint("seq", "place", name=op.f("pk_anchors")),
        sqlite_strict=True,
    )
    op.create_table(
        "approvals",
        sa.Column("approval_id", Integer, autoincrement=False, nullable=False),
        sa.Column("request_sha256", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=False),
        sa.Column("approved_us", Integer, nullable=False),
        sa.Column("expires_us", Integer, nullable=False),
        sa.CheckConstraint(
            "expires_us > approved_us AND expires_us - approved_us <= 86400000000", name=op.f("ck_approvals_lifetime")
        ),
        sa.CheckConstraint("length(approved_by) BETWEEN 1 AND 200", name=op.f("ck_approvals_approved_by")),
        sa.CheckConstraint("length(request_sha256) = 64", name=op.f("ck_approvals_request_sha256")),
        sa.ForeignKeyConstraint(["approval_id"], ["audit_log.seq"], name=op.f("fk_approvals_approval_id_audit_log")),
        sa.PrimaryKeyConstraint("approval_id", name=op.f("pk_approvals")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_approvals_request_sha256"), "approvals", ["request_sha256"], unique=False)
    op.create_table(
        "audit_head",
        sa.Column("one", Integer, autoincrement=False, nullable=False),
        sa.Column("seq", Integer, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.CheckConstraint("one = 1", name=op.f("ck_audit_head_only_row")),
        sa.ForeignKeyConstraint(
            ["seq", "hash"], ["audit_log.seq", "audit_log.hash"], name=op.f("fk_audit_head_seq_hash_audit_log")
        ),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_audit_head")),
        sqlite_strict=True,
    )
    op.create_table(
        "env_bindings",
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("key_fingerprint", sa.Text(), nullable=False),
        sa.Column("subaccount", Integer, autoincrement=False, nullable=False),
        sa.Column("bound_us", Integer, nullable=False),
        sa.Column("bound_by", sa.Text(), nullable=False),
        sa.Column("audit_seq", Integer, nullable=False),
        sa.CheckConstraint(
            "(environment = 'prod' AND host IN ('external-api.kalshi.com', 'api.elections.kalshi.com')) OR (environment = 'demo' AND host IN ('external-api.demo.kalshi.co', 'demo-api.kalshi.co')) OR (environment = 'sandbox' AND (host LIKE '127.0.0.1:%' OR host LIKE 'localhost:%' OR host LIKE '[::1]:%'))",
            name=op.f("ck_env_bindings_host_of_environment"),
        ),
        sa.CheckConstraint("environment IN ('sandbox', 'demo', 'prod')", name=op.f("ck_env_bindings_environment")),
        sa.CheckConstraint("length(key_fingerprint) BETWEEN 8 AND 64", name=op.f("ck_env_bindings_key_fingerprint")),
        sa.CheckConstraint("subaccount BETWEEN 0 AND 63", name=op.f("ck_env_bindings_subaccount")),
        sa.ForeignKeyConstraint(["audit_seq"], ["audit_log.seq"], name=op.f("fk_env_bindings_audit_seq_audit_log")),
        sa.ForeignKeyConstraint(
            ["environment"], ["journal_identity.environment"], name=op.f("fk_env_bindings_environment_journal_identity")
        ),
        sa.PrimaryKeyConstraint("environment", "host", "key_fingerprint", "subaccount", name=op.f("pk_env_bindings")),
        sa.UniqueConstraint("audit_seq", name=op.f("uq_env_bindings_audit_seq")),
        sa.UniqueConstraint("key_fingerprint", name=op.f("uq_env_bindings_key_fingerprint")),
        sqlite_strict=True,
    )
    op.create_table(
        "foreign_orders",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("price_centicents", Integer, nullable=False),
        sa.Column("remaining_centicontracts", Integer, nullable=False),
        sa.Column("seen_us", Integer, nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("audit_seq", Integer, nullable=False),
        sa.CheckConstraint("side IN ('bid', 'ask')", name=op.f("ck_foreign_orders_side")),
        sa.CheckConstraint("length(order_id) BETWEEN 1 AND 100", name=op.f("ck_foreign_orders_order_id")),
        sa.CheckConstraint("price_centicents BETWEEN 0 AND 10000", name=op.f("ck_foreign_orders_price_centicents")),
        sa.CheckConstraint("remaining_centicontracts >= 0", name=op.f("ck_foreign_orders_remaining_centicontracts")),
        sa.ForeignKeyConstraint(["audit_seq"], ["audit_log.seq"], name=op.f("fk_foreign_orders_audit_seq_audit_log")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_foreign_orders")),
        sa.UniqueConstraint("audit_seq", name=op.f("uq_foreign_orders_audit_seq")),
        sqlite_strict=True,
    )
    op.create_table(
        "reconciliations",
        sa.Column("reconciliation_id", Integer, autoincrement=False, nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("subaccount", Integer, nullable=False),
        sa.Column("started_us", Integer, nullable=False),
        sa.Column("as_of_us", Integer, nullable=False),
        sa.Column("finished_us", Integer, nullable=False),
        sa.Column("clean", Integer, nullable=False),
        sa.Column("differences", Integer, nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.CheckConstraint("environment IN ('sandbox', 'demo', 'prod')", name=op.f("ck_reconciliations_environment")),
        sa.CheckConstraint("clean = 0 OR differences = 0", name=op.f("ck_reconciliations_clean_has_no_differences")),
        sa.CheckConstraint("clean IN (0, 1)", name=op.f("ck_reconciliations_clean")),
        sa.CheckConstraint("differences >= 0", name=op.f("ck_reconciliations_differences")),
        sa.CheckConstraint("finished_us >= started_us", name=op.f("ck_reconciliations_lifetime")),
        sa.CheckConstraint("subaccount BETWEEN 0 AND 63", name=op.f("ck_reconciliations_subaccount")),
        sa.ForeignKeyConstraint(
            ["reconciliation_id"], ["audit_log.seq"], name=op.f("fk_reconciliations_reconciliation_id_audit_log")
        ),
        sa.PrimaryKeyConstraint("reconciliation_id", name=op.f("pk_reconciliations")),
        sqlite_strict=True,
    )
    op.create_index(
        op.f("ix_reconciliations_environment_subaccount_finished_us"),
        "reconciliations",
        ["environment", "subaccount", "finished_us"],
        unique=False,
    )
    op.create_table(
        "scope_markets",
        sa.Column("scope_id", Integer, autoincrement=False, nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("if_no_microdollars", Integer, nullable=False),
        sa.Column("if_yes_microdollars", Integer, nullable=False),
        sa.Column("spent_microdollars", Integer, nullable=False),
        sa.Column("position_centicontracts", Integer, nullable=False),
        sa.Column("open_bids_centicontracts", Integer, nullable=False),
        sa.Column("open_asks_centicontracts", Integer, nullable=False),
        sa.Column(
            "worst_microdollars",
            Integer,
            sa.Computed(
                "CASE WHEN if_no_microdollars >= if_yes_microdollars AND if_no_microdollars > 0 THEN if_no_microdollars WHEN if_yes_microdollars > 0 THEN if_yes_microdollars ELSE 0 END",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.CheckConstraint("open_asks_centicontracts >= 0", name=op.f("ck_scope_markets_open_asks_centicontracts")),
        sa.CheckConstraint("open_bids_centicontracts >= 0", name=op.f("ck_scope_markets_open_bids_centicontracts")),
        sa.ForeignKeyConstraint(["scope_id"], ["scopes.scope_id"], name=op.f("fk_scope_markets_scope_id_scopes")),
        sa.PrimaryKeyConstraint("scope_id", "ticker", name=op.f("pk_scope_markets")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "kill_events",
        sa.Column("seq", Integer, autoincrement=False, nullable=False),
        sa.Column("prev_seq", Integer, nullable=True),
        sa.Column("engaged", Integer, nullable=False),
        sa.Column("level", Integer, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("by_whom", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at_us", Integer, nullable=False),
        sa.Column("released_seq", Integer, nullable=True),
        sa.Column("engaged_by", sa.Text(), nullable=True),
        sa.Column("released_engaged", Integer, nullable=True),
        sa.Column("reconciliation_id", Integer, nullable=True),
        sa.Column("audit_seq", Integer, nullable=False),
        sa.CheckConstraint(
            "(engaged = 1 AND released_seq IS NULL AND engaged_by IS NULL AND released_engaged IS NULL AND level BETWEEN 1 AND 3) OR (engaged = 0 AND released_seq IS NOT NULL AND engaged_by IS NOT NULL AND released_engaged IS NOT NULL AND released_engaged = 1 AND level = 0)",
            name=op.f("ck_kill_events_release_names_engagement"),
        ),
        sa.CheckConstraint(
            "(seq = 1 AND prev_seq IS NULL) OR (seq > 1 AND prev_seq IS NOT NULL AND prev_seq = seq - 1)",
            name=op.f("ck_kill_events_chain"),
        ),
        sa.CheckConstraint("engaged = 1 OR by_whom <> engaged_by", name=op.f("ck_kill_events_released_by_another")),
        sa.CheckConstraint("engaged = 1 OR released_seq = prev_seq", name=op.f("ck_kill_events_releases_the_newest")),
        sa.CheckConstraint("engaged IN (0, 1)", name=op.f("ck_kill_events_engaged")),
        sa.CheckConstraint("length(by_whom) BETWEEN 1 AND 200", name=op.f("ck_kill_events_by_whom")),
        sa.CheckConstraint("length(reason) BETWEEN 1 AND 4000", name=op.f("ck_kill_events_reason")),
        sa.CheckConstraint("length(source) BETWEEN 1 AND 100", name=op.f("ck_kill_events_source")),
        sa.ForeignKeyConstraint(["audit_seq"], ["audit_log.seq"], name=op.f("fk_kill_events_audit_seq_audit_log")),
        sa.ForeignKeyConstraint(["prev_seq"], ["kill_events.seq"], name=op.f("fk_kill_events_prev_seq_kill_events")),
        sa.ForeignKeyConstraint(
            ["reconciliation_id"],
            ["reconciliations.reconciliation_id"],
            name=op.f("fk_kill_events_reconciliation_id_reconciliations"),
        ),
        sa.ForeignKeyConstraint(
            ["released_seq", "engaged_by", "released_engaged"],
            ["kill_events.seq", "kill_events.by_whom", "kill_events.engaged"],
            name=op.f("fk_kill_events_released_seq_engaged_by_released_engaged_kill_events"),
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_kill_events")),
        sa.UniqueConstraint("audit_seq", name=op.f("uq_kill_events_audit_seq")),
        sa.UniqueConstraint("seq", "by_whom", "engaged", name=op.f("uq_kill_events_seq_by_whom_engaged")),
        sqlite_strict=True,
    )
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("subaccount", Integer, nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=True),
        sa.Column("key_fingerprint", sa.Text(), nullable=True),
        sa.Column("armed_by", sa.Text(), nullable=True),
        sa.Column("opened_by", sa.Text(), nullable=False),
        sa.Column("opened_us", Integer, nullable=False),
        sa.Column("expires_us", Integer, nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("config_sha256", sa.Text(), nullable=False),
        sa.Column("caps_sha256", sa.Text(), nullable=False),
        sa.Column("order_notional_cap_microdollars", Integer, nullable=False),
        sa.Column("order_worst_cap_microdollars", Integer, nullable=False),
        sa.Column("position_cap_centicontracts", Integer, nullable=False),
        sa.Column("attempts_per_minute_cap", Integer, nullable=False),
        sa.Column("audit_seq", Integer, nullable=False),
        sa.CheckConstraint(
            "(mode = 'live') = (host IS NOT NULL) AND (mode = 'live') = (key_fingerprint IS NOT NULL) AND (mode = 'live') = (armed_by IS NOT NULL)",
            name=op.f("ck_sessions_live_is_bound_and_armed"),
        ),
        sa.CheckConstraint("mode = 'dry_run' OR origin = 'by_hand'", name=op.f("ck_sessions_only_by_hand_is_live")),
        sa.CheckConstraint("mode IN ('dry_run', 'live')", name=op.f("ck_sessions_mode")),
        sa.CheckConstraint(
            "origin IN ('by_hand', 'retried', 're_executed', 'backfilled', 'automated', 'late')",
            name=op.f("ck_sessions_origin"),
        ),
        sa.CheckConstraint(
            "attempts_per_minute_cap BETWEEN 0 AND 60", name=op.f("ck_sessions_attempts_per_minute_cap")
        ),
        sa.CheckConstraint(
            "expires_us > opened_us AND expires_us - opened_us <= 86400000000", name=op.f("ck_sessions_lifetime")
        ),
        sa.CheckConstraint("length(caps_sha256) = 64", name=op.f("ck_sessions_caps_sha256")),
        sa.CheckConstraint("length(config_sha256) = 64", name=op.f("ck_sessions_config_sha256")),
        sa.CheckConstraint("length(session_id) BETWEEN 8 AND 64", name=op.f("ck_sessions_session_id")),
        sa.CheckConstraint(
            "order_notional_cap_microdollars BETWEEN 0 AND 1000000000000000",
            name=op.f("ck_sessions_order_notional_cap_microdollars"),
        ),
        sa.CheckConstraint(
            "order_worst_cap_microdollars BETWEEN 0 AND 50000000", name=op.f("ck_sessions_order_worst_cap_microdollars")
        ),
        sa.CheckConstraint(
            "position_cap_centicontracts BETWEEN 0 AND 200000", name=op.f("ck_sessions_position_cap_centicontracts")
        ),
        sa.CheckConstraint("subaccount BETWEEN 0 AND 63", name=op.f("ck_sessions_subaccount")),
        sa.ForeignKeyConstraint(["audit_seq"], ["audit_log.seq"], name=op.f("fk_sessions_audit_seq_audit_log")),
        sa.ForeignKeyConstraint(
            ["environment", "host", "key_fingerprint", "subaccount"],
            [
                "env_bindings.environment",
                "env_bindings.host",
                "env_bindings.key_fingerprint",
                "env_bindings.subaccount",
            ],
            name=op.f("fk_sessions_environment_host_key_fingerprint_subaccount_env_bindings"),
        ),
        sa.ForeignKeyConstraint(
            ["environment"], ["journal_identity.environment"], name=op.f("fk_sessions_environment_journal_identity")
        ),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("audit_seq", name=op.f("uq_sessions_audit_seq")),
        sa.UniqueConstraint(
            "session_id",
            "environment",
            "subaccount",
            "mode",
            "origin",
            name=op.f("uq_sessions_session_id_environment_subaccount_mode_origin"),
        ),
        sqlite_strict=True,
    )
    op.create_table(
        "leases",
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("subaccount", Integer, autoincrement=False, nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until_us", Integer, nullable=False),
        sa.CheckConstraint("mode = 'live'", name=op.f("ck_leases_live")),
        sa.ForeignKeyConstraint(
            ["session_id", "environment", "subaccount", "mode", "origin"],
            ["sessions.session_id", "sessions.environment", "sessions.subaccount", "sessions.mode", "sessions.origin"],
            name=op.f("fk_leases_session_id_environment_subaccount_mode_origin_sessions"),
        ),
        sa.PrimaryKeyConstraint("environment", "subaccount", name=op.f("pk_leases")),
        sa.UniqueConstraint("session_id", name=op.f("uq_leases_session_id")),
        sqlite_strict=True,
    )
    op.create_table(
        "session_caps",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("orders_cap", Integer, nullable=False),
        sa.Column("notional_cap_microdollars", Integer, nullable=False),
        sa.Column("worst_cap_microdollars", Integer, nullable=False),
        sa.CheckConstraint(
            "kind <> 'account' OR (orders_cap <= 1000000000000000 AND notional_cap_microdollars <= 1000000000000000 AND worst_cap_microdollars BETWEEN 0 AND 1000000000)",
            name=op.f("ck_session_caps_ceiling_of_account"),
        ),
        sa.CheckConstraint(
            "kind <> 'day' OR (orders_cap <= 100 AND notional_cap_microdollars <= 1000000000000000 AND worst_cap_microdollars BETWEEN 0 AND 500000000)",
            name=op.f("ck_session_caps_ceiling_of_day"),
        ),
        sa.CheckConstraint(
            "kind <> 'event' OR (orders_cap <= 1000000000000000 AND notional_cap_microdollars <= 1000000000000000 AND worst_cap_microdollars BETWEEN 0 AND 200000000)",
            name=op.f("ck_session_caps_ceiling_of_event"),
        ),
        sa.CheckConstraint(
            "kind <> 'rolling' OR (orders_cap <= 1000000000000000 AND notional_cap_microdollars <= 1000000000000000 AND worst_cap_microdollars BETWEEN 0 AND 500000000)",
            name=op.f("ck_session_caps_ceiling_of_rolling"),
        ),
        sa.CheckConstraint(
            "kind <> 'session' OR (orders_cap <= 25 AND notional_cap_microdollars <= 1000000000000000 AND worst_cap_microdollars BETWEEN 0 AND 200000000)",
            name=op.f("ck_session_caps_ceiling_of_session"),
        ),
        sa.CheckConstraint(
            "kind IN ('session', 'day', 'rolling', 'event', 'account')", name=op.f("ck_session_caps_kind")
        ),
        sa.CheckConstraint(
            "orders_cap >= 0 AND notional_cap_microdollars >= 0", name=op.f("ck_session_caps_not_negative")
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.session_id"], name=op.f("fk_session_caps_session_id_sessions")
        ),
        sa.PrimaryKeyConstraint("session_id", "kind", name=op.f("pk_session_caps")),
        sqlite_strict=True,
    )
    op.create_table(
        "session_ends",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("ended_us", Integer, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("audit_seq", Integer, nullable=False),
        sa.ForeignKeyConstraint(["audit_seq"], ["audit_log.seq"], name=op.f("fk_session_ends_audit_seq_audit_log")),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.session_id"], name=op.f("fk_session_ends_session_id_sessions")
        ),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_session_ends")),
        sa.UniqueConstraint("audit_seq", name=op.f("uq_session_ends_audit_seq")),
        sqlite_strict=True,
    )
    op.create_table(
        "session_groups",
        sa.Column("order_group_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("exchange_index", Integer, nullable=False),
        sa.Column("contracts_limit_centicontracts", Integer, nullable=False),
        sa.Column("made_us", Integer, nullable=False),
        sa.Column("audit_seq", Integer, nullable=False),
        sa.CheckConstraint(
            "exchange_index >= 0 AND contracts_limit_centicontracts > 0", name=op.f("ck_session_groups_plausible")
        ),
        sa.CheckConstraint("length(order_group_id) BETWEEN 8 AND 64", name=op.f("ck_session_groups_order_group_id")),
        sa.ForeignKeyConstraint(["audit_seq"], ["audit_log.seq"], name=op.f("fk_session_groups_audit_seq_audit_log")),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.session_id"], name=op.f("fk_session_groups_session_id_sessions")
        ),
        sa.PrimaryKeyConstraint("order_group_id", name=op.f("pk_session_groups")),
        sa.UniqueConstraint("audit_seq", name=op.f("uq_session_groups_audit_seq")),
        sa.UniqueConstraint(
            "order_group_id",
            "session_id",
            "exchange_index",
            name=op.f("uq_session_groups_order_group_id_session_id_exchange_index"),
        ),
        sa.UniqueConstraint("session_id", "exchange_index", name=op.f("uq_session_groups_session_id_exchange_index")),
        sqlite_strict=True,
    )
    op.create_table(
        "fences",
        sa.Column("fence_id", Integer, autoincrement=False, nullable=False),
        sa.Column("order_group_id", sa.Text(), nullable=False),
        sa.Column("fenced_us", Integer, nullable=False),
        sa.ForeignKeyConstraint(["fence_id"], ["audit_log.seq"], name=op.f("fk_fences_fence_id_audit_log")),
        sa.ForeignKeyConstraint(
            ["order_group_id"], ["session_groups.order_group_id"], name=op.f("fk_fences_order_group_id_session_groups")
        ),
        sa.PrimaryKeyConstraint("fence_id", name=op.f("pk_fences")),
        sa.UniqueConstraint("fence_id", "fenced_us", name=op.f("uq_fences_fence_id_fenced_us")),
        sa.UniqueConstraint("fence_id", "order_group_id", name=op.f("uq_fences_fence_id_order_group_id")),
        sa.UniqueConstraint("order_group_id", name=op.f("uq_fences_order_group_id")),
        sqlite_strict=True,
    )
    op.create_table(
        "intents",
        sa.Column("intent_id", Integer, autoincrement=False, nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("subaccount", Integer, nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("proposal_id", Integer, nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("event_ticker", sa.Text(), nullable=False),
        sa.Column("exchange_index", Integer, nullable=False),
        sa.Column("order_group_id", sa.Text(), nullable=True),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("price_centicents", Integer, nullable=False),
        sa.Column("count_centicontracts", Integer, nullable=False),
        sa.Column("time_in_force", sa.Text(), nullable=False),
        sa.Column("expires_us", Integer, nullable=True),
        sa.Column("post_only", Integer, nullable=False),
        sa.Column("reduce_only", Integer, nullable=False),
        sa.Column("cancel_order_on_pause", Integer, nullable=False),
        sa.Column("self_trade_prevention", sa.Text(), nullable=False),
        sa.Column("fee_bound_microdollars", Integer, nullable=False),
        sa.Column("reserved_if_no_microdollars", Integer, nullable=False),
        sa.Column("reserved_if_yes_microdollars", Integer, nullable=False),
        sa.Column("notional_microdollars", Integer, nullable=False),
        sa.Column("as_of_us", Integer, nullable=False),
        sa.Column("valid_until_us", Integer, nullable=False),
        sa.Column("planned_us", Integer, nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("approval_required", Integer, nullable=False),
        sa.Column("request_json", sa.Text(), nullable=False),
        sa.Column("request_sha256", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(time_in_force = 'good_till_canceled') = (expires_us IS NOT NULL)", name=op.f("ck_intents_expiry")
        ),
        sa.CheckConstraint(
            "CASE side WHEN 'bid' THEN reserved_if_no_microdollars ELSE reserved_if_yes_microdollars END = notional_microdollars + fee_bound_microdollars",
            name=op.f("ck_intents_reserved"),
        ),
        sa.CheckConstraint(
            "CASE side WHEN 'bid' THEN reserved_if_yes_microdollars ELSE reserved_if_no_microdollars END BETWEEN 0 AND fee_bound_microdollars AND CASE side WHEN 'bid' THEN reserved_if_yes_microdollars ELSE reserved_if_no_microdollars END >= fee_bound_microdollars - (10000 * count_centicontracts - notional_microdollars)",
            name=op.f("ck_intents_reserved_if_won"),
        ),
        sa.CheckConstraint("actor_kind IN ('person', 'strategy', 'agent')", name=op.f("ck_intents_actor_kind")),
        sa.CheckConstraint(
            "mode = 'dry_run' OR actor_kind <> 'agent' OR approval_required = 1",
            name=op.f("ck_intents_agents_need_approval"),
        ),
        sa.CheckConstraint("mode = 'dry_run' OR origin = 'by_hand'", name=op.f("ck_intents_only_by_hand_is_live")),
        sa.CheckConstraint("mode = 'live' OR order_group_id IS NULL", name=op.f("ck_intents_dry_run_has_no_group")),
        sa.CheckConstraint(
            "notional_microdollars = count_centicontracts * CASE side WHEN 'bid' THEN price_centicents ELSE 10000 - price_centicents END",
            name=op.f("ck_intents_notional"),
        ),
        sa.CheckConstraint(
            "post_only = 0 OR time_in_force = 'good_till_canceled'", name=op.f("ck_intents_post_only_rests")
        ),
        sa.CheckConstraint(
            "reduce_only = 0 OR time_in_force = 'immediate_or_cancel'", name=op.f("ck_intents_reduce_only_ends_at_once")
        ),
        sa.CheckConstraint(
            "self_trade_prevention IN ('taker_at_cross', 'maker')", name=op.f("ck_intents_self_trade_prevention")
        ),
        sa.CheckConstraint("side IN ('bid', 'ask')", name=op.f("ck_intents_side")),
        sa.CheckConstraint(
            "time_in_force IN ('fill_or_kill', 'immediate_or_cancel', 'good_till_canceled')",
            name=op.f("ck_intents_time_in_force"),
        ),
        sa.CheckConstraint("approval_required IN (0, 1)", name=op.f("ck_intents_approval_required")),
        sa.CheckConstraint("cancel_order_on_pause = 1", name=op.f("ck_intents_cancel_order_on_pause")),
        sa.CheckConstraint(
            "count_centicontracts BETWEEN 1 AND 100000000", name=op.f("ck_intents_count_centicontracts")
        ),
        sa.CheckConstraint("exchange_index >= 0", name=op.f("ck_intents_exchange_index")),
        sa.CheckConstraint("fee_bound_microdollars >= 0", name=op.f("ck_intents_fee_bound_microdollars")),
        sa.CheckConstraint("length(client_order_id) BETWEEN 8 AND 64", name=op.f("ck_intents_client_order_id")),
        sa.CheckConstraint("length(event_ticker) BETWEEN 1 AND 120", name=op.f("ck_intents_event_ticker")),
        sa.CheckConstraint("length(idempotency_key) = 64", name=op.f("ck_intents_idempotency_key")),
        sa.CheckConstraint("length(request_sha256) = 64", name=op.f("ck_intents_request_sha256")),
        sa.CheckConstraint("length(ticker) BETWEEN 1 AND 120", name=op.f("ck_intents_ticker")),
        sa.CheckConstraint("post_only IN (0, 1)", name=op.f("ck_intents_post_only")),
        sa.CheckConstraint("price_centicents BETWEEN 1 AND 9999", name=op.f("ck_intents_price_centicents")),
        sa.CheckConstraint("reduce_only IN (0, 1)", name=op.f("ck_intents_reduce_only")),
        sa.CheckConstraint("valid_until_us - as_of_us BETWEEN 1 AND 600000000", name=op.f("ck_intents_validity")),
        sa.ForeignKeyConstraint(["intent_id"], ["audit_log.seq"], name=op.f("fk_intents_intent_id_audit_log")),
        sa.ForeignKeyConstraint(
            ["order_group_id", "session_id", "exchange_index"],
            ["session_groups.order_group_id", "session_groups.session_id", "session_groups.exchange_index"],
            name=op.f("fk_intents_order_group_id_session_id_exchange_index_session_groups"),
        ),
        sa.ForeignKeyConstraint(
            ["proposal_id"], ["proposals.proposal_id"], name=op.f("fk_intents_proposal_id_proposals")
        ),
        sa.ForeignKeyConstraint(
            ["session_id", "environment", "subaccount", "mode", "origin"],
            ["sessions.session_id", "sessions.environment", "sessions.subaccount", "sessions.mode", "sessions.origin"],
            name=op.f("fk_intents_session_id_environment_subaccount_mode_origin_sessions"),
        ),
        sa.PrimaryKeyConstraint("intent_id", name=op.f("pk_intents")),
        sa.UniqueConstraint("intent_id", "mode", name=op.f("uq_intents_intent_id_mode")),
        sa.UniqueConstraint(
            "intent_id", "order_group_id", "ticker", name=op.f("uq_intents_intent_id_order_group_id_ticker")
        ),
        sa.UniqueConstraint("mode", "client_order_id", name=op.f("uq_intents_mode_client_order_id")),
        sa.UniqueConstraint("mode", "idempotency_key", name=op.f("uq_intents_mode_idempotency_key")),
        sqlite_strict=True,
    )
    op.create_table(
        "attempts",
        sa.Column("attempt_id", Integer, autoincrement=False, nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("subaccount", Integer, nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("at_us", Integer, nullable=False),
        sa.Column("proposal_id", Integer, nullable=True),
        sa.Column("intent_id", Integer, nullable=True),
        sa.Column("denial", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["denial"], ["denial_reasons.code"], name=op.f("fk_attempts_denial_denial_reasons")),
        sa.ForeignKeyConstraint(["attempt_id"], ["audit_log.seq"], name=op.f("fk_attempts_attempt_id_audit_log")),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.intent_id"], name=op.f("fk_attempts_intent_id_intents")),
        sa.ForeignKeyConstraint(
            ["proposal_id"], ["proposals.proposal_id"], name=op.f("fk_attempts_proposal_id_proposals")
        ),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.session_id"], name=op.f("fk_attempts_session_id_sessions")),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_attempts")),
        sqlite_strict=True,
    )
    op.create_index(
        op.f("ix_attempts_environment_subaccount_mode_at_us"),
        "attempts",
        ["environment", "subaccount", "mode", "at_us"],
        unique=False,
    )
    op.create_index(
        "ix_attempts_proposal_id",
        "attempts",
        ["proposal_id"],
        unique=False,
        sqlite_where=sa.text("proposal_id IS NOT NULL"),
        postgresql_where=sa.text("proposal_id IS NOT NULL"),
    )
    op.create_table(
        "fills",
        sa.Column("fill_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("intent_id", Integer, nullable=True),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("price_centicents", Integer, nullable=False),
        sa.Column("count_centicontracts", Integer, nullable=False),
        sa.Column("fee_microdollars", Integer, nullable=False),
        sa.Column("at_us", Integer, nullable=False),
        sa.Column("audit_seq", Integer, nullable=False),
        sa.CheckConstraint("side IN ('bid', 'ask')", name=op.f("ck_fills_side")),
        sa.CheckConstraint("count_centicontracts > 0", name=op.f("ck_fills_count_centicontracts")),
        sa.CheckConstraint("length(fill_id) BETWEEN 1 AND 100", name=op.f("ck_fills_fill_id")),
        sa.CheckConstraint("price_centicents BETWEEN 0 AND 10000", name=op.f("ck_fills_price_centicents")),
        sa.ForeignKeyConstraint(["audit_seq"], ["audit_log.seq"], name=op.f("fk_fills_audit_seq_audit_log")),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.intent_id"], name=op.f("fk_fills_intent_id_intents")),
        sa.PrimaryKeyConstraint("fill_id", name=op.f("pk_fills")),
        sa.UniqueConstraint("audit_seq", name=op.f("uq_fills_audit_seq")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_fills_intent_id"), "fills", ["intent_id"], unique=False)
    op.create_index(op.f("ix_fills_order_id"), "fills", ["order_id"], unique=False)
    op.create_table(
        "open_intents",
        sa.Column("intent_id", Integer, autoincrement=False, nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("subaccount", Integer, nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint("environment IN ('sandbox', 'demo', 'prod')", name=op.f("ck_open_intents_environment")),
        sa.CheckConstraint("mode IN ('dry_run', 'live')", name=op.f("ck_open_intents_mode")),
        sa.CheckConstraint(
            "state IN ('reserved', 'sending', 'unknown', 'resting', 'pending_cancel')",
            name=op.f("ck_open_intents_state"),
        ),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.intent_id"], name=op.f("fk_open_intents_intent_id_intents")),
        sa.PrimaryKeyConstraint("intent_id", name=op.f("pk_open_intents")),
        sqlite_strict=True,
    )
    op.create_index(
        "one_unresolved_a_market",
        "open_intents",
        ["environment", "subaccount", "ticker"],
        unique=True,
        sqlite_where=sa.text("state IN ('sending', 'unknown')"),
        postgresql_where=sa.text("state IN ('sending', 'unknown')"),
    )
    op.create_table(
        "sweeps",
        sa.Column("sweep_id", Integer, autoincrement=False, nullable=False),
        sa.Column("fence_id", Integer, nullable=False),
        sa.Column("fenced_us", Integer, nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("started_us", Integer, nullable=False),
        sa.Column("as_of_us", Integer, nullable=False),
        sa.Column("pages", Integer, nullable=False),
        sa.Column("pages_sha256", sa.Text(), nullable=False),
        sa.Column("complete", Integer, nullable=False),
        sa.CheckConstraint(
            "complete = 0 OR (as_of_us > fenced_us AND pages > 0)", name=op.f("ck_sweeps_proves_absence")
        ),
        sa.CheckConstraint("complete IN (0, 1)", name=op.f("ck_sweeps_complete")),
        sa.CheckConstraint("length(pages_sha256) = 64", name=op.f("ck_sweeps_pages_sha256")),
        sa.CheckConstraint("pages >= 0", name=op.f("ck_sweeps_pages")),
        sa.ForeignKeyConstraint(
            ["fence_id", "fenced_us"],
            ["fences.fence_id", "fences.fenced_us"],
            name=op.f("fk_sweeps_fence_id_fenced_us_fences"),
        ),
        sa.ForeignKeyConstraint(["sweep_id"], ["audit_log.seq"], name=op.f("fk_sweeps_sweep_id_audit_log")),
        sa.PrimaryKeyConstraint("sweep_id", name=op.f("pk_sweeps")),
        sa.UniqueConstraint(
            "sweep_id", "fence_id", "ticker", "complete", name=op.f("uq_sweeps_sweep_id_fence_id_ticker_complete")
        ),
        sqlite_strict=True,
    )
    op.create_table(
        "resolutions",
        sa.Column("resolution_id", Integer, autoincrement=False, nullable=False),
        sa.Column("intent_id", Integer, nullable=False),
        sa.Column("order_group_id", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("fence_id", Integer, nullable=False),
        sa.Column("sweep_id", Integer, nullable=False),
        sa.Column("complete", Integer, nullable=False),
        sa.Column("at_us", Integer, nullable=False),
        sa.CheckConstraint("complete = 1", name=op.f("ck_resolutions_complete")),
        sa.ForeignKeyConstraint(
            ["fence_id", "order_group_id"],
            ["fences.fence_id", "fences.order_group_id"],
            name=op.f("fk_resolutions_fence_id_order_group_id_fences"),
        ),
        sa.ForeignKeyConstraint(
            ["intent_id", "order_group_id", "ticker"],
            ["intents.intent_id", "intents.order_group_id", "intents.ticker"],
            name=op.f("fk_resolutions_intent_id_order_group_id_ticker_intents"),
        ),
        sa.ForeignKeyConstraint(
            ["resolution_id"], ["audit_log.seq"], name=op.f("fk_resolutions_resolution_id_audit_log")
        ),
        sa.ForeignKeyConstraint(
            ["sweep_id", "fence_id", "ticker", "complete"],
            ["sweeps.sweep_id", "sweeps.fence_id", "sweeps.ticker", "sweeps.complete"],
            name=op.f("fk_resolutions_sweep_id_fence_id_ticker_complete_sweeps"),
        ),
        sa.PrimaryKeyConstraint("resolution_id", name=op.f("pk_resolutions")),
        sa.UniqueConstraint("intent_id", name=op.f("uq_resolutions_intent_id")),
        sa.UniqueConstraint("resolution_id", "intent_id", name=op.f("uq_resolutions_resolution_id_intent_id")),
        sqlite_strict=True,
    )
    op.create_table(
        "order_events",
        sa.Column("intent_id", Integer, autoincrement=False, nullable=False),
        sa.Column("seq", Integer, autoincrement=False, nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("prev_seq", Integer, nullable=True),
        sa.Column("from_state", sa.Text(), nullable=True),
        sa.Column("at_us", Integer, nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=True),
        sa.Column("denial", sa.Text(), nullable=True),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("filled_centicontracts", Integer, nullable=True),
        sa.Column("resolution_id", Integer, nullable=True),
        sa.Column("audit_seq", Integer, nullable=False),
        sa.CheckConstraint(
            "(seq = 1 AND prev_seq IS NULL AND from_state IS NULL AND to_state = 'planned') OR (seq > 1 AND prev_seq IS NOT NULL AND from_state IS NOT NULL AND prev_seq = seq - 1)",
            name=op.f("ck_order_events_chain"),
        ),
        sa.CheckConstraint(
            "(to_state = 'absent') = (resolution_id IS NOT NULL)", name=op.f("ck_order_events_absence_proved")
        ),
        sa.CheckConstraint(
            "(to_state = 'denied') = (denial IS NOT NULL)", name=op.f("ck_order_events_denial_explained")
        ),
        sa.CheckConstraint(
            "to_state <> 'absent' OR writer = 'reconciler'", name=op.f("ck_order_events_absence_found_by_reconciler")
        ),
        sa.CheckConstraint(
            "to_state <> 'sending' OR code_version IS NOT NULL", name=op.f("ck_order_events_sent_by_a_version")
        ),
        sa.CheckConstraint(
            "to_state IN ('planned', 'denied', 'reserved', 'abandoned') OR (to_state = 'simulated') = (mode = 'dry_run')",
            name=op.f("ck_order_events_dry_run_never_sends"),
        ),
        sa.CheckConstraint(
            "to_state IN ('planned', 'denied', 'reserved', 'abandoned', 'simulated', 'sending', 'rejected', 'unknown', 'absent', 'resting', 'pending_cancel', 'executed', 'canceled')",
            name=op.f("ck_order_events_to_state"),
        ),
        sa.CheckConstraint(
            "to_state NOT IN ('executed', 'canceled') OR filled_centicontracts IS NOT NULL",
            name=op.f("ck_order_events_end_tells_fills"),
        ),
        sa.CheckConstraint(
            "to_state NOT IN ('resting', 'pending_cancel') OR order_id IS NOT NULL",
            name=op.f("ck_order_events_has_order_id"),
        ),
        sa.CheckConstraint("writer IN ('executor', 'reconciler')", name=op.f("ck_order_events_writer")),
        sa.CheckConstraint("filled_centicontracts >= 0", name=op.f("ck_order_events_filled_centicontracts")),
        sa.CheckConstraint(
            "order_id IS NULL OR length(order_id) BETWEEN 8 AND 64", name=op.f("ck_order_events_order_id")
        ),
        sa.ForeignKeyConstraint(
            ["denial"], ["denial_reasons.code"], name=op.f("fk_order_events_denial_denial_reasons")
        ),
        sa.ForeignKeyConstraint(["audit_seq"], ["audit_log.seq"], name=op.f("fk_order_events_audit_seq_audit_log")),
        sa.ForeignKeyConstraint(
            ["from_state", "to_state"],
            ["legal_transitions.from_state", "legal_transitions.to_state"],
            name=op.f("fk_order_events_from_state_to_state_legal_transitions"),
        ),
        sa.ForeignKeyConstraint(
            ["intent_id", "mode"],
            ["intents.intent_id", "intents.mode"],
            name=op.f("fk_order_events_intent_id_mode_intents"),
        ),
        sa.ForeignKeyConstraint(
            ["intent_id", "prev_seq", "from_state"],
            ["order_events.intent_id", "order_events.seq", "order_events.to_state"],
            name=op.f("fk_order_events_intent_id_prev_seq_from_state_order_events"),
        ),
        sa.ForeignKeyConstraint(
            ["resolution_id", "intent_id"],
            ["resolutions.resolution_id", "resolutions.intent_id"],
            name=op.f("fk_order_events_resolution_id_intent_id_resolutions"),
        ),
        sa.PrimaryKeyConstraint("intent_id", "seq", name=op.f("pk_order_events")),
        sa.UniqueConstraint("audit_seq", name=op.f("uq_order_events_audit_seq")),
        sa.UniqueConstraint("intent_id", "seq", "to_state", name=op.f("uq_order_events_intent_id_seq_to_state")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "one_end",
        "order_events",
        ["intent_id"],
        unique=True,
        sqlite_where=sa.text(
            "to_state IN ('denied', 'abandoned', 'simulated', 'rejected', 'absent', 'executed', 'canceled')"
        ),
        postgresql_where=sa.text(
            "to_state IN ('denied', 'abandoned', 'simulated', 'rejected', 'absent', 'executed', 'canceled')"
        ),
    )
    op.create_index(
        "one_send",
        "order_events",
        ["intent_id"],
        unique=True,
        sqlite_where=sa.text("to_state = 'sending'"),
        postgresql_where=sa.text("to_state = 'sending'"),
    )
    op.create_index(
        "order_id_once",
        "order_events",
        ["order_id"],
        unique=True,
        sqlite_where=sa.text("order_id IS NOT NULL AND from_state IN ('sending', 'unknown')"),
        postgresql_where=sa.text("order_id IS NOT NULL AND from_state IN ('sending', 'unknown')"),
    )
    op.create_table(
        "postings",
        sa.Column("dedupe", sa.Text(), nullable=False),
        sa.Column("scope_id", Integer, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("at_us", Integer, nullable=False),
        sa.Column("intent_id", Integer, nullable=True),
        sa.Column("event_seq", Integer, nullable=True),
        sa.Column("event_state", sa.Text(), nullable=True),
        sa.Column("fill_id", sa.Text(), nullable=True),
        sa.Column("d_if_no_microdollars", Integer, nullable=False),
        sa.Column("d_if_yes_microdollars", Integer, nullable=False),
        sa.Column("d_spent_microdollars", Integer, nullable=False),
        sa.Column("d_position_centicontracts", Integer, nullable=False),
        sa.Column("d_open_bids_centicontracts", Integer, nullable=False),
        sa.Column("d_open_asks_centicontracts", Integer, nullable=False),
        sa.Column("d_orders", Integer, nullable=False),
        sa.Column("d_notional_microdollars", Integer, nullable=False),
        sa.Column("audit_seq", Integer, nullable=False),
        sa.CheckConstraint(
            "kind <> 'release' OR (event_state IN ('abandoned', 'rejected', 'absent', 'canceled', 'executed') AND d_orders = 0 AND d_if_no_microdollars <= 0 AND d_if_yes_microdollars <= 0 AND d_notional_microdollars <= 0 AND d_spent_microdollars = 0 AND d_position_centicontracts = 0 AND d_open_bids_centicontracts <= 0 AND d_open_asks_centicontracts <= 0)",
            name=op.f("ck_postings_release"),
        ),
        sa.CheckConstraint(
            "kind <> 'reserve' OR (event_state = 'reserved' AND d_orders = 1 AND d_if_no_microdollars >= 0 AND d_if_yes_microdollars >= 0 AND d_notional_microdollars >= 0 AND d_spent_microdollars = 0 AND d_position_centicontracts = 0 AND d_open_bids_centicontracts + d_open_asks_centicontracts > 0)",
            name=op.f("ck_postings_reserve"),
        ),
        sa.CheckConstraint(
            "kind = 'foreign' OR (kind = 'fill') = (fill_id IS NOT NULL)", name=op.f("ck_postings_fill")
        ),
        sa.CheckConstraint(
            "kind IN ('reserve', 'fill', 'release', 'settle', 'opening', 'foreign', 'review')",
            name=op.f("ck_postings_kind"),
        ),
        sa.CheckConstraint("kind NOT IN ('fill', 'settle', 'review') OR d_orders = 0", name=op.f("ck_postings_orders")),
        sa.CheckConstraint(
            "kind NOT IN ('reserve', 'fill', 'release') OR intent_id IS NOT NULL", name=op.f("ck_postings_of_an_intent")
        ),
        sa.CheckConstraint(
            "(intent_id IS NULL) = (event_seq IS NULL) AND (intent_id IS NULL) = (event_state IS NULL)",
            name=op.f("ck_postings_event"),
        ),
        sa.CheckConstraint("length(dedupe) BETWEEN 3 AND 200", name=op.f("ck_postings_dedupe")),
        sa.ForeignKeyConstraint(["audit_seq"], ["audit_log.seq"], name=op.f("fk_postings_audit_seq_audit_log")),
        sa.ForeignKeyConstraint(["fill_id"], ["fills.fill_id"], name=op.f("fk_postings_fill_id_fills")),
        sa.ForeignKeyConstraint(
            ["intent_id", "event_seq", "event_state"],
            ["order_events.intent_id", "order_events.seq", "order_events.to_state"],
            name=op.f("fk_postings_intent_id_event_seq_event_state_order_events"),
        ),
        sa.ForeignKeyConstraint(["scope_id"], ["scopes.scope_id"], name=op.f("fk_postings_scope_id_scopes")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.session_id"], name=op.f("fk_postings_session_id_sessions")),
        sa.PrimaryKeyConstraint("dedupe", "scope_id", name=op.f("pk_postings")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )

    legal = sa.table("legal_transitions", sa.column("from_state"), sa.column("to_state"))
    kinds = sa.table("audit_kinds", sa.column("kind"))
    reasons = sa.table("denial_reasons", sa.column("code"))
    op.bulk_insert(kinds, [{"kind": kind} for kind in AUDIT_KINDS])
    op.bulk_insert(reasons, [{"code": code} for code in DENIAL_REASONS])
    op.bulk_insert(legal, [{"from_state": before, "to_state": after} for before, after in LEGAL_TRANSITIONS])


def downgrade() -> None:
    raise NotImplementedError("a journal is never undone: keep it, and begin another in another place")
