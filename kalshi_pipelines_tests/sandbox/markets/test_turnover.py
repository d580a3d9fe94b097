"""Tests of turnover: markets are listed, open, close, settle and leave the live lists, at a steady number."""

import datetime as dt
import statistics
from collections import Counter
from pathlib import Path

import orjson
import pytest

from kalshi_pipelines import units
from kalshi_pipelines.sandbox.clock import ExchangeClock, ManualClock
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.markets.generated_events import GeneratedEvent
from kalshi_pipelines.sandbox.options import SandboxOptions, exchange_of
from kalshi_pipelines.sandbox.state_file import UnusableStateFile
from kalshi_pipelines.units import DAY_US, HOUR_US

BEGIN_US = units.microseconds(dt.datetime(2026, 3, 1, tzinfo=dt.UTC))
OPTIONS = SandboxOptions(markets=0, combos=0, turnover=240, tier="unlimited")


def _exchange(begin_us: int = BEGIN_US) -> tuple[Exchange, ManualClock]:
    clock = ManualClock(begin_us)
    return exchange_of(OPTIONS, ExchangeClock(clock)), clock


def _let_pass(exchange: Exchange, clock: ManualClock, microseconds: int, step_us: int = DAY_US) -> None:
    until_us = clock.microseconds + microseconds
    while clock.microseconds < until_us:
        clock.microseconds = min(clock.microseconds + step_us, until_us)
        exchange.venue.advance()


def test_turnover_over_many_days_keeps_the_live_lists_at_one_size() -> None:
    exchange, clock = _exchange()
    _let_pass(exchange, clock, 65 * DAY_US)
    before = len(exchange.catalogue.markets)
    archived = len(exchange.catalogue.archived_markets)
    _let_pass(exchange, clock, 10 * DAY_US)
    assert len(exchange.catalogue.markets) == pytest.approx(before, rel=0.02)
    assert len(exchange.catalogue.archived_markets) - archived == pytest.approx(10 * 240, rel=0.2)


def test_turnover_has_markets_of_every_usual_status() -> None:
    exchange, clock = _exchange()
    _let_pass(exchange, clock, 40 * DAY_US)
    seen: Counter[str] = Counter()
    for _ in range(20):
        _let_pass(exchange, clock, 13 * HOUR_US, HOUR_US)
        seen += Counter(market.status for market in exchange.catalogue.markets.values())
    assert set(seen) >= {"initialized", "active", "inactive", "determined", "finalized"}
    assert seen["active"] / 20 == pytest.approx(240 * 1.6, rel=0.4)


def test_turnover_with_other_steps_of_the_clock_lists_the_same_markets() -> None:
    shown = []
    for step_us in (DAY_US, 7 * HOUR_US + 1):
        exchange, clock = _exchange()
        _let_pass(exchange, clock, 5 * DAY_US, step_us)
        shown.append({ticker: market.json() for ticker, market in exchange.catalogue.markets.items()})
    assert shown[0] == shown[1]


def test_some_events_of_a_turnover_have_rules_of_their_own() -> None:
    exchange, clock = _exchange()
    _let_pass(exchange, clock, 3 * DAY_US)
    events = [event for event in exchange.catalogue.events.values() if isinstance(event, GeneratedEvent)]
    assert 0 < sum(event.has_own_rules for event in events) < len(events) / 4


def test_rules_of_a_turnover_have_the_lengths_that_were_seen() -> None:
    exchange, clock = _exchange()
    _let_pass(exchange, clock, 3 * DAY_US)
    bodies = [orjson.loads(market.json()) for market in exchange.catalogue.markets.values()]
    assert statistics.fmean(len(body["rules_secondary"]) for body in bodies) == pytest.approx(530, rel=0.2)
    assert statistics.fmean(len(body["rules_primary"]) for body in bodies) == pytest.approx(150, rel=0.2)


def test_turnover_with_a_state_file_is_refused(tmp_path: Path) -> None:
    options = SandboxOptions(markets=10, turnover=24, state=tmp_path / "state.jsonl")
    with pytest.raises(UnusableStateFile, match="turnover"):
        exchange_of(options)
