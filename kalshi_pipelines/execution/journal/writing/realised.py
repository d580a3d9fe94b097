"""Realised results: profits and losses of markets in which nothing is held and nothing is open any longer.

Each scope collects the results of a New York day in one row, so that the day's profits and losses count against each
other. A day's result counts in the scopes of account and event until 24 hours after the day has ended.
Afterwards profits and losses leave alike. By then, the day, its rolling window and every session of the day are over.
"""

import datetime as dt
from collections import defaultdict
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.guards import ACCOUNT_KEY
from kalshi_pipelines.execution.journal.reading.rows import Row, all_rows
from kalshi_pipelines.execution.journal.reading.sessions import SessionReading
from kalshi_pipelines.execution.journal.records import Mode, ScopeKind
from kalshi_pipelines.execution.journal.tables import REALISED, leases, scope_markets, scopes
from kalshi_pipelines.execution.journal.writing.admission_figures import WINDOW_HOURS
from kalshi_pipelines.execution.journal.writing.audit_writer import AuditWriter, NewRow
from kalshi_pipelines.execution.journal.writing.postings import Change, PostingMaker
from kalshi_pipelines.execution.journal.writing.scopes import ScopeWriter
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.worst_case import Exposure
from kalshi_pipelines.units import DAY_US, HOUR_US, trading_day

#: The kinds of scope that never end, so that a day's result has to leave them.
_LASTING: Final = (ScopeKind.ACCOUNT.value, ScopeKind.EVENT.value)


class RealisedWriter:
    """Moves the results of flat markets into the result of the present day, and lets the results of old days leave."""

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

    def realise_flat_markets(self, account: Account) -> bool:
        """Realise the results of all flat markets of an account. Return False if there was nothing to do."""
        if self._sessions.first_live_session_us(account) is None:
            return False
        session_id = self._sessions.newest_live_session(account)
        rows = [*self._moved(account, session_id), *self._left(account, session_id)]
        if rows:
            self._audit.record("realise", rows, {})
        return bool(rows)

    def _moved(self, account: Account, session_id: str) -> list[NewRow]:
        totals: defaultdict[int, int] = defaultdict(int)
        rows: list[NewRow] = []
        for market in self._flat_markets(account):
            scope_id, spent = market["scope_id"], market["spent_microdollars"]
            totals[scope_id] += spent
            rows += self._make(scope_id, session_id, market["ticker"], -spent)
        today = f"{REALISED}{trading_day(self._audit.now_us).isoformat()}"
        for scope_id, spent in sorted(totals.items()):
            if spent:
                rows += self._make(scope_id, session_id, today, spent)
        return rows

    def _left(self, account: Account, session_id: str) -> list[NewRow]:
        """Return the postings with which the results of old days leave the scopes that never end."""
        since = trading_day(self._audit.now_us - DAY_US) - dt.timedelta(days=1)
        table = scope_markets.c
        found = self._markets(account).where(
            scopes.c.kind.in_(_LASTING), table.spent_microdollars != 0, table.ticker.startswith(REALISED)
        )
        return [
            row
            for market in all_rows(self._connection, found.order_by(table.ticker, table.scope_id))
            if dt.date.fromisoformat(market["ticker"].removeprefix(REALISED)) <= since
            for row in self._make(market["scope_id"], session_id, market["ticker"], -market["spent_microdollars"])
        ]

    def _flat_markets(self, account: Account) -> list[Row]:
        """Return the markets of the scopes that still count, in which nothing is held or open, but money was spent."""
        table = scope_markets.c
        day = self._scopes.latest_day(account, Mode.LIVE)
        leased = sa.select(leases.c.session_id).where(
            leases.c.environment == account.environment, leases.c.subaccount == account.subaccount
        )
        found = self._markets(account).where(
            table.spent_microdollars != 0,
            table.position_centicontracts == 0,
            table.open_bids_centicontracts == 0,
            table.open_asks_centicontracts == 0,
            table.if_no_microdollars == table.spent_microdollars,
            table.if_yes_microdollars == table.spent_microdollars,
            sa.not_(table.ticker.startswith(REALISED)),
            sa.or_(
                sa.and_(scopes.c.kind == ScopeKind.ACCOUNT.value, scopes.c.key == ACCOUNT_KEY),
                scopes.c.kind == ScopeKind.EVENT.value,
                scopes.c.scope_id == (day[0] if day else 0),
                scopes.c.hour >= self._audit.now_us // HOUR_US - WINDOW_HOURS,
                sa.and_(scopes.c.kind == ScopeKind.SESSION.value, scopes.c.key.in_(leased)),
            ),
        )
        return all_rows(self._connection, found.order_by(table.ticker, table.scope_id))

    def _markets(self, account: Account) -> sa.Select[tuple[int, str, int]]:
        table = scope_markets.c
        return (
            sa.select(table.scope_id, table.ticker, table.spent_microdollars)
            .join(scopes, scopes.c.scope_id == table.scope_id)
            .where(
                scopes.c.environment == account.environment,
                scopes.c.subaccount == account.subaccount,
                scopes.c.mode == Mode.LIVE.value,
            )
        )

    def _make(self, scope_id: int, session_id: str, ticker: str, spent: int) -> list[NewRow]:
        dedupe = f"realise:{self._audit.next_seq}:{ticker}"
        change = Change(Exposure(spent, spent), spent)
        return self._postings.make([scope_id], session_id, ticker, "realise", dedupe, change)
