"""The warehouse's schema as an asset, and ``@warehouse_asset``, which every asset of the warehouse must use."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import dagster as dg

from kalshi_pipelines.defs.failures import report_expected_failures
from kalshi_pipelines.defs.resources import WarehouseResource
from kalshi_pipelines.defs.schema.requirement import (
    MIGRATE_JOB,
    OWNERS,
    READS_EXCHANGE,
    WAREHOUSE_SCHEMA,
    Body,
    guarded,
    guarded_asset,
)
from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.settings import InvalidSettings, Settings
from kalshi_pipelines.units import now_us
from kalshi_pipelines.upkeep.moving import HistoryMove, has_history_to_move, move_history
from kalshi_pipelines.warehouse.adoption.report import AdoptionReport
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable, explain_failures, place_of
from kalshi_pipelines.warehouse.inspection import CannotBeUpgraded
from kalshi_pipelines.warehouse.migrations import MIGRATE_COMMAND, require_head
from kalshi_pipelines.warehouse.upgrade import UpgradeReport, inspect_database, migrate

AT_HEAD: Final = "at_head"


# Dagster does not let an op and a job share a name, and users already type the job's name, `migrate`.
@dg.op(name="migrate_to_head")
def migrate_schema(context: dg.OpExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult[Any]:
    """Upgrade the warehouse to the schema of this code. Does nothing if the warehouse has that schema."""
    report, moved = _upgrade(context, warehouse)
    return dg.MaterializeResult(
        metadata={
            "before": str(report.before),
            "after": report.after,
            "applied": ", ".join(report.applied) or "nothing to do",
            "database": report.place,
            "backup": str(report.backup or "none"),
            "history moved to the lake": moved,
            **_adoption_metadata(report.adoption),
        },
        data_version=dg.DataVersion(report.after),
    )


@dg.op(out=dg.Out(dg.Nothing))
def migrate_first(context: dg.OpExecutionContext, warehouse: WarehouseResource) -> None:
    """Upgrade the warehouse before the other ops of a job that has no assets."""
    _upgrade(context, warehouse)


def _upgrade(context: dg.OpExecutionContext, warehouse: WarehouseResource) -> tuple[UpgradeReport, str]:
    with report_expected_failures(context.log):
        settings = warehouse.settings
        report = migrate(warehouse.engine, settings.environment, context.log.info, settings.adopt_database)
        context.log.info(str(report))
        return report, _move_history(context, warehouse)


def _move_history(context: dg.OpExecutionContext, warehouse: WarehouseResource) -> str:
    """Move the history that an older version kept in SQL to the lake, and return a sentence about it.

    The move can take hours, so runs that do not read the exchange, such as those of trading, leave it to other runs.
    Apart from `migrate`, a run goes on if the move fails.
    """
    with explain_failures(warehouse.engine):
        if not has_history_to_move(warehouse.engine):
            return "nothing to do"
    settings = warehouse.settings
    if context.job_name == MIGRATE_JOB:
        moved = _move(context, warehouse, settings)
    elif READS_EXCHANGE.items() <= context.run.tags.items():
        try:
            moved = _move(context, warehouse, settings)
        except ExpectedError as error:
            context.log.warning(f"History stays in SQL for now. {error}")
            return f"not yet: {error}"
    else:
        return f"not yet: run `{MIGRATE_COMMAND}`"
    context.log.info(str(moved))
    return str(moved)


def _move(context: dg.OpExecutionContext, warehouse: WarehouseResource, settings: Settings) -> HistoryMove | None:
    with explain_failures(warehouse.engine):
        return move_history(
            warehouse.engine,
            warehouse.lake,
            settings.resolved_lake_dir,
            settings.keep_days,
            now_us(),
            context.log.info,
        )


def _adoption_metadata(adoption: AdoptionReport | None) -> dict[str, dg.TableMetadataValue]:
    if adoption is None:
        return {}
    records = [
        dg.TableRecord(
            {
                "table": table.name,
                "read": table.read,
                "kept": table.kept,
                "normalised": table.normalised,
                "quarantined": table.quarantined,
            }
        )
        for table in (*adoption.tables, adoption.total)
    ]
    return {"adopted": dg.MetadataValue.table(records)}


@dg.graph_asset(
    name=WAREHOUSE_SCHEMA.path[-1],
    group_name="warehouse",
    kinds={"alembic", "sql"},
    owners=OWNERS,
)
def warehouse_schema() -> dg.MaterializeResult[Any]:
    """The tables of the warehouse. Every asset runs after `warehouse_schema`, which upgrades the database first."""
    migrated: dg.MaterializeResult[Any] = migrate_schema()
    return migrated


@dg.asset_check(asset=WAREHOUSE_SCHEMA, name=AT_HEAD, blocking=True)
def at_head(warehouse: WarehouseResource) -> dg.AssetCheckResult:
    """Passes if the warehouse has the schema that this code needs."""
    passed, sentence = look_at_schema(warehouse)
    return dg.AssetCheckResult(passed=passed, description=sentence, severity=dg.AssetCheckSeverity.ERROR)


def look_at_schema(warehouse: WarehouseResource) -> tuple[bool, str]:
    """Return whether the warehouse has the schema of this code, and a sentence that names the warehouse's schema."""
    try:
        found = inspect_database(warehouse.engine)
    except (CannotBeUpgraded, InvalidSettings, WarehouseUnavailable) as error:
        return False, str(error)
    place = place_of(warehouse.engine)
    return found.at_head, f"{place} is at {found}" + ("" if found.at_head else f": run `{MIGRATE_COMMAND}`")


def warehouse_asset(**options: Any) -> Callable[[Body], dg.AssetsDefinition]:  # noqa: ANN401
    """Return ``@dg.asset`` for an asset that uses the warehouse.

    The asset runs after the warehouse's schema is upgraded. It fails if the warehouse does not have the schema of this
    code. The decorated function takes the context and a resource named ``warehouse``, and returns one result.
    """
    return guarded_asset([WAREHOUSE_SCHEMA], "warehouse", _warehouse_guard, **options)


def warehouse_multi_asset(
    specs: list[dg.AssetSpec],
    **options: Any,  # noqa: ANN401
) -> Callable[[Body], dg.AssetsDefinition]:
    """Return a decorator like ``@warehouse_asset``, for one function that materializes several assets.

    The decorated function returns a tuple with one result for each asset.
    """
    specs = [spec.merge_attributes(deps=[WAREHOUSE_SCHEMA], owners=OWNERS) for spec in specs]

    def decorate(body: Body) -> dg.AssetsDefinition:
        return dg.multi_asset(specs=specs, **options)(guarded("warehouse", _warehouse_guard, body))

    return decorate


@contextmanager
def _warehouse_guard(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[None]:
    with report_expected_failures(context.log), warehouse_at_head(warehouse):
        yield


@contextmanager
def warehouse_at_head(warehouse: WarehouseResource) -> Iterator[None]:
    """Run the block only if the warehouse has the schema of this code.

    Raises:
        SchemaNotAtHead: The schema is older or newer than this code.
        WarehouseUnavailable: The database cannot be opened, or failed inside the block.
    """
    with explain_failures(warehouse.engine):
        require_head(warehouse.engine)
        yield


default_assets: Final = [warehouse_schema]
default_checks: Final = [at_head]
