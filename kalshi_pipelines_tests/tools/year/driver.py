"""The run of a simulated year: days, jobs, kills, and one line of figures for each day.

Belongs here: the plan of a day, forking and killing the processes of jobs, and continuing an interrupted year. Does not
belong here: what a job does (``jobs``), and judging the result (``judge``).
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx

from kalshi_pipelines.units import DAY_US, HOUR_US, MINUTE_US
from kalshi_pipelines_tests.tools.year import clock, sizes
from kalshi_pipelines_tests.tools.year.jobs import run_job
from kalshi_pipelines_tests.tools.year.truth import Look

#: 2026-01-01T00:00:00Z. Days of the year are counted from here.
BEGIN_US: Final = 1_767_225_600_000_000
#: Days for which the exchange runs before the first night. After 62 days, markets leave the live lists.
WARM_UP_DAYS: Final = 62
LOOKBACK_HOURS: Final = 48
_LONGEST_JOB_SECONDS: Final = 600
_LONGEST_INTERRUPTED_STEP_US: Final = 20 * MINUTE_US
_DAYS_BETWEEN_TOGETHER: Final = 10


@dataclass(frozen=True)
class YearOptions:
    """Options of a simulated year.

    Attributes:
        folder: Folder of all files. A year that was interrupted continues there.
        days: Number of days.
        turnover: Markets listed per day.
        snapshots: Snapshots per day.
        seed: Seed of the exchange and of the kills.
        kill_share: Share of jobs that are killed.
        dagster_days: Days whose nightly job runs through ``dagster job execute``.
        measured_days: Days without kills, whose times are compared.
    """

    folder: Path
    days: int = 365
    turnover: int = 750
    snapshots: int = 3
    seed: int = 7
    kill_share: float = 0.08
    dagster_days: tuple[int, ...] = ()
    measured_days: tuple[range, ...] = ()


@dataclass
class _State:
    """Progress of a year: complete days, complete steps of the next day and their jobs, and the last instant.

    The progress is kept after every step. Repeating a step would let the exchange go back in time.
    """

    day: int = 0
    step: int = 0
    at_us: int = 0
    jobs: list[dict[str, Any]] = field(default_factory=list)
    look: int = 0
    kills: int = 0
    seconds: float = 0.0
    usual_seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class JobRun:
    """One process of a job: whether it ended well, was killed or failed, and its measures."""

    kind: str
    status: int
    is_killed: bool
    measures: dict[str, Any]

    @property
    def is_complete(self) -> bool:
        """Whether the job ended well."""
        return self.status == 0


class Year:
    """A simulated year that runs in one folder."""

    def __init__(self, options: YearOptions) -> None:
        self.options = options
        self.folder = options.folder
        self.data = self.folder / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self._state_file = self.folder / "state.json"
        stored = json.loads(self._state_file.read_text()) if self._state_file.exists() else {}
        self.state = _State(**stored)
        self._clock = self.folder / "clock"
        self._rng = Random()
        self._http = httpx.Client(timeout=600)
        self._exchange = ""
        self._interrupted_us = _LONGEST_INTERRUPTED_STEP_US if stored else 0

    def run(self) -> None:
        """Run all days that have not been run yet."""
        set_environment(self.folder)
        with self._running_exchange():
            if self.state.day == 0:
                migrate(self.folder / "jobs.log")
            while self.state.day < self.options.days:
                began = time.monotonic()
                day = self.state.day + 1
                steps = self._steps(day)
                while self.state.step < len(steps):
                    self._rng.seed(f"{self.options.seed}:{day}:{self.state.step}")
                    at_us, kind, together = steps[self.state.step]
                    runs = self._at(at_us, kind, day, together)
                    self.state.jobs += [{"kind": run.kind, "status": run.status, **run.measures} for run in runs]
                    self.state.step += 1
                    self.state.at_us = at_us
                    self._save()
                seconds = time.monotonic() - began
                self.state.seconds += seconds
                self._report(day, self.state.jobs, seconds)
                self.state.day, self.state.step, self.state.jobs = day, 0, []
                self._save()

    def _save(self) -> None:
        unfinished = self._state_file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(self.state.__dict__))
        unfinished.replace(self._state_file)

    def _steps(self, day: int) -> list[tuple[int, str, tuple[str, ...]]]:
        """Return the steps of a day: their instants, their jobs, and the jobs that run at the same time."""
        midnight_us = BEGIN_US + (WARM_UP_DAYS + day) * DAY_US
        steps: list[tuple[int, str, tuple[str, ...]]] = [
            (midnight_us + 6 * HOUR_US, "nightly", ()),
            (midnight_us + 6 * HOUR_US + 30 * MINUTE_US, "maintain", ()),
        ]
        for number in range(self.options.snapshots):
            hour = 7 + 16 * (number + 1) // self.options.snapshots
            together = ("maintain",) if number == 0 and day % _DAYS_BETWEEN_TOGETHER == 0 else ()
            steps.append((midnight_us + hour * HOUR_US, "snapshot", together))
        return steps

    def _at(self, at_us: int, kind: str, day: int, together: Sequence[str] = ()) -> list[JobRun]:
        """Run a job at an instant, again after a kill unless the run is lost, and record the truth.

        Jobs of ``together`` run at the same time.
        """
        self._post("/year/clock", to_us=at_us)
        # If this step was interrupted before, its rows are some seconds younger than the step.
        clock.set_simulated(self._clock, at_us + self._interrupted_us)
        self._interrupted_us = 0
        runs: list[JobRun] = []
        while True:
            runs += self._run_together((kind, *together), day)
            first = next(run for run in reversed(runs) if run.kind == kind)
            if first.is_complete or (first.is_killed and self._rng.random() < 0.3):
                break
            if len(runs) > 6:
                raise RuntimeError(f"{kind} of day {day} failed again and again: {first.measures.get('error')}")
        if kind != "maintain":
            self.state.look += 1
            since = BEGIN_US + (WARM_UP_DAYS + 1) * DAY_US + (6 - LOOKBACK_HOURS + 1) * HOUR_US
            look = Look(self.state.look, kind, at_us, first.is_complete, since)
            first.measures["look"] = self._post("/year/look", **look.__dict__)
        return runs

    def _run_together(self, kinds: Sequence[str], day: int) -> list[JobRun]:
        if kinds == ("nightly",) and day in self.options.dagster_days:
            return [self._run_dagster(day)]
        children = {self._fork(kind, number): (kind, number) for number, kind in enumerate(kinds)}
        ends = {child: self._kill_after(kind, day) or _LONGEST_JOB_SECONDS for child, (kind, _) in children.items()}
        runs: list[JobRun] = []
        before, began = self._requests(), time.monotonic()
        while children:
            for child, (kind, number) in list(children.items()):
                found, status, _ = os.wait4(child, os.WNOHANG)
                if found:
                    del children[child]
                    runs.append(self._ended(kind, number, os.waitstatus_to_exitcode(status)))
                elif ends[child] <= time.monotonic() - began:
                    self.state.kills += ends[child] < _LONGEST_JOB_SECONDS
                    ends[child] = float("inf")
                    os.kill(child, signal.SIGKILL)
            time.sleep(0.002)
        if len(runs) == 1:
            after = self._requests()
            made = {name: count - before.get(name, 0) for name, count in after.items()}
            runs[0].measures["requests"] = {name: count for name, count in made.items() if count}
        return runs

    def _kill_after(self, kind: str, day: int) -> float | None:
        usual = self.state.usual_seconds.get(kind)
        if usual is None or self._is_measured(day) or self._rng.random() >= self.options.kill_share:
            return None
        return usual * self._rng.uniform(0.01, 1.1)

    def _is_measured(self, day: int) -> bool:
        return any(day in days for days in self.options.measured_days)

    def _fork(self, kind: str, number: int) -> int:
        result = self.folder / f"result-{number}.json"
        result.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            run_job(kind, result, self.folder / "jobs.log")
        return child

    def _ended(self, kind: str, number: int, status: int) -> JobRun:
        result = self.folder / f"result-{number}.json"
        measures = json.loads(result.read_text()) if result.exists() else {}
        if status == 0:
            usual = self.state.usual_seconds.get(kind, measures["seconds"])
            self.state.usual_seconds[kind] = 0.7 * usual + 0.3 * measures["seconds"]
        return JobRun(kind, status, status == -signal.SIGKILL, measures)

    def _run_dagster(self, day: int) -> JobRun:
        command = [sys.executable, "-m", "kalshi_pipelines_tests.tools.year.dagster_job", "nightly"]
        began = time.monotonic()
        with (self.folder / "dagster.log").open("ab") as log:
            done = subprocess.run(command, stdout=log, stderr=log, check=False)
        seconds = round(time.monotonic() - began, 3)
        return JobRun("nightly", done.returncode, is_killed=False, measures={"dagster_seconds": seconds})

    def _requests(self) -> dict[str, int]:
        found = self._http.get(f"{self._exchange}/sandbox/requests").json()["endpoints"]
        return {name: each["count"] for name, each in found.items()}

    def _post(self, path: str, **body: object) -> dict[str, Any]:
        answer = self._http.post(f"{self._exchange}{path}", json=body)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    @contextmanager
    def _running_exchange(self) -> Iterator[None]:
        """Run the exchange. If the year was interrupted, first repeat the days that are complete."""
        at_us = self.state.at_us or BEGIN_US + (WARM_UP_DAYS + 1) * DAY_US
        clock.set_simulated(self._clock, at_us)
        options = {
            "begin_us": BEGIN_US,
            "at_us": at_us,
            "turnover": self.options.turnover,
            "seed": self.options.seed,
            "truth": str(self.folder / "truth.db"),
            "last_look": self.state.look,
        }
        with running_exchange(options) as (url, admin_url):
            os.environ["KALSHI_SANDBOX_URL"], self._exchange = url, admin_url
            yield

    def _report(self, day: int, jobs: Sequence[dict[str, Any]], seconds: float) -> None:
        size = sizes.measure(self.data / "sandbox")
        found = {
            "day": day,
            "seconds": round(seconds, 2),
            "kills": self.state.kills,
            "jobs": jobs,
            "sizes": size,
        }
        with (self.folder / "days.jsonl").open("a") as lines:
            lines.write(json.dumps(found) + "\n")
        if day % 10 == 0 or day <= 3 or day == self.options.days:
            nights = [job.get("seconds", 0) for job in jobs if job["kind"] == "nightly" and job["status"] == 0]
            left = self.state.seconds / day * (self.options.days - day)
            warehouse, lake = size["warehouse_bytes"] / 1e6, size["lake_bytes"] / 1e6
            print(
                f"day {day:>3}: nightly {sum(nights):.2f} s, warehouse {warehouse:.1f} MB, lake {lake:.1f} MB in "
                f"{size['files']} files, {self.state.kills} kills, {self.state.seconds:.0f} s so far, "
                f"about {left:.0f} s left",
                flush=True,
            )


def set_environment(folder: Path) -> None:
    """Set the variables of this process and its children: all data in one folder, and no setting of the user."""
    for name in [name for name in os.environ if name.startswith(("KALSHI_", "DAGSTER_"))]:
        del os.environ[name]
    (folder / "dagster").mkdir(exist_ok=True)
    os.environ |= {
        "KALSHI_ENVIRONMENT": "sandbox",
        "KALSHI_DATA_DIR": str(folder / "data"),
        "KALSHI_RATE_TIER": "prestige",
        "KALSHI_SETTLED_LOOKBACK_HOURS": str(LOOKBACK_HOURS),
        "KALSHI_SESSIONS_DIR": str(folder / "sessions"),
        "DAGSTER_HOME": str(folder / "dagster"),
        "PYTHONWARNINGS": "ignore",
        clock.VARIABLE: str(folder / "clock"),
    }


@contextmanager
def running_exchange(options: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Run an exchange as a child process, and return the URLs of its API and of its other routes."""
    command = [sys.executable, "-m", "kalshi_pipelines_tests.tools.year.exchange", json.dumps(options)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            line = child.stdout.readline() if child.stdout else b""
            if not line:
                raise RuntimeError("the exchange did not start")
            ready = json.loads(line)
            yield ready["url"], ready["admin_url"]
        finally:
            child.kill()


def migrate(log: Path) -> None:
    """Create the warehouse in a process of its own."""
    with log.open("ab") as output:
        subprocess.run(
            [sys.executable, "-m", "kalshi_pipelines_tests.tools.year.dagster_job", "migrate"],
            stdout=output,
            stderr=output,
            check=True,
        )
