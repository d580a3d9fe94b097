"""Reading history inside a Dagster run: the inputs, the progress in the run log, and the days as materializations."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import dagster as dg

from kalshi_pipelines.defs.failures import report_expected_failures
from kalshi_pipelines.defs.resources import ExchangeResource, WarehouseResource
from kalshi_pipelines.defs.schema.warehouse import warehouse_at_head
from kalshi_pipelines.history.inputs import DayRead, HistoryInputs, work_folder_of
from kalshi_pipelines.settings import CandlesOf

_MOST_HOLES: Final = 50
#: A day of a partitioned asset, or several datasets of it.
Context = dg.AssetExecutionContext | dg.OpExecutionContext | dg.AssetCheckExecutionContext


@contextmanager
def history_inputs(
    context: Context, warehouse: WarehouseResource, exchange: ExchangeResource
) -> Iterator[HistoryInputs]:
    """Open the exchange, and yield the inputs of reads that report to the run log."""
    settings = warehouse.settings
    with exchange.client(warehouse.engine) as client:
        yield HistoryInputs(
            client,
            warehouse.engine,
            warehouse.lake,
            settings.environment,
            work_folder_of(settings),
            dagster_run_id=context.run.run_id,
            report=context.log.info,
            includes_combos=settings.include_combos,
            includes_untraded=settings.candles_of is CandlesOf.OPEN,
        )


@contextmanager
def guarded_history_inputs(
    context: dg.OpExecutionContext, warehouse: WarehouseResource, exchange: ExchangeResource
) -> Iterator[HistoryInputs]:
    """Yield the inputs for an op. Assets have the guard of ``warehouse_asset`` around them already."""
    with (
        report_expected_failures(context.log),
        warehouse_at_head(warehouse),
        history_inputs(context, warehouse, exchange) as inputs,
    ):
        yield inputs


def metadata_of(read: DayRead) -> dict[str, Any]:
    """Return the metadata of the materialization of a day."""
    metadata: dict[str, Any] = {
        "dagster/partition_row_count": read.rows,
        "rows_added": read.added,
        "rows_removed": read.removed,
        "rows_changed": read.changed,
        "records_rejected": read.refused,
        "holes": len(read.holes),
        "status": "closed" if read.is_closed else "open",
        "reopened_by_late_rows": read.is_reopened,
        "seconds": round(read.seconds, 3),
    }
    if read.content_sha256 is not None:
        metadata["content_sha256"] = read.content_sha256
    if read.holes:
        metadata["hole_list"] = "\n".join(read.holes[:_MOST_HOLES])
    return metadata


def summary_of(reads: Sequence[DayRead]) -> dict[str, Any]:
    """Return the metadata of a run that read several days."""
    return {
        "days": len(reads),
        "rows": sum(read.rows for read in reads),
        "rows_added": sum(read.added for read in reads),
        "records_rejected": sum(read.refused for read in reads),
        "holes": sum(len(read.holes) for read in reads),
        "days_reopened": ", ".join(str(read.day) for read in reads if read.is_reopened) or "none",
    }
