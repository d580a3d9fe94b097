"""Check of the definitions: no job, schedule, sensor or retry may trade without a person."""

import dagster as dg

from kalshi_pipelines.defs.trading.assets import executed_orders
from kalshi_pipelines.defs.trading.automation import trade_job


class TradesByItself(Exception):
    """The error for definitions with which a run could trade although no person started the run."""


def require_by_hand(definitions: dg.Definitions) -> dg.Definitions:
    """Return the definitions if only a run that a person starts can trade.

    The armed-run gate (``gate``) is a second, independent safeguard.

    Raises:
        TradesByItself: A job, schedule, sensor or retry could trade without a person. The message names it.
    """
    key = executed_orders.key
    node = definitions.resolve_asset_graph().get(key)
    repository = definitions.get_repository_def()
    trading = {job.name for job in repository.get_all_jobs() if key in job.asset_layer.selected_asset_keys}
    started = {schedule.job_name for schedule in repository.schedule_defs}
    started |= {target.job_name for sensor in repository.sensor_defs for target in sensor.targets}
    wrong = [
        *(f"job {name} selects it" for name in sorted(trading) if name != trade_job.name and not name.startswith("__")),
        *(f"a schedule or sensor starts {name}" for name in sorted(trading & started)),
        *(["it has an automation condition"] if node.automation_condition else []),
        *(["it has partitions, so it can be backfilled"] if node.partitions_def else []),
        *(["its step is retried"] if _retries(definitions) else []),
    ]
    if wrong:
        raise TradesByItself(f"{key.to_user_string()} must be run by a person only, but {'; '.join(wrong)}")
    return definitions


def _retries(definitions: dg.Definitions) -> bool:
    asset = definitions.resolve_assets_def(executed_orders.key)
    policy = asset.op.retry_policy
    return policy is not None and policy.max_retries > 0
