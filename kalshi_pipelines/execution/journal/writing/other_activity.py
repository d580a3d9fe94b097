"""Counting what an account did elsewhere, so that the caps of a day and of 24 hours begin with it."""

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.reading.rows import is_stored
from kalshi_pipelines.execution.journal.reading.sessions import SessionReading
from kalshi_pipelines.execution.journal.records import ScopeKind
from kalshi_pipelines.execution.journal.tables import postings
from kalshi_pipelines.execution.journal.writing.audit_writer import AuditWriter
from kalshi_pipelines.execution.journal.writing.postings import Change, PostingMaker
from kalshi_pipelines.execution.journal.writing.scopes import ScopeWriter
from kalshi_pipelines.execution.orders.account import Account


class OtherActivityWriter:
    """Counts orders and losses of an account that this journal did not cause.

    They are counted as opening balances: a scope that they exhaust admits no further order, but is not breached.
    """

    def __init__(
        self,
        connection: sa.Connection,
        audit: AuditWriter,
        sessions: SessionReading,
        scopes: ScopeWriter,
        postings: PostingMaker,
    ) -> None:
        self._connection, self._audit, self._sessions = connection, audit, sessions
        self._scopes, self._postings = scopes, postings

    def count_order(self, account: Account, order_id: str, ticker: str, placed_us: int, notional: int) -> bool:
        """Count an order and its notional in the day and the hour of the order. Return False if it was counted before.

        Raises:
            JournalRefused: No live session of the sub-account was ever opened.
        """
        dedupe = f"elsewhere:{order_id}"
        if is_stored(self._connection, postings.c.dedupe, dedupe):
            return False
        session_id = self._sessions.newest_live_session(account)
        ids = self._scopes.of_activity(account, session_id, placed_us).values()
        change = Change(orders=1, notional=notional)
        rows = self._postings.make(sorted(ids), session_id, ticker, "opening", dedupe, change)
        if rows:
            self._audit.record("opening", rows, {"elsewhere": order_id})
        return bool(rows)

    def count_result(
        self, account: Account, ticker: str, at_us: int, key: str, day: Change | None, rolling: Change | None
    ) -> bool:
        """Count the result of a fill or a settlement in its day and its hour.

        Args:
            account: The account.
            ticker: The market.
            at_us: The instant of the fill or settlement.
            key: The name of the fill or settlement, under which it is counted only once.
            day: The change of the trading day, or None if the day counts it already.
            rolling: The change of the hour, or None.

        Returns:
            False if it was counted before, or if it belongs to no day and hour that still count.

        Raises:
            JournalRefused: No live session of the sub-account was ever opened.
        """
        dedupe = f"elsewhere:{key}"
        if is_stored(self._connection, postings.c.dedupe, dedupe):
            return False
        session_id = self._sessions.newest_live_session(account)
        changes = {ScopeKind.DAY: day, ScopeKind.ROLLING: rolling}
        rows = [
            row
            for kind, scope_id in self._scopes.of_activity(account, session_id, at_us).items()
            if (change := changes[kind]) is not None
            for row in self._postings.make([scope_id], session_id, ticker, "opening", dedupe, change)
        ]
        if rows:
            self._audit.record("opening", rows, {"elsewhere": key})
        return bool(rows)
