"""Running the real jobs in tests: in this process with Dagster's own executor, or as a user's command."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from kalshi_pipelines.definitions import build_defs
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.checkout import CHECKOUT

RunJob = Callable[[str], dg.ExecuteInProcessResult]
RunCommand = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def dagster_instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of the test's runs; everything the sandbox has is wanted."""
    monkeypatch.setenv("KALSHI_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("KALSHI_INCLUDE_COMBOS", "true")
    monkeypatch.setenv("KALSHI_RATE_TIER", "prestige")
    return tmp_path / "data" / "sandbox"


@pytest.fixture
def run_job(data_dir: Path, dagster_instance: dg.DagsterInstance) -> RunJob:
    """Run a job to its end; a failure is in the result, not raised."""

    def run(name: str) -> dg.ExecuteInProcessResult:
        job = build_defs().resolve_job_def(name)
        return job.execute_in_process(instance=dagster_instance, raise_on_error=False)

    return run


@pytest.fixture
def warehouse(data_dir: Path) -> Iterator[sa.Engine]:
    """The warehouse the test's runs write."""
    engine = open_engine(Settings.from_environment().resolved_warehouse_url)
    yield engine
    engine.dispose()


@pytest.fixture
def dagster_command(tmp_path: Path) -> RunCommand:
    """``dagster job execute -m kalshi_pipelines -j NAME`` as a user runs it, in a folder of its own."""

    def run(job: str, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        (tmp_path / "dagster.yaml").write_text((CHECKOUT / "dagster.yaml").read_text())
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KALSHI_")}
        return subprocess.run(
            [sys.executable, "-m", "dagster", "job", "execute", "-m", "kalshi_pipelines", "-j", job],
            cwd=tmp_path,
            env=environment | {"PYTHONWARNINGS": "ignore"} | dict(variables or {}),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run
