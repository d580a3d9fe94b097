"""``python -m kalshi_pipelines_tests.tools.drift_trials``: 100 trials, a line each, with the seed to repeat it."""

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
    """One trial in a warehouse of its own, a copy of an empty one at head."""
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Path(folder) / "warehouse.db"
        shutil.copy(empty, warehouse)
        return run_trial(plan_trial(seed, is_quiet), f"sqlite:///{warehouse}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run trials and print how each ended; 1 if one did not end well."""
    parser = argparse.ArgumentParser(prog="python -m kalshi_pipelines_tests.tools.drift_trials")
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"how many (default: {TRIALS})")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first; each next one has the next")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1), help="how many at a time")
    parser.add_argument("--quiet", action="store_true", help="nothing changes, and nobody may be told anything")
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
        print(f"{len(good)} of {len(outcomes)} trials: one message; after {middle:.1f} hours, {longest:.1f} at most")
    else:
        print(f"{len(good)} of {len(outcomes)} trials without a change: no message")
    bad = [str(outcome.plan.seed) for outcome in outcomes if not outcome.is_good]
    if bad:
        print(f"not so with the seeds {', '.join(bad)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
