"""Which order groups a halt has to fence: as the journal knows, and without the journal all the exchange has."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.execution.journal.errors import (
    JournalOfAnotherEnvironment,
    JournalOutdated,
    JournalUnavailable,
)
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.orders.terms import OrderId
from kalshi_pipelines.kalshi.portfolio import PortfolioClient
from kalshi_pipelines.units import MICROSECONDS_PER_SECOND, now_us

#: No session lives longer; an order of an older one is long past every delay.
_SESSIONS_SINCE_US: Final = 2 * 24 * 3_600 * MICROSECONDS_PER_SECOND


@dataclass(frozen=True, slots=True)
class GroupsToFence:
    """The groups through which an order may still come in, each with its shard."""

    journal: Callable[[], Journal]
    portfolio: PortfolioClient
    environment: str
    subaccount: int
    clock_us: Callable[[], int] = now_us

    def __call__(self) -> list[tuple[OrderId, int]]:
        """The groups now.

        Raises:
            KalshiError: The journal could not be read, and the exchange not either.
        """
        try:
            with self.journal().reading() as reading:
                since_us = self.clock_us() - _SESSIONS_SINCE_US
                known = reading.unfenced_groups(self.environment, self.subaccount, since_us)
        except (JournalUnavailable, JournalOutdated, JournalOfAnotherEnvironment):
            listed = self.portfolio.order_groups(self.subaccount)
            return [(OrderId(group.id), group.exchange_index) for group in listed]
        return [(OrderId(group), shard) for group, shard in known]
