"""The proof of a day that was read from a sandbox exchange over real HTTP, while the exchange hid or changed trades."""

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
import sqlalchemy as sa

from kalshi_pipelines.history.inputs import HistoryInputs
from kalshi_pipelines.history.proof.checking import check_day, check_new_days
from kalshi_pipelines.history.proof.inputs import ProofInputs
from kalshi_pipelines.history.proof.residuals import Proof, State, Verdict
from kalshi_pipelines.history.trades import read_trades
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES, SETTLED_MARKETS
from kalshi_pipelines.lake.reading import read
from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox
from kalshi_pipelines.settings import Environment, RateTier, Settings
from kalshi_pipelines.units import DAY_US, MINUTE_US, instant, microseconds
from kalshi_pipelines_tests.support.lake.lakes import local_lake

OPTIONS = SandboxOptions(markets=30, combos=5, archived=30, tier="unlimited", warm=False)
Inject = Callable[..., None]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with running_sandbox(OPTIONS) as running:
        yield running


@pytest.fixture
def inputs(sandbox: SandboxProcess, sqlite_engine: sa.Engine, tmp_path: Path) -> Iterator[HistoryInputs]:
    with KalshiClient.from_settings(Settings(rate_tier=RateTier.PRESTIGE), sqlite_engine, url=sandbox.url) as client:
        lake, work = local_lake(tmp_path / "lake"), tmp_path / "work"
        yield HistoryInputs(client, sqlite_engine, lake, Environment.SANDBOX, work, includes_combos=True)


@pytest.fixture
def inject(sandbox: SandboxProcess) -> Iterator[Inject]:
    def inject(kind: str, endpoint: str = "GET /markets/trades", **values: Any) -> None:
        body = {"endpoint": endpoint, "kind": kind, "times": 1_000_000, **values}
        httpx.post(f"{sandbox.admin_url}/sandbox/faults", json=body).raise_for_status()

    yield inject
    clear(sandbox)


def clear(sandbox: SandboxProcess) -> None:
    httpx.delete(f"{sandbox.admin_url}/sandbox/faults").raise_for_status()


def rows_of(inputs: HistoryInputs, day: dt.date) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (
        read(inputs.lake, inputs.engine, PUBLIC_TRADES, *PUBLIC_TRADES.bounds_of(day)).read_all().to_pylist()
    )
    return rows


def day_of(inputs: HistoryInputs, days_ago: int) -> dt.date:
    return instant(inputs.clock()).date() - dt.timedelta(days=days_ago)


def proved(inputs: HistoryInputs, day: dt.date) -> Proof:
    return check_day(ProofInputs.of(inputs), day)


def minute_of(row: dict[str, Any]) -> str:
    end_us = -(-microseconds(row["created_time"]) // MINUTE_US) * MINUTE_US
    return f"candlestick of the minute that ends at {instant(end_us):%Y-%m-%dT%H:%MZ}"


def test_day_of_the_sandbox_is_proved(inputs: HistoryInputs) -> None:
    day = day_of(inputs, 5)
    read_trades(inputs, day)
    proof = proved(inputs, day)
    assert (proof.verdict, proof.residuals) == (Verdict.PROVED, ())
    assert proof.figures["markets_asked"] == proof.figures["markets_traded"] > 0


@pytest.mark.parametrize("kind", ["dropped_trade", "changed_price", "dropped_period", "dropped_page"])
def test_fault_of_the_feed_is_found_in_its_minute(
    sandbox: SandboxProcess, inputs: HistoryInputs, inject: Inject, kind: str
) -> None:
    day = day_of(inputs, 5)
    read_trades(inputs, day)
    whole = rows_of(inputs, day)
    victim = whole[len(whole) // 2]
    trade_id = str(uuid.UUID(bytes=victim["trade_id"]))
    faults: dict[str, dict[str, Any]] = {
        "dropped_trade": {"key": trade_id},
        "changed_price": {"key": trade_id, "value": "0.0100" if victim["yes_price"] > Decimal("0.5") else "0.9900"},
        "dropped_period": {"time": f"{victim['created_time']:%Y-%m-%dT%H:%M:00Z}", "seconds": 60},
        "dropped_page": {"times": 1, "at": 2},
    }
    inject(kind, **faults[kind])
    read_trades(inputs, day)
    clear(sandbox)
    left = {row["trade_id"]: row for row in rows_of(inputs, day)}
    harmed = [row for row in whole if left.get(row["trade_id"]) != row]
    assert harmed
    proof = proved(inputs, day)
    assert proof.verdict is Verdict.MISSING
    named = {(each.ticker, each.kind) for each in proof.missing}
    expected = {(row["ticker"], minute_of(row)) for row in harmed}
    listed = {ticker for ticker, kind in named if kind.endswith("further minutes")}
    assert {pair for pair in expected if pair[0] not in listed} <= named
    assert {ticker for ticker, _ in expected} == {ticker for ticker, _ in named}


def test_market_without_served_candlesticks_is_not_missing(inputs: HistoryInputs, inject: Inject) -> None:
    day = day_of(inputs, 5)
    read_trades(inputs, day)
    ticker = rows_of(inputs, day)[0]["ticker"]
    for endpoint in ("GET /markets/candlesticks", "GET /historical/markets/{ticker}/candlesticks"):
        inject("unserved_candles", endpoint, key=ticker)
    proof = proved(inputs, day)
    assert proof.verdict is Verdict.EXPLAINED
    assert [(each.ticker, each.state) for each in proof.residuals] == [(ticker, State.NOT_SERVED)]


def test_market_whose_trades_are_not_served_is_missing(
    sandbox: SandboxProcess, inputs: HistoryInputs, inject: Inject
) -> None:
    """No trade of the market is in the lake. The warehouse knows the market, so the exchange is asked for it."""
    day = day_of(inputs, 5)
    read_trades(inputs, day)
    lost = rows_of(inputs, day)[0]["ticker"]
    inject("unserved_trades", key=lost)
    read_trades(inputs, day)
    assert lost not in {row["ticker"] for row in rows_of(inputs, day)}
    assert proved(inputs, day).verdict is Verdict.PROVED  # nobody can know
    start_us, end_us = PUBLIC_TRADES.bounds_of(day)
    settled = settled_row(lost, start_us, end_us)
    inputs.lake.publish(inputs.engine, SETTLED_MARKETS, {SETTLED_MARKETS.day_of(end_us): [settled]}, "test", now=True)
    proof = proved(inputs, day)
    assert proof.verdict is Verdict.MISSING
    assert {each.ticker for each in proof.missing} == {lost}
    assert any(each.kind.startswith("candlestick of the minute") for each in proof.missing)


def settled_row(ticker: str, open_us: int, close_us: int) -> pa.RecordBatch:
    known = {"ticker": ticker, "settled_time": close_us, "recorded_time": close_us}
    known |= {"open_time": open_us - DAY_US, "close_time": close_us, "volume": Decimal(7)}
    return pa.record_batch(
        [pa.array([known.get(field.name)], field.type) for field in SETTLED_MARKETS.schema],
        schema=SETTLED_MARKETS.schema,
    )


def test_closed_days_without_a_proof_are_checked_once(inputs: HistoryInputs) -> None:
    day = day_of(inputs, 5)
    assert read_trades(inputs, day).is_closed
    assert [(each.day, each.verdict) for each in check_new_days(inputs)] == [(day, Verdict.PROVED)]
    assert check_new_days(inputs) == []
