"""Two of the drift trials, and a day of usual life with ingests; ``tools.drift_trials`` runs all trials."""

import contextlib
import datetime as dt
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina

from kalshi_pipelines import units
from kalshi_pipelines.contracts.findings import store
from kalshi_pipelines.contracts.language.differences import Severity
from kalshi_pipelines.ingest.sweeps import (
    IngestInputs,
    ingest_events,
    ingest_markets,
    ingest_orderbooks,
    ingest_series,
)
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.settings import Environment, RateTier, Settings
from kalshi_pipelines.units import EXCHANGE_TIME_ZONE, HOUR_US
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.tools.drift_trials.changes import CHANGES
from kalshi_pipelines_tests.tools.drift_trials.daemon import SimulatedDaemon
from kalshi_pipelines_tests.tools.drift_trials.trial import plan_trial, run_trial
from kalshi_pipelines_tests.tools.drift_trials.usual_life import UsualLife, is_maintenance
from kalshi_pipelines_tests.tools.drift_trials.world import SimulatedExchange, message_receiver, simulated_exchange

RENAMED, EVERYWHERE = (
    next(seed for seed, change in enumerate(CHANGES) if change.name == name)
    for name in ("a status is renamed", "a name changed everywhere")
)


@pytest.fixture
def warehouse_url(migrated_file: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(migrated_file, tmp_path / 'warehouse.db')}"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [RENAMED, EVERYWHERE])
def test_one_change_despite_restarts_and_kills_sends_one_message_in_a_day(seed: int, warehouse_url: str) -> None:
    outcome = run_trial(plan_trial(seed), warehouse_url)
    assert outcome.is_good, str(outcome)
    assert outcome.runs >= 8


@pytest.fixture
def no_retries() -> Iterator[None]:
    stamina.set_testing(True, attempts=2)
    yield
    stamina.set_testing(False)


def _ingest(url: str, warehouse_url: str) -> int:
    """Run the four sweeps of a night, and return how many succeeded. Sweeps may fail during maintenance."""
    engine = open_engine(warehouse_url)
    ended = 0
    with KalshiClient.from_settings(Settings(rate_tier=RateTier.PRESTIGE), engine, url=url) as client:
        for sweep in (ingest_series, ingest_events, ingest_markets, ingest_orderbooks):
            with contextlib.suppress(KalshiError):
                sweep(IngestInputs(client, engine, Environment.SANDBOX))
                ended += 1
    engine.dispose()
    return ended


def _wednesday_evening() -> int:
    """Return the next Wednesday at 20:00 New York time, in microseconds since 1970 UTC."""
    there = (units.instant(units.now_us()) + dt.timedelta(days=1)).astimezone(EXCHANGE_TIME_ZONE)
    there += dt.timedelta(days=(2 - there.weekday()) % 7)
    return int(there.replace(hour=20, minute=0, second=0, microsecond=0).timestamp()) * 1_000_000


def _live_a_day(
    exchange: SimulatedExchange, life: UsualLife, daemon: SimulatedDaemon, warehouse_url: str
) -> tuple[int, int]:
    runs, sweeps = 0, 0
    for hour in range(25):
        runs += daemon.tick()
        if hour % 8 == 0:
            sweeps += _ingest(exchange.process.url, warehouse_url)
        exchange.go_to(exchange.now_us() + HOUR_US)
        life.advance()
    return runs, sweeps


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("no_retries")
def test_a_day_of_usual_life_has_no_grave_finding_and_no_message(warehouse_url: str) -> None:
    start_us = _wednesday_evening()
    assert any(is_maintenance(start_us + hour * HOUR_US) for hour in range(24))
    with simulated_exchange(start_us, seed=5) as exchange, message_receiver(exchange) as receiver:
        life = UsualLife(exchange, random.Random(5))
        daemon = SimulatedDaemon(warehouse_url, exchange.process.url, receiver.url, exchange.now_us)
        runs, sweeps = _live_a_day(exchange, life, daemon, warehouse_url)
        daemon.stop()
    engine = open_engine(warehouse_url)
    found = store.findings(engine, "sandbox")
    engine.dispose()
    assert [each.difference for each in found if each.difference.severity is not Severity.ADDITIVE] == []
    assert receiver.received == []
    assert (runs, sweeps) >= (4, 12)
    assert life.happened >= {
        "maintenance",
        "inactive",
        "active",
        "closed",
        "determined",
        "disputed",
        "amended",
        "finalized",
        "scalar",
    }
