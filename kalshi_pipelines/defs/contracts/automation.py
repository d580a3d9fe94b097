"""Job and sensors of contract checks. The package ``contracts`` decides when a run is due."""

import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final

import dagster as dg

from kalshi_pipelines.alerts.channels import AlertChannels
from kalshi_pipelines.alerts.delivery import alert_run_failure, deliver_pending
from kalshi_pipelines.contracts.findings import store
from kalshi_pipelines.contracts.health import CheckFreshness, alert_if_overdue, next_run
from kalshi_pipelines.contracts.runs import environment_to_check
from kalshi_pipelines.defs.contracts.assets import contract_findings
from kalshi_pipelines.defs.contracts.checks import RAN_IN_A_DAY, endpoint_contracts
from kalshi_pipelines.defs.resources import WarehouseResource
from kalshi_pipelines.defs.schema.requirement import WAREHOUSE_SCHEMA
from kalshi_pipelines.settings import InvalidSettings, Settings
from kalshi_pipelines.units import instant, now_us
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable, explain_failures
from kalshi_pipelines.warehouse.migrations import SchemaNotAtHead, require_head

_UNUSABLE: Final = (InvalidSettings, SchemaNotAtHead, WarehouseUnavailable)

#: Errors of runs that failed on findings. ``IncompleteLists`` is raised by the check ``complete``.
_FAILED_ON_FINDINGS: Final = ("DagsterAssetCheckFailedError", "IncompleteLists")

_MINUTE: Final = 60

_WAITING: Final = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING]

#: The time after which a contract run that still waits to start counts as lost.
_LOST_AFTER: Final = timedelta(hours=6)

contract_checks: Final = dg.define_asset_job(
    "contract_checks",
    selection=dg.AssetSelection.assets(WAREHOUSE_SCHEMA, contract_findings)
    | dg.AssetSelection.checks(endpoint_contracts),
    description="Compare every vendor endpoint with its contract. Fails while a breaking finding is open.",
    tags={"kalshi_pipelines/reads": "exchange"},
)


@dg.sensor(
    job=contract_checks,
    minimum_interval_seconds=5 * _MINUTE,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts `contract_checks` every 5 to 6 hours, sooner after a failure, at once after a daemon outage.",
)
def contract_sensor(
    context: dg.SensorEvaluationContext, warehouse: WarehouseResource
) -> dg.SensorResult | dg.SkipReason:
    """Request a contract run if one is due."""
    try:
        require_head(warehouse.engine)
        found = next_run(warehouse.engine, environment_to_check(warehouse.settings), now_us())
    except SchemaNotAtHead:
        # The requested job upgrades the warehouse's schema first, so endpoints can be checked even with an empty
        # warehouse.
        hour = now_us() // (3_600 * 1_000_000)
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"contracts:first:{hour}")])
    except _UNUSABLE as error:
        return dg.SkipReason(str(error))
    if found.key is None or context.cursor == found.key:
        return dg.SkipReason(found.why if found.key is None else f"already requested: {found.why}")
    if _is_waiting(context.instance):
        return dg.SkipReason(f"a run is already waiting to start: {found.why}")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=found.key)], cursor=found.key)


def _is_waiting(instance: dg.DagsterInstance) -> bool:
    # A contract run that waits in Dagster's queue behind a long ingest is not in the warehouse yet. If the sensor did
    # not look in the queue, it would request another run every hour.
    lost = instant(now_us()) - _LOST_AFTER
    waiting = dg.RunsFilter(job_name=contract_checks.name, statuses=_WAITING, created_after=lost)
    return instance.get_runs_count(waiting) > 0


@dataclass(frozen=True)
class _DriftMemory:
    """The drift sensor's memory between ticks.

    Attributes:
        since_us: The instant of the sensor's first tick, in microseconds since 1970 UTC.
        shown: The freshness state of contract runs that the sensor last showed in Dagster; empty at first.
    """

    since_us: int
    shown: str

    @classmethod
    def from_cursor(cls, cursor: str | None, now_us: int) -> "_DriftMemory":
        try:
            known = json.loads(cursor or "")
            return cls(int(known["since_us"]), str(known["shown"]))
        except (ValueError, KeyError, TypeError):
            return cls(now_us, "")


@dg.sensor(
    minimum_interval_seconds=_MINUTE,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends each alert of the outbox once, and shows when no contract run succeeded for 24 hours.",
)
def drift_sensor(context: dg.SensorEvaluationContext, warehouse: WarehouseResource) -> dg.SensorResult | dg.SkipReason:
    """Send pending alerts, and report whether contract runs are overdue."""
    settings = warehouse.settings
    try:
        require_head(warehouse.engine)
        with explain_failures(warehouse.engine):
            memory = _DriftMemory.from_cursor(context.cursor, now_us())
            fresh = alert_if_overdue(warehouse.engine, settings.environment.value, now_us(), memory.since_us)
            store.queue_summary(warehouse.engine, environment_to_check(settings).value, now_us())
            channels = AlertChannels.from_settings(settings)
            delivered = deliver_pending(warehouse.engine, channels, settings.alert_minimum_severity, now_us)
    except _UNUSABLE as error:
        return dg.SkipReason(str(error))
    summary = f"{delivered.sent} alerts sent, {delivered.waiting} waiting"
    summary += "".join(f"; {name} failed: {why}" for name, why in delivered.failures.items())
    if delivered.sent or delivered.failures:
        # The first log line of a tick creates a log file. A line in every tick would leave 525,600 files a year.
        context.log.info(summary)
    cursor = json.dumps(asdict(_DriftMemory(memory.since_us, fresh.state)))
    if memory.shown == fresh.state:
        return dg.SensorResult(skip_reason=summary, cursor=cursor)
    return dg.SensorResult(asset_events=[_evaluation(fresh)], cursor=cursor)


def _evaluation(fresh: CheckFreshness) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=contract_findings.key,
        check_name=RAN_IN_A_DAY,
        passed=fresh.is_fresh,
        description=fresh.sentence,
        severity=dg.AssetCheckSeverity.ERROR,
    )


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Queues an alert for every failed run, unless the run failed on findings, which have their own alerts.",
)
def run_failure_alerts(context: dg.RunFailureSensorContext, warehouse: WarehouseResource) -> dg.SkipReason | None:
    """Queue an alert for a failed run."""
    failures = [event.event_specific_data for event in context.get_step_failure_events()]
    errors = [error for failure in failures if (error := getattr(failure, "error", None)) is not None]
    if errors and all((error.cls_name or "").endswith(_FAILED_ON_FINDINGS) for error in errors):
        return dg.SkipReason("the run failed on findings, which have alerts of their own")
    why = "; ".join(_cause(error) for error in errors) or context.failure_event.message or "no reason was given"
    run = context.dagster_run
    failed_us = _failed_us(context)
    channels = _channels(warehouse.settings)
    alert_run_failure(warehouse.engine, channels, run.job_name, run.run_id, why, failed_us)
    return None


def _cause(error: Any) -> str:  # noqa: ANN401  # Dagster's serialised error is no public name
    """Return the message of the innermost error; the error that Dagster wraps around it names only the step."""
    while error.cause is not None:
        error = error.cause
    return str(error.message)


def _failed_us(context: dg.RunFailureSensorContext) -> int:
    record = context.instance.get_run_record_by_id(context.dagster_run.run_id)
    return now_us() if record is None or record.end_time is None else int(record.end_time * 1_000_000)


def _channels(settings: Settings) -> AlertChannels:
    try:
        return AlertChannels.from_settings(settings)
    except InvalidSettings:
        # A channel's URL is invalid. Alerts must still enter the outbox, and the drift sensor reports the bad URL.
        return AlertChannels()


default_jobs: Final = [contract_checks]

default_sensors: Final = [contract_sensor, drift_sensor, run_failure_alerts]
