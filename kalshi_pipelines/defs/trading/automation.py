"""Jobs and schedule of trading. No schedule and no sensor starts the job ``trade``."""

from typing import Any, Final

import dagster as dg

from kalshi_pipelines.defs.schema.requirement import JOURNAL_SCHEMA, WAREHOUSE_SCHEMA
from kalshi_pipelines.defs.trading.assets import executed_orders, order_reconciliation, trade_proposals
from kalshi_pipelines.defs.trading.audit import verify_audit
from kalshi_pipelines.defs.trading.kill_switch import halt_trading, halted_sensor
from kalshi_pipelines.defs.trading.tags import NO_RETRY, TRADES
from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.service.account.live_account import has_trade_key
from kalshi_pipelines.settings import InvalidSettings

trade_job: Final = dg.define_asset_job(
    "trade",
    selection=dg.AssetSelection.assets(WAREHOUSE_SCHEMA, JOURNAL_SCHEMA, trade_proposals, executed_orders),
    description="Hand proposals to the executor. Acts only if a person armed the run in the config of executed_orders.",
    tags=TRADES,
    op_retry_policy=NO_RETRY,
)

reconcile: Final = dg.define_asset_job(
    "reconcile",
    selection=dg.AssetSelection.assets(WAREHOUSE_SCHEMA, JOURNAL_SCHEMA, order_reconciliation),
    description="Compare the account with the journal. A difference engages the kill switch and fails the run.",
    tags=TRADES,
    op_retry_policy=NO_RETRY,
)


@dg.schedule(
    job=reconcile,
    cron_schedule="*/10 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Starts `reconcile` every ten minutes, if a trade key is set.",
)
def reconcile_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Request a reconciliation, or skip the tick if no trade key is set."""
    try:
        settings = TradeSettings.from_environment()
    except InvalidSettings as error:
        return dg.SkipReason(str(error))
    if not has_trade_key(settings):
        return dg.SkipReason("no trade key is set, so there is no account to compare with")
    return dg.RunRequest(run_key=f"reconcile:{context.scheduled_execution_time.isoformat()}")


default_jobs: Final[list[Any]] = [trade_job, reconcile, halt_trading, verify_audit]

default_schedules: Final = [reconcile_schedule]

default_sensors: Final = [halted_sensor]
