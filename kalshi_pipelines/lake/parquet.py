"""Parquet files with exact decimals and UTC times; a file appears whole or not at all.

A dataset is a folder, partitioned by trading day: ``price_history/date=2026-11-22/run-17.parquet``. The rows of a file
are sorted by ticker, so that a reader can skip row groups by ticker range.
"""

import datetime as dt
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from kalshi_pipelines.warehouse.engine import make_writable_folder

DOLLARS: Final = pa.decimal128(18, 6)
CONTRACTS: Final = pa.decimal128(18, 2)
INSTANT: Final = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class WrittenFile:
    """A complete file of the lake, with its numbers of rows and bytes."""

    path: Path
    rows: int
    bytes: int


def exact_decimals(integers: pa.Array, decimal_type: pa.DataType) -> pa.Array:
    """Return integers as decimals: each integer counts units of the last digit.

    570000 becomes 0.570000 in ``decimal128(18, 6)``.
    """
    whole = integers.cast(pa.decimal128(19, 0))
    return pa.Array.from_buffers(decimal_type, len(whole), whole.buffers(), whole.null_count, whole.offset)


def write_file(
    lake: Path, dataset: str, day: dt.date, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> WrittenFile:
    """Write one file of a dataset for one trading day. An older file of the same name is replaced in one step.

    Raises:
        WarehouseUnavailable: The lake's folder cannot be written.
    """
    folder = lake / dataset / f"date={day.isoformat()}"
    make_writable_folder(folder, "KALSHI_DATA_DIR or KALSHI_LAKE_DIR")
    path = folder / f"{name}.parquet"
    # The name of an unfinished file begins with a dot, because readers of Parquet folders skip such files.
    unfinished = folder / f".{name}.parquet.{os.getpid()}"
    rows = 0
    try:
        with pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
        _to_disk(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return WrittenFile(path, rows, path.stat().st_size)


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
