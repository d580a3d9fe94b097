"""The journal's schema as an asset, and ``@journal_asset``, which every asset of the journal must use."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, cast

import dagster as dg

from kalshi_pipelines.defs.failures import report_expected_failures
from kalshi_pipelines.defs.resources import JournalResource
from kalshi_pipelines.defs.schema.requirement import (
    JOURNAL_SCHEMA,
    MIGRATE_JOB,
    OWNERS,
    WAREHOUSE_SCHEMA,
    Body,
    guarded_asset,
)
from kalshi_pipelines.execution.journal.errors import JournalOutdated, JournalUnavailable
from kalshi_pipelines.execution.journal.journal import Journal, initialise
from kalshi_pipelines.execution.journal.migrations import (
    altered_guards,
    require_journal_head,
    upgrade_journal,
)
from kalshi_pipelines.settings import InvalidSettings
from kalshi_pipelines.warehouse.engine import place_of

GROUP: Final = "trading"


# The op has a name of its own, because Dagster requires that an op and an asset have different names.
@dg.op(name="migrate_journal_to_head")
def migrate_journal(context: dg.OpExecutionContext, journal: JournalResource) -> dg.MaterializeResult[Any]:
    """Upgrade the journal to the schema of this code. A new journal begins with the kill switch engaged.

    Only the job ``migrate`` restores guards (triggers) that are missing or changed, because a person runs that job.
    The audit trail records which guards were restored.
    """
    with report_expected_failures(context.log):
        lost = altered_guards(journal.engine)
        if lost and context.job_name != MIGRATE_JOB:
            require_journal_head(journal.engine)
        upgrade = upgrade_journal(journal.engine)
        database_id = initialise(
            journal.engine, journal.settings.environment, anchor_file=journal.settings.resolved_journal_anchors
        )
        if upgrade.before is None:
            # Create the environment's folder, where the kill switch looks for its stop file. While the folder is
            # missing, the kill switch counts as engaged.
            with suppress(OSError):
                journal.settings.environment_dir.mkdir(parents=True, exist_ok=True)
        if lost:
            context.log.warning(f"Restored guards of the journal that were missing or changed: {', '.join(lost)}")
            with journal_of(journal).writing() as transaction:
                transaction.audit.append("note", {"guards_made_anew": lost})
    context.log.info(f"the journal {place_of(journal.engine)} is at {upgrade.after}")
    return dg.MaterializeResult(
        metadata={
            "before": upgrade.before or "(empty)",
            "after": upgrade.after,
            "applied": ", ".join(upgrade.applied) or "nothing to do",
            "guards restored": ", ".join(lost) or "none was missing",
            "database": place_of(journal.engine),
            "database_id": database_id,
        },
        data_version=dg.DataVersion(upgrade.after),
    )


@dg.graph_asset(name=JOURNAL_SCHEMA.path[-1], group_name=GROUP, kinds={"alembic", "sql"}, owners=OWNERS)
def journal_schema() -> dg.MaterializeResult[Any]:
    """The tables of the journal of orders. Every asset of trading runs after `journal_schema`, which upgrades them."""
    migrated: dg.MaterializeResult[Any] = migrate_journal()
    return migrated


@dg.asset_check(asset=JOURNAL_SCHEMA, name="at_head", blocking=True)
def journal_at_head(journal: JournalResource) -> dg.AssetCheckResult:
    """Passes if the journal has the tables and guards that this code needs."""
    try:
        require_journal_head(journal.engine)
    except (InvalidSettings, JournalOutdated, JournalUnavailable) as error:
        return dg.AssetCheckResult(passed=False, description=str(error), severity=dg.AssetCheckSeverity.ERROR)
    return dg.AssetCheckResult(passed=True, description=f"{place_of(journal.engine)} is at this code's schema")


def journal_asset(**options: Any) -> Callable[[Body], dg.AssetsDefinition]:  # noqa: ANN401
    """Return ``@dg.asset`` for an asset that uses the journal.

    The asset runs after the schemas of the warehouse and the journal are upgraded. It fails if the journal does not
    have the schema of this code. The decorated function takes the context and a resource named ``journal``, and yields
    Dagster events.
    """
    return guarded_asset([JOURNAL_SCHEMA, WAREHOUSE_SCHEMA], "journal", _journal_guard, group_name=GROUP, **options)


@contextmanager
def _journal_guard(context: dg.AssetExecutionContext, journal: JournalResource) -> Iterator[None]:
    with report_expected_failures(context.log):
        require_configured_place(context.run)
        require_journal_head(journal.engine)
        yield


def require_configured_place(run: dg.DagsterRun) -> None:
    """Fail a run whose config sets another data folder.

    With a journal in another folder, the run would escape the caps and halts of the configured journal.

    Raises:
        Failure: The run's config sets ``data_dir`` of a resource.
    """
    resources = cast("Mapping[str, Any]", run.run_config.get("resources") or {})
    for name, given in resources.items():
        if ((given or {}).get("config") or {}).get("data_dir"):
            raise dg.Failure(
                f"The run's config sets resources.{name}.config.data_dir, but orders, caps and the kill switch must "
                "be those of the configured journal. Remove data_dir from the config; to use another place, set "
                "KALSHI_DATA_DIR or KALSHI_JOURNAL_URL.",
                allow_retries=False,
            )


def journal_of(journal: JournalResource) -> Journal:
    """Return the journal of the environment that the settings name.

    Raises:
        JournalOutdated: The journal was never set up, or does not have the schema of this code.
        JournalOfAnotherEnvironment: The journal belongs to another environment.
        JournalUnavailable: The journal cannot be read.
    """
    return Journal(journal.engine, journal.settings.environment, anchor_file=journal.settings.resolved_journal_anchors)


default_assets: Final = [journal_schema]
default_checks: Final = [journal_at_head]
