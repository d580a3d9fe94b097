"""``python -m kalshi_pipelines_tests.tools.trials``: run 2,000 trials of the executor, and print a summary.

A failed trial is printed with its seed. ``... --seeds 17`` repeats the trial with seed 17.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Final

from kalshi_pipelines_tests.support.postgres import running_cluster

TRIALS: Final = 2_000
#: Number of processes that run trials. It may exceed the number of cores, because trials mostly wait for the exchange.
RUNNERS: Final = 5
_SUMS: Final = (
    "orders",
    "sent",
    "duplicates",
    "beyond_caps",
    "unrecorded",
    "after_kill",
    "unresolved",
    "held_unknown",
    "lives",
    "person_kills",
    "halts",
    "not_flat",
    "recovered",
    "left",
)


def run_in_one_process(seeds: Sequence[int], cluster: str | None) -> Iterator[dict[str, Any]]:
    """Run the trials with the given seeds in one new process, and yield the outcome of each."""
    command = [sys.executable, "-m", "kalshi_pipelines_tests.tools.trials.runner"]
    command += ["--seeds", ",".join(map(str, seeds))]
    command += [] if cluster is None else ["--cluster", cluster]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as runner:
        errors = ThreadPoolExecutor(1).submit(lambda: (runner.stderr.read() if runner.stderr else "")[-5_000:])
        done = 0
        for line in runner.stdout or ():
            done += 1
            yield json.loads(line)
        if runner.wait() or done != len(seeds):
            raise RuntimeError(f"a runner ended after {done} of {len(seeds)} trials:\n{errors.result()}")


def run_all(seeds: Sequence[int], runners: int, cluster: str | None, *, loud: bool = False) -> list[dict[str, Any]]:
    """Run the trials with the given seeds in several processes, and return all outcomes."""

    def collect(share: Sequence[int]) -> list[dict[str, Any]]:
        found = []
        for outcome in run_in_one_process(share, cluster):
            found.append(outcome)
            if loud and outcome["wrong"]:
                print(json.dumps(outcome), flush=True)
        return found

    shares = [share for number in range(runners) if (share := seeds[number::runners])]
    with ThreadPoolExecutor(max(1, len(shares))) as pool:
        return [outcome for outcomes in pool.map(collect, shares) for outcome in outcomes]


def summarize(outcomes: Sequence[dict[str, Any]], seconds: float) -> str:
    """Return a summary of all trials for people."""
    sums = {name: sum(outcome[name] for outcome in outcomes) for name in _SUMS}
    databases = Counter(outcome["database"] for outcome in outcomes)
    kills = Counter(point for outcome in outcomes for point in outcome["killed_at"])
    lines = [
        f"{len(outcomes)} trials in {seconds:.0f} s: "
        + ", ".join(f"{count} on {name}" for name, count in sorted(databases.items())),
        f"{sums['lives']} trading processes, {kills.total()} killed: "
        + ", ".join(f"{count} at {point}" for point, count in sorted(kills.items())),
        f"{sums['sent']} orders recorded as sent, {sums['orders']} taken by the exchange; "
        f"kill switch engaged by another process {sums['person_kills']} times",
        f"duplicate orders: {sums['duplicates']}",
        f"moments beyond a cap, by brute force over the exchange's log: {sums['beyond_caps']}",
        f"orders of the exchange without an earlier SENDING and audit record: {sums['unrecorded']}",
        f"orders recorded as sent after the kill switch was engaged: {sums['after_kill']}",
        f"halts by another process (cancel everything, prove flat): {sums['halts']}, not flat: {sums['not_flat']}",
        f"outcomes neither resolved nor held unknown: {sums['unresolved']} (held unknown: {sums['held_unknown']})",
    ]
    incidents = Counter(each for outcome in outcomes for each in outcome["incidents"])
    lines += [
        f"incidents: {incidents.total()}, recovered by procedure: {sums['recovered']} ("
        + ", ".join(f"{number} times {name}" for name, number in sorted(incidents.items()))
        + ")",
        f"trials in which every position was left in the end: {sums['left']}",
    ]
    bad = [str(outcome["seed"]) for outcome in outcomes if outcome["wrong"]]
    lines.append(f"trials with anything wrong: {len(bad)}" + (f": seeds {', '.join(bad)}" if bad else ""))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials, print a summary, and return 1 if any trial broke a rule."""
    parser = argparse.ArgumentParser(prog="python -m kalshi_pipelines_tests.tools.trials")
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"number of trials (default: {TRIALS})")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first trial; later trials count up")
    parser.add_argument("--seeds", help="run only these seeds, separated by commas")
    parser.add_argument("--runners", type=int, default=RUNNERS, help=f"number of processes (default: {RUNNERS})")
    asked = parser.parse_args(arguments)
    seeds: Sequence[int] = range(asked.seed, asked.seed + asked.trials)
    if asked.seeds:
        seeds = [int(each) for each in asked.seeds.split(",")]
    began = time.monotonic()
    with ExitStack() as stack:
        cluster = stack.enter_context(running_cluster())
        outcomes = run_all(seeds, asked.runners, str(cluster.folder), loud=True)
    print(summarize(outcomes, time.monotonic() - began))
    return 1 if any(outcome["wrong"] for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
