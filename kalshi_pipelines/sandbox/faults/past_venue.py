"""The venue at an earlier instant, as reads from a delayed replica show it.

Belongs here: reading the past state. Does not belong here: building responses, which the endpoints do, and writes,
which still change the present state.
"""

from kalshi_pipelines.sandbox.markets.venue import Venue
from kalshi_pipelines.sandbox.trading.state import TradingState


class PastVenue(Venue):
    """A venue whose portfolio reads show the state at an earlier instant (in microseconds since 1970)."""

    def __init__(self, venue: Venue, as_of_us: int) -> None:
        # Share every attribute with the given venue. Only portfolio reads differ.
        self.__dict__.update(venue.__dict__)
        self._at_us = as_of_us

    def as_read(self) -> TradingState:
        """Return the trading state at the venue's earlier instant."""
        return self.state_at(self._at_us)

    def as_of_us(self) -> int:
        """Return the venue's earlier instant, in microseconds since 1970."""
        return self._at_us
