"""Settled markets are archived, leave the warehouse after a proof, and stay for every reason to stay."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.lake.errors import LakeFileChanged
from kalshi_pipelines.units import DAY_US
from kalshi_pipelines.upkeep import leaving
from kalshi_pipelines.upkeep.archiving import archive_settled, remember_archived
from kalshi_pipelines.upkeep.inputs import UpkeepInputs
from kalshi_pipelines.upkeep.leaving import remove_settled
from kalshi_pipelines.upkeep.past_events import remove_past_events
from kalshi_pipelines.upkeep.texts import remove_unused_texts
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.locks import hold_work_lock
from kalshi_pipelines_tests.support.lake.lakes import lake_rows, local_lake
from kalshi_pipelines_tests.support.upkeep.tasks import counts, days_ago, upkeep_inputs
from kalshi_pipelines_tests.support.upkeep.warehouses import (
    DIGESTS,
    SETTLED,
    add_event,
    add_history,
    add_market,
    add_settled,
    insert,
    keys,
    start,
)
from kalshi_pipelines_tests.support.warehouse.rows import EVENT, LEGAL, MARKET

OF_MARKETS = (tables.markets, tables.quotes, tables.orderbooks, tables.settlements)


@pytest.fixture
def inputs(engine: sa.Engine, tmp_path: Path) -> UpkeepInputs:
    start(engine)
    add_event(engine, EVENT["event_ticker"])
    return upkeep_inputs(engine, lake=local_lake(tmp_path / "lake"))


@pytest.fixture
def archived(tmp_path: Path) -> Callable[[], dict[str, dict[str, Any]]]:
    def read(dataset: str = "settled_markets", key: str = "ticker") -> dict[str, dict[str, Any]]:
        rows = lake_rows(tmp_path / "lake", dataset)
        found = {row[key]: row for row in rows}
        assert len(found) == len(rows)
        return found

    return read


def update(engine: sa.Engine, table: sa.Table, ticker: str, **values: Any) -> None:
    with writing(engine) as connection:
        connection.execute(sa.update(table).where(table.c.ticker == ticker).values(values))


def test_settled_markets_are_archived_whole_and_stay(inputs: UpkeepInputs, archived: Any) -> None:
    add_settled(inputs.engine, "NEW", 1)
    add_settled(inputs.engine, "OLD", 20)
    add_market(inputs.engine, "LIVE")
    archive_settled(inputs)
    rows = archived()
    assert rows.keys() == {"NEW", "OLD"}
    new = rows["NEW"]
    assert (new["rules_secondary"], new["price_ranges"], new["result"]) == ("Shared rules.", "[]", "yes")
    assert (str(new["yes_bid"]), str(new["yes_payout"]), str(new["volume"])) == ("0.570000", "1.000000", "0.01")
    assert (new["event_title"], new["series_title"]) == (EVENT["title"], "Baseball games")
    assert new["settled_time"] == new["recorded_time"]
    assert keys(inputs.engine, tables.markets) == ["LIVE", "NEW", "OLD"]


def test_archived_market_is_archived_again_only_if_its_record_changed(
    inputs: UpkeepInputs, archived: Any, tmp_path: Path
) -> None:
    add_settled(inputs.engine, "A", 1)
    add_settled(inputs.engine, "B", 1)
    archive_settled(inputs)
    (file,) = (tmp_path / "lake" / "settled_markets").rglob("*.parquet")
    before = file.stat().st_mtime_ns
    archive_settled(inputs)
    assert file.stat().st_mtime_ns == before
    update(inputs.engine, tables.markets, "A", expiration_value="42", recorded_us=days_ago(0.5))
    archive_settled(inputs)
    assert {ticker: row["expiration_value"] for ticker, row in archived().items()} == {"A": "42", "B": ""}


def test_corrected_settlement_time_makes_no_second_row(inputs: UpkeepInputs, archived: Any) -> None:
    add_settled(inputs.engine, "A", 5)
    archive_settled(inputs)
    update(inputs.engine, tables.settlements, "A", settled_us=days_ago(2), recorded_us=days_ago(1))
    archive_settled(inputs)
    assert archived()["A"]["settled_time"].timestamp() * 1e6 == days_ago(2)


def test_market_leaves_with_its_rows_after_the_retention(inputs: UpkeepInputs, archived: Any) -> None:
    add_settled(inputs.engine, "GONE", 31)
    add_settled(inputs.engine, "YOUNG", 29)
    archive_settled(inputs)
    assert counts(remove_settled(inputs), "settled markets") == (1, 1)
    for table in OF_MARKETS:
        assert keys(inputs.engine, table) == ["YOUNG"], table.name
    assert archived().keys() == {"GONE", "YOUNG"}
    assert counts(remove_settled(inputs), "settled markets") == (0, 1)


def test_market_that_was_never_archived_is_published_before_it_leaves(inputs: UpkeepInputs, archived: Any) -> None:
    add_settled(inputs.engine, "GONE", 31)
    remove_settled(inputs)
    assert archived().keys() == {"GONE"}
    assert keys(inputs.engine, tables.markets) == []


def test_late_change_is_in_the_lake_before_the_market_leaves(inputs: UpkeepInputs, archived: Any) -> None:
    add_settled(inputs.engine, "GONE", 31)
    archive_settled(inputs)
    update(inputs.engine, tables.markets, "GONE", expiration_value="42", recorded_us=days_ago(1))
    remove_settled(inputs)
    assert archived()["GONE"]["expiration_value"] == "42"
    assert keys(inputs.engine, tables.markets) == []


@pytest.mark.parametrize(
    ("table", "values", "reason"),
    [
        (tables.trades, {"ticker": "KEPT", "position_id": None}, "traded"),
        (tables.portfolio_settlements, {"ticker": "KEPT"}, "traded"),
        (tables.positions, {"ticker": "KEPT"}, "held"),
        (tables.tracked_items, {"ticker": "KEPT"}, "tracked"),
        (tables.tracked_items, {"ticker": EVENT["event_ticker"], "item_type": "event"}, "tracked"),
        (tables.news_article_markets, {"ticker": "KEPT"}, "linked to news"),
    ],
)
def test_market_with_a_reason_to_stay_stays(
    inputs: UpkeepInputs, archived: Any, table: sa.Table, values: dict[str, Any], reason: str
) -> None:
    add_event(inputs.engine, "OTHER")
    add_settled(inputs.engine, "GONE", 31, "OTHER")
    add_settled(inputs.engine, "KEPT", 31)
    if table is tables.news_article_markets:
        insert(inputs.engine, tables.news_articles, {})
    insert(inputs.engine, table, values)
    (reported,) = remove_settled(inputs)
    assert (reported.removed, reported.kept) == (1, 1)
    assert reported.note == f"older markets that stay: 1 {reason}"
    for each in OF_MARKETS:
        assert keys(inputs.engine, each) == ["KEPT"], each.name


def test_market_that_the_journal_names_stays(inputs: UpkeepInputs, archived: Any) -> None:
    add_settled(inputs.engine, "GONE", 31)
    add_settled(inputs.engine, "KEPT", 31)
    named = frozenset({"KEPT", "ANOTHER", 'O\'Neil "quoted"'})
    (reported,) = remove_settled(replace(inputs, protected=lambda: named))
    assert reported.note == "older markets that stay: 1 proposed on"
    assert keys(inputs.engine, tables.markets) == ["KEPT"]


def test_no_market_leaves_if_the_journal_cannot_be_read(inputs: UpkeepInputs) -> None:
    def unreadable() -> frozenset[str]:
        raise ExpectedError("The journal is locked.", "Wait.")

    add_settled(inputs.engine, "KEPT", 31)
    with pytest.raises(ExpectedError, match="locked"):
        remove_settled(replace(inputs, protected=unreadable))
    assert keys(inputs.engine, tables.markets) == ["KEPT"]


def test_market_with_history_rows_waits_until_they_have_left(inputs: UpkeepInputs) -> None:
    add_settled(inputs.engine, "KEPT", 31)
    add_history(inputs.engine, "KEPT", [days_ago(32)])
    (reported,) = remove_settled(inputs)
    assert (reported.removed, reported.kept) == (0, 1)
    assert "history rows" in reported.note


def test_live_market_with_an_old_settlement_stays(inputs: UpkeepInputs) -> None:
    add_settled(inputs.engine, "DISPUTED", 31)
    update(inputs.engine, tables.markets, "DISPUTED", status="disputed")
    assert counts(remove_settled(inputs), "settled markets") == (0, 1)


def test_no_market_leaves_if_the_file_of_its_day_was_changed(inputs: UpkeepInputs, tmp_path: Path) -> None:
    add_settled(inputs.engine, "KEPT", 31)
    archive_settled(inputs)
    (file,) = (tmp_path / "lake" / "settled_markets").rglob("*.parquet")
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(LakeFileChanged):
        remove_settled(inputs)
    assert keys(inputs.engine, tables.markets) == ["KEPT"]


@pytest.mark.parametrize("change", ["record", "news"])
def test_market_that_changes_after_the_proof_stays(
    inputs: UpkeepInputs, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    add_settled(inputs.engine, "KEPT", 31)
    add_settled(inputs.engine, "GONE", 31)
    insert(inputs.engine, tables.news_articles, {})

    def change_then_remember(*given: Any) -> None:
        if change == "record":
            update(inputs.engine, tables.markets, "KEPT", expiration_value="42", recorded_us=days_ago(0))
        else:
            insert(inputs.engine, tables.news_article_markets, {"ticker": "KEPT"})
        remember_archived(*given)

    monkeypatch.setattr(leaving, "remember_archived", change_then_remember)
    assert counts(remove_settled(inputs), "settled markets") == (1, 1)
    assert keys(inputs.engine, tables.markets) == ["KEPT"]


def test_many_markets_leave_in_several_transactions(inputs: UpkeepInputs, archived: Any) -> None:
    names = [f"M{number:04}" for number in range(2_500)]
    at = days_ago(31)
    with writing(inputs.engine) as connection:
        settled = {"settlement_time_us": at, "recorded_us": at, **SETTLED, **DIGESTS}
        connection.execute(sa.insert(tables.markets), [MARKET | settled | {"ticker": name} for name in names])
        legal = LEGAL[tables.settlements] | {"settled_us": at, "recorded_us": at}
        connection.execute(sa.insert(tables.settlements), [legal | {"ticker": name} for name in names])
    assert counts(remove_settled(inputs), "settled markets") == (2_500, 0)
    assert len(archived()) == 2_500


def test_dry_run_counts_the_same_and_changes_nothing(inputs: UpkeepInputs, tmp_path: Path) -> None:
    add_settled(inputs.engine, "GONE", 31)
    add_event(inputs.engine, "PAST")
    dry = replace(inputs, is_dry_run=True)
    tasks = (archive_settled, remove_settled, remove_past_events, remove_unused_texts)
    reported = [task(dry)[0] for task in tasks]
    assert [each.removed for each in reported] == [0, 1, 1, 0]
    assert reported[0].note == "1 would be archived"
    assert not (tmp_path / "lake").exists()
    assert keys(inputs.engine, tables.markets) == ["GONE"]


def test_event_follows_its_last_market(inputs: UpkeepInputs, archived: Any) -> None:
    add_event(inputs.engine, "TWO")
    add_settled(inputs.engine, "A", 33, "TWO")
    add_settled(inputs.engine, "B", 31, "TWO")
    add_event(inputs.engine, "HALF")
    add_settled(inputs.engine, "C", 31, "HALF")
    add_market(inputs.engine, "LIVE", "HALF")
    remove_settled(inputs)
    add_market(inputs.engine, "OTHER")
    assert counts(remove_past_events(inputs), "events") == (1, 2)
    assert keys(inputs.engine, tables.events) == ["HALF", EVENT["event_ticker"]]
    (event,) = archived("past_events", "event_ticker").values()
    assert event["event_ticker"] == "TWO"
    assert event["last_settlement_time"].timestamp() * 1e6 == days_ago(31)
    assert event["ended_time"] == event["last_settlement_time"]


@pytest.mark.parametrize(
    "values",
    [
        {"recorded_us": days_ago(29)},
        {"listed_us": days_ago(29)},
        {"strike_date_us": days_ago(-5)},
        {"record_digest": None, "is_placeholder": True},
    ],
    ids=["changed lately", "listed lately", "strike to come", "placeholder"],
)
def test_event_without_markets_that_may_still_get_some_stays(inputs: UpkeepInputs, values: dict[str, Any]) -> None:
    add_market(inputs.engine, "OTHER")
    add_event(inputs.engine, "KEPT", **values)
    assert counts(remove_past_events(inputs), "events") == (0, 2)


@pytest.mark.parametrize("table", [tables.news_article_events, tables.tracked_items])
def test_event_that_is_tracked_or_in_news_stays(inputs: UpkeepInputs, table: sa.Table) -> None:
    add_market(inputs.engine, "OTHER")
    add_event(inputs.engine, "KEPT")
    insert(inputs.engine, tables.news_articles, {})
    name = "ticker" if table is tables.tracked_items else "event_ticker"
    insert(inputs.engine, table, {name: "KEPT"})
    assert counts(remove_past_events(inputs), "events") == (0, 2)


def test_text_that_no_market_refers_to_leaves(inputs: UpkeepInputs) -> None:
    add_market(inputs.engine, "LIVE")
    with writing(inputs.engine) as connection:
        connection.execute(sa.insert(tables.rule_texts).values(text_digest=b"unused", text="Old rules."))
    with hold_work_lock(inputs.engine, "markets"):
        (reported,) = remove_unused_texts(inputs)
        assert (reported.removed, reported.kept) == (0, 3)
        assert "being read" in reported.note
    assert counts(remove_unused_texts(inputs), "shared texts of markets") == (1, 2)
    assert keys(inputs.engine, tables.rule_texts) == [b"ranges", b"text"]


def test_days_pass_and_the_warehouse_keeps_its_size(inputs: UpkeepInputs, archived: Any) -> None:
    sizes = []
    for day in range(40):
        now = replace(inputs, now_us=days_ago(40) + day * DAY_US)
        add_event(inputs.engine, f"E{day}", now.now_us - DAY_US)
        add_settled(inputs.engine, f"M{day}", 40 - day, f"E{day}")
        for task in (archive_settled, remove_settled, remove_past_events):
            task(now)
        sizes.append(len(keys(inputs.engine, tables.markets)))
    assert sizes[31:] == [31] * 9
    assert len(archived()) == 40


@pytest.mark.parametrize("settled_days_ago", [5, 31])
def test_record_changed_after_the_clock_went_back_replaces_the_older_one(
    inputs: UpkeepInputs, archived: Any, settled_days_ago: int
) -> None:
    add_settled(inputs.engine, "A", settled_days_ago)
    archive_settled(inputs)
    # The clock of this computer was set back by a day before the exchange corrected the market.
    back = days_ago(settled_days_ago + 1)
    update(inputs.engine, tables.markets, "A", expiration_value="42", recorded_us=back)
    update(inputs.engine, tables.quotes, "A", observed_us=back)
    update(inputs.engine, tables.settlements, "A", recorded_us=back)
    (reported,) = (archive_settled if settled_days_ago == 5 else remove_settled)(inputs)
    assert "1 had a time before that of its older record, because the clock of this computer went back" in reported.note
    assert archived()["A"]["expiration_value"] == "42"
    assert keys(inputs.engine, tables.markets) == (["A"] if settled_days_ago == 5 else [])
