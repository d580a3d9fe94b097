"""Fixtures of the end-to-end tests: a data folder, its warehouse, and two ways to run a job."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from kalshi_pipelines.settings import Settings
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.end_to_end.running import RunCommand, RunJob, run_as_command, run_in_process


@pytest.fixture(scope="session")
def dagster_instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of the test's runs. These runs read everything the sandbox has, combos included."""
    monkeypatch.setenv("KALSHI_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("KALSHI_INCLUDE_COMBOS", "true")
    monkeypatch.setenv("KALSHI_RATE_TIER", "prestige")
    return tmp_path / "data" / "sandbox"


@pytest.fixture
def run_job(data_dir: Path, dagster_instance: dg.DagsterInstance) -> RunJob:
    return partial(run_in_process, dagster_instance)


@pytest.fixture
def warehouse(data_dir: Path) -> Iterator[sa.Engine]:
    """The warehouse that the test's runs write to."""
    engine = open_engine(Settings.from_environment().resolved_warehouse_url)
    yield engine
    engine.dispose()


@pytest.fixture
def dagster_command(tmp_path: Path) -> RunCommand:
    return partial(run_as_command, tmp_path)
