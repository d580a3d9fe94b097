"""The exchange behind the endpoints: its rows, callers, limits, faults and the record of what it was asked.

Belongs here: the objects one running sandbox consists of. Does not belong here: HTTP, and what each endpoint answers.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from kalshi_pipelines.sandbox.clock import ExchangeClock, rfc3339
from kalshi_pipelines.sandbox.faults import FaultPlan
from kalshi_pipelines.sandbox.listing import Catalogue
from kalshi_pipelines.sandbox.rate_limits import RateLimits
from kalshi_pipelines.sandbox.recordings import Replay
from kalshi_pipelines.sandbox.signatures import KeyRing
from kalshi_pipelines.sandbox.trading.log import TruthLog

if TYPE_CHECKING:
    from kalshi_pipelines.sandbox.venue import Venue


@dataclass
class EndpointRecord:
    """What one endpoint was asked: requests, their statuses, tokens charged, and when (microseconds since 1970)."""

    count: int = 0
    tokens: int = 0
    first_us: int = 0
    last_us: int = 0
    statuses: Counter[int] = field(default_factory=Counter)

    def wire(self) -> dict[str, object]:
        """As the admin route shows it."""
        return {
            "count": self.count,
            "rate_limited": self.statuses[429],
            "tokens_charged": self.tokens,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "first_time": rfc3339(self.first_us),
            "last_time": rfc3339(self.last_us),
        }


class RequestJournal:
    """What the exchange was asked, by endpoint."""

    def __init__(self) -> None:
        self._records: dict[str, EndpointRecord] = {}

    def arrived(self, endpoint: str, now_us: int) -> EndpointRecord:
        """Count a request; the record to add its status and cost to."""
        record = self._records.setdefault(endpoint, EndpointRecord(first_us=now_us))
        record.count += 1
        record.last_us = now_us
        return record

    def clear(self) -> None:
        """Forget everything."""
        self._records.clear()

    def wire(self) -> Mapping[str, object]:
        """As the admin route shows it."""
        return {endpoint: record.wire() for endpoint, record in sorted(self._records.items())}


@dataclass
class Exchange:
    """One sandbox exchange. ``replay`` holds recorded responses, if it was started from recordings.

    ``venue`` is where orders are traded, ``log`` what really happened there.
    """

    catalogue: Catalogue
    clock: ExchangeClock
    cutoff_us: int
    keys: KeyRing
    limits: RateLimits
    venue: "Venue" = cast("Venue", None)
    log: TruthLog = field(default_factory=TruthLog)
    replay: Replay | None = None
    faults: FaultPlan = field(default_factory=FaultPlan)
    journal: RequestJournal = field(default_factory=RequestJournal)
