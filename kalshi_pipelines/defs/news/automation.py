"""Job and schedule of news."""

from typing import Final

import dagster as dg

from kalshi_pipelines.defs.news.assets import GROUP
from kalshi_pipelines.defs.schema.requirement import WAREHOUSE_SCHEMA

news: Final = dg.define_asset_job(
    "news",
    selection=dg.AssetSelection.assets(WAREHOUSE_SCHEMA) | dg.AssetSelection.groups(GROUP),
    description="Collect articles within the daily budget, link them to markets and score their sentiment.",
)


@dg.schedule(
    job=news,
    cron_schedule="15 7,13,19 * * *",
    execution_timezone="America/New_York",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Starts `news` at 07:15, 13:15 and 19:15 New York time. `nightly` collects news as well.",
)
def news_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request one run for each scheduled time."""
    return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat(timespec="minutes"))


default_jobs: Final = [news]

default_schedules: Final = [news_schedule]
