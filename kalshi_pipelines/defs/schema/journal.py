"""The schema of the journal as an asset, and ``@journal_asset``: the only way to define an asset that needs it."""

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
    guards_taken_down,
    require_journal_head,
    upgrade_journal,
)
from kalshi_pipelines.settings import InvalidSettings
from kalshi_pipelines.warehouse.engine import place_of

GROUP: Final = "trading"


# Dagster wants the names of ops and assets to differ.
@dg.op(name="migrate_journal_to_head")
def migrate_journal(context: dg.OpExecutionContext, journal: JournalResource) -> dg.MaterializeResult[Any]:
    """Bring the journal to the newest schema; a new one begins with the kill switch engaged.

    Guards that somebody took down are made anew by the job ``migrate`` only, which a person runs and which records it.
    """
    with report_expected_failures(context.log):
        lost = guards_taken_down(journal.engine)
        if lost and context.job_name != MIGRATE_JOB:
            require_journal_head(journal.engine)
        upgrade = upgrade_journal(journal.engine)
        database_id = initialise(journal.engine, journal.settings.environment)
        if upgrade.before is None:
            # What says stop is looked for in it: while it is not there, the kill switch is engaged.
            with suppress(OSError):
                journal.settings.environment_dir.mkdir(parents=True, exist_ok=True)
        if lost:
            context.log.warning(f"guards that were missing or changed were made anew: {', '.join(lost)}")
            with opened(journal).writing() as transaction:
                transaction.audit.append("note", {"guards_made_anew": lost})
    context.log.info(f"the journal {place_of(journal.engine)} is at {upgrade.after}")
    return dg.MaterializeResult(
        metadata={
            "before": upgrade.before or "(empty)",
            "after": upgrade.after,
            "applied": ", ".join(upgrade.applied) or "nothing to do",
            "guards made anew": ", ".join(lost) or "none was missing",
            "database": place_of(journal.engine),
            "database_id": database_id,
        },
        data_version=dg.DataVersion(upgrade.after),
    )


@dg.graph_asset(name=JOURNAL_SCHEMA.path[-1], group_name=GROUP, kinds={"alembic", "sql"}, owners=OWNERS)
def journal_schema() -> dg.MaterializeResult[Any]:
    """The journal of orders at its newest migration: upstream of everything that trades or looks at trades."""
    migrated: dg.MaterializeResult[Any] = migrate_journal()
    return migrated


@dg.asset_check(asset=JOURNAL_SCHEMA, name="at_head", blocking=True)
def journal_at_head(journal: JournalResource) -> dg.AssetCheckResult:
    """Whether the journal has the tables and guards this code needs."""
    try:
        require_journal_head(journal.engine)
    except (InvalidSettings, JournalOutdated, JournalUnavailable) as error:
        return dg.AssetCheckResult(passed=False, description=str(error), severity=dg.AssetCheckSeverity.ERROR)
    return dg.AssetCheckResult(passed=True, description=f"{place_of(journal.engine)} is at this code's schema")


def journal_asset(**options: Any) -> Callable[[Body], dg.AssetsDefinition]:  # noqa: ANN401
    """``@dg.asset`` for an asset that uses the journal: waits for both schemas and refuses to run without them.

    The body takes the context and a resource named ``journal`` and yields events.
    """
    return guarded_asset([JOURNAL_SCHEMA, WAREHOUSE_SCHEMA], "journal", _journal_guard, group_name=GROUP, **options)


@contextmanager
def _journal_guard(context: dg.AssetExecutionContext, journal: JournalResource) -> Iterator[None]:
    with report_expected_failures(context.log):
        require_configured_place(context.run)
        require_journal_head(journal.engine)
        yield


def require_configured_place(run: dg.DagsterRun) -> None:
    """Make sure that a run works on the journal and warehouse of the settings: elsewhere caps and halts are others.

    Raises:
        Failure: Its config names a folder.
    """
    resources = cast("Mapping[str, Any]", run.run_config.get("resources") or {})
    for name, given in resources.items():
        if ((given or {}).get("config") or {}).get("data_dir"):
            raise dg.Failure(
                f"The run's config sets resources.{name}.config.data_dir, but orders, caps and kill switch are those "
                "of the configured journal. Take it out; KALSHI_DATA_DIR or KALSHI_JOURNAL_URL name another place.",
                allow_retries=False,
            )


def opened(journal: JournalResource) -> Journal:
    """The journal of the environment the settings name.

    Raises:
        JournalOutdated: It was never set up, or its schema is not this code's.
        JournalOfAnotherEnvironment: It is another environment's.
        JournalUnavailable: It can not be read.
    """
    return Journal(journal.engine, journal.settings.environment, anchor_file=journal.settings.resolved_journal_anchors)


default_assets: Final = [journal_schema]
default_checks: Final = [journal_at_head]
