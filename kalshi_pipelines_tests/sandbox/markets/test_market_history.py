"""Trades, candlesticks and markets of the past, from the live and the historical endpoints."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from kalshi_pipelines import units
from kalshi_pipelines.sandbox.markets.generated import GeneratedMarket
from kalshi_pipelines.sandbox.markets.generation import OVERLAP_US
from kalshi_pipelines.sandbox.markets.periods import period_of
from kalshi_pipelines.sandbox.markets.volumes import LONGEST_PAUSE, total_through
from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines.units import DAY_US, EXCHANGE_TIME_ZONE, SECOND_US
from kalshi_pipelines_tests.support.sandbox.local_sandbox import NOON_US, LocalSandbox, local_sandbox

PAST = SandboxOptions(markets=150, combos=12, archived=90, tier="unlimited")
DAY_S = 86_400


@pytest.fixture(scope="module")
def past() -> LocalSandbox:
    """A sandbox whose clock no test moves."""
    return local_sandbox(PAST)


def _us(text: str) -> int:
    return units.microseconds(dt.datetime.fromisoformat(text))


def _market(sandbox: LocalSandbox, ticker: str) -> GeneratedMarket:
    catalogue = sandbox.exchange.catalogue
    row = catalogue.markets.get(ticker) or catalogue.archived_markets[ticker]
    assert isinstance(row, GeneratedMarket)
    return row


def _trades(sandbox: LocalSandbox, side: str, **query: Any) -> list[dict[str, Any]]:
    return sandbox.read_all(f"/{side}/trades", "trades", limit=1000, **query)


def _is_short(row: dict[str, Any]) -> bool:
    """Return whether a market has few enough trades to read all of them in a test."""
    return 0 < Decimal(row["volume_fp"]) < 60_000


def _sum(trades: Iterable[dict[str, Any]]) -> Decimal:
    return sum((Decimal(trade["count_fp"]) for trade in trades), Decimal(0))


def test_volume_of_a_market_is_the_exact_sum_of_its_trades(past: LocalSandbox) -> None:
    live = [row for row in past.markets() if row["status"] != "initialized" and _is_short(row)]
    archived = [row for row in past.read_all("/historical/markets", "markets") if _is_short(row)]
    assert len(live) > 10
    assert len(archived) > 10
    for row in live[:25]:
        assert _sum(_trades(past, "markets", ticker=row["ticker"])) == Decimal(row["volume_fp"])
    for row in archived[:25]:
        assert _sum(_trades(past, "historical", ticker=row["ticker"])) == Decimal(row["volume_fp"])


def test_market_without_volume_has_no_trades(past: LocalSandbox) -> None:
    quiet = [row for row in past.read_all("/historical/markets", "markets") if row["volume_fp"] == "0.00"]
    assert quiet
    assert not [row for row in quiet if _trades(past, "historical", ticker=row["ticker"])]


def test_volume_of_a_settled_market_stays_the_sum_of_its_trades_for_ever(sandbox: LocalSandbox) -> None:
    row = next(row for row in sandbox.markets(status="settled") if _is_short(row))
    for _ in range(3):
        sandbox.time.microseconds += 25 * DAY_US
        sides = ("markets", "historical")
        trades = {trade["trade_id"]: trade for side in sides for trade in _trades(sandbox, side, ticker=row["ticker"])}
        assert _sum(trades.values()) == Decimal(row["volume_fp"])
    assert sandbox.read(f"/historical/markets/{row['ticker']}")["market"]["volume_fp"] == row["volume_fp"]


@pytest.mark.parametrize("rate", [1, 7, 4_000, 66_500])
def test_total_of_a_path_grows_and_never_pauses_for_long(rate: int) -> None:
    totals = [total_through(99, rate, epoch) for epoch in range(-400, 4_000)]
    assert totals == sorted(totals)
    pause = LONGEST_PAUSE + 1
    assert all(totals[at] < totals[at + pause] for at in range(len(totals) - pause))
    assert any(totals[at] == totals[at + 1] for at in range(len(totals) - 1))
    assert (totals[-1] - totals[0]) / len(totals) == pytest.approx(rate, rel=0.2)


def test_sweeping_orders_cross_prices_in_one_microsecond(past: LocalSandbox) -> None:
    end_s = past.time.microseconds // SECOND_US
    orders = defaultdict(list)
    for trade in _trades(past, "markets", min_ts=end_s - DAY_S, max_ts=end_s):
        orders[trade["ticker"], trade["created_time"]].append(trade)
    swept = [fills for fills in orders.values() if len({fill["yes_price_dollars"] for fill in fills}) > 1]
    assert len(swept) > 20
    for fills in swept:
        assert len({fill["taker_outcome_side"] for fill in fills}) == 1
        assert not any(fill["is_block_trade"] for fill in fills)
    assert max(map(len, orders.values())) >= 3


def test_trades_include_blocks_fractions_and_combos(past: LocalSandbox) -> None:
    end_s = past.time.microseconds // SECOND_US
    trades = _trades(past, "markets", min_ts=end_s - DAY_S, max_ts=end_s)
    blocks = [trade for trade in trades if trade["is_block_trade"]]
    assert blocks
    assert _trades(past, "markets", min_ts=end_s - DAY_S, max_ts=end_s, is_block_trade="true") == blocks
    assert sum(not trade["count_fp"].endswith(".00") for trade in trades) > len(trades) / 2
    assert any(trade["ticker"].startswith("KXMVE") for trade in trades)
    for trade in trades:
        assert Decimal(trade["yes_price_dollars"]) + Decimal(trade["no_price_dollars"]) == 1


def test_trades_near_the_cutoff_are_served_by_both_sides(past: LocalSandbox) -> None:
    cutoff_s = _us(past.read("/historical/cutoff")["trades_created_ts"]) // SECOND_US
    around = {"min_ts": cutoff_s - DAY_S, "max_ts": cutoff_s + DAY_S}
    live, historical = _trades(past, "markets", **around), _trades(past, "historical", **around)
    both = {trade["trade_id"] for trade in live} & {trade["trade_id"] for trade in historical}
    times = [_us(trade["created_time"]) for trade in live if trade["trade_id"] in both]
    assert times
    assert cutoff_s * SECOND_US - OVERLAP_US <= min(times) <= max(times) < cutoff_s * SECOND_US
    assert {str(trade) for trade in live if trade["trade_id"] in both} <= {str(trade) for trade in historical}
    assert all(_us(trade["created_time"]) < cutoff_s * SECOND_US for trade in historical)
    assert all(_us(trade["created_time"]) >= cutoff_s * SECOND_US - OVERLAP_US for trade in live)
    assert len(live) > len(both) < len(historical)


def test_market_that_settled_shortly_before_the_cutoff_is_on_both_sides(sandbox: LocalSandbox) -> None:
    row = sandbox.markets(status="settled")[0]
    catalogue = sandbox.exchange.catalogue
    market = catalogue.markets[row["ticker"]]
    midnight = _us(row["settlement_ts"]) // DAY_US * DAY_US + 61 * DAY_US
    sandbox.time.microseconds = midnight - 1
    sandbox.exchange.venue.advance()
    assert row["ticker"] not in catalogue.archived_markets
    for name, other in list(catalogue.markets.items()):
        settled = other.settled_us or 0
        if settled and settled // DAY_US == (market.settled_us or 0) // DAY_US:
            sandbox.time.microseconds = midnight
            sandbox.exchange.venue.advance()
            is_late = DAY_US - settled % DAY_US <= OVERLAP_US
            assert name in catalogue.archived_markets
            assert (name in catalogue.markets) == is_late
    sandbox.time.microseconds = midnight + DAY_US
    sandbox.exchange.venue.advance()
    assert row["ticker"] not in catalogue.markets


def test_archived_market_is_404_live_and_has_no_live_trades(past: LocalSandbox) -> None:
    cutoff_us = past.exchange.live_since_us
    archived = past.read_all("/historical/markets", "markets")
    old = [row for row in archived if _us(row["close_time"]) < cutoff_us]
    assert len(old) > 40
    for row in old[:10]:
        path = f"/series/{_market(past, row['ticker']).series_ticker}/markets/{row['ticker']}/candlesticks"
        query = {"start_ts": 0, "end_ts": 60, "period_interval": 1}
        assert past.get(f"/markets/{row['ticker']}").status_code == 404
        assert past.get(path, **query).status_code == 404
        assert past.read("/markets/trades", ticker=row["ticker"]) == {"cursor": "", "trades": []}
        assert past.read("/markets/candlesticks", market_tickers=row["ticker"], **query) == {"markets": []}


def test_archived_markets_are_filtered_by_series_or_event(past: LocalSandbox) -> None:
    whole = past.read_all("/historical/markets", "markets")
    for row in whole[::7]:
        event, series = row["event_ticker"], _market(past, row["ticker"]).series_ticker
        of_event = past.read_all("/historical/markets", "markets", event_ticker=event, limit=3)
        assert of_event == [other for other in whole if other["event_ticker"] == event]
        of_series = past.read_all("/historical/markets", "markets", series_ticker=series, limit=3)
        assert of_series == [other for other in whole if other["event_ticker"].startswith(f"{series}-")]
    assert past.get("/historical/markets", event_ticker="A", series_ticker="B").status_code == 400
    assert past.read("/historical/markets", series_ticker="NOSUCH")["markets"] == []


def _candles(sandbox: LocalSandbox, row: dict[str, Any], minutes: int) -> list[dict[str, Any]]:
    """Return all historical candlesticks of an archived market, read in legal ranges."""
    length = 60 * minutes
    first, last = _us(row["open_time"]) // SECOND_US, _us(row["close_time"]) // SECOND_US + 2 * DAY_S
    found = []
    for start in range(first, last, 5_000 * length):
        query = {"start_ts": start, "end_ts": min(start + 5_000 * length - 1, last), "period_interval": minutes}
        found += sandbox.read(f"/historical/markets/{row['ticker']}/candlesticks", **query)["candlesticks"]
    return found


def _archived(sandbox: LocalSandbox, count: int) -> list[dict[str, Any]]:
    return [row for row in sandbox.read_all("/historical/markets", "markets") if _is_short(row)][:count]


@pytest.mark.parametrize("minutes", [1, 60, 1_440])
def test_candlesticks_are_those_of_the_trades(past: LocalSandbox, minutes: int) -> None:
    checked = 0
    for row in _archived(past, 2 if minutes == 1 else 12):
        periods = defaultdict(list)
        for trade in reversed(_trades(past, "historical", ticker=row["ticker"])):
            periods[period_of(_us(trade["created_time"]), minutes).end_s].append(trade)
        candles = {candle["end_period_ts"]: candle for candle in _candles(past, row, minutes)}
        assert set(periods) <= set(candles)
        previous = None
        for end_s, candle in sorted(candles.items()):
            trades = periods.get(end_s, [])
            assert Decimal(candle["volume"]) == _sum(trades)
            assert candle["price"]["previous"] in (previous or {None})
            previous = _check_prices(candle["price"], trades) or previous
            checked += bool(trades)
    assert checked > 10


def _check_prices(price: dict[str, str | None], trades: list[dict[str, Any]]) -> set[str | None] | None:
    """Check the prices of a candlestick, and return the prices that its last trade can have."""
    if not trades:
        assert {name for name, value in price.items() if value is not None} <= {"previous"}
        return None
    prices = [trade["yes_price_dollars"] for trade in trades]
    assert (price["high"], price["low"]) == (max(prices), min(prices))
    first, last = (
        {trade["yes_price_dollars"] for trade in trades if trade["created_time"] == trades[at]["created_time"]}
        for at in (0, -1)
    )
    assert price["open"] in first
    assert price["close"] in last
    paid = sum((Decimal(trade["yes_price_dollars"]) * Decimal(trade["count_fp"]) for trade in trades), Decimal(0))
    assert abs(paid / _sum(trades) - Decimal(price["mean"] or 0)) <= Decimal("0.00005")
    return {price["close"]}


def test_historical_candlestick_has_keys_without_suffix_and_explicit_nulls(past: LocalSandbox) -> None:
    candles = [candle for row in _archived(past, 6) for candle in _candles(past, row, 60)]
    for candle in candles:
        assert set(candle) == {"end_period_ts", "open_interest", "price", "volume", "yes_ask", "yes_bid"}
        assert set(candle["price"]) == {"close", "high", "low", "mean", "open", "previous"}
        assert set(candle["yes_bid"]) == set(candle["yes_ask"]) == {"close", "high", "low", "open"}
    assert any(candle["price"]["close"] is None for candle in candles)
    assert any(candle["price"]["close"] is not None for candle in candles)


def test_live_candlestick_without_trades_has_only_the_previous_price(past: LocalSandbox) -> None:
    end_s = past.time.microseconds // SECOND_US
    tickers = ",".join(row["ticker"] for row in past.markets(status="open")[:40])
    query = {"start_ts": end_s - 7_200, "end_ts": end_s, "period_interval": 60}
    rows = past.read("/markets/candlesticks", market_tickers=tickers, **query)["markets"]
    quiet = [candle["price"] for row in rows for candle in row["candlesticks"] if candle["volume_fp"] == "0.00"]
    assert quiet
    assert all(set(price) <= {"previous_dollars"} for price in quiet)


@pytest.mark.parametrize("minutes", [1, 60, 1_440])
def test_last_candlestick_of_a_market_ends_after_its_close(past: LocalSandbox, minutes: int) -> None:
    for row in _archived(past, 3):
        close_us = _us(row["close_time"])
        last = _candles(past, row, minutes)[-1]
        period = period_of(close_us + 1, minutes)
        assert last["end_period_ts"] == period.end_s > close_us // SECOND_US
        assert (last["yes_bid"]["close"], last["yes_ask"]["close"]) == ("0.0000", "1.0000")
        # Markets close on the full hour, so a range that ends at the close loses this candlestick.
        query = {"start_ts": close_us // SECOND_US - 60, "end_ts": close_us // SECOND_US, "period_interval": 1}
        cut = past.read(f"/historical/markets/{row['ticker']}/candlesticks", **query)["candlesticks"]
        assert all(candle["end_period_ts"] <= close_us // SECOND_US for candle in cut)


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2026-03-08", 23), ("2026-11-01", 25), ("2026-07-04", 24), ("2026-12-01", 24)],
)
def test_daily_period_is_a_day_in_new_york(day: str, hours: int) -> None:
    noon = dt.datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=EXCHANGE_TIME_ZONE)
    period = period_of(units.microseconds(noon), 1_440)
    assert period.end_s - period.begin_s == hours * 3_600
    begin = units.instant(period.begin_s * SECOND_US).astimezone(EXCHANGE_TIME_ZONE)
    assert begin.isoformat()[:16] == f"{day}T00:00"
    assert period_of(period.end_s * SECOND_US, 1_440) == period
    assert period_of(period.end_s * SECOND_US + 1, 1_440).begin_s == period.end_s


def test_daily_candlesticks_end_at_midnight_in_new_york_on_both_sides_of_the_change(past: LocalSandbox) -> None:
    end_s = past.time.microseconds // SECOND_US
    query = {"start_ts": end_s - 40 * DAY_S, "end_ts": end_s, "period_interval": 1_440}
    ends = set()
    for row in past.markets(status="open")[-60::4]:
        series = _market(past, row["ticker"]).series_ticker
        answer = past.read(f"/series/{series}/markets/{row['ticker']}/candlesticks", **query)
        ends |= {candle["end_period_ts"] for candle in answer["candlesticks"]}
    assert {end % DAY_S for end in ends} == {4 * 3_600, 5 * 3_600}
    change = units.microseconds(dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)) // SECOND_US
    assert all(end % DAY_S == (4 if end < change else 5) * 3_600 for end in ends)


@pytest.mark.parametrize("minutes", [1, 60, 1_440])
def test_caps_count_the_requested_range(past: LocalSandbox, minutes: int) -> None:
    live = past.markets(status="open")[0]["ticker"]
    archived = past.read("/historical/markets", limit=1)["markets"][0]["ticker"]
    paths = [
        f"/series/{_market(past, live).series_ticker}/markets/{live}/candlesticks",
        f"/historical/markets/{archived}/candlesticks",
    ]
    start = NOON_US // SECOND_US - 6_000 * 60 * minutes
    for path in paths:
        query = {"start_ts": start, "period_interval": minutes}
        assert past.get(path, end_ts=start + 5_001 * 60 * minutes - 1, **query).status_code == 200
        refused = past.get(path, end_ts=start + 5_001 * 60 * minutes, **query)
        assert refused.status_code == 400
        assert refused.json()["error"]["details"] == (
            "requested time range with candlesticks: 5001, max candlesticks: 5000"
        )
    batch = {"market_tickers": f"{live},NOSUCH", "start_ts": start, "period_interval": minutes}
    assert past.get("/markets/candlesticks", end_ts=start + 5_000 * 60 * minutes, **batch).status_code == 200
    assert past.get("/markets/candlesticks", end_ts=start + 5_001 * 60 * minutes, **batch).status_code == 400


def test_historical_candlesticks_of_a_live_market_are_404(past: LocalSandbox) -> None:
    live = past.markets(status="open")[0]["ticker"]
    query = {"start_ts": 0, "end_ts": 60, "period_interval": 1}
    assert past.get(f"/historical/markets/{live}/candlesticks", **query).status_code == 404


def test_open_interest_is_never_above_the_volume(past: LocalSandbox) -> None:
    for row in past.markets():
        assert 0 <= Decimal(row["open_interest_fp"]) <= Decimal(row["volume_fp"])
        assert Decimal(row["volume_24h_fp"]) <= Decimal(row["volume_fp"])
