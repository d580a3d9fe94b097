"""The script that Alembic runs to migrate the journal.

The migrations only run on a connection from ``execution.journal.migrations``.
"""

from collections.abc import Collection
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo

from kalshi_pipelines.execution.journal.migrations import VERSION_TABLE
from kalshi_pipelines.execution.journal.tables import metadata


def run() -> None:
    """Run the requested migrations inside the open transaction."""
    connection = context.config.attributes.get("connection")
    if connection is None:
        raise SystemExit("The journal is migrated by `dagster job execute -m kalshi_pipelines -j migrate` only.")
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        transactional_ddl=True,
        transaction_per_migration=False,
        on_version_apply=_report,
    )
    with context.begin_transaction():
        context.run_migrations()


def _report(ctx: MigrationContext, step: MigrationInfo, heads: Collection[Any], run_args: Any) -> None:  # noqa: ANN401
    context.config.attributes["on_apply"](step.up_revision_id)


run()
