"""Backfills: plan the reads of many days, and do them with several workers that share one rate budget.

A backfill can be killed at any point. The next one leaves out the closed days without holes, and continues the day that
was being read. Each day is in the lake as a whole or not at all.
"""

import datetime as dt
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.history.errors import BackfillIncomplete, InvalidRange
from kalshi_pipelines.history.inputs import DayRead, HistoryInputs
from kalshi_pipelines.history.kinds import FIRST_DAY, HistoryKind
from kalshi_pipelines.history.partitions import partitions_of
from kalshi_pipelines.history.trade_estimates import DayEstimate

#: After this number of failed days in a row, the other days are not tried.
_MOST_FAILURES_IN_A_ROW: Final = 3
_SECONDS_BETWEEN_LINES: Final = 10.0
_MOST_NAMED: Final = 10
#: Rows that one worker converts and stores in a second, by a careful measurement.
_ROWS_PER_SECOND: Final = 50_000
MOST_WORKERS: Final = 16


class DayAction(StrEnum):
    """The work that a day needs: read it as a whole, or add what is new."""

    READ = "read"
    TAKE_NEW = "take_new"


@dataclass(frozen=True)
class PlannedDay:
    """A day that will be read, with its expected size; a range of days if ``last`` is given."""

    kind: HistoryKind
    day: dt.date
    action: DayAction
    rows: int
    requests: int
    last: dt.date | None = None

    @property
    def number(self) -> int:
        """Number of days."""
        return 1 if self.last is None else (self.last - self.day).days + 1

    def read(self, inputs: HistoryInputs) -> list[DayRead]:
        """Read the day, and return the result for each dataset."""
        if self.kind.read_span is not None and self.last is not None:
            return list(self.kind.read_span(inputs, self.day, self.last))
        work = self.kind.read_day if self.action is DayAction.READ else self.kind.take_new
        done = work(inputs, self.day)
        return [done] if isinstance(done, DayRead) else list(done)


@dataclass(frozen=True)
class Plan:
    """The days of a backfill and the expected effort.

    Attributes:
        days: The days to read.
        complete: Number of days that are closed without holes and are left out.
        tokens: Tokens of the rate budget.
        seconds: Expected time with the planned workers.
        workers: Number of days that are read at the same time.
    """

    days: tuple[PlannedDay, ...]
    complete: int
    tokens: int
    seconds: float
    workers: int

    @property
    def number(self) -> int:
        """Number of days to read."""
        return sum(each.number for each in self.days)

    @property
    def rows(self) -> int:
        """Expected rows."""
        return sum(each.rows for each in self.days)

    @property
    def requests(self) -> int:
        """Expected requests."""
        return sum(each.requests for each in self.days)

    def __str__(self) -> str:
        if not self.days:
            return f"nothing to read: {_days(self.complete)} complete"
        first, last = min(each.day for each in self.days), max(each.last or each.day for each in self.days)
        return (
            f"{self._reads()} to read from {first} to {last}, {_days(self.complete)} complete; about "
            f"{self.rows:,} rows, {self.requests:,} requests, {self.tokens:,} tokens, "
            f"{duration(self.seconds)} with {self.workers} worker{'s' * (self.workers != 1)}"
        )

    def _reads(self) -> str:
        """Return the number of days, and that of each kind if there are several."""
        kinds = dict.fromkeys(each.kind.name for each in self.days)
        numbers = {name: sum(each.number for each in self.days if each.kind.name == name) for name in kinds}
        text = _days(self.number)
        return (
            f"{text} ({', '.join(f'{number:,} of {name}' for name, number in numbers.items())})"
            if len(kinds) > 1
            else text
        )


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number:,} days"


def duration(seconds: float) -> str:
    """Return a span of time for people: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"


def days_between(start: dt.date, end: dt.date) -> list[dt.date]:
    """Return the days from ``start`` to ``end``, both included."""
    return [start + dt.timedelta(days=number) for number in range((end - start).days + 1)]


def plan_backfill(
    inputs: HistoryInputs,
    kinds: Sequence[HistoryKind],
    start: dt.date,
    end: dt.date,
    *,
    workers: int = 4,
    again: bool = False,
) -> Plan:
    """Return which days of a range must be read, and the expected effort. A few requests are sent to find out.

    Args:
        inputs: The exchange, the warehouse and the lake.
        kinds: The kinds of history.
        start: The first day.
        end: The last day, which is included.
        workers: Number of days that are read at the same time.
        again: Whether days that are complete are read again.

    Raises:
        InvalidRange: The range is empty, begins before the exchange did, or ends in the future.
    """
    for kind in kinds:
        _require_range(start, end, kind.today(inputs.clock()))
    days, complete = [], 0
    for kind in kinds:
        wanted = days_between(start, end)
        actions = _actions(inputs, kind, wanted, again=again)
        complete += len(wanted) - len(actions)
        days.append((kind, actions))
    return make_plan(inputs, days, complete, workers)


def make_plan(
    inputs: HistoryInputs, days: Sequence[tuple[HistoryKind, dict[dt.date, DayAction]]], complete: int, workers: int
) -> Plan:
    """Return the plan for known days.

    Raises:
        InvalidRange: The number of workers is not between 1 and 16.
    """
    if not 1 <= workers <= MOST_WORKERS:
        raise InvalidRange(f"A backfill cannot have {workers} workers.", f"Choose 1 to {MOST_WORKERS} workers.")
    planned: list[PlannedDay] = []
    tokens, seconds = 0, 0.0
    for kind, actions in days:
        started = time.monotonic()
        requests_before = inputs.meter.requests
        sizes = kind.estimate(inputs, list(actions))
        asked = max(inputs.meter.requests - requests_before, 1)
        latency = (time.monotonic() - started) / asked
        stored = {each.day: each.rows for each in partitions_of(inputs.engine, kind.datasets[0].name)}
        of_kind = [
            _planned(kind, day, action, sizes[day], stored.get(day, 0) if action is DayAction.TAKE_NEW else 0)
            for day, action in actions.items()
        ]
        requests, rows = sum(each.requests for each in of_kind), sum(each.rows for each in of_kind)
        at_once = min(workers, max(len(of_kind), 1))
        cost = requests * inputs.client.tokens_of(kind.path)
        by_budget = cost / inputs.client.tokens_per_second(kind.path)
        seconds += max(by_budget, (requests * latency + rows / _ROWS_PER_SECOND) / at_once)
        tokens += cost
        planned += _joined_spans(of_kind) if kind.read_span is not None else of_kind
    planned.sort(key=lambda each: (len(each.kind.follows), each.day, each.kind.name))
    return Plan(tuple(planned), complete, tokens, seconds, workers)


def _planned(kind: HistoryKind, day: dt.date, action: DayAction, size: DayEstimate, stored_rows: int) -> PlannedDay:
    """Return a planned day. Rows that are stored already are not expected again."""
    rows = max(size.rows - stored_rows, 0)
    return PlannedDay(kind, day, action, rows, -(-size.requests * rows // size.rows) if stored_rows else size.requests)


def _joined_spans(days: Sequence[PlannedDay]) -> list[PlannedDay]:
    """Return the days as the fewest ranges of days that follow each other."""
    found: list[PlannedDay] = []
    for each in sorted(days, key=lambda one: one.day):
        before = found[-1] if found else None
        if before is not None and before.last is not None and each.day == before.last + dt.timedelta(days=1):
            rows, requests = before.rows + each.rows, before.requests + each.requests
            found[-1] = replace(before, last=each.day, rows=rows, requests=requests)
        else:
            found.append(replace(each, last=each.day))
    return found


def _must_wait(planned: PlannedDay, running: Iterable[PlannedDay]) -> bool:
    """Return whether a day needs days of another kind that are still being read."""
    return any(each.kind.name in planned.kind.follows for each in running)


def _require_range(start: dt.date, end: dt.date, today: dt.date) -> None:
    if start > end:
        raise InvalidRange(f"The range from {start} to {end} has no day.", "Swap the two days.")
    if start < FIRST_DAY:
        raise InvalidRange(f"The exchange began on {FIRST_DAY}, after {start}.", "Choose a later first day.")
    if end > today:
        raise InvalidRange(f"The day {end} has not begun.", f"Choose {today} or an earlier day as the last one.")


def _actions(
    inputs: HistoryInputs, kind: HistoryKind, days: Sequence[dt.date], *, again: bool
) -> dict[dt.date, DayAction]:
    if again:
        return dict.fromkeys(days, DayAction.READ)
    known = {each.day: each for each in partitions_of(inputs.engine, kind.datasets[0].name)}
    actions: dict[dt.date, DayAction] = {}
    for day in days:
        found = known.get(day)
        if found is None or found.read_until_us is None:
            actions[day] = DayAction.READ
        elif found.status != "closed":
            actions[day] = DayAction.TAKE_NEW
        elif found.holes:
            # An old day is closed with its holes at once, and no upkeep tries them: only a person asks for it again.
            actions[day] = DayAction.READ
    return actions


@dataclass
class _Progress:
    """The progress of a backfill as lines for a log."""

    inputs: HistoryInputs
    plan: Plan
    started: float = field(default_factory=time.monotonic)
    last_line: float = field(default_factory=time.monotonic)
    finished: int = 0

    def tell(self) -> None:
        """Report a line, unless the last one is less than ten seconds old."""
        if time.monotonic() - self.last_line >= _SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            self.inputs.report(self.line())

    def line(self) -> str:
        """Return the numbers of days, rows and requests so far, the speed, and the time left."""
        seconds = max(time.monotonic() - self.started, 0.001)
        meter = self.inputs.meter
        text = f"{self.finished:,} of {_days(self.plan.number)}, {meter.rows:,} rows, {meter.rows / seconds:,.0f} "
        text += f"rows/s, {meter.requests / seconds:,.1f} requests/s"
        share = meter.done / max(len(self.plan.days), 1)
        return f"{text}, about {duration(seconds * (1 - share) / share)} left" if 0.005 < share < 1 else text


def _ignore(_: Sequence[DayRead]) -> None:
    return


def run_backfill(
    inputs: HistoryInputs, plan: Plan, when_read: Callable[[Sequence[DayRead]], None] = _ignore
) -> list[DayRead]:
    """Read the days of a plan. A day that fails does not stop the others, unless several fail in a row.

    Args:
        inputs: The exchange, the warehouse and the lake.
        plan: The days.
        when_read: Is called with the results of each day, one for each dataset, in the thread of the caller.

    Raises:
        BackfillIncomplete: Some days could not be read. The message names them and the reason.
    """
    report = inputs.report
    report(str(plan))
    if not plan.days:
        return []
    done: list[DayRead] = []
    failed: list[tuple[PlannedDay, ExpectedError]] = []
    progress = _Progress(inputs, plan)
    with closing(_outcomes(inputs, plan, progress)) as outcomes:
        for planned, outcome in outcomes:
            progress.finished += planned.number
            if isinstance(outcome, ExpectedError):
                report(f"{planned.kind.name} {planned.day} failed: {outcome}")
                failed.append((planned, outcome))
            else:
                done += outcome
                for each in outcome:
                    report(str(each))
                when_read(outcome)
            if progress.finished < plan.number:
                progress.tell()
    report(progress.line())
    left = plan.number - progress.finished
    if failed or left:
        named = ", ".join(f"{each.kind.name} {each.day}" for each, _ in failed[:_MOST_NAMED])
        more = f" and {len(failed) - _MOST_NAMED:,} more" if len(failed) > _MOST_NAMED else ""
        tail = f" {left:,} further days were not tried." if left else ""
        raise BackfillIncomplete(
            f"{sum(each.number for each, _ in failed):,} of {_days(plan.number)} could not be read: {named}{more}. "
            f"The first of them: {failed[0][1]}{tail}",
            "Run the backfill again: it continues with these days.",
        )
    return done


def _outcomes(
    inputs: HistoryInputs, plan: Plan, progress: _Progress
) -> Generator[tuple[PlannedDay, list[DayRead] | ExpectedError], None, None]:
    """Yield the result or the error of each day as it ends. Stop all workers if the caller stops."""
    waiting = list(reversed(plan.days))
    running: dict[Future[list[DayRead]], PlannedDay] = {}
    in_a_row = 0
    pool = ThreadPoolExecutor(plan.workers, thread_name_prefix="kalshi-history")
    try:
        while (waiting and in_a_row < _MOST_FAILURES_IN_A_ROW) or running:
            while waiting and len(running) < plan.workers and in_a_row < _MOST_FAILURES_IN_A_ROW:
                if _must_wait(waiting[-1], running.values()):
                    break
                planned = waiting.pop()
                running[pool.submit(planned.read, inputs)] = planned
            ended, _ = wait(running, timeout=_SECONDS_BETWEEN_LINES / 2, return_when=FIRST_COMPLETED)
            progress.tell()
            for future in ended:
                planned = running.pop(future)
                try:
                    outcome: list[DayRead] | ExpectedError = future.result()
                    in_a_row = 0
                except ExpectedError as error:
                    outcome, in_a_row = error, in_a_row + 1
                yield planned, outcome
    except BaseException:
        inputs.stopping.set()
        raise
    finally:
        # Also after an interrupt, no worker goes on when the run has ended.
        pool.shutdown(wait=True, cancel_futures=True)
