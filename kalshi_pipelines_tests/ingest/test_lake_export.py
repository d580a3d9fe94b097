"""Stored pages are exported to the lake, even if the exchange can no longer be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from kalshi_pipelines.ingest.lake_export import ingest_and_export_markets, ingest_and_export_orderbooks
from kalshi_pipelines.ingest.sweeps import IngestInputs
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.errors import TransportFailed
from kalshi_pipelines.sandbox.process import SandboxProcess
from kalshi_pipelines.settings import Environment, RateTier, Settings
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import ingest_runs, price_snapshots
from kalshi_pipelines_tests.support.warehouse.rows import fill


@contextmanager
def open_sandbox(engine: sa.Engine, url: str) -> Iterator[IngestInputs]:
    settings = Settings(rate_tier=RateTier.PRESTIGE)
    with KalshiClient.from_settings(settings, engine, url=url) as client:
        yield IngestInputs(client, engine, Environment.SANDBOX)


@contextmanager
def open_nothing() -> Iterator[IngestInputs]:
    raise TransportFailed("The exchange cannot be reached.", "Check the network.")
    yield


def test_ingest_and_export_returns_the_rows_read_and_the_files_written(
    sqlite_engine: sa.Engine, frozen_sandbox: SandboxProcess, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    done, files = ingest_and_export_markets(
        open_sandbox(sqlite_engine, frozen_sandbox.url), sqlite_engine, lake, ["open"]
    )
    assert done.counts.history_rows == sum(file.rows for file in files) > 0
    books, files = ingest_and_export_orderbooks(open_sandbox(sqlite_engine, frozen_sandbox.url), sqlite_engine, lake)
    assert books.counts.written > 0
    assert pq.read_table(lake / "orderbook_levels").num_rows == sum(file.rows for file in files) > 0


def test_export_happens_when_the_exchange_cannot_be_opened(sqlite_engine: sa.Engine, tmp_path: Path) -> None:
    fill(sqlite_engine)
    with writing(sqlite_engine) as connection:
        connection.execute(sa.update(ingest_runs).values(status="succeeded", finished_us=2, history_rows=1))
        expected = connection.scalar(sa.select(sa.func.count()).select_from(price_snapshots))
    with pytest.raises(TransportFailed):
        ingest_and_export_markets(open_nothing(), sqlite_engine, tmp_path / "lake")
    assert pq.read_table(tmp_path / "lake" / "price_history").num_rows == expected == 1
