"""The schema of the warehouse as an asset, and ``@warehouse_asset``: the only way to define an asset that needs it."""

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Final

import dagster as dg

from kalshi_pipelines.defs.failures import one_sentence
from kalshi_pipelines.defs.resources import WarehouseResource
from kalshi_pipelines.settings import InvalidSettings
from kalshi_pipelines.warehouse.adoption.report import AdoptionReport
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable, explained_failures, place_of
from kalshi_pipelines.warehouse.inspection import CanNotBeUpgraded
from kalshi_pipelines.warehouse.migrations import MIGRATE_COMMAND, require_head
from kalshi_pipelines.warehouse.upgrade import found_in, migrate, rehearsed, write_changed_rows

WAREHOUSE_SCHEMA: Final = dg.AssetKey("warehouse_schema")
#: The job that changes schemas; every other one only makes sure of them.
MIGRATE_JOB: Final = "migrate"
JOURNAL_SCHEMA: Final = dg.AssetKey("journal_schema")
#: What has to be at head before an asset may use a resource of that name.
SCHEMA_OF: Final = {"warehouse": WAREHOUSE_SCHEMA, "journal": JOURNAL_SCHEMA}
OWNERS: Final = ["team:data"]
_AT_HEAD: Final = "at_head"
_SECONDS_BETWEEN_LOOKS: Final = 600
_MOST_ROWS_LOGGED: Final = 200

Body = Callable[..., Any]


class AssetWithoutSchema(Exception):
    """An asset uses the warehouse or the journal but does not wait for its schema."""


# Dagster wants the names of ops and jobs to differ, and users call the job `migrate`.
@dg.op(name="migrate_to_head")
def migrate_schema(context: dg.OpExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult[Any]:
    """Bring the warehouse to the newest schema; does nothing when it is there already."""
    with one_sentence(context.log):
        settings = warehouse.settings
        report = migrate(warehouse.engine, settings.environment, context.log.info, settings.adopt_database)
    context.log.info(str(report))
    return dg.MaterializeResult(
        metadata={
            "before": str(report.before),
            "after": report.after,
            "applied": ", ".join(report.applied) or "nothing to do",
            "database": report.place,
            "backup": str(report.backup or "none"),
            **_adoption_metadata(report.adoption),
        },
        data_version=dg.DataVersion(report.after),
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


@dg.op
def rehearse_migration(context: dg.OpExecutionContext, warehouse: WarehouseResource) -> None:
    """Tell what `migrate` would do, row by row where rows would change, and change nothing."""
    with one_sentence(context.log):
        settings = warehouse.settings
        file = settings.environment_dir / "migrate-dry-run.csv"
        with rehearsed(warehouse.engine, settings.environment, settings.adopt_database) as rehearsal:
            context.log.info(f"dry run, nothing is changed: {rehearsal.report}")
            rows = write_changed_rows(rehearsal.changed_rows, file, context.log.info, _MOST_ROWS_LOGGED)
    context.log.info(f"{rows:,} rows would be changed, quarantined or noted; all of them: {file}")


@dg.job(description="What `migrate` would do, row by row, without doing it.")
def migrate_dry_run() -> None:
    """Run the upgrade on a copy (SQLite) or in a transaction that is rolled back (Postgres)."""
    rehearse_migration()


@dg.graph_asset(
    name=WAREHOUSE_SCHEMA.path[-1],
    group_name="warehouse",
    kinds={"alembic", "sql"},
    owners=OWNERS,
)
def warehouse_schema() -> dg.MaterializeResult[Any]:
    """The warehouse's tables at the newest migration: upstream of everything that reads or writes them."""
    migrated: dg.MaterializeResult[Any] = migrate_schema()
    return migrated


@dg.asset_check(asset=WAREHOUSE_SCHEMA, name=_AT_HEAD, blocking=True)
def at_head(warehouse: WarehouseResource) -> dg.AssetCheckResult:
    """Whether the database has the schema this code needs."""
    passed, sentence = _looked_at(warehouse)
    return dg.AssetCheckResult(passed=passed, description=sentence, severity=dg.AssetCheckSeverity.ERROR)


@dg.sensor(minimum_interval_seconds=_SECONDS_BETWEEN_LOOKS, default_status=dg.DefaultSensorStatus.RUNNING)
def schema_sensor(context: dg.SensorEvaluationContext, warehouse: WarehouseResource) -> dg.SensorResult:
    """Shows a database that is not at the schema of this code on the asset `warehouse_schema`, without a run."""
    passed, sentence = _looked_at(warehouse)
    if context.cursor == sentence:
        return dg.SensorResult(skip_reason=sentence)
    seen = dg.AssetCheckEvaluation(
        asset_key=WAREHOUSE_SCHEMA,
        check_name=_AT_HEAD,
        passed=passed,
        description=sentence,
        severity=dg.AssetCheckSeverity.ERROR,
    )
    return dg.SensorResult(asset_events=[seen], cursor=sentence)


def _looked_at(warehouse: WarehouseResource) -> tuple[bool, str]:
    try:
        found = found_in(warehouse.engine)
    except (CanNotBeUpgraded, InvalidSettings, WarehouseUnavailable) as error:
        return False, str(error)
    place = place_of(warehouse.engine)
    return found.at_head, f"{place} is at {found}" + ("" if found.at_head else f": run `{MIGRATE_COMMAND}`")


def warehouse_asset(**options: Any) -> Callable[[Body], dg.AssetsDefinition]:  # noqa: ANN401
    """``@dg.asset`` for an asset that uses the warehouse: waits for the schema and refuses to run without it.

    The body takes the context and a resource named ``warehouse`` and returns a result.
    """
    deps = [WAREHOUSE_SCHEMA, *options.pop("deps", [])]

    def decorate(body: Body) -> dg.AssetsDefinition:
        asset: dg.AssetsDefinition = dg.asset(deps=deps, owners=OWNERS, **options)(_guarded(body))
        return asset

    return decorate


def warehouse_multi_asset(
    specs: list[dg.AssetSpec],
    **options: Any,  # noqa: ANN401
) -> Callable[[Body], dg.AssetsDefinition]:
    """``@warehouse_asset`` for a body that makes several assets in one pass and returns a tuple of results."""
    specs = [spec.merge_attributes(deps=[WAREHOUSE_SCHEMA], owners=OWNERS) for spec in specs]

    def decorate(body: Body) -> dg.AssetsDefinition:
        return dg.multi_asset(specs=specs, **options)(_guarded(body))

    return decorate


def _guarded(body: Body) -> Body:
    @wraps(body)
    def guarded(
        context: dg.AssetExecutionContext,
        warehouse: WarehouseResource,
        **resources: Any,  # noqa: ANN401
    ) -> Iterator[Any]:
        with one_sentence(context.log), explained_failures(warehouse.engine):
            require_head(warehouse.engine)
            result = body(context, warehouse=warehouse, **resources)
        yield from [result] if isinstance(result, dg.MaterializeResult) else result

    return guarded


def require_schema_upstream(definitions: dg.Definitions) -> dg.Definitions:
    """The definitions, once it is certain that every asset with a database really waits for its schema.

    The arrow in the graph is not enough: a dependency that was added to the spec from outside is drawn, but the step
    does not wait for it. So the inputs of the step are looked at.

    Raises:
        AssetWithoutSchema: Names the assets that do not.
    """
    unguarded = [
        f"{key.to_user_string()} would not wait for {schema.to_user_string()}: define it with @{resource}_asset"
        for asset in definitions.resolve_asset_graph().assets_defs
        for resource, schema in SCHEMA_OF.items()
        if resource in asset.required_resource_keys
        and schema not in asset.keys
        and schema not in asset.keys_by_input_name.values()
        for key in asset.keys
    ]
    if unguarded:
        raise AssetWithoutSchema("; ".join(sorted(unguarded)))
    return definitions


default_assets: Final = [warehouse_schema]
default_checks: Final = [at_head]
default_jobs: Final = [migrate_dry_run]
default_sensors: Final = [schema_sensor]
