"""Daily report files, compared with the trades of the API."""

import datetime as dt
import gzip
from collections import defaultdict
from decimal import Decimal
from typing import Any

import orjson
import pytest

from kalshi_pipelines import units
from kalshi_pipelines.sandbox.markets.daily_reports import TradingDay
from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox, local_sandbox
from kalshi_pipelines_tests.support.sandbox.trader import SandboxTrader, quoted_market

WINTER, SUMMER, LONG = "2026-11-18", "2026-10-15", "2026-11-01"


@pytest.fixture(scope="module")
def reported() -> LocalSandbox:
    return local_sandbox(SandboxOptions(markets=150, combos=10, warm=False, tier="unlimited"))


def _file(sandbox: LocalSandbox, name: str) -> list[dict[str, Any]]:
    response = sandbox.client.get(f"/reporting/{name}")
    assert response.status_code == 200
    rows: list[dict[str, Any]] = orjson.loads(response.content)
    return rows


def _traded(sandbox: LocalSandbox, day: TradingDay) -> list[dict[str, Any]]:
    """Return the trades of a day as both sides of the API serve them, oldest first."""
    window = {"min_ts": day.begin_us // 10**6, "max_ts": day.end_us // 10**6 - 1, "limit": 1_000}
    rows = {
        row["trade_id"]: row
        for side in ("historical", "markets")
        for row in sandbox.read_all(f"/{side}/trades", "trades", **window)
    }
    return sorted(rows.values(), key=lambda row: row["created_time"])


@pytest.mark.parametrize(("date", "begin"), [(WINTER, 5), (SUMMER, 4), (LONG, 4)])
def test_trade_file_has_the_trades_of_the_day_in_new_york(reported: LocalSandbox, date: str, begin: int) -> None:
    day = TradingDay.of(dt.date.fromisoformat(date))
    assert units.instant(day.begin_us).hour == begin
    rows = _file(reported, f"trade_data_{date}.json")
    trades = _traded(reported, day)
    assert len(rows) > 500
    told = [
        (row["ticker_name"], row["create_ts"], Decimal(str(row["contracts_traded"])), Decimal(str(row["price"])))
        for row in rows
    ]
    true = [
        (row["ticker"], row["created_time"], Decimal(row["count_fp"]), Decimal(row["yes_price_dollars"]) * 100)
        for row in trades
    ]
    assert sorted(told) == sorted(true)
    assert {row["date"] for row in rows} == {date}


def test_market_file_sums_up_the_trade_file(reported: LocalSandbox) -> None:
    volumes, prices, blocks = defaultdict[str, Decimal](Decimal), defaultdict(set), Decimal(0)
    for trade in _traded(reported, TradingDay.of(dt.date.fromisoformat(WINTER))):
        volumes[trade["ticker"]] += Decimal(trade["count_fp"])
        prices[trade["ticker"]].add(Decimal(trade["yes_price_dollars"]) * 100)
        blocks += Decimal(trade["count_fp"]) * trade["is_block_trade"]
    rows = _file(reported, f"market_data_{WINTER}.json")
    assert blocks
    assert sum(Decimal(str(row["block_volume"])) for row in rows) == blocks
    assert {row["ticker_name"] for row in rows if row["daily_volume"]} == set(volumes)
    assert len(rows) > len(volumes)
    for row in rows:
        ticker = row["ticker_name"]
        assert Decimal(str(row["daily_volume"])) == volumes.get(ticker, 0)
        expected = (max(prices[ticker]), min(prices[ticker])) if ticker in volumes else (None, None)
        shown = tuple(None if row[name] is None else Decimal(str(row[name])) for name in ("high", "low"))
        assert shown == expected
        assert row["open_interest"] >= 0


@pytest.mark.parametrize("kind", ["trade", "market"])
def test_compressed_file_has_the_same_content(reported: LocalSandbox, kind: str) -> None:
    plain = reported.client.get(f"/reporting/{kind}_data_{SUMMER}.json").content
    packed = reported.client.get(f"/reporting/{kind}_data_{SUMMER}.json.gz").content
    assert gzip.decompress(packed) == plain


@pytest.mark.parametrize(
    "name",
    ["trade_data_2026-11-21.json", "trade_data_2026-11-22.json", "trade_data_2026-13-01.json", "other.json"],
)
def test_file_that_is_not_published_is_404(reported: LocalSandbox, name: str) -> None:
    response = reported.client.get(f"/reporting/{name}")
    assert response.status_code == 404
    assert "NoSuchKey" in response.text


def test_trades_of_members_are_in_the_file_of_their_day() -> None:
    sandbox = local_sandbox(SandboxOptions(markets=60, combos=0, warm=False, tier="unlimited"))
    ticker = quoted_market(sandbox)
    trade = SandboxTrader(sandbox.exchange.venue).place(ticker, "bid", 9_900, 100).trades[0]
    sandbox.pass_seconds(3 * 86_400)
    rows = _file(sandbox, "trade_data_2026-11-22.json")
    assert any(row["ticker_name"] == ticker and row["contracts_traded"] == trade.count / 100 for row in rows)


def test_fault_at_the_file_fails_and_a_fault_of_trades_leaves_it_true(reported: LocalSandbox) -> None:
    name = f"trade_data_{WINTER}.json"
    whole = _file(reported, name)
    reported.steer("POST", "/faults", endpoint="*", kind="unserved_trades", share=1)
    reported.steer("POST", "/faults", endpoint="GET /reporting/{name}", kind="server_error")
    assert reported.client.get(f"/reporting/{name}").status_code == 500
    assert _file(reported, name) == whole
    reported.steer("DELETE", "/faults")
