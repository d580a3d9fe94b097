"""Opening the warehouse for a command, and closing it afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from kalshi_pipelines.settings import Settings
from kalshi_pipelines.warehouse.engine import explain_failures, open_engine


@contextmanager
def opened_warehouse(settings: Settings) -> Iterator[sa.Engine]:
    """Open the warehouse of the settings during the block.

    Raises:
        WarehouseUnavailable: The warehouse cannot be opened, or failed inside the block.
    """
    with disposed(open_engine(settings.resolved_warehouse_url)) as engine, explain_failures(engine):
        yield engine


@contextmanager
def disposed(engine: sa.Engine) -> Iterator[sa.Engine]:
    """Close the connections of an engine at the end of the block."""
    try:
        yield engine
    finally:
        engine.dispose()
