"""Two ways to run a real job in a test: in this process, and as the command that a user types."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import dagster as dg

from kalshi_pipelines.definitions import build_defs
from kalshi_pipelines_tests.support.checkout import CHECKOUT
from kalshi_pipelines_tests.support.preloaded import run_preloaded

RunJob = Callable[[str], dg.ExecuteInProcessResult]
RunCommand = Callable[..., subprocess.CompletedProcess[str]]
_SECONDS: Final = 240


def run_in_process(instance: dg.DagsterInstance, job: str) -> dg.ExecuteInProcessResult:
    """Run a job to its end with Dagster's own executor. A failure is returned in the result, not raised."""
    return build_defs().resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False)


def run_as_command(
    folder: Path, job: str, variables: Mapping[str, str] | None = None, *, preloaded: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run ``dagster job execute -m kalshi_pipelines -j JOB`` in a folder, with only the given KALSHI_ variables.

    A preloaded command is a fork of a Python that has imported Dagster. Otherwise it is a new Python, as for a user.
    """
    (folder / "dagster.yaml").write_text((CHECKOUT / "dagster.yaml").read_text())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KALSHI_")}
    command = ["dagster", "job", "execute", "-m", "kalshi_pipelines", "-j", job]
    environment |= {"PYTHONWARNINGS": "ignore"} | dict(variables or {})
    if preloaded:
        return run_preloaded(command, folder, environment, _SECONDS)
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
