"""``restore``, ``rebuild-lake`` and ``lake``: no row of the lake is lost, whatever the warehouse knows."""

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.lake.buffers import PRICES
from kalshi_pipelines.lake.errors import LakeFileChanged, LakeOfAnotherWarehouse
from kalshi_pipelines.lake.history import publish_history
from kalshi_pipelines.lake.removal import remove_published
from kalshi_pipelines.lake.spanning import read_history
from kalshi_pipelines.warehouse.engine import open_engine, writing
from kalshi_pipelines.warehouse.tables import lake_files, warehouse_identity
from kalshi_pipelines_tests.support.lake.lakes import MIDNIGHT_US, add_quotes, lake_rows, local_lake, start_history
from kalshi_pipelines_tests.support.upkeep.older import OLDER, fill_older
from kalshi_pipelines_tests.support.warehouse.command_line import kalshi_pipelines
from kalshi_pipelines_tests.support.warehouse.revisions import open_database

HOUR = 3_600_000_000
DAY = 24 * HOUR


class Place:
    """A data folder with a warehouse and a lake, and functions that do one step each and close all files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = folder / "data" / "sandbox"
        self.warehouse = self.environment / "warehouse.db"
        self.lake = self.environment / "lake"

    def add(self, *times: int) -> None:
        engine = open_engine(f"sqlite:///{self.warehouse}")
        add_quotes(engine, [MIDNIGHT_US + time for time in times])
        engine.dispose()

    def publish(self) -> None:
        engine = open_engine(f"sqlite:///{self.warehouse}")
        try:
            publish_history(local_lake(self.lake), engine, PRICES, now=True)
            remove_published(local_lake(self.lake), engine, PRICES, 2**62)
        finally:
            engine.dispose()

    def execute(self, statement: sa.Executable) -> None:
        engine = open_engine(f"sqlite:///{self.warehouse}")
        with writing(engine) as connection:
            connection.execute(statement)
        engine.dispose()

    def times(self) -> list[int]:
        engine = open_engine(f"sqlite:///{self.warehouse}")
        rows = read_history(local_lake(self.lake), engine, PRICES).read_all()
        engine.dispose()
        found = rows["observed_time"].cast("int64").to_pylist()
        return [time - MIDNIGHT_US for time in found]

    def backup(self) -> Path:
        done = kalshi_pipelines(self.folder, "backup")
        assert done.returncode == 0, done.stderr
        (backup,) = self.environment.glob("*.backup")
        return backup


@pytest.fixture
def place(migrated_file: Path, tmp_path: Path) -> Place:
    """Return a place with a market and no history."""
    place = Place(tmp_path)
    place.environment.mkdir(parents=True)
    shutil.copy(migrated_file, place.warehouse)
    engine = open_engine(f"sqlite:///{place.warehouse}")
    start_history(engine)
    engine.dispose()
    return place


def test_rows_published_after_the_backup_stay_readable_and_are_never_overwritten(place: Place) -> None:
    place.add(0, HOUR)
    place.publish()
    backup = place.backup()
    place.add(2 * HOUR)
    place.add(DAY)
    place.publish()
    done = kalshi_pipelines(place.folder, "restore", str(backup))
    assert done.returncode == 0, done.stderr
    assert "2 were recorded again" in done.stdout
    assert place.times() == [0, HOUR, 2 * HOUR, DAY]
    place.add(3 * HOUR)
    place.publish()
    assert place.times() == [0, HOUR, 2 * HOUR, 3 * HOUR, DAY]
    assert kalshi_pipelines(place.folder, "lake", "verify").returncode == 0


def test_rows_that_the_restored_warehouse_still_holds_are_published_once(place: Place) -> None:
    place.add(0, HOUR)
    backup = place.backup()
    place.publish()
    assert kalshi_pipelines(place.folder, "restore", str(backup)).returncode == 0
    assert place.times() == [0, HOUR]
    place.publish()
    assert place.times() == [0, HOUR]
    assert len(lake_rows(place.lake)) == 2


def test_backup_from_before_the_first_publish_keeps_the_lake(place: Place) -> None:
    backup = place.backup()
    place.add(0)
    place.publish()
    assert kalshi_pipelines(place.folder, "restore", str(backup)).returncode == 0
    assert place.times() == [0]
    place.add(HOUR)
    place.publish()
    assert place.times() == [0, HOUR]


def test_backup_of_another_warehouse_is_refused(place: Place) -> None:
    place.add(0)
    place.publish()
    backup = place.backup()
    place.execute(sa.update(warehouse_identity).values(warehouse_id="0" * 32))
    done = kalshi_pipelines(place.folder, "restore", str(backup))
    assert done.returncode == 2
    assert "is a backup of another warehouse" in done.stderr
    assert list(place.environment.glob("*.replaced")) == []


def test_copied_file_without_restore_is_refused_until_rebuild(place: Place) -> None:
    place.add(0)
    place.publish()
    backup = place.backup()
    place.add(HOUR)
    place.publish()
    for left in place.environment.glob("warehouse.db-*"):
        left.unlink()
    shutil.copy(backup, place.warehouse)
    place.add(2 * HOUR)
    with pytest.raises(LakeFileChanged, match="rebuild-lake"):
        place.publish()
    assert len(lake_rows(place.lake)) == 2
    done = kalshi_pipelines(place.folder, "rebuild-lake")
    assert done.returncode == 0, done.stderr
    assert "1 rows of the warehouse added" in done.stdout
    assert place.times() == [0, HOUR, 2 * HOUR]


def test_rebuild_makes_a_lost_manifest_again(place: Place) -> None:
    place.add(0, DAY)
    place.publish()
    place.execute(sa.delete(lake_files))
    assert kalshi_pipelines(place.folder, "rebuild-lake").returncode == 0
    assert place.times() == [0, DAY]
    listed = kalshi_pipelines(place.folder, "lake", "list", "price_history")
    assert listed.stdout.count("2026-11-22.parquet") == listed.stdout.count("2026-11-23.parquet") == 1
    assert f"2 files in {place.lake.relative_to(place.folder)}" in listed.stdout


def test_missing_and_damaged_files_are_named_and_end_with_status_1(place: Place) -> None:
    place.add(0, DAY)
    place.publish()
    first, second = sorted((place.lake / "price_history").rglob("*.parquet"))
    first.unlink()
    second.write_bytes(b"damaged")
    done = kalshi_pipelines(place.folder, "lake", "verify")
    assert done.returncode == 1
    assert all(file.name in done.stdout for file in (first, second))
    done = kalshi_pipelines(place.folder, "rebuild-lake")
    assert done.returncode == 1
    assert f"missing, so its rows are lost unless the warehouse still has them: price_history/date={first.stem}" in (
        done.stdout
    )
    assert second.name in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_new_warehouse_takes_over_the_lake_only_on_request(place: Place) -> None:
    place.add(0)
    place.publish()
    place.execute(sa.delete(lake_files))
    place.execute(sa.update(warehouse_identity).values(warehouse_id="0" * 32))
    place.add(HOUR)
    with pytest.raises(LakeOfAnotherWarehouse):
        place.publish()
    refused = kalshi_pipelines(place.folder, "rebuild-lake")
    assert refused.returncode == 2
    assert "belongs to another warehouse" in refused.stderr
    done = kalshi_pipelines(place.folder, "rebuild-lake", "--take-over")
    assert done.returncode == 0, done.stderr
    assert place.times() == [0, HOUR]


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Place, list[int]]:
    """Return a place with a warehouse and a lake of an older version, and the times of all quotes, sorted."""
    place = Place(tmp_path)
    place.environment.mkdir(parents=True)
    with open_database(f"sqlite:///{place.warehouse}", monkeypatch) as made:
        made.upgrade(OLDER)
        rows = fill_older(made, place.lake)["price_snapshots"]
    return place, sorted(row["observed_us"] - MIDNIGHT_US for row in rows)


def test_restored_backup_of_an_older_version_is_upgraded_and_its_history_moves(older: tuple[Place, list[int]]) -> None:
    place, times = older
    backup = place.backup()
    done = kalshi_pipelines(place.folder, "restore", str(backup))
    assert done.returncode == 0, done.stderr
    assert "The history of an older version has moved to the lake." in done.stdout
    assert sorted(place.times()) == times
    # A second restore of the same backup meets the lake that the first one made.
    newer = max(times) + DAY
    place.add(newer)
    place.publish()
    done = kalshi_pipelines(place.folder, "restore", str(backup))
    assert done.returncode == 0, done.stderr
    assert sorted(place.times()) == [*times, newer]
    assert kalshi_pipelines(place.folder, "lake", "verify").returncode == 0
