"""Migrations give the schema that `tables/` describes, from an empty database and from every older revision."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations

from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.migration_steps import changed_table
from kalshi_pipelines.warehouse.migrations import AUTOGENERATE, migration_transaction
from kalshi_pipelines.warehouse.tables import metadata
from kalshi_pipelines_tests.support.warehouse.revisions import REVISIONS, Database, as_before_0014, open_database
from kalshi_pipelines_tests.support.warehouse.schema import only, schema_of

VIEWS = {"current_quotes", "price_history", "orderbook_levels", "vendor_drift"}


@pytest.fixture
def database(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    with open_database(empty_database_url, monkeypatch) as database:
        yield database


@pytest.fixture
def new(request: pytest.FixtureRequest, database: Database) -> sa.Engine:
    """Return a warehouse on the same kind of database as ``database``, upgraded while empty."""
    kind = "sqlite" if database.engine.dialect.name == "sqlite" else "postgres"
    made: sa.Engine = request.getfixturevalue(f"{kind}_engine")
    return made


@pytest.fixture
def described(request: pytest.FixtureRequest, engine: sa.Engine) -> Iterator[sa.Engine]:
    """Return a database of the same kind as `engine`, created by SQLAlchemy from the table descriptions."""
    kind = "sqlite" if engine.dialect.name == "sqlite" else "postgres"
    made = open_engine(request.getfixturevalue(f"empty_{kind}_url"))
    metadata.create_all(made)
    yield made
    made.dispose()


def test_migrations_make_exactly_the_described_tables(engine: sa.Engine, described: sa.Engine) -> None:
    tables = schema_of(described)
    assert {what.split()[0] for what in tables} >= {"column", "constraint", "index"}
    made = only(schema_of(engine), *{what.split()[0] for what in tables})
    assert {what: how for what, how in made.items() if not what.startswith("trigger write_guard_")} == tables


def test_migrations_make_only_views_and_guards_besides(engine: sa.Engine, described: sa.Engine) -> None:
    more = schema_of(engine).keys() - schema_of(described).keys()
    guards = {
        f"trigger write_guard_{table}_{verb}" for table in metadata.tables for verb in ("insert", "update", "delete")
    }
    views = {f"view {view}" for view in VIEWS}
    assert more == (views | guards if engine.dialect.name == "sqlite" else views)


def test_alembic_autogenerate_finds_no_difference(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=AUTOGENERATE), metadata) == []


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_upgrade_with_rows_gives_the_schema_of_a_new_database(
    database: Database, new: sa.Engine, revision: str
) -> None:
    database.upgrade(revision)
    database.fill(database.tables())
    before = database.rows()
    database.upgrade()
    assert database.schema() == schema_of(new)
    after = as_before_0014(database.rows())
    for table, rows in before.items():
        assert sorted(({name: row[name] for name in rows[0]} for row in after[table]), key=repr) == rows


def test_rebuilt_tables_keep_schema_and_rows(sqlite_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_database(sqlite_engine.url.render_as_string(), monkeypatch) as database:
        database.fill(database.tables())
        schema, rows = database.schema(), database.rows()
        statements: list[str] = []
        with migration_transaction(sqlite_engine) as connection:
            views = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'view'").all()
            for view, _ in views:
                connection.exec_driver_sql(f"DROP VIEW {view}")
            sa.event.listen(connection, "before_cursor_execute", lambda *given: statements.append(given[2]))
            with Operations.context(MigrationContext.configure(connection)):
                for table in metadata.sorted_tables:
                    with changed_table(table.name):
                        pass
            for _, sql in views:
                connection.exec_driver_sql(sql)
        for table in metadata.sorted_tables:
            assert any(f"INSERT INTO _alembic_tmp_{table.name} " in statement for statement in statements)
        assert database.schema() == schema
        assert database.rows() == rows


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        ("ALTER TABLE news_articles ADD COLUMN mood TEXT", " mood"),
        ("ALTER TABLE trades RENAME COLUMN order_id TO ordering_id", " ordering_id"),
        ("DROP INDEX ix_trades_executed_us", "index trades.ix_trades_executed_us"),
        ("DROP VIEW price_history", "view price_history"),
    ],
)
def test_schema_comparison_sees_a_changed_schema(
    request: pytest.FixtureRequest, kind: str, spoil: str, what: str
) -> None:
    engine: sa.Engine = request.getfixturevalue(f"{kind}_engine")
    before = schema_of(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(spoil)
    assert any(key.endswith(what) for key, _ in before.items() ^ schema_of(engine).items())


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        ("ALTER TABLE trades DROP CONSTRAINT ck_trades_side", "constraint trades.ck_trades_side"),
        ("ALTER TABLE trades ALTER COLUMN side DROP NOT NULL", " side"),
        ("ALTER TABLE trades ALTER COLUMN fee_microdollars TYPE numeric", " fee_microdollars"),
        ("ALTER TABLE trades DROP CONSTRAINT fk_trades_ticker_markets", "constraint trades.fk_trades_ticker_markets"),
        ("CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'", "function one()"),
    ],
)
def test_schema_comparison_sees_losses_specific_to_postgres(postgres_engine: sa.Engine, spoil: str, what: str) -> None:
    before = schema_of(postgres_engine)
    with postgres_engine.begin() as connection:
        connection.exec_driver_sql(spoil)
    assert any(key.endswith(what) for key, _ in before.items() ^ schema_of(postgres_engine).items())


@pytest.mark.parametrize(
    ("ddl", "instead", "what"),
    [
        (" WITHOUT ROWID,", "", "table rate_budgets"),
        (" WITHOUT ROWID,\n STRICT", " WITHOUT ROWID", "table rate_budgets"),
        ("bucket TEXT NOT NULL", "bucket TEXT", " bucket"),
        ("'read', 'balance'", "'read', 'balance', 'write'", "constraint rate_budgets.ck_rate_budgets_bucket"),
    ],
)
def test_schema_comparison_sees_losses_of_a_rebuilt_table(
    sqlite_engine: sa.Engine, ddl: str, instead: str, what: str
) -> None:
    before = schema_of(sqlite_engine)
    with sqlite_engine.begin() as connection:
        table = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'rate_budgets'").scalar_one()
        assert ddl in table
        connection.exec_driver_sql("DROP TABLE rate_budgets")
        connection.exec_driver_sql(table.replace(ddl, instead))
    assert any(key.endswith(what) for key, _ in before.items() ^ schema_of(sqlite_engine).items())
