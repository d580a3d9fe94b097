"""Reading history inside a Dagster run: the inputs, the progress in the run log, and the days as materializations."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import dagster as dg

from kalshi_pipelines.defs.failures import report_expected_failures
from kalshi_pipelines.defs.resources import ExchangeResource, WarehouseResource
from kalshi_pipelines.defs.schema.warehouse import warehouse_at_head
from kalshi_pipelines.defs.tables import text_table
from kalshi_pipelines.history.inputs import DayRead, HistoryInputs, work_folder_of
from kalshi_pipelines.history.proof.reports import REPORTS_URL
from kalshi_pipelines.settings import CandlesOf, Environment

_MOST_HOLES: Final = 50
_DATASET_COLUMNS: Final = ("dataset", "rows", "holes", "status", "content_sha256")
_PROD: Final = Environment.PROD
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
            daily_reports_url=REPORTS_URL if settings.daily_reports and settings.environment is _PROD else None,
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


def metadata_of(reads: Sequence[DayRead]) -> dict[str, Any]:
    """Return the metadata of a materialization: those of a day and its datasets, or a summary of several days."""
    return _day_metadata(reads) if len({read.day for read in reads}) == 1 else _summary_of(reads)


def _day_metadata(reads: Sequence[DayRead]) -> dict[str, Any]:
    """Return the metadata of one day. Several datasets are summed up, and each has a row in a table."""
    holes = [f"{read.dataset}: {hole}" if len(reads) > 1 else hole for read in reads for hole in read.holes]
    metadata: dict[str, Any] = {
        "dagster/partition_row_count": sum(read.rows for read in reads),
        "rows_added": sum(read.added for read in reads),
        "rows_removed": sum(read.removed for read in reads),
        "rows_changed": sum(read.changed for read in reads),
        "records_rejected": sum(read.refused for read in reads),
        "holes": len(holes),
        "status": _status_of(reads),
        "reopened_by_late_rows": any(read.is_reopened for read in reads),
        "seconds": round(sum(read.seconds for read in reads), 3),
    }
    if len(reads) > 1:
        metadata["datasets"] = text_table(_DATASET_COLUMNS, [_dataset_row(read) for read in reads])
    elif reads[0].content_sha256 is not None:
        metadata["content_sha256"] = reads[0].content_sha256
    if holes:
        metadata["hole_list"] = "\n".join(holes[:_MOST_HOLES])
    return metadata


def _status_of(reads: Sequence[DayRead]) -> str:
    return "closed" if all(read.is_closed for read in reads) else "open"


def _dataset_row(read: DayRead) -> dict[str, str]:
    values = (
        read.dataset,
        f"{read.rows:,}",
        str(len(read.holes)),
        _status_of([read]),
        read.content_sha256 or "no file",
    )
    return dict(zip(_DATASET_COLUMNS, values, strict=True))


def _summary_of(reads: Sequence[DayRead]) -> dict[str, Any]:
    """Return the metadata of a run that read several days, or none."""
    return {
        "days": len({read.day for read in reads}),
        "rows": sum(read.rows for read in reads),
        "rows_added": sum(read.added for read in reads),
        "records_rejected": sum(read.refused for read in reads),
        "holes": sum(len(read.holes) for read in reads),
        "days_reopened": ", ".join(sorted({str(read.day) for read in reads if read.is_reopened})) or "none",
    }
