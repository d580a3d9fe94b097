"""Whole days of public trades are read from a sandbox exchange over real HTTP, with its faults and its cutoff."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from kalshi_pipelines.history.inputs import HistoryInputs
from kalshi_pipelines.history.trades import read_trades
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox
from kalshi_pipelines.settings import Environment, RateTier, Settings
from kalshi_pipelines.units import DAY_US, SECOND_US, instant, microseconds, now_us
from kalshi_pipelines_tests.support.history.exchange import stored_trades, texts_of_tape
from kalshi_pipelines_tests.support.lake.lakes import local_lake

OPTIONS = SandboxOptions(markets=30, combos=5, archived=30, tier="unlimited", warm=False)
AGE_US = 59 * DAY_US


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with running_sandbox(OPTIONS) as running:
        yield running


@pytest.fixture
def inputs(sandbox: SandboxProcess, sqlite_engine: sa.Engine, tmp_path: Path) -> Iterator[HistoryInputs]:
    with KalshiClient.from_settings(Settings(rate_tier=RateTier.PRESTIGE), sqlite_engine, url=sandbox.url) as client:
        yield HistoryInputs(
            client, sqlite_engine, local_lake(tmp_path / "lake"), Environment.SANDBOX, tmp_path / "work"
        )


@pytest.fixture
def inject(sandbox: SandboxProcess) -> Iterator[Any]:
    def inject(kind: str, time_us: int) -> None:
        time = f"{instant(time_us):%Y-%m-%dT%H:%M:%SZ}"
        body = {"endpoint": "GET /markets/trades", "kind": kind, "time": time, "times": 1_000_000}
        httpx.post(f"{sandbox.admin_url}/sandbox/faults", json=body).raise_for_status()

    yield inject
    httpx.delete(f"{sandbox.admin_url}/sandbox/faults").raise_for_status()


def truth(sandbox: SandboxProcess, day: dt.date) -> list[dict[str, Any]]:
    """Return the trades of a day from both sides, read without our client."""
    start = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp())
    found: dict[str, dict[str, Any]] = {}
    for path in ("/markets/trades", "/historical/trades"):
        cursor: str | None = None
        while cursor != "":
            query: dict[str, Any] = {
                "limit": 1000,
                "min_ts": start,
                "max_ts": start + 86_399,
                **({"cursor": cursor} if cursor else {}),
            }
            body = httpx.get(sandbox.url + path, params=query).raise_for_status().json()
            found |= {each["trade_id"]: each for each in body["trades"]}
            cursor = body["cursor"]
    return [{**each, "created_time": _six_decimals(each["created_time"])} for each in found.values()]


def _six_decimals(text: str) -> str:
    return f"{dt.datetime.fromisoformat(text):%Y-%m-%dT%H:%M:%S.%fZ}"


def _microseconds(trade: dict[str, Any]) -> int:
    return microseconds(dt.datetime.fromisoformat(trade["created_time"]))


def days_ago(inputs: HistoryInputs, days: int) -> dt.date:
    return instant(inputs.clock()).date() - dt.timedelta(days=days)


@pytest.mark.parametrize("days_after_cutoff", [-2, -1, 0, 1])
def test_each_side_of_the_cutoff_is_read_exactly(inputs: HistoryInputs, days_after_cutoff: int) -> None:
    with running_sandbox(OPTIONS) as aged:
        # Two months later, the days that have trades are around the historical cutoff.
        httpx.post(f"{aged.admin_url}/sandbox/clock", json={"seconds": AGE_US // SECOND_US}).raise_for_status()
        with KalshiClient.from_settings(Settings(rate_tier=RateTier.PRESTIGE), inputs.engine, url=aged.url) as client:
            inputs = replace(inputs, client=client, clock=lambda: now_us() + AGE_US)
            day = client.historical_cutoff().trades_created_ts.date() + dt.timedelta(days=days_after_cutoff)
            done = read_trades(inputs, day)
        assert stored_trades(inputs) == texts_of_tape(truth(aged, day))
    assert done.rows > 100
    assert done.is_closed
    assert (done.refused, done.holes) == (0, ())


def test_cursor_that_fails_for_ever_leaves_no_hole(sandbox: SandboxProcess, inputs: HistoryInputs, inject: Any) -> None:
    day = days_ago(inputs, 5)
    wanted = texts_of_tape(truth(sandbox, day))
    time = microseconds(dt.datetime.combine(day, dt.time(12, 30), dt.UTC))
    inject("poisoned_cursor", time)
    done = read_trades(inputs, day)
    assert stored_trades(inputs) == wanted
    assert not done.holes


def test_second_that_fails_for_ever_is_the_only_hole(
    sandbox: SandboxProcess, inputs: HistoryInputs, inject: Any
) -> None:
    day = days_ago(inputs, 6)
    trades = truth(sandbox, day)
    time = _microseconds(trades[len(trades) // 2]) // 1_000_000
    inject("poisoned_second", time * 1_000_000)
    done = read_trades(inputs, day)
    kept = [each for each in trades if _microseconds(each) // 1_000_000 != time]
    assert stored_trades(inputs) == texts_of_tape(kept)
    (hole,) = done.holes
    assert hole.startswith(f"{instant(time * 1_000_000):%Y-%m-%dT%H:%M:%SZ} to ")
    assert not done.is_closed
