"""A few of the randomized trials in the suite; all 2,000 are ``python -m kalshi_pipelines_tests.execution.trials``."""

from kalshi_pipelines_tests.execution.trials.__main__ import run_all, summed_up
from kalshi_pipelines_tests.execution.trials.plans import plan_of
from kalshi_pipelines_tests.postgres import Cluster


def test_F03_F04_F05_killed_processes_and_a_lying_exchange_break_no_bar(postgres_cluster: Cluster) -> None:
    outcomes = run_all(range(40_000, 40_016), 2, str(postgres_cluster.folder))
    assert [outcome["wrong"] for outcome in outcomes] == [[]] * 16, summed_up(outcomes, 0)
    assert sum(len(outcome["killed_at"]) for outcome in outcomes) >= 4
    assert sum(outcome["orders"] for outcome in outcomes) >= 10
    assert {outcome["database"] for outcome in outcomes} == {"sqlite", "postgres"}


def test_a_trial_follows_from_its_seed_alone() -> None:
    assert [plan_of(seed) for seed in range(50)] == [plan_of(seed) for seed in range(50)]
