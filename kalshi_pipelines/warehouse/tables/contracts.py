"""Tables of the vendor contracts: runs, endpoints, baselines and findings, and the outbox of alerts."""

from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.tables.bookkeeping import ENVIRONMENTS
from kalshi_pipelines.warehouse.tables.columns import (
    Integer,
    Text,
    at_most_long,
    json_arrays,
    json_objects,
    metadata,
    not_negative,
    one_of,
    required,
)

#: Sources of the answers that a contract run checks: its own probes, or the pages of an ingest.
CONTRACT_RUN_SOURCES: Final = ("probes", "ingest")
CONTRACT_RUN_STATUSES: Final = ("running", "succeeded", "failed")
#: Outcomes of a request to an endpoint.
ENDPOINT_OUTCOMES: Final = ("checked", "empty", "refused", "maintenance", "unreachable")
FINDING_SEVERITIES: Final = ("breaking", "risky", "additive")
FINDING_KINDS: Final = (
    "key_missing",
    "key_new",
    "key_renamed",
    "type_changed",
    "format_changed",
    "value_new",
    "value_changed",
    "value_frozen",
    "null_new",
    "distribution_changed",
    "invariant_broken",
    "text_changed",
    "status_changed",
    "authentication_changed",
    "host_changed",
    "redirected",
    "page_broken",
    "list_incomplete",
    "error_shape_changed",
    "document_changed",
    "absurd",
    "unreachable",
)
FINDING_STATUSES: Final = ("open", "acknowledged", "closed")
FINDING_EVENTS: Final = ("opened", "changed", "acknowledged", "closed", "reopened")
ALERT_ORIGINS: Final = ("finding", "summary", "run_failure", "overdue", "halt")
ALERT_STATES: Final = ("pending", "sent", "failed", "skipped")
DELIVERY_STATES: Final = ("pending", "sending", "sent", "failed")
MOST_FINDING_TEXT: Final = 300
MOST_ALERT_TITLE: Final = 200
MOST_ALERT_BODY: Final = 4_000


def _environment() -> sa.Column[str]:
    return sa.Column("environment", Text, primary_key=True, nullable=False)


def _endpoint() -> sa.Column[str]:
    return sa.Column("endpoint", Text, primary_key=True, nullable=False)


def _run(*, nullable: bool = False) -> sa.Column[int]:
    return sa.Column("contract_run_id", Integer, sa.ForeignKey("contract_runs.contract_run_id"), nullable=nullable)


contract_runs = sa.Table(
    "contract_runs",
    metadata,
    sa.Column("contract_run_id", Integer, primary_key=True, autoincrement=True),
    required("environment", Text),
    required("source", Text),
    sa.Column("dagster_run_id", Text),
    required("status", Text),
    required("started_us"),
    sa.Column("finished_us", Integer),
    *[required(f"endpoints_{outcome}") for outcome in ENDPOINT_OUTCOMES],
    *[required(name) for name in ("findings_opened", "findings_closed")],
    sa.Column("error", Text),
    sa.Index("ix_contract_runs_started_us", "started_us"),
    one_of("environment", ENVIRONMENTS),
    one_of("source", CONTRACT_RUN_SOURCES),
    one_of("status", CONTRACT_RUN_STATUSES),
    *not_negative(*[f"endpoints_{outcome}" for outcome in ENDPOINT_OUTCOMES], "findings_opened", "findings_closed"),
    sa.CheckConstraint("(status = 'running') = (finished_us IS NULL)", name="finished"),
    sa.CheckConstraint("(status = 'failed') = (error IS NOT NULL)", name="failure_explained"),
    # A run without any answer has checked nothing, so it must not be stored as succeeded.
    sa.CheckConstraint("status <> 'succeeded' OR endpoints_checked + endpoints_empty > 0", name="something_checked"),
    sqlite_strict=True,
)

contract_endpoints = sa.Table(
    "contract_endpoints",
    metadata,
    _environment(),
    _endpoint(),
    required("last_outcome", Text),
    required("last_attempted_us"),
    sa.Column("last_checked_us", Integer),
    required("failures"),
    sa.Column("failing_since_us", Integer),
    _run(),
    one_of("environment", ENVIRONMENTS),
    sa.CheckConstraint("endpoint <> ''", name="endpoint"),
    one_of("last_outcome", ENDPOINT_OUTCOMES),
    *not_negative("failures"),
    sa.CheckConstraint("(failures = 0) = (failing_since_us IS NULL)", name="failing_since"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

contract_baselines = sa.Table(
    "contract_baselines",
    metadata,
    _environment(),
    _endpoint(),
    required("baseline", Text),
    sa.Column("reference", Text),
    required("observations"),
    required("first_observed_us"),
    required("last_observed_us"),
    _run(),
    one_of("environment", ENVIRONMENTS),
    sa.CheckConstraint("endpoint <> ''", name="endpoint"),
    *json_objects("baseline", "reference"),
    *not_negative("observations"),
    sa.CheckConstraint("first_observed_us <= last_observed_us", name="observed_in_order"),
    sqlite_strict=True,
)

contract_findings = sa.Table(
    "contract_findings",
    metadata,
    sa.Column("finding_id", Integer, primary_key=True, autoincrement=True),
    *[required(name, Text) for name in ("environment", "endpoint", "place", "kind", "severity", "status")],
    *[required(name, Text) for name in ("before", "after", "example", "advice", "assets", "fingerprint")],
    required("seen_by", Text),
    required("openings"),
    required("absences"),
    *[required(f"{moment}_us") for moment in ("first_seen", "last_seen", "opened")],
    sa.Column("announced_us", Integer),
    sa.Column("closed_us", Integer),
    sa.Column("acknowledged_us", Integer),
    sa.Column("acknowledged_by", Text),
    sa.Column("acknowledged_why", Text),
    _run(),
    sa.UniqueConstraint("environment", "endpoint", "place", "kind"),
    sa.Index("ix_contract_findings_status", "status"),
    one_of("environment", ENVIRONMENTS),
    sa.CheckConstraint("endpoint <> ''", name="endpoint"),
    one_of("kind", FINDING_KINDS),
    one_of("severity", FINDING_SEVERITIES),
    one_of("status", FINDING_STATUSES),
    one_of("seen_by", CONTRACT_RUN_SOURCES),
    *[
        check
        for name in ("place", "before", "after", "example", "advice")
        for check in at_most_long(name, MOST_FINDING_TEXT)
    ],
    *json_arrays("assets"),
    sa.CheckConstraint("fingerprint <> ''", name="fingerprint"),
    sa.CheckConstraint("openings >= 1", name="openings"),
    *not_negative("absences"),
    sa.CheckConstraint("first_seen_us <= last_seen_us", name="seen_in_order"),
    sa.CheckConstraint("(status = 'closed') = (closed_us IS NOT NULL)", name="closed"),
    sa.CheckConstraint("(status = 'acknowledged') = (acknowledged_us IS NOT NULL)", name="acknowledged"),
    sa.CheckConstraint(
        "(acknowledged_us IS NULL) = (acknowledged_by IS NULL)"
        " AND (acknowledged_us IS NULL) = (acknowledged_why IS NULL)",
        name="acknowledged_by_somebody",
    ),
    sa.CheckConstraint("acknowledged_by <> '' AND acknowledged_why <> ''", name="acknowledged_for_a_reason"),
    sqlite_strict=True,
)

contract_finding_events = sa.Table(
    "contract_finding_events",
    metadata,
    sa.Column("finding_event_id", Integer, primary_key=True, autoincrement=True),
    sa.Column("finding_id", Integer, sa.ForeignKey("contract_findings.finding_id"), nullable=False, index=True),
    required("event", Text),
    required("at_us"),
    required("after", Text),
    sa.Column("who", Text),
    sa.Column("why", Text),
    _run(nullable=True),
    one_of("event", FINDING_EVENTS),
    sa.CheckConstraint(
        "(event = 'acknowledged') = (who IS NOT NULL) AND (event = 'acknowledged') = (why IS NOT NULL)",
        name="acknowledged_by_somebody",
    ),
    sa.CheckConstraint("(event = 'acknowledged') = (contract_run_id IS NULL)", name="seen_by_a_run"),
    sqlite_strict=True,
)

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("alert_id", Integer, primary_key=True, autoincrement=True),
    required("message_key", Text),
    required("origin", Text),
    required("severity", Text),
    sa.Column("finding_id", Integer, sa.ForeignKey("contract_findings.finding_id"), index=True),
    required("title", Text),
    required("body", Text),
    required("state", Text),
    required("created_us"),
    sa.Column("finished_us", Integer),
    sa.UniqueConstraint("message_key"),
    sa.Index("ix_alerts_state", "state"),
    sa.CheckConstraint("message_key <> ''", name="message_key"),
    one_of("origin", ALERT_ORIGINS),
    one_of("severity", FINDING_SEVERITIES),
    sa.CheckConstraint("(origin = 'finding') = (finding_id IS NOT NULL)", name="about_a_finding"),
    sa.CheckConstraint("title <> ''", name="titled"),
    *at_most_long("title", MOST_ALERT_TITLE),
    *at_most_long("body", MOST_ALERT_BODY),
    one_of("state", ALERT_STATES),
    sa.CheckConstraint("(state = 'pending') = (finished_us IS NULL)", name="finished"),
    sqlite_strict=True,
)

alert_deliveries = sa.Table(
    "alert_deliveries",
    metadata,
    sa.Column("alert_id", Integer, sa.ForeignKey("alerts.alert_id"), primary_key=True, nullable=False),
    sa.Column("channel", Text, primary_key=True, nullable=False),
    required("state", Text),
    required("attempts"),
    required("next_attempt_us"),
    sa.Column("message_id", Text),
    sa.Column("claimed_us", Integer),
    sa.Column("sent_us", Integer),
    sa.Column("error", Text),
    sa.Index("ix_alert_deliveries_channel", "channel", "state"),
    sa.CheckConstraint("channel <> ''", name="channel"),
    one_of("state", DELIVERY_STATES),
    *not_negative("attempts"),
    sa.CheckConstraint("(state = 'sending') = (claimed_us IS NOT NULL)", name="claimed"),
    sa.CheckConstraint("(state = 'sent') = (sent_us IS NOT NULL)", name="sent"),
    sa.CheckConstraint("state NOT IN ('sending', 'sent') OR message_id IS NOT NULL", name="in_a_message"),
    sa.CheckConstraint("state <> 'failed' OR error IS NOT NULL", name="failure_explained"),
    sqlite_strict=True,
)
