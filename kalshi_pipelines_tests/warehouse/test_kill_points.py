"""A killed ``migrate`` leaves the database entirely old or entirely new, and the next ``migrate`` completes.

The suite kills the upgrade at few points. To kill it at more, run ``make kills``.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kalshi_pipelines_tests.support.killing import EVERY_POINT, KILLS_EVERYWHERE, MOST_SECONDS
from kalshi_pipelines_tests.support.postgres import Cluster
from kalshi_pipelines_tests.support.warehouse.kill_points import Summary


def run_kill_points(case: str, folder: Path, most: int, *url: str) -> Summary:
    command = [sys.executable, "-W", "error", "-m", "kalshi_pipelines_tests.support.warehouse.kill_points"]
    finished = subprocess.run(
        [*command, case, str(folder), str(EVERY_POINT if KILLS_EVERYWHERE else most), *url],
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return Summary(**json.loads(finished.stdout))


def assert_old_or_new(summary: Summary) -> None:
    assert summary.wrong == []
    assert summary.left_old + summary.left_new == summary.points
    # Some kills must come before the commit and some after it. Otherwise the kill points are badly chosen.
    assert summary.left_old > 0
    assert summary.left_new > 0


@pytest.mark.parametrize(("case", "most"), [("sqlite_fresh", 16), ("sqlite_old", 20), ("sqlite_legacy", 24)])
def test_killed_upgrade_of_a_sqlite_file_leaves_it_old_or_new(case: str, most: int, tmp_path: Path) -> None:
    summary = run_kill_points(case, tmp_path, most)
    assert_old_or_new(summary)
    assert summary.points >= most
    assert summary.killed_while_writing > 0
    assert (summary.backups_left > 0) == (case != "sqlite_fresh")


@pytest.mark.parametrize(("case", "most"), [("postgres_fresh", 12), ("postgres_old", 12), ("postgres_adopt_from", 20)])
def test_killed_upgrade_of_a_postgres_database_leaves_it_old_or_new(
    case: str, most: int, tmp_path: Path, postgres_cluster: Cluster
) -> None:
    summary = run_kill_points(case, tmp_path, most, postgres_cluster.url("postgres"))
    assert_old_or_new(summary)
    assert summary.points >= most
    in_the_middle = (summary.killed_in_executemany > 0, summary.killed_in_copy > 0)
    assert in_the_middle == ((True, True) if case == "postgres_adopt_from" else (False, False))
