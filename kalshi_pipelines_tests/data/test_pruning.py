"""Filters read only the files and row groups that can have wanted rows, measured by files opened and rows read."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from kalshi_pipelines.data import Data, open_data
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES
from kalshi_pipelines.lake.store import LocalStore
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.units import DAY_US, instant
from kalshi_pipelines_tests.support.lake.lakes import local_lake
from kalshi_pipelines_tests.support.lake.public_trades import TRADES_DAY, TRADES_DAY_US, trades_batch

DAYS = 90
TICKERS = [f"T{number:02}" for number in range(20)]
ROWS_OF_A_TICKER = 5


@dataclass
class Work:
    """The files opened and the rows read."""

    files: list[str] = field(default_factory=list)
    rows: int = 0


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """Count the files that are opened and the rows that are read from now on."""
    done = Work()
    opened, batches = LocalStore.read, pq.ParquetFile.iter_batches

    def counted_read(self: LocalStore, path: str, known: Any) -> Any:
        done.files.append(path)
        return opened(self, path, known)

    def counted_batches(self: pq.ParquetFile, *arguments: Any, **options: Any) -> Iterator[Any]:
        for batch in batches(self, *arguments, **options):
            done.rows += batch.num_rows
            yield batch

    monkeypatch.setattr(LocalStore, "read", counted_read)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted_batches)
    return done


@pytest.fixture
def data(sqlite_engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Data]:
    """A lake with 90 days of trades of 20 markets, in row groups of one market each."""
    monkeypatch.setattr("kalshi_pipelines.lake.parquet.ROW_GROUP_ROWS", ROWS_OF_A_TICKER)
    lake = local_lake(tmp_path / "lake")
    for day in range(DAYS):
        trades = [
            (ticker, day * DAY_US + row, day * 1_000 + number * ROWS_OF_A_TICKER + row)
            for number, ticker in enumerate(TICKERS)
            for row in range(ROWS_OF_A_TICKER)
        ]
        date = TRADES_DAY + dt.timedelta(days=day)
        lake.replace_day(sqlite_engine, PUBLIC_TRADES, date, [[trades_batch(trades)]], "test")
    with open_data(Settings(warehouse_url=sqlite_engine.url.render_as_string(), lake_dir=tmp_path / "lake")) as data:
        yield data


def test_one_market_on_one_day_reads_one_file_and_one_row_group(data: Data, work: Work) -> None:
    start = instant(TRADES_DAY_US + 40 * DAY_US)
    found = data.trades(start, start + dt.timedelta(days=1), [TICKERS[7]]).read_all()
    assert found.num_rows == work.rows == ROWS_OF_A_TICKER
    assert work.files == [f"public_trades/date={start.date()}/{start.date()}.parquet"]


def test_one_market_on_all_days_reads_only_its_row_groups(data: Data, work: Work) -> None:
    assert data.trades(tickers=[TICKERS[7]]).read_all().num_rows == work.rows == DAYS * ROWS_OF_A_TICKER
    assert len(work.files) == DAYS


def test_reader_that_stops_early_opens_no_later_file(data: Data, work: Work) -> None:
    assert data.trades().read_next_batch().num_rows == len(TICKERS) * ROWS_OF_A_TICKER
    assert len(work.files) == 1
