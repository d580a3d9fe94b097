"""Fixtures of the readers for researchers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.data import Data, open_data
from kalshi_pipelines.settings import Settings
from kalshi_pipelines_tests.support.lake.lakes import start_history


@pytest.fixture
def warehouse(engine: sa.Engine) -> sa.Engine:
    """Return a warehouse with a market and no history."""
    start_history(engine)
    return engine


@pytest.fixture
def data(warehouse: sa.Engine, tmp_path: Path) -> Iterator[Data]:
    """Return the warehouse and its lake as a researcher opens them."""
    url = warehouse.url.render_as_string(hide_password=False)
    with open_data(Settings(warehouse_url=url, lake_dir=tmp_path / "lake")) as data:
        yield data
