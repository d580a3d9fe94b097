"""Tests of the nightly job: it stores the whole exchange exactly, and a second run on the same data changes nothing."""

import os
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import psutil
import pytest
import sqlalchemy as sa

from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.tables import (
    NEWS_SUBJECTS,
    SUBJECTS,
    events,
    ingest_runs,
    markets,
    orderbooks,
    price_snapshots,
    quarantine,
    series,
)
from kalshi_pipelines_tests.support.end_to_end.exchange import (
    assert_books_stored_exactly,
    assert_stored_exactly,
    everything,
    found_in,
    read_list,
    stored,
)
from kalshi_pipelines_tests.support.end_to_end.running import RunCommand, RunJob


def test_nightly_stores_everything_the_exchange_has_exactly(
    frozen_sandbox: SandboxProcess,
    run_job: RunJob,
    warehouse: sa.Engine,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KALSHI_SANDBOX_URL", frozen_sandbox.url)
    assert run_job("nightly").success
    sent = read_list(frozen_sandbox.url, "/markets", "markets", limit=1000)
    assert set(stored(warehouse, markets, "ticker")) == {market["ticker"] for market in sent}
    assert any(market["ticker"].startswith("KXMVE") for market in sent)
    assert {market["price_level_structure"] for market in sent} > {"linear_cent", "deci_cent", "tapered_deci_cent"}
    assert assert_stored_exactly(sent, warehouse, data_dir / "lake") > 20 * len(sent)
    # Events whose markets were all archived are not read.
    stored_events = stored(warehouse, events, "event_ticker")
    assert set(stored_events) == {market["event_ticker"] for market in sent}
    assert not any(event["is_placeholder"] for event in stored_events.values())
    sent_series = read_list(frozen_sandbox.url, "/series", "series")
    assert set(stored(warehouse, series, "ticker")) == {each["ticker"] for each in sent_series}
    active = {market["ticker"] for market in sent if market["status"] == "active"}
    assert set(stored(warehouse, orderbooks, "ticker")) == active
    assert assert_books_stored_exactly(frozen_sandbox.url, warehouse, data_dir / "lake") > 4 * len(active)
    assert stored(warehouse, quarantine, "record_key") == {}


def test_nightly_twice_on_unchanged_data_changes_only_run_records(
    frozen_sandbox: SandboxProcess,
    run_job: RunJob,
    warehouse: sa.Engine,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KALSHI_SANDBOX_URL", frozen_sandbox.url)
    assert run_job("nightly").success
    before = everything(warehouse)
    files = sorted((data_dir / "lake").rglob("*.parquet"))
    assert run_job("nightly").success
    assert everything(warehouse) == before
    assert sorted((data_dir / "lake").rglob("*.parquet")) == files
    assert len(before["price_snapshots"]) == len(before["markets"])


def test_nightly_on_postgres_stores_everything_exactly_and_is_idempotent(
    frozen_sandbox: SandboxProcess,
    run_job: RunJob,
    dagster_command: RunCommand,
    data_dir: Path,
    empty_postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KALSHI_SANDBOX_URL", frozen_sandbox.url)
    monkeypatch.setenv("KALSHI_WAREHOUSE_URL", empty_postgres_url)
    assert run_job("nightly").success
    warehouse = open_engine(empty_postgres_url)
    sent = read_list(frozen_sandbox.url, "/markets", "markets", limit=1000)
    assert assert_stored_exactly(sent, warehouse, data_dir / "lake") > 20 * len(sent)
    assert assert_books_stored_exactly(frozen_sandbox.url, warehouse, data_dir / "lake") > 0
    before = everything(warehouse)
    files = sorted((data_dir / "lake").rglob("*.parquet"))
    finished = dagster_command("nightly", {name: os.environ[name] for name in os.environ if name.startswith("KALSHI_")})
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert everything(warehouse) == before
    assert sorted((data_dir / "lake").rglob("*.parquet")) == files
    with warehouse.connect() as connection:
        subjects = connection.scalars(sa.select(ingest_runs.c.subject).where(ingest_runs.c.status == "succeeded")).all()
    # Events that only a market names are read by a run of their own.
    assert sorted(set(subjects)) == sorted([*SUBJECTS, *NEWS_SUBJECTS])
    assert len(subjects) - subjects.count("events") == 2 * (len([*SUBJECTS, *NEWS_SUBJECTS]) - 1)
    warehouse.dispose()
    assert list(data_dir.parent.rglob("*.db")) == []


def test_snapshot_adds_rows_for_exactly_the_quotes_that_moved(
    run_job: RunJob, warehouse: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_sandbox(SandboxOptions(markets=1_000, combos=0, tick_seconds=0, tier="unlimited")) as sandbox:
        monkeypatch.setenv("KALSHI_SANDBOX_URL", sandbox.url)
        assert run_job("nightly").success
        before = {market["ticker"]: market for market in read_list(sandbox.url, "/markets", "markets", limit=1000)}
        with warehouse.connect() as connection:
            last = connection.scalar(sa.select(sa.func.max(price_snapshots.c.price_snapshot_id)))
        httpx.post(f"{sandbox.admin_url}/sandbox/prices", json={"fraction": 0.1}, timeout=30).raise_for_status()
        assert run_job("snapshot").success
        after = read_list(sandbox.url, "/markets", "markets", limit=1000)
    moved = {market["ticker"] for market in after if market != before[market["ticker"]]}
    assert moved
    with warehouse.connect() as connection:
        added = connection.scalars(
            sa.select(price_snapshots.c.ticker).where(price_snapshots.c.price_snapshot_id > last)
        ).all()
    assert sorted(added) == sorted(moved)
    assert_stored_exactly(after, warehouse)


@pytest.mark.parametrize("folder", ["prod_2026_08", "derived_3_34_0"])
def test_nightly_stores_every_recorded_market_exactly(
    folder: str,
    recordings: Path,
    run_job: RunJob,
    warehouse: sa.Engine,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running_sandbox(SandboxOptions(recordings=recordings / folder, tier="unlimited")) as sandbox:
        monkeypatch.setenv("KALSHI_SANDBOX_URL", sandbox.url)
        result = run_job("nightly")
        assert result.success
        assert assert_books_stored_exactly(sandbox.url, warehouse, data_dir / "lake") > 0
    recorded = found_in(recordings / folder, "ticker")
    live = stored(warehouse, markets, "ticker")
    archived = {ticker for ticker in recorded if ticker not in live}
    assert archived <= archived_markets(recordings / folder)
    sent = [recorded[ticker] for ticker in live]
    assert assert_stored_exactly(sent, warehouse, data_dir / "lake") > 20 * len(live)
    assert {market["event_ticker"] for market in live.values()} <= set(stored(warehouse, events, "event_ticker"))
    assert stored(warehouse, quarantine, "record_key") == {}


def archived_markets(folder: Path) -> set[str]:
    """Return the tickers of recorded historical markets, which the exchange's live lists do not contain."""
    historical = folder / "historical_markets.json"
    if not historical.exists():
        return set()
    return {market["ticker"] for market in httpx.Response(200, content=historical.read_bytes()).json()["markets"]}


def test_nightly_with_a_basic_tier_budget_never_gets_a_429(run_job: RunJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_RATE_TIER", "basic")
    with running_sandbox(SandboxOptions(markets=6_000, combos=0, tick_seconds=0, tier="basic")) as sandbox:
        monkeypatch.setenv("KALSHI_SANDBOX_URL", sandbox.url)
        assert run_job("nightly").success
        requests: dict[str, Any] = httpx.get(f"{sandbox.admin_url}/sandbox/requests", timeout=30).json()
    counted = requests["endpoints"].values()
    assert sum(each["tokens_charged"] for each in counted) > 600
    assert sum(each["rate_limited"] for each in counted) == 0


def test_nightly_command_without_any_setting_works_and_stops_its_sandbox(
    dagster_command: RunCommand, tmp_path: Path
) -> None:
    finished = dagster_command("nightly", {"KALSHI_SANDBOX_MARKETS": "300"}, preloaded=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert (tmp_path / "data" / "sandbox" / "warehouse.db").exists()
    assert "markets succeeded: 3" in finished.stderr
    left = [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(tmp_path)]
    assert left == []


def test_run_records_name_the_dagster_run_and_balance(
    frozen_sandbox: SandboxProcess, run_job: RunJob, warehouse: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALSHI_SANDBOX_URL", frozen_sandbox.url)
    result: dg.ExecuteInProcessResult = run_job("nightly")
    runs = stored(warehouse, ingest_runs, "subject")
    assert set(runs) == {*SUBJECTS, *NEWS_SUBJECTS}
    for run in runs.values():
        assert run["status"] == "succeeded"
        assert run["dagster_run_id"] == result.run_id
        assert run["records_read"] == run["records_written"] + run["records_unchanged"] + run["records_rejected"]
