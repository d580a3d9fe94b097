"""The check ``complete`` fails the run that read an incomplete list, and names both counts."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import httpx
import pytest

from kalshi_pipelines.definitions import build_defs
from kalshi_pipelines.defs.contracts.automation import run_failure_alerts
from kalshi_pipelines.defs.market_data.checks import COMPLETE
from kalshi_pipelines.defs.resources import ExchangeResource, WarehouseResource
from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    options = SandboxOptions(markets=300, combos=0, tick_seconds=0, tier="unlimited", warm=False)
    with running_sandbox(options) as running:
        yield running


@pytest.fixture
def definitions(sandbox: SandboxProcess, tmp_path: Path) -> dg.Definitions:
    return build_defs(
        warehouse=WarehouseResource(data_dir=str(tmp_path)), exchange=ExchangeResource(sandbox_url=sandbox.url)
    )


def run(definitions: dg.Definitions, job: str) -> dg.ExecuteInProcessResult:
    return definitions.resolve_job_def(job).execute_in_process(raise_on_error=False)


def complete_checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {
        each.asset_key.to_user_string(): each
        for each in result.get_asset_check_evaluations()
        if each.check_name == COMPLETE
    }


def truncate(sandbox: SandboxProcess, status: str, rows: int) -> None:
    fault = {"endpoint": "GET /markets", "kind": "last_page", "rows": rows, "where": {"status": status}, "times": 99}
    httpx.post(f"{sandbox.admin_url}/sandbox/faults", json=fault).raise_for_status()


def test_complete_passes_for_every_asset_after_a_whole_night(definitions: dg.Definitions) -> None:
    result = run(definitions, "nightly")
    assert result.success
    checks = complete_checks(result)
    assert {asset: each.passed for asset, each in checks.items()} == dict.fromkeys(
        ("series", "events", "markets", "orderbooks"), True
    )
    assert set(complete_checks(run(definitions, "snapshot"))) == {"markets", "orderbooks"}


def test_truncated_list_fails_the_check_and_the_run_that_read_it(
    definitions: dg.Definitions, sandbox: SandboxProcess
) -> None:
    before = complete_checks(run(definitions, "nightly"))["markets"].metadata["GET /markets status=open"].value
    truncate(sandbox, "open", 17)
    result = run(definitions, "nightly")
    assert not result.success
    checks = complete_checks(result)
    assert {asset for asset, each in checks.items() if not each.passed} == {"markets"}
    assert checks["markets"].severity is dg.AssetCheckSeverity.ERROR
    assert f"{before} records at the last complete read, 17 now." in (checks["markets"].description or "")
    # Books are read all the same: they cannot be read later.
    assert result.asset_materializations_for_node("orderbooks")
    (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    assert failure.step_key == "completeness"
    assert failure.step_failure_data.error is not None
    assert str(failure.step_failure_data.error.cls_name).endswith("IncompleteLists")


def test_problem_of_a_list_stays_on_its_asset_until_the_list_is_read_again(
    definitions: dg.Definitions, sandbox: SandboxProcess
) -> None:
    run(definitions, "nightly")
    truncate(sandbox, "unopened", 0)
    assert not run(definitions, "nightly").success
    snapshot = run(definitions, "snapshot")
    assert snapshot.success
    assert not complete_checks(snapshot)["markets"].passed
    httpx.delete(f"{sandbox.admin_url}/sandbox/faults").raise_for_status()
    assert complete_checks(run(definitions, "nightly"))["markets"].passed


def test_run_that_failed_on_an_incomplete_list_sends_no_second_alert(
    definitions: dg.Definitions, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    run(definitions, "nightly")
    truncate(sandbox, "open", 17)
    with dg.DagsterInstance.ephemeral() as instance:
        job = definitions.resolve_job_def("nightly")
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        failed = dg.build_run_status_sensor_context(
            sensor_name="run_failure_alerts",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            resources={"warehouse": WarehouseResource(data_dir=str(tmp_path))},
        )
        with failed.for_run_failure() as context:
            skipped = run_failure_alerts(context)
    assert isinstance(skipped, dg.SkipReason)
    assert "findings" in (skipped.skip_message or "")
