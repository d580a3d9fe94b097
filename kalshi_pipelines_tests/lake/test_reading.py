"""Reading returns exactly the rows of a time span and of the wanted tickers, and skips files and row groups."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from kalshi_pipelines.lake.errors import LakeFileChanged
from kalshi_pipelines.lake.manifest import lake_files_of
from kalshi_pipelines.lake.reading import read
from kalshi_pipelines.units import DAY_US, microseconds
from kalshi_pipelines_tests.support.lake.lakes import DAY, EXACT, MIDNIGHT_US, batch, local_lake

TICKERS = ("A", "B", "C")
TIMES = (0, 5, 9)


@pytest.fixture
def filled(sqlite_engine: sa.Engine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> sa.Engine:
    """A warehouse whose lake has three tickers at three times of two days, in row groups of two rows."""
    monkeypatch.setattr("kalshi_pipelines.lake.parquet.ROW_GROUP_ROWS", 2)
    days = {
        DAY.replace(day=DAY.day + day): [
            batch(EXACT, [(ticker, MIDNIGHT_US + day * DAY_US + time, 1) for ticker in TICKERS for time in TIMES])
        ]
        for day in (0, 1)
    }
    local_lake(folder).publish(sqlite_engine, EXACT, days, "test")
    return sqlite_engine


def found(engine: sa.Engine, folder: Path, **wanted: Any) -> list[tuple[str, int]]:
    rows = read(local_lake(folder), engine, EXACT, **wanted).read_all().to_pylist()
    return [(row["ticker"], microseconds(row["observed_time"]) - MIDNIGHT_US) for row in rows]


@pytest.mark.parametrize("tickers", [None, ["B"], ["C", "A", "X"], []])
@pytest.mark.parametrize(("start", "end"), [(None, None), (5, None), (None, 9), (5, DAY_US + 5), (6, 8)])
def test_reading_returns_exactly_the_wanted_rows(
    filled: sa.Engine, folder: Path, tickers: list[str] | None, start: int | None, end: int | None
) -> None:
    expected = [
        (ticker, day * DAY_US + time)
        for day in (0, 1)
        for ticker in TICKERS
        for time in TIMES
        if (tickers is None or ticker in tickers)
        and (start is None or day * DAY_US + time >= start)
        and (end is None or day * DAY_US + time < end)
    ]
    start_us, end_us = (None if bound is None else MIDNIGHT_US + bound for bound in (start, end))
    assert found(filled, folder, start_us=start_us, end_us=end_us, tickers=tickers) == expected


def test_reading_returns_only_the_wanted_columns(filled: sa.Engine, folder: Path) -> None:
    reader = read(local_lake(folder), filled, EXACT, start_us=MIDNIGHT_US, tickers=["A"], columns=["price"])
    assert reader.schema.names == ["price"]
    assert reader.read_all().num_rows == 6


def test_reading_skips_files_and_row_groups_without_wanted_rows(
    filled: sa.Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_groups = []
    real = pq.ParquetFile.iter_batches

    def watched(self: Any, *arguments: Any, **options: Any) -> Any:
        read_groups.append(options["row_groups"])
        return real(self, *arguments, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    assert found(filled, folder, end_us=MIDNIGHT_US + DAY_US, tickers=["C"]) == [("C", 0), ("C", 5), ("C", 9)]
    assert read_groups == [[3, 4]]


def test_missing_file_is_an_error_and_not_an_empty_answer(filled: sa.Engine, folder: Path) -> None:
    (folder / lake_files_of(filled)[0].path).unlink()
    with pytest.raises(LakeFileChanged, match="is missing"):
        found(filled, folder)
