"""A read of candlesticks that failed for a market, or that is old, removes and closes nothing."""

import datetime as dt
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.history.candles.periods import LENGTHS
from kalshi_pipelines.lake.reading import read
from kalshi_pipelines.units import EXCHANGE_TIME_ZONE, SECOND_US
from kalshi_pipelines_tests.support.history.candle_exchange import CandleExchange, live_candle
from kalshi_pipelines_tests.support.upkeep.warehouses import add_event, start
from kalshi_pipelines_tests.support.warehouse.rows import EVENT

DAY = dt.date(2026, 7, 1)
MIDNIGHT_S = int(dt.datetime.combine(DAY, dt.time(), EXCHANGE_TIME_ZONE).timestamp())
NOON_S = MIDNIGHT_S + 12 * 3_600
MINUTES = LENGTHS[0]


@pytest.fixture
def exchange(sqlite_engine: sa.Engine, tmp_path: Path, no_back_off: None) -> CandleExchange:
    start(sqlite_engine)
    add_event(sqlite_engine, EVENT["event_ticker"])
    made = CandleExchange(sqlite_engine, tmp_path)
    made.now_us = (MIDNIGHT_S + 30 * 86_400) * SECOND_US
    made.add_trades(DAY - dt.timedelta(days=1), [])
    made.add_trades(DAY, [("A", NOON_S), ("B", NOON_S)])
    made.add_trades(DAY + dt.timedelta(days=1), [])
    for ticker in "AB":
        made.live[ticker] = [live_candle(NOON_S + 60 * number) for number in (1, 2, 700)]
    return made


def stored(exchange: CandleExchange) -> list[tuple[str, int]]:
    rows = read(exchange.lake, exchange.engine, MINUTES.dataset).read_all().to_pylist()
    return [(row["ticker"], int(row["end_time"].timestamp())) for row in rows]


def test_candles_of_a_market_that_fails_now_stay_in_the_lake(exchange: CandleExchange) -> None:
    exchange.reader().read(MINUTES, DAY)
    before = stored(exchange)
    exchange.broken = {"B"}
    again = exchange.reader().read(MINUTES, DAY)
    assert (again.removed, again.is_closed, len(again.holes)) == (0, False, 1)
    assert stored(exchange) == before


def test_candles_that_the_exchange_serves_no_more_stay_in_the_lake(exchange: CandleExchange) -> None:
    exchange.reader().read(MINUTES, DAY)
    before = stored(exchange)
    del exchange.live["B"]
    again = exchange.reader().read(MINUTES, DAY)
    assert again.removed == 0
    assert stored(exchange) == before


def test_candles_after_a_clock_that_went_back_stay_in_the_lake(exchange: CandleExchange) -> None:
    exchange.reader().read(MINUTES, DAY)
    before = stored(exchange)
    exchange.now_us = (NOON_S + 90) * SECOND_US
    again = exchange.reader().read(MINUTES, DAY)
    assert (again.removed, again.is_closed) == (0, False)
    assert stored(exchange) == before


def test_part_that_was_read_at_midnight_is_not_used_days_later(
    exchange: CandleExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    later_us, exchange.now_us = exchange.now_us, (MIDNIGHT_S + 86_400 + 60) * SECOND_US
    with monkeypatch.context() as patched:
        patched.setattr("kalshi_pipelines.lake.lake.Lake.replace_day", _killed)
        with pytest.raises(KeyboardInterrupt):
            exchange.reader().read(MINUTES, DAY)
    exchange.live["A"].append(live_candle(NOON_S + 180))  # of a late trade
    exchange.now_us = later_us
    assert exchange.reader().read(MINUTES, DAY).is_closed
    assert ("A", NOON_S + 180) in stored(exchange)


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
