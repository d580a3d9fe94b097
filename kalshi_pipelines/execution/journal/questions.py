"""Questions an order waits for, asked through the driver itself: on the way SQLAlchemy costs as much again."""

from collections.abc import Mapping
from typing import Any, Final, LiteralString, cast

import psycopg
import sqlalchemy as sa

from kalshi_pipelines.warehouse.engine import sqlite_driver


class Question:
    """A query put into the words of each database once; its columns are integers and texts no type has to convert."""

    def __init__(self, query: sa.Select[Any]) -> None:
        self._query: Final = query
        self._compiled: Final[dict[str, tuple[LiteralString, list[str], dict[str, Any]]]] = {}

    def asked(self, connection: sa.Connection, values: Mapping[str, object]) -> list[dict[str, Any]]:
        """All rows by the names of their columns; ``values`` are those of its parameters."""
        text, places, fixed = self._words(connection.dialect)
        given = {**fixed, **values}
        driver = connection.connection.driver_connection
        if isinstance(driver, psycopg.Connection):
            found: Any = driver.execute(text, given)
        else:
            found = sqlite_driver(connection).execute(text, [given[name] for name in places])
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found]

    def _words(self, dialect: sa.Dialect) -> tuple[LiteralString, list[str], dict[str, Any]]:
        known = self._compiled.get(dialect.name)
        if known is None:
            compiled = cast("Any", self._query.compile(dialect=dialect))
            known = self._compiled[dialect.name] = (str(compiled), compiled.positiontup or [], compiled.params)
        return known
