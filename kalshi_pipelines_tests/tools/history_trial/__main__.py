"""``python -m kalshi_pipelines_tests.tools.history_trial``: read months of trades in three ways, and compare every row.

The first way has one worker, the second four, and the third four whose process is killed at random. All three lakes
must hold exactly the trades of the tape, and must have the same hash. Then holes are planted in a complete lake, and
the proof of completeness must find each of them, and none in the complete days.
"""

import argparse
import dataclasses
import datetime as dt
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kalshi_pipelines.history.proof.inputs import ProofInputs
from kalshi_pipelines.history.proof.proving import prove_day
from kalshi_pipelines.history.proof.residuals import Verdict
from kalshi_pipelines_tests.tools.history_trial.holes import CompleteLake, complete_lake, false_holes, missed_holes
from kalshi_pipelines_tests.tools.history_trial.server import Faults
from kalshi_pipelines_tests.tools.history_trial.tape import TapeOptions
from kalshi_pipelines_tests.tools.history_trial.trial import Outcome, Workers, run_trial, superseded_rows

#: The workers of each way.
WAYS: Final = (
    Workers("1 worker", 1),
    Workers("4 workers", 4),
    Workers("4 workers, killed", 4, requests_a_kill=600, most_kills=40),
)


def faults_of(options: TapeOptions) -> Faults:
    """Return the faults of a trial: a poisoned trade in each ten days, and a cutoff that moves while it is read."""
    chance = random.Random(options.seed)
    poisoned = tuple(sorted(chance.randrange(options.trades) for _ in range(max(1, options.days // 10))))
    return Faults(thousandths=20, poisoned=poisoned, moves_after=max(20, options.trades // 50_000))


def run_all(folder: Path, options: TapeOptions, ways: Sequence[Workers] = WAYS) -> tuple[list[Outcome], list[str]]:
    """Run the trial in each way. Return the outcomes, and a sentence for everything that is wrong."""
    outcomes, wrong = [], []
    for number, workers in enumerate(ways):
        place = folder / f"lake-{number}"
        outcome = run_trial(place, options, faults_of(options), workers)
        print(json.dumps(dataclasses.asdict(outcome)), flush=True)
        wrong += [f"{outcome.name}: {date}: {line}" for date, lines in outcome.wrong.items() for line in lines]
        wrong += [f"{outcome.name}: {problem}" for problem in outcome.problems]
        if lost := superseded_rows(place):
            wrong.append(f"{outcome.name}: files with {lost:,} rows were set aside")
        outcomes.append(outcome)
    if len({outcome.lake_hash for outcome in outcomes}) > 1 or None in {outcome.lake_hash for outcome in outcomes}:
        wrong.append("the lakes have different hashes")
    return outcomes, wrong


def find_holes(folder: Path, options: TapeOptions, number: int) -> list[str]:
    """Plant holes in a complete lake, and return a line for each hole or complete day that the proof misjudges."""
    made = complete_lake(folder, options)
    inputs = ProofInputs(made.engine, made.lake, sums_folder=folder / "sums")

    def lacks_rows(_made: CompleteLake, day: dt.date) -> bool:
        return prove_day(inputs, day).verdict is Verdict.MISSING

    false = [f"{day}: the proof finds a hole in a complete day" for day in false_holes(made, lacks_rows)]
    missed = [f"{line}: not found by the proof" for line in missed_holes(made, lacks_rows, number, options.seed)]
    print(f"holes: {number - len(missed)} of {number} found, {len(false)} false in {options.days} complete days")
    return false + missed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial, print the figures of each way, and return 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m kalshi_pipelines_tests.tools.history_trial", description=__doc__)
    parser.add_argument("--days", type=int, default=90, help="number of days (default: 90)")
    parser.add_argument("--trades", type=int, default=5_000_000, help="number of trades (default: 5,000,000)")
    parser.add_argument("--seed", type=int, default=17, help="seed of the tape, the faults and the kills")
    parser.add_argument("--folder", type=Path, help="folder of the lakes (default: a temporary folder)")
    parser.add_argument("--holes", type=int, default=100, help="number of planted holes (default: 100)")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        options = TapeOptions(days=asked.days, trades=asked.trades, seed=asked.seed)
        outcomes, wrong = run_all(asked.folder or Path(temporary), options)
        if asked.holes:
            wrong += find_holes(Path(temporary) / "holes", options, asked.holes)
    for line in wrong:
        print(line)
    print(f"{len(outcomes)} lakes, {sum(outcome.kills for outcome in outcomes)} kills, {len(wrong)} things wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
