"""Fixtures of lakes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kalshi_pipelines_tests.support.lake.object_server import running_object_server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a lake that does not exist yet."""
    return tmp_path / "lake"


@pytest.fixture(scope="session")
def object_server() -> Iterator[str]:
    """The address of a local object store."""
    with running_object_server() as address:
        yield address
