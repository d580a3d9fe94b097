"""Migration 0014 moves quotes, shared texts and newest books out of older tables and back, and fills settlements."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.migration_steps import DowngradeWouldLoseRows
from kalshi_pipelines_tests.support.warehouse.revisions import Database, Rows, as_before_0014, open_database
from kalshi_pipelines_tests.support.warehouse.rows import numbered
from kalshi_pipelines_tests.support.warehouse.schema import in_any_order

OLD_TABLES = {"ingest_runs", "series", "events", "markets", "price_snapshots", "orderbook_snapshots"}


@pytest.fixture
def database(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    with open_database(empty_database_url, monkeypatch) as database:
        database.upgrade("0013")
        yield database


def by_ticker(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["ticker"]: row for row in rows}


def projected(rows: Rows, like: Rows, table: str) -> list[dict[str, Any]]:
    """Return the rows of a table with the columns that the other rows of the table have, sorted."""
    columns = sorted(like[table][0])
    return sorted(({name: row[name] for name in columns} for row in rows[table]), key=repr)


def market(number: int, **values: Any) -> dict[str, Any]:
    return numbered(tables.markets, number) | values


def finalized(number: int, value: int | None, **values: Any) -> dict[str, Any]:
    settled = {"status": "finalized", "result": "yes", "settlement_time_us": 77, "settlement_value_microdollars": value}
    return market(number, **(settled | values))


def test_upgrade_keeps_quotes_and_texts_of_every_market(database: Database) -> None:
    database.fill(OLD_TABLES)
    texts = {"rules_secondary": "Long rules — 50 %", "early_close_condition": None, "price_ranges": '[{"a":1}]'}
    database.insert("markets", market(5, **texts))
    database.insert("markets", market(6, **texts))
    before = database.rows()
    database.upgrade("0014")
    after = as_before_0014(database.rows())
    for table in OLD_TABLES:
        assert projected(after, before, table) == projected(before, before, table)
    stored = {row["text"]: row["text_digest"] for row in database.rows()["rule_texts"]}
    assert stored.keys() == {"", "[]", "Long rules — 50 %", '[{"a":1}]'}
    assert all(digest == hashlib.sha256(text.encode()).digest()[:16] for text, digest in stored.items())
    assert {row["observed_us"] for row in database.rows()["quotes"]} == {1}


def test_upgrade_leaves_placeholders_without_quote(database: Database) -> None:
    database.fill({"ingest_runs"})
    named = {"ticker": "KXNAMED", "is_placeholder": True, "first_seen_us": 1, "recorded_us": 1, "ingest_run_id": 1}
    database.insert("markets", named)
    database.upgrade("0014")
    rows = database.rows()
    assert [row["ticker"] for row in rows["markets"]] == ["KXNAMED"]
    assert rows["quotes"] == rows["rule_texts"] == []
    database.downgrade("0013")
    assert [row["ticker"] for row in database.rows()["markets"]] == ["KXNAMED"]


def test_upgrade_copies_only_the_newest_book_of_each_market(database: Database) -> None:
    database.fill(OLD_TABLES - {"orderbook_snapshots"})
    tickers = sorted(row["ticker"] for row in database.rows()["markets"])
    for number, (ticker, observed_us) in enumerate(zip((*[tickers[0]] * 3, tickers[1]), (1, 9, 4, 2), strict=True)):
        seen = {"ticker": ticker, "observed_us": observed_us, "record_digest": b"%d" % number}
        database.insert("orderbook_snapshots", numbered(tables.orderbook_snapshots, number) | seen)
    database.upgrade("0014")
    books = by_ticker(database.rows()["orderbooks"])
    assert {ticker: (book["observed_us"], book["record_digest"]) for ticker, book in books.items()} == {
        tickers[0]: (9, b"1"),
        tickers[1]: (2, b"3"),
    }
    assert len(database.rows()["orderbook_snapshots"]) == 4
    with database.engine.connect() as connection:
        shown = connection.exec_driver_sql("SELECT ticker, observed_us FROM orderbook_levels").all()
    assert sorted(map(tuple, shown)) == [(tickers[0], 1), (tickers[0], 4), (tickers[0], 9), (tickers[1], 2)]


def test_upgrade_fills_settlements_from_settlement_values(database: Database) -> None:
    database.fill({"ingest_runs", "series", "events"})
    event = {"event_ticker": numbered(tables.events, 0)["event_ticker"], "volume_centicontracts": 1}
    database.insert("markets", finalized(0, 1_000_000, **event))
    database.insert("markets", finalized(1, 370_000, result="scalar", **event))
    database.insert("markets", finalized(2, 500_000, result="", **event | {"volume_centicontracts": 0}))
    database.insert("markets", finalized(3, None, **event))
    database.insert("markets", finalized(4, 1_500_000, **event))
    database.insert("markets", finalized(5, 0, settlement_time_us=None, **event))
    database.insert("markets", finalized(6, 0, **event | {"status": "determined"}))
    database.upgrade("0014")
    rows = database.rows()
    assert len(rows["markets"]) == 7
    settled = by_ticker(rows["settlements"])
    names = (
        "result",
        "yes_payout_microdollars",
        "no_payout_microdollars",
        "final_yes_price_microdollars",
        "settled_us",
    )
    assert {ticker: tuple(row[name] for name in names) for ticker, row in settled.items()} == {
        market(0)["ticker"]: ("yes", 1_000_000, 0, 575_000, 77),
        market(1)["ticker"]: ("scalar", 370_000, 630_000, 575_000, 77),
        market(2)["ticker"]: ("scalar", 500_000, 500_000, None, 77),
    }


def test_upgrade_keeps_settlements_that_are_stored(database: Database) -> None:
    database.fill({"ingest_runs", "series", "events"})
    database.insert("markets", finalized(0, 0))
    database.fill({"settlements"}, count=1)
    before = database.rows()["settlements"]
    database.upgrade("0014")
    assert database.rows()["settlements"] == before


def test_downgrade_moves_everything_back(database: Database) -> None:
    database.upgrade("0014")
    database.fill(database.tables() - {"orderbook_snapshots"})
    rows = database.rows()
    database.downgrade("0013")
    older, moved = database.rows(), as_before_0014(rows)
    assert older.keys() == rows.keys() - {"quotes", "rule_texts", "orderbooks"}
    for table in older.keys() - {"orderbook_snapshots"}:
        assert projected(moved, older, table) == projected(older, older, table), table
    # The newest books were in no history row, so they became history rows.
    assert len(older["orderbook_snapshots"]) == 3

    database.upgrade("0014")
    again = database.rows()
    for table in rows.keys() - {"markets", "orderbook_snapshots", "rule_texts"}:
        assert again[table] == rows[table], table
    assert projected(as_before_0014(again), older, "markets") == projected(moved, older, "markets")


def test_downgrade_keeps_history_of_books_without_copies(database: Database) -> None:
    database.fill(OLD_TABLES)
    before, schema = database.rows(), database.schema()
    database.upgrade("0014")
    database.downgrade("0013")
    assert in_any_order(database.schema(), "markets") == in_any_order(schema, "markets")
    for table in OLD_TABLES:
        assert projected(database.rows(), before, table) == projected(before, before, table)


def test_downgrade_is_refused_for_a_market_without_quote(database: Database) -> None:
    database.upgrade("0014")
    database.fill({"ingest_runs", "series", "events", "rule_texts", "markets"}, count=1)
    before = database.rows()
    with pytest.raises(DowngradeWouldLoseRows, match="markets holds rows"):
        database.downgrade("0013")
    assert database.rows() == before


def test_rows_of_settled_markets_need_little_room(database: Database) -> None:
    database.upgrade("0014")
    schema = database.schema()
    indexes = {what.rsplit(".")[-1].split()[-1]: str(how) for what, how in schema.items() if what.startswith("index")}
    assert "ix_settlements_settled_us" not in indexes
    assert "finalized" in indexes["ix_markets_status_close_time_us"]
    if database.engine.dialect.name == "sqlite":
        assert schema["table settlements"] == "STRICT, WITHOUT ROWID"
        assert schema["table rule_texts"] == "STRICT"
