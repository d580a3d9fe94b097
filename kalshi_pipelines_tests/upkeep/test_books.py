"""The newest orderbook of a settled market leaves as soon as the lake has all books of the market."""

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.upkeep.books import remove_settled_books
from kalshi_pipelines.upkeep.inputs import UpkeepInputs
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines_tests.support.lake.lakes import local_lake
from kalshi_pipelines_tests.support.upkeep.tasks import days_ago, upkeep_inputs
from kalshi_pipelines_tests.support.upkeep.warehouses import (
    add_book_history,
    add_event,
    add_market,
    add_settled,
    keys,
    start,
)
from kalshi_pipelines_tests.support.warehouse.rows import EVENT


@pytest.fixture
def inputs(engine: sa.Engine, tmp_path: Path) -> UpkeepInputs:
    start(engine)
    add_event(engine, EVENT["event_ticker"])
    add_market(engine, "LIVE")
    for ticker in ("DISPUTED", "SETTLED", "WAITS"):
        add_settled(engine, ticker, 1)
    add_book_history(engine, "WAITS", [days_ago(2)])
    with writing(engine) as connection:
        disputed = sa.update(tables.markets).where(tables.markets.c.ticker == "DISPUTED")
        connection.execute(disputed.values(status="disputed"))
    return upkeep_inputs(engine, lake=local_lake(tmp_path / "lake"))


def test_only_books_of_settled_markets_leave_and_only_from_the_lake_on(inputs: UpkeepInputs) -> None:
    (removal,) = remove_settled_books(inputs)
    assert (removal.removed, removal.kept) == (1, 3)
    assert keys(inputs.engine, tables.orderbooks) == ["DISPUTED", "LIVE", "WAITS"]
    assert keys(inputs.engine, tables.markets) == ["DISPUTED", "LIVE", "SETTLED", "WAITS"]


def test_dry_run_counts_books_and_keeps_them(inputs: UpkeepInputs) -> None:
    (removal,) = remove_settled_books(replace(inputs, is_dry_run=True))
    assert (removal.removed, removal.kept) == (1, 3)
    assert len(keys(inputs.engine, tables.orderbooks)) == 4
