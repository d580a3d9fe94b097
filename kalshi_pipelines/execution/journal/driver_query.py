"""Queries that run while an order waits, sent directly through the database driver.

Running such a query through SQLAlchemy would take about twice as long.
"""

from collections.abc import Mapping
from typing import Any, Final, LiteralString, cast

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import dialect as postgres_dialect

from kalshi_pipelines.execution.journal.deferred import run_now
from kalshi_pipelines.execution.journal.postgres_pipeline import Statement
from kalshi_pipelines.warehouse.engine import sqlite_driver

#: Postgres itself knows only numbered parameters.
_POSTGRES: Final[sa.Dialect] = cast("Any", postgres_dialect)(paramstyle="numeric_dollar")


class DriverQuery:
    """A query whose SQL text is compiled only once for each kind of database.

    The columns of its result are integers and texts, which need no conversion.
    """

    def __init__(self, query: sa.Select[Any] | sa.CompoundSelect[Any]) -> None:
        self._query: Final = query
        self._compiled: Final[dict[str, tuple[LiteralString, list[str], dict[str, Any]]]] = {}

    def fetch_all(self, connection: sa.Connection, values: Mapping[str, object]) -> list[dict[str, Any]]:
        """Return all rows of the query's result as dictionaries by column name.

        ``values`` are the query's parameters.
        """
        if connection.dialect.name != "sqlite":
            return run_now(connection, [self.statement(values)])[0]
        text, places, fixed = self._compile(connection.dialect)
        given = {**fixed, **values}
        found = sqlite_driver(connection).execute(text, [given[name] for name in places])
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found]

    def statement(self, values: Mapping[str, object]) -> Statement:
        """Return the query as a statement for Postgres. ``values`` are its parameters."""
        text, places, fixed = self._compile(_POSTGRES)
        given = {**fixed, **values}
        return Statement(text, [given[name] for name in places])

    def _compile(self, dialect: sa.Dialect) -> tuple[LiteralString, list[str], dict[str, Any]]:
        known = self._compiled.get(dialect.name)
        if known is None:
            compiled = cast("Any", self._query.compile(dialect=dialect))
            known = self._compiled[dialect.name] = (str(compiled), compiled.positiontup or [], compiled.params)
        return known
