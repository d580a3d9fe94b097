"""Jobs that upgrade the schemas or rehearse the upgrade, and the sensor that watches the warehouse's schema."""

from typing import Any, Final

import dagster as dg

from kalshi_pipelines.defs.failures import report_expected_failures
from kalshi_pipelines.defs.resources import WarehouseResource
from kalshi_pipelines.defs.schema.requirement import JOURNAL_SCHEMA, MIGRATE_JOB, WAREHOUSE_SCHEMA
from kalshi_pipelines.defs.schema.warehouse import AT_HEAD, look_at_schema
from kalshi_pipelines.warehouse.upgrade import rehearse, write_changed_rows

_SENSOR_SECONDS: Final = 600

_MOST_ROWS_LOGGED: Final = 200

migrate_job: Final = dg.define_asset_job(
    MIGRATE_JOB,
    selection=dg.AssetSelection.assets(WAREHOUSE_SCHEMA, JOURNAL_SCHEMA),
    description="Upgrade the warehouse and the journal of orders to the schema of this code.",
)


@dg.op
def rehearse_migration(context: dg.OpExecutionContext, warehouse: WarehouseResource) -> None:
    """Log what `migrate` would do, with every row that would change, and change nothing."""
    with report_expected_failures(context.log):
        settings = warehouse.settings
        file = settings.environment_dir / "migrate-dry-run.csv"
        with rehearse(warehouse.engine, settings.environment, settings.adopt_database) as rehearsal:
            context.log.info(f"Dry run, nothing is changed. {rehearsal.report}")
            rows = write_changed_rows(rehearsal.changed_rows, file, context.log.info, _MOST_ROWS_LOGGED)
    context.log.info(f"{rows:,} rows would be changed, quarantined or noted. The full list is in {file}")


@dg.job(description="Report what `migrate` would do, row by row, and change nothing.")
def migrate_dry_run() -> None:
    """Rehearse the upgrade on a copy of the SQLite file, or in a Postgres transaction that is rolled back."""
    rehearse_migration()


@dg.sensor(
    minimum_interval_seconds=_SENSOR_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Shows on the asset `warehouse_schema` whether the database has the schema of this code. Needs no run.",
)
def schema_sensor(context: dg.SensorEvaluationContext, warehouse: WarehouseResource) -> dg.SensorResult:
    """Report the state of the warehouse's schema if it changed since the last tick."""
    passed, sentence = look_at_schema(warehouse)
    if context.cursor == sentence:
        return dg.SensorResult(skip_reason=sentence)
    seen = dg.AssetCheckEvaluation(
        asset_key=WAREHOUSE_SCHEMA,
        check_name=AT_HEAD,
        passed=passed,
        description=sentence,
        severity=dg.AssetCheckSeverity.ERROR,
    )
    return dg.SensorResult(asset_events=[seen], cursor=sentence)


default_jobs: Final[list[Any]] = [migrate_job, migrate_dry_run]

default_sensors: Final = [schema_sensor]
