"""The list of migrations, and databases that tests upgrade or downgrade to any migration with Alembic commands."""

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
from kalshi_pipelines.warehouse.tables import PREVIOUS_DAY_PRICES, QUOTE, SHARED_TEXTS, is_full_text_part, metadata
from kalshi_pipelines.warehouse.tables.columns import Digest, Integer, Text
from kalshi_pipelines_tests.support.checkout import CHECKOUT
from kalshi_pipelines_tests.support.warehouse.rows import LEGAL, MARKET_BEFORE_0014, numbered
from kalshi_pipelines_tests.support.warehouse.schema import Schema, schema_of

PYPROJECT: Final = CHECKOUT / "pyproject.toml"
SCRIPTS: Final = ScriptDirectory.from_config(Config(toml_file=PYPROJECT))
#: The revision ids of all migrations, oldest first.
REVISIONS: Final = [script.revision for script in SCRIPTS.walk_revisions()][::-1]

QUOTE_COLUMNS: Final = (*QUOTE, "volume_24h_centicontracts", *PREVIOUS_DAY_PRICES)

Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Database:
    """A database that tests upgrade and downgrade with Alembic."""

    engine: sa.Engine
    config: Config

    def upgrade(self, revision: str = "head") -> None:
        """Upgrade the database to a revision, as ``alembic upgrade`` does."""
        command.upgrade(self.config, revision)

    def downgrade(self, revision: str) -> None:
        """Downgrade the database to a revision, as ``alembic downgrade`` does."""
        command.downgrade(self.config, revision)

    def schema(self) -> Schema:
        """Return the schema of the database."""
        return schema_of(self.engine)

    def tables(self) -> set[str]:
        """Return the names of the tables, without Alembic's table and the tables of the full-text index."""
        names = set(sa.inspect(self.engine).get_table_names()) - {"alembic_version"}
        return {name for name in names if not is_full_text_part(name)}

    def rows(self) -> Rows:
        """Return every row of every table."""
        there = sorted(self.tables())
        with self.engine.connect() as connection:
            return {
                table: sorted(map(dict, connection.exec_driver_sql(f"SELECT * FROM {table}").mappings()), key=repr)
                for table in there
            }

    def fill(self, names: set[str], count: int = 3) -> None:
        """Insert legal rows into the named tables, parents first. Columns that a table lacks are left out."""
        with writing(self.engine) as connection:
            for table in LEGAL:
                if table.name in names:
                    there = _actual_table(connection, table)
                    for number in range(count):
                        older = MARKET_BEFORE_0014 if table.name == "markets" else {}
                        row = older | numbered(table, number) | (_ODD.get(table.name, {}) if number else {})
                        connection.execute(sa.insert(there), {name: row[name] for name in row if name in there.c})

    def insert(self, name: str, row: dict[str, Any]) -> None:
        """Insert a row into a table."""
        with writing(self.engine) as connection:
            there = _actual_table(connection, metadata.tables[name])
            older = MARKET_BEFORE_0014 if name == "markets" and not row.get("is_placeholder") else {}
            older = {column: value for column, value in older.items() if column in there.c}
            connection.execute(sa.insert(there), older | row)

    def empty(self, names: set[str]) -> None:
        """Delete all rows of the named tables."""
        with writing(self.engine) as connection:
            for table in reversed(LEGAL):
                if table.name in names:
                    connection.execute(sa.delete(table))


def as_before_0014(rows: Rows) -> Rows:
    """Return the rows of a database with quotes and shared texts inside markets, as before migration 0014."""
    if "quotes" not in rows:
        return rows
    texts = {row["text_digest"]: row["text"] for row in rows["rule_texts"]}
    quotes = {row["ticker"]: row for row in rows["quotes"]}
    markets = [
        market
        | {name: texts.get(market[f"{name}_digest"]) for name in SHARED_TEXTS}
        | {name: quotes.get(market["ticker"], {}).get(name) for name in ("record_digest", *QUOTE_COLUMNS)}
        for market in rows["markets"]
    ]
    return rows | {"markets": markets}


def _actual_table(connection: sa.Connection, table: sa.Table) -> sa.TableClause:
    """Return a table with the columns that it has in the database, which may be of another revision."""
    names = connection.exec_driver_sql(f"SELECT * FROM {table.name} WHERE false").keys()
    types = {column.name: column.type for column in table.c}
    if table.name == "markets":
        types |= {name: _TYPES[type(value)] for name, value in MARKET_BEFORE_0014.items()}
    return sa.table(table.name, *[sa.column(name, types[name]) for name in names if name in types])


#: The column types of values of columns that a later migration removed.
_TYPES: Final[dict[type, sa.types.TypeEngine[Any]]] = {bytes: Digest, int: Integer, str: Text}

#: Unusual legal values that could change if a migration copied a table wrongly.
_ODD: Final[dict[str, dict[str, Any]]] = {
    "series": {"title": 'It\'s 50 % — "Ünï"\n\\N', "record_digest": bytes(range(256)), "tags": None},
    "markets": {"volume_centicontracts": 2**62, "rules_primary": "", "title": "; DROP TABLE markets; --"},
    "ingest_runs": {"started_us": -1, "records_read": 2**62, "records_written": 2**62},
}


@contextmanager
def open_database(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Open a database that Alembic commands reach through pyproject.toml and KALSHI_WAREHOUSE_URL, as for a user."""
    monkeypatch.setenv("KALSHI_WAREHOUSE_URL", url)
    engine = open_engine(url)
    try:
        yield Database(engine, Config(toml_file=PYPROJECT))
    finally:
        engine.dispose()


#: Foreign keys that may be NULL in a complete row.
OPTIONAL_REFERENCES: Final = {"position_id"}


def ancestors(table: sa.Table) -> set[str]:
    """Return the tables that must have a row before the given table can have one."""
    parents = {key.column.table for key in table.foreign_keys if key.parent.name not in OPTIONAL_REFERENCES}
    return {parent.name for parent in parents}.union(*map(ancestors, parents))
