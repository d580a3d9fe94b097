"""What a database is, told before anything is done to it."""

import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.inspection import CanNotBeUpgraded, Content
from kalshi_pipelines.warehouse.migrations import wanted_revision
from kalshi_pipelines.warehouse.upgrade import found_in, migrate
from kalshi_pipelines_tests.support.migrated import upgrade_to_head

REFUSED = {
    "newer than the code": ("UPDATE alembic_version SET version_num = '0999'", "install the newer version"),
    "two revisions": ("INSERT INTO alembic_version VALUES ('0003')", "stamped with 2 revisions"),
    "a revision nobody knows": ("UPDATE alembic_version SET version_num = 'feedbeef'", "does not know"),
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
        "has not its tables",
    ),
}


def test_an_empty_database_holds_nothing(empty_database_url: str) -> None:
    engine = open_engine(empty_database_url)
    found = found_in(engine)
    assert (found.content, found.revision, found.at_head) == (Content.NOTHING, None, False)
    engine.dispose()


def test_a_warehouse_is_known_by_its_tables_and_its_stamp(engine: sa.Engine) -> None:
    found = found_in(engine)
    assert (found.content, found.revision, found.at_head) == (Content.WAREHOUSE, wanted_revision(), True)


@pytest.mark.parametrize(("statement", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_stamp_that_can_not_be_trusted_is_refused(engine: sa.Engine, statement: str, sentence: str) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    with pytest.raises(CanNotBeUpgraded, match=sentence):
        migrate(engine, "sandbox", print)


@pytest.mark.parametrize(("statements", "sentence"), FOREIGN.values(), ids=FOREIGN)
def test_a_database_of_something_else_is_refused(empty_database_url: str, statements: list[str], sentence: str) -> None:
    engine = open_engine(empty_database_url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    before = set(sa.inspect(engine).get_table_names())
    with pytest.raises(CanNotBeUpgraded, match=sentence):
        migrate(engine, "sandbox", print)
    assert set(sa.inspect(engine).get_table_names()) == before
    engine.dispose()


def test_an_empty_version_table_alone_is_as_good_as_nothing(empty_database_url: str) -> None:
    engine = open_engine(empty_database_url)
    with engine.begin() as connection:
        connection.execute(sa.text(STAMP_TABLE))
    assert found_in(engine).content is Content.NOTHING
    upgrade_to_head(engine)
    assert found_in(engine).at_head
    engine.dispose()
