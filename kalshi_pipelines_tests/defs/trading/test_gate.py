"""Only a run that a person armed in the last 15 minutes, and started by hand, may trade."""

import datetime as dt

import dagster as dg
import pytest

from kalshi_pipelines.defs.trading.gate import ArmedByHand, decide_gate
from kalshi_pipelines.execution.journal.records import Origin

NOW = dt.datetime(2026, 11, 23, 14, 5, tzinfo=dt.UTC)
ARMED = ArmedByHand(armed_by="ann", why="a try", armed_at="2026-11-23T14:00:00Z")


def run(**options: object) -> dg.DagsterRun:
    return dg.DagsterRun(job_name="trade", run_id="1", **options)  # type: ignore[arg-type]


def test_run_armed_by_hand_may_trade() -> None:
    gate = decide_gate(run(tags={"dagster/max_retries": "0"}), 0, ARMED, NOW)
    assert (gate.is_open, gate.is_armed, gate.origin) == (True, True, Origin.BY_HAND)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"armed_by": " "}, "nobody armed this run: the config of executed_orders lacks armed_by"),
        ({"why": "", "armed_at": ""}, "lacks why, armed_at"),
        ({"armed_at": "14:00"}, "no instant"),
        ({"armed_at": "2026-11-23T14:00:00"}, "time zone"),
        ({"armed_at": "2026-11-23T14:07:00Z"}, "in the future"),
    ],
)
def test_unarmed_run_says_which_field_is_missing(changes: dict[str, str], why: str) -> None:
    gate = decide_gate(run(), 0, ARMED.model_copy(update=changes), NOW)
    assert not gate.is_open
    assert not gate.is_armed
    assert why in gate.closed_because[0]


@pytest.mark.parametrize(
    ("tag", "origin"),
    [
        ("dagster/backfill", Origin.BACKFILLED),
        ("dagster/partition", Origin.BACKFILLED),
        ("dagster/partition/day", Origin.BACKFILLED),
        ("dagster/asset_partition_range_start", Origin.BACKFILLED),
        ("dagster/schedule_name", Origin.AUTOMATED),
        ("dagster/sensor_name", Origin.AUTOMATED),
        ("dagster/from_automation_condition", Origin.AUTOMATED),
        ("dagster/retry_number", Origin.RETRIED),
        ("dagster/parent_run_id", Origin.RE_EXECUTED),
    ],
)
def test_F16_armed_run_with_the_tag_of_another_origin_stays_closed(tag: str, origin: Origin) -> None:
    gate = decide_gate(run(tags={tag: "x"}), 0, ARMED, NOW)
    assert (gate.is_open, gate.is_armed, gate.origin) == (False, True, origin)


def test_F16_retries_and_re_executions_without_tags_are_recognised() -> None:
    assert decide_gate(run(), 1, ARMED, NOW).origin is Origin.RETRIED
    assert decide_gate(run(parent_run_id="0", root_run_id="0"), 0, ARMED, NOW).origin is Origin.RE_EXECUTED


def test_F16_run_that_waited_longer_than_15_minutes_is_late() -> None:
    in_time, late = NOW + dt.timedelta(minutes=10), NOW + dt.timedelta(minutes=10, microseconds=1)
    assert decide_gate(run(), 0, ARMED, in_time).is_open
    assert decide_gate(run(), 0, ARMED, late).origin is Origin.LATE


def test_F16_every_tag_of_dagster_closes_the_gate_unless_known_as_harmless() -> None:
    """A new version of Dagster may add a tag for a new way to start a run."""
    from dagster._core.storage import tags

    harmless = {
        *("agent_id", "code_location", "compute_kind", "concurrency_key", "image", "isolation"),
        *(
            "max_retries",
            "max_runtime",
            "priority",
            "retry_on_asset_or_op_failure",
            "retry_strategy",
            "solid_selection",
        ),
        *("step_selection", "failure_reason", "will_retry", "did_retry", "reporting_user", "external_job_source"),
        *("defer_asset_events", "kind", "snapshot_id", "git_commit_hash", "workspace"),
    }
    named = {value for name, value in vars(tags).items() if isinstance(value, str) and value.startswith("dagster/")}
    known = {f"dagster/{each}" for each in harmless} | {"dagster/", "dagster/kind/"}
    for tag in sorted(named - known):
        assert not decide_gate(run(tags={tag: "x"}), 0, ARMED, NOW).is_open, tag
