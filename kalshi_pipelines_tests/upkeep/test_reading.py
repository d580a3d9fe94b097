"""Settled markets are read once and in their newest version, from the warehouse, from the lake, and from both."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from kalshi_pipelines.data import Data, open_data
from kalshi_pipelines.lake.rebuilding import rebuild_manifest
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.units import instant
from kalshi_pipelines.upkeep.archiving import archive_again, archive_settled
from kalshi_pipelines.upkeep.leaving import remove_settled
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import markets, settlements
from kalshi_pipelines_tests.support.lake.lakes import local_lake
from kalshi_pipelines_tests.support.upkeep.tasks import days_ago, upkeep_inputs
from kalshi_pipelines_tests.support.upkeep.warehouses import add_event, add_settled, start


@pytest.fixture
def warehouse(engine: sa.Engine) -> sa.Engine:
    """Return a warehouse with an event and no market."""
    start(engine)
    add_event(engine, "KXMLBGAME-26NOV22")
    return engine


@pytest.fixture
def data(warehouse: sa.Engine, tmp_path: Path) -> Iterator[Data]:
    """Return the warehouse and its lake as a researcher opens them."""
    url = warehouse.url.render_as_string(hide_password=False)
    with open_data(Settings(warehouse_url=url, lake_dir=tmp_path / "lake")) as data:
        yield data


def found(reader: pa.RecordBatchReader) -> list[tuple[str, str]]:
    return [(row["ticker"], row["result"]) for row in reader.read_all().to_pylist()]


def in_duckdb(data: Data) -> list[tuple[str, str]]:
    rows = data.duckdb().sql("SELECT ticker, result FROM settled_markets ORDER BY settled_time").fetchall()
    return [(ticker, result) for ticker, result in rows]


def correct(engine: sa.Engine, ticker: str, result: str, at: int) -> None:
    with writing(engine) as connection:
        connection.execute(sa.update(markets).where(markets.c.ticker == ticker).values(result=result, recorded_us=at))
        connection.execute(
            sa.update(settlements).where(settlements.c.ticker == ticker).values(result=result, recorded_us=at)
        )


def test_settled_markets_are_read_from_both_places_once(warehouse: sa.Engine, data: Data, tmp_path: Path) -> None:
    inputs = upkeep_inputs(warehouse, lake=local_lake(tmp_path / "lake"))
    add_settled(warehouse, "KXOLD", 40)
    add_settled(warehouse, "KXNEW", 5)
    expected = [("KXOLD", "yes"), ("KXNEW", "yes")]
    assert found(data.settled_markets()) == in_duckdb(data) == expected
    archive_settled(inputs)
    assert found(data.settled_markets()) == in_duckdb(data) == expected
    remove_settled(inputs)
    assert data.markets().column("ticker").to_pylist() == ["KXNEW"]
    assert found(data.settled_markets()) == in_duckdb(data) == expected
    add_settled(warehouse, "KXLATE", 5)
    assert sorted(found(data.settled_markets())) == [("KXLATE", "yes"), ("KXNEW", "yes"), ("KXOLD", "yes")]


def test_corrected_record_is_read_in_its_newest_version(warehouse: sa.Engine, data: Data, tmp_path: Path) -> None:
    inputs = upkeep_inputs(warehouse, lake=local_lake(tmp_path / "lake"))
    add_settled(warehouse, "KXA", 5)
    archive_settled(inputs)
    correct(warehouse, "KXA", "no", days_ago(1))
    before = data.duckdb()
    assert found(data.settled_markets()) == in_duckdb(data) == [("KXA", "no")]
    archive_settled(inputs)
    assert found(data.settled_markets()) == in_duckdb(data) == [("KXA", "no")]
    assert before.sql("SELECT ticker, result FROM settled_markets").fetchall() == [("KXA", "no")]


def test_span_is_that_of_the_newest_version(warehouse: sa.Engine, data: Data, tmp_path: Path) -> None:
    add_settled(warehouse, "KXA", 5)
    archive_settled(upkeep_inputs(warehouse, lake=local_lake(tmp_path / "lake")))
    later = days_ago(5) + 3_600_000_000
    with writing(warehouse) as connection:
        connection.execute(sa.update(settlements).values(settled_us=later, recorded_us=days_ago(1)))
    assert found(data.settled_markets(end=instant(later))) == []
    assert found(data.settled_markets(start=instant(later))) == [("KXA", "yes")]
    assert found(data.settled_markets(tickers=["KXB"])) == []
    assert found(data.settled_markets(start=dt.date(2099, 1, 1))) == []


def test_markets_of_a_lost_file_are_archived_again(warehouse: sa.Engine, data: Data, tmp_path: Path) -> None:
    inputs = upkeep_inputs(warehouse, lake=local_lake(tmp_path / "lake"))
    add_settled(warehouse, "KXA", 5)
    archive_settled(inputs)
    (file,) = (tmp_path / "lake" / "settled_markets").rglob("*.parquet")
    file.unlink()
    missing = rebuild_manifest(inputs.lake, warehouse).missing
    archive_again(warehouse, [dt.date.fromisoformat(Path(path).stem) for path in missing])
    assert found(data.settled_markets()) == [("KXA", "yes")]
    archive_settled(inputs)
    assert file.exists()
    assert found(data.settled_markets()) == [("KXA", "yes")]
