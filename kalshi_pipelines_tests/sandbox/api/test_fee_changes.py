"""Scheduled fee changes of series and events, and their effect on events, series and fees."""

import datetime as dt
from typing import Any

import pytest

from kalshi_pipelines import units
from kalshi_pipelines.sandbox.markets.opening import MAKER_RATES, TAKER_RATE
from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines.sandbox.trading.fees import rates_of
from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox, local_sandbox

Row = dict[str, Any]


@pytest.fixture
def priced() -> LocalSandbox:
    return local_sandbox(SandboxOptions(markets=700, combos=60, tick_seconds=0, warm=False, tier="unlimited"))


def _us(text: str) -> int:
    return units.microseconds(dt.datetime.fromisoformat(text))


def _series_changes(sandbox: LocalSandbox, **query: str) -> list[Row]:
    rows: list[Row] = sandbox.read("/series/fee_changes", **query)["series_fee_change_arr"]
    return rows


def _event_changes(sandbox: LocalSandbox, **query: Any) -> list[Row]:
    return sandbox.read_all("/events/fee_changes", "event_fee_changes", **query)


def test_series_changes_of_the_past_are_shown_on_request(priced: LocalSandbox) -> None:
    now_us = priced.time.microseconds
    planned, everything = _series_changes(priced), _series_changes(priced, show_historical="true")
    assert planned
    assert all(_us(row["scheduled_ts"]) > now_us for row in planned)
    past = [row for row in everything if row not in planned]
    assert past
    assert all(_us(row["scheduled_ts"]) <= now_us for row in past)
    assert len({row["id"] for row in everything}) == len(everything)
    one = past[0]["series_ticker"]
    assert _series_changes(priced, show_historical="true", series_ticker=one) == [
        row for row in everything if row["series_ticker"] == one
    ]


def test_series_has_the_fees_of_its_last_change(priced: LocalSandbox) -> None:
    for _ in range(2):
        newest = {}
        for row in _series_changes(priced, show_historical="true"):
            if _us(row["scheduled_ts"]) <= priced.time.microseconds:
                newest[row["series_ticker"]] = (row["fee_type"], row["fee_multiplier"])
        series = {row["ticker"]: row for row in priced.read("/series")["series"]}
        for ticker, fees in newest.items():
            assert (series[ticker]["fee_type"], series[ticker]["fee_multiplier"]) == fees
        priced.pass_seconds(6 * 86_400)
    assert not _series_changes(priced)


def test_event_changes_are_paged_latest_first(priced: LocalSandbox) -> None:
    whole = _event_changes(priced, limit=1_000)
    assert _event_changes(priced, limit=3) == whole
    assert len({row["id"] for row in whole}) == len(whole) > 10
    times = [row["scheduled_ts"] for row in whole]
    assert times == sorted(times, reverse=True)
    event = whole[0]["event_ticker"]
    assert _event_changes(priced, event_ticker=event) == [row for row in whole if row["event_ticker"] == event]
    assert priced.get("/events/fee_changes", limit=1_001).status_code == 400


def _scheduled(sandbox: LocalSandbox) -> list[list[Row]]:
    """Return the changes of each live event whose first change is in the future, in the order of time."""
    changes: dict[str, list[Row]] = {}
    for row in reversed(_event_changes(sandbox, limit=1_000)):
        changes.setdefault(row["event_ticker"], []).append(row)
    now_us = sandbox.time.microseconds
    return [rows for rows in changes.values() if _us(rows[0]["scheduled_ts"]) > now_us]


def _fees(sandbox: LocalSandbox, ticker: str) -> tuple[Any, Any]:
    """Return the fees that an event shows, alone and in the list."""
    alone = sandbox.read(f"/events/{ticker}")["event"]
    listed = sandbox.read("/events", tickers=ticker)["events"][0]
    shown = [tuple(row.get(f"fee_{name}_override") for name in ("type", "multiplier")) for row in (alone, listed)]
    assert shown[0] == shown[1]
    return shown[0]


def test_override_shows_on_the_event_only_while_it_is_in_force(priced: LocalSandbox) -> None:
    rows = next(rows for rows in _scheduled(priced) if len(rows) == 2)
    begins, ends = rows
    assert (ends["fee_type_override"], ends["fee_multiplier_override"]) == (None, None)
    ticker = begins["event_ticker"]
    assert "fee_type_override" not in priced.read(f"/events/{ticker}")["event"]
    assert _fees(priced, ticker) == (None, None)
    priced.time.microseconds = _us(begins["scheduled_ts"])
    assert _fees(priced, ticker) == (begins["fee_type_override"], begins["fee_multiplier_override"])
    priced.time.microseconds = _us(ends["scheduled_ts"])
    assert _fees(priced, ticker) == (None, None)


def test_fills_are_charged_the_fees_of_their_own_moment(priced: LocalSandbox) -> None:
    rows = next(rows for rows in _scheduled(priced) if len(rows) == 2)
    begins, ends = rows
    ticker = priced.exchange.catalogue.markets_of_event(begins["event_ticker"])[0].ticker
    priced.exchange.venue.ensure_open(ticker)
    facts = priced.exchange.venue.state.markets[ticker].facts
    series = priced.read(f"/series/{begins['series_ticker']}")["series"]
    usual, own = series["fee_multiplier"], begins["fee_multiplier_override"]
    assert usual != own
    instants = {
        priced.time.microseconds: usual,
        _us(begins["scheduled_ts"]) - 1: usual,
        _us(begins["scheduled_ts"]): own,
        _us(ends["scheduled_ts"]) - 1: own,
    }
    for at_us, multiplier in instants.items():
        rates = rates_of(facts, at_us, 0)
        assert rates.taker == TAKER_RATE * multiplier
        assert rates.maker == MAKER_RATES[series["fee_type"]] * multiplier
    assert rates_of(facts, _us(ends["scheduled_ts"]), 0).taker != TAKER_RATE * own


def test_own_fees_from_the_beginning_are_a_change_at_the_creation(priced: LocalSandbox) -> None:
    events = priced.read_all("/events", "events", limit=200)
    with_fees = [row for row in events if "fee_type_override" in row]
    assert with_fees
    for row in with_fees:
        changes = _event_changes(priced, event_ticker=row["event_ticker"])
        assert _us(changes[-1]["scheduled_ts"]) <= priced.time.microseconds
        assert changes[0]["fee_multiplier_override"] == row["fee_multiplier_override"]
