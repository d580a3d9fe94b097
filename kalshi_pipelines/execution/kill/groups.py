"""The order groups that a halt must fence: those in the journal and those that the exchange lists.

If either source cannot be read, the halt still fences all groups of the other source.
"""

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

#: If a session expired longer ago than this time, the halt leaves out the session's order groups in the journal. A
#: delayed order of such a session can no longer arrive. A session itself lasts less than this time.
_SESSIONS_SINCE_US: Final = 2 * DAY_US
#: The longest wait for the journal's order groups, in seconds. After that, the halt fences only the groups that the
#: exchange lists.
_MOST_SECONDS: Final = 5.0

Group = tuple[str, int]
"""An order group: its id and the number of its shard."""


@dataclass(frozen=True, slots=True)
class GroupsToFence:
    """Finds the order groups through which an order may still arrive at the exchange."""

    journal: Callable[[], Journal]
    portfolio: PortfolioClient
    account: Account
    clock_us: Callable[[], int] = now_us
    from_journal: BoundedWait = field(default_factory=lambda: BoundedWait("the journal", _MOST_SECONDS))

    def __call__(self) -> Iterator[tuple[OrderId, int]]:
        """Yield the order groups that are not fenced yet, each with its shard.

        The journal's groups come before the exchange's.

        Raises:
            KalshiError: The exchange's list could not be read, so more groups may exist. This error is raised after the
                journal's groups were yielded.
            InvalidTerms: A group's id is malformed.
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
