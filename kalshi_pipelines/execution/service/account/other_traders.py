"""Others who trade the sub-account of a live session: they are detected, counted, and watched for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.execution.gates.order_checks import check
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Check
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount
from kalshi_pipelines.execution.reconciliation.other_counting import count_other_activity
from kalshi_pipelines.execution.reconciliation.other_journals import OtherActivity, find_other_activity, read_activity
from kalshi_pipelines.execution.text import safe_line

_LONGEST_TEXT: Final = 400


@dataclass(frozen=True, slots=True)
class OtherTraders:
    """The activity that a sub-account had elsewhere, as it was found before a live session opened."""

    journal: Journal
    account: Account
    exchange: ExchangeAccount
    found: OtherActivity

    @classmethod
    def detect(cls, journal: Journal, account: Account, exchange: ExchangeAccount) -> "OtherTraders":
        """Read the account at the exchange, and find the activity that the journal does not know.

        Raises:
            KalshiError, UnreadableAccount: The account cannot be read completely.
            JournalUnavailable: The journal cannot be read.
        """
        activity = read_activity(exchange, journal.now_us())
        with journal.reading() as reading:
            return cls(journal, account, exchange, find_other_activity(reading, account, activity))

    def check(self) -> Check:
        """Check that nobody else may trade the sub-account now."""
        observed = safe_line(str(self.found), _LONGEST_TEXT) if self.found.live else "none"
        return check(DenialReason.ANOTHER_JOURNAL_TRADES, not self.found.live, "no live order of others", observed)

    @property
    def client_order_ids(self) -> frozenset[str]:
        """The client order ids of the orders that the journal does not know."""
        return frozenset(order.client_order_id for order in self.found.orders)

    def count(self, say: Callable[[str], None]) -> None:
        """Count in the caps what the account did elsewhere. The account must have a live session.

        Raises:
            KalshiError, UnreadableAccount: The account cannot be read; nothing was counted.
            JournalUnavailable: The journal cannot be written; nothing was counted.
        """
        counted = count_other_activity(self.journal, self.account, self.found, self.exchange)
        if counted:
            say(f"the caps begin with {counted} orders, fills and settlements that this journal did not cause")

    def newcomer(self) -> str | None:
        """Return which order group somebody else made since the session was opened, or None.

        Raises:
            KalshiError, UnreadableAccount: The order groups cannot be read.
        """
        listed = self.exchange.order_groups()
        with self.journal.reading() as reading:
            new = sorted(listed - reading.sessions.all_groups(self.account) - self.found.groups)
        return None if not new else f"order group {safe_line(new[0])} was made by another session or program"
