"""Tests of insertions that wait for the next statement or the commit of their transaction on Postgres."""

from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.journal.deferred import defer, run_now
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.postgres_pipeline import Statement

COUNT = Statement("SELECT count(*) AS found FROM kept")


@pytest.fixture
def engine(postgres_journal_url: str) -> Iterator[sa.Engine]:
    made = open_journal(postgres_journal_url)
    with made.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE kept (number bigint PRIMARY KEY)")
    yield made
    made.dispose()


def insert(connection: sa.Connection, *numbers: int) -> None:
    defer(connection, [Statement("INSERT INTO kept VALUES ($1)", [number]) for number in numbers])


def refuse_after_inserting(connection: sa.Connection, *numbers: int) -> None:
    insert(connection, *numbers)
    raise ZeroDivisionError


def fail_after_inserting(engine: sa.Engine, *numbers: int) -> None:
    with engine.begin() as connection:
        insert(connection, *numbers)
        raise ZeroDivisionError


def read_after_inserting(engine: sa.Engine, *numbers: int) -> None:
    with engine.begin() as connection:
        insert(connection, *numbers)
        connection.execute(sa.text("SELECT 1"))


def stored(engine: sa.Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.scalars(sa.text("SELECT number FROM kept ORDER BY 1")))


def test_insertions_are_stored_by_the_commit(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        insert(connection, 1, 2)
        insert(connection, 3)
    assert stored(engine) == [1, 2, 3]


def test_later_statements_see_the_insertions(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        insert(connection, 1)
        assert connection.scalar(sa.text("SELECT count(*) FROM kept")) == 1
        insert(connection, 2)
        assert run_now(connection, [COUNT]) == [[{"found": 2}]]
        connection.execute(sa.text("DELETE FROM kept WHERE number = 1"))
    assert stored(engine) == [2]


def test_insertions_of_a_transaction_that_is_rolled_back_are_never_stored(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        insert(connection, 1)
        connection.rollback()
        connection.commit()
    with pytest.raises(ZeroDivisionError):
        fail_after_inserting(engine, 2)
    with engine.connect() as connection:
        insert(connection, 3)
    with engine.begin() as connection:
        insert(connection, 4)
    assert stored(engine) == [4]


def test_refused_insertion_fails_the_commit_and_nothing_is_stored(engine: sa.Engine) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation), engine.begin() as connection:
        insert(connection, 1, 2, 1)
    assert stored(engine) == []
    with pytest.raises(sa.exc.IntegrityError, match="kept_pkey"):
        read_after_inserting(engine, 1, 1)
    with engine.begin() as connection:
        insert(connection, 5)
    assert stored(engine) == [5]


def test_savepoint_that_is_rolled_back_takes_only_its_own_insertions(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        insert(connection, 1)
        with pytest.raises(ZeroDivisionError), connection.begin_nested():
            refuse_after_inserting(connection, 2)
        insert(connection, 3)
        with connection.begin_nested():
            insert(connection, 4)
        with pytest.raises(psycopg.errors.UniqueViolation), connection.begin_nested():
            insert(connection, 5, 5)
        insert(connection, 6)
    assert stored(engine) == [1, 3, 4, 6]


def test_insertions_on_another_engine_do_not_wait(engine: sa.Engine) -> None:
    plain = sa.create_engine(engine.url)
    with plain.connect() as connection:
        connection.exec_driver_sql("SET search_path = journal")
        insert(connection, 1)
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        found = driver.execute("SELECT count(*) FROM kept").fetchone()
        assert found == (1,)
    plain.dispose()
