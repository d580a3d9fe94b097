"""A connection of DuckDB with views over the warehouse and the lake.

DuckDB reads files of the lake when a query needs them, and only the needed row groups. Rows of the warehouse are
copied into memory when the connection is made. If such rows reach the lake before a query, the files win and no row is
doubled.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.lake.datasets import Dataset
from kalshi_pipelines.lake.lake import Lake

if TYPE_CHECKING:
    import duckdb

#: The column with the trading day, which the names of folders hold.
DATE: Final = pa.field("date", pa.date32())
_PATTERN_SIGNS: Final = re.compile(r"([\[*?])")


def with_date(table: pa.Table, day: dt.date) -> pa.Table:
    """Return a table with its trading day as a further column."""
    return table.append_column(DATE, pa.array([day] * table.num_rows, DATE.type))


class DuckDBMissing(ExpectedError):
    """The optional package DuckDB is not installed."""


@dataclass(frozen=True)
class SpanningView:
    """A dataset of the lake, the paths of its files, and the rows that may not be in these files yet.

    Attributes:
        dataset: The dataset.
        paths: Paths of files in the lake.
        waiting: Rows of the warehouse, with the column ``date``.
        whole: Columns that identify the rows that reach the lake together, such as all levels of one orderbook.
        condition: SQL condition on the newest version of each row. The view has the rows that meet it.
    """

    dataset: Dataset
    paths: tuple[str, ...]
    waiting: pa.Table
    whole: tuple[str, ...]
    condition: str = "true"


def connect(
    lake: Lake, tables: Mapping[str, pa.Table], views: Mapping[str, SpanningView]
) -> "duckdb.DuckDBPyConnection":
    """Return a connection of DuckDB with the tables and views.

    Raises:
        DuckDBMissing: DuckDB is not installed.
    """
    try:
        import duckdb  # noqa: PLC0415  # optional
    except ImportError:
        raise DuckDBMissing("DuckDB is not installed.", "Run `pip install 'kalshi-pipelines[research]'`.") from None
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    for name, table in tables.items():
        database.register(name, table)
    for name, view in views.items():
        _add_view(database, lake, name, view)
    return database


def _add_view(database: Any, lake: Lake, name: str, view: SpanningView) -> None:  # noqa: ANN401  # optional package
    schema = view.dataset.file_schema.append(DATE)
    _add_files(database, lake, name, view, schema)
    database.register(f"{name}_in_warehouse", view.waiting.cast(schema))
    days = [f"DATE '{day.isoformat()}'" for day in sorted(set(pc.unique(view.waiting["date"]).to_pylist()))]
    same = " AND ".join(f"stored.{column} = waiting.{column}" for column in view.whole)
    stored_rows = f'SELECT * FROM "{name}_in_lake" AS stored'  # noqa: S608
    if not days:
        database.execute(f'CREATE VIEW "{name}" AS {stored_rows} WHERE {view.condition}')
        return
    is_stored = is_older = ""
    if view.dataset.newest:
        version = view.dataset.newest
        is_stored = f"stored.{version} >= waiting.{version} AND "
        is_older = (
            f' WHERE NOT EXISTS (SELECT 1 FROM "{name}_in_warehouse" AS waiting'  # noqa: S608
            f" WHERE waiting.{version} > stored.{version} AND {same})"
        )
    database.execute(
        f'CREATE VIEW "{name}" AS SELECT * FROM ({stored_rows}{is_older} '  # noqa: S608
        f'UNION ALL SELECT * FROM "{name}_in_warehouse" AS waiting WHERE NOT EXISTS ('
        f'SELECT 1 FROM "{name}_in_lake" AS stored WHERE stored.date IN ({", ".join(days)}) AND {is_stored}{same})) '
        f"WHERE {view.condition}"
    )


def _add_files(database: Any, lake: Lake, name: str, view: SpanningView, schema: pa.Schema) -> None:  # noqa: ANN401
    """Add the files of a dataset. DuckDB itself opens local files again for each query, so files may be replaced."""
    files = lake.store.local_files(view.paths)
    if not view.paths:
        database.register(f"{name}_in_lake", schema.empty_table())
    elif files is None:
        database.register(f"{name}_in_lake", lake.store.arrow_dataset(view.paths, schema))
    else:
        names = ", ".join(map(_literal, files))
        columns = ", ".join(f'"{column}"' for column in schema.names)
        database.execute(
            f'CREATE VIEW "{name}_in_lake" AS SELECT {columns} '  # noqa: S608
            f"FROM read_parquet([{names}], hive_partitioning = true, hive_types = {{'date': DATE}})"
        )


def _literal(file: Path) -> str:
    """Return a path as a literal of SQL in which DuckDB finds no pattern of file names."""
    return "'" + _PATTERN_SIGNS.sub(r"[\1]", str(file)).replace("'", "''") + "'"
