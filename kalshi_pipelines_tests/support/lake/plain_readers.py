"""Readers of the lake that know nothing of this package: DuckDB, Polars, pandas and pyarrow."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

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
    import duckdb

    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT count(ticker) FROM read_parquet(?, hive_partitioning = true)", [f"{folder}/**/*.parquet"]
        ).fetchone()
    return int(found[0]) if found else 0


def _with_polars(folder: Path) -> int:
    import polars

    return polars.read_parquet(folder / "**" / "*.parquet", hive_partitioning=True).height


def _with_pandas(folder: Path) -> int:
    import pandas

    return len(pandas.read_parquet(folder, dtype_backend="pyarrow"))


#: The number of rows in a dataset's folder, as each reader counts them.
READERS: Final[dict[str, Callable[[Path], int]]] = {
    "pyarrow": _with_pyarrow,
    "duckdb": _with_duckdb,
    "polars": _with_polars,
    "pandas": _with_pandas,
}
