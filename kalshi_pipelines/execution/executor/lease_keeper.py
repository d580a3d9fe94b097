"""The lease of a live session, renewed while the session decides, denies or waits.

A session may deny proposals for minutes without sending an order. Each renewal is a write to the journal, so the lease
is renewed only if the last renewal is old.
"""

from typing import Final

from kalshi_pipelines.execution.executor.session import TradeSession, renew_lease
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Mode
from kalshi_pipelines.units import SECOND_US

#: A lease is renewed if its last renewal is at least this old. A lease lasts one minute.
RENEW_AFTER_US: Final = 15 * SECOND_US


class LeaseKeeper:
    """Renews the lease of one session. A dry run has no lease, so nothing is renewed for it."""

    def __init__(self, journal: Journal, session: TradeSession) -> None:
        self._journal, self._session = journal, session
        self._is_held = True
        self._renewed_us: int | None = None

    def keep(self) -> bool:
        """Renew the lease if its last renewal is old. Return False if the session had lost the lease."""
        if self._session.mode is Mode.DRY_RUN:
            return True
        now = self._journal.now_us()
        if self._renewed_us is None or not 0 <= now - self._renewed_us < RENEW_AFTER_US:
            self._is_held = renew_lease(self._journal, self._session)
            self._renewed_us = now
        return self._is_held
