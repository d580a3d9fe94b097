"""Fixtures of lakes."""

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a lake that does not exist yet."""
    return tmp_path / "lake"
