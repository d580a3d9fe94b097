"""The jobs and the partitioned asset of history, in real Dagster runs that read a sandbox exchange."""

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kalshi_pipelines.definitions import build_defs
from kalshi_pipelines.defs.history import automation
from kalshi_pipelines.defs.history.assets import candlesticks, fee_schedule, public_trades
from kalshi_pipelines.defs.history.automation import history_schedule
from kalshi_pipelines.defs.history.reading import metadata_of
from kalshi_pipelines.defs.resources import ExchangeResource, WarehouseResource
from kalshi_pipelines.history.errors import HistoryIncomplete
from kalshi_pipelines.history.inputs import DayRead
from kalshi_pipelines.history.partitions import partitions_of
from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox

TODAY = dt.datetime.now(dt.UTC).date()
YESTERDAY, BEFORE = TODAY - dt.timedelta(days=1), TODAY - dt.timedelta(days=2)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with running_sandbox(SandboxOptions(markets=12, combos=2, archived=4, tier="unlimited", warm=False)) as running:
        yield running


@pytest.fixture
def warehouse(migrated_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WarehouseResource:
    monkeypatch.setenv("KALSHI_RATE_TIER", "prestige")
    (tmp_path / "sandbox").mkdir()
    shutil.copy(migrated_file, tmp_path / "sandbox" / "warehouse.db")
    return WarehouseResource(data_dir=str(tmp_path))


def run(warehouse: WarehouseResource, sandbox: SandboxProcess, job: str, **config: Any) -> dg.ExecuteInProcessResult:
    definitions = build_defs(warehouse=warehouse, exchange=ExchangeResource(sandbox_url=sandbox.url))
    run_config = {"ops": {"read_history": {"config": config}}} if config else None
    return definitions.resolve_job_def(job).execute_in_process(raise_on_error=False, run_config=run_config)


def materializations(result: dg.ExecuteInProcessResult) -> list[Any]:
    return [
        event.step_materialization_data.materialization
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION
    ]


def materialized(result: dg.ExecuteInProcessResult) -> dict[str | None, dict[str, Any]]:
    return {
        each.partition: {name: value.value for name, value in each.metadata.items()}
        for each in materializations(result)
        if each.asset_key == dg.AssetKey("public_trades")
    }


def log_of(result: dg.ExecuteInProcessResult, capture: pytest.CaptureFixture[str]) -> str:
    assert result.success
    return capture.readouterr().err


def test_backfill_shows_each_day_on_the_asset(
    warehouse: WarehouseResource, sandbox: SandboxProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    result = run(
        warehouse, sandbox, "backfill_history", start=str(BEFORE), end=str(TODAY), datasets=["public_trades"], workers=3
    )
    log = log_of(result, capfd)
    days = materialized(result)
    assert sorted(map(str, days)) == [str(BEFORE), str(YESTERDAY)]
    assert all(day["dagster/partition_row_count"] > 0 for day in days.values())
    assert "3 days to read from" in log
    assert "3 of 3 days" in log
    stored = {each.day: each.rows for each in partitions_of(warehouse.engine, "public_trades")}
    assert sorted(stored) == [BEFORE, YESTERDAY, TODAY]
    assert stored[YESTERDAY] == days[str(YESTERDAY)]["dagster/partition_row_count"]


def test_estimate_reads_nothing(
    warehouse: WarehouseResource, sandbox: SandboxProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    result = run(warehouse, sandbox, "backfill_history", start=str(BEFORE), estimate_only=True)
    assert "tokens" in log_of(result, capfd)
    assert not materialized(result)
    assert not partitions_of(warehouse.engine)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"start": "yesterday"}, "'yesterday' is not a day"),
        ({"start": "2021-01-01"}, "The exchange began on 2021-06-30"),
        ({"start": str(BEFORE), "end": str(TODAY + dt.timedelta(days=2))}, "has not begun"),
        ({"start": str(BEFORE), "datasets": ["trades"]}, "no history of trades"),
        ({"start": str(BEFORE), "workers": 0}, "cannot have 0 workers"),
    ],
)
def test_impossible_config_fails_with_a_sentence(
    warehouse: WarehouseResource, sandbox: SandboxProcess, config: dict[str, Any], problem: str
) -> None:
    result = run(warehouse, sandbox, "backfill_history", **config)
    (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    assert problem in str(failure.step_failure_data.user_failure_data)


def test_upkeep_follows_a_backfill(warehouse: WarehouseResource, sandbox: SandboxProcess) -> None:
    assert not materialized(run(warehouse, sandbox, "history"))
    run(warehouse, sandbox, "backfill_history", start=str(BEFORE), end=str(BEFORE), datasets=["public_trades"])
    assert sorted(map(str, materialized(run(warehouse, sandbox, "history")))) == [str(BEFORE), str(YESTERDAY)]
    assert sorted(each.day for each in partitions_of(warehouse.engine, "public_trades")) == [BEFORE, YESTERDAY, TODAY]


def test_upkeep_without_the_list_of_fees_reads_trades_and_fails(
    warehouse: WarehouseResource, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise HistoryIncomplete("The list of fees cannot be read.", "Run again.")

    run(warehouse, sandbox, "backfill_history", start=str(BEFORE), end=str(BEFORE), datasets=["public_trades"])
    monkeypatch.setattr(automation, "record_fee_schedule", refuse)
    result = run(warehouse, sandbox, "history")
    assert not result.success
    assert sorted(map(str, materialized(result))) == [str(BEFORE), str(YESTERDAY)]


def test_estimate_migrates_a_new_warehouse_first(sandbox: SandboxProcess, tmp_path: Path) -> None:
    warehouse = WarehouseResource(data_dir=str(tmp_path))
    assert run(warehouse, sandbox, "backfill_history", start=str(BEFORE), estimate_only=True).success


def materialize(warehouse: WarehouseResource, sandbox: SandboxProcess, **options: Any) -> dg.ExecuteInProcessResult:
    resources = {"warehouse": warehouse, "exchange": ExchangeResource(sandbox_url=sandbox.url)}
    return dg.materialize([public_trades], resources=resources, raise_on_error=False, **options)


def test_a_run_of_a_partition_replaces_its_day(warehouse: WarehouseResource, sandbox: SandboxProcess) -> None:
    first = materialize(warehouse, sandbox, partition_key=str(YESTERDAY))
    again = materialize(warehouse, sandbox, partition_key=str(YESTERDAY))
    (one,), (other,) = (list(materialized(each).values()) for each in (first, again))
    assert one["rows_added"] == one["dagster/partition_row_count"] > 0
    assert (other["rows_added"], other["rows_removed"], other["rows_changed"]) == (0, 0, 0)
    assert other["content_sha256"] == one["content_sha256"]


def test_a_run_without_a_partition_takes_what_is_new(warehouse: WarehouseResource, sandbox: SandboxProcess) -> None:
    materialize(warehouse, sandbox, partition_key=str(BEFORE))
    result = materialize(warehouse, sandbox)
    assert result.success
    assert sorted(each.day for each in partitions_of(warehouse.engine, "public_trades")) == [BEFORE, YESTERDAY, TODAY]


def test_schedule_requests_one_run_a_night() -> None:
    at = dt.datetime(2026, 11, 22, 7, tzinfo=dt.UTC)
    request = history_schedule(dg.build_schedule_context(scheduled_execution_time=at))
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == "2026-11-22"


def test_candlesticks_of_a_backfill_follow_its_public_trades(
    warehouse: WarehouseResource, sandbox: SandboxProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    result = run(
        warehouse,
        sandbox,
        "backfill_history",
        start=str(BEFORE - dt.timedelta(days=1)),
        end=str(BEFORE),
        datasets=["public_trades", "candlesticks"],
    )
    assert result.success, log_of(result, capfd)
    stored = {each.day: each.rows for each in partitions_of(warehouse.engine, "candlesticks_1m")}
    assert list(stored) == [BEFORE - dt.timedelta(days=1), BEFORE]
    assert all(stored.values())
    assert {each.rows > 0 for each in partitions_of(warehouse.engine, "candlesticks_1h")} == {True}
    days = [each for each in materializations(result) if each.asset_key == dg.AssetKey("candlesticks")]
    assert sorted(str(each.partition) for each in days) == sorted(map(str, stored))


def test_metadata_of_a_day_cover_all_of_its_datasets() -> None:
    reads = [
        DayRead("candlesticks_1d", BEFORE, 2, added=2, holes=("market A",), content_sha256="aa"),
        DayRead("candlesticks_1m", BEFORE, 40, added=39, is_closed=True, seconds=1.5),
    ]
    metadata = metadata_of(reads)
    assert (metadata["dagster/partition_row_count"], metadata["rows_added"], metadata["holes"]) == (42, 41, 1)
    assert (metadata["status"], metadata["hole_list"]) == ("open", "candlesticks_1d: market A")
    assert [dict(each.data) for each in metadata["datasets"].records] == [
        {"dataset": "candlesticks_1d", "rows": "2", "holes": "1", "status": "open", "content_sha256": "aa"},
        {"dataset": "candlesticks_1m", "rows": "40", "holes": "0", "status": "closed", "content_sha256": "no file"},
    ]


def test_settled_markets_of_a_range_are_backfilled(
    warehouse: WarehouseResource, sandbox: SandboxProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    result = run(
        warehouse,
        sandbox,
        "backfill_history",
        start=str(TODAY - dt.timedelta(days=90)),
        end=str(BEFORE),
        datasets=["settled_markets"],
    )
    log = log_of(result, capfd)
    assert len(partitions_of(warehouse.engine, "settled_markets")) == 89
    assert f"89 days to read from {TODAY - dt.timedelta(days=90)} to {BEFORE}, 0 days complete" in log
    assert log.count("89 of 89 days") == 1


def test_fee_schedule_and_candlesticks_are_assets(warehouse: WarehouseResource, sandbox: SandboxProcess) -> None:
    resources = {"warehouse": warehouse, "exchange": ExchangeResource(sandbox_url=sandbox.url)}
    result = dg.materialize([fee_schedule], resources=resources)
    (event,) = result.asset_materializations_for_node("fee_schedule")
    assert event.metadata["added"].value == event.metadata["dagster/row_count"].value
    materialize(warehouse, sandbox, partition_key=str(YESTERDAY))
    result = dg.materialize([candlesticks], resources=resources, partition_key=str(BEFORE))
    assert result.success
    (event,) = result.asset_materializations_for_node("candlesticks")
    assert event.metadata["status"].value == "open"
