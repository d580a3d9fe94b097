"""A few of the randomized trials of the executor. ``python -m kalshi_pipelines_tests.tools.trials`` runs all 2,000."""

import json
import subprocess
import sys

import pytest

from kalshi_pipelines.sandbox.faults.plan import WRITE_KINDS
from kalshi_pipelines_tests.support.postgres import Cluster
from kalshi_pipelines_tests.tools.trials.__main__ import run_all, summarize
from kalshi_pipelines_tests.tools.trials.plans import ORDER_FAULTS, plan_of


def test_F03_F04_F05_trials_with_kills_and_faults_break_no_bar(postgres_cluster: Cluster) -> None:
    outcomes = run_all(range(40_000, 40_016), 2, str(postgres_cluster.folder))
    assert [outcome["wrong"] for outcome in outcomes] == [[]] * 16, summarize(outcomes, 0)
    assert sum(len(outcome["killed_at"]) for outcome in outcomes) >= 4
    assert sum(outcome["orders"] for outcome in outcomes) >= 10
    assert {outcome["database"] for outcome in outcomes} == {"sqlite", "postgres"}


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_F12_F13_racing_executors_send_exactly_the_orders_of_the_cap(
    database: str, request: pytest.FixtureRequest
) -> None:
    command = [sys.executable, "-m", "kalshi_pipelines_tests.tools.trials.race"]
    if database == "postgres":
        cluster: Cluster = request.getfixturevalue("postgres_cluster")
        command += ["--cluster", str(cluster.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-3_000:]
    result = json.loads(done.stdout)
    assert (result["failed"], result["taken"], result["recorded"]) == (0, 5, 5), (result, done.stderr[-3_000:])


def test_trials_use_every_write_fault_of_the_sandbox() -> None:
    kinds = {fault["kind"] for together in ORDER_FAULTS for fault in together}
    assert kinds >= set(WRITE_KINDS)
    drawn = {fault["kind"] for seed in range(400) for life in plan_of(seed).lives for fault in life.faults}
    assert drawn >= kinds


def test_trial_plan_depends_on_its_seed_alone() -> None:
    assert [plan_of(seed) for seed in range(50)] == [plan_of(seed) for seed in range(50)]
