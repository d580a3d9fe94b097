"""A nightly run converts a database of the older tool into its warehouse."""

import shutil
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse.tables import ingest_runs, markets, price_snapshots
from kalshi_pipelines_tests.support.end_to_end.running import RunJob
from kalshi_pipelines_tests.support.warehouse.found_databases import FOUND_DATABASES, found_databases
from kalshi_pipelines_tests.support.warehouse.legacy import make_legacy_database


@pytest.fixture
def file(data_dir: Path) -> Path:
    """The path of the file where runs expect the warehouse."""
    data_dir.mkdir(parents=True)
    return data_dir / "warehouse.db"


def test_nightly_on_an_old_database_adopts_it_and_reads_the_exchange(
    file: Path, run_job: RunJob, warehouse: sa.Engine
) -> None:
    make_legacy_database(file)
    assert run_job("nightly").success
    assert run_job("nightly").success
    with warehouse.connect() as connection:
        runs = connection.execute(
            sa.select(ingest_runs.c.subject, ingest_runs.c.environment, ingest_runs.c.status)
        ).all()
        complete = sa.select(sa.func.count()).where(~markets.c.is_placeholder)
        assert connection.scalar(complete)
    assert runs[0] == ("adoption", None, "succeeded")
    assert {environment for _, environment, _ in runs[1:]} == {"sandbox"}


def test_adopted_quotes_reach_the_lake_exactly_without_sizes(
    file: Path, run_job: RunJob, warehouse: sa.Engine, data_dir: Path
) -> None:
    make_legacy_database(file)
    assert run_job("nightly").success
    adopted = sa.select(price_snapshots).where(price_snapshots.c.ingest_run_id == 1)
    with warehouse.connect() as connection:
        stored = connection.execute(adopted).all()
    in_lake = pq.read_table(data_dir / "lake" / "price_history").to_pylist()
    exported = {(row["ticker"], row["observed_time"]): row for row in in_lake if row["yes_bid_size"] is None}
    assert len(exported) == len(stored) > 0
    assert {row["yes_bid"] for row in exported.values()} == {
        Decimal(row.yes_bid_microdollars) / 10**6 for row in stored
    }
    assert any(row["last_price"] is None for row in exported.values())


@pytest.mark.parametrize("name", found_databases(adopted=True))
def test_nightly_runs_on_every_old_database_found_in_the_field(name: str, file: Path, run_job: RunJob) -> None:
    shutil.copyfile(FOUND_DATABASES / name, file)
    assert run_job("nightly").success
