"""The asset of contract findings. The package ``contracts`` decides what counts as a finding."""

from datetime import timedelta
from typing import Any, Final

import dagster as dg

from kalshi_pipelines.contracts.runs import run_contract_checks
from kalshi_pipelines.defs.contracts.metadata import (
    log_findings,
    observations,
    run_metadata,
)
from kalshi_pipelines.defs.resources import ExchangeResource, WarehouseResource
from kalshi_pipelines.defs.schema.warehouse import warehouse_asset

GROUP: Final = "contracts"

DAY: Final = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=12), fail_window=timedelta(hours=24))


@warehouse_asset(group_name=GROUP, kinds={"sql"}, freshness_policy=DAY)
def contract_findings(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, exchange: ExchangeResource
) -> dg.MaterializeResult[Any]:
    """Changes that vendors made. A run compares each endpoint's answer with its contract and with earlier answers."""
    report = run_contract_checks(
        warehouse.settings,
        warehouse.engine,
        context.log.info,
        sandbox_url=exchange.sandbox_url or None,
        dagster_run_id=context.run.run_id,
    )
    context.log.info(str(report))
    log_findings(context.log, report.recorded.open)
    for observation in observations(report):
        context.log_event(observation)
    if not report.is_answered and not report.is_maintenance:
        raise dg.Failure("No vendor endpoint gave an answer that can be checked. Read the log of this run.")
    return dg.MaterializeResult(metadata=run_metadata(report))


default_assets: Final = [contract_findings]
