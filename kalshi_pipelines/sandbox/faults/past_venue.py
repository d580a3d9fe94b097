"""The venue as it was: what a read gets from a replica that has fallen behind.

Belongs here: looking back. What is read is still decided by the endpoints, and what is written still happens now.
"""

from kalshi_pipelines.sandbox.markets.venue import Venue
from kalshi_pipelines.sandbox.trading.state import TradingState


class PastVenue(Venue):
    """A venue whose portfolio reads are answered as of an earlier instant (microseconds since 1970)."""

    def __init__(self, venue: Venue, as_of_us: int) -> None:
        # Everything but the reads is that of the real venue.
        self.__dict__.update(venue.__dict__)
        self._at_us = as_of_us

    def as_read(self) -> TradingState:
        """The state as it was then."""
        return self.state_at(self._at_us)

    def as_of_us(self) -> int:
        """That instant."""
        return self._at_us
