"""Days that a person asks for by name: they are read as a whole, also if they are complete."""

import datetime as dt
from collections.abc import Iterable, Iterator

from kalshi_pipelines.history.backfill import DayAction, make_plan, run_backfill
from kalshi_pipelines.history.inputs import DayRead, HistoryInputs
from kalshi_pipelines.history.kinds import HistoryKind


def read_requested(inputs: HistoryInputs, kind: HistoryKind, days: Iterable[str]) -> Iterator[DayRead]:
    """Read days, given as texts such as 2026-11-22, and yield their results.

    Raises:
        BackfillIncomplete: Some days could not be read.
    """
    wanted = [dt.date.fromisoformat(day) for day in days]
    plan = make_plan(inputs, [(kind, dict.fromkeys(wanted, DayAction.READ))], 0, 1)
    yield from run_backfill(inputs, plan)
