"""Rows for every dataset of the lake, with the largest numbers, odd texts and nulls, and readers that return them."""

import datetime as dt
import hashlib
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa

from kalshi_pipelines.lake.datasets import CONTRACTS, DOLLARS, INSTANT, UUID_BYTES, Dataset
from kalshi_pipelines.units import instant

DAY: Final = dt.date(2026, 11, 22)
Row = tuple[Any, ...]
_TEXTS: Final = ('O\'Neil "Ω"\n100 %', "", "日本 😀", "plain")
_DOLLARS: Final = ("0.570000", "0.000001", "-0.123456", "999999999999.999999")
_CONTRACTS: Final = ("343.49", "0.01", "0.00", "9999999999999999.99")


def rows_of_every_kind(dataset: Dataset) -> pa.RecordBatch:
    """Return four sorted rows of one day. In the third row, every column that can be null is null."""
    first_us, _ = dataset.bounds_of(DAY)
    rows = [{field.name: _value(dataset, field, number, first_us) for field in dataset.schema} for number in range(4)]
    return pa.RecordBatch.from_pylist(rows, dataset.schema)


def _value(dataset: Dataset, field: pa.Field, number: int, first_us: int) -> Any:
    if field.nullable and number == 2:
        return None
    if field.name == dataset.key[0]:
        return f"KX{number}-É"
    # Times of the partition must be inside of its day.
    time_us = first_us + number * 3_723_000_001 if field.name == dataset.time else 10**15 + number * 7
    values: dict[pa.DataType, Any] = {
        INSTANT: instant(time_us),
        UUID_BYTES: hashlib.md5(str(number).encode(), usedforsecurity=False).digest(),
        DOLLARS: Decimal(_DOLLARS[number]),
        CONTRACTS: Decimal(_CONTRACTS[number]),
        pa.bool_(): number % 2 == 0,
        pa.int64(): 2**62 + number,
        pa.string(): _TEXTS[number],
    }
    return values[field.type]


def expected_rows(batch: pa.RecordBatch) -> list[Row]:
    """Return the values of a batch as plain readers must return them."""
    return [tuple(row.values()) for row in batch.to_pylist()]


def _with_duckdb(folder: Path, names: list[str]) -> list[Row]:
    # Extensions would be loaded from the network.
    config: dict[str, str | bool | int | float | list[str]] = {"autoinstall_known_extensions": False}
    columns = ", ".join(f'"{name}"' for name in names)
    with duckdb.connect(config=config) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        query = f"SELECT {columns} FROM read_parquet(?, hive_partitioning = true) ORDER BY 1"
        return [_plain(row) for row in connection.execute(query, [f"{folder}/**/*.parquet"]).fetchall()]


def _with_polars(folder: Path, names: list[str]) -> list[Row]:
    frame = pl.read_parquet(folder / "**" / "*.parquet", hive_partitioning=True)
    return [_plain(row) for row in frame.select(names).sort(names[0]).iter_rows()]


def _with_pandas(folder: Path, names: list[str]) -> list[Row]:
    frame = pd.read_parquet(folder, dtype_backend="pyarrow")
    found = frame[names].sort_values(names[0]).astype(object)
    return [_plain(row) for row in found.itertuples(index=False, name=None)]


def _plain(row: Row) -> Row:
    return tuple(_plain_value(value) for value in row)


def _plain_value(value: Any) -> Any:
    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, uuid.UUID):
        return value.bytes
    if isinstance(value, dt.datetime):
        assert value.tzinfo is not None
        assert not isinstance(value, pd.Timestamp) or value.nanosecond == 0
        return (value.to_pydatetime() if isinstance(value, pd.Timestamp) else value).astimezone(dt.UTC)
    return value


#: The rows of a dataset's folder, sorted by their first column, as each plain reader returns them.
PLAIN_READERS: Final[dict[str, Callable[[Path, list[str]], list[Row]]]] = {
    "duckdb": _with_duckdb,
    "polars": _with_polars,
    "pandas": _with_pandas,
}
