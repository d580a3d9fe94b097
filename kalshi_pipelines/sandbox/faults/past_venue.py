"""The venue at an earlier instant, as a read from a delayed replica sees it.

Belongs here: reading the past state. Does not belong here: the responses, which the endpoints build. Writes still
happen now.
"""

from kalshi_pipelines.sandbox.markets.venue import Venue
from kalshi_pipelines.sandbox.trading.state import TradingState


class PastVenue(Venue):
    """A venue whose portfolio reads show the state at an earlier instant (microseconds since 1970)."""

    def __init__(self, venue: Venue, as_of_us: int) -> None:
        # Everything except the portfolio reads is shared with the real venue.
        self.__dict__.update(venue.__dict__)
        self._at_us = as_of_us

    def as_read(self) -> TradingState:
        """Return the state at the earlier instant."""
        return self.state_at(self._at_us)

    def as_of_us(self) -> int:
        """Return the earlier instant."""
        return self._at_us
