"""Jobs and schedules that span several domains. A job of one domain is in that domain's folder."""

from typing import Final

import dagster as dg

from kalshi_pipelines.defs.market_data.assets import GROUP as MARKET_DATA
from kalshi_pipelines.defs.news.assets import GROUP as NEWS
from kalshi_pipelines.defs.schema.requirement import READS_EXCHANGE

nightly: Final = dg.define_asset_job(
    "nightly",
    selection=dg.AssetSelection.groups(MARKET_DATA, NEWS).upstream(),
    description="Read the whole exchange (series, events, markets with quotes, orderbooks) and news about its markets.",
    tags=READS_EXCHANGE,
)


@dg.schedule(
    job=nightly,
    cron_schedule="0 1 * * *",
    execution_timezone="America/New_York",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Starts `nightly` at 01:00 New York time, before the exchange's maintenance on Thursdays at 03:00.",
)
def nightly_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request one run of the job ``nightly`` for each night."""
    return dg.RunRequest(run_key=context.scheduled_execution_time.date().isoformat())


default_jobs: Final = [nightly]

default_schedules: Final = [nightly_schedule]
