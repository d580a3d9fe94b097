"""A day of candlesticks in the lake is exactly what the exchange serves, and says what it does not serve."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.history.candles.kind import estimate_candles, read_candles, take_new_candles
from kalshi_pipelines.history.candles.markets import TradesMissing
from kalshi_pipelines.history.candles.periods import LENGTH_OF_DATASET, LENGTHS, CandleLength, requests_of_day, span_of
from kalshi_pipelines.history.candles.staging import CandlePartFolder
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.lake.reading import read
from kalshi_pipelines.units import EXCHANGE_TIME_ZONE, SECOND_US
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines_tests.support.history.candle_exchange import CandleExchange, live_candle
from kalshi_pipelines_tests.support.upkeep.warehouses import add_event, add_market, start
from kalshi_pipelines_tests.support.warehouse.rows import EVENT

DAY = dt.date(2026, 7, 1)
MINUTES, HOURS, DAYS = LENGTHS


def midnight(day: dt.date, hour: int = 0) -> int:
    """Return a time of a New York day in Unix seconds."""
    return int(dt.datetime.combine(day, dt.time(hour), EXCHANGE_TIME_ZONE).timestamp())


def tomorrow(day: dt.date) -> dt.date:
    return day + dt.timedelta(days=1)


@pytest.fixture
def exchange(sqlite_engine: sa.Engine, tmp_path: Path, no_back_off: None) -> CandleExchange:
    start(sqlite_engine)
    add_event(sqlite_engine, EVENT["event_ticker"])
    made = CandleExchange(sqlite_engine, tmp_path)
    made.now_us = (midnight(DAY) + 30 * 86_400) * SECOND_US
    return made


def trade(exchange: CandleExchange, *tickers: str, day: dt.date = DAY, before: tuple[str, ...] = ()) -> None:
    """Publish trades at noon of a New York day, and at noon of the day before."""
    noon, noon_before = midnight(day, 12), midnight(day - dt.timedelta(days=1), 12)
    exchange.add_trades(day - dt.timedelta(days=1), [(ticker, noon_before) for ticker in before])
    exchange.add_trades(day, [(ticker, noon) for ticker in tickers])
    exchange.add_trades(tomorrow(day), [])


def stored(exchange: CandleExchange, length: CandleLength = MINUTES) -> list[dict[str, Any]]:
    return list(read(exchange.lake, exchange.engine, length.dataset).read_all().to_pylist())


def ends(exchange: CandleExchange, length: CandleLength = MINUTES) -> list[tuple[str, int]]:
    return [(row["ticker"], int(row["end_time"].timestamp())) for row in stored(exchange, length)]


def residuals(exchange: CandleExchange) -> list[tuple[str, str]]:
    columns = tables.history_residuals.c
    with exchange.engine.connect() as connection:
        rows = connection.execute(sa.select(columns.ticker, columns.state).order_by(columns.ticker))
        return [(row[0], row[1]) for row in rows]


def status(exchange: CandleExchange, length: CandleLength = MINUTES) -> str:
    columns = tables.history_partitions.c
    query = sa.select(columns.status).where(columns.dataset == length.dataset.name)
    with exchange.engine.connect() as connection:
        return str(connection.scalar(query))


def test_day_has_the_candles_after_its_first_midnight_up_to_its_last(exchange: CandleExchange) -> None:
    first, last = midnight(DAY), midnight(tomorrow(DAY))
    trade(exchange, "A")
    exchange.live["A"] = [live_candle(end) for end in (first, first + 60, last, last + 60)]
    found = exchange.reader().read(MINUTES, DAY)
    assert ends(exchange) == [("A", first + 60), ("A", last)]
    assert (found.rows, found.added, found.is_closed, status(exchange)) == (2, 2, True, "closed")


@pytest.mark.parametrize(("day", "hours"), [(dt.date(2026, 3, 8), 23), (dt.date(2026, 11, 1), 25), (DAY, 24)])
def test_days_of_clock_changes_have_their_own_number_of_hours(
    exchange: CandleExchange, day: dt.date, hours: int
) -> None:
    exchange.now_us = (midnight(day) + 30 * 86_400) * SECOND_US
    trade(exchange, "A", day=day)
    exchange.live["A"] = [live_candle(midnight(day) + number * 3_600) for number in range(30)]
    assert exchange.reader().read(HOURS, day).rows == hours
    assert ends(exchange, HOURS)[-1] == ("A", midnight(tomorrow(day)))
    assert span_of(MINUTES, day).has(midnight(tomorrow(day)) * SECOND_US)


@pytest.mark.parametrize("day", [dt.date(2026, 3, 8), dt.date(2026, 11, 1)])
def test_daily_candle_that_ends_at_new_york_midnight_is_of_the_day_before(
    exchange: CandleExchange, day: dt.date
) -> None:
    exchange.now_us = (midnight(day) + 30 * 86_400) * SECOND_US
    trade(exchange, "A", day=day)
    exchange.live["A"] = [live_candle(midnight(each)) for each in (day, tomorrow(day), day + dt.timedelta(days=2))]
    exchange.reader().read(DAYS, day)
    assert ends(exchange, DAYS) == [("A", midnight(tomorrow(day)))]


def test_candle_after_a_close_just_before_midnight_is_in_the_next_day(exchange: CandleExchange) -> None:
    trade(exchange, before=("CLOSED", "EARLIER"))
    close = midnight(DAY) - 30
    add_market(exchange.engine, "CLOSED", close_time_us=close * SECOND_US, open_time_us=1)
    add_market(exchange.engine, "EARLIER", close_time_us=(close - 7_200) * SECOND_US, open_time_us=1)
    exchange.live["CLOSED"] = [live_candle(midnight(DAY)), live_candle(midnight(DAY) + 60, None)]
    found = exchange.reader().read(MINUTES, DAY)
    assert ends(exchange) == [("CLOSED", midnight(DAY) + 60)]
    assert found.rows == 1
    assert not any("EARLIER" in tickers for _, tickers in exchange.asked)
    assert residuals(exchange) == []


def test_archived_market_is_read_from_the_historical_side(exchange: CandleExchange) -> None:
    end = midnight(DAY, 12)
    trade(exchange, "A", "B")
    exchange.archived["A"] = [live_candle(end, "0.1234", "2.50"), live_candle(end + 60, None)]
    exchange.live["B"] = [live_candle(end)]
    exchange.live["A"] = []
    exchange.reader().read(MINUTES, DAY)
    assert ends(exchange) == [("A", end), ("A", end + 60), ("B", end)]
    first, second, third = stored(exchange)
    assert (first["open_price"], first["volume"]) == (Decimal("0.123400"), Decimal("2.50"))
    assert (second["close_price"], second["volume"], second["yes_bid_high"]) == (None, 0, Decimal("0.490000"))
    assert third["open_interest"] == Decimal("7.00")


def test_day_before_the_cutoff_asks_the_historical_side_first(exchange: CandleExchange) -> None:
    end = midnight(DAY, 12)
    trade(exchange, "A", "B")
    exchange.cutoff_us = (end + 5 * 86_400) * SECOND_US
    exchange.archived["A"], exchange.live["B"] = [live_candle(end)], [live_candle(end)]
    exchange.reader().read(MINUTES, DAY)
    assert ends(exchange) == [("A", end), ("B", end)]
    assert exchange.asked == [("historical", "A"), ("historical", "B"), ("live", "B")]


def test_traded_market_without_candles_on_either_side_is_not_served(exchange: CandleExchange) -> None:
    trade(exchange, "A", "B")
    exchange.live["A"] = [live_candle(midnight(DAY, 12))]
    found = exchange.reader().read(MINUTES, DAY)
    assert residuals(exchange) == [("B", "not_served")]
    assert (found.holes, found.is_closed) == ((), True)


def test_market_that_was_not_traded_and_has_no_candles_is_no_residual(exchange: CandleExchange) -> None:
    trade(exchange, "A")
    add_market(exchange.engine, "IDLE", open_time_us=1, close_time_us=exchange.now_us, status="active")
    exchange.live = {"A": [live_candle(midnight(DAY, 12))], "IDLE": []}
    exchange.reader(includes_untraded=True).read(MINUTES, DAY)
    assert residuals(exchange) == []
    assert exchange.asked == [("live", "A,IDLE")]


def test_untraded_market_with_changed_quotes_is_stored_if_all_are_asked(exchange: CandleExchange) -> None:
    add_market(exchange.engine, "IDLE", open_time_us=1, close_time_us=exchange.now_us, status="active")
    exchange.live["IDLE"] = [live_candle(midnight(DAY, 12), None)]
    exchange.reader(includes_untraded=True).read(MINUTES, DAY)
    assert ends(exchange) == [("IDLE", midnight(DAY, 12))]


def test_market_that_fails_for_ever_is_missing_and_spoils_no_other(exchange: CandleExchange) -> None:
    tickers = [f"M{number}" for number in range(9)]
    trade(exchange, *tickers)
    exchange.live = {ticker: [live_candle(midnight(DAY, 12))] for ticker in tickers}
    exchange.broken = {"M4"}
    found = exchange.reader().read(MINUTES, DAY)
    assert [ticker for ticker, _ in ends(exchange)] == [ticker for ticker in tickers if ticker != "M4"]
    assert residuals(exchange) == [("M4", "missing")]
    assert (len(found.holes), found.is_closed, status(exchange)) == (1, False, "open")
    exchange.broken.clear()
    found = exchange.reader().read(MINUTES, DAY)
    assert (found.rows, found.is_closed, residuals(exchange)) == (9, True, [])


def test_exchange_that_is_down_ends_the_read_and_publishes_nothing(exchange: CandleExchange) -> None:
    trade(exchange, *(f"M{number}" for number in range(9)))
    exchange.is_down = True
    with pytest.raises(KalshiError):
        exchange.reader().read(MINUTES, DAY)
    assert stored(exchange) == []
    assert status(exchange) == "reading"


def test_interrupted_day_continues_with_the_markets_it_has(exchange: CandleExchange) -> None:
    tickers = [f"M{number:03}" for number in range(500)]
    trade(exchange, *tickers)
    exchange.live = {ticker: [live_candle(midnight(DAY, 12))] for ticker in tickers}
    exchange.stops_after = 81
    with pytest.raises(KeyboardInterrupt):
        exchange.reader().read(MINUTES, DAY)
    parts = CandlePartFolder(exchange.work_folder / MINUTES.dataset.name / DAY.isoformat())
    kept = [part for path in parts.folder.glob("*.arrow") if (part := parts.find(path))]
    exchange.stops_after, exchange.asked = None, []
    assert exchange.reader().read(MINUTES, DAY).rows == 500
    assert kept
    assert sum(len(asked.split(",")) for _, asked in exchange.asked) == 500 - sum(part.facts.rows for part in kept)
    assert not (exchange.work_folder / MINUTES.dataset.name / DAY.isoformat()).exists()


def test_day_that_is_read_again_has_the_same_hash(exchange: CandleExchange) -> None:
    trade(exchange, "A", "B")
    exchange.live = {ticker: [live_candle(midnight(DAY, 12))] for ticker in "AB"}
    first = exchange.reader().read(MINUTES, DAY)
    exchange.archived, exchange.live = exchange.live, {}
    again = exchange.reader().read(MINUTES, DAY)
    assert first.content_sha256 == again.content_sha256
    assert (again.added, again.changed, again.is_reopened, again.is_closed) == (0, 0, False, True)


def test_late_candle_reopens_a_closed_day_visibly(exchange: CandleExchange) -> None:
    trade(exchange, "A")
    noon = midnight(DAY, 12)
    exchange.live = {"A": [live_candle(noon)]}
    exchange.reader().read(MINUTES, DAY)
    exchange.live = {"A": [live_candle(noon), live_candle(noon + 60)]}
    found = exchange.reader().read(MINUTES, DAY)
    assert (found.added, found.is_reopened) == (1, True)


def test_day_that_has_not_ended_stays_open_without_unfinished_periods(exchange: CandleExchange) -> None:
    trade(exchange, "A")
    noon = midnight(DAY, 12)
    exchange.now_us = (noon + 90) * SECOND_US
    exchange.live = {"A": [live_candle(noon + 60), live_candle(noon + 120)]}
    found = exchange.reader().read(MINUTES, DAY)
    assert ends(exchange) == [("A", noon + 60)]
    assert not found.is_closed


def test_day_stays_open_while_its_trades_may_change(exchange: CandleExchange) -> None:
    noon = midnight(DAY, 12)
    exchange.add_trades(DAY, [("A", noon)], "open")
    exchange.add_trades(tomorrow(DAY), [])
    exchange.live = {"A": [live_candle(noon)]}
    assert not exchange.reader().read(MINUTES, DAY).is_closed


def test_day_without_public_trades_in_the_lake_is_refused(exchange: CandleExchange) -> None:
    with pytest.raises(TradesMissing, match="2026-07-01 and 2026-07-02"):
        exchange.reader().read(MINUTES, DAY)


def test_day_with_a_part_of_its_public_trades_stays_open_and_says_so(exchange: CandleExchange) -> None:
    exchange.add_trades(DAY, [("A", midnight(DAY, 12))])
    exchange.live = {"A": [live_candle(midnight(DAY, 12))]}
    found = exchange.reader().read(MINUTES, DAY)
    assert (found.rows, found.is_closed) == (1, False)
    assert found.holes[0].startswith("public trades of 2026-07-02 (UTC)")


def test_all_lengths_of_a_day_are_read_and_the_minutes_are_closed_last(exchange: CandleExchange) -> None:
    trade(exchange, "A")
    exchange.live = {"A": [live_candle(midnight(DAY, 12)), live_candle(midnight(tomorrow(DAY)))]}
    found = read_candles(exchange.reader().inputs, DAY)
    assert [read.dataset for read in found] == ["candlesticks_1d", "candlesticks_1h", "candlesticks_1m"]
    assert [read.is_closed for read in found] == [True, True, True]
    assert estimate_candles(exchange.reader().inputs, [DAY])[DAY].requests == 3


def test_minutes_stay_open_while_another_length_is_not_complete(exchange: CandleExchange) -> None:
    trade(exchange, "A")
    exchange.live = {"A": [live_candle(midnight(DAY, 12))]}
    assert not exchange.reader().read(MINUTES, DAY, may_close=False).is_closed


def test_upkeep_lets_a_day_wait_for_its_public_trades(exchange: CandleExchange) -> None:
    assert take_new_candles(exchange.reader().inputs, DAY) == []


def test_combos_are_asked_only_if_they_are_wanted(exchange: CandleExchange) -> None:
    trade(exchange, "KXMVEX-1")
    exchange.live = {"KXMVEX-1": [live_candle(midnight(DAY, 12))]}
    assert exchange.reader().read(MINUTES, DAY).rows == 0
    assert exchange.reader(includes_combos=True).read(MINUTES, DAY).rows == 1


def test_candle_that_cannot_be_stored_is_missing_and_the_others_are_kept(exchange: CandleExchange) -> None:
    trade(exchange, "A")
    noon = midnight(DAY, 12)
    exchange.live = {"A": [live_candle(noon), live_candle(noon + 60, "1.5000"), live_candle(noon + 120, "0.12345678")]}
    found = exchange.reader().read(MINUTES, DAY)
    assert ends(exchange) == [("A", noon)]
    assert residuals(exchange) == [("A", "missing")]
    assert "2 cannot be stored" in found.holes[0]


def test_two_different_candles_of_one_period_are_both_refused(exchange: CandleExchange) -> None:
    trade(exchange, "A")
    noon = midnight(DAY, 12)
    exchange.live = {"A": [live_candle(noon), live_candle(noon), live_candle(noon + 60), live_candle(noon + 60, "0.6")]}
    exchange.reader().read(MINUTES, DAY)
    assert ends(exchange) == [("A", noon)]
    assert residuals(exchange) == [("A", "missing")]


def test_requests_of_a_day_at_the_real_size_are_counted_before_it_starts() -> None:
    assert requests_of_day(MINUTES, DAY, 40_000) == 6_667
    assert requests_of_day(HOURS, DAY, 40_000) == 400
    assert requests_of_day(DAYS, DAY, 40_000) == 400
    assert requests_of_day(MINUTES, DAY, 40_000, historical=40_000) == 40_000
    assert set(LENGTH_OF_DATASET) == {"candlesticks_1m", "candlesticks_1h", "candlesticks_1d"}
