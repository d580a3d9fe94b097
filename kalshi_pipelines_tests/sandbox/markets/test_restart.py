"""Tests that a restart of the sandbox changes no market, traded or untraded, at any stage of its life cycle."""

from dataclasses import replace
from pathlib import Path

import pytest

from kalshi_pipelines.sandbox.clock import ExchangeClock, ManualClock
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.options import SandboxOptions, exchange_of
from kalshi_pipelines.units import HOUR_US
from kalshi_pipelines_tests.support.sandbox.local_sandbox import NOON_US

TINY = SandboxOptions(markets=40, combos=2, tier="unlimited", warm=False)


def _started(folder: Path, time: ManualClock) -> Exchange:
    return exchange_of(replace(TINY, state=folder / "state.jsonl"), ExchangeClock(time))


def _shown(exchange: Exchange) -> dict[str, bytes]:
    return {row.ticker: row.json() for row in exchange.catalogue.markets.values()}


@pytest.mark.parametrize("traded", [0, 12])
@pytest.mark.parametrize("hours", [40, 60, 76, 90])
def test_a_restart_leaves_every_market_where_it_was(tmp_path: Path, hours: int, traded: int) -> None:
    time = ManualClock(NOON_US)
    exchange = _started(tmp_path, time)
    soonest = sorted(
        (row for row in exchange.catalogue.markets.values() if row.status == "active"), key=lambda row: row.close_us
    )
    for row in soonest[:traded]:
        exchange.venue.ensure_open(row.ticker)
    for _ in range(hours // 2):
        # Add a member every two hours, so that the truth log has a recent event. Untraded markets write no events.
        time.microseconds += 2 * HOUR_US
        exchange.venue.engine.accounts.join(f"member-{time.microseconds}", at_us=exchange.venue.advance())
    before = _shown(exchange)
    exchange.close()
    again = _started(tmp_path, time)
    assert _shown(again) == before
    for started in (exchange, again):
        time.microseconds = NOON_US + (hours + 30) * HOUR_US
        started.venue.advance()
    assert _shown(again) == _shown(exchange)
    again.close()
