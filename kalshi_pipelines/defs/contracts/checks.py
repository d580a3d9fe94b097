"""Asset checks of vendor endpoints and of contract runs. The package ``contracts`` decides what counts as drift."""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from kalshi_pipelines.contracts.findings import store
from kalshi_pipelines.contracts.health import check_freshness, endpoint_health
from kalshi_pipelines.contracts.runs import environment_to_check
from kalshi_pipelines.defs.contracts.assets import contract_findings
from kalshi_pipelines.defs.contracts.endpoints import ENDPOINTS, endpoint_key
from kalshi_pipelines.defs.contracts.metadata import (
    CONTRACT,
    check_result,
    is_about,
)
from kalshi_pipelines.defs.failures import report_expected_failures
from kalshi_pipelines.defs.resources import WarehouseResource
from kalshi_pipelines.defs.schema.warehouse import warehouse_at_head
from kalshi_pipelines.units import now_us

RAN_IN_A_DAY: Final = "ran_in_the_last_24_hours"


@dg.multi_asset_check(
    name="endpoint_contracts",
    can_subset=True,
    specs=[
        dg.AssetCheckSpec(
            CONTRACT,
            asset=endpoint_key(endpoint),
            # A breaking finding makes the asset check an error, which fails the run. Other findings show as warnings.
            blocking=True,
            additional_deps=[contract_findings],
            description=f"Passes if `{endpoint}` was checked in the last 24 hours and its format is as expected.",
        )
        for endpoint in ENDPOINTS
    ],
)
def endpoint_contracts(
    context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource
) -> Iterator[dg.AssetCheckResult]:
    """Show the open findings of each endpoint on its asset."""
    with report_expected_failures(context.log), warehouse_at_head(warehouse):
        settings = warehouse.settings
        found = store.open_findings(warehouse.engine, environment_to_check(settings).value)
        known = endpoint_health(warehouse.engine, settings, ENDPOINTS, now_us())
    selected = {key.asset_key for key in context.selected_asset_check_keys}
    for endpoint in (each for each in ENDPOINTS if endpoint_key(each) in selected):
        yield check_result(endpoint, known[endpoint], [each for each in found if is_about(each, endpoint)])


@dg.asset_check(asset=contract_findings, name=RAN_IN_A_DAY)
def ran_in_the_last_24_hours(warehouse: WarehouseResource) -> dg.AssetCheckResult:
    """Passes if a contract run succeeded in the last 24 hours. Without a run, having no findings proves nothing."""
    with warehouse_at_head(warehouse):
        fresh = check_freshness(warehouse.engine, warehouse.settings.environment.value, now_us())
    return dg.AssetCheckResult(passed=fresh.is_fresh, description=fresh.sentence)


default_checks: Final = [endpoint_contracts, ran_in_the_last_24_hours]
