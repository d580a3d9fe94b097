"""Periods of candlesticks. A period includes its end and not its beginning.

Minutes and hours are those of UTC. Days begin and end at midnight in New York, so a day has 23, 24 or 25 hours. Source:
655 daily candlesticks of the real exchange, of which 553 end at 04:00 UTC and 102 at 05:00 UTC.
"""

import datetime as dt
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from kalshi_pipelines import units
from kalshi_pipelines.units import EXCHANGE_TIME_ZONE, SECOND_US

DAY_MINUTES: Final = 1_440
_ONE_DAY: Final = dt.timedelta(days=1)


class Period(NamedTuple):
    """A period from ``begin_s`` (excluded) to ``end_s`` (included), in Unix seconds."""

    begin_s: int
    end_s: int


def period_of(instant_us: int, minutes: int) -> Period:
    """Return the period of a length in minutes that contains an instant."""
    if minutes == DAY_MINUTES:
        day = units.instant(instant_us - 1).astimezone(EXCHANGE_TIME_ZONE).date()
        return Period(_midnight_s(day), _midnight_s(day + _ONE_DAY))
    length_s = minutes * 60
    end_s = -(-instant_us // (length_s * SECOND_US)) * length_s
    return Period(end_s - length_s, end_s)


def periods_from(first: Period, last_end_s: int, minutes: int) -> Iterator[Period]:
    """Return a period and all periods after it that end until an instant in Unix seconds."""
    period = first
    while period.end_s <= last_end_s:
        yield period
        period = period_of(period.end_s * SECOND_US + 1, minutes)


@lru_cache(maxsize=4_096)
def _midnight_s(day: dt.date) -> int:
    return int(dt.datetime.combine(day, dt.time(), EXCHANGE_TIME_ZONE).timestamp())
