"""The few fields of a market that tell in which list the market must be.

Belongs here: status groups, and whether a market changed while a list was read. Does not belong here: which lists a
sweep reads (``markets``), and what an omission means (``completeness``).
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from kalshi_pipelines.units import MINUTE_US, microseconds

#: The market statuses that each value of the exchange's status filter selects.
STATUSES_OF_GROUP: Final = {
    "unopened": ("initialized",),
    "open": ("active",),
    "paused": ("inactive",),
    "closed": ("closed", "determined", "disputed", "amended"),
    "settled": ("finalized",),
}
GROUP_OF_STATUS: Final = {status: group for group, statuses in STATUSES_OF_GROUP.items() for status in statuses}
#: Statuses of markets that the exchange has not settled yet.
LIVE_STATUSES: Final = tuple(status for status, group in GROUP_OF_STATUS.items() if group != "settled")

#: A list may be up to 15 seconds old, because the exchange caches its answers (September 2026). The exchange's clock is
#: known to the second.
TOLERANCE_US: Final = MINUTE_US


class MarketState(msgspec.Struct, frozen=True, gc=False):
    """The status of a market, and the times at which it can have changed."""

    ticker: str
    status: str
    event_ticker: str = ""
    created_time: dt.datetime | None = None
    updated_time: dt.datetime | None = None
    open_time: dt.datetime | None = None
    close_time: dt.datetime | None = None
    settlement_ts: dt.datetime | None = None
    mve_collection_ticker: str | None = None

    @property
    def group(self) -> str | None:
        """The status group of the market; None for a status that this version does not know."""
        return GROUP_OF_STATUS.get(self.status)

    @property
    def is_combo(self) -> bool:
        """Whether the market is a multivariate combo."""
        return self.mve_collection_ticker is not None

    @property
    def settled_us(self) -> int | None:
        """When the market was settled, in microseconds since 1970 UTC; None if it is not settled."""
        return None if self.settlement_ts is None else microseconds(self.settlement_ts)

    def has_changed_between(self, start_us: int, end_us: int) -> bool:
        """Return whether the market can have changed its list between two instants of the exchange's clock."""
        times = (self.created_time, self.updated_time, self.open_time, self.close_time, self.settlement_ts)
        known = [microseconds(each) for each in times if each is not None and each.tzinfo is not None]
        return any(start_us - TOLERANCE_US <= each <= end_us + TOLERANCE_US for each in known)


_DECODER: Final = msgspec.json.Decoder(MarketState)
_EVENT_MARKETS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])


def market_states(raws: Iterable[msgspec.Raw]) -> Iterator[MarketState]:
    """Yield the states of raw markets. A record that cannot be read is left out: its own check reports it."""
    for raw in raws:
        try:
            yield _DECODER.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue


def without_markets(raw: msgspec.Raw) -> tuple[msgspec.Raw, list[MarketState]]:
    """Return a raw event without its nested markets, and the states of these markets."""
    try:
        fields = _EVENT_MARKETS.decode(raw)
        nested = fields.pop("markets", None)
        states = list(market_states(_LIST.decode(nested))) if nested else []
    except (msgspec.DecodeError, UnicodeDecodeError):
        return raw, []
    return msgspec.Raw(msgspec.json.encode(fields)), states
