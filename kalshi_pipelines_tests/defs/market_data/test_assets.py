"""Assets of market data run after the schema, report their counts, and can be materialized alone."""

import sqlite3
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kalshi_pipelines.definitions import build_defs
from kalshi_pipelines.defs.automation import nightly_schedule
from kalshi_pipelines.defs.resources import ExchangeResource, WarehouseResource
from kalshi_pipelines.sandbox.process import SandboxProcess


@pytest.fixture
def definitions(frozen_sandbox: SandboxProcess, tmp_path: Path) -> dg.Definitions:
    return build_defs(
        warehouse=WarehouseResource(data_dir=str(tmp_path)), exchange=ExchangeResource(sandbox_url=frozen_sandbox.url)
    )


def run(definitions: dg.Definitions, job: str, **options: Any) -> dg.ExecuteInProcessResult:
    return definitions.resolve_job_def(job).execute_in_process(raise_on_error=False, **options)


def error_of(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    return str(failure.step_failure_data.error_display_string)


@pytest.mark.parametrize("asset", ["series", "events", "orderbooks"])
def test_asset_alone_on_an_empty_warehouse_names_the_command_to_run(definitions: dg.Definitions, asset: str) -> None:
    result = run(definitions, "nightly", asset_selection=[dg.AssetKey(asset)])
    assert not result.success
    assert "dagster job execute -m kalshi_pipelines -j migrate" in error_of(result)


def test_migrate_twice_reports_nothing_to_do_the_second_time(
    definitions: dg.Definitions,
) -> None:
    seen: list[dict[str, Any]] = []
    for _ in range(2):
        (materialization,) = run(definitions, "migrate").asset_materializations_for_node("warehouse_schema")
        seen.append({name: value.value for name, value in materialization.metadata.items()})
    assert (seen[0]["before"], seen[1]["before"]) == ("(empty)", seen[0]["after"])
    assert seen[1]["applied"] == "nothing to do"


def test_asset_alone_works_after_migrate(definitions: dg.Definitions) -> None:
    assert run(definitions, "migrate").success
    assert run(definitions, "nightly", asset_selection=[dg.AssetKey("series")]).success


def test_markets_report_rows_rejects_rates_durations_and_files(definitions: dg.Definitions) -> None:
    result = run(definitions, "nightly")
    assert result.success
    reported: dict[str, dict[str, Any]] = {
        event.asset_key.to_user_string(): {name: value.value for name, value in event.metadata.items()}
        for event in result.asset_materializations_for_node("markets_and_quotes")
        if event.asset_key
    }
    for metadata in reported.values():
        assert metadata["records_read"] == metadata["records_written"] + metadata["records_unchanged"]
        assert metadata["records_rejected"] == 0
        assert {"seconds", "records_per_second", "pages", "dagster/row_count"} <= set(metadata)
    assert reported.keys() == {"markets", "quotes", "price_snapshots", "settlements"}
    assert reported["quotes"]["dagster/row_count"] == reported["markets"]["dagster/row_count"]
    assert 0 < reported["settlements"]["dagster/row_count"] < reported["markets"]["dagster/row_count"]
    quotes = reported["price_snapshots"]
    assert quotes["history_rows_added"] == quotes["lake_rows"] == quotes["dagster/row_count"] > 0
    assert quotes["lake_file"].startswith("price_history/date=")


def test_price_snapshots_can_be_materialized_without_markets(definitions: dg.Definitions) -> None:
    assert run(definitions, "migrate").success
    result = run(definitions, "nightly", asset_selection=[dg.AssetKey("price_snapshots")])
    assert result.success
    made = [event.asset_key for event in result.asset_materializations_for_node("markets_and_quotes")]
    assert made == [dg.AssetKey("price_snapshots")]


def test_locked_database_fails_the_run_with_one_sentence(
    definitions: dg.Definitions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalshi_pipelines.warehouse.engine.LOCK_WAIT_SECONDS", 0)
    assert run(definitions, "migrate").success
    with sqlite3.connect(tmp_path / "sandbox" / "warehouse.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        result = run(definitions, "nightly", asset_selection=[dg.AssetKey("series")])
    other.close()
    assert "Stop the other program that holds the database" in error_of(result)


def test_unknown_market_status_is_refused_with_the_known_ones(definitions: dg.Definitions) -> None:
    config = {"ops": {"markets_and_quotes": {"config": {"statuses": ["active"]}}}}
    result = run(definitions, "nightly", run_config=config)
    assert "unopened, open, paused, closed, settled" in error_of(result)


def test_nightly_schedule_requests_one_run_a_night() -> None:
    import datetime as dt

    context = dg.build_schedule_context(scheduled_execution_time=dt.datetime(2026, 11, 22, 6, tzinfo=dt.UTC))
    request = nightly_schedule(context)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == "2026-11-22"
