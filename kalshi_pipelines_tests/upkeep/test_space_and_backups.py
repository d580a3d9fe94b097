"""A SQLite file shrinks after rows left, an older file is rewritten once, and old backups leave."""

import shutil
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.upkeep.backups import remove_old_backups
from kalshi_pipelines.upkeep.space import release_space
from kalshi_pipelines.warehouse.backup import back_up
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.postgres_backup import back_up_postgres
from kalshi_pipelines.warehouse.space import optimize, space_of
from kalshi_pipelines.warehouse.tables import ingest_runs, quarantine
from kalshi_pipelines_tests.support.upkeep.tasks import counts, upkeep_inputs
from kalshi_pipelines_tests.support.warehouse.rows import LEGAL, numbered


def grow(engine: sa.Engine, rows: int = 3_000) -> None:
    with writing(engine) as connection:
        connection.execute(sa.insert(ingest_runs), LEGAL[ingest_runs])
        many = [numbered(quarantine, number) | {"payload": "x" * 1_000} for number in range(rows)]
        connection.execute(sa.insert(quarantine), many)


def shrink(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        connection.execute(sa.delete(quarantine))


def size(engine: sa.Engine) -> int:
    return Path(str(engine.url.database)).stat().st_size


def forget_incremental(engine: sa.Engine) -> None:
    """Make the file one of an older version, whose pages are not vacuumed incrementally."""
    engine.dispose()
    with closing(sqlite3.connect(str(engine.url.database))) as database:
        database.executescript("PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM")
        database.execute("PRAGMA journal_mode = WAL")


def test_new_warehouse_can_shrink_page_by_page(sqlite_engine: sa.Engine) -> None:
    found = space_of(sqlite_engine)
    assert found
    assert found.is_incremental


def test_file_shrinks_by_the_pages_that_removed_rows_left(sqlite_engine: sa.Engine) -> None:
    small = size(sqlite_engine)
    grow(sqlite_engine)
    release_space(upkeep_inputs(sqlite_engine))
    large = size(sqlite_engine)
    assert large > small + 3_000_000
    shrink(sqlite_engine)
    removed, kept = counts(release_space(upkeep_inputs(sqlite_engine)), "bytes of the SQLite file")
    assert kept == size(sqlite_engine)
    assert removed == large - kept
    assert kept < small + 200_000


def test_older_file_is_rewritten_once_and_shrinks_page_by_page_afterwards(sqlite_engine: sa.Engine) -> None:
    grow(sqlite_engine)
    forget_incremental(sqlite_engine)
    shrink(sqlite_engine)
    (reported,) = release_space(upkeep_inputs(sqlite_engine, is_dry_run=True))
    assert "rewritten once" in reported.note
    large = size(sqlite_engine)
    (done,) = release_space(upkeep_inputs(sqlite_engine))
    assert done.note == ""
    found = space_of(sqlite_engine)
    assert found
    assert found.is_incremental
    assert size(sqlite_engine) < large - 3_000_000


def test_older_file_stays_with_a_sentence_if_the_disk_has_no_room(
    sqlite_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(sqlite_engine)
    forget_incremental(sqlite_engine)
    usage = type("Usage", (), {"free": 5})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    (done,) = release_space(upkeep_inputs(sqlite_engine))
    assert "5 bytes free" in done.note


def test_file_that_another_program_reads_shrinks_later(sqlite_engine: sa.Engine) -> None:
    grow(sqlite_engine)
    release_space(upkeep_inputs(sqlite_engine))
    large = size(sqlite_engine)
    with sqlite_engine.connect() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM quarantine").scalar()
        shrink(sqlite_engine)
        release_space(upkeep_inputs(sqlite_engine))
        assert size(sqlite_engine) == large
    release_space(upkeep_inputs(sqlite_engine))
    assert size(sqlite_engine) < large - 3_000_000


def test_dry_run_leaves_the_file_as_it_is(sqlite_engine: sa.Engine) -> None:
    grow(sqlite_engine)
    shrink(sqlite_engine)
    sqlite_engine.dispose()
    before = Path(str(sqlite_engine.url.database)).read_bytes()
    removed, kept = counts(release_space(upkeep_inputs(sqlite_engine, is_dry_run=True)), "bytes of the SQLite file")
    sqlite_engine.dispose()
    assert Path(str(sqlite_engine.url.database)).read_bytes() == before
    assert removed > 3_000_000
    assert removed + kept == len(before)


def test_space_of_postgres_is_left_to_the_server(postgres_engine: sa.Engine) -> None:
    assert release_space(upkeep_inputs(postgres_engine)) == []


def test_all_but_the_newest_backups_leave(sqlite_engine: sa.Engine) -> None:
    file = Path(str(sqlite_engine.url.database))
    made = [back_up(file, revision) for revision in ("0012", "0004", "0009", "0001")]
    other = file.with_name("other.db.0001.20261122T181114334584.backup")
    other.touch()
    assert counts(remove_old_backups(upkeep_inputs(sqlite_engine, is_dry_run=True, backups=2)), "backups") == (2, 2)
    assert all(path.exists() for path in made)
    assert counts(remove_old_backups(upkeep_inputs(sqlite_engine, backups=2)), "backups") == (2, 2)
    assert [path.exists() for path in made] == [False, False, True, True]
    assert other.exists()


def test_all_but_the_newest_backups_of_postgres_leave(postgres_engine: sa.Engine, tmp_path: Path) -> None:
    made = [back_up_postgres(postgres_engine, tmp_path, lambda _: None) for _ in range(3)]
    name = postgres_engine.url.database
    others = [
        tmp_path / f"{name}.notes.backup",
        tmp_path / f"{name}.db.0001.20261122T181114334584.backup",
        tmp_path / f"{name}2.0001.20261122T181114334584.backup",
    ]
    for other in others:
        other.touch()
    inputs = upkeep_inputs(postgres_engine, backup_folder=tmp_path, backups=2)
    assert counts(remove_old_backups(replace(inputs, is_dry_run=True)), "backups") == (1, 2)
    assert all(path.exists() for path in made)
    assert counts(remove_old_backups(inputs), "backups") == (1, 2)
    assert [path.exists() for path in made] == [False, True, True]
    assert all(other.exists() for other in others)


def test_postgres_without_a_data_folder_has_no_backups_to_remove(postgres_engine: sa.Engine, tmp_path: Path) -> None:
    inputs = upkeep_inputs(postgres_engine, backup_folder=tmp_path / "absent")
    assert counts(remove_old_backups(inputs), "backups") == (0, 0)


def test_statistics_are_updated_after_another_writer_is_done(sqlite_engine: sa.Engine) -> None:
    grow(sqlite_engine)
    began, is_over = threading.Event(), threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(str(sqlite_engine.url.database), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            began.set()
            is_over.wait(0.5)
            other.execute("COMMIT")

    writer = threading.Thread(target=write)
    writer.start()
    began.wait()
    optimize(sqlite_engine)
    is_over.set()
    writer.join()
    with sqlite_engine.connect() as connection:
        assert sa.inspect(connection).has_table("sqlite_stat1")
