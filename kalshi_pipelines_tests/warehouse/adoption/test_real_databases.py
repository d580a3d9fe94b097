"""Adoption of real databases of the older tool. A manifest lists the invalid rows of each database."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse.adoption.shapes import LEGACY_TABLES
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.inspection import CannotBeUpgraded, read_only
from kalshi_pipelines.warehouse.upgrade import UpgradeReport, migrate
from kalshi_pipelines_tests.support.warehouse.found_databases import FOUND_DATABASES, MANIFEST, found_databases

KEYS = {table.name: table.key for table in LEGACY_TABLES}

pytestmark = pytest.mark.skipif(not MANIFEST.is_file(), reason="The real legacy databases are not on this machine.")


@dataclass(frozen=True)
class AdoptedDatabase:
    file: str
    engine: sa.Engine
    report: UpgradeReport

    @property
    def manifest(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(MANIFEST.read_text())[self.file]
        return content

    def wrong_rows(self, kind: str) -> set[tuple[str, str]]:
        """Return table and key of the manifest's rows with this kind of error. Keys have the warehouse's format."""
        return {
            (row["table"], ",".join(f"{name}={row['pk'][name]}" for name in KEYS[row["table"]]))
            for row in self.manifest["invalid_rows"]
            if row["class"] == kind
        }

    def found(self, statement: str) -> set[tuple[str, str]]:
        with self.engine.connect() as connection:
            return {
                (table.removeprefix("kalshi_research."), key) for table, key in connection.execute(sa.text(statement))
            }

    @property
    def quarantined(self) -> set[tuple[str, str]]:
        return self.found("SELECT subject, record_key FROM quarantine")


@pytest.fixture(scope="module", params=found_databases(adopted=True))
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdoptedDatabase]:
    path = tmp_path_factory.mktemp("legacy") / request.param
    shutil.copyfile(FOUND_DATABASES / request.param, path)
    engine = open_engine(f"sqlite:///{path}")
    yield AdoptedDatabase(request.param, engine, migrate(engine, "sandbox", print))
    engine.dispose()


def test_every_row_is_accounted_for(database: AdoptedDatabase) -> None:
    assert database.report.adoption is not None
    read = {table.name: table.read for table in database.report.adoption.tables}
    expected = {name: rows for name, rows in database.manifest["row_counts"].items() if name in KEYS}
    assert read == expected
    with database.engine.connect() as connection:
        for table in database.report.adoption.tables:
            run = "" if table.name.startswith("news_article_") else "WHERE ingest_run_id = 1"
            names_only = "AND title IS NOT NULL" if table.name in {"events", "markets"} else ""
            stored = connection.scalar(sa.text(f"SELECT count(*) FROM {table.name} {run} {names_only}"))
            assert stored == table.stored, table.name


def test_only_rows_that_break_an_invariant_are_quarantined(database: AdoptedDatabase) -> None:
    wrong = {kind: database.wrong_rows(kind) for kind in ("normalisable", "reject", "orphan", "suspicious")}
    assert wrong["reject"] <= database.quarantined
    assert database.quarantined <= wrong["reject"] | wrong["orphan"] | wrong["suspicious"]
    normalised = database.found("SELECT table_name, row_key FROM adoption_notes WHERE outcome = 'normalised'")
    assert normalised == wrong["normalisable"]


def test_orphans_are_quarantined_or_noted(database: AdoptedDatabase) -> None:
    noted = database.found("SELECT table_name, row_key FROM adoption_notes")
    assert database.wrong_rows("orphan") <= database.quarantined | noted


def test_quarantine_keeps_the_original_values_of_a_row(database: AdoptedDatabase) -> None:
    assert database.report.backup is not None
    with read_only(database.report.backup) as backup, database.engine.connect() as connection:
        quarantined = connection.execute(
            sa.text("SELECT record_key, payload FROM quarantine WHERE subject = 'kalshi_research.price_snapshots'")
        )
        for key, payload in quarantined:
            original = backup.execute(f"SELECT ticker, yes_bid, volume FROM price_snapshots WHERE {key}").fetchone()
            kept = json.loads(payload)
            assert (kept["ticker"], kept["yes_bid"], kept["volume"]) == original


def test_adopted_file_has_no_objects_of_the_older_tool(database: AdoptedDatabase) -> None:
    with database.engine.connect() as connection:
        left = connection.scalar(sa.text("SELECT count(*) FROM sqlite_master WHERE name LIKE '%_fts%'"))
        indexes = connection.scalar(sa.text("SELECT count(*) FROM sqlite_master WHERE name LIKE 'idx_%'"))
    assert (left, indexes) == (0, 0)


@pytest.mark.parametrize("name", found_databases(adopted=False))
def test_unusable_file_is_refused_and_stays_byte_for_byte_unchanged(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    shutil.copyfile(FOUND_DATABASES / name, path)
    before = path.read_bytes()
    engine = open_engine(f"sqlite:///{path}")
    with pytest.raises(CannotBeUpgraded, match="not touched"):
        migrate(engine, "sandbox", print)
    engine.dispose()
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir() if file != path] in ([], [f"{name}.migrate.lock"])
