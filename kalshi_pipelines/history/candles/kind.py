"""Candlesticks as a kind of history: how the backfill and the upkeep read a day, and what a day costs."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

from kalshi_pipelines.history.candles.day import CandleDayReader
from kalshi_pipelines.history.candles.markets import CandleMarkets, TradesMissing
from kalshi_pipelines.history.candles.periods import LENGTHS, requests_of_day
from kalshi_pipelines.history.inputs import DayRead, HistoryInputs
from kalshi_pipelines.history.partitions import partitions_of
from kalshi_pipelines.history.trade_estimates import DayEstimate, estimate_trades
from kalshi_pipelines.kalshi.history import OVERLAP_US
from kalshi_pipelines.lake.datasets import CANDLESTICKS_1M, PUBLIC_TRADES
from kalshi_pipelines.units import microseconds

#: Trades of a market on a day of the exchange in 2026: 12 million trades in about 40,000 markets.
_TRADES_OF_A_MARKET: Final = 300
#: Rows of all three lengths, for each market of a day.
_ROWS_OF_A_MARKET: Final = 70


def read_candles(inputs: HistoryInputs, day: dt.date) -> list[DayRead]:
    """Read all lengths of candlesticks of a day.

    The minutes come last and are closed last, because their record tells the backfill whether the day is complete.

    Raises:
        TradesMissing: No public trades of the day are in the lake, so no market is known to have been traded.
        KalshiError: The exchange is down or refuses every request.
        LakeFileChanged: A file of the lake is not the file that the manifest describes.
        LakeUnavailable: The lake cannot be read or written.
    """
    markets = CandleMarkets(inputs.lake, inputs.engine, inputs.includes_combos, inputs.includes_untraded)
    reader = CandleDayReader(inputs, markets)
    found: list[DayRead] = []
    for length in reversed(LENGTHS):
        found.append(reader.read(length, day, may_close=all(each.is_closed for each in found)))
        inputs.meter.set_fraction(("candlesticks", day), len(found) / len(LENGTHS))
    return found


def take_new_candles(inputs: HistoryInputs, day: dt.date) -> list[DayRead]:
    """Read an open day again. A day whose public trades are not read yet waits for the next upkeep."""
    try:
        return read_candles(inputs, day)
    except TradesMissing as error:
        inputs.report(f"candlesticks {day} wait: {error.problem}")
        return []


def estimate_candles(inputs: HistoryInputs, days: Sequence[dt.date]) -> dict[dt.date, DayEstimate]:
    """Return the expected numbers of rows and requests of each day, from its number of trades or an estimate of it."""
    if not days:
        return {}
    cutoff_us = microseconds(inputs.client.historical_cutoff().market_settled_ts)
    trades = {each.day: each.rows for each in partitions_of(inputs.engine, PUBLIC_TRADES.name) if each.read_us}
    unread = estimate_trades(inputs, [day for day in days if day not in trades])
    trades |= {day: size.rows for day, size in unread.items()}
    return {day: _estimate(day, trades[day], cutoff_us) for day in days}


def _estimate(day: dt.date, trades: int, cutoff_us: int) -> DayEstimate:
    markets = -(-trades // _TRADES_OF_A_MARKET)
    is_archived = CANDLESTICKS_1M.bounds_of(day)[1] < cutoff_us - OVERLAP_US
    requests = sum(requests_of_day(length, day, markets, markets if is_archived else 0) for length in LENGTHS)
    return DayEstimate(markets * _ROWS_OF_A_MARKET, requests)
