"""One upkeep of a warehouse and its lake: every task in order, and a report of what was removed and what stays.

A task that fails does not stop the others. Each task removes in small transactions and can be killed at any point: the
next upkeep goes on where it ended.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Final

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.upkeep.archiving import archive_settled
from kalshi_pipelines.upkeep.backups import remove_old_backups
from kalshi_pipelines.upkeep.books import remove_settled_books
from kalshi_pipelines.upkeep.history import close_past_days, publish_waiting, remove_history
from kalshi_pipelines.upkeep.inputs import UpkeepInputs
from kalshi_pipelines.upkeep.leaving import remove_settled
from kalshi_pipelines.upkeep.missing import remove_missing
from kalshi_pipelines.upkeep.moving import move_older_history
from kalshi_pipelines.upkeep.past_events import remove_past_events
from kalshi_pipelines.upkeep.records import remove_old_records
from kalshi_pipelines.upkeep.removals import Problem, Removal, UpkeepReport
from kalshi_pipelines.upkeep.space import release_space
from kalshi_pipelines.upkeep.texts import remove_unused_texts
from kalshi_pipelines.warehouse.engine import explain_failures
from kalshi_pipelines.warehouse.locks import hold_work_lock

Task = Callable[[UpkeepInputs], list[Removal]]

#: The tasks in their order. History rows leave before markets, because a market leaves only after its history rows.
#: Space is released last, because the other tasks free it.
TASKS: Final[tuple[tuple[str, Task], ...]] = (
    ("move of older history", move_older_history),
    ("publishing of history", publish_waiting),
    ("archiving of settled markets", archive_settled),
    ("retention of history", remove_history),
    ("retention of orderbooks", remove_settled_books),
    ("retention of settled markets", remove_settled),
    ("retention of missing markets", remove_missing),
    ("retention of events", remove_past_events),
    ("retention of shared texts", remove_unused_texts),
    ("closing of past days", close_past_days),
    ("retention of records", remove_old_records),
    ("retention of backups", remove_old_backups),
    ("release of disk space", release_space),
)


class UpkeepIncomplete(ExpectedError):
    """Some tasks of an upkeep failed. The other tasks ran."""


def maintain(inputs: UpkeepInputs, tasks: Sequence[tuple[str, Task]] = TASKS) -> UpkeepReport:
    """Do all tasks of upkeep, or count what they would remove if this is a dry run.

    Raises:
        AlreadyRunning: Another upkeep of this warehouse is running.
    """
    removals: list[Removal] = []
    problems: list[Problem] = []
    # A dry run must not even make a lock file.
    lock = nullcontext() if inputs.is_dry_run else hold_work_lock(inputs.engine, "upkeep")
    with lock:
        for name, task in tasks:
            inputs.report(f"{name}: {'counting' if inputs.is_dry_run else 'started'}")
            try:
                with explain_failures(inputs.engine):
                    removals += task(inputs)
            except ExpectedError as error:
                problems.append(Problem(name, str(error)))
                inputs.report(f"{name} failed: {error}")
    return UpkeepReport(tuple(removals), tuple(problems), inputs.is_dry_run)


def require_complete(report: UpkeepReport) -> None:
    """Check that every task of an upkeep succeeded.

    Raises:
        UpkeepIncomplete: Some tasks failed. The message names each.
    """
    if report.problems:
        failed = " ".join(f"{problem.task}: {problem.error}" for problem in report.problems)
        raise UpkeepIncomplete(f"Upkeep is incomplete. {failed}", "Remove the causes and run `maintain` again.")
