"""The SQL that `alembic --sql` prints for Postgres has the same effect as the command without `--sql`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from kalshi_pipelines.warehouse.migrations import require_head
from kalshi_pipelines_tests.support.checkout import CHECKOUT
from kalshi_pipelines_tests.support.warehouse.revisions import PYPROJECT, Database, as_before_0014, open_database
from kalshi_pipelines_tests.support.warehouse.schema import in_any_order, schema_of

NOWHERE = "postgresql+psycopg://x/y"


@pytest.fixture
def database(empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    with open_database(empty_postgres_url, monkeypatch) as database:
        yield database


def offline_sql(monkeypatch: pytest.MonkeyPatch, direction: str, revisions: str) -> str:
    """Return the SQL of an upgrade or downgrade, generated without a database."""
    text = StringIO()
    with monkeypatch.context() as context:
        context.setenv("KALSHI_WAREHOUSE_URL", NOWHERE)
        getattr(command, direction)(Config(toml_file=PYPROJECT, output_buffer=text), revisions, sql=True)
    return text.getvalue()


def run(engine: sa.Engine, sql: str) -> None:
    """Run a script as psql does, with the BEGIN and COMMIT statements that it contains."""
    where = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute(sql.encode())


def test_offline_sql_makes_the_same_schema(empty_postgres_url: str, postgres_engine: sa.Engine) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head", "--sql"],
        cwd=CHECKOUT,
        env={**os.environ, "KALSHI_WAREHOUSE_URL": NOWHERE},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    engine = sa.create_engine(empty_postgres_url)
    run(engine, finished.stdout)
    assert schema_of(engine) == schema_of(postgres_engine)
    require_head(engine)
    engine.dispose()


def test_offline_upgrade_keeps_the_rows(
    database: Database, postgres_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.upgrade("0004")
    database.fill(database.tables())
    before = database.rows()
    run(database.engine, offline_sql(monkeypatch, "upgrade", "0004:head"))
    assert database.schema() == schema_of(postgres_engine)
    after = as_before_0014(database.rows())
    for table, rows in before.items():
        assert sorted(({name: row[name] for name in rows[0]} for row in after[table]), key=repr) == rows


def test_offline_downgrade_restores_the_older_schema_and_rows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.upgrade("0004")
    database.fill(database.tables())
    schema, rows = database.schema(), database.rows()
    database.upgrade()
    run(database.engine, offline_sql(monkeypatch, "downgrade", "head:0004"))
    assert in_any_order(database.schema(), "markets") == in_any_order(schema, "markets")
    after = database.rows()
    for table, there in rows.items():
        assert sorted(({name: row[name] for name in there[0]} for row in after[table]), key=repr) == there


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (
            "markets",
            {"ticker": "KXNAMED", "is_placeholder": True, "first_seen_us": 1, "recorded_us": 1, "ingest_run_id": 1},
        ),
        ("rate_budgets", None),
    ],
)
def test_offline_downgrade_that_would_lose_rows_stops(
    database: Database, monkeypatch: pytest.MonkeyPatch, table: str, row: dict[str, object] | None
) -> None:
    database.upgrade()
    database.fill({"ingest_runs", "rate_budgets"} if row is None else {"ingest_runs"})
    if row:
        database.insert(table, row)
    schema, rows = database.schema(), database.rows()
    with pytest.raises(psycopg.errors.RaiseException, match=f"^{table} holds rows"):
        run(database.engine, offline_sql(monkeypatch, "downgrade", "head:base"))
    assert database.schema() == schema
    assert database.rows() == rows


def test_offline_sql_for_sqlite_is_refused_with_the_setting_to_change(
    empty_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALSHI_WAREHOUSE_URL", empty_sqlite_url)
    with pytest.raises(SystemExit, match="KALSHI_WAREHOUSE_URL"):
        command.upgrade(Config(toml_file=PYPROJECT), "head", sql=True)
