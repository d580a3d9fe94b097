"""Killed upkeep, and a killed move of older history, lose nothing and double nothing, and the next run completes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kalshi_pipelines_tests.support.killing import EVERY_POINT, KILLS_EVERYWHERE, MOST_SECONDS
from kalshi_pipelines_tests.support.postgres import Cluster
from kalshi_pipelines_tests.support.upkeep.kill_points import Summary


def run_kill_points(case: str, folder: Path, most: int, *url: str) -> Summary:
    command = [sys.executable, "-W", "error", "-m", "kalshi_pipelines_tests.support.upkeep.kill_points"]
    finished = subprocess.run(
        [*command, case, str(folder), str(EVERY_POINT if KILLS_EVERYWHERE else most), *url],
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return Summary(**json.loads(finished.stdout))


@pytest.mark.parametrize("case", ["maintain", "upgrade"])
def test_killed_upkeep_of_sqlite_loses_nothing_and_is_completed_later(case: str, tmp_path: Path) -> None:
    summary = run_kill_points(case, tmp_path, 12)
    assert summary.wrong == []
    assert summary.points >= 12
    assert summary.left_early > 0


@pytest.mark.parametrize("case", ["maintain", "upgrade"])
def test_killed_upkeep_of_postgres_loses_nothing_and_is_completed_later(
    case: str, tmp_path: Path, postgres_cluster: Cluster
) -> None:
    summary = run_kill_points(case, tmp_path, 8, postgres_cluster.url("postgres"))
    assert summary.wrong == []
    assert summary.points >= 8
    assert summary.left_early > 0
