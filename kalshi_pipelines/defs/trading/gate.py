"""The armed-run gate in front of the executor: pure functions that decide whether a run may trade.

"Materialize all", backfills, schedules, sensors, retries and re-executions can all select ``executed_orders``. The
run's tags show how the run came about; the run's config shows who armed it.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import dagster as dg
from pydantic import Field

from kalshi_pipelines.execution.journal.records import Origin
from kalshi_pipelines.execution.orders.persons import UnusableName, person_name

#: Longest time from arming a run to the start of its trading. The run may spend a part of this time in a queue.
ARMED_FOR: Final = dt.timedelta(minutes=15)
_CLOCKS_DIFFER_BY: Final = dt.timedelta(minutes=1)
_LONGEST_TEXT: Final = 200

# The names of Dagster's tags are repeated here, because Dagster's own constants for them are private.
_ORIGINS: Final[Mapping[Origin, tuple[str, ...]]] = {
    Origin.BACKFILLED: (
        "dagster/backfill",
        "dagster/parent_backfill_id",
        "dagster/root_backfill_id",
        "dagster/partition",
        "dagster/partition_set",
        "dagster/asset_partition_range_start",
        "dagster/asset_partition_range_end",
    ),
    Origin.AUTOMATED: (
        "dagster/from_automation_condition",
        "dagster/auto_materialize",
        "dagster/auto_observe",
        "dagster/asset_evaluation_id",
        "dagster/sensor_name",
        "dagster/schedule_name",
        "dagster/tick",
        "dagster/run_key",
    ),
    Origin.RETRIED: ("dagster/retry_number", "dagster/auto_retry_run_id"),
    Origin.RE_EXECUTED: (
        "dagster/parent_run_id",
        "dagster/root_run_id",
        "dagster/is_resume_retry",
        "dagster/is_asset_resume_retry",
    ),
}
_REASONS: Final = {
    Origin.BACKFILLED: "the run belongs to a backfill or has a partition",
    Origin.AUTOMATED: "the run was started by a schedule, a sensor or an automation",
    Origin.RETRIED: "the run or its step is a retry",
    Origin.RE_EXECUTED: "the run is a re-execution of another",
    Origin.LATE: "the run was armed more than 15 minutes before it could trade",
}


class ArmedByHand(dg.Config):
    """Run config: who arms this run, why, and when. If one of the three is missing, the run does nothing.

    The live session of the run uses the config up, so the same config does not open a second live session.
    """

    armed_by: str = Field(default="", max_length=_LONGEST_TEXT, description="Your name.")
    why: str = Field(default="", max_length=_LONGEST_TEXT, description="Why this run shall trade.")
    armed_at: str = Field(
        default="",
        max_length=_LONGEST_TEXT,
        description="When you arm the run, with time zone: 2026-11-23T14:05:00Z. Valid for 15 minutes.",
    )
    nonce: str = Field(
        default="",
        max_length=_LONGEST_TEXT,
        description="Any text that makes this arming different from others. Each arming opens one live session.",
    )


@dataclass(frozen=True)
class Gate:
    """Decision whether a run may trade.

    Attributes:
        origin: How the run came about. The journal stores the origin with the run's session.
        is_armed: Whether a person armed the run. An armed run is still dry if no person started it.
        closed_because: Reasons why the run must not trade live, written for people; empty if it may trade live.
    """

    origin: Origin
    is_armed: bool
    closed_because: tuple[str, ...]

    @property
    def is_open(self) -> bool:
        """Whether the run may trade live."""
        return not self.closed_because


def decide_gate(run: dg.DagsterRun, retry_number: int, armed: ArmedByHand, now: dt.datetime) -> Gate:
    """Decide whether a run may trade at the instant ``now``."""
    unarmed = _why_not_armed(armed, now)
    origin = _origin_of(run, retry_number)
    if origin is Origin.BY_HAND and not unarmed and now - dt.datetime.fromisoformat(armed.armed_at) > ARMED_FOR:
        origin = Origin.LATE
    of_origin = () if origin is Origin.BY_HAND else (_REASONS[origin],)
    return Gate(origin, not unarmed, (*unarmed, *of_origin))


def _origin_of(run: dg.DagsterRun, retry_number: int) -> Origin:
    if retry_number > 0:
        return Origin.RETRIED
    for origin, tags in _ORIGINS.items():
        if any(given == tag or given.startswith(f"{tag}/") for given in run.tags for tag in tags):
            return origin
    return Origin.RE_EXECUTED if run.parent_run_id or run.root_run_id else Origin.BY_HAND


def _why_not_armed(armed: ArmedByHand, now: dt.datetime) -> tuple[str, ...]:
    texts = {"armed_by": armed.armed_by, "why": armed.why, "armed_at": armed.armed_at}
    missing = [name for name, text in texts.items() if not text.strip()]
    if missing:
        return (f"nobody armed this run: the config of executed_orders lacks {', '.join(missing)}",)
    try:
        person_name(armed.armed_by)
    except UnusableName as error:
        return (f"armed_by: {error}",)
    try:
        armed_at = dt.datetime.fromisoformat(armed.armed_at)
    except ValueError:
        return (f"armed_at is {armed.armed_at!r}, which is no instant such as 2026-11-23T14:05:00Z",)
    if armed_at.tzinfo is None:
        return ("armed_at has no time zone: end it with Z or an offset",)
    if armed_at - now > _CLOCKS_DIFFER_BY:
        return ("armed_at is in the future",)
    return ()
