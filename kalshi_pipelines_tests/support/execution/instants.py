"""The fixed instant of gate and session tests, and spans of time to add to it."""

import datetime as dt
from typing import Final

from kalshi_pipelines.units import microseconds

NOW: Final = dt.datetime(2026, 11, 23, 17, 0, tzinfo=dt.UTC)
NOW_US: Final = microseconds(NOW)
MINUTE: Final = dt.timedelta(minutes=1)
SECOND: Final = dt.timedelta(seconds=1)
INSTANT: Final = dt.timedelta(microseconds=1)
