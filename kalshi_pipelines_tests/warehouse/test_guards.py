"""Only a SQLite connection that enforces foreign keys can write into a warehouse."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import open_engine, writing
from kalshi_pipelines_tests.support.migrated import upgrade_to_head
from kalshi_pipelines_tests.support.warehouse.revisions import REVISIONS, open_database
from kalshi_pipelines_tests.support.warehouse.rows import LEGAL, fill, numbered

REFUSAL: Final = "does not enforce foreign keys and CHECKs: run PRAGMA foreign_keys = ON first"
TABLES: Final = sorted(tables.metadata.tables)


def insert(table: str, verb: str = "INSERT", more: str = "") -> tuple[str, tuple[object, ...]]:
    row = numbered(tables.metadata.tables[table], 0)
    return f"{verb} INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))}){more}", tuple(row.values())


def update(table: str, verb: str = "UPDATE") -> tuple[str, tuple[object, ...]]:
    (name, *_) = numbered(tables.metadata.tables[table], 0)
    return f"{verb} {table} SET {name} = {name}", ()


STATEMENTS: Final[dict[str, Callable[[str], tuple[str, tuple[object, ...]]]]] = {
    "INSERT": insert,
    "INSERT OR REPLACE": lambda table: insert(table, "INSERT OR REPLACE"),
    "INSERT OR IGNORE": lambda table: insert(table, "INSERT OR IGNORE"),
    "ON CONFLICT DO NOTHING": lambda table: insert(table, more=" ON CONFLICT DO NOTHING"),
    "UPDATE": update,
    "UPDATE OR IGNORE": lambda table: update(table, "UPDATE OR IGNORE"),
    "DELETE": lambda table: (f"DELETE FROM {table} WHERE true", ()),
    "DELETE of all": lambda table: (f"DELETE FROM {table}", ()),
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a warehouse with a row in every table."""
    path = tmp_path_factory.mktemp("guards") / "warehouse.db"
    engine = open_engine(f"sqlite:///{path}")
    upgrade_to_head(engine)
    fill(engine)
    engine.dispose()
    return path


@pytest.fixture
def stranger(filled: Path) -> Iterator[sqlite3.Connection]:
    """Return a connection with default settings, as other programs open it. Its changes are rolled back."""
    with closing(sqlite3.connect(filled)) as connection:
        yield connection
        connection.rollback()


@pytest.mark.parametrize("table", TABLES)
def test_connection_without_foreign_keys_cannot_write(stranger: sqlite3.Connection, table: str) -> None:
    before = stranger.execute(f"SELECT * FROM {table}").fetchall()
    assert before
    for verb, statement in STATEMENTS.items():
        sql, values = statement(table)
        with pytest.raises(sqlite3.IntegrityError, match=REFUSAL):
            stranger.execute(sql, values)
        assert stranger.execute(f"SELECT * FROM {table}").fetchall() == before, verb


@pytest.mark.parametrize("table", TABLES)
def test_connection_with_foreign_keys_can_write(filled: Path, table: str) -> None:
    with closing(sqlite3.connect(filled)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("BEGIN")
        for child in children_of(table):
            connection.execute(f"DELETE FROM {child}")
        sql, values = update(table)
        assert connection.execute(sql, values).rowcount == 1
        assert connection.execute(f"DELETE FROM {table}").rowcount == 1
        sql, values = insert(table)
        assert connection.execute(sql, values).rowcount == 1
        connection.rollback()


def children_of(table: str) -> list[str]:
    """Return the tables whose rows depend on rows of the given table, children before parents."""
    needing = {table}
    for child in LEGAL:
        if any(key.column.table.name in needing for key in child.foreign_keys):
            needing.add(child.name)
    return [child.name for child in reversed(list(LEGAL)) if child.name in needing - {table}]


def guarded_tables(engine: sa.Engine) -> set[str]:
    """Return the tables that have guards against INSERT, UPDATE and DELETE."""
    with engine.connect() as connection:
        triggers = {
            tuple(name.removeprefix("write_guard_").rsplit("_", 1))
            for (name,) in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        }
    there = set(sa.inspect(engine).get_table_names())
    return {table for table in there if {(table, verb) for verb in ("insert", "update", "delete")} <= triggers}


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_table_is_guarded_after_downgrade_and_upgrade(
    empty_sqlite_url: str, monkeypatch: pytest.MonkeyPatch, revision: str
) -> None:
    with open_database(empty_sqlite_url, monkeypatch) as database:
        database.upgrade(revision)
        assert guarded_tables(database.engine) == database.tables()
        database.downgrade("-1")
        assert guarded_tables(database.engine) == database.tables()
        database.upgrade()
        assert guarded_tables(database.engine) == database.tables() == set(TABLES)


def test_table_of_the_user_is_not_guarded(sqlite_engine: sa.Engine) -> None:
    with writing(sqlite_engine) as connection:
        connection.exec_driver_sql("CREATE TABLE notes (note TEXT)")
    upgrade_to_head(sqlite_engine)
    with closing(sqlite3.connect(str(sqlite_engine.url.database))) as stranger:
        stranger.execute("INSERT INTO notes VALUES ('mine')")
        stranger.commit()


def test_connection_ignoring_checks_cannot_write(stranger: sqlite3.Connection) -> None:
    stranger.execute("PRAGMA foreign_keys = ON")
    stranger.execute("PRAGMA ignore_check_constraints = ON")
    statement, values = insert("positions")
    with pytest.raises(sqlite3.IntegrityError, match=REFUSAL):
        stranger.execute(statement, values)
