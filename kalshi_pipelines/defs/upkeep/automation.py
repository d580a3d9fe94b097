"""The job ``maintain``, which keeps warehouse, lake and Dagster's storage small, and its schedule."""

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

import dagster as dg
from pydantic import Field

from kalshi_pipelines.defs.failures import report_expected_failures
from kalshi_pipelines.defs.resources import JournalResource, WarehouseResource
from kalshi_pipelines.defs.schema.journal import require_configured_place
from kalshi_pipelines.defs.schema.requirement import WAREHOUSE_SCHEMA
from kalshi_pipelines.defs.schema.warehouse import warehouse_at_head
from kalshi_pipelines.defs.tables import text_table
from kalshi_pipelines.defs.upkeep.dagster_storage import remove_old_dagster_records
from kalshi_pipelines.execution.journal.reading.tickers import named_tickers
from kalshi_pipelines.units import now_us
from kalshi_pipelines.upkeep.inputs import Retention, UpkeepInputs
from kalshi_pipelines.upkeep.maintain import maintain as maintain_warehouse
from kalshi_pipelines.upkeep.maintain import require_complete
from kalshi_pipelines.upkeep.removals import Removal, UpkeepReport
from kalshi_pipelines.warehouse.space import space_of


class UpkeepConfig(dg.Config):
    """Run config of upkeep."""

    dry_run: bool = Field(
        True, description="Only report what would be removed, and change nothing. The schedule sets this to false."
    )


@dg.op(out={})
def keep_up(
    context: dg.OpExecutionContext, config: UpkeepConfig, warehouse: WarehouseResource, journal: JournalResource
) -> Iterator[dg.AssetObservation]:
    """Remove old rows from SQL, old backups, and old records of Dagster, or report what would be removed.

    Nothing leaves SQL for the lake before the lake's file is verified.
    """
    # With the journal of another folder, a market that is proposed on could leave.
    require_configured_place(context.run)
    with report_expected_failures(context.log):
        settings = warehouse.settings
        with warehouse_at_head(warehouse):
            inputs = UpkeepInputs(
                engine=warehouse.engine,
                lake=warehouse.lake,
                protected=lambda: named_tickers(journal.engine),
                old_folder=settings.resolved_lake_dir,
                backup_folder=settings.environment_dir,
                retention=Retention.from_settings(settings),
                now_us=now_us(),
                is_dry_run=config.dry_run,
                report=context.log.info,
            )
            report = maintain_warehouse(inputs)
    of_dagster = remove_old_dagster_records(
        context.instance,
        settings.keep_dagster_days,
        dt.datetime.now(dt.UTC),
        context.log.info,
        is_dry_run=config.dry_run,
    )
    report = UpkeepReport((*report.removals, *of_dagster), report.problems, config.dry_run)
    context.log.info(str(report))
    yield dg.AssetObservation(WAREHOUSE_SCHEMA, metadata=_metadata(report, warehouse))
    with report_expected_failures(context.log):
        require_complete(report)


def _metadata(report: UpkeepReport, warehouse: WarehouseResource) -> dict[str, Any]:
    space = space_of(warehouse.engine)
    columns = ("what", "would remove" if report.is_dry_run else "removed", "stays", "rule", "note")
    rows = [dict(zip(columns, _values(removal), strict=True)) for removal in report.removals]
    return {
        "upkeep": "dry run, nothing was changed" if report.is_dry_run else "done",
        "rows and files": text_table(columns, rows),
        "failed tasks": ", ".join(problem.task for problem in report.problems) or "none",
        **({"warehouse bytes": space.bytes, "warehouse free bytes": space.free_bytes} if space else {}),
    }


def _values(removal: Removal) -> tuple[str, ...]:
    return (removal.what, f"{removal.removed:,}", f"{removal.kept:,}", removal.rule, removal.note)


@dg.job(
    description="Keep the warehouse, the lake and Dagster's storage small. Started by hand, it only reports, unless "
    "`dry_run` is false in its run config.",
)
def maintain() -> None:
    """Do or rehearse the upkeep."""
    keep_up()


@dg.schedule(
    job=maintain,
    cron_schedule="0 5 * * *",
    execution_timezone="America/New_York",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Starts `maintain` for real at 05:00 New York time, after `nightly`.",
)
def maintain_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request one run of the job ``maintain`` for each night."""
    day = context.scheduled_execution_time.date().isoformat()
    return dg.RunRequest(run_key=day, run_config=dg.RunConfig(ops={keep_up.name: UpkeepConfig(dry_run=False)}))


default_jobs: Final[list[Any]] = [maintain]

default_schedules: Final = [maintain_schedule]
