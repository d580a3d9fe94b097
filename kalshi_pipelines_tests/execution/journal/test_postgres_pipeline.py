"""Tests of statements that share one round trip to Postgres: values, errors, rollbacks and Ctrl-C."""

import signal
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.postgres_pipeline import Statement, run_together

TEXTS = ["", "plain", 'a "quoted" one', "back\\slash", "{1,2}", "NULL", "two\nlines", "Zürich €", None]


@pytest.fixture
def driver(postgres_journal_url: str) -> Iterator[psycopg.Connection[Any]]:
    engine = open_journal(postgres_journal_url)
    with engine.connect() as connection:
        made = connection.connection.driver_connection
        assert isinstance(made, psycopg.Connection)
        made.execute("CREATE TEMP TABLE kept (number bigint PRIMARY KEY, body text)")
        made.commit()
        yield made
    engine.dispose()


def numbers(driver: psycopg.Connection[Any]) -> list[int]:
    return [row["number"] for row in run_together(driver, [Statement("SELECT number FROM kept ORDER BY 1")])[0]]


def test_values_come_back_as_they_were_sent(driver: psycopg.Connection[Any]) -> None:
    integers = [0, -1, 2**63 - 1, -(2**63), None]
    for value in integers:
        assert run_together(driver, [Statement("SELECT $1::bigint AS value", [value])]) == [[{"value": value}]]
    for text in TEXTS:
        assert run_together(driver, [Statement("SELECT $1::text AS value", [text])]) == [[{"value": text}]]
    lists = Statement(
        "SELECT * FROM unnest($1::text[], $2::bigint[]) AS t (body, number)", [TEXTS, [*integers, 1, 2, 3, 4]]
    )
    rows = run_together(driver, [lists])[0]
    assert [row["body"] for row in rows] == TEXTS
    assert [row["number"] for row in rows][:5] == integers


def test_statements_run_in_order_in_one_transaction(driver: psycopg.Connection[Any]) -> None:
    insert, count = "INSERT INTO kept VALUES ($1, $2)", "SELECT count(*) AS found FROM kept"
    together = [Statement(count), Statement(insert, [1, "a"]), Statement(count), Statement(insert, [2, None])]
    assert run_together(driver, together) == [[{"found": 0}], [], [{"found": 1}], []]
    driver.rollback()
    assert numbers(driver) == []
    run_together(driver, together)
    driver.commit()
    assert numbers(driver) == [1, 2]


def test_transaction_has_the_settings_of_the_connection(driver: psycopg.Connection[Any]) -> None:
    driver.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
    driver.set_read_only(True)
    shown = (
        "SELECT current_setting('transaction_isolation') AS isolation, current_setting('transaction_read_only') AS only"
    )
    assert run_together(driver, [Statement(shown)]) == [[{"isolation": "repeatable read", "only": "on"}]]


def test_refused_statement_stops_the_later_ones_and_leaves_the_connection_usable(
    driver: psycopg.Connection[Any],
) -> None:
    insert = "INSERT INTO kept VALUES ($1, $2)"
    twice = [Statement(insert, [1, "a"]), Statement(insert, [1, "b"]), Statement("SELECT pg_sleep(60)")]
    with pytest.raises(psycopg.errors.UniqueViolation) as refused:
        run_together(driver, twice)
    assert refused.value.diag.constraint_name == "kept_pkey"
    driver.rollback()
    assert numbers(driver) == []
    run_together(driver, [Statement(insert, [1, "a"])])
    assert numbers(driver) == [1]


def test_statements_work_after_psycopg_removed_all_prepared_statements(driver: psycopg.Connection[Any]) -> None:
    assert numbers(driver) == []
    driver.commit()
    driver.execute("DEALLOCATE ALL")
    driver.commit()
    run_together(driver, [Statement("INSERT INTO kept VALUES ($1, $2)", [1, "a"])])
    assert numbers(driver) == [1]
    driver.execute("DEALLOCATE ALL")
    with pytest.raises(psycopg.errors.InvalidSqlStatementName):
        numbers(driver)
    driver.rollback()
    assert numbers(driver) == []


def test_text_with_a_nul_character_is_refused(driver: psycopg.Connection[Any]) -> None:
    for value in ("a\0b", ["a\0b"]):
        with pytest.raises(psycopg.DataError, match="NUL"):
            run_together(driver, [Statement("SELECT $1", [value])])
    assert numbers(driver) == []


def test_interrupted_statements_leave_the_connection_usable(driver: psycopg.Connection[Any]) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            run_together(driver, [Statement("INSERT INTO kept VALUES (1)"), Statement("SELECT pg_sleep(60)")])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    driver.rollback()
    assert numbers(driver) == []
    run_together(driver, [Statement("INSERT INTO kept VALUES (1)"), Statement("SELECT 1 AS one")])
    assert numbers(driver) == [1]
