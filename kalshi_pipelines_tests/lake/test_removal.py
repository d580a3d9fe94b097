"""Rows leave the warehouse only after a proof that the lake has an equal row for each of them."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.lake.buffers import ORDERBOOKS, PRICES
from kalshi_pipelines.lake.errors import ConflictingRows, LakeFileChanged, RowsNotInLake
from kalshi_pipelines.lake.history import publish_again, publish_history
from kalshi_pipelines.lake.manifest import lake_files_of
from kalshi_pipelines.lake.removal import remove_published
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import ingest_runs, orderbook_snapshots, price_snapshots
from kalshi_pipelines_tests.support.lake.lakes import (
    MIDNIGHT_US,
    add_book,
    add_quotes,
    count,
    lake_rows,
    local_lake,
    start_history,
)


def test_published_rows_before_a_time_are_removed(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    lake = local_lake(folder)
    add_quotes(engine, [MIDNIGHT_US + time for time in (-2, -1, 0, 1, 2)])
    publish_history(lake, engine, PRICES)
    assert remove_published(lake, engine, PRICES, MIDNIGHT_US + 1) == 3
    assert remove_published(lake, engine, PRICES, MIDNIGHT_US + 1) == 0
    with engine.connect() as connection:
        left = list(connection.scalars(sa.select(price_snapshots.c.observed_us).order_by("observed_us")))
    assert left == [MIDNIGHT_US + 1, MIDNIGHT_US + 2]
    assert len(lake_rows(folder)) == 5


def test_many_rows_are_removed_in_several_transactions(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    lake = local_lake(folder)
    add_quotes(engine, range(MIDNIGHT_US, MIDNIGHT_US + 10_001))
    publish_history(lake, engine, PRICES)
    assert remove_published(lake, engine, PRICES, MIDNIGHT_US + 10_000) == 10_000
    assert count(engine, price_snapshots) == 1


def test_books_can_be_removed_right_after_their_publish(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    lake = local_lake(folder)
    add_book(engine, MIDNIGHT_US)
    add_book(engine, MIDNIGHT_US + 1, "[]")
    publish_history(lake, engine, ORDERBOOKS)
    add_book(engine, MIDNIGHT_US + 2)
    assert remove_published(lake, engine, ORDERBOOKS, MIDNIGHT_US + 10) == 2
    assert count(engine, orderbook_snapshots) == 1
    assert len(lake_rows(folder, "orderbook_levels")) == 3


def test_rows_that_were_not_published_stay(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    lake = local_lake(folder)
    add_quotes(engine, [MIDNIGHT_US])
    assert remove_published(lake, engine, PRICES, MIDNIGHT_US + 10) == 0
    run = add_quotes(engine, [MIDNIGHT_US + 1])
    with writing(engine) as connection:
        values = {"exported_us": 1, "status": "running", "finished_us": None}
        connection.execute(sa.update(ingest_runs).where(ingest_runs.c.ingest_run_id == run).values(values))
    assert remove_published(lake, engine, PRICES, MIDNIGHT_US + 10) == 0
    assert count(engine, price_snapshots) == 2


def test_nothing_is_removed_if_one_row_is_not_in_the_lake(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    lake = local_lake(folder)
    run = add_quotes(engine, [MIDNIGHT_US])
    publish_history(lake, engine, PRICES)
    with writing(engine) as connection:
        row = connection.execute(sa.select(price_snapshots)).mappings().one()
        lost = dict(row) | {"price_snapshot_id": 99, "observed_us": MIDNIGHT_US + 1}
        connection.execute(sa.insert(price_snapshots), lost)
    with pytest.raises(RowsNotInLake, match="1 rows of exported runs are not in price_history/date=2026-11-22"):
        remove_published(lake, engine, PRICES, MIDNIGHT_US + 10)
    assert count(engine, price_snapshots) == 2
    publish_again(engine, PRICES)
    publish_history(lake, engine, PRICES)
    assert remove_published(lake, engine, PRICES, MIDNIGHT_US + 10) == 2
    assert len(lake_rows(folder)) == 2
    assert run == 2


def test_nothing_is_removed_if_the_lake_has_other_values(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    lake = local_lake(folder)
    add_quotes(engine, [MIDNIGHT_US])
    publish_history(lake, engine, PRICES)
    with writing(engine) as connection:
        connection.execute(sa.update(price_snapshots).values(last_price_microdollars=None))
    with pytest.raises(ConflictingRows, match="last_price"):
        remove_published(lake, engine, PRICES, MIDNIGHT_US + 10)
    assert count(engine, price_snapshots) == 1


@pytest.mark.parametrize("change", ["changed", "missing"])
def test_nothing_is_removed_if_the_file_is_not_the_published_one(engine: sa.Engine, folder: Path, change: str) -> None:
    start_history(engine)
    lake = local_lake(folder)
    add_quotes(engine, [MIDNIGHT_US])
    publish_history(lake, engine, PRICES)
    (file,) = lake_files_of(engine)
    path = folder / file.path
    path.unlink()
    if change == "changed":
        path.write_bytes(b"")
    with pytest.raises(LakeFileChanged):
        remove_published(lake, engine, PRICES, MIDNIGHT_US + 10)
    assert count(engine, price_snapshots) == 1
