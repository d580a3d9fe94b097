"""Which order groups a halt has to fence: what the journal knows and what the exchange has, of either one alone all."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from kalshi_pipelines.execution.journal.errors import (
    JournalOfAnotherEnvironment,
    JournalOutdated,
    JournalUnavailable,
)
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.kill.bounded import BoundedWait
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.terms import OrderId
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.kalshi.portfolio import PortfolioClient
from kalshi_pipelines.units import DAY_US, now_us

#: No session lives longer; an order of an older one is long past every delay.
_SESSIONS_SINCE_US: Final = 2 * DAY_US
#: A halt does not wait longer for what the journal knows; the exchange's own list is enough to go on with.
_MOST_SECONDS: Final = 5.0

Group = tuple[str, int]
"""Id and shard."""


@dataclass(frozen=True, slots=True)
class GroupsToFence:
    """The groups through which an order may still come in, each with its shard."""

    journal: Callable[[], Journal]
    portfolio: PortfolioClient
    account: Account
    clock_us: Callable[[], int] = now_us
    from_journal: BoundedWait = field(default_factory=lambda: BoundedWait("the journal", _MOST_SECONDS))

    def __call__(self) -> Iterator[tuple[OrderId, int]]:
        """The groups now: those of the journal, and those of the exchange it does not know as fenced.

        Raises:
            KalshiError: The exchange's list could not be read, so that there may be others; after those of the journal.
            InvalidTerms: A group's id is none.
        """
        listed: list[Group] = []
        unread = None
        try:
            listed = [
                (group.id, group.exchange_index) for group in self.portfolio.order_groups(self.account.subaccount)
            ]
        except KalshiError as error:
            unread = error
        try:
            groups = self.from_journal(lambda: self._unfenced(listed))
        except (JournalUnavailable, JournalOutdated, JournalOfAnotherEnvironment, TimeoutError):
            groups = listed
        for group, shard in groups:
            yield OrderId(group), shard
        if unread is not None:
            raise unread

    def _unfenced(self, listed: list[Group]) -> list[Group]:
        with self.journal().reading() as reading:
            since_us = self.clock_us() - _SESSIONS_SINCE_US
            known = reading.evidence.unfenced_groups(self.account, since_us)
            others = [group for group in listed if group not in known and reading.evidence.fence_of(group[0]) is None]
        return [*known, *others]
