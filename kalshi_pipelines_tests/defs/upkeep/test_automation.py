"""The job ``maintain`` reports by default, works for real when the schedule starts it, and fails if a task failed."""

import datetime as dt
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from kalshi_pipelines.definitions import build_defs
from kalshi_pipelines.defs.market_data.automation import snapshot, snapshot_schedule
from kalshi_pipelines.defs.resources import WarehouseResource
from kalshi_pipelines.defs.schema.requirement import WAREHOUSE_SCHEMA
from kalshi_pipelines.defs.upkeep.automation import maintain_schedule
from kalshi_pipelines.warehouse.backup import BackupFailed
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.locks import hold_work_lock
from kalshi_pipelines.warehouse.tables import ingest_runs, quarantine
from kalshi_pipelines_tests.support.warehouse.rows import LEGAL

REAL: dict[str, Any] = {"ops": {"keep_up": {"config": {"dry_run": False}}}}
AT = dt.datetime(2026, 11, 22, 10, tzinfo=dt.UTC)


@pytest.fixture
def warehouse(tmp_path: Path) -> WarehouseResource:
    warehouse = WarehouseResource(data_dir=str(tmp_path))
    assert run(warehouse, "migrate").success
    with writing(warehouse.engine) as connection:
        connection.execute(sa.insert(ingest_runs), LEGAL[ingest_runs])
        connection.execute(sa.insert(quarantine), LEGAL[quarantine] | {"resolved_us": 1})
    return warehouse


def run(warehouse: WarehouseResource, job: str, **options: Any) -> dg.ExecuteInProcessResult:
    definitions = build_defs(warehouse=warehouse)
    return definitions.resolve_job_def(job).execute_in_process(raise_on_error=False, **options)


def quarantined(warehouse: WarehouseResource) -> int:
    with warehouse.engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(quarantine)) or 0


def observed(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = [event for event in result.all_events if event.is_asset_observation]
    assert event.asset_key == WAREHOUSE_SCHEMA
    return {name: value.value for name, value in event.asset_observation_data.asset_observation.metadata.items()}


def test_job_started_by_hand_reports_and_changes_no_file(warehouse: WarehouseResource, tmp_path: Path) -> None:
    warehouse.engine.dispose()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    result = run(warehouse, "maintain")
    warehouse.engine.dispose()
    assert result.success
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    shown = observed(result)
    assert shown["upkeep"] == "dry run, nothing was changed"
    removed = {record.data["what"]: record.data["would remove"] for record in shown["rows and files"].records}
    assert removed["records in quarantine"] == "1"


def test_job_of_the_schedule_removes_and_reports(warehouse: WarehouseResource) -> None:
    request = maintain_schedule(dg.build_schedule_context(scheduled_execution_time=AT))
    assert isinstance(request, dg.RunRequest)
    assert request.run_config["ops"] == REAL["ops"]
    result = run(warehouse, "maintain", run_config=request.run_config)
    assert result.success
    assert quarantined(warehouse) == 0
    assert observed(result)["upkeep"] == "done"


def test_job_on_an_old_schema_names_the_command(tmp_path: Path) -> None:
    result = run(WarehouseResource(data_dir=str(tmp_path)), "maintain")
    assert not result.success
    (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    assert "-j migrate" in str(failure.step_failure_data.error_display_string)


def test_failed_task_fails_the_run_after_all_other_tasks(
    warehouse: WarehouseResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise BackupFailed("The disk is gone.", "Buy one.")

    monkeypatch.setattr("kalshi_pipelines.upkeep.backups.backups_of", fail)
    result = run(warehouse, "maintain", run_config=REAL)
    assert not result.success
    assert quarantined(warehouse) == 0
    assert observed(result)["failed tasks"] == "retention of backups"
    (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    assert "The disk is gone." in str(failure.step_failure_data.error_display_string)


def test_second_upkeep_at_the_same_time_is_refused(warehouse: WarehouseResource) -> None:
    with hold_work_lock(warehouse.engine, "upkeep"):
        assert not run(warehouse, "maintain", run_config=REAL).success
        assert run(warehouse, "maintain").success
    assert run(warehouse, "maintain", run_config=REAL).success


def test_snapshot_schedule_is_off_and_skips_while_an_earlier_run_is_active(tmp_path: Path) -> None:
    assert snapshot_schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert snapshot_schedule.cron_schedule == "*/5 * * * *"
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        context = dg.build_schedule_context(instance=instance, scheduled_execution_time=AT)
        request = snapshot_schedule(context)
        assert isinstance(request, dg.RunRequest)
        assert request.run_key == "snapshot:2026-11-22T10:00:00+00:00"
        instance.create_run_for_job(build_defs().resolve_job_def(snapshot.name))
        assert isinstance(snapshot_schedule(context), dg.SkipReason)
