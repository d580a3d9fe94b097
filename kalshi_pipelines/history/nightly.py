"""The upkeep of history: take what is new, read the newest time again, and close the days that are complete.

A kind of history is kept up once a day of it was read. A backfill is the decision to have a kind of history.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Final

from kalshi_pipelines.history.backfill import DayAction, Plan, days_between, make_plan
from kalshi_pipelines.history.inputs import HistoryInputs
from kalshi_pipelines.history.kinds import HistoryKind
from kalshi_pipelines.history.partitions import partitions_of

#: A day without a record is new for this long before the newest day with a record.
_NEW_FOR: Final = dt.timedelta(days=7)


def plan_upkeep(inputs: HistoryInputs, kinds: Sequence[HistoryKind], workers: int = 2) -> Plan:
    """Return the days that are open or new: every day that is not closed, from the oldest such day until today.

    A day without a record between others counts as new if it is recent: its read may have failed before it began.
    Older days without a record are left to a backfill.
    """
    days: list[tuple[HistoryKind, dict[dt.date, DayAction]]] = []
    complete = 0
    for kind in kinds:
        if not kind.is_kept_up:
            continue
        known = {each.day: each for each in partitions_of(inputs.engine, kind.datasets[0].name)}
        if not known:
            inputs.report(f"No day of {kind.name} was read yet. Start the job backfill_history to have its history.")
            continue
        newest, today = max(known), kind.today(inputs.clock())
        oldest_new = max(min(known), newest - _NEW_FOR)
        new = [day for day in days_between(oldest_new, today) if day not in known]
        actions = {day: DayAction.TAKE_NEW for day, each in known.items() if each.status != "closed"}
        actions |= dict.fromkeys(new, DayAction.TAKE_NEW)
        complete += len(known) - sum(day in actions for day in known)
        days.append((kind, dict(sorted(actions.items()))))
    return make_plan(inputs, days, complete, workers)
