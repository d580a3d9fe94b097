"""``backup`` and ``restore``: a checked copy, the former file kept, and a place that is never without a warehouse."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import open_engine, writing
from kalshi_pipelines.warehouse.locks import hold_work_lock
from kalshi_pipelines_tests.support.warehouse.command_line import kalshi_pipelines
from kalshi_pipelines_tests.support.warehouse.rows import RUN, fill


@pytest.fixture
def warehouse(migrated_file: Path, tmp_path: Path) -> Path:
    """Return the file of a warehouse with a row in every table, in the folder in which commands look for it."""
    path = tmp_path / "data" / "sandbox" / "warehouse.db"
    path.parent.mkdir(parents=True)
    shutil.copy(migrated_file, path)
    engine = open_engine(f"sqlite:///{path}")
    fill(engine)
    engine.dispose()
    return path


def add_a_run(path: Path) -> None:
    engine = open_engine(f"sqlite:///{path}")
    with writing(engine) as connection:
        connection.execute(sa.insert(tables.ingest_runs), RUN)
    engine.dispose()


def runs(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM ingest_runs").fetchone()[0])


def made_backup(folder: Path) -> Path:
    (backup,) = folder.glob("*.backup")
    return backup


def test_restore_returns_to_the_backup_and_keeps_the_former_file(warehouse: Path, tmp_path: Path) -> None:
    done = kalshi_pipelines(tmp_path, "backup")
    assert done.returncode == 0, done.stderr
    backup = made_backup(warehouse.parent)
    assert f"verified backup: {backup}" in done.stdout
    add_a_run(warehouse)
    done = kalshi_pipelines(tmp_path, "restore", str(backup))
    assert done.returncode == 0, done.stderr
    assert runs(warehouse) == 1
    (kept,) = warehouse.parent.glob("*.replaced")
    assert f"The former file is kept: {kept}" in done.stdout
    assert runs(kept) == 2
    add_a_run(warehouse)
    assert list(warehouse.parent.glob("*.unfinished*")) == []


def test_backup_is_made_while_another_program_writes(warehouse: Path, tmp_path: Path) -> None:
    other = tmp_path / "other disk"
    other.mkdir()
    engine = open_engine(f"sqlite:///{warehouse}")
    with writing(engine) as connection:
        connection.execute(sa.insert(tables.ingest_runs), RUN)
        done = kalshi_pipelines(tmp_path, "backup", "--to", str(other))
    engine.dispose()
    assert done.returncode == 0, done.stderr
    assert runs(made_backup(other)) == 1
    assert runs(warehouse) == 2


def test_restore_is_refused_while_a_run_works(warehouse: Path, tmp_path: Path) -> None:
    kalshi_pipelines(tmp_path, "backup")
    engine = open_engine(f"sqlite:///{warehouse}")
    before = warehouse.read_bytes()
    with hold_work_lock(engine, "markets"):
        done = kalshi_pipelines(tmp_path, "restore", str(made_backup(warehouse.parent)))
    engine.dispose()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("A run works on this warehouse, so it cannot be copied or replaced now.")
    assert warehouse.read_bytes() == before


def test_restore_is_refused_while_another_program_has_the_file_open(warehouse: Path, tmp_path: Path) -> None:
    kalshi_pipelines(tmp_path, "backup")
    with closing(sqlite3.connect(warehouse)) as database:
        database.execute("SELECT count(*) FROM markets").fetchone()
        done = kalshi_pipelines(tmp_path, "restore", str(made_backup(warehouse.parent)))
    assert done.returncode == 2
    assert done.stderr.startswith(f"Another program has {warehouse} open, so nothing was restored.")
    assert "Traceback" not in done.stderr


def test_restore_replaces_a_damaged_warehouse(warehouse: Path, tmp_path: Path) -> None:
    kalshi_pipelines(tmp_path, "backup")
    warehouse.write_bytes(b"no database at all" * 1_000)
    warehouse.with_name("warehouse.db-wal").write_bytes(b"nor a log")
    done = kalshi_pipelines(tmp_path, "restore", str(made_backup(warehouse.parent)))
    assert done.returncode == 0, done.stderr
    assert runs(warehouse) == 1
    (kept,) = warehouse.parent.glob("*.replaced")
    assert kept.read_bytes().startswith(b"no database")


def test_restore_replaces_a_missing_warehouse(warehouse: Path, tmp_path: Path) -> None:
    kalshi_pipelines(tmp_path, "backup")
    for file in warehouse.parent.glob("warehouse.db*"):
        if not file.name.endswith(".backup"):
            file.unlink()
    done = kalshi_pipelines(tmp_path, "restore", str(made_backup(warehouse.parent)))
    assert done.returncode == 0, done.stderr
    assert runs(warehouse) == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no database", "is not a SQLite database"),
        (b"", "is empty"),
        (None, "is not a file"),
    ],
)
def test_file_that_is_no_backup_is_refused_in_one_sentence(
    warehouse: Path, tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    file = tmp_path / "some.backup"
    if content is not None:
        file.write_bytes(content)
    before = warehouse.read_bytes()
    done = kalshi_pipelines(tmp_path, "restore", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert warehouse.read_bytes() == before


def test_backup_of_another_environment_is_refused(warehouse: Path, tmp_path: Path) -> None:
    kalshi_pipelines(tmp_path, "backup")
    backup = made_backup(warehouse.parent)
    done = kalshi_pipelines(tmp_path, "restore", str(backup), KALSHI_ENVIRONMENT="prod")
    assert done.returncode == 2
    assert "holds data of the sandbox exchange" in done.stderr
    assert not (tmp_path / "data" / "prod" / "warehouse.db").exists()


def test_paths_with_bytes_that_are_no_text_end_in_one_sentence(warehouse: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"odd \xff folder")
    (tmp_path / odd).mkdir()
    done = kalshi_pipelines(tmp_path, "backup", "--to", odd)
    assert done.returncode == 0, done.stderr
    assert "verified backup: odd \\udcff folder/warehouse.db." in done.stdout
    (backup,) = (tmp_path / odd).iterdir()
    assert kalshi_pipelines(tmp_path, "restore", str(backup)).returncode == 0
    assert runs(warehouse) == 1
    done = kalshi_pipelines(tmp_path, "backup", KALSHI_DATA_DIR=odd)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "KALSHI_DATA_DIR" in done.stderr
    assert "bytes that are no UTF-8 text" in done.stderr


def test_backup_to_a_missing_folder_is_refused(warehouse: Path, tmp_path: Path) -> None:
    done = kalshi_pipelines(tmp_path, "backup", "--to", str(tmp_path / "missing"))
    assert done.returncode == 2
    assert "is not a folder, so no backup was made" in done.stderr
    assert list(warehouse.parent.glob("*.backup")) == []


def test_backup_of_postgres_restores_every_row_into_an_empty_database(
    postgres_engine: sa.Engine, empty_postgres_url: str, tmp_path: Path
) -> None:
    fill(postgres_engine)
    url = postgres_engine.url.render_as_string(hide_password=False)
    done = kalshi_pipelines(tmp_path, "backup", KALSHI_WAREHOUSE_URL=url)
    assert done.returncode == 0, done.stderr
    backup = made_backup(tmp_path / "data" / "sandbox")
    refused = kalshi_pipelines(tmp_path, "restore", str(backup), KALSHI_WAREHOUSE_URL=url)
    assert refused.returncode == 2
    assert "holds data already" in refused.stderr
    done = kalshi_pipelines(tmp_path, "restore", str(backup), KALSHI_WAREHOUSE_URL=empty_postgres_url)
    assert done.returncode == 0, done.stderr
    engine = open_engine(empty_postgres_url)
    with engine.connect() as connection:
        for table in tables.metadata.sorted_tables:
            assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 1, table.name
    engine.dispose()


def test_restore_killed_at_any_step_leaves_the_former_or_the_restored_warehouse(
    warehouse: Path, tmp_path: Path
) -> None:
    kalshi_pipelines(tmp_path, "backup")
    add_a_run(warehouse)
    command = [sys.executable, "-m", "kalshi_pipelines_tests.support.warehouse.restore_kills"]
    command += [str(warehouse), str(made_backup(warehouse.parent))]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KALSHI_")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["wrong"] == []
    assert min(summary["left_old"], summary["left_new"]) >= 1
    assert summary["killed"] >= 10
