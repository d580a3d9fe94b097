"""Adoption of whole legacy databases, of every revision and stamp, into SQLite and Postgres."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse.adoption.report import AdoptedTable
from kalshi_pipelines.warehouse.engine import open_engine, writing
from kalshi_pipelines.warehouse.inspection import CannotBeUpgraded
from kalshi_pipelines.warehouse.tables import (
    adoption_counts,
    adoption_notes,
    ingest_runs,
    markets,
    metadata,
    price_snapshots,
    quarantine,
)
from kalshi_pipelines.warehouse.upgrade import UpgradeReport, migrate
from kalshi_pipelines_tests.support.warehouse.legacy import HEAD, REVISIONS, LegacyDatabase, make_legacy_database
from kalshi_pipelines_tests.support.warehouse.rows import LEGAL

STAMPS: dict[str, dict[str, Any]] = {
    **{revision: {"revision": revision} for revision in REVISIONS},
    "not stamped": {"stamp": None},
    "empty version table": {"stamp": ()},
    "older stamp, newer tables": {"revision": REVISIONS[0], "newer_tables": True},
}


def silent(_sentence: str) -> None:
    pass


def migrate_in_place(path: Path) -> tuple[sa.Engine, UpgradeReport]:
    engine = open_engine(f"sqlite:///{path}")
    return engine, migrate(engine, "sandbox", silent)


def all_rows(engine: sa.Engine) -> dict[str, list[Any]]:
    """Return every row of every table, without columns that hold the time of the adoption."""
    found = {}
    with engine.connect() as connection:
        for table in metadata.sorted_tables:
            columns = [c for c in table.c if c.name not in {"started_us", "finished_us"} | _time_columns(table)]
            rows = connection.execute(sa.select(*columns))
            found[table.name] = sorted(repr([int(v) if isinstance(v, bool) else v for v in row]) for row in rows)
    return found


def _time_columns(table: sa.Table) -> set[str]:
    """Return the columns of a table that hold the time of the adoption."""
    if table.name in {"series", "settlements", "quarantine"}:
        return {"first_seen_us", "recorded_us", "first_quarantined_us", "quarantined_us"}
    return {"first_seen_us", "recorded_us"} if table.name in {"markets", "events"} else set()


@pytest.fixture
def old(tmp_path: Path) -> LegacyDatabase:
    return make_legacy_database(tmp_path / "old.db")


@pytest.fixture
def empty_engine(empty_database_url: str) -> Iterator[sa.Engine]:
    engine = open_engine(empty_database_url)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("made", STAMPS.values(), ids=STAMPS)
def test_every_row_of_every_revision_and_stamp_is_accounted_for(made: dict[str, Any], tmp_path: Path) -> None:
    old = make_legacy_database(tmp_path / "old.db", **made)
    engine, report = migrate_in_place(old.path)
    assert report.adoption is not None
    assert {t.name: (t.read, t.normalised, t.quarantined) for t in report.adoption.tables} == old.counts()
    with engine.connect() as connection:
        quarantined = connection.execute(sa.select(quarantine.c.subject, quarantine.c.record_key)).all()
        noted = connection.execute(
            sa.select(*[adoption_notes.c[n] for n in ("table_name", "row_key", "outcome")])
        ).all()
    assert {(subject.removeprefix("kalshi_research."), key) for subject, key in quarantined} == old.keys("quarantined")
    assert {(table, key) for table, key, outcome in noted if outcome == "normalised"} == old.keys("normalised")
    assert {(table, key) for table, key, outcome in noted if outcome == "kept"} == old.keys("kept")
    engine.dispose()


def test_adoption_counts_are_stored_in_table_and_run(old: LegacyDatabase) -> None:
    engine, report = migrate_in_place(old.path)
    assert report.adoption is not None
    with engine.connect() as connection:
        stored = connection.execute(sa.select(adoption_counts)).all()
        run = connection.execute(sa.select(ingest_runs)).one()
    assert {AdoptedTable(*row[1:2], *row[3:]) for row in stored} == set(report.adoption.tables)
    total = report.adoption.total
    assert (run.subject, run.environment, run.status) == ("adoption", None, "succeeded")
    assert (run.records_read, run.records_written, run.records_rejected) == (
        total.read,
        total.stored,
        total.quarantined,
    )
    engine.dispose()


def test_adoption_in_place_and_from_a_file_give_the_same_rows(old: LegacyDatabase, empty_engine: sa.Engine) -> None:
    before = old.path.read_bytes()
    migrate(empty_engine, "sandbox", silent, adopt_from=old.path)
    assert old.path.read_bytes() == before
    elsewhere = all_rows(empty_engine)
    engine, _ = migrate_in_place(old.path)
    assert all_rows(engine) == elsewhere
    engine.dispose()


def test_database_is_adopted_once(old: LegacyDatabase, empty_engine: sa.Engine) -> None:
    assert migrate(empty_engine, "sandbox", silent, adopt_from=old.path).adoption
    rows = all_rows(empty_engine)
    assert migrate(empty_engine, "sandbox", silent, adopt_from=old.path).adoption is None
    assert all_rows(empty_engine) == rows


def test_warehouse_with_data_adopts_nothing(old: LegacyDatabase, engine: sa.Engine) -> None:
    with writing(engine) as connection:
        connection.execute(sa.insert(ingest_runs), LEGAL[ingest_runs])
    before = all_rows(engine)
    with pytest.raises(CannotBeUpgraded, match="holds data already"):
        migrate(engine, "sandbox", silent, adopt_from=old.path)
    assert all_rows(engine) == before


def test_file_that_is_not_a_legacy_database_is_not_adopted(tmp_path: Path, empty_engine: sa.Engine) -> None:
    with pytest.raises(CannotBeUpgraded, match="does not exist"):
        migrate(empty_engine, "sandbox", silent, adopt_from=tmp_path / "missing.db")
    (tmp_path / "empty_file.db").touch()
    with pytest.raises(CannotBeUpgraded, match="not a kalshi_research database"):
        migrate(empty_engine, "sandbox", silent, adopt_from=tmp_path / "empty_file.db")
    assert sa.inspect(empty_engine).get_table_names() == []


def test_new_rows_get_ids_after_the_adopted_ids(old: LegacyDatabase, empty_engine: sa.Engine) -> None:
    migrate(empty_engine, "sandbox", silent, adopt_from=old.path)
    key = price_snapshots.c.price_snapshot_id
    with writing(empty_engine) as connection:
        highest = connection.scalar(sa.select(sa.func.max(key)))
        ticker = connection.scalar(sa.select(markets.c.ticker).limit(1))
        snapshot = LEGAL[price_snapshots] | {"ticker": ticker, "ingest_run_id": 1}
        assert connection.scalar(sa.insert(price_snapshots).returning(key), snapshot) == (highest or 0) + 1


def test_row_with_text_that_cannot_be_stored_is_quarantined(tmp_path: Path, empty_engine: sa.Engine) -> None:
    old = make_legacy_database(tmp_path / "old.db", bad_rows=False)
    with closing(sqlite3.connect(old.path)) as database, database:
        database.execute("UPDATE news_articles SET title = 'a' || char(0) || 'b' WHERE id = 1")
        database.execute("UPDATE news_articles SET full_text = CAST(x'ff' AS TEXT) WHERE id = 2")
    report = migrate(empty_engine, "sandbox", silent, adopt_from=old.path)
    assert report.adoption is not None
    (articles,) = [table for table in report.adoption.tables if table.name == "news_articles"]
    assert articles.read == articles.stored + articles.quarantined
    with empty_engine.connect() as connection:
        (refused,) = connection.scalars(
            sa.select(quarantine.c.payload).where(
                quarantine.c.record_key == "id=2", quarantine.c.reason.like("full_text%")
            )
        )
    assert json.loads(refused)["full_text"] == {"bytes": "ff"}


@pytest.mark.parametrize("table", ["news_sentiments", "positions", "price_snapshots", "all"])
def test_table_without_rows_is_adopted(table: str, old: LegacyDatabase) -> None:
    with closing(sqlite3.connect(old.path)) as database, database:
        for name in old.rows if table == "all" else [table]:
            database.execute(f"DELETE FROM {name}")
    engine, report = migrate_in_place(old.path)
    assert report.adoption is not None
    read = {each.name: each.read for each in report.adoption.tables}
    assert set(read) == set(old.rows)
    assert {name for name, rows in read.items() if rows == 0} == (set(old.rows) if table == "all" else {table})
    engine.dispose()


def test_children_of_a_row_refused_by_the_database_keep_a_placeholder(tmp_path: Path, empty_engine: sa.Engine) -> None:
    old = make_legacy_database(tmp_path / "old.db", bad_rows=False)
    with closing(sqlite3.connect(old.path)) as database, database:
        for table in ("events", "markets"):
            database.execute(f"UPDATE {table} SET title = 'a' || char(0) || 'b'")
        database.execute("UPDATE positions SET quantity = 1 << 62 WHERE id = 1")
    report = migrate(empty_engine, "sandbox", silent, adopt_from=old.path)
    assert report.adoption is not None
    quarantined = {table.name: table.quarantined for table in report.adoption.tables if table.quarantined}
    texts = {} if empty_engine.dialect.name == "sqlite" else {name: old.rows[name] for name in ("events", "markets")}
    assert quarantined == {"positions": 1} | texts


def test_original_values_include_retired_columns(tmp_path: Path) -> None:
    old = make_legacy_database(tmp_path / "old.db", REVISIONS[0])
    engine, _ = migrate_in_place(old.path)
    with engine.connect() as connection:
        payload = connection.scalar(
            sa.select(quarantine.c.payload).where(quarantine.c.subject == "kalshi_research.price_snapshots").limit(1)
        )
    assert json.loads(str(payload))["liquidity"] == 1
    engine.dispose()


def test_keys_that_look_alike_are_quarantined_separately(tmp_path: Path, empty_engine: sa.Engine) -> None:
    old = make_legacy_database(tmp_path / "old.db", bad_rows=False)
    alike = ["b'KXA'", b"KXA", "x'4b5841'", "KX\x00", "KX\\x00", '"KX"', "KX", " KX", ""]
    with closing(sqlite3.connect(old.path)) as database, database:
        for ticker in alike:
            database.execute(
                "INSERT INTO events SELECT ?, series_ticker, title, status, category, 7, created_at, updated_at"
                " FROM events LIMIT 1",
                (ticker,),
            )
    report = migrate(empty_engine, "sandbox", silent, adopt_from=old.path)
    assert report.adoption is not None
    assert report.adoption.total.quarantined == len(alike)


def test_ids_at_and_below_zero_are_adopted(tmp_path: Path, empty_engine: sa.Engine) -> None:
    old = make_legacy_database(tmp_path / "old.db", bad_rows=False)
    with closing(sqlite3.connect(old.path)) as database, database:
        database.execute("UPDATE price_snapshots SET id = -id")
    report = migrate(empty_engine, "sandbox", silent, adopt_from=old.path)
    assert report.adoption is not None
    assert report.adoption.total.quarantined == 0


def test_key_too_long_for_an_index_is_kept_or_quarantined(tmp_path: Path, empty_engine: sa.Engine) -> None:
    old = make_legacy_database(tmp_path / "old.db", bad_rows=False)
    url = "https://news.example/" + "".join(hashlib.sha256(bytes([number])).hexdigest() for number in range(200))
    with closing(sqlite3.connect(old.path)) as database, database:
        digest = hashlib.sha256(url.encode()).hexdigest()
        database.execute("UPDATE news_articles SET url = ?, url_hash = ? WHERE id = 1", (url, digest))
    report = migrate(empty_engine, "sandbox", silent, adopt_from=old.path)
    assert report.adoption is not None
    total = report.adoption.total
    assert total.read == sum(old.rows.values()) == total.stored + total.quarantined


def test_tables_of_the_user_survive_the_adoption(old: LegacyDatabase) -> None:
    with closing(sqlite3.connect(old.path)) as database, database:
        database.execute("CREATE TABLE my_notes (note TEXT)")
        database.execute("INSERT INTO my_notes VALUES ('buy low')")
    engine, report = migrate_in_place(old.path)
    assert report.left_alone == ("my_notes",)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT note FROM my_notes")) == "buy low"
    engine.dispose()


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("CREATE VIEW mine AS SELECT * FROM markets", "Views or triggers .* \\(mine\\)"),
        ("CREATE TRIGGER mine AFTER DELETE ON markets BEGIN SELECT 1; END", "Views or triggers .* \\(mine\\)"),
        ("CREATE TABLE quarantine (a)", "whose names the warehouse needs \\(quarantine\\)"),
        ("CREATE TABLE price_history (a)", "whose names the warehouse needs \\(price_history\\)"),
        ("CREATE TABLE mine (a REFERENCES positions (id))", "refer to tables of the older tool \\(mine\\)"),
        ("CREATE TABLE alembic_version (a)", "not Alembic's"),
        ("ALTER TABLE positions ADD COLUMN mood TEXT", "unknown columns: mood"),
        ("ALTER TABLE positions DROP COLUMN side", "lacks the columns side"),
    ],
)
def test_legacy_database_with_conflicting_objects_is_refused_untouched(
    old: LegacyDatabase, statement: str, sentence: str
) -> None:
    with closing(sqlite3.connect(old.path)) as database, database:
        if "alembic_version" in statement:
            database.execute("DROP TABLE alembic_version")
        database.execute(statement)
    before = old.path.read_bytes()
    engine = open_engine(f"sqlite:///{old.path}")
    with pytest.raises(CannotBeUpgraded, match=sentence):
        migrate(engine, "sandbox", silent)
    engine.dispose()
    assert old.path.read_bytes() == before


def test_leftover_table_of_a_killed_legacy_migration_is_dropped(old: LegacyDatabase) -> None:
    with closing(sqlite3.connect(old.path)) as database, database:
        database.execute("CREATE TABLE _alembic_tmp_price_snapshots AS SELECT * FROM price_snapshots")
    engine, report = migrate_in_place(old.path)
    assert report.left_alone == ()
    assert "_alembic_tmp_price_snapshots" not in sa.inspect(engine).get_table_names()
    engine.dispose()


def test_adoption_drops_full_text_tables_and_triggers(old: LegacyDatabase) -> None:
    engine, _ = migrate_in_place(old.path)
    with engine.connect() as connection:
        names = set(connection.scalars(sa.text("SELECT name FROM sqlite_master")))
    assert not {name for name in names if "fts" in name}
    engine.dispose()


def test_progress_is_reported_with_rate_and_time_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kalshi_pipelines.warehouse.upgrade._SECONDS_BETWEEN_REPORTS", 0)
    old = make_legacy_database(tmp_path / "old.db", HEAD, snapshots=25_000, bad_rows=False)
    said: list[str] = []
    engine = open_engine(f"sqlite:///{old.path}")
    migrate(engine, "sandbox", said.append)
    engine.dispose()
    progress = [sentence for sentence in said if sentence.startswith("price_snapshots:")]
    assert [sentence.split(" rows")[0] for sentence in progress] == [
        "price_snapshots: 10,000 of 25,000",
        "price_snapshots: 20,000 of 25,000",
        "price_snapshots: 25,000 of 25,000",
    ]
    assert all("rows/s" in sentence and "s left" in sentence for sentence in progress)
