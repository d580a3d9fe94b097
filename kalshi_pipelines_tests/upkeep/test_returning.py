"""Settled markets that come back after they left the warehouse keep one row in the lake, the newest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.data import Data, open_data
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.units import DAY_US
from kalshi_pipelines.upkeep.archiving import archive_settled
from kalshi_pipelines.upkeep.inputs import UpkeepInputs
from kalshi_pipelines.upkeep.leaving import remove_settled
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines_tests.support.lake.lakes import lake_rows, local_lake
from kalshi_pipelines_tests.support.upkeep.tasks import days_ago, upkeep_inputs
from kalshi_pipelines_tests.support.upkeep.warehouses import add_event, add_settled, keys, start
from kalshi_pipelines_tests.support.warehouse.rows import EVENT


@pytest.fixture
def inputs(engine: sa.Engine, tmp_path: Path) -> UpkeepInputs:
    start(engine)
    add_event(engine, EVENT["event_ticker"])
    return upkeep_inputs(engine, lake=local_lake(tmp_path / "lake"))


@pytest.fixture
def data(inputs: UpkeepInputs, tmp_path: Path) -> Iterator[Data]:
    url = inputs.engine.url.render_as_string(hide_password=False)
    with open_data(Settings(warehouse_url=url, lake_dir=tmp_path / "lake")) as data:
        yield data


def come_back(engine: sa.Engine, ticker: str, settled_days_ago: float, result: str, seen_days_ago: float = 1) -> None:
    """Store a settled market as an ingest does that has never seen it, with a corrected settlement."""
    add_settled(engine, ticker, settled_days_ago)
    seen = days_ago(seen_days_ago)
    times = {"first_seen_us": seen, "recorded_us": seen, "created_time_us": days_ago(50)}
    with writing(engine) as connection:
        for table, values in ((tables.markets, times), (tables.settlements, {"recorded_us": seen})):
            changed = sa.update(table).where(table.c.ticker == ticker)
            connection.execute(changed.values(values | {"result": result}))


def in_lake(inputs: UpkeepInputs, tmp_path: Path) -> list[tuple[Any, Any]]:
    return sorted((row["ticker"], row["result"]) for row in lake_rows(tmp_path / "lake", "settled_markets"))


def read(data: Data) -> list[list[tuple[Any, Any]]]:
    rows = data.settled_markets().read_all().to_pylist()
    view = data.duckdb().sql("SELECT ticker, result FROM settled_markets").fetchall()
    return [sorted((row["ticker"], row["result"]) for row in rows), sorted(view)]


def test_market_amended_after_it_left_replaces_its_row_in_the_lake(
    inputs: UpkeepInputs, data: Data, tmp_path: Path
) -> None:
    add_settled(inputs.engine, "AMENDED", 40)
    add_settled(inputs.engine, "OTHER", 40)
    archive_settled(inputs)
    remove_settled(inputs)
    come_back(inputs.engine, "AMENDED", 1.5, "no")
    newest = [("AMENDED", "no"), ("OTHER", "yes")]
    assert read(data) == [newest, newest]
    archive_settled(inputs)
    assert in_lake(inputs, tmp_path) == newest
    assert read(data) == [newest, newest]


def test_market_amended_long_ago_leaves_again_with_one_row(inputs: UpkeepInputs, tmp_path: Path) -> None:
    add_settled(inputs.engine, "AMENDED", 45)
    remove_settled(inputs)
    come_back(inputs.engine, "AMENDED", 35, "no", seen_days_ago=33)
    remove_settled(inputs)
    assert keys(inputs.engine, tables.markets) == []
    assert in_lake(inputs, tmp_path) == [("AMENDED", "no")]


def test_market_seen_soon_after_its_creation_is_not_looked_up(
    inputs: UpkeepInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_settled(inputs.engine, "OLD", 40)
    archive_settled(inputs)
    remove_settled(inputs)
    for file in (tmp_path / "lake" / "settled_markets").rglob("*.parquet"):
        file.unlink()
    add_settled(inputs.engine, "NEW", 10)
    with writing(inputs.engine) as connection:
        created = sa.update(tables.markets).values(created_time_us=days_ago(10) - DAY_US)
        connection.execute(created)
    archive_settled(inputs)
    assert in_lake(inputs, tmp_path) == [("NEW", "yes")]


def reopen_trading(engine: sa.Engine, ticker: str) -> None:
    """Store that a finalized market is active again, as an ingest does."""
    active = {"status": "active", "result": "", "settlement_value_microdollars": None, "recorded_us": days_ago(0.5)}
    with writing(engine) as connection:
        connection.execute(sa.update(tables.markets).where(tables.markets.c.ticker == ticker).values(active))


@pytest.mark.parametrize("settled_days_ago", [5, 20])
def test_market_that_is_active_again_claims_no_settlement_anywhere(
    inputs: UpkeepInputs, data: Data, tmp_path: Path, settled_days_ago: int
) -> None:
    for ticker in ("ACTIVE", "OTHER"):
        add_settled(inputs.engine, ticker, settled_days_ago)
    archive_settled(inputs)
    reopen_trading(inputs.engine, "ACTIVE")
    settled = [("OTHER", "yes")]
    assert read(data) == [settled, settled]
    assert data.settlements().read_all().column("ticker").to_pylist() == ["OTHER"]
    archive_settled(inputs)
    (row,) = [row for row in lake_rows(tmp_path / "lake", "settled_markets") if row["ticker"] == "ACTIVE"]
    claims = ("settlement_result", "yes_payout", "no_payout", "final_yes_price", "final_no_price", "settlement_value")
    assert (row["status"], [row[name] for name in claims]) == ("active", [None] * len(claims))
    assert read(data) == [settled, settled]
    assert {"ACTIVE", "OTHER"} <= set(keys(inputs.engine, tables.settlements))


def test_market_that_settles_again_has_one_row_with_the_new_outcome(
    inputs: UpkeepInputs, data: Data, tmp_path: Path
) -> None:
    add_settled(inputs.engine, "A", 5)
    archive_settled(inputs)
    reopen_trading(inputs.engine, "A")
    archive_settled(inputs)
    with writing(inputs.engine) as connection:
        settled = {"settlement_time_us": days_ago(0.1), "recorded_us": days_ago(0.1)}
        final = {"status": "finalized", "result": "no", "settlement_value_microdollars": 0}
        connection.execute(sa.update(tables.markets).values(settled | final))
        outcome = {"result": "no", "settled_us": days_ago(0.1), "recorded_us": days_ago(0.1)}
        connection.execute(sa.update(tables.settlements).values(outcome))
    assert read(data) == [[("A", "no")], [("A", "no")]]
    archive_settled(inputs)
    assert in_lake(inputs, tmp_path) == [("A", "no")]
    assert read(data) == [[("A", "no")], [("A", "no")]]


def test_market_that_is_active_before_it_was_archived_is_not_archived(inputs: UpkeepInputs, tmp_path: Path) -> None:
    add_settled(inputs.engine, "A", 5)
    reopen_trading(inputs.engine, "A")
    archive_settled(inputs)
    assert not (tmp_path / "lake" / "settled_markets").exists()
