"""Partitions of archived markets as numbers: the warehouse stores the day of a partition in a few bytes."""

import datetime as dt
from typing import Final

_EPOCH: Final = dt.date(1970, 1, 1)


def day_number(day: dt.date) -> int:
    """Return a date as the number of days since 1970."""
    return (day - _EPOCH).days


def day_of_number(number: int) -> dt.date:
    """Return the date that is a number of days after 1970-01-01."""
    return _EPOCH + dt.timedelta(days=number)
