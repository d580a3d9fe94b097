"""Postings of facts that belong to the account but not to any of our orders, such as foreign orders."""

from kalshi_pipelines.execution.journal.reading.sessions import SessionReading
from kalshi_pipelines.execution.journal.writing.audit_writer import NewRow
from kalshi_pipelines.execution.journal.writing.postings import Change, PostingMaker
from kalshi_pipelines.execution.journal.writing.scopes import ScopeWriter
from kalshi_pipelines.execution.orders.account import Account


class AccountPostings:
    """Makes postings to the scopes of the account, the event and the present day."""

    def __init__(self, sessions: SessionReading, scopes: ScopeWriter, postings: PostingMaker) -> None:
        self._sessions, self._scopes, self._postings = sessions, scopes, postings

    def make(
        self,
        account: Account,
        ticker: str,
        event_ticker: str,
        kind: str,
        dedupe: str,
        change: Change,
        *,
        also_in: str | None = None,
        **references: object,
    ) -> list[NewRow]:
        """Return the postings of a change to the account.

        ``also_in`` is the key of an earlier posting. The change is then posted to the session, hour and event of that
        posting. ``references`` are the columns that name the fact behind the change.

        Raises:
            JournalRefused: No live session of the sub-account was ever opened.
        """
        session_id = self._sessions.newest_live_session(account)
        scope_ids = self._scopes.of_account(account, event_ticker, session_id)
        if also_in is not None:
            scope_ids = self._scopes.as_counted(scope_ids, also_in)
        return self._postings.make(scope_ids, session_id, ticker, kind, dedupe, change, **references)
