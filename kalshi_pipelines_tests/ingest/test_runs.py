"""Run records: interrupted runs are noticed, exchanges never mix, progress reads well."""

import pytest
import sqlalchemy as sa

from kalshi_pipelines.ingest.runs import Counts, IngestRun, Progress, WarehouseOfAnotherEnvironment
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.warehouse.tables import ingest_runs


def test_a_warehouse_refuses_records_of_another_exchange(engine: sa.Engine) -> None:
    with IngestRun(engine, "markets", Environment.SANDBOX):
        pass
    with (
        pytest.raises(WarehouseOfAnotherEnvironment, match="KALSHI_DATA_DIR"),
        IngestRun(engine, "series", Environment.PROD),
    ):
        pass
    with engine.connect() as connection:
        assert connection.scalars(sa.select(ingest_runs.c.environment)).all() == ["sandbox"]


def test_a_run_that_was_killed_is_marked_when_the_next_one_begins(engine: sa.Engine) -> None:
    IngestRun(engine, "markets", Environment.SANDBOX).__enter__()
    with IngestRun(engine, "markets", Environment.SANDBOX):
        pass
    with engine.connect() as connection:
        runs = connection.execute(sa.select(ingest_runs.c.status, ingest_runs.c.error)).all()
    assert [run.status for run in runs] == ["failed", "succeeded"]
    assert "interrupted" in runs[0].error


def test_progress_tells_done_total_rate_and_time_left() -> None:
    progress = Progress("markets", Counts(read=20_000, written=500, rejected=1), expected=100_000, seconds=2.0)
    assert str(progress) == (
        "markets running: 20,000 of about 100,000 records, 10,000/s, 500 written, 1 rejected, about 8 s left"
    )
    assert str(Progress("series", Counts(read=5), None, 0.0)) == "series running: 5 records, 0/s, 0 written, 0 rejected"
