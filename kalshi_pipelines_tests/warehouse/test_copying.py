"""A warehouse moves between SQLite and Postgres with every row, and exactly one of both takes writes afterwards."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.copying import CopyRefused, copy_warehouse
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable, explain_failures, open_engine, writing
from kalshi_pipelines.warehouse.locks import AlreadyRunning, hold_work_lock
from kalshi_pipelines.warehouse.migrations import require_head
from kalshi_pipelines.warehouse.retirement import WarehouseRetired, retirement_of
from kalshi_pipelines.warehouse.table_contents import digest_of
from kalshi_pipelines.warehouse.upgrade import migrate
from kalshi_pipelines_tests.support.warehouse.rows import RUN, fill, numbered

#: More rows than are read at once.
MANY = 2_500


@pytest.fixture(params=["sqlite to postgres", "postgres to sqlite", "sqlite to sqlite"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[sa.Engine, str]:
    """Return a warehouse that has a row in every table, and the URL of an empty database."""
    name, _, other = request.param.split()
    source: sa.Engine = request.getfixturevalue(f"{name}_engine")
    fill(source)
    with writing(source) as connection:
        connection.execute(
            sa.insert(tables.price_snapshots), [numbered(tables.price_snapshots, n) for n in range(1, MANY)]
        )
    target = (
        str(request.getfixturevalue("empty_postgres_url")) if other == "postgres" else f"sqlite:///{tmp_path}/new.db"
    )
    return source, target


def contents(engine: sa.Engine) -> dict[str, tuple[int, str]]:
    with engine.connect() as connection:
        digests = {name: digest_of(connection, table) for name, table in tables.metadata.tables.items()}
    return {name: (digest.rows, str(digest)) for name, digest in digests.items()}


def said(_sentence: str) -> None:
    pass


def write_a_run(engine: sa.Engine) -> int:
    with writing(engine) as connection:
        return int(connection.scalar(sa.insert(tables.ingest_runs).returning(tables.ingest_runs.c.ingest_run_id), RUN))


def test_copy_has_every_row_and_the_source_takes_no_more_writes(pair: tuple[sa.Engine, str]) -> None:
    source, url = pair
    before = contents(source)
    target = open_engine(url)
    report = copy_warehouse(source, target, said)
    require_head(target)
    assert contents(target) == contents(source) == before
    assert {each.name: (each.rows, each.digest) for each in report.tables} == before
    assert all(rows for rows, _ in before.values())
    sentence = r"This warehouse was copied to .* so it is retired"
    with pytest.raises(WarehouseUnavailable, match=sentence) as refusal, explain_failures(source):
        write_a_run(source)
    assert "kalshi-pipelines reopen" in str(refusal.value)
    with pytest.raises(WarehouseRetired, match="so it is retired"):
        migrate(source, "sandbox", said)
    migrate(target, "sandbox", said)
    assert write_a_run(target) == before["ingest_runs"][0] + 1, "numbers of new rows continue"
    target.dispose()


def test_second_copy_to_the_same_place_finds_the_copy_complete(pair: tuple[sa.Engine, str]) -> None:
    source, url = pair
    target = open_engine(url)
    first = copy_warehouse(source, target, said)
    assert copy_warehouse(source, target, said) == first
    target.dispose()


def test_copy_into_a_database_with_data_is_refused_and_the_source_works_on(pair: tuple[sa.Engine, str]) -> None:
    source, url = pair
    target = open_engine(url)
    migrate(target, "sandbox", said)
    write_a_run(target)
    before = contents(target)
    with pytest.raises(CopyRefused, match="holds data already"):
        copy_warehouse(source, target, said)
    assert contents(target) == before
    write_a_run(source)
    target.dispose()


def test_copy_into_a_migrated_database_without_data_works(pair: tuple[sa.Engine, str]) -> None:
    source, url = pair
    target = open_engine(url)
    migrate(target, "sandbox", said)
    copy_warehouse(source, target, said)
    assert contents(target) == contents(source)
    target.dispose()


def test_copy_waits_for_no_run_but_is_refused_while_one_works(pair: tuple[sa.Engine, str]) -> None:
    source, url = pair
    target = open_engine(url)
    for busy in (source, target):
        with hold_work_lock(busy, "markets"), pytest.raises(AlreadyRunning, match="cannot be copied"):
            copy_warehouse(source, target, said)
    with source.connect() as connection:
        assert retirement_of(connection) is None
    target.dispose()


def test_row_that_postgres_cannot_store_is_named_and_the_source_works_on(
    sqlite_engine: sa.Engine, empty_postgres_url: str
) -> None:
    fill(sqlite_engine)
    with writing(sqlite_engine) as connection:
        connection.execute(sa.update(tables.series).values(title="Base\0ball"))
    target = open_engine(empty_postgres_url)
    with pytest.raises(CopyRefused, match=r"cannot store the row \['KXMLBGAME'\] of series"):
        copy_warehouse(sqlite_engine, target, said)
    write_a_run(sqlite_engine)
    assert sa.inspect(target).get_table_names() == []
    target.dispose()


def test_text_that_is_not_utf8_is_an_error_in_one_sentence(sqlite_engine: sa.Engine, tmp_path: Path) -> None:
    fill(sqlite_engine)
    with writing(sqlite_engine) as connection:
        connection.exec_driver_sql("UPDATE series SET title = CAST(x'ff41' AS TEXT)")
    target = open_engine(f"sqlite:///{tmp_path}/new.db")
    with pytest.raises(WarehouseUnavailable, match=r"warehouse\.db cannot be used"):
        copy_warehouse(sqlite_engine, target, said)
    write_a_run(sqlite_engine)
    target.dispose()


def test_copy_of_a_warehouse_onto_itself_is_refused(sqlite_engine: sa.Engine, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "warehouse.db")
    with pytest.raises(CopyRefused, match="the warehouse itself"):
        copy_warehouse(sqlite_engine, open_engine(f"sqlite:///{tmp_path}/link.db"), said)


def test_copy_to_a_second_place_is_refused_after_the_first(sqlite_engine: sa.Engine, tmp_path: Path) -> None:
    copy_warehouse(sqlite_engine, open_engine(f"sqlite:///{tmp_path}/one.db"), said)
    with pytest.raises(WarehouseRetired, match=r"one\.db"):
        copy_warehouse(sqlite_engine, open_engine(f"sqlite:///{tmp_path}/two.db"), said)


@pytest.mark.timeout(600)
def test_copy_killed_at_any_point_loses_and_doubles_nothing(pair: tuple[sa.Engine, str]) -> None:
    source, url = pair
    source_url = source.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "kalshi_pipelines_tests.support.warehouse.copy_kills", source_url, url, "10"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KALSHI_")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["wrong"] == []
    assert summary["killed"] >= 10
    assert summary["left_retired"]
