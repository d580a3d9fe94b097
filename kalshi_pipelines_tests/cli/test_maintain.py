"""``maintain`` shows what upkeep would remove, and removes it only when it is asked to."""

import shutil
from pathlib import Path

import sqlalchemy as sa

from kalshi_pipelines.warehouse.engine import open_engine, writing
from kalshi_pipelines.warehouse.tables import ingest_runs, quarantine
from kalshi_pipelines_tests.support.warehouse.command_line import kalshi_pipelines
from kalshi_pipelines_tests.support.warehouse.rows import LEGAL


def resolved_records(path: Path) -> int:
    engine = open_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        rows = connection.scalar(sa.select(sa.func.count()).select_from(quarantine)) or 0
    engine.dispose()
    return int(rows)


def test_maintain_only_reports_without_for_real(migrated_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.db"
    shutil.copy(migrated_file, path)
    engine = open_engine(f"sqlite:///{path}")
    with writing(engine) as connection:
        for table in (ingest_runs, quarantine):
            connection.execute(sa.insert(table), LEGAL[table])
        connection.execute(sa.update(quarantine).values(resolved_us=1))
    engine.dispose()
    url = {"KALSHI_WAREHOUSE_URL": f"sqlite:///{path}"}
    dry = kalshi_pipelines(tmp_path, "maintain", **url)
    assert dry.returncode == 0, dry.stderr
    assert "Dry run, nothing is changed." in dry.stdout
    assert resolved_records(path) == 1
    done = kalshi_pipelines(tmp_path, "maintain", "--for-real", **url)
    assert done.returncode == 0, done.stderr
    assert "Upkeep done." in done.stdout
    assert resolved_records(path) == 0


def test_maintain_keeps_markets_if_the_journal_cannot_be_read(migrated_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.db"
    shutil.copy(migrated_file, path)
    (tmp_path / "data" / "sandbox").mkdir(parents=True)
    (tmp_path / "data" / "sandbox" / "journal.db").write_text("no journal")
    done = kalshi_pipelines(tmp_path, "maintain", "--for-real", KALSHI_WAREHOUSE_URL=f"sqlite:///{path}")
    assert done.returncode == 1
    assert "retention of settled markets failed: The journal" in done.stdout
