"""Readers of the lake that know nothing of this package: DuckDB, Polars, pandas and pyarrow."""

import uuid
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Final

import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from kalshi_pipelines.units import microseconds


def rows_of_file(file: Path) -> "Counter[str]":
    """Return the rows of one file as texts."""
    rows = pq.read_table(file, partitioning=None).to_pylist()
    return Counter(
        repr(sorted((name, microseconds(value) if name == "observed_time" else value) for name, value in row.items()))
        for row in rows
    )


def _with_pyarrow(folder: Path) -> int:
    return int(ds.dataset(folder, partitioning="hive").count_rows())


def _with_duckdb(folder: Path) -> int:
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT count(ticker) FROM read_parquet(?, hive_partitioning = true)", [f"{folder}/**/*.parquet"]
        ).fetchone()
    return int(found[0]) if found else 0


def _with_polars(folder: Path) -> int:
    return polars.read_parquet(folder / "**" / "*.parquet", hive_partitioning=True).height


def _with_pandas(folder: Path) -> int:
    return len(pandas.read_parquet(folder, dtype_backend="pyarrow"))


#: The number of rows in a dataset's folder, as each reader counts them.
READERS: Final[dict[str, Callable[[Path], int]]] = {
    "pyarrow": _with_pyarrow,
    "duckdb": _with_duckdb,
    "polars": _with_polars,
    "pandas": _with_pandas,
}


#: Errors of readers that open a file twice, when the file was replaced in between.
MAY_FAIL: Final[dict[str, tuple[type[BaseException], ...]]] = {
    "duckdb": (duckdb.Error,),
    "pandas": (OSError, pa.ArrowException),
    "pyarrow": (OSError, pa.ArrowException),
    "polars": (polars.exceptions.PolarsError, polars.exceptions.PanicException),
}

DaySums = dict[str, tuple[int, Decimal]]


def _sums_with_pyarrow(folder: Path, column: str) -> DaySums:
    table = ds.dataset(
        folder, partitioning=ds.partitioning(pa.schema([("date", pa.string())]), flavor="hive")
    ).to_table()
    found = table.group_by("date").aggregate([(column, "count"), (column, "sum")]).to_pylist()
    return {row["date"]: (row[f"{column}_count"], row[f"{column}_sum"]) for row in found}


def _sums_with_duckdb(folder: Path, column: str) -> DaySums:
    # Extensions would be loaded from the network.
    config: dict[str, str | bool | int | float | list[str]] = {"autoinstall_known_extensions": False}
    with duckdb.connect(config=config) as connection:
        found = connection.execute(
            f"SELECT date::VARCHAR, count(*), sum({column}) FROM read_parquet(?, hive_partitioning = true) GROUP BY 1",
            [f"{folder}/**/*.parquet"],
        ).fetchall()
    return {date: (rows, total) for date, rows, total in found}


def _sums_with_polars(folder: Path, column: str) -> DaySums:
    frame = polars.read_parquet(folder / "**" / "*.parquet", hive_partitioning=True, try_parse_hive_dates=False)
    found = frame.group_by("date").agg(polars.len(), polars.col(column).sum().alias("total"))
    return {date: (rows, total) for date, rows, total in found.iter_rows()}


def _sums_with_pandas(folder: Path, column: str) -> DaySums:
    frame = pandas.read_parquet(folder, dtype_backend="pyarrow")
    return {str(date): (len(part), part[column].sum()) for date, part in frame.groupby("date", observed=True)}


#: The number of rows and the exact sum of a column for each day, as each reader computes them.
SUMS: Final[dict[str, Callable[[Path, str], DaySums]]] = {
    "pyarrow": _sums_with_pyarrow,
    "duckdb": _sums_with_duckdb,
    "polars": _sums_with_polars,
    "pandas": _sums_with_pandas,
}


def ids_of(folder: Path, column: str) -> dict[str, list[uuid.UUID]]:
    """Return the ids of a dataset in their order, as each reader reads them. Polars reads an id as 16 bytes."""
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as connection:
        rows = connection.execute(f"SELECT {column} FROM read_parquet(?)", [f"{folder}/**/*.parquet"]).fetchall()
    frame = polars.read_parquet(folder / "**" / "*.parquet")
    return {
        "duckdb": [row[0] for row in rows],
        "pandas": list(pandas.read_parquet(folder)[column]),
        "pyarrow": pq.read_table(folder)[column].to_pylist(),
        "polars": [uuid.UUID(bytes=each) for each in frame[column]],
    }
