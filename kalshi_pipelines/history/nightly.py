"""The upkeep of history: take what is new, read the newest time again, and close the days that are complete.

A kind of history is kept up once a day of it was read. A backfill is the decision to have a kind of history.
"""

import datetime as dt
from collections.abc import Sequence

from kalshi_pipelines.history.backfill import DayAction, Plan, days_between, make_plan
from kalshi_pipelines.history.inputs import HistoryInputs
from kalshi_pipelines.history.kinds import HistoryKind
from kalshi_pipelines.history.partitions import partitions_of


def plan_upkeep(inputs: HistoryInputs, kinds: Sequence[HistoryKind], workers: int = 2) -> Plan:
    """Return the days that are open or new: every day that is not closed, from the oldest such day until today.

    Days before the oldest day that was read are left to a backfill.
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
        new = days_between(newest + dt.timedelta(days=1), today)
        actions = {day: DayAction.TAKE_NEW for day, each in known.items() if each.status != "closed"}
        actions |= dict.fromkeys(new, DayAction.TAKE_NEW)
        complete += len(known) - sum(day in actions for day in known)
        days.append((kind, dict(sorted(actions.items()))))
    return make_plan(inputs, days, complete, workers)
