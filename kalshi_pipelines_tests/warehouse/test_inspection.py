"""The content of a database is recognised before anything is written to it."""

import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.inspection import CannotBeUpgraded, Content
from kalshi_pipelines.warehouse.migrations import wanted_revision
from kalshi_pipelines.warehouse.upgrade import inspect_database, migrate
from kalshi_pipelines_tests.support.migrated import upgrade_to_head

REFUSED = {
    "newer than the code": ("UPDATE alembic_version SET version_num = '0999'", "Install the newer version"),
    "two revisions": ("INSERT INTO alembic_version VALUES ('0003')", "stamped with 2 revisions"),
    "an unknown revision": ("UPDATE alembic_version SET version_num = 'feedbeef'", "does not know"),
    "no revision": ("DELETE FROM alembic_version", "no revision in alembic_version"),
}
STAMP_TABLE = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
INVOICES = "CREATE TABLE invoices (id INTEGER)"
FOREIGN = {
    "tables of something else": ([INVOICES], "invoices"),
    "another tool's revision": (
        [INVOICES, STAMP_TABLE, "INSERT INTO alembic_version VALUES ('feedbeef')"],
        "not touched",
    ),
    "a revision without its tables": (
        [STAMP_TABLE, "INSERT INTO alembic_version VALUES ('0003')"],
        "lacks the tables of that revision",
    ),
}


def test_empty_database_is_recognised_as_empty(empty_database_url: str) -> None:
    engine = open_engine(empty_database_url)
    found = inspect_database(engine)
    assert (found.content, found.revision, found.at_head) == (Content.NOTHING, None, False)
    engine.dispose()


def test_warehouse_is_recognised_by_its_tables_and_stamp(engine: sa.Engine) -> None:
    found = inspect_database(engine)
    assert (found.content, found.revision, found.at_head) == (Content.WAREHOUSE, wanted_revision(), True)


@pytest.mark.parametrize(("statement", "sentence"), REFUSED.values(), ids=REFUSED)
def test_warehouse_with_an_unusable_stamp_is_refused(engine: sa.Engine, statement: str, sentence: str) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    with pytest.raises(CannotBeUpgraded, match=sentence):
        migrate(engine, "sandbox", print)


@pytest.mark.parametrize(("statements", "sentence"), FOREIGN.values(), ids=FOREIGN)
def test_database_of_another_program_is_refused(empty_database_url: str, statements: list[str], sentence: str) -> None:
    engine = open_engine(empty_database_url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    before = set(sa.inspect(engine).get_table_names())
    with pytest.raises(CannotBeUpgraded, match=sentence):
        migrate(engine, "sandbox", print)
    assert set(sa.inspect(engine).get_table_names()) == before
    engine.dispose()


def test_database_with_only_an_empty_version_table_counts_as_empty(empty_database_url: str) -> None:
    engine = open_engine(empty_database_url)
    with engine.begin() as connection:
        connection.execute(sa.text(STAMP_TABLE))
    assert inspect_database(engine).content is Content.NOTHING
    upgrade_to_head(engine)
    assert inspect_database(engine).at_head
    engine.dispose()
