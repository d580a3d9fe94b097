"""A lake belongs to one warehouse of one environment. Every other one is refused before anything is written."""

import json
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.lake.buffers import PRICES
from kalshi_pipelines.lake.errors import LakeLost, LakeOfAnotherWarehouse
from kalshi_pipelines.lake.history import publish_history
from kalshi_pipelines.lake.parquet import lake_id_of
from kalshi_pipelines.lake.removal import remove_published
from kalshi_pipelines.lake.store import open_local
from kalshi_pipelines.units import DAY_US
from kalshi_pipelines.warehouse.engine import open_engine, writing
from kalshi_pipelines.warehouse.retirement import WarehouseRetired, copying_sentence, retire
from kalshi_pipelines.warehouse.tables import price_snapshots, warehouse_identity
from kalshi_pipelines_tests.support.lake.lakes import (
    MIDNIGHT_US,
    add_quotes,
    count,
    exported,
    files_in,
    lake_rows,
    local_lake,
    start_history,
)


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in [*files_in(folder), "lake.json"]}


def test_first_publish_makes_the_lake_the_warehouses_own(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    add_quotes(engine, [MIDNIGHT_US])
    publish_history(local_lake(folder), engine, PRICES)
    mark = json.loads((folder / "lake.json").read_text())
    with engine.connect() as connection:
        identity = connection.execute(sa.select(warehouse_identity)).one()
    assert mark["warehouse_id"] == identity.warehouse_id
    assert mark["environment"] == identity.environment == "sandbox"
    assert mark["layout"] == 1
    (file,) = files_in(folder)
    assert lake_id_of(open_local(folder / file)) == mark["lake_id"]


def test_second_warehouse_is_refused_and_its_rows_stay(
    sqlite_engine: sa.Engine, postgres_engine: sa.Engine, folder: Path
) -> None:
    lake = local_lake(folder)
    for engine in (sqlite_engine, postgres_engine):
        start_history(engine)
    add_quotes(sqlite_engine, [MIDNIGHT_US])
    publish_history(lake, sqlite_engine, PRICES)
    before = all_bytes(folder)
    run = add_quotes(postgres_engine, [MIDNIGHT_US], yes_bid_microdollars=1)
    with pytest.raises(LakeOfAnotherWarehouse, match="belongs to another warehouse"):
        publish_history(lake, postgres_engine, PRICES)
    with pytest.raises(LakeOfAnotherWarehouse):
        remove_published(lake, postgres_engine, PRICES, MIDNIGHT_US + 1)
    assert all_bytes(folder) == before
    assert not exported(postgres_engine, run)
    assert count(postgres_engine, price_snapshots) == 1


def test_another_environment_is_refused(sqlite_engine: sa.Engine, tmp_path: Path) -> None:
    start_history(sqlite_engine)
    publish_history(local_lake(tmp_path / "one"), sqlite_engine, PRICES)
    with pytest.raises(LakeOfAnotherWarehouse, match=r"holds data of the sandbox exchange, not of demo"):
        publish_history(local_lake(tmp_path / "two", "demo"), sqlite_engine, PRICES)
    mark = tmp_path / "one" / "lake.json"
    mark.write_text(mark.read_text().replace("sandbox", "prod"))
    with pytest.raises(LakeOfAnotherWarehouse, match="holds data of the prod exchange"):
        publish_history(local_lake(tmp_path / "one"), sqlite_engine, PRICES)


def test_files_without_a_mark_are_refused(sqlite_engine: sa.Engine, folder: Path) -> None:
    start_history(sqlite_engine)
    add_quotes(sqlite_engine, [MIDNIGHT_US])
    publish_history(local_lake(folder), sqlite_engine, PRICES)
    (folder / "lake.json").unlink()
    with pytest.raises(LakeOfAnotherWarehouse, match=r"has files but no lake\.json"):
        publish_history(local_lake(folder), sqlite_engine, PRICES)


def test_empty_place_is_refused_once_files_were_published(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    add_quotes(engine, [MIDNIGHT_US])
    publish_history(local_lake(folder), engine, PRICES)
    away = folder.rename(folder.with_name("away"))
    run = add_quotes(engine, [MIDNIGHT_US + DAY_US])
    for _ in range(2):
        with pytest.raises(LakeLost, match="is empty, but this warehouse has published 1 files"):
            publish_history(local_lake(folder), engine, PRICES)
    assert not exported(engine, run)
    shutil.rmtree(folder)
    away.rename(folder)
    publish_history(local_lake(folder), engine, PRICES)
    assert len(lake_rows(folder)) == 2


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"lake_id": 1, "layout": "x"}', "\udcff"])
def test_mark_that_cannot_be_read_is_refused(sqlite_engine: sa.Engine, folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "lake.json").write_text(text, errors="surrogateescape")
    with pytest.raises(LakeOfAnotherWarehouse, match="cannot be read"):
        publish_history(local_lake(folder), sqlite_engine, PRICES)


def test_newer_layout_is_refused(sqlite_engine: sa.Engine, folder: Path) -> None:
    publish_history(local_lake(folder), sqlite_engine, PRICES)
    mark = folder / "lake.json"
    mark.write_text(json.dumps(json.loads(mark.read_text()) | {"layout": 2}))
    with pytest.raises(LakeOfAnotherWarehouse, match="layout 2"):
        publish_history(local_lake(folder), sqlite_engine, PRICES)


def test_retired_warehouse_no_longer_publishes(sqlite_engine: sa.Engine, folder: Path) -> None:
    publish_history(local_lake(folder), sqlite_engine, PRICES)
    with writing(sqlite_engine) as connection:
        retire(connection, copying_sentence("postgresql://host/other"))
    with pytest.raises(WarehouseRetired, match="is being copied to postgresql://host/other"):
        publish_history(local_lake(folder), sqlite_engine, PRICES)


def test_copy_of_the_warehouse_cannot_replace_newer_files(
    sqlite_engine: sa.Engine, tmp_path: Path, folder: Path
) -> None:
    lake = local_lake(folder)
    start_history(sqlite_engine)
    add_quotes(sqlite_engine, [MIDNIGHT_US])
    publish_history(lake, sqlite_engine, PRICES)
    with writing(sqlite_engine) as connection:
        connection.exec_driver_sql("SELECT 1")
    sqlite_engine.dispose()
    shutil.copy(str(sqlite_engine.url.database), tmp_path / "copy.db")
    add_quotes(sqlite_engine, [MIDNIGHT_US + 1])
    publish_history(lake, sqlite_engine, PRICES)
    before = all_bytes(folder)
    copy = open_engine(f"sqlite:///{tmp_path / 'copy.db'}")
    add_quotes(copy, [MIDNIGHT_US + 2])
    with pytest.raises(Exception, match="not the file that the warehouse published"):
        publish_history(lake, copy, PRICES)
    copy.dispose()
    assert all_bytes(folder) == before
    assert len(lake_rows(folder)) == 2
