"""Create tables of vendor endpoints, findings and alerts, and a view of vendor drift for people."""

import sqlalchemy as sa
from alembic import op

from kalshi_pipelines.warehouse.migration_steps import dialect, refuse_to_lose

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
TABLES = (
    "alert_deliveries",
    "alerts",
    "contract_finding_events",
    "contract_findings",
    "contract_endpoints",
    "contract_baselines",
    "contract_runs",
)


def upgrade() -> None:
    op.create_table(
        "contract_runs",
        sa.Column("contract_run_id", Integer, autoincrement=True, nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("dagster_run_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started_us", Integer, nullable=False),
        sa.Column("finished_us", Integer, nullable=True),
        sa.Column("endpoints_checked", Integer, nullable=False),
        sa.Column("endpoints_empty", Integer, nullable=False),
        sa.Column("endpoints_refused", Integer, nullable=False),
        sa.Column("endpoints_maintenance", Integer, nullable=False),
        sa.Column("endpoints_unreachable", Integer, nullable=False),
        sa.Column("findings_opened", Integer, nullable=False),
        sa.Column("findings_closed", Integer, nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(status = 'failed') = (error IS NOT NULL)", name=op.f("ck_contract_runs_failure_explained")
        ),
        sa.CheckConstraint("(status = 'running') = (finished_us IS NULL)", name=op.f("ck_contract_runs_finished")),
        sa.CheckConstraint("environment IN ('sandbox', 'demo', 'prod')", name=op.f("ck_contract_runs_environment")),
        sa.CheckConstraint("source IN ('probes', 'ingest')", name=op.f("ck_contract_runs_source")),
        sa.CheckConstraint(
            "status <> 'succeeded' OR endpoints_checked + endpoints_empty > 0",
            name=op.f("ck_contract_runs_something_checked"),
        ),
        sa.CheckConstraint("status IN ('running', 'succeeded', 'failed')", name=op.f("ck_contract_runs_status")),
        sa.CheckConstraint("endpoints_checked >= 0", name=op.f("ck_contract_runs_endpoints_checked")),
        sa.CheckConstraint("endpoints_empty >= 0", name=op.f("ck_contract_runs_endpoints_empty")),
        sa.CheckConstraint("endpoints_maintenance >= 0", name=op.f("ck_contract_runs_endpoints_maintenance")),
        sa.CheckConstraint("endpoints_refused >= 0", name=op.f("ck_contract_runs_endpoints_refused")),
        sa.CheckConstraint("endpoints_unreachable >= 0", name=op.f("ck_contract_runs_endpoints_unreachable")),
        sa.CheckConstraint("findings_closed >= 0", name=op.f("ck_contract_runs_findings_closed")),
        sa.CheckConstraint("findings_opened >= 0", name=op.f("ck_contract_runs_findings_opened")),
        sa.PrimaryKeyConstraint("contract_run_id", name=op.f("pk_contract_runs")),
        sqlite_strict=True,
    )
    op.create_index("ix_contract_runs_started_us", "contract_runs", ["started_us"], unique=False)
    op.create_table(
        "contract_baselines",
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("baseline", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("observations", Integer, nullable=False),
        sa.Column("first_observed_us", Integer, nullable=False),
        sa.Column("last_observed_us", Integer, nullable=False),
        sa.Column("contract_run_id", Integer, nullable=False),
        sa.CheckConstraint(
            "baseline IS NULL OR CASE WHEN json_valid(baseline) THEN json_type(baseline) = 'object' ELSE 0 END",
            name=op.f("ck_contract_baselines_baseline"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint("endpoint <> ''", name=op.f("ck_contract_baselines_endpoint")),
        sa.CheckConstraint(
            "environment IN ('sandbox', 'demo', 'prod')", name=op.f("ck_contract_baselines_environment")
        ),
        sa.CheckConstraint(
            "jsonb_typeof(baseline::jsonb) = 'object'", name=op.f("ck_contract_baselines_baseline")
        ).ddl_if(dialect="postgresql"),
        sa.CheckConstraint(
            "reference IS NULL OR CASE WHEN json_valid(reference) THEN json_type(reference) = 'object' ELSE 0 END",
            name=op.f("ck_contract_baselines_reference"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "jsonb_typeof(reference::jsonb) = 'object'", name=op.f("ck_contract_baselines_reference")
        ).ddl_if(dialect="postgresql"),
        sa.CheckConstraint(
            "first_observed_us <= last_observed_us", name=op.f("ck_contract_baselines_observed_in_order")
        ),
        sa.CheckConstraint("observations >= 0", name=op.f("ck_contract_baselines_observations")),
        sa.ForeignKeyConstraint(
            ["contract_run_id"],
            ["contract_runs.contract_run_id"],
            name=op.f("fk_contract_baselines_contract_run_id_contract_runs"),
        ),
        sa.PrimaryKeyConstraint("environment", "endpoint", name=op.f("pk_contract_baselines")),
        sqlite_strict=True,
    )
    op.create_table(
        "contract_endpoints",
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("last_outcome", sa.Text(), nullable=False),
        sa.Column("last_attempted_us", Integer, nullable=False),
        sa.Column("last_checked_us", Integer, nullable=True),
        sa.Column("failures", Integer, nullable=False),
        sa.Column("failing_since_us", Integer, nullable=True),
        sa.Column("contract_run_id", Integer, nullable=False),
        sa.CheckConstraint("endpoint <> ''", name=op.f("ck_contract_endpoints_endpoint")),
        sa.CheckConstraint(
            "environment IN ('sandbox', 'demo', 'prod')", name=op.f("ck_contract_endpoints_environment")
        ),
        sa.CheckConstraint(
            "last_outcome IN ('checked', 'empty', 'refused', 'maintenance', 'unreachable')",
            name=op.f("ck_contract_endpoints_last_outcome"),
        ),
        sa.CheckConstraint(
            "(failures = 0) = (failing_since_us IS NULL)", name=op.f("ck_contract_endpoints_failing_since")
        ),
        sa.CheckConstraint("failures >= 0", name=op.f("ck_contract_endpoints_failures")),
        sa.ForeignKeyConstraint(
            ["contract_run_id"],
            ["contract_runs.contract_run_id"],
            name=op.f("fk_contract_endpoints_contract_run_id_contract_runs"),
        ),
        sa.PrimaryKeyConstraint("environment", "endpoint", name=op.f("pk_contract_endpoints")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "contract_findings",
        sa.Column("finding_id", Integer, autoincrement=True, nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("example", sa.Text(), nullable=False),
        sa.Column("advice", sa.Text(), nullable=False),
        sa.Column("assets", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("seen_by", sa.Text(), nullable=False),
        sa.Column("openings", Integer, nullable=False),
        sa.Column("absences", Integer, nullable=False),
        sa.Column("first_seen_us", Integer, nullable=False),
        sa.Column("last_seen_us", Integer, nullable=False),
        sa.Column("opened_us", Integer, nullable=False),
        sa.Column("announced_us", Integer, nullable=True),
        sa.Column("closed_us", Integer, nullable=True),
        sa.Column("acknowledged_us", Integer, nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("acknowledged_why", sa.Text(), nullable=True),
        sa.Column("contract_run_id", Integer, nullable=False),
        sa.CheckConstraint(
            "(status = 'acknowledged') = (acknowledged_us IS NOT NULL)", name=op.f("ck_contract_findings_acknowledged")
        ),
        sa.CheckConstraint("(status = 'closed') = (closed_us IS NOT NULL)", name=op.f("ck_contract_findings_closed")),
        sa.CheckConstraint(
            "acknowledged_by <> '' AND acknowledged_why <> ''",
            name=op.f("ck_contract_findings_acknowledged_for_a_reason"),
        ),
        sa.CheckConstraint(
            "assets IS NULL OR CASE WHEN json_valid(assets) THEN json_type(assets) = 'array' ELSE 0 END",
            name=op.f("ck_contract_findings_assets"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint("endpoint <> ''", name=op.f("ck_contract_findings_endpoint")),
        sa.CheckConstraint("environment IN ('sandbox', 'demo', 'prod')", name=op.f("ck_contract_findings_environment")),
        sa.CheckConstraint("fingerprint <> ''", name=op.f("ck_contract_findings_fingerprint")),
        sa.CheckConstraint("jsonb_typeof(assets::jsonb) = 'array'", name=op.f("ck_contract_findings_assets")).ddl_if(
            dialect="postgresql"
        ),
        sa.CheckConstraint(
            "kind IN ('key_missing', 'key_new', 'key_renamed', 'type_changed', 'format_changed', 'value_new', "
            "'value_changed', 'value_frozen', 'null_new', 'distribution_changed', 'invariant_broken', "
            "'text_changed', 'status_changed', 'authentication_changed', 'host_changed', 'redirected', "
            "'page_broken', 'error_shape_changed', 'document_changed', 'absurd', 'unreachable')",
            name=op.f("ck_contract_findings_kind"),
        ),
        sa.CheckConstraint("severity IN ('breaking', 'risky', 'additive')", name=op.f("ck_contract_findings_severity")),
        sa.CheckConstraint("seen_by IN ('probes', 'ingest')", name=op.f("ck_contract_findings_seen_by")),
        sa.CheckConstraint("status IN ('open', 'acknowledged', 'closed')", name=op.f("ck_contract_findings_status")),
        sa.CheckConstraint(
            "(acknowledged_us IS NULL) = (acknowledged_by IS NULL) AND (acknowledged_us IS NULL) = (acknowledged_why IS NULL)",
            name=op.f("ck_contract_findings_acknowledged_by_somebody"),
        ),
        sa.CheckConstraint("absences >= 0", name=op.f("ck_contract_findings_absences")),
        sa.CheckConstraint("first_seen_us <= last_seen_us", name=op.f("ck_contract_findings_seen_in_order")),
        sa.CheckConstraint("length(advice) <= 300", name=op.f("ck_contract_findings_advice_length")),
        sa.CheckConstraint("length(after) <= 300", name=op.f("ck_contract_findings_after_length")),
        sa.CheckConstraint("length(before) <= 300", name=op.f("ck_contract_findings_before_length")),
        sa.CheckConstraint("length(example) <= 300", name=op.f("ck_contract_findings_example_length")),
        sa.CheckConstraint("length(place) <= 300", name=op.f("ck_contract_findings_place_length")),
        sa.CheckConstraint("openings >= 1", name=op.f("ck_contract_findings_openings")),
        sa.ForeignKeyConstraint(
            ["contract_run_id"],
            ["contract_runs.contract_run_id"],
            name=op.f("fk_contract_findings_contract_run_id_contract_runs"),
        ),
        sa.PrimaryKeyConstraint("finding_id", name=op.f("pk_contract_findings")),
        sa.UniqueConstraint(
            "environment",
            "endpoint",
            "place",
            "kind",
            name=op.f("uq_contract_findings_environment_endpoint_place_kind"),
        ),
        sqlite_strict=True,
    )
    op.create_index("ix_contract_findings_status", "contract_findings", ["status"], unique=False)
    op.create_table(
        "alerts",
        sa.Column("alert_id", Integer, autoincrement=True, nullable=False),
        sa.Column("message_key", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("finding_id", Integer, nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_us", Integer, nullable=False),
        sa.Column("finished_us", Integer, nullable=True),
        sa.CheckConstraint("(origin = 'finding') = (finding_id IS NOT NULL)", name=op.f("ck_alerts_about_a_finding")),
        sa.CheckConstraint("(state = 'pending') = (finished_us IS NULL)", name=op.f("ck_alerts_finished")),
        sa.CheckConstraint("message_key <> ''", name=op.f("ck_alerts_message_key")),
        sa.CheckConstraint(
            "origin IN ('finding', 'summary', 'run_failure', 'overdue', 'halt')", name=op.f("ck_alerts_origin")
        ),
        sa.CheckConstraint("severity IN ('breaking', 'risky', 'additive')", name=op.f("ck_alerts_severity")),
        sa.CheckConstraint("state IN ('pending', 'sent', 'failed', 'skipped')", name=op.f("ck_alerts_state")),
        sa.CheckConstraint("title <> ''", name=op.f("ck_alerts_titled")),
        sa.CheckConstraint("length(body) <= 4000", name=op.f("ck_alerts_body_length")),
        sa.CheckConstraint("length(title) <= 200", name=op.f("ck_alerts_title_length")),
        sa.ForeignKeyConstraint(
            ["finding_id"], ["contract_findings.finding_id"], name=op.f("fk_alerts_finding_id_contract_findings")
        ),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("pk_alerts")),
        sa.UniqueConstraint("message_key", name=op.f("uq_alerts_message_key")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_alerts_finding_id"), "alerts", ["finding_id"], unique=False)
    op.create_index("ix_alerts_state", "alerts", ["state"], unique=False)
    op.create_table(
        "contract_finding_events",
        sa.Column("finding_event_id", Integer, autoincrement=True, nullable=False),
        sa.Column("finding_id", Integer, nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("at_us", Integer, nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("contract_run_id", Integer, nullable=True),
        sa.CheckConstraint(
            "(event = 'acknowledged') = (contract_run_id IS NULL)",
            name=op.f("ck_contract_finding_events_seen_by_a_run"),
        ),
        sa.CheckConstraint(
            "(event = 'acknowledged') = (who IS NOT NULL) AND (event = 'acknowledged') = (why IS NOT NULL)",
            name=op.f("ck_contract_finding_events_acknowledged_by_somebody"),
        ),
        sa.CheckConstraint(
            "event IN ('opened', 'changed', 'acknowledged', 'closed', 'reopened')",
            name=op.f("ck_contract_finding_events_event"),
        ),
        sa.ForeignKeyConstraint(
            ["contract_run_id"],
            ["contract_runs.contract_run_id"],
            name=op.f("fk_contract_finding_events_contract_run_id_contract_runs"),
        ),
        sa.ForeignKeyConstraint(
            ["finding_id"],
            ["contract_findings.finding_id"],
            name=op.f("fk_contract_finding_events_finding_id_contract_findings"),
        ),
        sa.PrimaryKeyConstraint("finding_event_id", name=op.f("pk_contract_finding_events")),
        sqlite_strict=True,
    )
    op.create_index(
        op.f("ix_contract_finding_events_finding_id"), "contract_finding_events", ["finding_id"], unique=False
    )
    op.create_table(
        "alert_deliveries",
        sa.Column("alert_id", Integer, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", Integer, nullable=False),
        sa.Column("next_attempt_us", Integer, nullable=False),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("claimed_us", Integer, nullable=True),
        sa.Column("sent_us", Integer, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("(state = 'sending') = (claimed_us IS NOT NULL)", name=op.f("ck_alert_deliveries_claimed")),
        sa.CheckConstraint("(state = 'sent') = (sent_us IS NOT NULL)", name=op.f("ck_alert_deliveries_sent")),
        sa.CheckConstraint("channel <> ''", name=op.f("ck_alert_deliveries_channel")),
        sa.CheckConstraint(
            "state <> 'failed' OR error IS NOT NULL", name=op.f("ck_alert_deliveries_failure_explained")
        ),
        sa.CheckConstraint("state IN ('pending', 'sending', 'sent', 'failed')", name=op.f("ck_alert_deliveries_state")),
        sa.CheckConstraint(
            "state NOT IN ('sending', 'sent') OR message_id IS NOT NULL", name=op.f("ck_alert_deliveries_in_a_message")
        ),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_alert_deliveries_attempts")),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.alert_id"], name=op.f("fk_alert_deliveries_alert_id_alerts")),
        sa.PrimaryKeyConstraint("alert_id", "channel", name=op.f("pk_alert_deliveries")),
        sqlite_strict=True,
    )
    op.create_index("ix_alert_deliveries_channel", "alert_deliveries", ["channel", "state"], unique=False)
    op.execute(
        f"""
        CREATE VIEW vendor_drift AS
        SELECT finding_id, severity, status, environment, endpoint, place, kind, before, after, example, assets, advice,
               {_time("first_seen_us")} AS first_seen_time, {_time("last_seen_us")} AS last_seen_time,
               {_time("opened_us")} AS opened_time, {_time("closed_us")} AS closed_time,
               {_time("acknowledged_us")} AS acknowledged_time, acknowledged_by, acknowledged_why
        FROM contract_findings
        """
    )


def downgrade() -> None:
    for table in TABLES:
        refuse_to_lose(table)
    op.execute("DROP VIEW vendor_drift")
    for table in TABLES:
        op.drop_table(table)


def _time(microseconds: str) -> str:
    if dialect() == "postgresql":
        return f"(timestamptz 'epoch' + {microseconds} * interval '1 microsecond')"
    return (
        f"strftime('%Y-%m-%dT%H:%M:%S', {microseconds} / 1000000, 'unixepoch')"
        f" || printf('.%06dZ', {microseconds} % 1000000)"
    )
