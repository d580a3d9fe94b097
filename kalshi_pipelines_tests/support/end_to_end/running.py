"""Ways to run a real job in a test: in this process, or as the command a user types."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import dagster as dg

from kalshi_pipelines.definitions import build_defs
from kalshi_pipelines_tests.support.checkout import CHECKOUT

RunJob = Callable[[str], dg.ExecuteInProcessResult]
RunCommand = Callable[..., subprocess.CompletedProcess[str]]


def run_in_process(instance: dg.DagsterInstance, job: str) -> dg.ExecuteInProcessResult:
    """Run a job to its end with Dagster's own executor; a failure is in the result and is not raised."""
    return build_defs().resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False)


def run_as_command(
    folder: Path, job: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``dagster job execute -m kalshi_pipelines -j JOB`` in a folder, with only the given KALSHI_ variables."""
    (folder / "dagster.yaml").write_text((CHECKOUT / "dagster.yaml").read_text())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KALSHI_")}
    return subprocess.run(
        [sys.executable, "-m", "dagster", "job", "execute", "-m", "kalshi_pipelines", "-j", job],
        cwd=folder,
        env=environment | {"PYTHONWARNINGS": "ignore"} | dict(variables or {}),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
