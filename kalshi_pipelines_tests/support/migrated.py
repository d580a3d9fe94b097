"""Databases at the newest revision, made without the inspection, backup and report of `migrate`."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.migrations import upgrade_journal
from kalshi_pipelines.warehouse.engine import explain_failures
from kalshi_pipelines.warehouse.migrations import Upgrade, apply_migrations, migration_transaction, use_write_ahead_log


def upgrade_to_head(engine: sa.Engine) -> Upgrade:
    """Apply all missing migrations in one transaction."""
    with explain_failures(engine):
        with migration_transaction(engine) as connection:
            upgrade = apply_migrations(connection)
        use_write_ahead_log(engine)
    return upgrade


@cache
def journal_at_head() -> bytes:
    """Return the file content of a SQLite journal with the newest schema and no identity yet.

    The content is made once, so forked processes share one copy.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        engine = open_journal(f"sqlite:///{path}")
        upgrade_journal(engine)
        engine.dispose()
        return path.read_bytes()
