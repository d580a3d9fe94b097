"""The job that reads quotes and orderbooks, and the schedule that starts it every five minutes if switched on."""

from typing import Final

import dagster as dg

from kalshi_pipelines.defs.market_data.assets import MarketSweeps, markets_and_quotes, orderbooks
from kalshi_pipelines.defs.schema.requirement import READS_EXCHANGE, WAREHOUSE_SCHEMA

snapshot: Final = dg.define_asset_job(
    "snapshot",
    selection=dg.AssetSelection.assets(WAREHOUSE_SCHEMA, *markets_and_quotes.keys, orderbooks.key),
    description="Read quotes and orderbooks of open markets only, which is quick enough for every few minutes.",
    config=dg.RunConfig(ops={"markets_and_quotes": MarketSweeps(statuses=["open"])}),
    tags=READS_EXCHANGE,
)

_ACTIVE: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


@dg.schedule(
    job=snapshot,
    cron_schedule="*/5 * * * *",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Starts `snapshot` every five minutes, once you switch it on. Skips while an earlier run still works.",
)
def snapshot_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Request a run of the job ``snapshot``, unless an earlier run is active.

    Without the skip, runs would queue up whenever one takes longer than five minutes, for example behind ``nightly``.
    """
    active = context.instance.get_runs_count(dg.RunsFilter(job_name=snapshot.name, statuses=_ACTIVE))
    if active:
        return dg.SkipReason("an earlier snapshot is still waiting or running")
    return dg.RunRequest(run_key=f"snapshot:{context.scheduled_execution_time.isoformat()}")


default_jobs: Final = [snapshot]

default_schedules: Final = [snapshot_schedule]
