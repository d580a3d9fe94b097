"""The script that Alembic runs to migrate the warehouse, for `migrate` and for the alembic command."""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo

from kalshi_pipelines.settings import Settings
from kalshi_pipelines.warehouse.engine import open_engine, warehouse_url
from kalshi_pipelines.warehouse.migrations import AUTOGENERATE, migration_transaction
from kalshi_pipelines.warehouse.tables import metadata


def run() -> None:
    """Run the migrations on the connection from `migrate`.

    Without such a connection, print SQL for ``alembic --sql``, or open the configured warehouse and migrate it.
    """
    connection = context.config.attributes.get("connection")
    if connection is not None:
        migrate(connection)
        return
    url = Settings.from_environment().resolved_warehouse_url
    if context.is_offline_mode():
        write_sql(url)
        return
    engine = open_engine(url)
    try:
        with migration_transaction(engine) as connection:
            migrate(connection)
    finally:
        engine.dispose()


def migrate(connection: sa.Connection) -> None:
    """Run the requested migrations inside the open transaction."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transactional_ddl=True,
        transaction_per_migration=False,
        **AUTOGENERATE,
        on_version_apply=_report,
    )
    with context.begin_transaction():
        context.run_migrations()


def write_sql(url: str) -> None:
    """Print the statements for Postgres instead of running them.

    No SQL can be printed for SQLite, because migrations of SQLite must read the tables that they rebuild.
    """
    if warehouse_url(url).get_backend_name() == "sqlite":
        raise SystemExit("SQL can be written for Postgres only. Set KALSHI_WAREHOUSE_URL to postgresql+psycopg://...")
    context.configure(dialect_name="postgresql", target_metadata=metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def _report(ctx: MigrationContext, step: MigrationInfo, heads: Collection[Any], run_args: Mapping[str, Any]) -> None:
    on_apply = context.config.attributes.get("on_apply")
    if on_apply:
        on_apply(step.up_revision_id)


run()
