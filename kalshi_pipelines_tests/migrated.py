"""Databases at head without what users get besides: no backup, no inspection, no report."""

import sqlalchemy as sa

from kalshi_pipelines.warehouse.engine import explained_failures
from kalshi_pipelines.warehouse.migrations import Upgrade, apply_migrations, ready_to_migrate, use_write_ahead_log


def upgrade_to_head(engine: sa.Engine) -> Upgrade:
    """Apply every migration that is missing, in one transaction."""
    with explained_failures(engine):
        with ready_to_migrate(engine) as connection:
            upgrade = apply_migrations(connection)
        use_write_ahead_log(engine)
    return upgrade
