"""``python -m kalshi_pipelines_tests.tools.drift_trials``: run 100 trials, and print a line with the seed of each."""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.migrated import upgrade_to_head
from kalshi_pipelines_tests.tools.drift_trials.trial import DriftTrialOutcome, plan_trial, run_trial

TRIALS = 100


def trial(empty: Path, is_quiet: bool, seed: int) -> DriftTrialOutcome:
    """Run one trial in a warehouse of its own, a copy of an empty warehouse."""
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Path(folder) / "warehouse.db"
        shutil.copy(empty, warehouse)
        return run_trial(plan_trial(seed, is_quiet), f"sqlite:///{warehouse}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run trials, print the outcome of each, and return 1 if any trial failed."""
    parser = argparse.ArgumentParser(prog="python -m kalshi_pipelines_tests.tools.drift_trials")
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"the number of trials (default: {TRIALS})")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first trial; each further trial adds one")
    parser.add_argument(
        "--processes",
        type=int,
        default=min(2, os.cpu_count() or 1),
        help="the number of trials that run at the same time",
    )
    parser.add_argument("--quiet", action="store_true", help="no change is injected, and no message may arrive")
    asked = parser.parse_args(arguments)
    for name in [name for name in os.environ if name.startswith("KALSHI_")]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(asked.processes) as processes:
        empty = Path(folder) / "empty.db"
        engine = open_engine(f"sqlite:///{empty}")
        upgrade_to_head(engine)
        engine.dispose()
        outcomes = []
        for outcome in processes.map(partial(trial, empty, asked.quiet), range(asked.seed, asked.seed + asked.trials)):
            outcomes.append(outcome)
            print(outcome, flush=True)
    return _sum_up(outcomes)


def _sum_up(outcomes: Sequence[DriftTrialOutcome]) -> int:
    good = [outcome for outcome in outcomes if outcome.is_good]
    hours = sorted(outcome.hours for outcome in good if outcome.hours is not None)
    if hours:
        middle, longest = hours[len(hours) // 2], hours[-1]
        print(
            f"{len(good)} of {len(outcomes)} trials passed: "
            f"one message, after {middle:.1f} hours (median), {longest:.1f} at most"
        )
    else:
        print(f"{len(good)} of {len(outcomes)} trials without a change passed: no message")
    bad = [str(outcome.plan.seed) for outcome in outcomes if not outcome.is_good]
    if bad:
        print(f"failed seeds: {', '.join(bad)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
