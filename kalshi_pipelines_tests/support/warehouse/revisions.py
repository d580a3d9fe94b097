"""The migrations, and databases that are brought to any of them by the alembic command's own door."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from kalshi_pipelines.warehouse.engine import open_engine, writing
from kalshi_pipelines.warehouse.tables import is_full_text_part, metadata
from kalshi_pipelines_tests.support.checkout import CHECKOUT
from kalshi_pipelines_tests.support.warehouse.rows import LEGAL, numbered
from kalshi_pipelines_tests.support.warehouse.schema import Schema, schema_of

PYPROJECT: Final = CHECKOUT / "pyproject.toml"
SCRIPTS: Final = ScriptDirectory.from_config(Config(toml_file=PYPROJECT))
#: The revision ids from the first migration to the newest.
REVISIONS: Final = [script.revision for script in SCRIPTS.walk_revisions()][::-1]

Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Database:
    """A database between two revisions."""

    engine: sa.Engine
    config: Config

    def upgrade(self, revision: str = "head") -> None:
        """What ``alembic upgrade`` does."""
        command.upgrade(self.config, revision)

    def downgrade(self, revision: str) -> None:
        """What ``alembic downgrade`` does."""
        command.downgrade(self.config, revision)

    def schema(self) -> Schema:
        """What the database is made of."""
        return schema_of(self.engine)

    def tables(self) -> set[str]:
        """The names of the tables; Alembic's own and those of the full-text index are left out."""
        names = set(sa.inspect(self.engine).get_table_names()) - {"alembic_version"}
        return {name for name in names if not is_full_text_part(name)}

    def rows(self) -> Rows:
        """Every row of every table."""
        there = sorted(self.tables())
        with self.engine.connect() as connection:
            return {
                table: sorted(map(dict, connection.exec_driver_sql(f"SELECT * FROM {table}").mappings()), key=repr)
                for table in there
            }

    def fill(self, names: set[str], count: int = 3) -> None:
        """Put legal rows into some tables, as far as the tables have the columns; parents stand before children."""
        with writing(self.engine) as connection:
            for table in LEGAL:
                if table.name in names:
                    there = _actual_table(connection, table)
                    for number in range(count):
                        row = numbered(table, number) | (_ODD.get(table.name, {}) if number else {})
                        connection.execute(sa.insert(there), {name: row[name] for name in row if name in there.c})

    def insert(self, name: str, row: dict[str, Any]) -> None:
        """Put a row into a table."""
        with writing(self.engine) as connection:
            connection.execute(sa.insert(_actual_table(connection, metadata.tables[name])), row)

    def empty(self, names: set[str]) -> None:
        """Delete every row of some tables."""
        with writing(self.engine) as connection:
            for table in reversed(LEGAL):
                if table.name in names:
                    connection.execute(sa.delete(table))


def _actual_table(connection: sa.Connection, table: sa.Table) -> sa.TableClause:
    """A table with the columns it has in the database, which may be older or newer than the description."""
    names = connection.exec_driver_sql(f"SELECT * FROM {table.name} WHERE false").keys()
    return sa.table(table.name, *[sa.column(name, table.c[name].type) for name in names if name in table.c])


#: Values a copy of a table could spoil.
_ODD: Final[dict[str, dict[str, Any]]] = {
    "series": {"title": 'It\'s 50 % — "Ünï"\n\\N', "record_digest": bytes(range(256)), "tags": None},
    "markets": {"volume_centicontracts": 2**62, "rules_primary": "", "title": "; DROP TABLE markets; --"},
    "ingest_runs": {"started_us": -1, "records_read": 2**62, "records_written": 2**62},
}


@contextmanager
def open_database(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database that alembic commands reach as users do: configuration in pyproject.toml, the URL in a variable."""
    monkeypatch.setenv("KALSHI_WAREHOUSE_URL", url)
    engine = open_engine(url)
    try:
        yield Database(engine, Config(toml_file=PYPROJECT))
    finally:
        engine.dispose()


#: The one reference a complete row can be without.
OPTIONAL_REFERENCES: Final = {"position_id"}


def ancestors(table: sa.Table) -> set[str]:
    """The tables that must have a row before a table can have one."""
    parents = {key.column.table for key in table.foreign_keys if key.parent.name not in OPTIONAL_REFERENCES}
    return {parent.name for parent in parents}.union(*map(ancestors, parents))
