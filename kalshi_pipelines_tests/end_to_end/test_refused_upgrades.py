"""Tests of the command `migrate`, run as a user runs it, on databases that it cannot upgrade."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kalshi_pipelines_tests.support.end_to_end.running import RunCommand
from kalshi_pipelines_tests.support.warehouse.legacy import HEAD, REVISIONS, make_legacy_database


def cut_off(path: Path) -> None:
    make_legacy_database(path, snapshots=1_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])


def two_stamps(path: Path) -> None:
    make_legacy_database(path, stamp=(REVISIONS[-2], HEAD))


@pytest.mark.parametrize(("make", "sentence"), [(cut_off, "is damaged"), (two_stamps, "is stamped with 2 revisions")])
def test_migrate_command_on_an_unusable_file_says_why_and_fails(
    make: Callable[[Path], None], sentence: str, tmp_path: Path, dagster_command: RunCommand
) -> None:
    path = tmp_path / "old.db"
    make(path)
    before = path.read_bytes()
    refused = dagster_command(
        "migrate", {"KALSHI_WAREHOUSE_URL": f"sqlite:///{path}", "KALSHI_DATA_DIR": str(tmp_path / "data")}
    )
    assert refused.returncode != 0
    assert f"{path} {sentence}" in refused.stdout + refused.stderr
    assert path.read_bytes() == before
    assert list(tmp_path.glob("*.backup*")) == []
