"""Candlesticks of one market as rows of the datasets of candlesticks. No value is rounded.

A bid of 0 and an ask of 1 mean that no quote existed. They are kept as the exchange sends them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

import pyarrow as pa

from kalshi_pipelines.history.candles.periods import CandleSpan
from kalshi_pipelines.kalshi.candlestick_records import AnyCandlestick
from kalshi_pipelines.lake.datasets import CANDLESTICKS_1M, CONTRACTS, DOLLARS, INSTANT, exact_decimals
from kalshi_pipelines.units import SECOND_US, InexactValue, centicontracts, microdollars

#: The schema of every length of candlesticks.
SCHEMA: Final = CANDLESTICKS_1M.schema
_ONE_DOLLAR: Final = 1_000_000
_MOST_COUNT: Final = 10**16
_MOST_REMEMBERED: Final = 1 << 16
_QUOTES: Final = [f"{side}.{name}" for side in ("yes_bid", "yes_ask") for name in ("open", "high", "low", "close")]
_TRADES: Final = [f"price.{name}" for name in ("open", "high", "low", "close", "mean", "previous")]
_PRICES: Final = attrgetter(*_TRADES, *_QUOTES)
_COUNTS: Final = attrgetter("volume", "open_interest")


class RefusedCandle(ValueError):
    """A candlestick that cannot be stored. The message says why."""


class _Remembered(dict[str | None, int | None]):
    """Numbers by their text: prices repeat, and a missing price stays missing."""

    def __init__(self, read: Callable[[str], int], most: int) -> None:
        super().__init__({None: None})
        self._read, self._most = read, most

    def __missing__(self, text: str) -> int:
        number = self._read(text)
        if not 0 <= number <= self._most:
            raise RefusedCandle(f"{text} is out of range")
        if len(self) < _MOST_REMEMBERED:
            self[text] = number
        return number


_price: Final = _Remembered(microdollars, _ONE_DOLLAR)
_count: Final = _Remembered(centicontracts, _MOST_COUNT)


@dataclass(frozen=True)
class CandleRows:
    """The candlesticks of one market that are in a span.

    Attributes:
        batch: The rows, by the end of their period.
        refused: Why candlesticks cannot be stored, one sentence each.
    """

    batch: pa.RecordBatch
    refused: tuple[str, ...] = ()


def candle_rows(ticker: str, candles: Sequence[AnyCandlestick], span: CandleSpan) -> CandleRows:
    """Return the candlesticks of a market whose period ends in the span, each once.

    Two candlesticks with the same end that differ are both refused, because nobody knows which one is right.
    """
    by_end: dict[int, list[AnyCandlestick]] = {}
    for candle in candles:
        if span.has(candle.end_period_ts * SECOND_US):
            same = by_end.setdefault(candle.end_period_ts, [])
            if candle not in same:
                same.append(candle)
    single = [same[0] for _, same in sorted(by_end.items()) if len(same) == 1]
    refused = [f"{len(same)} candlesticks end at {end_s} and differ" for end_s, same in by_end.items() if len(same) > 1]
    try:
        return CandleRows(_batch(ticker, single), tuple(refused))
    except (InexactValue, RefusedCandle):
        pass
    good: list[AnyCandlestick] = []
    for candle in single:
        try:
            _batch(ticker, [candle])
        except (InexactValue, RefusedCandle) as error:
            refused.append(f"the candlestick that ends at {candle.end_period_ts}: {error}")
        else:
            good.append(candle)
    return CandleRows(_batch(ticker, good), tuple(refused))


def _batch(ticker: str, candles: Sequence[AnyCandlestick]) -> pa.RecordBatch:
    ends = pa.array([candle.end_period_ts * SECOND_US for candle in candles], pa.int64()).cast(INSTANT)
    prices = [_decimals(each, _price, DOLLARS) for each in _transposed(candles, _PRICES, len(_TRADES) + len(_QUOTES))]
    counts = [_decimals(each, _count, CONTRACTS) for each in _transposed(candles, _COUNTS, 2)]
    return pa.record_batch([pa.array([ticker] * len(candles), pa.string()), ends, *prices, *counts], schema=SCHEMA)


def _transposed(
    candles: Sequence[AnyCandlestick], values: Callable[[AnyCandlestick], Sequence[str | None]], width: int
) -> list[tuple[str | None, ...]]:
    return list(zip(*map(values, candles), strict=True)) or [()] * width


def _decimals(texts: Sequence[str | None], remembered: _Remembered, kind: pa.DataType) -> pa.Array:
    return exact_decimals(pa.array([remembered[text] for text in texts], pa.int64()), kind)
