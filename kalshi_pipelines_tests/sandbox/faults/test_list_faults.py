"""Lists that end early, pages without rows, hidden rows, and markets that the exchange deletes."""

from typing import Any

import pytest

from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines.units import DAY_US
from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox, local_sandbox

QUIET = SandboxOptions(markets=40, combos=0, tick_seconds=0, tier="unlimited")


@pytest.fixture
def quiet() -> LocalSandbox:
    return local_sandbox(QUIET)


def _inject(sandbox: LocalSandbox, kind: str, **fields: Any) -> None:
    sandbox.steer("POST", "/faults", endpoint="GET /markets", kind=kind, **fields)


def test_last_page_ends_the_list_after_its_first_rows(quiet: LocalSandbox) -> None:
    whole = quiet.read("/markets", limit=10)
    _inject(quiet, "last_page", rows=3, where={"limit": 10})
    cut = quiet.read("/markets", limit=10)
    assert cut == {"cursor": "", "markets": whole["markets"][:3]}
    assert quiet.read("/markets", limit=10) == whole


def test_empty_page_has_no_rows_and_the_cursor_of_its_page(quiet: LocalSandbox) -> None:
    whole = quiet.read("/markets", limit=10)
    _inject(quiet, "empty_page")
    assert quiet.read("/markets", limit=10) == {"cursor": whole["cursor"], "markets": []}


def test_hidden_rows_are_the_same_rows_in_every_request(quiet: LocalSandbox) -> None:
    whole = quiet.markets()
    _inject(quiet, "hidden_rows", share=0.5, times=3)
    once, again = quiet.markets(), quiet.markets()
    assert once == again
    assert 0 < len(once) < len(whole)
    assert all(market in whole for market in once)


def test_hidden_rows_with_a_field_are_those_with_its_value(quiet: LocalSandbox) -> None:
    whole = quiet.markets()
    _inject(quiet, "hidden_rows", field="status", value="active")
    assert quiet.markets() == [market for market in whole if market["status"] != "active"]


def test_deleted_market_is_in_no_list_and_its_event_stays(quiet: LocalSandbox) -> None:
    (ticker,) = quiet.steer("POST", "/markets", count=1, provisional=True)["tickers"]
    market = quiet.read(f"/markets/{ticker}")["market"]
    assert market["is_provisional"] is True
    quiet.steer("DELETE", f"/markets/{ticker}")
    assert quiet.read("/markets", tickers=ticker)["markets"] == []
    assert quiet.get(f"/markets/{ticker}").status_code == 404
    assert quiet.read(f"/events/{market['event_ticker']}")["event"]["event_ticker"] == market["event_ticker"]
    quiet.time.microseconds += 400 * DAY_US
    assert quiet.get(f"/historical/markets/{ticker}").status_code == 404


def test_deleted_share_of_the_markets_is_named(quiet: LocalSandbox) -> None:
    before = {market["ticker"] for market in quiet.markets()}
    gone = set(quiet.steer("DELETE", "/markets", share=0.25)["tickers"])
    assert 0 < len(gone) < len(before)
    assert {market["ticker"] for market in quiet.markets()} == before - gone


def test_archived_markets_come_newest_settlement_first() -> None:
    sandbox = local_sandbox(SandboxOptions(markets=40, archived=90, combos=0, tick_seconds=0, tier="unlimited"))
    settled = [row["settlement_ts"] for row in sandbox.read_all("/historical/markets", "markets", limit=20)]
    assert len(settled) == len(set(settled)) == 90
    assert settled == sorted(settled, reverse=True)
