"""The front door: everything Dagster shows, assembled once."""

from typing import Any

import dagster as dg

from kalshi_pipelines.defs import automation
from kalshi_pipelines.defs.contracts import assets as vendor_endpoints
from kalshi_pipelines.defs.contracts import checks as contracts
from kalshi_pipelines.defs.market_data import assets as market_data
from kalshi_pipelines.defs.news import assets as news
from kalshi_pipelines.defs.resources import ExchangeResource, JournalResource, WarehouseResource
from kalshi_pipelines.defs.schema import journal
from kalshi_pipelines.defs.schema import warehouse as schema
from kalshi_pipelines.defs.trading import assets as trading
from kalshi_pipelines.settings import Executor, InvalidSettings, Settings


def build_defs(**overrides: Any) -> dg.Definitions:  # noqa: ANN401  # Dagster accepts any object as a resource
    """All definitions. A keyword replaces the resource of that name: ``build_defs(warehouse=WarehouseResource(...))``.

    Raises:
        AssetWithoutSchema: An asset could reach the warehouse or the journal before its schema is at head.
        TradesByItself: Something could trade that no person armed.
    """
    warehouse = overrides.get("warehouse", WarehouseResource())
    resources = {
        "warehouse": warehouse,
        # Beside the warehouse: a run that was given a folder writes nothing elsewhere.
        "journal": JournalResource(data_dir=warehouse.data_dir),
        "exchange": ExchangeResource(),
    }
    definitions = dg.Definitions(
        assets=[
            *schema.default_assets,
            *journal.default_assets,
            *vendor_endpoints.default_assets,
            *market_data.default_assets,
            *contracts.default_assets,
            *news.default_assets,
            *trading.default_assets,
        ],
        asset_checks=[*schema.default_checks, *journal.default_checks, *contracts.default_checks, *news.default_checks],
        jobs=[
            *automation.default_jobs,
            *schema.default_jobs,
            *contracts.default_jobs,
            *news.default_jobs,
            *trading.default_jobs,
        ],
        schedules=[*automation.default_schedules, *news.default_schedules, *trading.default_schedules],
        sensors=[*schema.default_sensors, *contracts.default_sensors, *trading.default_sensors],
        resources=resources | overrides,
        executor=_executor(),
    )
    return trading.require_by_hand(schema.require_schema_upstream(definitions))


def _executor() -> dg.ExecutorDefinition:
    try:
        executor = Settings.from_environment().executor
    except InvalidSettings:
        # The definitions must load for the run to say what is wrong, in the UI too.
        executor = Executor.IN_PROCESS
    if executor is Executor.MULTIPROCESS:
        return dg.multiprocess_executor
    return dg.in_process_executor


pipelines = build_defs()
