"""Parameters of a generated catalogue: its size, its dates, and the border between live data and history.

Does not belong here: creating rows from these parameters (``catalogue``).
"""

from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.units import DAY_US, HOUR_US

HISTORY_DAYS: Final = 60
"""Days for which settled markets and trades stay in the live endpoints."""
#: The live lists still show markets and trades that are older than the historical cutoff by at most this time. On
#: 2026-09-26, the exchange showed a market that had settled 15 minutes before the cutoff on both sides.
OVERLAP_US: Final = 6 * HOUR_US
ARCHIVED_MARKETS: Final = 24
"""Markets of a catalogue that settled before the historical cutoff, unless the options say otherwise."""


@dataclass(frozen=True)
class Generation:
    """Parameters of a generated catalogue. ``anchor_us`` is the midnight that its dates are counted from."""

    markets: int
    seed: int
    combos: int
    anchor_us: int
    archived: int = ARCHIVED_MARKETS

    @property
    def cutoff_us(self) -> int:
        """The historical cutoff (microseconds since 1970).

        The live endpoints omit markets that settled before this instant and trades that were made before it.
        """
        return self.anchor_us - HISTORY_DAYS * DAY_US


@dataclass(frozen=True, slots=True)
class MarketDates:
    """Status and dates of the markets of one event, in microseconds since 1970.

    ``event_day_us`` is the midnight that the event's ticker names. Without ``open_us``, the markets open when they are
    created or, if their status is initialized, one day before they close.
    """

    status: str
    event_day_us: int
    created_us: int
    close_us: int
    open_us: int | None = None
