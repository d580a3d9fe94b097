"""The migration that lets markets leave: it counts history rows, and a downgrade never forgets rows that have left."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.migration_steps import DowngradeWouldLoseRows
from kalshi_pipelines_tests.support.warehouse.revisions import REVISIONS, SCRIPTS, Database, open_database
from kalshi_pipelines_tests.support.warehouse.rows import LEGAL

#: The migration, and the one before it.
(REVISION,) = [each for each in REVISIONS if "settled_markets_leave" in SCRIPTS.get_revision(each).path]
BEFORE = REVISIONS[REVISIONS.index(REVISION) - 1]


@pytest.fixture
def database(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    with open_database(empty_database_url, monkeypatch) as database:
        database.upgrade(BEFORE)
        yield database


def test_upgrade_keeps_every_row_and_counts_history(database: Database) -> None:
    database.fill(database.tables() - {"lake_files", "warehouse_identity"})
    before = database.rows()
    schema = database.schema()
    database.upgrade(REVISION)
    after = database.rows()
    moves = {row["dataset"]: row for row in after.pop("history_moves")}
    assert {name: (row["rows_before"], row["rows_removed"], row["finished_us"]) for name, row in moves.items()} == {
        "price_history": (3, 0, None),
        "orderbook_levels": (3, 0, None),
    }
    assert {row["last_ingest_run_id"] for row in moves.values()} == {1}
    assert after.pop("superseded_files") == []
    added = {"archived_day", "archived_us", "last_settlement_us"}
    for table, rows in after.items():
        kept = [{name: value for name, value in row.items() if name not in added} for row in rows]
        assert sorted(kept, key=repr) == before[table], table
    database.downgrade(BEFORE)
    assert database.schema() == schema
    assert database.rows() == before


def test_upgrade_lets_every_run_be_published_again(database: Database) -> None:
    database.insert("ingest_runs", LEGAL[tables.ingest_runs] | {"exported_us": 5, "history_rows": 3})
    database.upgrade(REVISION)
    assert [row["exported_us"] for row in database.rows()["ingest_runs"]] == [None]


def test_upgrade_of_an_empty_warehouse_leaves_nothing_to_move(database: Database) -> None:
    database.upgrade(REVISION)
    assert database.rows()["history_moves"] == []


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (tables.history_moves, {}),
        (tables.superseded_files, {}),
        (tables.settlements, {"archived_day": 20_000, "archived_us": 1}),
        (tables.events, {"last_settlement_us": 1}),
    ],
)
def test_downgrade_after_rows_have_left_is_refused(database: Database, table: sa.Table, values: dict[str, int]) -> None:
    database.upgrade(REVISION)
    database.fill({"ingest_runs", "series", "events", "markets", "settlements"} | {table.name}, count=1)
    if values:
        with writing(database.engine) as connection:
            connection.execute(sa.update(table).values(values))
    rows = database.rows()
    with pytest.raises(DowngradeWouldLoseRows, match=table.name):
        database.downgrade(BEFORE)
    assert database.rows() == rows
