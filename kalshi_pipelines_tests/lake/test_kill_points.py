"""Killed work on the lake leaves complete files, loses no row, and is completed by the next run.

The suite kills the work at some of its steps. ``make kills`` kills it at each step.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kalshi_pipelines_tests.support.killing import KILLS_EVERYWHERE, MOST_SECONDS
from kalshi_pipelines_tests.support.lake.kill_points import Summary
from kalshi_pipelines_tests.support.postgres import Cluster


def kill(case: str, folder: Path, every: int, *options: str) -> Summary:
    command = [sys.executable, "-W", "error", "-m", "kalshi_pipelines_tests.support.lake.kill_points"]
    finished = subprocess.run(
        [*command, case, str(folder), str(1 if KILLS_EVERYWHERE else every), *options],
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return Summary(**json.loads(finished.stdout))


def assert_complete(summary: Summary) -> None:
    assert summary.wrong == []
    assert summary.left_old + summary.left_new + summary.left_between == summary.kills > 0
    # Kills must come before, between and after the replacements of files. Otherwise the steps are badly chosen.
    assert min(summary.left_old, summary.left_new, summary.left_between) > 0


@pytest.mark.parametrize(
    ("case", "every"), [("days", 29), ("hours", 41), ("first", 41), ("rebuild", 41), ("replace", 97)]
)
def test_killed_work_on_a_local_lake_is_completed(tmp_path: Path, case: str, every: int) -> None:
    summary = kill(case, tmp_path, every)
    assert_complete(summary)
    assert summary.steps > 200
    assert summary.killed_while_writing > 0


def test_killed_work_with_postgres_is_completed(tmp_path: Path, postgres_cluster: Cluster) -> None:
    assert_complete(kill("days", tmp_path, 53, "--postgres", postgres_cluster.url("postgres")))


def test_killed_work_on_an_object_store_is_completed(tmp_path: Path, object_server: str) -> None:
    assert_complete(kill("days", tmp_path, 79, "--s3", object_server))


def test_killed_work_on_an_object_store_with_postgres_is_completed(
    tmp_path: Path, object_server: str, postgres_cluster: Cluster
) -> None:
    options = ("--s3", object_server, "--postgres", postgres_cluster.url("postgres"))
    assert_complete(kill("hours", tmp_path, 97, *options))
