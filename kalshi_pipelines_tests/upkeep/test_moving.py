"""History of an older version moves to the lake, every row and every old file accounted for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.lake.buffers import ORDERBOOKS, PRICES
from kalshi_pipelines.lake.errors import LakeOfAnotherWarehouse
from kalshi_pipelines.lake.history import publish_history
from kalshi_pipelines.lake.owner import Owner, write_owner
from kalshi_pipelines.lake.removal import remove_published
from kalshi_pipelines.upkeep.moving import (
    HistoryMove,
    HistoryNotMoved,
    has_history_to_move,
    move_history,
    move_older_history,
)
from kalshi_pipelines.upkeep.superseded import files_set_aside
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.locks import AlreadyRunning, hold_work_lock
from kalshi_pipelines.warehouse.space import space_of
from kalshi_pipelines.warehouse.upgrade import migrate
from kalshi_pipelines_tests.support.lake.lakes import count, lake_rows, local_lake
from kalshi_pipelines_tests.support.upkeep.older import OLDER, as_in_lake, fill_older, write_old_file
from kalshi_pipelines_tests.support.upkeep.tasks import NOW_US, days_ago, upkeep_inputs
from kalshi_pipelines_tests.support.upkeep.warehouses import add_history
from kalshi_pipelines_tests.support.warehouse.revisions import Database, open_database

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def older(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    with open_database(empty_database_url, monkeypatch) as database:
        database.upgrade(OLDER)
        yield database


def upgrade(engine: sa.Engine) -> None:
    migrate(engine, "sandbox", lambda _: None)


def move(engine: sa.Engine, folder: Path) -> HistoryMove:
    moved = move_history(engine, local_lake(folder), folder, 7, NOW_US, lambda _: None)
    assert moved
    return moved


def in_lake(folder: Path, dataset: str) -> list[dict[str, Any]]:
    rows = [{name: value for name, value in row.items() if name != "date"} for row in lake_rows(folder, dataset)]
    return sorted(rows, key=lambda row: (row["ticker"], row["observed_time"], row.get("side", ""), row.get("price", 0)))


def require_all_in_lake(folder: Path, rows: Rows) -> None:
    for buffer, table in ((PRICES, "price_snapshots"), (ORDERBOOKS, "orderbook_snapshots")):
        assert in_lake(folder, buffer.dataset.name) == as_in_lake(buffer, rows[table])


def test_upgrade_of_an_old_warehouse_moves_every_row(older: Database, folder: Path) -> None:
    rows = fill_older(older, folder, rows_a_day=600)
    upgrade(older.engine)
    assert has_history_to_move(older.engine)
    moved = move(older.engine, folder)
    require_all_in_lake(folder, rows)
    kept = [row for row in rows["price_snapshots"] if row["observed_us"] >= days_ago(7)]
    assert count(older.engine, tables.price_snapshots) == len(kept) > 0
    assert count(older.engine, tables.orderbook_snapshots) == 0
    books, prices = moved.datasets
    assert (books.rows_before, books.rows_removed, books.rows_kept) == (1_200, 1_200, 0)
    assert (prices.rows_before, prices.rows_removed + prices.rows_kept) == (7_200, 7_200)
    assert prices.rows_kept == len(kept)
    assert "price_history: 7,200 rows before = " in str(moved)
    assert "24 files of the older layout were set aside" in str(moved)
    assert len(moved.files) == 24
    assert not [file for file in moved.files if file.rows_not_in_warehouse or file.problem]
    assert sum(file.rows for file in moved.files if "price" in file.path) == 7_200
    assert not list(folder.glob("price_history/**/run-*"))
    assert not has_history_to_move(older.engine)
    assert move_history(older.engine, local_lake(folder), folder, 7, NOW_US, lambda _: None) is None


def test_books_of_the_newest_snapshot_stay_current(older: Database, folder: Path) -> None:
    rows = fill_older(older, folder)["orderbook_snapshots"]
    upgrade(older.engine)
    move(older.engine, folder)
    newest = {row["ticker"]: row["observed_us"] for row in sorted(rows, key=lambda row: int(row["observed_us"]))}
    with older.engine.connect() as connection:
        books = tables.orderbooks.c
        assert dict(map(tuple, connection.execute(sa.select(books.ticker, books.observed_us)))) == newest


def test_old_file_with_rows_of_another_warehouse_is_set_aside_and_reported(older: Database, folder: Path) -> None:
    rows = fill_older(older, folder)
    foreign = [row | {"ticker": "KXFOREIGN"} for row in rows["price_snapshots"][:3]]
    own = rows["price_snapshots"][0]
    write_old_file(folder, PRICES, 999, [own, *foreign])
    odd = folder / "orderbook_levels" / "date=2026-11-22" / "run-7.parquet"
    odd.parent.mkdir(parents=True)
    odd.write_text("no Parquet")
    upgrade(older.engine)
    moved = move(older.engine, folder)
    require_all_in_lake(folder, rows)
    found = {file.path.rsplit("/", 1)[1]: file for file in moved.files}
    assert (found["run-999.parquet"].rows, found["run-999.parquet"].rows_not_in_warehouse) == (4, 3)
    assert "3 of 4 rows are not in this warehouse and were not published" in str(moved)
    assert found["run-7.parquet"].problem
    assert "cannot be read" in str(moved)
    assert (folder / "superseded" / found["run-999.parquet"].path).exists()
    assert (folder / "superseded" / found["run-7.parquet"].path).read_text() == "no Parquet"


def test_files_that_this_program_did_not_write_stay_where_they_are(older: Database, folder: Path) -> None:
    fill_older(older, folder)
    mine = folder / "price_history" / "notes.txt"
    mine.write_text("mine")
    upgrade(older.engine)
    move(older.engine, folder)
    assert mine.read_text() == "mine"


def test_old_warehouse_without_files_moves_all_the_same(older: Database, folder: Path, tmp_path: Path) -> None:
    rows = fill_older(older, tmp_path / "lost")
    upgrade(older.engine)
    moved = move(older.engine, folder)
    assert moved.files == ()
    require_all_in_lake(folder, rows)


def test_second_old_warehouse_of_the_same_lake_is_refused(older: Database, folder: Path, tmp_path: Path) -> None:
    fill_older(older, folder)
    upgrade(older.engine)
    other = local_lake(folder)
    write_owner(other.store, Owner("1" * 32, "2" * 32, "sandbox", 1), tmp_path)
    with pytest.raises(LakeOfAnotherWarehouse):
        move(older.engine, folder)
    assert count(older.engine, tables.price_snapshots) == 720


def test_rows_of_later_runs_do_not_disturb_the_account(older: Database, folder: Path) -> None:
    rows = fill_older(older, folder)
    upgrade(older.engine)
    add_history(older.engine, rows["price_snapshots"][0]["ticker"], [days_ago(0.01)], ingest_run_id=500)
    moved = move(older.engine, folder)
    assert moved.datasets[1].rows_before == 720
    publish_history(local_lake(folder), older.engine, PRICES)
    assert len(lake_rows(folder)) == 721


def test_nothing_is_removed_by_others_while_history_moves(older: Database, folder: Path) -> None:
    rows = fill_older(older, folder / "elsewhere")
    upgrade(older.engine)
    lake = local_lake(folder)
    publish_history(lake, older.engine, PRICES)
    assert remove_published(lake, older.engine, PRICES, NOW_US) == 0
    move(older.engine, folder)
    require_all_in_lake(folder, rows)


def test_row_that_vanished_before_the_move_is_noticed(older: Database, folder: Path) -> None:
    fill_older(older, folder)
    upgrade(older.engine)
    with writing(older.engine) as connection:
        first = sa.select(sa.func.min(tables.price_snapshots.c.price_snapshot_id)).scalar_subquery()
        connection.execute(sa.delete(tables.price_snapshots).where(tables.price_snapshots.c.price_snapshot_id == first))
    with pytest.raises(HistoryNotMoved, match="720 rows"):
        move(older.engine, folder)
    assert has_history_to_move(older.engine)


def test_move_waits_for_a_running_ingest(older: Database, folder: Path) -> None:
    fill_older(older, folder)
    upgrade(older.engine)
    with hold_work_lock(older.engine, "markets"), pytest.raises(AlreadyRunning):
        move(older.engine, folder)
    move(older.engine, folder)


def test_new_warehouse_has_nothing_to_move(engine: sa.Engine, folder: Path) -> None:
    assert not has_history_to_move(engine)
    assert move_history(engine, local_lake(folder), folder, 7, NOW_US, lambda _: None) is None
    assert not folder.exists()


def test_upkeep_moves_older_history_or_counts_it(older: Database, folder: Path) -> None:
    rows = fill_older(older, folder)
    upgrade(older.engine)
    inputs = upkeep_inputs(older.engine, lake=local_lake(folder), old_folder=folder)
    told = move_older_history(upkeep_inputs(older.engine, lake=inputs.lake, old_folder=folder, is_dry_run=True))
    assert [each.removed for each in told] == [120, 720]
    assert count(older.engine, tables.price_snapshots) == 720
    done = move_older_history(inputs)
    assert [(each.removed, each.kept) for each in done] == [(120, 0), (300, 420)]
    require_all_in_lake(folder, rows)
    assert move_older_history(inputs) == []


def test_sqlite_file_of_an_older_version_shrinks_after_the_move(
    empty_sqlite_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_database(empty_sqlite_url, monkeypatch) as database:
        database.upgrade(OLDER)
        fill_older(database, folder, rows_a_day=3_000)
        upgrade(database.engine)
        file = Path(str(database.engine.url.database))
        before = file.stat().st_size
        moved = move(database.engine, folder)
        assert moved.note == ""
        found = space_of(database.engine)
        assert found
        assert found.is_incremental
        assert file.stat().st_size == found.bytes < before * 0.7


def test_files_set_aside_twice_are_counted_once(older: Database, folder: Path) -> None:
    rows = fill_older(older, folder)
    upgrade(older.engine)
    move(older.engine, folder)
    count_before = len(files_set_aside(older.engine))
    with writing(older.engine) as connection:
        connection.execute(sa.update(tables.history_moves).values(finished_us=None, rows_kept=None))
    write_old_file(folder, PRICES, 10, rows["price_snapshots"][:60])
    move(older.engine, folder)
    assert len(files_set_aside(older.engine)) == count_before
    assert len(list((folder / "superseded").rglob("run-10.parquet*"))) == 2
