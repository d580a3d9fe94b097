"""Bulk writes of few or many rows refuse exactly the illegal rows, on SQLite and Postgres."""

from dataclasses import replace
from itertools import cycle, islice
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kalshi_pipelines.warehouse.bulk import BulkWrite, RefusedRow, Row, wanted_keys, write_rows
from kalshi_pipelines.warehouse.engine import sqlite_driver, writing
from kalshi_pipelines.warehouse.tables import price_snapshots, series
from kalshi_pipelines_tests.support.warehouse.rows import LEGAL, fill

PLACEHOLDERS = BulkWrite(
    series, ("ticker", "is_placeholder", "first_seen_us", "recorded_us", "ingest_run_id"), keep=("first_seen_us",)
)
#: With this number of rows, a failing bulk write splits the rows in halves twice before it tries single rows.
MANY = 450

#: Rows of placeholder series that SQLite and Postgres refuse. Each test adds a number to the ticker `KX`.
ILLEGAL: dict[str, Row] = {
    "an unknown run": ("KX", True, 1, 1, 99),
    "no time": ("KX", True, None, 1, 1),
    "a placeholder that is none": ("KX", False, 1, 1, 1),
    "an integer of 71 bits": ("KX", True, 2**70, 1, 1),
    "a fraction": ("KX", True, 1.5, 1, 1),
    "a word for a number": ("KX", True, "yesterday", 1, 1),
    "a word for a truth value": ("KX", "maybe", 1, 1, 1),
    "bytes for a time": ("KX", True, b"1", 1, 1),
    "a list": ("KX", True, [1], 1, 1),
    "half a character": ("KX\ud800", True, 1, 1, 1),
}
#: Rows that Postgres refuses and SQLite stores.
ILLEGAL_IN_POSTGRES: dict[str, Row] = {"a NUL": ("KX\x00", True, 1, 1, 1)}


@pytest.fixture
def warehouse(engine: sa.Engine) -> sa.Engine:
    """Return a warehouse with the rows that a series refers to."""
    fill(engine, before=series)
    return engine


def write(engine: sa.Engine, rows: list[Row], write: BulkWrite = PLACEHOLDERS) -> list[RefusedRow]:
    with writing(engine) as connection:
        return write_rows(connection, write, rows)


def stored(engine: sa.Engine) -> dict[str, tuple[Any, ...]]:
    columns = [series.c[name] for name in PLACEHOLDERS.columns]
    with engine.connect() as connection:
        return {ticker: tuple(rest) for ticker, *rest in connection.execute(sa.select(*columns))}


def legal(count: int, recorded_us: int = 1) -> list[Row]:
    return [(f"KX{number}", True, recorded_us, recorded_us, 1) for number in range(count)]


@pytest.mark.parametrize("count", [3, MANY])
def test_rows_that_are_known_but_missing_are_inserted(warehouse: sa.Engine, count: int) -> None:
    known = replace(PLACEHOLDERS, are_known=True)
    assert write(warehouse, legal(count // 2)) == []
    assert write(warehouse, legal(count, recorded_us=2), known) == []
    assert write(warehouse, legal(count, recorded_us=3), known) == []
    recorded = {ticker: values[2] for ticker, values in stored(warehouse).items()}
    assert recorded == dict.fromkeys((ticker for ticker, *_ in legal(count)), 3)
    assert stored(warehouse)["KX0"][1] == 1


@given(
    kinds=st.lists(st.sampled_from([None, *ILLEGAL]), max_size=12),
    repeat=st.sampled_from([1, MANY]),
    more=st.booleans(),
    known=st.booleans(),
)
@example(kinds=[None, *ILLEGAL], repeat=MANY, more=True, known=False)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_every_row_is_stored_or_refused_with_its_position(
    warehouse: sa.Engine, kinds: list[str | None], repeat: int, more: bool, known: bool
) -> None:
    with writing(warehouse) as connection:
        connection.execute(sa.delete(series))
    if repeat > 1:
        kinds = kinds + [None] * (MANY - len(kinds)) if more else list(islice(cycle([*kinds, None]), MANY))
    rows = legal(len(kinds))
    for position, kind in enumerate(kinds):
        if kind is not None:
            ticker, *rest = ILLEGAL[kind]
            rows[position] = (f"{ticker}{position}", *rest)
    refused = write(warehouse, rows, replace(PLACEHOLDERS, are_known=known))
    assert [each.position for each in refused] == [position for position, kind in enumerate(kinds) if kind is not None]
    assert all(each.reason for each in refused)
    assert set(stored(warehouse)) == {f"KX{position}" for position, kind in enumerate(kinds) if kind is None}


@pytest.mark.parametrize("count", [1, MANY])
@pytest.mark.parametrize("kind", ILLEGAL_IN_POSTGRES)
def test_value_that_only_postgres_cannot_store_is_refused_there(warehouse: sa.Engine, kind: str, count: int) -> None:
    refused = write(warehouse, [*legal(count), ILLEGAL_IN_POSTGRES[kind]])
    if warehouse.dialect.name == "postgresql":
        assert [each.position for each in refused] == [count]
        assert "NUL" in refused[0].reason or "0x00" in refused[0].reason
    else:
        assert refused == []
    assert set(stored(warehouse)) >= {row[0] for row in legal(count)}


@pytest.mark.parametrize("count", [1, MANY])
def test_overwrite_changes_all_columns_but_the_kept_ones(warehouse: sa.Engine, count: int) -> None:
    assert write(warehouse, legal(count)) == write(warehouse, legal(count, recorded_us=2)) == []
    assert set(stored(warehouse).values()) == {(True, 1, 2, 1)}


@pytest.mark.parametrize("count", [1, MANY])
def test_keep_leaves_stored_rows_unchanged(warehouse: sa.Engine, count: int) -> None:
    keep = BulkWrite(series, PLACEHOLDERS.columns, on_conflict="keep")
    write(warehouse, legal(count))
    assert write(warehouse, legal(count + 1, recorded_us=2), keep) == []
    rows = stored(warehouse)
    assert rows.pop(f"KX{count}") == (True, 2, 2, 1)
    assert set(rows.values()) == {(True, 1, 1, 1)}


@pytest.mark.parametrize("count", [1, MANY])
def test_append_refuses_a_row_whose_key_is_stored(warehouse: sa.Engine, count: int) -> None:
    append = BulkWrite(series, PLACEHOLDERS.columns, on_conflict="refuse")
    write(warehouse, legal(1))
    (refused,) = write(warehouse, [*legal(count + 1, recorded_us=2)[1:], *legal(1, recorded_us=2)], append)
    assert refused.position == count
    assert "unique" in refused.reason.lower()
    assert stored(warehouse)["KX0"] == (True, 1, 1, 1)
    assert len(stored(warehouse)) == count + 1


@pytest.mark.parametrize("count", [2, MANY])
@pytest.mark.parametrize(("on_conflict", "winner"), [("overwrite", 3), ("keep", 2), ("refuse", 2)])
def test_last_row_of_a_duplicate_key_wins_unless_the_first_is_kept(
    warehouse: sa.Engine, on_conflict: Any, winner: int, count: int
) -> None:
    same = BulkWrite(series, PLACEHOLDERS.columns, on_conflict=on_conflict)
    refused = write(warehouse, [("KX0", True, 1, 2, 1), *legal(count)[1:], ("KX0", True, 1, 3, 1)], same)
    assert [each.position for each in refused] == ([count] if on_conflict == "refuse" else [])
    assert stored(warehouse)["KX0"] == (True, 1, winner, 1)
    assert len(stored(warehouse)) == count


def test_bulk_writes_to_several_tables_share_one_transaction(engine: sa.Engine) -> None:
    fill(engine, before=price_snapshots)
    snapshot = {name: value for name, value in LEGAL[price_snapshots].items() if name != "price_snapshot_id"}
    append = BulkWrite(price_snapshots, tuple(snapshot), on_conflict="refuse")
    snapshots = [tuple({**snapshot, "observed_us": number}.values()) for number in range(MANY)]
    with writing(engine) as connection:
        for _ in range(2):
            assert write_rows(connection, PLACEHOLDERS, legal(MANY)) == []
        assert write_rows(connection, append, snapshots) == []
        # The same snapshots are appended again: every row is refused, and the transaction stays usable.
        assert len(write_rows(connection, append, snapshots)) == MANY
        assert write_rows(connection, PLACEHOLDERS, legal(MANY, recorded_us=2)) == []
        assert connection.scalar(sa.select(sa.func.count()).select_from(price_snapshots)) == MANY


def test_postgres_gets_many_rows_by_copy_and_few_by_insert(postgres_engine: sa.Engine) -> None:
    fill(postgres_engine, before=series)
    statements: list[tuple[str, bool]] = []

    @sa.event.listens_for(postgres_engine, "before_cursor_execute")
    def _note(*event: Any) -> None:
        *_, statement, _parameters, _context, many = event
        statements.append((statement.split()[0], many))

    write(postgres_engine, legal(MANY))
    # COPY runs between CREATE and INSERT. COPY is not listed here, because it goes directly to the driver.
    assert statements == [(word, False) for word in ("SAVEPOINT", "CREATE", "INSERT", "DROP", "RELEASE")]
    statements.clear()
    write(postgres_engine, legal(3))
    assert ("INSERT", True) in statements


def test_write_to_a_missing_table_raises(warehouse: sa.Engine) -> None:
    nowhere = sa.Table("nowhere", sa.MetaData(), sa.Column("ticker", sa.Text, primary_key=True))
    for count in (1, MANY):
        rows = [(row[0],) for row in legal(count)]
        with pytest.raises(sa.exc.DBAPIError, match="nowhere"):
            write(warehouse, rows, BulkWrite(nowhere, ("ticker",), on_conflict="keep"))


def test_key_lookup_accepts_any_characters(warehouse: sa.Engine) -> None:
    write(warehouse, legal(1))
    keys = ["KX0", "KX\x00", "'; DROP TABLE series", "K\N{SNOWMAN}", ""]
    with warehouse.connect() as connection:
        wanted = wanted_keys(keys, connection.dialect.name)
        found = connection.scalars(
            sa.select(series.c.ticker).join_from(wanted, series, series.c.ticker == wanted.c.value)
        )
        assert found.all() == ["KX0"]


def test_refused_row_is_found_although_triggers_write(sqlite_engine: sa.Engine) -> None:
    fill(sqlite_engine)
    row = LEGAL[price_snapshots]
    write = BulkWrite(price_snapshots, tuple(row), on_conflict="refuse")
    rows = [tuple((row | {"observed_us": 100 + number}).values()) for number in range(10)]
    rows[6] = rows[5]
    with writing(sqlite_engine) as connection:
        connection.exec_driver_sql("CREATE TABLE audit (what TEXT)")
        connection.exec_driver_sql(
            "CREATE TRIGGER mine AFTER INSERT ON price_snapshots BEGIN INSERT INTO audit VALUES ('new'), ('row'); END"
        )
        (refused,) = write_rows(connection, write, rows)
        stored = connection.scalar(sa.select(sa.func.count()).where(price_snapshots.c.observed_us >= 100))
    assert (refused.position, stored) == (6, 9)


@pytest.mark.parametrize("on_conflict", ["overwrite", "keep", "refuse"])
def test_sqlite_gets_many_rows_in_few_statements(sqlite_engine: sa.Engine, on_conflict: Any) -> None:
    fill(sqlite_engine, before=series)
    statements: list[str] = []
    with writing(sqlite_engine) as connection:
        sqlite_driver(connection).set_trace_callback(statements.append)
        write_rows(connection, replace(PLACEHOLDERS, on_conflict=on_conflict), legal(MANY + 1))
        sqlite_driver(connection).set_trace_callback(None)
        stored_rows = connection.scalar(sa.select(sa.func.count()).select_from(series))
    assert stored_rows == MANY + 1
    inserts = [statement for statement in statements if statement.startswith("INSERT")]
    assert len(set(inserts)) == MANY // 50 + 1
