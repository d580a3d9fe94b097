"""A restore never makes a second warehouse that takes writes beside a copy, and says so before anything is replaced."""

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import open_engine, writing
from kalshi_pipelines_tests.support.warehouse.command_line import kalshi_pipelines
from kalshi_pipelines_tests.support.warehouse.rows import RUN, fill


@pytest.fixture
def warehouse(migrated_file: Path, tmp_path: Path) -> Path:
    """Return the file of a warehouse with a row in every table, in the folder in which commands look for it."""
    path = tmp_path / "data" / "sandbox" / "warehouse.db"
    path.parent.mkdir(parents=True)
    shutil.copy(migrated_file, path)
    engine = open_engine(f"sqlite:///{path}")
    fill(engine)
    engine.dispose()
    return path


def add_a_run(path: Path) -> None:
    engine = open_engine(f"sqlite:///{path}")
    try:
        with writing(engine) as connection:
            connection.execute(sa.insert(tables.ingest_runs), RUN)
    finally:
        engine.dispose()


def backed_up(folder: Path, place: Path) -> Path:
    place.mkdir()
    done = kalshi_pipelines(folder, "backup", "--to", str(place))
    assert done.returncode == 0, done.stderr
    (backup,) = place.glob("*.backup")
    return backup


@pytest.mark.parametrize("retired", ["backup", "present warehouse"])
def test_restore_beside_a_copy_is_refused_before_the_swap(warehouse: Path, tmp_path: Path, retired: str) -> None:
    before = backed_up(tmp_path, tmp_path / "before")
    assert kalshi_pipelines(tmp_path, "copy", "--to", f"sqlite:///{tmp_path}/copy.db").returncode == 0
    backup = backed_up(tmp_path, tmp_path / "after") if retired == "backup" else before
    content = warehouse.read_bytes()
    refused = kalshi_pipelines(tmp_path, "restore", str(backup))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"was copied to {tmp_path}/copy.db" in refused.stderr
    assert "nothing was restored" in refused.stderr
    assert "--copy-is-gone" in refused.stderr
    assert warehouse.read_bytes() == content
    assert list(warehouse.parent.glob("*.replaced")) == []
    (tmp_path / "copy.db").unlink()
    done = kalshi_pipelines(tmp_path, "restore", str(backup), "--copy-is-gone")
    assert done.returncode == 0, done.stderr
    add_a_run(warehouse)


def test_backup_of_a_retired_warehouse_is_not_restored_to_postgres(
    warehouse: Path, tmp_path: Path, empty_postgres_url: str
) -> None:
    assert kalshi_pipelines(tmp_path, "copy", "--to", f"sqlite:///{tmp_path}/copy.db").returncode == 0
    backup = backed_up(tmp_path, tmp_path / "after")
    refused = kalshi_pipelines(tmp_path, "restore", str(backup), KALSHI_WAREHOUSE_URL=empty_postgres_url)
    assert refused.returncode == 2
    assert f"was copied to {tmp_path}/copy.db" in refused.stderr
    done = kalshi_pipelines(tmp_path, "restore", str(backup), "--copy-is-gone", KALSHI_WAREHOUSE_URL=empty_postgres_url)
    assert done.returncode == 0, done.stderr
