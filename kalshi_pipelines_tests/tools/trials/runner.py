"""Runs trials one after another on one exchange. Each trading process is a fork that may be killed.

The runner is a program without threads, because it forks. Starting a new Python for every trading process would take
longer than the process itself.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
import psycopg

from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.journal import Journal, initialise
from kalshi_pipelines.execution.journal.migrations import upgrade_journal
from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox
from kalshi_pipelines_tests.support.execution.sandbox_member import Row, join_sandbox
from kalshi_pipelines_tests.tools.trials.incidents import BY_HAND, copy_journal, replace_journal
from kalshi_pipelines_tests.tools.trials.invariants import judge
from kalshi_pipelines_tests.tools.trials.life import TrialContext, halt_later, member_of, run_life, settle
from kalshi_pipelines_tests.tools.trials.plans import Incident, Life, Plan, plan_of
from kalshi_pipelines_tests.tools.trials.recovery import leave, recover, supply
from kalshi_pipelines_tests.tools.trials.truth import TruthOrder, TruthReader

OPTIONS = SandboxOptions(markets=250, combos=0, tick_seconds=0, tier="unlimited")
#: A trading process that takes longer is considered hung.
_LONGEST_LIFE_SECONDS = 90
_MARKETS_A_TRIAL = 3


@dataclass
class TrialOutcome:
    """The result of a trial, which is printed as one line of JSON."""

    seed: int
    database: str
    lives: int = 0
    killed_at: list[str] = field(default_factory=list)
    duplicates: int = 0
    beyond_caps: int = 0
    unrecorded: int = 0
    unresolved: int = 0
    held_unknown: int = 0
    after_kill: int = 0
    orders: int = 0
    sent: int = 0
    most_worst: int = 0
    person_kills: int = 0
    halts: int = 0
    not_flat: int = 0
    incidents: list[str] = field(default_factory=list)
    recovered: int = 0
    left: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Templates:
    """Empty journals at the newest migration, which are copied for every trial."""

    def __init__(self, folder: Path, cluster: str | None) -> None:
        self._folder, self._cluster = folder, cluster
        self._file = folder / "empty.db"
        engine = open_journal(f"sqlite:///{self._file}")
        upgrade_journal(engine)
        engine.dispose()
        self._database = f"template_{os.getpid()}"
        if cluster is not None:
            self._execute(f"CREATE DATABASE {self._database} TEMPLATE template0 STRATEGY file_copy")
            engine = open_journal(self._url(self._database))
            upgrade_journal(engine)
            engine.dispose()

    @property
    def empty_file(self) -> Path:
        """The file of an empty SQLite journal."""
        return self._file

    def sqlite(self, name: str) -> str:
        path = self._folder / f"{name}.db"
        shutil.copy(self._file, path)
        return f"sqlite:///{path}"

    def postgres(self, name: str) -> str:
        self._execute(f"CREATE DATABASE {name} TEMPLATE {self._database} STRATEGY file_copy")
        return self._url(name)

    def drop(self, url: str, name: str) -> None:
        if url.startswith("sqlite"):
            for path in self._folder.glob(f"{name}.db*"):
                path.unlink()
        else:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _url(self, name: str) -> str:
        return f"postgresql+psycopg://postgres@/{name}?host={self._cluster}"

    def _execute(self, statement: str) -> None:
        with psycopg.connect(
            host=self._cluster or "", user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement.encode())


def fork(act: Callable[[], object]) -> int:
    """Run a function in a fork of this process, and return the process id of the fork."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        act()
        status = 0
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        # The child must not run the parent's cleanup code.
        os._exit(status)


def wait_for(child: int, after_ms: int | None = None) -> int:
    """Wait until a child ends, and return its exit status: -9 if it was killed, and -99 if it hung.

    A child is killed after ``after_ms`` milliseconds, or when it hangs.
    """
    deadline = time.monotonic() + (_LONGEST_LIFE_SECONDS if after_ms is None else after_ms / 1_000)
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -9 if after_ms is not None else -99
        time.sleep(0.003)


class Runner:
    """Runs trials on one exchange."""

    def __init__(self, sandbox: SandboxProcess, http: httpx.Client, templates: Templates, folder: Path) -> None:
        self._sandbox, self._http, self._templates, self._folder = sandbox, http, templates, folder
        self._truth = TruthReader(sandbox.admin_url, http)
        self._markets = self._quoted()

    def run(self, seed: int) -> TrialOutcome:
        """Run the trial with this seed, from its plan to the check of its rules."""
        began, plan = time.monotonic(), plan_of(seed)
        outcome = TrialOutcome(seed, plan.database)
        with self.new_trial(plan, f"trial_{os.getpid()}_{seed}") as context:
            delayed = 0.0
            for life in plan.lives:
                self._back_up(context, life)
                delayed = max(delayed, self._live(context, plan, life, outcome))
                self._meet_incident(context, plan, life, outcome)
            self._steer("DELETE", "/faults")
            time.sleep(delayed)
            self._live(context, plan, Life(()), outcome)
            if outcome.incidents:
                # The last process may have proposed a signal again that only a lost journal knows.
                outcome.wrong += self._run_in_fork("recovered", lambda: recover(context))
            self._settle(context, outcome)
            self._leave(context, plan, outcome)
            self._judge(context, plan, outcome)
        outcome.seconds = round(time.monotonic() - began, 2)
        return outcome

    @contextmanager
    def new_trial(self, plan: Plan, name: str, markets: int = _MARKETS_A_TRIAL) -> Iterator[TrialContext]:
        """Create a new member with a new journal, and drop the journal at the end of the block."""
        url = getattr(self._templates, plan.database)(name)
        try:
            yield self._join_sandbox(plan, name, url, markets)
        finally:
            self._templates.drop(url, name)

    def truth_of(self, member: str) -> dict[str, TruthOrder]:
        """Return the member's orders according to the exchange's own log."""
        self._truth.refresh()
        return self._truth.orders(member)

    def _live(self, context: TrialContext, plan: Plan, life: Life, outcome: TrialOutcome) -> float:
        """Run one trading process. Return the seconds for which its delayed requests may still arrive."""
        self._steer("DELETE", "/faults")
        for fault in life.faults:
            self._steer("POST", "/faults", **fault)
        child = fork(lambda: run_life(context, plan, life))
        person = halting = None
        if life.killed_by_person_ms is not None:
            person = fork(lambda: _engage_later(context, life.killed_by_person_ms or 0))
            outcome.person_kills += 1
        if life.halted_by_person_ms is not None:
            halting = fork(lambda: self._write_halt_report(context, life.halted_by_person_ms or 0))
            outcome.halts += 1
        status = wait_for(child, life.after_ms)
        if person is not None and wait_for(person) != 0:
            outcome.wrong.append("the kill switch could not be engaged")
        if halting is not None:
            self._require_flat(context, wait_for(halting), outcome)
        outcome.lives += 1
        if status == -9:
            outcome.killed_at.append(life.point.value if life.point and life.after_ms is None else "any time")
        elif status != 0:
            outcome.wrong.append(f"life {outcome.lives} ended with status {status}")
        return max((fault["seconds"] for fault in life.faults if fault["kind"] == "delay"), default=0.0)

    def _write_halt_report(self, context: TrialContext, milliseconds: int) -> None:
        report = halt_later(context, milliseconds / 1_000)
        (self._folder / "halted.txt").write_text(str(report) if report.flat else f"{report}: {report.problems}")

    def _require_flat(self, context: TrialContext, status: int, outcome: TrialOutcome) -> None:
        """Check that a halt reported a flat account, and that no order rests according to the exchange's own log."""
        report = (self._folder / "halted.txt").read_text() if status == 0 else f"it ended with status {status}"
        rests = [order.client_order_id for order in self.truth_of(context.member).values() if order.open > 0]
        if not report.startswith("FLAT") or rests:
            outcome.not_flat += 1
            outcome.wrong.append(f"the halt: {report}; what rests: {rests}")

    def _meet_incident(self, context: TrialContext, plan: Plan, life: Life, outcome: TrialOutcome) -> None:
        """Let the incident of a life happen, and follow the documented procedure back to trading."""
        if life.incident is None:
            return
        self._steer("DELETE", "/faults")
        if not self._happens(context, plan, life.incident):
            return
        outcome.incidents.append(life.incident.value)
        wrong = self._run_in_fork("recovered", lambda: recover(context))
        outcome.recovered += not wrong
        outcome.wrong += [f"after an incident ({life.incident.value}): {each}" for each in wrong]

    def _happens(self, context: TrialContext, plan: Plan, incident: Incident) -> bool:
        """Let an incident happen. Return False if there was nothing to which it could happen."""
        if incident in BY_HAND:
            market = context.markets[plan.seed % len(context.markets)]
            with ExitStack() as stack:
                return BY_HAND[incident](member_of(context, stack), self.truth_of(context.member), market)
        if plan.database != "sqlite":
            return False
        copy_journal(context.journal_file, context.folder / f"lost {len(context.lost_journals())}.db")
        replace_journal(context.journal_file, context.folder / f"{incident.name}.backup")
        return True

    def _back_up(self, context: TrialContext, life: Life) -> None:
        """Make the file that takes the journal's place after a life whose incident is a restored or lost journal."""
        if life.incident is Incident.RESTORED and context.journal_url.startswith("sqlite"):
            copy_journal(context.journal_file, context.folder / f"{Incident.RESTORED.name}.backup")
        if life.incident is Incident.LOST and context.journal_url.startswith("sqlite"):
            fresh = context.folder / f"{Incident.LOST.name}.backup"
            shutil.copy(self._templates.empty_file, fresh)
            engine = open_journal(f"sqlite:///{fresh}")
            initialise(engine, "sandbox")
            engine.dispose()

    def _settle(self, context: TrialContext, outcome: TrialOutcome) -> None:
        outcome.wrong += self._run_in_fork("settled", lambda: settle(context))

    def _leave(self, context: TrialContext, plan: Plan, outcome: TrialOutcome) -> None:
        """Leave every position, at prices for which another member has orders."""
        with ExitStack() as stack:
            supply(member_of(context, stack), context.markets)
        wrong = self._run_in_fork("left", lambda: leave(context, plan))
        outcome.left += not wrong
        outcome.wrong += wrong

    def _run_in_fork(self, name: str, act: Callable[[], list[str]]) -> list[str]:
        """Run a step in a fork, and return the problems that it found."""
        file = self._folder / f"{name}.json"
        file.unlink(missing_ok=True)
        status = wait_for(fork(lambda: file.write_text(json.dumps(act()))))
        found: list[str] = json.loads(file.read_text()) if status == 0 else [f"{name}: it ended with status {status}"]
        return found

    def _judge(self, context: TrialContext, plan: Plan, outcome: TrialOutcome) -> None:
        self._truth.refresh()
        engine = open_journal(context.journal_url)
        lost = [open_journal(f"sqlite:///{file}") for file in context.lost_journals()]
        verdict = judge(engine, self._truth, context.member, plan, lost)
        for opened in (engine, *lost):
            opened.dispose()
        for each, value in asdict(verdict).items():
            setattr(outcome, each, outcome.wrong + value if each == "wrong" else value)
        self._truth.members.pop(context.member, None)

    def _join_sandbox(self, plan: Plan, name: str, url: str, markets: int) -> TrialContext:
        engine = open_journal(url)
        initialise(engine, "sandbox")
        with Journal(engine, "sandbox").writing() as transaction:
            transaction.halts.release("ann", "the trial begins")
        engine.dispose()
        folder = self._folder / name
        folder.mkdir()
        first = plan.seed * _MARKETS_A_TRIAL
        chosen = tuple(self._markets[(first + number) % len(self._markets)] for number in range(markets))
        for market in chosen:
            self._supply(market)
        with ExitStack() as stack:
            member = join_sandbox(self._sandbox, folder, stack, member=name)
            return TrialContext(self._sandbox, name, member.key_id, member.key_file, url, chosen, folder)

    def _supply(self, market: Row) -> None:
        """Place orders of another member, so that the trial can trade at its first prices."""
        for side, price in (("bid", market["yes_bid_dollars"]), ("ask", market["yes_ask_dollars"])):
            path = f"/markets/{market['ticker']}/orders"
            self._steer("POST", path, side=side, price=price, count="12.00", time_in_force="good_till_canceled")

    def _quoted(self) -> list[Row]:
        rows = self._http.get(
            f"{self._sandbox.url}/markets", params={"status": "open", "mve_filter": "exclude", "limit": 1000}
        ).json()["markets"]
        return [
            row
            for row in rows
            if "0.15" < row["yes_bid_dollars"] < row["yes_ask_dollars"] < "0.85" and row["market_type"] == "binary"
            # Prices in whole cents are valid in every market.
            and row["yes_bid_dollars"].endswith("00") and row["yes_ask_dollars"].endswith("00")
        ]  # fmt: skip

    def _steer(self, method: str, path: str, **body: object) -> None:
        self._http.request(
            method, f"{self._sandbox.admin_url}/sandbox{path}", json=body or None
        ).raise_for_status()  # fmt: skip


def _engage_later(context: TrialContext, milliseconds: int) -> None:
    time.sleep(milliseconds / 1_000)
    with Journal(open_journal(context.journal_url), "sandbox").writing() as transaction:
        transaction.halts.engage(1, "operator", "bob", "a person said stop")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials with the given seeds, and print each result as a line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m kalshi_pipelines_tests.tools.trials.runner")
    parser.add_argument("--seeds", required=True, help="FIRST:END, or numbers separated by commas")
    parser.add_argument("--cluster", help="folder of a Postgres server's socket (default: use SQLite)")
    asked = parser.parse_args(arguments)
    first, colon, end = asked.seeds.partition(":")
    seeds = range(int(first), int(end)) if colon else [int(each) for each in asked.seeds.split(",")]
    with tempfile.TemporaryDirectory(dir=_memory()) as name, running_sandbox(OPTIONS) as sandbox, httpx.Client(
        trust_env=False, timeout=30
    ) as http:  # fmt: skip
        folder = Path(name)
        runner = Runner(sandbox, http, Templates(folder, asked.cluster), folder)
        for seed in seeds:
            print(json.dumps(asdict(runner.run(seed))), flush=True)
    return 0


def _memory() -> str | None:
    """Return a folder in memory, if there is one. Its files outlive killed processes, but not a power cut."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108


if __name__ == "__main__":
    sys.exit(main())
