"""Assets of history: one partition for each day that is over."""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg
import sqlalchemy as sa

from kalshi_pipelines.defs.contracts.endpoints import endpoint_key
from kalshi_pipelines.defs.history.reading import history_inputs, metadata_of
from kalshi_pipelines.defs.resources import ExchangeResource, WarehouseResource
from kalshi_pipelines.defs.schema.warehouse import warehouse_asset
from kalshi_pipelines.defs.tables import dataset_metadata, table_metadata
from kalshi_pipelines.history.backfill import run_backfill
from kalshi_pipelines.history.fees.recording import record_fee_schedule
from kalshi_pipelines.history.inputs import DayRead
from kalshi_pipelines.history.kinds import FIRST_DAY, KINDS, HistoryKind
from kalshi_pipelines.history.nightly import plan_upkeep
from kalshi_pipelines.history.requested import read_requested
from kalshi_pipelines.lake.datasets import CANDLESTICKS_1M, PUBLIC_TRADES
from kalshi_pipelines.warehouse.tables import fee_changes

GROUP: Final = "history"


def daily_partitions(kind: HistoryKind) -> dg.DailyPartitionsDefinition:
    """Return the partitions of a kind of history: its days that are over."""
    # Without a backfill policy, Dagster starts one run for each partition, as `BackfillPolicy.multi_run` does. The
    # parameter itself is beta in Dagster 1.13, and each start of a program would warn of that.
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

    A run of a partition makes the day in the lake exactly the day of the exchange. `docs/history.md` shows how to
    backfill a range. The job `history` adds new days every night.
    """
    reads = list(read_partitions(context, warehouse, exchange, KINDS["public_trades"]))
    return dg.MaterializeResult(metadata=metadata_of(reads))


@warehouse_asset(
    group_name=GROUP,
    kinds={"kalshi", "parquet"},
    deps=[
        # A New York day needs the public trades of two UTC days, and the second one may not be over. The reader checks
        # that they are in the lake.
        dg.AssetDep(public_trades, partition_mapping=dg.AllPartitionMapping()),
        endpoint_key("GET /series/{series_ticker}/markets/{ticker}/candlesticks"),
    ],
    partitions_def=daily_partitions(KINDS["candlesticks"]),
    metadata=dataset_metadata(CANDLESTICKS_1M),
)
def candlesticks(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, exchange: ExchangeResource
) -> dg.MaterializeResult[Any]:
    """Candlesticks of one minute, one hour and one day, by New York day, of the markets that were traded on the day.

    They are the datasets `candlesticks_1m`, `candlesticks_1h` and `candlesticks_1d`, which have the same columns.
    With `KALSHI_CANDLES_OF=open`, all markets that were open on the day are read. The public trades of the day must be
    read before.

    A run of a partition makes the day in the lake exactly the day of the exchange. The job `history` adds new days
    every night. Markets that were traded, but for which the exchange has no candlesticks, are listed as not served.
    """
    reads = list(read_partitions(context, warehouse, exchange, KINDS["candlesticks"]))
    return dg.MaterializeResult(metadata=metadata_of(reads))


@warehouse_asset(
    group_name=GROUP,
    kinds={"kalshi"},
    deps=["series", "events", endpoint_key("GET /series/fee_changes"), endpoint_key("GET /events/fee_changes")],
    metadata=table_metadata(fee_changes),
)
def fee_schedule(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, exchange: ExchangeResource
) -> dg.MaterializeResult[Any]:
    """Fee changes of series and events as a step function of time, so that a trade has the fees of its own moment.

    A change that the exchange moved or withdrew keeps its row. The job `history` reads them every night.
    """
    with history_inputs(context, warehouse, exchange) as inputs:
        recorded = record_fee_schedule(inputs.client, inputs.engine)
    return dg.MaterializeResult(metadata={"dagster/row_count": _rows(warehouse), **vars(recorded)})


def _rows(warehouse: WarehouseResource) -> int:
    with warehouse.engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(fee_changes)) or 0


default_assets: Final = [public_trades, candlesticks, fee_schedule]
