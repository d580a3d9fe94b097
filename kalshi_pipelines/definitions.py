"""The entry point of Dagster: all assets, checks, jobs, schedules and sensors, assembled once."""

from typing import Any

import dagster as dg

from kalshi_pipelines.defs import automation
from kalshi_pipelines.defs.contracts import assets as contract_assets
from kalshi_pipelines.defs.contracts import automation as contract_automation
from kalshi_pipelines.defs.contracts import checks as contract_checks
from kalshi_pipelines.defs.contracts import endpoints as vendor_endpoints
from kalshi_pipelines.defs.history import assets as history_assets
from kalshi_pipelines.defs.history import automation as history_automation
from kalshi_pipelines.defs.history import checks as history_checks
from kalshi_pipelines.defs.market_data import assets as market_assets
from kalshi_pipelines.defs.market_data import automation as market_automation
from kalshi_pipelines.defs.market_data import checks as market_checks
from kalshi_pipelines.defs.news import assets as news_assets
from kalshi_pipelines.defs.news import automation as news_automation
from kalshi_pipelines.defs.news import checks as news_checks
from kalshi_pipelines.defs.resources import ExchangeResource, JournalResource, WarehouseResource
from kalshi_pipelines.defs.schema import automation as schema_automation
from kalshi_pipelines.defs.schema import journal as journal_schema
from kalshi_pipelines.defs.schema import warehouse as warehouse_schema
from kalshi_pipelines.defs.schema.requirement import require_schema_upstream
from kalshi_pipelines.defs.trading import assets as trading_assets
from kalshi_pipelines.defs.trading import automation as trading_automation
from kalshi_pipelines.defs.trading.by_hand import require_by_hand
from kalshi_pipelines.defs.upkeep import automation as upkeep_automation
from kalshi_pipelines.settings import Executor, InvalidSettings, Settings


def build_defs(**overrides: Any) -> dg.Definitions:  # noqa: ANN401  # Dagster accepts any object as a resource
    """Return all definitions of the project.

    Args:
        overrides: Resources by name, in place of the default ones: ``build_defs(warehouse=WarehouseResource(...))``.

    Raises:
        AssetWithoutSchema: An asset could use the warehouse or the journal before its schema is upgraded.
        TradesByItself: A job, schedule or sensor could trade although no person armed a run.
    """
    warehouse = overrides.get("warehouse", WarehouseResource())
    resources = {
        "warehouse": warehouse,
        # The journal uses the warehouse's folder. If an override gives the warehouse another folder, the journal
        # is in that folder, too.
        "journal": JournalResource(data_dir=warehouse.data_dir),
        "exchange": ExchangeResource(),
    }
    definitions = dg.Definitions(
        assets=[
            *warehouse_schema.default_assets,
            *journal_schema.default_assets,
            *vendor_endpoints.default_assets,
            *market_assets.default_assets,
            *history_assets.default_assets,
            *contract_assets.default_assets,
            *news_assets.default_assets,
            *trading_assets.default_assets,
        ],
        asset_checks=[
            *warehouse_schema.default_checks,
            *journal_schema.default_checks,
            *contract_checks.default_checks,
            *market_checks.default_checks,
            *history_checks.default_checks,
            *news_checks.default_checks,
        ],
        jobs=[
            *automation.default_jobs,
            *schema_automation.default_jobs,
            *contract_automation.default_jobs,
            *market_automation.default_jobs,
            *history_automation.default_jobs,
            *news_automation.default_jobs,
            *trading_automation.default_jobs,
            *upkeep_automation.default_jobs,
        ],
        schedules=[
            *automation.default_schedules,
            *market_automation.default_schedules,
            *history_automation.default_schedules,
            *news_automation.default_schedules,
            *trading_automation.default_schedules,
            *upkeep_automation.default_schedules,
        ],
        sensors=[
            *schema_automation.default_sensors,
            *contract_automation.default_sensors,
            *trading_automation.default_sensors,
        ],
        resources=resources | overrides,
        executor=_executor(),
    )
    return require_by_hand(require_schema_upstream(definitions))


def _executor() -> dg.ExecutorDefinition:
    try:
        executor = Settings.from_environment().executor
    except InvalidSettings:
        # The definitions must load even with invalid settings. Each run then reports the invalid setting, also in the
        # UI.
        executor = Executor.IN_PROCESS
    if executor is Executor.MULTIPROCESS:
        return dg.multiprocess_executor
    return dg.in_process_executor


pipelines = build_defs()
