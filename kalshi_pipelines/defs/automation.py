"""Jobs and schedules."""

from typing import Final

import dagster as dg

from kalshi_pipelines.defs.market_data.assets import GROUP as MARKET_DATA
from kalshi_pipelines.defs.market_data.assets import MarketSweeps, markets_and_quotes, orderbooks
from kalshi_pipelines.defs.news.assets import GROUP as NEWS
from kalshi_pipelines.defs.schema.warehouse import JOURNAL_SCHEMA, MIGRATE_JOB, WAREHOUSE_SCHEMA

# dagster.yaml lets only one run with this tag at a time: they would wait for the same rate budget anyway.
_READS_EXCHANGE: Final = {"kalshi_pipelines/reads": "exchange"}

migrate: Final = dg.define_asset_job(
    MIGRATE_JOB,
    selection=dg.AssetSelection.assets(WAREHOUSE_SCHEMA, JOURNAL_SCHEMA),
    description="Bring the warehouse and the journal of orders to their newest schemas.",
)

nightly: Final = dg.define_asset_job(
    "nightly",
    selection=dg.AssetSelection.groups(MARKET_DATA, NEWS).upstream(),
    description="The whole exchange: series, events, markets with quotes, orderbooks; and news about it.",
    tags=_READS_EXCHANGE,
)

snapshot: Final = dg.define_asset_job(
    "snapshot",
    selection=dg.AssetSelection.assets(WAREHOUSE_SCHEMA, *markets_and_quotes.keys, orderbooks.key),
    description="Quotes and orderbooks of the open markets only: quick enough for every few minutes.",
    config=dg.RunConfig(ops={"markets_and_quotes": MarketSweeps(statuses=["open"])}),
    tags=_READS_EXCHANGE,
)


@dg.schedule(
    job=nightly,
    cron_schedule="0 1 * * *",
    execution_timezone="America/New_York",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def nightly_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Every night at 01:00 New York time, well before the exchange's maintenance on Thursdays at 03:00."""
    return dg.RunRequest(run_key=context.scheduled_execution_time.date().isoformat())


default_jobs: Final = [migrate, nightly, snapshot]
default_schedules: Final = [nightly_schedule]
