"""One trial: serve a tape, read it with workers that are killed at random, and compare the lake with the tape."""

import json
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from kalshi_pipelines.lake.closing import verify_lake
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.manifest import lake_files_of, lake_hash
from kalshi_pipelines.lake.store import LocalStore
from kalshi_pipelines_tests.support.migrated import upgrade_to_head
from kalshi_pipelines_tests.tools.history_trial.judge import judge
from kalshi_pipelines_tests.tools.history_trial.server import Faults, command
from kalshi_pipelines_tests.tools.history_trial.tape import Tape, TapeOptions
from kalshi_pipelines_tests.tools.history_trial.worker import database_of

_SECONDS_TO_END: Final = 3_600


@dataclass(frozen=True)
class Workers:
    """How a trial reads: the threads of its process, and after how many requests it is killed; 0 if nobody kills it.

    A process is killed at random after at most twice so many requests, until ``most_kills`` processes were killed.
    """

    name: str
    threads: int
    requests_a_kill: int = 0
    most_kills: int = 0


@dataclass
class Outcome:
    """The result of a trial."""

    name: str
    seconds: float
    kills: int
    lake_hash: str | None
    rows: int
    bytes: int
    server: dict[str, Any]
    wrong: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@contextmanager
def serving(tape: TapeOptions, faults: Faults) -> Iterator[str]:
    """Serve a tape in a process of its own during the block, and yield its address."""
    with subprocess.Popen(command(tape, faults), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/trade-api/v2"
        finally:
            server.stdin.close()


def figures_of(url: str) -> dict[str, Any]:
    """Return how many requests a server answered, and how often it failed on purpose."""
    with urllib.request.urlopen(url.removesuffix("/trade-api/v2") + "/figures") as answer:  # noqa: S310
        return dict(json.load(answer))


def run_trial(folder: Path, options: TapeOptions, faults: Faults, workers: Workers) -> Outcome:
    """Read a tape into a new lake, and compare every row."""
    folder.mkdir(parents=True)
    engine = database_of(folder)
    upgrade_to_head(engine)
    began = time.monotonic()
    with serving(options, faults) as url:
        kills = _work(folder, url, options, workers)
        server = figures_of(url)
    seconds = time.monotonic() - began
    lake = Lake(LocalStore(folder / "lake"), "sandbox")
    files = lake_files_of(engine, PUBLIC_TRADES.name)
    problems = list(verify_lake(lake, engine).problems)
    problems += [f"{file.path} is {file.status}" for file in files if file.status != "closed"]
    problems += [f"{file} was left" for file in (folder / "history_work").rglob("*.arrow")]
    outcome = Outcome(
        workers.name,
        round(seconds, 1),
        kills,
        lake_hash(engine, PUBLIC_TRADES.name),
        sum(file.contents.rows for file in files),
        sum(file.bytes for file in files),
        server,
        judge(folder / "lake", Tape(options)),
        problems,
    )
    engine.dispose()
    return outcome


def _work(folder: Path, url: str, options: TapeOptions, workers: Workers) -> int:
    """Run a worker until it has read every day, and return how often it was killed."""
    arguments = [str(folder), url, options.first_day.isoformat(), str(options.days), str(workers.threads)]
    start = [sys.executable, "-m", "kalshi_pipelines_tests.tools.history_trial.worker", *arguments]
    chance, kills = random.Random(f"{options.seed} {workers.name}"), 0
    while True:
        with subprocess.Popen(start, stderr=subprocess.PIPE, text=True) as worker:
            if workers.requests_a_kill and kills < workers.most_kills:
                limit = figures_of(url)["requests"] + chance.randint(1, 2 * workers.requests_a_kill)
                while worker.poll() is None and figures_of(url)["requests"] < limit:
                    time.sleep(chance.uniform(0, 0.03))
                if worker.poll() is None:
                    worker.send_signal(signal.SIGKILL)
                    worker.communicate()
                    kills += 1
                    continue
            _, errors = worker.communicate(timeout=_SECONDS_TO_END)
            if worker.returncode:
                raise RuntimeError(f"the worker failed:\n{errors[-5_000:]}")
            return kills


def superseded_rows(folder: Path) -> int:
    """Return the number of rows in files that were set aside. A trial without late rows sets nothing aside."""
    return sum(pq.ParquetFile(file).metadata.num_rows for file in (folder / "lake" / "superseded").rglob("*.parquet"))
