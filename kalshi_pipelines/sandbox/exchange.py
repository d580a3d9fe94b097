"""All state of one sandbox exchange: its catalogue, API keys, rate limits, faults, and the record of requests.

Belongs here: the object that holds this state. Does not belong here: HTTP, and the responses of endpoints.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kalshi_pipelines.sandbox.access.rate_limits import RateLimits
from kalshi_pipelines.sandbox.access.signatures import KeyRing
from kalshi_pipelines.sandbox.clock import ExchangeClock, midnight_us, rfc3339
from kalshi_pipelines.sandbox.faults.drift import DriftPlan
from kalshi_pipelines.sandbox.faults.plan import FaultPlan
from kalshi_pipelines.sandbox.faults.wire import UNANSWERED
from kalshi_pipelines.sandbox.markets.generation import HISTORY_DAYS, OVERLAP_US
from kalshi_pipelines.sandbox.markets.listing import Catalogue
from kalshi_pipelines.sandbox.markets.recordings import Replay
from kalshi_pipelines.sandbox.markets.venue import Venue
from kalshi_pipelines.sandbox.news.provider import GeneratedNewsProvider
from kalshi_pipelines.sandbox.state_file import StateFile
from kalshi_pipelines.sandbox.trading.log import TruthLog
from kalshi_pipelines.units import DAY_US

ORDERS_KEPT_DAYS: Final = 14
"""Days for which closed orders stay in the live endpoints before they move to the historical endpoints.

Source: the vendor's page on history.
"""


@dataclass
class EndpointRecord:
    """Record of the requests to one endpoint: their number, statuses, charged tokens, and first and last time.

    ``statuses`` counts the requests by HTTP status. ``late`` counts the delayed requests by the HTTP status of their
    response, which no client received. Times are in microseconds since 1970.
    """

    count: int = 0
    tokens: int = 0
    first_us: int = 0
    last_us: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    late: Counter[int] = field(default_factory=Counter)

    def wire(self) -> dict[str, object]:
        """Return the record of requests as the admin route shows it."""
        return {
            "count": self.count,
            "rate_limited": self.statuses[429],
            "tokens_charged": self.tokens,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items()) if status},
            "unanswered": self.statuses[UNANSWERED],
            "applied_late": {str(status): count for status, count in sorted(self.late.items())},
            "first_time": rfc3339(self.first_us),
            "last_time": rfc3339(self.last_us),
        }


class RequestJournal:
    """Record of the requests to the exchange, by endpoint."""

    def __init__(self) -> None:
        self._records: dict[str, EndpointRecord] = {}

    def record_arrival(self, endpoint: str, now_us: int) -> EndpointRecord:
        """Count a request and return the endpoint's record.

        The caller adds the status and the charged tokens to the record.
        """
        record = self._records.setdefault(endpoint, EndpointRecord(first_us=now_us))
        record.count += 1
        record.last_us = now_us
        return record

    def clear(self) -> None:
        """Remove all records of requests."""
        self._records.clear()

    def wire(self) -> Mapping[str, object]:
        """Return all records of requests as the admin route shows them."""
        return {endpoint: record.wire() for endpoint, record in sorted(self._records.items())}


@dataclass
class Exchange:
    """One sandbox exchange.

    Attributes:
        venue: The catalogue, the clock and the matching engine, working together.
        log: The truth log: every event of the trading side.
        start_amount: Micro-dollars that a new member gets on each shard.
        replay: Recorded responses, or None without recordings.
        news: The generated news about the exchange's markets.
        state_file: The file that keeps the log, or None if the log is not kept.
    """

    catalogue: Catalogue
    clock: ExchangeClock
    keys: KeyRing
    limits: RateLimits
    venue: Venue
    log: TruthLog
    news: GeneratedNewsProvider
    start_amount: int = 0
    replay: Replay | None = None
    state_file: StateFile | None = None
    faults: FaultPlan = field(default_factory=FaultPlan)
    drift: DriftPlan = field(default_factory=DriftPlan)
    journal: RequestJournal = field(default_factory=RequestJournal)

    @property
    def cutoff_us(self) -> int:
        """Historical cutoff for markets and trades, in microseconds since 1970.

        The historical endpoints show markets that settled before this instant and trades that were made before it.
        """
        return midnight_us(self.clock.now_us()) - HISTORY_DAYS * DAY_US

    @property
    def live_since_us(self) -> int:
        """Instant of the oldest trades that the live endpoints still show, in microseconds since 1970.

        It is before the historical cutoff, so trades between the two are shown by both sides.
        """
        return self.cutoff_us - OVERLAP_US

    @property
    def orders_cutoff_us(self) -> int:
        """Historical cutoff for orders, in microseconds since 1970.

        The historical endpoints show orders that were closed before this instant.
        """
        return midnight_us(self.clock.now_us()) - ORDERS_KEPT_DAYS * DAY_US

    def close(self) -> None:
        """Write the unwritten events of the truth log and close the state file."""
        try:
            self.log.flush()
        finally:
            if self.state_file is not None:
                self.state_file.close()
