"""The asset check ``complete`` in real Dagster runs that read a sandbox exchange, and its results for all days."""

import datetime as dt
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from kalshi_pipelines.definitions import build_defs
from kalshi_pipelines.defs.history.assets import public_trades
from kalshi_pipelines.defs.history.checks import complete, result_of
from kalshi_pipelines.defs.resources import ExchangeResource, WarehouseResource
from kalshi_pipelines.history.partitions import Partition, partitions_of
from kalshi_pipelines.history.proof.residuals import Proof, Residual, State, Verdict
from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox

TODAY = dt.datetime.now(dt.UTC).date()
DAY = TODAY - dt.timedelta(days=4)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with running_sandbox(SandboxOptions(markets=12, combos=0, archived=4, tier="unlimited", warm=False)) as running:
        yield running


@pytest.fixture
def warehouse(migrated_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WarehouseResource:
    monkeypatch.setenv("KALSHI_RATE_TIER", "prestige")
    (tmp_path / "sandbox").mkdir()
    shutil.copy(migrated_file, tmp_path / "sandbox" / "warehouse.db")
    return WarehouseResource(data_dir=str(tmp_path))


@pytest.fixture
def dropped_hour(sandbox: SandboxProcess) -> Iterator[None]:
    """The feed lacks all trades of an hour, without an error."""
    fault = {"kind": "dropped_period", "time": f"{DAY}T12:00:00Z", "seconds": 3_600, "times": 1_000_000}
    httpx.post(
        f"{sandbox.admin_url}/sandbox/faults", json={"endpoint": "GET /markets/trades", **fault}
    ).raise_for_status()
    yield
    httpx.delete(f"{sandbox.admin_url}/sandbox/faults").raise_for_status()


def value_of(metadata: Mapping[str, Any] | None, name: str) -> Any:
    assert metadata is not None
    return metadata[name].value


def checked(warehouse: WarehouseResource, sandbox: SandboxProcess, **options: Any) -> dg.AssetCheckEvaluation:
    resources = {"warehouse": warehouse, "exchange": ExchangeResource(sandbox_url=sandbox.url)}
    result = dg.materialize([public_trades, complete], resources=resources, raise_on_error=False, **options)
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


def proof_of(warehouse: WarehouseResource) -> dict[dt.date, str]:
    return {each.day: each.proof for each in partitions_of(warehouse.engine, "public_trades")}


def test_run_of_a_partition_checks_its_day(warehouse: WarehouseResource, sandbox: SandboxProcess) -> None:
    evaluation = checked(warehouse, sandbox, partition_key=str(DAY))
    assert evaluation.passed
    assert proof_of(warehouse) == {DAY: "proved"}
    assert value_of(evaluation.metadata, "days_proved") == 1
    assert value_of(evaluation.metadata, "minutes_compared") > 0


def test_check_is_red_and_lists_the_minutes_when_trades_are_missing(
    warehouse: WarehouseResource, sandbox: SandboxProcess, dropped_hour: None
) -> None:
    evaluation = checked(warehouse, sandbox, partition_key=str(DAY))
    assert not evaluation.passed
    assert evaluation.severity is dg.AssetCheckSeverity.ERROR
    table = evaluation.metadata["differences"]
    assert isinstance(table, dg.TableMetadataValue)
    ends = [record.data["kind"] for record in table.records]
    assert ends
    hours = (f"{DAY}T12:", f"{DAY}T13:00Z", "further minutes")
    assert all(any(part in str(each) for part in hours) for each in ends)


def test_nightly_job_checks_closed_days_and_fails_if_trades_are_missing(
    warehouse: WarehouseResource, sandbox: SandboxProcess, dropped_hour: None
) -> None:
    definitions = build_defs(warehouse=warehouse, exchange=ExchangeResource(sandbox_url=sandbox.url))
    config = {"start": str(DAY), "end": str(DAY), "datasets": ["public_trades"]}
    backfill = definitions.resolve_job_def("backfill_history")
    with dg.DagsterInstance.ephemeral() as instance:
        run_config = {"ops": {"read_history": {"config": config}}}
        assert backfill.execute_in_process(run_config=run_config, instance=instance).success
        nightly = definitions.resolve_job_def("history")
        result = nightly.execute_in_process(raise_on_error=False, instance=instance)
        key = dg.AssetCheckKey(dg.AssetKey("public_trades"), "complete")
        (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
    assert not result.success
    (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    assert "lack rows" in str(failure.step_failure_data.user_failure_data)
    assert record.status.value == "FAILED"
    assert proof_of(warehouse)[DAY] == "missing"


def partition(number: int, proof: Verdict) -> Partition:
    figures = {"proof": {"minutes_compared": 10, "differences_missing": int(proof is Verdict.MISSING)}}
    return Partition("public_trades", dt.date(2026, 11, number), "closed", 1, 0, 1, 1, proof, figures)


@pytest.mark.parametrize(
    ("verdicts", "passed", "severity"),
    [
        ([Verdict.PROVED, Verdict.PROVED], True, "WARN"),
        ([Verdict.PROVED, Verdict.EXPLAINED], False, "WARN"),
        ([Verdict.MISSING, Verdict.PROVED], False, "ERROR"),
        ([], True, "WARN"),
    ],
)
def test_result_counts_the_days_of_all_partitions(verdicts: list[Verdict], passed: bool, severity: str) -> None:
    known = [partition(number + 1, verdict) for number, verdict in enumerate(verdicts)]
    result = result_of(known, [], [])
    assert (result.passed, result.severity.value) == (passed, severity)
    assert value_of(result.metadata, "minutes_compared") == 10 * len(verdicts)


def test_day_without_a_witness_is_no_success() -> None:
    day = dt.date(2026, 11, 1)
    residual = Residual("", "candlesticks", State.NOT_SERVED, "candlesticks", "none", "why")
    proof = Proof(day, Verdict.NOT_CHECKED, (residual,))
    result = result_of([partition(1, Verdict.NOT_CHECKED)], [(day, residual)], [proof])
    assert not result.passed
    assert "not checked" in str(result.description)
