"""Time of the sandbox exchange.

Belongs here: the exchange's wall clock, and a time source that tests set by hand. Does not belong here: the monotonic
time of token buckets (``access.rate_limits``).
"""

from collections.abc import Callable
from functools import lru_cache

from kalshi_pipelines import units
from kalshi_pipelines.units import DAY_US, MINUTE_US, SECOND_US


class ExchangeClock:
    """The exchange's wall clock: a source of microseconds since 1970 UTC, plus an adjustable offset."""

    def __init__(self, source: Callable[[], int] = units.now_us) -> None:
        self._source = source
        self._offset_us = 0

    @property
    def offset_us(self) -> int:
        """Offset of the exchange's clock from its time source, in microseconds."""
        return self._offset_us

    def now_us(self) -> int:
        """Return the exchange's time in microseconds since 1970 UTC."""
        return self._source() + self._offset_us

    def advance(self, microseconds: int) -> None:
        """Move the clock forward by a number of microseconds, or backward if the number is negative."""
        self._offset_us += microseconds

    def set(self, microseconds: int) -> None:
        """Set the clock to an instant in microseconds since 1970 UTC. The clock runs on from there."""
        self._offset_us = microseconds - self._source()


class ManualClock:
    """A time source that moves only when a test sets it."""

    def __init__(self, microseconds: int) -> None:
        self.microseconds = microseconds

    def __call__(self) -> int:
        """Return the time that the test last set, in microseconds since 1970 UTC."""
        return self.microseconds


def midnight_us(microseconds: int) -> int:
    """Return the last UTC midnight at or before an instant, in microseconds since 1970 UTC."""
    return microseconds - microseconds % DAY_US


@lru_cache(maxsize=4_096)
def _minute_text(minute: int) -> str:
    return units.instant(minute * MINUTE_US).strftime("%Y-%m-%dT%H:%M:")


def rfc3339(microseconds: int) -> str:
    """Format an instant as the exchange does: UTC, ``Z``, and up to six fractional digits without trailing zeros."""
    minute, rest = divmod(microseconds, MINUTE_US)
    second, fraction = divmod(rest, SECOND_US)
    text = f"{_minute_text(minute)}{second:02d}"
    return f"{text}.{fraction:06d}".rstrip("0") + "Z" if fraction else text + "Z"


class PriceTime:
    """Time that generated prices depend on.

    Normally this is the time of the exchange's clock. If ``tick_seconds`` is 0, prices are frozen, and this time is
    always the instant ``frozen_us``.
    """

    def __init__(self, clock: ExchangeClock, tick_seconds: int, frozen_us: int) -> None:
        self.clock_us = clock.now_us
        self.is_frozen = tick_seconds == 0
        self.now_us = clock.now_us if tick_seconds else lambda: frozen_us
        self.tick_us = (tick_seconds or 60) * SECOND_US
        self._frozen_us = frozen_us

    def of(self, instant_us: int) -> int:
        """Convert an instant of the exchange's clock to the time that prices depend on."""
        return self._frozen_us if self.is_frozen else instant_us
