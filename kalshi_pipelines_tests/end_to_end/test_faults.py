"""Tests of ingests from a faulty exchange. A run stores everything, or it fails and the next run stores the rest."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.quarantine import unresolved_keys
from kalshi_pipelines.ingest.sweeps import IngestInputs, IngestResult, ingest_markets
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox
from kalshi_pipelines.settings import Environment, RateTier, Settings
from kalshi_pipelines.warehouse.tables import ingest_runs, markets, price_snapshots, quarantine
from kalshi_pipelines_tests.support.end_to_end.exchange import assert_stored_exactly, read_list, stored
from kalshi_pipelines_tests.support.end_to_end.running import RunJob

pytestmark = pytest.mark.usefixtures("no_back_off")

MARKETS = 3_200
FAULTS = [
    "latency",
    "rate_limit",
    "server_error",
    "html_error",
    "cut_connection",
    "truncated_json",
    "repeated_cursor",
]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with running_sandbox(SandboxOptions(markets=MARKETS, combos=0, tick_seconds=0, tier="unlimited")) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def _no_faults_left(sandbox: SandboxProcess) -> Iterator[None]:
    yield
    httpx.delete(f"{sandbox.admin_url}/sandbox/faults", timeout=30).raise_for_status()


def inject(sandbox: SandboxProcess, kind: str, at: int, times: int = 1, endpoint: str = "GET /markets") -> None:
    fault = {"endpoint": endpoint, "kind": kind, "at": at, "times": times, "seconds": 0.2}
    httpx.post(f"{sandbox.admin_url}/sandbox/faults", json=fault, timeout=30).raise_for_status()


def ingest(sandbox: SandboxProcess, engine: sa.Engine) -> IngestResult:
    settings = Settings.from_environment().model_copy(update={"rate_tier": RateTier.PRESTIGE})
    with KalshiClient.from_settings(settings, engine, url=sandbox.url) as client:
        return ingest_markets(IngestInputs(client, engine, Environment.SANDBOX))


def count(engine: sa.Engine, table: sa.Table) -> int:
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def count_requests_of_an_ingest(sandbox: SandboxProcess) -> int:
    """Return the number of requests of an ingest: all pages of each market status, and one request for late changes."""
    return 1 + sum(
        -(-len(read_list(sandbox.url, "/markets", "markets", limit=1000, status=status, mve_filter="exclude")) // 1000)
        or 1
        for status in ("unopened", "open", "paused", "closed", "settled")
    )


@pytest.mark.parametrize("where", ["first", "middle", "last"])
@pytest.mark.parametrize("kind", FAULTS)
def test_passing_fault_costs_no_row(sandbox: SandboxProcess, sqlite_engine: sa.Engine, kind: str, where: str) -> None:
    last = count_requests_of_an_ingest(sandbox)
    inject(sandbox, kind, at={"first": 1, "middle": 3, "last": last}[where])
    done = ingest(sandbox, sqlite_engine)
    assert (count(sqlite_engine, markets), done.counts.rejected) == (MARKETS, 0)
    assert count(sqlite_engine, price_snapshots) == MARKETS


@pytest.mark.parametrize("kind", ["html_error", "cut_connection", "truncated_json"])
def test_lasting_fault_leaves_complete_pages_and_the_next_run_completes_them(
    sandbox: SandboxProcess, sqlite_engine: sa.Engine, kind: str
) -> None:
    inject(sandbox, kind, at=4, times=50)
    with pytest.raises(KalshiError, match=r"page 3 of GET /markets, after 2000 rows"):
        ingest(sandbox, sqlite_engine)
    run = stored(sqlite_engine, ingest_runs, "subject")["markets"]
    assert run["status"] == "failed"
    assert "page 3" in run["error"]
    assert count(sqlite_engine, markets) == run["records_read"] == run["history_rows"]
    httpx.delete(f"{sandbox.admin_url}/sandbox/faults", timeout=30).raise_for_status()
    ingest(sandbox, sqlite_engine)
    assert count(sqlite_engine, markets) == count(sqlite_engine, price_snapshots) == MARKETS


def test_malformed_record_is_quarantined_and_the_others_are_stored(sandbox: SandboxProcess, engine: sa.Engine) -> None:
    inject(sandbox, "malformed_record", at=2)
    done = ingest(sandbox, engine)
    assert (done.counts.rejected, count(engine, markets)) == (1, MARKETS - 1)
    (aside,) = stored(engine, quarantine, "record_key").values()
    assert aside["record_key"] in aside["payload"]
    assert ingest(sandbox, engine).counts.rejected == 0
    assert count(engine, markets) == MARKETS
    assert unresolved_keys(engine, "markets") == []


@pytest.mark.parametrize("endpoint", ["GET /series", "GET /events", "GET /markets", "GET /markets/orderbooks"])
def test_nightly_survives_a_passing_fault_of_any_endpoint(
    sandbox: SandboxProcess, run_job: RunJob, warehouse: sa.Engine, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("KALSHI_SANDBOX_URL", sandbox.url)
    inject(sandbox, "truncated_json", at=1, endpoint=endpoint)
    assert run_job("nightly").success
    assert count(warehouse, markets) == MARKETS


@pytest.mark.parametrize(
    ("endpoint", "named"),
    [
        ("GET /series", "GET /series"),
        ("GET /events", "page 1 of GET /events"),
        ("GET /markets/orderbooks", "page of 100 orderbooks"),
    ],
)
def test_nightly_with_a_lasting_fault_fails_and_names_the_page(
    sandbox: SandboxProcess,
    run_job: RunJob,
    warehouse: sa.Engine,
    monkeypatch: pytest.MonkeyPatch,
    endpoint: str,
    named: str,
) -> None:
    monkeypatch.setenv("KALSHI_SANDBOX_URL", sandbox.url)
    inject(sandbox, "html_error", at=1, times=500, endpoint=endpoint)
    assert not run_job("nightly").success
    failed = [run for run in stored(warehouse, ingest_runs, "ingest_run_id").values() if run["status"] == "failed"]
    assert [named in run["error"] for run in failed] == [True]


def test_history_of_a_failed_run_reaches_the_lake_and_the_next_completes_it(
    sandbox: SandboxProcess,
    run_job: RunJob,
    warehouse: sa.Engine,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KALSHI_SANDBOX_URL", sandbox.url)
    inject(sandbox, "html_error", at=4, times=50)
    assert not run_job("nightly").success
    assert (
        0 < pq.read_table(data_dir / "lake" / "price_history").num_rows == count(warehouse, price_snapshots) < MARKETS
    )
    httpx.delete(f"{sandbox.admin_url}/sandbox/faults", timeout=30).raise_for_status()
    assert run_job("nightly").success
    assert pq.read_table(data_dir / "lake" / "price_history").num_rows == count(warehouse, price_snapshots) == MARKETS


KILLED = """
import sys
from kalshi_pipelines.bookkeeping.quarantine import unresolved_keys
from kalshi_pipelines.ingest.sweeps import *
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.settings import *
from kalshi_pipelines.warehouse.engine import open_engine
engine = open_engine(sys.argv[2])
with KalshiClient.from_settings(Settings.from_environment(), engine, url=sys.argv[1]) as client:
    ingest_markets(IngestInputs(client, engine, Environment.SANDBOX, report=lambda progress: print("page", flush=True)))
"""


def test_killed_run_leaves_complete_pages_and_the_next_completes_them(
    sandbox: SandboxProcess, engine: sa.Engine
) -> None:
    inject(sandbox, "latency", at=4, times=50)
    url = engine.url.render_as_string(hide_password=False)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, sandbox.url, url], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "page\n"
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    httpx.delete(f"{sandbox.admin_url}/sandbox/faults", timeout=30).raise_for_status()
    left = count(engine, markets)
    assert 0 < left < MARKETS
    assert count(engine, price_snapshots) == left
    ingest(sandbox, engine)
    assert count(engine, markets) == MARKETS
    sent = read_list(sandbox.url, "/markets", "markets", limit=1000, mve_filter="exclude")
    assert_stored_exactly(sent, engine)
    statuses = sorted(run["status"] for run in stored(engine, ingest_runs, "ingest_run_id").values())
    assert statuses == ["failed", "succeeded"]
