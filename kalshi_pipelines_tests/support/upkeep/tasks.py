"""Inputs of upkeep tasks for tests: a fixed present time, and the default retention."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.settings import Settings
from kalshi_pipelines.units import DAY_US
from kalshi_pipelines.upkeep.inputs import Retention, UpkeepInputs
from kalshi_pipelines.upkeep.removals import Removal
from kalshi_pipelines_tests.support.lake.lakes import local_lake

#: The present time of these tests: day 1,000 since 1970.
NOW_US: Final = 1_000 * DAY_US


def upkeep_inputs(engine: sa.Engine, **changes: Any) -> UpkeepInputs:
    """Return inputs with the default retention, apart from the given changes."""
    retention = Retention.from_settings(Settings())
    names = {name for name in changes if hasattr(retention, name)}
    retention = replace(retention, **{name: changes.pop(name) for name in names})
    inputs = UpkeepInputs(
        engine=engine,
        lake=local_lake(Path("/nowhere")),
        protected=frozenset,
        old_folder=Path("/nowhere"),
        backup_folder=Path("/nowhere"),
        retention=retention,
        now_us=NOW_US,
        is_dry_run=False,
        report=lambda _: None,
    )
    return replace(inputs, **changes)


def days_ago(days: float) -> int:
    """Return the instant that was a number of days before the present time of these tests."""
    return NOW_US - int(days * DAY_US)


def counts(removals: list[Removal], what: str) -> tuple[int, int]:
    """Return the numbers removed and kept of one kind of row or file."""
    (found,) = [removal for removal in removals if removal.what == what]
    return found.removed, found.kept
