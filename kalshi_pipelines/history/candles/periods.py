"""The lengths of candlesticks, the span of a day to ask for, and how many markets one request can ask for."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.kalshi.candlesticks import (
    MOST_BATCHED_CANDLESTICKS,
    MOST_BATCHED_TICKERS,
    PeriodMinutes,
    periods_between,
)
from kalshi_pipelines.lake.datasets import CANDLESTICKS_1D, CANDLESTICKS_1H, CANDLESTICKS_1M, Dataset
from kalshi_pipelines.units import MINUTE_US, SECOND_US


@dataclass(frozen=True)
class CandleLength:
    """Candlesticks of one length: their dataset, and the length of a period in minutes."""

    dataset: Dataset
    minutes: PeriodMinutes

    @property
    def period_us(self) -> int:
        """The length of a period in microseconds."""
        return self.minutes * MINUTE_US


@dataclass(frozen=True)
class CandleSpan:
    """The candlesticks of one length that end between two Unix seconds, both included."""

    length: CandleLength
    start_s: int
    end_s: int

    @property
    def asked(self) -> tuple[int, int]:
        """The first and the last Unix second to ask for: one period more before the span, and one second more after it.

        The document does not say whether both ends of the requested span are included.
        """
        return self.start_s - self.length.minutes * 60, self.end_s + 1

    @property
    def tickers_at_once(self) -> int:
        """The number of markets that one request can ask for."""
        periods = periods_between(*self.asked, self.length.minutes)
        return min(MOST_BATCHED_TICKERS, MOST_BATCHED_CANDLESTICKS // periods)

    def has(self, end_us: int) -> bool:
        """Return whether a period with this end is in the span."""
        return self.start_s * SECOND_US <= end_us <= self.end_s * SECOND_US


#: Candlesticks of one minute, one hour and one day.
LENGTHS: Final[Sequence[CandleLength]] = (
    CandleLength(CANDLESTICKS_1M, 1),
    CandleLength(CANDLESTICKS_1H, 60),
    CandleLength(CANDLESTICKS_1D, 1440),
)
#: The same lengths by the name of their dataset.
LENGTH_OF_DATASET: Final = {length.dataset.name: length for length in LENGTHS}


def span_of(length: CandleLength, day: dt.date) -> CandleSpan:
    """Return the span of a New York day: after its first midnight, up to and including its second midnight."""
    first_us, after_us = length.dataset.bounds_of(day)
    return CandleSpan(length, -(-first_us // SECOND_US), (after_us - 1) // SECOND_US)


def requests_of_day(length: CandleLength, day: dt.date, markets: int, historical: int = 0) -> int:
    """Return the number of requests for a day of some markets, of which ``historical`` are archived.

    The live side answers for many markets at once, and the historical side for one.
    """
    at_once = span_of(length, day).tickers_at_once
    return -(-(markets - historical) // at_once) + historical
