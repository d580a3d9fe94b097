"""Run the migrations on the connection that `kalshi_pipelines.warehouse.migrations` hands over."""

from collections.abc import Collection, Mapping
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo

from kalshi_pipelines.warehouse.tables import metadata


def _report(ctx: MigrationContext, step: MigrationInfo, heads: Collection[Any], run_args: Mapping[str, Any]) -> None:
    context.config.attributes["on_apply"](step.up_revision_id)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    transaction_per_migration=False,
    render_as_batch=True,
    on_version_apply=_report,
)
with context.begin_transaction():
    context.run_migrations()
