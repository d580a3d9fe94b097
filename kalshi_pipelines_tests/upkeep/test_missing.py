"""Markets that the exchange has lost leave the warehouse after some weeks, with their last record in the lake."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.data import open_data
from kalshi_pipelines.lake import removal
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.upkeep import missing
from kalshi_pipelines.upkeep.inputs import UpkeepInputs
from kalshi_pipelines.upkeep.missing import remove_missing
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines_tests.support.lake.lakes import lake_rows, local_lake
from kalshi_pipelines_tests.support.upkeep.tasks import counts, days_ago, upkeep_inputs
from kalshi_pipelines_tests.support.upkeep.warehouses import add_event, add_history, add_market, insert, keys, start
from kalshi_pipelines_tests.support.warehouse.rows import EVENT

OF_MARKETS = (tables.markets, tables.quotes, tables.orderbooks)


@pytest.fixture
def inputs(engine: sa.Engine, tmp_path: Path) -> UpkeepInputs:
    start(engine)
    add_event(engine, EVENT["event_ticker"])
    return upkeep_inputs(engine, lake=local_lake(tmp_path / "lake"))


def add_missing(inputs: UpkeepInputs, ticker: str, missing_days_ago: float, **values: Any) -> None:
    add_market(inputs.engine, ticker, missing_since_us=days_ago(missing_days_ago), status="active", **values)


def in_lake(tmp_path: Path) -> list[dict[str, Any]]:
    return lake_rows(tmp_path / "lake", "missing_markets")


def test_market_that_is_missing_for_long_leaves_with_its_last_record(inputs: UpkeepInputs, tmp_path: Path) -> None:
    add_missing(inputs, "GONE", 31)
    add_missing(inputs, "ASKED", 29)
    add_market(inputs.engine, "LIVE")
    assert counts(remove_missing(inputs), "missing markets") == (1, 1)
    for table in OF_MARKETS:
        assert keys(inputs.engine, table) == ["ASKED", "LIVE"], table.name
    (row,) = in_lake(tmp_path)
    assert (row["ticker"], row["status"], row["rules_secondary"]) == ("GONE", "active", "Shared rules.")
    assert (str(row["yes_bid"]), row["event_title"]) == ("0.570000", EVENT["title"])
    assert row["missing_time"].timestamp() * 1e6 == days_ago(31)
    assert counts(remove_missing(inputs), "missing markets") == (0, 1)
    url = inputs.engine.url.render_as_string(hide_password=False)
    with open_data(Settings(warehouse_url=url, lake_dir=tmp_path / "lake")) as data:
        assert data.missing_markets().read_all().column("ticker").to_pylist() == ["GONE"]


def test_market_that_goes_missing_twice_has_a_row_for_each_time(inputs: UpkeepInputs, tmp_path: Path) -> None:
    for days in (70, 40):
        add_missing(inputs, "GONE", days)
        remove_missing(inputs)
    assert [row["ticker"] for row in in_lake(tmp_path)] == ["GONE", "GONE"]


@pytest.mark.parametrize(
    ("table", "values", "reason"),
    [
        (tables.trades, {"ticker": "KEPT", "position_id": None}, "traded"),
        (tables.positions, {"ticker": "KEPT"}, "held"),
        (tables.tracked_items, {"ticker": "KEPT"}, "tracked"),
        (tables.news_article_markets, {"ticker": "KEPT"}, "linked to news"),
    ],
)
def test_missing_market_with_a_reason_to_stay_stays(
    inputs: UpkeepInputs, table: sa.Table, values: dict[str, Any], reason: str
) -> None:
    add_missing(inputs, "KEPT", 31)
    if table is tables.news_article_markets:
        insert(inputs.engine, tables.news_articles, {})
    insert(inputs.engine, table, values)
    (reported,) = remove_missing(inputs)
    assert (reported.removed, reported.kept, reported.note) == (0, 1, f"older markets that stay: 1 {reason}")
    assert keys(inputs.engine, tables.markets) == ["KEPT"]


def test_missing_market_that_the_journal_names_or_with_history_rows_stays(inputs: UpkeepInputs) -> None:
    add_missing(inputs, "PROPOSED", 31)
    add_missing(inputs, "WAITING", 31)
    add_history(inputs.engine, "WAITING", [days_ago(32)])
    remove_missing(replace(inputs, protected=lambda: frozenset({"PROPOSED"})))
    assert keys(inputs.engine, tables.markets) == ["PROPOSED", "WAITING"]


def test_missing_market_that_comes_back_after_the_proof_stays(
    inputs: UpkeepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_missing(inputs, "BACK", 31)
    proven = removal.require_in_lake

    def come_back_after(*given: Any) -> None:
        proven(*given)
        with writing(inputs.engine) as connection:
            connection.execute(sa.update(tables.markets).values(missing_since_us=None))

    monkeypatch.setattr(missing, "require_in_lake", come_back_after)
    remove_missing(inputs)
    assert keys(inputs.engine, tables.markets) == ["BACK"]


def test_dry_run_counts_missing_markets_and_changes_nothing(inputs: UpkeepInputs, tmp_path: Path) -> None:
    add_missing(inputs, "GONE", 31)
    add_missing(inputs, "ASKED", 29)
    assert counts(remove_missing(replace(inputs, is_dry_run=True)), "missing markets") == (1, 1)
    assert not (tmp_path / "lake").exists()
    assert keys(inputs.engine, tables.markets) == ["ASKED", "GONE"]
