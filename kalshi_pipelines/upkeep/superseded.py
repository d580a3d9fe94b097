"""Parquet files of the older layout, ``run-17.parquet`` for each run and day, are set aside in a folder of their own.

The warehouse held every row that older versions exported. So the rows of these files are not published again, but the
warehouse is asked for each of them. Rows that it does not have were exported by another warehouse, or were deleted.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from kalshi_pipelines.lake.buffers import ORDERBOOKS, PRICES, HistoryBuffer
from kalshi_pipelines.lake.errors import explain_file_errors, printable
from kalshi_pipelines.lake.store import open_local, sync_to_disk
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import superseded_files

#: Folder of the lake for files of the older layout. No reader and no writer of the lake looks into it.
SUPERSEDED: Final = "superseded"
_OLD_NAME: Final = re.compile(r"\.?run-\d+\.parquet(\.\d+)?")
_ROWS_AT_ONCE: Final = 20_000


@dataclass(frozen=True)
class SetAside:
    """A file of the older layout that was set aside.

    Attributes:
        path: Its former path in the lake.
        rows: Its rows; 0 if it cannot be read.
        rows_not_in_warehouse: Rows whose market and time the warehouse does not have.
        problem: The reason why the file cannot be read, or None.
    """

    path: str
    rows: int
    rows_not_in_warehouse: int
    problem: str | None


def set_aside_old_files(engine: sa.Engine, folder: Path, report: Callable[[str], None]) -> None:
    """Compare each file of the older layout with the warehouse, record the result, and move the file.

    An interrupted call is repeated: the result of each file is recorded before the file is moved.

    Raises:
        LakeUnavailable: The folder cannot be read or written.
    """
    with explain_file_errors(printable(folder)):
        old = [(buffer, file) for buffer in (PRICES, ORDERBOOKS) for file in _old_files(folder, buffer)]
        for number, (buffer, file) in enumerate(old, start=1):
            found = _compare(engine, buffer, file, printable(file.relative_to(folder).as_posix()))
            _record(engine, found)
            _move(folder, file)
            report(f"{number:,} of {len(old):,} files of the older layout were compared and set aside")


def files_set_aside(engine: sa.Engine) -> list[SetAside]:
    """Return the files of the older layout that were set aside, sorted by path."""
    columns = superseded_files.c
    query = sa.select(columns.path, columns.rows, columns.rows_not_in_warehouse, columns.problem)
    with engine.connect() as connection:
        return [SetAside(*row) for row in connection.execute(query.order_by(columns.path))]


def _old_files(folder: Path, buffer: HistoryBuffer) -> list[Path]:
    return [
        file
        for file in sorted((folder / buffer.dataset.name).glob("date=*/*"))
        if _OLD_NAME.fullmatch(file.name) and file.is_file()
    ]


def _compare(engine: sa.Engine, buffer: HistoryBuffer, file: Path, path: str) -> SetAside:
    rows = missing = 0
    try:
        for batch in _keys(file):
            rows += batch.num_rows
            missing += _count_missing(engine, buffer, batch)
    except (pa.ArrowException, KeyError) as error:
        return SetAside(path, 0, 0, printable((str(error).splitlines() or [type(error).__name__])[0]))
    return SetAside(path, rows, missing, None)


def _keys(file: Path) -> Iterator[pa.RecordBatch]:
    with open_local(file) as source, pq.ParquetFile(source) as opened:
        yield from opened.iter_batches(_ROWS_AT_ONCE, columns=["ticker", "observed_time"], use_threads=False)


def _count_missing(engine: sa.Engine, buffer: HistoryBuffer, batch: pa.RecordBatch) -> int:
    """Return how many rows of a batch have a market and time that the warehouse does not have."""
    times = batch.column("observed_time").cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pylist()
    pairs = list(zip(batch.column("ticker").to_pylist(), times, strict=True))
    stored = buffer.table.c
    wanted = sa.Table(
        "old_rows",
        sa.MetaData(),
        sa.Column("ticker", stored.ticker.type, primary_key=True),
        sa.Column("observed_us", stored.observed_us.type, primary_key=True),
        prefixes=["TEMPORARY"],
    )
    with engine.connect() as connection:
        wanted.create(connection)
        connection.execute(sa.insert(wanted), [{"ticker": ticker, "observed_us": at} for ticker, at in set(pairs)])
        is_stored = sa.exists().where(stored.ticker == wanted.c.ticker, stored.observed_us == wanted.c.observed_us)
        missing: set[Any] = set(map(tuple, connection.execute(sa.select(wanted).where(~is_stored))))
        wanted.drop(connection)
    return sum(pair in missing for pair in pairs)


def _record(engine: sa.Engine, found: SetAside) -> None:
    values = {
        "rows": found.rows,
        "rows_not_in_warehouse": found.rows_not_in_warehouse,
        "problem": found.problem,
        "set_aside_us": now_us(),
    }
    is_same = superseded_files.c.path == found.path
    with writing(engine) as connection:
        if not connection.execute(sa.update(superseded_files).where(is_same).values(values)).rowcount:
            connection.execute(sa.insert(superseded_files).values(path=found.path, **values))


def _move(folder: Path, file: Path) -> None:
    target = folder / SUPERSEDED / file.relative_to(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    while target.exists():
        number += 1
        target = target.with_name(f"{file.name}.{number}")
    file.rename(target)
    sync_to_disk(target.parent)
    sync_to_disk(file.parent)
