"""Times that a reader may be asked for: instants with a time zone, and trading days."""

import datetime as dt

from kalshi_pipelines.units import EXCHANGE_TIME_ZONE, microseconds

#: An instant with a time zone, or the beginning of a trading day in New York.
Time = dt.datetime | dt.date


def microseconds_of(time: Time | None) -> int | None:
    """Return a time in microseconds since 1970 UTC; None for no limit.

    Raises:
        ValueError: The time has no time zone.
    """
    if time is None:
        return None
    if not isinstance(time, dt.datetime):
        return microseconds(dt.datetime.combine(time, dt.time(), EXCHANGE_TIME_ZONE))
    if time.tzinfo is None:
        raise ValueError(f"{time} has no time zone: write dt.datetime(..., tzinfo=dt.UTC)")
    return microseconds(time)
