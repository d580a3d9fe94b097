"""Assets of history: one partition for each day that is over."""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg

from kalshi_pipelines.defs.contracts.endpoints import endpoint_key
from kalshi_pipelines.defs.history.reading import history_inputs, metadata_of, summary_of
from kalshi_pipelines.defs.resources import ExchangeResource, WarehouseResource
from kalshi_pipelines.defs.schema.warehouse import warehouse_asset
from kalshi_pipelines.defs.tables import dataset_metadata
from kalshi_pipelines.history.backfill import run_backfill
from kalshi_pipelines.history.inputs import DayRead
from kalshi_pipelines.history.kinds import FIRST_DAY, KINDS, HistoryKind
from kalshi_pipelines.history.nightly import plan_upkeep
from kalshi_pipelines.history.requested import read_requested
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES

GROUP: Final = "history"


def daily_partitions(kind: HistoryKind) -> dg.DailyPartitionsDefinition:
    """Return the partitions of a kind of history: its days that are over."""
    return dg.DailyPartitionsDefinition(start_date=FIRST_DAY.isoformat(), timezone=kind.zone.key)


def read_partitions(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, exchange: ExchangeResource, kind: HistoryKind
) -> Iterator[DayRead]:
    """Read the partitions of the run; without a partition, take what is new."""
    with history_inputs(context, warehouse, exchange) as inputs:
        if context.has_partition_key or context.has_partition_key_range:
            yield from read_requested(inputs, kind, context.partition_keys)
        else:
            yield from run_backfill(inputs, plan_upkeep(inputs, [kind], workers=1))


@warehouse_asset(
    group_name=GROUP,
    kinds={"kalshi", "parquet"},
    deps=[endpoint_key("GET /markets/trades"), endpoint_key("GET /historical/trades")],
    partitions_def=daily_partitions(KINDS["public_trades"]),
    metadata=dataset_metadata(PUBLIC_TRADES),
)
def public_trades(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, exchange: ExchangeResource
) -> dg.MaterializeResult[Any]:
    """Every public trade of the exchange, by UTC day, with block trades and combos marked.

    A run of a partition makes the day in the lake exactly the day of the exchange. A run without a partition takes what
    is new.
    """
    reads = list(read_partitions(context, warehouse, exchange, KINDS["public_trades"]))
    return dg.MaterializeResult(metadata=metadata_of(reads[0]) if len(reads) == 1 else summary_of(reads))


default_assets: Final = [public_trades]
