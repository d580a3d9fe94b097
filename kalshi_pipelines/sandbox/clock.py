"""What time the sandbox exchange says it is.

Belongs here: the exchange's wall clock, and the clocks tests drive by hand. The passing of time that token buckets
count is monotonic and lives with them.
"""

from collections.abc import Callable
from functools import lru_cache

from kalshi_pipelines import units
from kalshi_pipelines.units import DAY_US, MINUTE_US, SECOND_US


class ExchangeClock:
    """The exchange's wall clock: a source of microseconds since 1970 UTC, plus an offset that can be changed."""

    def __init__(self, source: Callable[[], int] = units.now_us) -> None:
        self._source = source
        self._offset_us = 0

    @property
    def offset_us(self) -> int:
        """Microseconds it adds to its source."""
        return self._offset_us

    def now_us(self) -> int:
        """Microseconds since 1970 UTC by the exchange's clock."""
        return self._source() + self._offset_us

    def advance(self, microseconds: int) -> None:
        """Move the clock by a number of microseconds, negative for backwards."""
        self._offset_us += microseconds

    def set(self, microseconds: int) -> None:
        """Set the clock to an instant in microseconds since 1970 UTC; it runs on from there."""
        self._offset_us = microseconds - self._source()


class ManualClock:
    """A source of microseconds for tests that moves only when told to."""

    def __init__(self, microseconds: int) -> None:
        self.microseconds = microseconds

    def __call__(self) -> int:
        """The microseconds since 1970 UTC it was last set to."""
        return self.microseconds


def midnight_us(microseconds: int) -> int:
    """The last UTC midnight at or before an instant, in microseconds since 1970."""
    return microseconds - microseconds % DAY_US


@lru_cache(maxsize=4_096)
def _minute_text(minute: int) -> str:
    return units.instant(minute * MINUTE_US).strftime("%Y-%m-%dT%H:%M:")


def rfc3339(microseconds: int) -> str:
    """An instant as the exchange writes it: UTC, ``Z``, up to six fractional digits without trailing zeros."""
    minute, rest = divmod(microseconds, MINUTE_US)
    second, fraction = divmod(rest, SECOND_US)
    text = f"{_minute_text(minute)}{second:02d}"
    return f"{text}.{fraction:06d}".rstrip("0") + "Z" if fraction else text + "Z"


class PriceTime:
    """The time that prices follow: the exchange's clock, or one instant for ever if the tick is 0 seconds long."""

    def __init__(self, clock: ExchangeClock, tick_seconds: int, frozen_us: int) -> None:
        self.clock_us = clock.now_us
        self.is_frozen = tick_seconds == 0
        self.now_us = clock.now_us if tick_seconds else lambda: frozen_us
        self.tick_us = (tick_seconds or 60) * SECOND_US
        self._frozen_us = frozen_us

    def of(self, instant_us: int) -> int:
        """The time prices had, or will have, at an instant of the exchange's clock."""
        return self._frozen_us if self.is_frozen else instant_us
