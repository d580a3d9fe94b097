"""Every migration can be undone and repeated without losing a row, or the downgrade is refused."""

import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.migration_steps import DowngradeWouldLoseRows
from kalshi_pipelines.warehouse.tables import metadata
from kalshi_pipelines_tests.support.checkout import CHECKOUT
from kalshi_pipelines_tests.support.warehouse.revisions import (
    OPTIONAL_REFERENCES,
    REVISIONS,
    Database,
    Rows,
    ancestors,
    open_database,
)
from kalshi_pipelines_tests.support.warehouse.rows import numbered

#: Migration 0014 moves columns between tables in both directions, and 0016 counts rows. test_quotes_migration.py and
#: test_history_moves_migration.py test them.
STEPS = [step for step in pairwise(["base", *REVISIONS]) if step[1] not in {"0014", "0016"}]


@pytest.fixture
def database(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    with open_database(empty_database_url, monkeypatch) as database:
        yield database


def shared_rows(rows: Rows, other: Rows) -> Rows:
    """Return ``rows`` reduced to the tables and columns that ``other`` has, too."""
    columns = {table: rows[table][0].keys() & other[table][0].keys() for table in rows.keys() & other.keys()}
    return {
        table: sorted(({name: row[name] for name in sorted(columns[table])} for row in rows[table]), key=repr)
        for table in columns
    }


@pytest.mark.parametrize(("older", "revision"), STEPS)
def test_downgrade_and_upgrade_keep_every_row(database: Database, older: str, revision: str) -> None:
    if older != "base":
        database.upgrade(older)
    surviving, older_schema = database.tables(), database.schema()
    database.upgrade(revision)
    schema = database.schema()
    database.fill(surviving)
    rows = database.rows()

    database.downgrade(older)
    assert database.schema() == older_schema
    older_rows = database.rows()
    # Both sides are sorted in the same way: by their columns in the order of the names.
    assert shared_rows(older_rows, older_rows) == shared_rows(rows, older_rows)
    assert older_rows.keys() == surviving
    database.upgrade(revision)
    assert database.schema() == schema
    assert database.rows() == rows


def assert_refused(database: Database, older: str, tables: set[str]) -> None:
    """Check that a downgrade is refused with an error about one of the tables, and changes nothing."""
    schema, rows = database.schema(), database.rows()
    with pytest.raises(DowngradeWouldLoseRows, match="restore the backup that was made") as refusal:
        database.downgrade(older)
    assert str(refusal.value).split(" holds rows")[0] in tables
    assert len(str(refusal.value).splitlines()) == 1
    assert database.schema() == schema
    assert database.rows() == rows


@pytest.mark.parametrize(("older", "revision"), STEPS)
def test_downgrade_that_would_drop_a_table_with_rows_is_refused(database: Database, older: str, revision: str) -> None:
    if older != "base":
        database.upgrade(older)
    surviving = database.tables()
    database.upgrade(revision)
    new = database.tables() - surviving
    for name in sorted(new):
        # Test each new table alone: write rows only to it, and to the tables that its rows must refer to.
        table = metadata.tables[name]
        database.fill(ancestors(table), count=1)
        references = {key.parent.name for key in table.foreign_keys} & OPTIONAL_REFERENCES
        database.insert(name, numbered(table, 0) | dict.fromkeys(references))
        assert_refused(database, older, {name, *(ancestors(table) & new)})
        database.empty(database.tables())
    database.downgrade(older)
    assert database.tables() == surviving


NAMED_MARKET = {"ticker": "KXNAMED", "is_placeholder": True, "first_seen_us": 1, "recorded_us": 1, "ingest_run_id": 1}


NEW_LINK = {"news_article_id": 2, "linked_us": 1}


def adoption_run() -> dict[str, Any]:
    return numbered(tables.ingest_runs, 5) | {"subject": "adoption", "environment": None}


def legacy_record() -> dict[str, Any]:
    return numbered(tables.quarantine, 5) | {"subject": "kalshi_research.trades"}


@pytest.mark.parametrize(
    ("revision", "table", "row"),
    [
        ("0005", "markets", NAMED_MARKET),
        *[
            ("0005", "price_snapshots", numbered(tables.price_snapshots, 5) | {column: None})
            for column in tables.QUOTE_OPTIONAL
        ],
        ("0005", "ingest_runs", adoption_run()),
        ("0005", "quarantine", legacy_record()),
        ("0012", "ingest_runs", numbered(tables.ingest_runs, 5) | {"subject": "news_articles"}),
        ("0012", "quarantine", numbered(tables.quarantine, 5) | {"subject": "news_articles"}),
        ("0012", "tracked_items", numbered(tables.tracked_items, 5) | {"ingest_run_id": None}),
        ("0012", "news_articles", numbered(tables.news_articles, 5) | {"group_id": 1}),
        ("0012", "news_article_markets", NEW_LINK | {"ticker": numbered(tables.markets, 2)["ticker"]}),
        ("0012", "news_article_events", NEW_LINK | {"event_ticker": numbered(tables.events, 2)["event_ticker"]}),
    ],
)
def test_downgrade_is_refused_for_a_row_that_the_older_schema_forbids(
    database: Database, revision: str, table: str, row: dict[str, Any]
) -> None:
    older = REVISIONS[REVISIONS.index(revision) - 1]
    database.upgrade(older)
    there = database.tables()
    database.upgrade(revision)
    database.fill(there)
    database.insert(table, row)
    assert_refused(database, older, {table})


def test_downgrade_command_prints_its_refusal_on_one_line(database: Database) -> None:
    database.upgrade("0008")
    database.fill({"ingest_runs", "adoption_notes"})
    finished = subprocess.run(
        [sys.executable, "-m", "alembic", "downgrade", "-1"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert finished.returncode != 0
    assert "FAILED: adoption_notes holds rows" in finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr


def test_downgrade_to_base_leaves_an_empty_database(database: Database) -> None:
    database.upgrade()
    database.downgrade("base")
    assert database.schema() == {}


# Rows that break a new constraint of 0009 or a later migration -------------------------------------------------------


def test_rate_budget_of_an_unused_bucket_is_deleted(database: Database) -> None:
    database.upgrade("0008")
    database.fill({"rate_budgets"})
    kept = database.rows()["rate_budgets"]
    database.insert("rate_budgets", {"budget_key": "anonymous", "bucket": "WRITE", "theoretical_arrival_us": 1})
    database.upgrade("0009")
    assert database.rows()["rate_budgets"] == kept
