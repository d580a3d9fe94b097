"""Run records: interrupted runs are noticed, other environments are refused, and one line states the progress."""

import subprocess
import sys

import pytest
import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.runs import Counts, IngestRun, Progress
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.warehouse.environment import WarehouseOfAnotherEnvironment
from kalshi_pipelines.warehouse.locks import AlreadyRunning
from kalshi_pipelines.warehouse.tables import ingest_runs


def test_warehouse_refuses_records_of_another_environment(engine: sa.Engine) -> None:
    with IngestRun(engine, "markets", Environment.SANDBOX):
        pass
    with (
        pytest.raises(WarehouseOfAnotherEnvironment, match="KALSHI_DATA_DIR"),
        IngestRun(engine, "series", Environment.PROD),
    ):
        pass
    with engine.connect() as connection:
        assert connection.scalars(sa.select(ingest_runs.c.environment)).all() == ["sandbox"]


KILLED = """
import os, signal, sys
from kalshi_pipelines.bookkeeping.runs import IngestRun
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.warehouse.engine import open_engine
with IngestRun(open_engine(sys.argv[1]), "markets", Environment.SANDBOX):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_run_is_marked_as_failed_when_the_next_run_begins(engine: sa.Engine) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(engine.url)], check=False, timeout=60)
    with IngestRun(engine, "markets", Environment.SANDBOX):
        pass
    with engine.connect() as connection:
        runs = connection.execute(sa.select(ingest_runs.c.status, ingest_runs.c.error)).all()
    assert [run.status for run in runs] == ["failed", "succeeded"]
    assert "killed" in runs[0].error


def test_second_run_of_a_subject_is_refused_while_the_first_is_running(
    engine: sa.Engine,
) -> None:
    with IngestRun(engine, "markets", Environment.SANDBOX):
        with (
            pytest.raises(AlreadyRunning, match="works on markets"),
            IngestRun(engine, "markets", Environment.SANDBOX),
        ):
            pass
        with IngestRun(engine, "series", Environment.SANDBOX):
            pass
    with engine.connect() as connection:
        runs = connection.execute(sa.select(ingest_runs.c.subject, ingest_runs.c.status)).all()
    assert sorted(tuple(run) for run in runs) == [("markets", "succeeded"), ("series", "succeeded")]


def test_long_error_of_a_run_is_truncated(engine: sa.Engine) -> None:
    with pytest.raises(OSError, match="x"), IngestRun(engine, "markets", Environment.SANDBOX):
        raise OSError("x" * 10_000)
    with engine.connect() as connection:
        assert len(connection.scalars(sa.select(ingest_runs.c.error)).one()) == 2_000


def test_progress_line_states_done_total_rate_and_time_left() -> None:
    progress = Progress("markets", Counts(read=20_000, written=500, rejected=1), expected=100_000, seconds=2.0)
    assert str(progress) == (
        "markets running: 20,000 of about 100,000 records, 10,000/s, 500 written, 1 rejected, about 8 s left"
    )
    assert str(Progress("series", Counts(read=5), None, 0.0)) == "series running: 5 records, 0/s, 0 written, 0 rejected"
