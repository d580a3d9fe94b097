"""The words of the exchange about the trades of a tape by other ways: candlesticks, and volumes of settled markets.

Both are computed from the tape itself, with pandas and without code of the product.
"""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from kalshi_pipelines.lake.datasets import CANDLESTICKS_1M, SETTLED_MARKETS
from kalshi_pipelines_tests.tools.history_trial.tape import DAY_US, LIFE_DAYS, Tape

_MINUTE_US: Final = 60_000_000
_UTC: Final = dt.UTC


def frame_of(tape: Tape) -> pd.DataFrame:
    """Return all trades of a tape as a frame, in the order of the feed."""
    days = [tape.day(number) for number in range(tape.options.days)]
    return pd.DataFrame(
        {
            "ticker": [ticker for day in days for ticker in day.tickers],
            "time": np.concatenate([day.times for day in days]),
            "price": [price for day in days for price in day.prices],
            "count": [count for day in days for count in day.counts],
        }
    )


def candles(trades: pd.DataFrame) -> dict[dt.date, pa.RecordBatch]:
    """Return the candlesticks of one minute, by the day in New York on which they end. A period includes its end."""
    ends = -(-trades["time"] // _MINUTE_US) * _MINUTE_US
    grouped = trades.assign(end=ends).groupby(["ticker", "end"], sort=True)
    found = grouped.agg(
        open=("price", "first"),
        high=("price", "max"),
        low=("price", "min"),
        close=("price", "last"),
        volume=("count", "sum"),
    ).reset_index()
    inside = pd.to_datetime(found["end"] - 1, unit="us", utc=True).dt.tz_convert("America/New_York").dt.date
    return {day: _candle_batch(part) for day, part in found.groupby(inside)}


def _candle_batch(rows: pd.DataFrame) -> pa.RecordBatch:
    schema = CANDLESTICKS_1M.schema
    known: dict[str, list[Any]] = {"ticker": rows["ticker"].tolist(), "end_time": rows["end"].tolist()}
    for name in ("open", "high", "low", "close"):
        known[f"{name}_price"] = [Decimal(value).scaleb(-6) for value in rows[name].tolist()]
    known["volume"] = [Decimal(value).scaleb(-2) for value in rows["volume"].tolist()]
    known["open_interest"] = [Decimal(0)] * len(rows)
    arrays = [pa.array(known.get(field.name, [None] * len(rows)), field.type) for field in schema]
    return pa.record_batch(arrays, schema=schema).sort_by([(name, "ascending") for name in CANDLESTICKS_1M.key])


def settled_markets(tape: Tape, trades: pd.DataFrame) -> dict[dt.date, pa.RecordBatch]:
    """Return the records of the markets that settled while the tape was running, by the day of their settlement."""
    volumes = trades.groupby("ticker")["count"].sum()
    by_day: dict[dt.date, list[dict[str, Any]]] = {}
    for ticker, settled_us, opened_us in _lives(tape):
        settled = dt.datetime.fromtimestamp(settled_us / 1e6, _UTC)
        row = {
            "ticker": ticker,
            "settled_time": settled,
            "recorded_time": settled + dt.timedelta(hours=1),
            "settlement_result": "yes",
            "market_type": "binary",
            "status": "finalized",
            "result": "yes",
            "open_time": dt.datetime.fromtimestamp(opened_us / 1e6, _UTC),
            "created_time": dt.datetime.fromtimestamp(opened_us / 1e6, _UTC),
            "close_time": dt.datetime.fromtimestamp(settled_us / 1e6 - 60, _UTC),
            "volume": Decimal(int(volumes.get(ticker, 0))).scaleb(-2),
        }
        by_day.setdefault(SETTLED_MARKETS.day_of(settled_us), []).append(row)
    return {
        day: pa.RecordBatch.from_pylist(sorted(rows, key=lambda row: str(row["ticker"])), SETTLED_MARKETS.schema)
        for day, rows in by_day.items()
    }


def _lives(tape: Tape) -> Iterator[tuple[str, int, int]]:
    """Yield the markets that settled, each with the times of its settlement and of its opening."""
    for born in range(1 - LIFE_DAYS, tape.options.days - LIFE_DAYS):
        opened_us = tape.first_us + born * DAY_US
        for ticker in tape.markets_born(born):
            yield ticker, opened_us + LIFE_DAYS * DAY_US + 3_600_000_000, opened_us
