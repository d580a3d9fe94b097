"""Readers for researchers: trades, candles, quotes, books, settlements, markets, events and news as Arrow tables.

::

    from kalshi_pipelines.data import frame, open_data

    with open_data("data/prod") as data:
        quotes = frame(data.quotes())
        for batch in data.trades(start=dt.date(2026, 11, 1), tickers=["KXHIGHNY-26NOV22-B60"]):
            ...

A question does not have to know where a row lives. Each method reads the warehouse and the lake, and returns each row
once, even while rows move from one to the other. Nothing is ever written. Money and counts are exact decimals, times
are UTC. The methods and their columns stay the same between versions unless the changelog says otherwise.
"""

from kalshi_pipelines.data.as_of import join_as_of
from kalshi_pipelines.data.frames import PandasMissing, frame
from kalshi_pipelines.data.opening import NoData, open_data
from kalshi_pipelines.data.reader import Data
from kalshi_pipelines.data.times import Time

__all__ = ["Data", "NoData", "PandasMissing", "Time", "frame", "join_as_of", "open_data"]
