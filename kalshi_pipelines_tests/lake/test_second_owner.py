"""A second warehouse, a move to Postgres and a restored backup: no file is replaced silently, and no row is lost."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.lake.buffers import PRICES
from kalshi_pipelines.lake.closing import verify_lake
from kalshi_pipelines.lake.errors import LakeFileChanged, LakeOfAnotherWarehouse
from kalshi_pipelines.lake.history import publish_history
from kalshi_pipelines.lake.squaring import square
from kalshi_pipelines.units import microseconds
from kalshi_pipelines.warehouse.copying import copy_warehouse
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.retirement import WarehouseRetired
from kalshi_pipelines.warehouse.tables import price_snapshots
from kalshi_pipelines_tests.support.lake.lakes import (
    MIDNIGHT_US,
    add_quotes,
    count,
    files_in,
    lake_rows,
    local_lake,
    start_history,
)


def snapshot(engine: sa.Engine, folder: Path, *times: int) -> None:
    """Store quotes and publish them, as a snapshot job does."""
    add_quotes(engine, [MIDNIGHT_US + time for time in times])
    publish_history(local_lake(folder), engine, PRICES)


def times_in(folder: Path) -> list[int]:
    return [microseconds(row["observed_time"]) - MIDNIGHT_US for row in lake_rows(folder)]


def say_nothing(_sentence: str) -> None:
    """Ignore a sentence of progress."""


@pytest.fixture
def second(tmp_path: Path, migrated_file: Path) -> Iterator[sa.Engine]:
    """A second warehouse with runs of the same numbers."""
    shutil.copy(migrated_file, tmp_path / "second.db")
    engine = open_engine(f"sqlite:///{tmp_path / 'second.db'}")
    start_history(engine)
    yield engine
    engine.dispose()


def test_second_warehouse_keeps_its_rows_and_the_lake_keeps_the_firsts(
    sqlite_engine: sa.Engine, second: sa.Engine, folder: Path, tmp_path: Path
) -> None:
    start_history(sqlite_engine)
    snapshot(sqlite_engine, folder, 0, 1)
    with pytest.raises(LakeOfAnotherWarehouse):
        snapshot(second, folder, 5, 6, 7)
    assert times_in(folder) == [0, 1]
    assert count(second, price_snapshots) == 3
    snapshot(second, tmp_path / "its-own", 8)
    assert times_in(tmp_path / "its-own") == [5, 6, 7, 8]
    snapshot(sqlite_engine, folder, 2)
    assert times_in(folder) == [0, 1, 2]


def test_move_to_postgres_takes_the_lake_along(sqlite_engine: sa.Engine, empty_postgres_url: str, folder: Path) -> None:
    start_history(sqlite_engine)
    snapshot(sqlite_engine, folder, 0, 1)
    target = open_engine(empty_postgres_url)
    copy_warehouse(sqlite_engine, target, say_nothing)
    snapshot(target, folder, 2)
    assert times_in(folder) == [0, 1, 2]
    assert verify_lake(local_lake(folder), target).problems == ()
    with pytest.raises(WarehouseRetired):
        publish_history(local_lake(folder), sqlite_engine, PRICES)
    target.dispose()


def test_restored_backup_is_refused_until_the_manifest_is_squared(tmp_path: Path, second: sa.Engine) -> None:
    folder, file = tmp_path / "lake", Path(str(second.url.database))
    snapshot(second, folder, 0)
    second.dispose()
    shutil.copy(file, tmp_path / "backup.db")
    for time in (1, 2):
        snapshot(second, folder, time)
    second.dispose()
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup.db", file)
    with pytest.raises(LakeFileChanged, match=r"not the file that the warehouse published.*rebuild-lake"):
        snapshot(second, folder, 3)
    assert times_in(folder) == [0, 1, 2]
    squared = square(local_lake(folder), second, say_nothing)
    assert not squared.has_problems
    assert times_in(folder) == [0, 1, 2, 3]
    snapshot(second, folder, 4)
    assert times_in(folder) == [0, 1, 2, 3, 4]
    assert len(files_in(folder)) == 1
    assert verify_lake(local_lake(folder), second).problems == ()
