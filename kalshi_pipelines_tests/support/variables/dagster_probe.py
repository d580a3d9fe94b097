"""Definitions for a real Dagster process that write the settings which the process sees into a file."""

import json
import os
from pathlib import Path

import dagster as dg

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.kill.sources import EnvironmentSource
from kalshi_pipelines.settings import InvalidSettings, require_decided_variables


def write_what_is_seen(who: str) -> None:
    """Write the mode, a cap, the kill switch and a problem of the settings, as this process sees them."""
    seen: dict[str, object] = {"killed": EnvironmentSource().read().engaged}
    try:
        settings = TradeSettings.from_environment()
        seen |= {"mode": settings.mode.value, "orders": settings.session_orders}
        require_decided_variables()
    except InvalidSettings as error:
        seen["problem"] = str(error)
    file = Path(os.environ["PROBE_FOLDER"]) / f"{who}.json"
    file.with_suffix(".new").write_text(json.dumps(seen))
    file.with_suffix(".new").rename(file)


@dg.op
def look() -> None:
    write_what_is_seen("run")


@dg.job(executor_def=dg.in_process_executor)
def probe() -> None:
    look()


@dg.job(executor_def=dg.multiprocess_executor)
def probe_in_a_step_process() -> None:
    look()


@dg.sensor(job=probe, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def starter() -> dg.RunRequest:
    write_what_is_seen("code_server")
    return dg.RunRequest(run_key="once")


pipelines = dg.Definitions(jobs=[probe, probe_in_a_step_process], sensors=[starter])
