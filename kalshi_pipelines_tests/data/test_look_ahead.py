"""Readers never return what was not known yet: compared with a plain search over random quotes and trades."""

import datetime as dt
import random
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.data import open_data
from kalshi_pipelines.lake.buffers import PRICES
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES
from kalshi_pipelines.lake.history import publish_history
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.units import DAY_US, HOUR_US, instant
from kalshi_pipelines_tests.support.lake.lakes import add_markets, add_quotes, local_lake, start_history
from kalshi_pipelines_tests.support.lake.public_trades import TRADES_DAY, TRADES_DAY_US, trade_id, trades_batch

TICKERS = ("A", "B", "C")
DAYS = 4
Quote = tuple[int, int]


def newest(quotes: list[Quote], until_us: int, oldest_us: int) -> Decimal | None:
    """Return the price of the last quote up to a time, in dollars."""
    known = [quote for quote in quotes if oldest_us <= quote[0] <= until_us]
    return Decimal(max(known)[1]).scaleb(-6) if known else None


@pytest.mark.parametrize("seed", range(3))
def test_random_trades_have_the_quote_that_a_plain_search_finds(
    sqlite_engine: sa.Engine, tmp_path: Path, seed: int
) -> None:
    drawn, lake = random.Random(seed), local_lake(tmp_path / "lake")
    start_history(sqlite_engine)
    add_markets(sqlite_engine, TICKERS)
    # Few different times, so that quotes and trades often share one.
    times = [TRADES_DAY_US + hour * HOUR_US for hour in range(-24, DAYS * 24)]
    quotes: dict[str, list[Quote]] = {ticker: [] for ticker in TICKERS}
    for part in range(3):
        for ticker in TICKERS[: 2 + part % 2]:
            new = [time for time in drawn.sample(times, 12) if time not in dict(quotes[ticker])]
            for time in new:
                price = drawn.randrange(1, 1_000_000)
                add_quotes(sqlite_engine, [time], ticker, yes_bid_microdollars=price)
                quotes[ticker].append((time, price))
        if part < 2:
            publish_history(lake, sqlite_engine, PRICES, now=True)
    trades = [(drawn.choice(TICKERS), drawn.choice(times[24:]) - TRADES_DAY_US, number) for number in range(200)]
    for day in range(DAYS):
        today = [trade for trade in trades if trade[1] // DAY_US == day]
        date = TRADES_DAY + dt.timedelta(days=day)
        lake.replace_day(sqlite_engine, PUBLIC_TRADES, date, [[trades_batch(today)]], "test")
    max_age = 30 * HOUR_US
    settings = Settings(warehouse_url=sqlite_engine.url.render_as_string(), lake_dir=tmp_path / "lake")
    with open_data(settings) as data:
        rows = data.trades_with_quotes(max_age=dt.timedelta(microseconds=max_age)).read_all().to_pylist()
        found = {row["trade_id"].replace("-", ""): row["quote_yes_bid"] for row in rows}
        assert found == {
            trade_id(number).hex(): newest(quotes[ticker], TRADES_DAY_US + at - 1, TRADES_DAY_US + at - max_age)
            for ticker, at, number in trades
        }
        for time in drawn.sample(times, 8):
            known = {row["ticker"]: row["yes_bid"] for row in data.quotes(as_of=instant(time)).to_pylist()}
            expected = {ticker: newest(quotes[ticker], time, 0) for ticker in TICKERS}
            assert known == {ticker: price for ticker, price in expected.items() if price is not None}
