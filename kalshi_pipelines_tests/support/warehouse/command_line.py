"""Run ``kalshi-pipelines`` as a user does: a new process with only the given variables."""

import os
import subprocess
import sys
from pathlib import Path


def kalshi_pipelines(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, and return its exit status and output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KALSHI_")}
    return subprocess.run(
        [sys.executable, "-m", "kalshi_pipelines.cli", *arguments],
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
