"""`migrate` moves the history of an older warehouse, other jobs help or leave it, and trading never waits for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kalshi_pipelines.definitions import build_defs
from kalshi_pipelines.defs.resources import ExchangeResource, WarehouseResource
from kalshi_pipelines.sandbox.process import SandboxProcess
from kalshi_pipelines.upkeep.moving import has_history_to_move
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines_tests.support.lake.lakes import count, lake_rows
from kalshi_pipelines_tests.support.upkeep.older import OLDER, fill_older
from kalshi_pipelines_tests.support.warehouse.revisions import open_database


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WarehouseResource]:
    folder = tmp_path / "sandbox"
    folder.mkdir()
    with open_database(f"sqlite:///{folder / 'warehouse.db'}", monkeypatch) as database:
        database.upgrade(OLDER)
        fill_older(database, folder / "lake")
    monkeypatch.delenv("KALSHI_WAREHOUSE_URL")
    warehouse = WarehouseResource(data_dir=str(tmp_path))
    yield warehouse
    warehouse.engine.dispose()


def run(warehouse: WarehouseResource, job: str, **options: Any) -> dg.ExecuteInProcessResult:
    definitions = build_defs(warehouse=warehouse, exchange=ExchangeResource(sandbox_url=options.pop("url", "")))
    return definitions.resolve_job_def(job).execute_in_process(raise_on_error=False, **options)


def moved(result: dg.ExecuteInProcessResult) -> str:
    (event,) = result.asset_materializations_for_node("warehouse_schema")
    return str(event.metadata["history moved to the lake"].value)


def block_lake(tmp_path: Path) -> None:
    (tmp_path / "sandbox" / "lake" / "lake.json").write_text("nobody's")


def test_migrate_moves_older_history_and_reports_every_row(warehouse: WarehouseResource, tmp_path: Path) -> None:
    result = run(warehouse, "migrate")
    assert result.success
    assert "price_history: 720 rows before = " in moved(result)
    assert not has_history_to_move(warehouse.engine)
    assert len(lake_rows(tmp_path / "sandbox" / "lake")) == 720
    again = run(warehouse, "migrate")
    assert moved(again) == "nothing to do"


def test_migrate_fails_if_history_cannot_move(warehouse: WarehouseResource, tmp_path: Path) -> None:
    block_lake(tmp_path)
    result = run(warehouse, "migrate")
    assert not result.success
    assert count(warehouse.engine, tables.price_snapshots) == 720
    (tmp_path / "sandbox" / "lake" / "lake.json").unlink()
    assert run(warehouse, "migrate").success
    assert not has_history_to_move(warehouse.engine)


def test_nightly_moves_older_history_too(
    warehouse: WarehouseResource, frozen_sandbox: SandboxProcess, tmp_path: Path
) -> None:
    selection = [dg.AssetKey("warehouse_schema"), dg.AssetKey("series")]
    result = run(warehouse, "nightly", url=frozen_sandbox.url, asset_selection=selection)
    assert result.success
    assert "720 rows before" in moved(result)


def test_nightly_goes_on_if_history_cannot_move(
    warehouse: WarehouseResource, frozen_sandbox: SandboxProcess, tmp_path: Path
) -> None:
    block_lake(tmp_path)
    selection = [dg.AssetKey("warehouse_schema"), dg.AssetKey("series")]
    result = run(warehouse, "nightly", url=frozen_sandbox.url, asset_selection=selection)
    assert result.success
    assert moved(result).startswith("not yet: ")
    assert has_history_to_move(warehouse.engine)


def test_runs_of_trading_do_not_wait_for_the_move(warehouse: WarehouseResource) -> None:
    result = run(warehouse, "reconcile", asset_selection=[dg.AssetKey("warehouse_schema")])
    assert result.success
    assert "-j migrate" in moved(result)
    assert has_history_to_move(warehouse.engine)
