"""Assets of market data: the exchange's series, events and markets, its quotes and its orderbooks."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import dagster as dg
import sqlalchemy as sa
from pydantic import Field

from kalshi_pipelines.defs.contracts.endpoints import endpoint_key
from kalshi_pipelines.defs.market_data.metadata import ProgressLog, export_metadata, ingest_metadata
from kalshi_pipelines.defs.resources import ExchangeResource, WarehouseResource
from kalshi_pipelines.defs.schema.warehouse import warehouse_asset, warehouse_multi_asset
from kalshi_pipelines.defs.tables import table_metadata
from kalshi_pipelines.ingest.lake_export import ingest_and_export_markets, ingest_and_export_orderbooks
from kalshi_pipelines.ingest.sweeps import ALL_STATUSES, IngestInputs, ingest_events, ingest_named_series, ingest_series
from kalshi_pipelines.kalshi.client import MarketStatusFilter
from kalshi_pipelines.warehouse import tables

GROUP: Final = "market_data"
DAILY: Final = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=26), fail_window=timedelta(hours=36))
_SQL: Final = {"kalshi", "sql"}
_SQL_AND_LAKE: Final = {"kalshi", "sql", "parquet"}


@contextmanager
def _source(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, exchange: ExchangeResource
) -> Iterator[IngestInputs]:
    settings = warehouse.settings
    with exchange.client(warehouse.engine) as client:
        yield IngestInputs(
            client,
            warehouse.engine,
            settings.environment,
            include_combos=settings.include_combos,
            settled_lookback_hours=settings.resolved_settled_lookback_hours,
            dagster_run_id=context.run.run_id,
            report=ProgressLog(context.log),
        )


@warehouse_asset(
    group_name=GROUP,
    kinds=_SQL,
    deps=[endpoint_key("GET /series")],
    metadata=table_metadata(tables.series),
    freshness_policy=DAILY,
)
def series(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, exchange: ExchangeResource
) -> dg.MaterializeResult[Any]:
    """All series of the exchange. A series is a family of events that share rules, fees and settlement sources."""
    with _source(context, warehouse, exchange) as source:
        done = ingest_series(source)
    return dg.MaterializeResult(metadata=ingest_metadata(warehouse.engine, tables.series, done))


@warehouse_asset(
    group_name=GROUP,
    kinds=_SQL,
    deps=[series, endpoint_key("GET /events"), endpoint_key("GET /events/multivariate")],
    metadata=table_metadata(tables.events),
    freshness_policy=DAILY,
)
def events(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, exchange: ExchangeResource
) -> dg.MaterializeResult[Any]:
    """All events of the exchange. An event is a question with one or more markets on its outcomes."""
    with _source(context, warehouse, exchange) as source:
        done = ingest_events(source)
        ingest_named_series(source)
    return dg.MaterializeResult(metadata=ingest_metadata(warehouse.engine, tables.events, done))


class MarketSweeps(dg.Config):
    """Run config: the statuses of the markets to read."""

    statuses: list[str] = Field(
        list(ALL_STATUSES),
        description="Statuses of the markets to read: unopened, open, paused, closed, settled. Order does not matter.",
    )


def _read_with_markets(table: sa.Table, kinds: set[str], description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        deps=[events, endpoint_key("GET /markets")],
        group_name=GROUP,
        kinds=kinds,
        description=description,
        metadata=table_metadata(table),
        freshness_policy=DAILY,
        skippable=True,
    )


@warehouse_multi_asset(
    specs=[
        _read_with_markets(
            tables.markets, _SQL, "All markets of the exchange, each with its rules, strikes, times, status and result."
        ),
        _read_with_markets(tables.quotes, _SQL, "The newest quote of each market, and when we saw it."),
        _read_with_markets(
            tables.price_snapshots,
            _SQL_AND_LAKE,
            "History of quotes. One row each time a quote changed, with the time we saw it.",
        ),
        _read_with_markets(tables.settlements, _SQL, "Outcomes of finalized markets, with the payouts of both sides."),
    ],
    can_subset=True,
)
def markets_and_quotes(
    context: dg.AssetExecutionContext,
    config: MarketSweeps,
    warehouse: WarehouseResource,
    exchange: ExchangeResource,
) -> tuple[dg.MaterializeResult[Any], ...]:
    """Read the markets once, and store their facts, their quotes, the changes of their quotes and their settlements."""
    source = _source(context, warehouse, exchange)
    done, published = ingest_and_export_markets(source, warehouse.engine, warehouse.lake, _statuses(config))
    made = {
        table.name: ingest_metadata(warehouse.engine, table, done)
        for table in (tables.markets, tables.quotes, tables.settlements)
    }
    made["price_snapshots"] = export_metadata(warehouse.engine, tables.price_snapshots, done, published)
    return tuple(
        dg.MaterializeResult(asset_key=key, metadata=made[key.to_user_string()]) for key in context.selected_asset_keys
    )


@warehouse_asset(
    group_name=GROUP,
    kinds=_SQL_AND_LAKE,
    deps=["markets", endpoint_key("GET /markets/orderbooks")],
    metadata=table_metadata(tables.orderbooks),
    freshness_policy=DAILY,
)
def orderbooks(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, exchange: ExchangeResource
) -> dg.MaterializeResult[Any]:
    """Resting bids of every active market, as last read. Each changed book also becomes a row of the history."""
    source = _source(context, warehouse, exchange)
    done, published = ingest_and_export_orderbooks(source, warehouse.engine, warehouse.lake)
    return dg.MaterializeResult(metadata=export_metadata(warehouse.engine, tables.orderbooks, done, published))


def _statuses(config: MarketSweeps) -> list[MarketStatusFilter]:
    unknown = set(config.statuses) - set(ALL_STATUSES)
    if unknown:
        raise dg.Failure(
            f"The run config asks for statuses that do not exist: {', '.join(sorted(unknown))}. "
            f"Choose from {', '.join(ALL_STATUSES)}.",
            allow_retries=False,
        )
    return [status for status in ALL_STATUSES if status in config.statuses]


default_assets: Final = [series, events, markets_and_quotes, orderbooks]
