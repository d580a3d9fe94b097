"""Stored pages are exported to the lake, even if the exchange can no longer be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.ingest.lake_export import ingest_and_export_markets, ingest_and_export_orderbooks
from kalshi_pipelines.ingest.sweeps import IngestInputs
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.errors import TransportFailed
from kalshi_pipelines.sandbox.process import SandboxProcess
from kalshi_pipelines.settings import Environment, RateTier, Settings
from kalshi_pipelines.warehouse.tables import orderbook_snapshots, orderbooks
from kalshi_pipelines_tests.support.lake.lakes import (
    MIDNIGHT_US,
    add_quotes,
    count,
    lake_rows,
    local_lake,
    start_history,
)


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
    lake = local_lake(tmp_path / "lake")
    done, published = ingest_and_export_markets(
        open_sandbox(sqlite_engine, frozen_sandbox.url), sqlite_engine, lake, ["open"]
    )
    assert done.counts.history_rows == sum(file.added for file in published.files) > 0
    books, published = ingest_and_export_orderbooks(
        open_sandbox(sqlite_engine, frozen_sandbox.url), sqlite_engine, lake
    )
    assert books.counts.written > 0
    assert len(lake_rows(tmp_path / "lake", "orderbook_levels")) == sum(file.added for file in published.files) > 0
    # Changed books leave the warehouse at once. The newest book of each market stays.
    assert count(sqlite_engine, orderbook_snapshots) == 0
    assert count(sqlite_engine, orderbooks) == books.counts.written


def test_export_happens_when_the_exchange_cannot_be_opened(sqlite_engine: sa.Engine, tmp_path: Path) -> None:
    start_history(sqlite_engine)
    add_quotes(sqlite_engine, [MIDNIGHT_US])
    with pytest.raises(TransportFailed):
        ingest_and_export_markets(open_nothing(), sqlite_engine, local_lake(tmp_path / "lake"))
    assert len(lake_rows(tmp_path / "lake")) == 1
