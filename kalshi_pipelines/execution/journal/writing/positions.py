"""Recording settlements of markets, and recording positions that no recorded fill explains."""

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.guards import ACCOUNT_KEY
from kalshi_pipelines.execution.journal.reading.rows import Row, all_rows, is_stored
from kalshi_pipelines.execution.journal.reading.sessions import SessionReading
from kalshi_pipelines.execution.journal.records import Mode, ScopeKind
from kalshi_pipelines.execution.journal.tables import leases, postings, scope_markets, scopes
from kalshi_pipelines.execution.journal.writing.account_postings import AccountPostings
from kalshi_pipelines.execution.journal.writing.admission_figures import WINDOW_HOURS
from kalshi_pipelines.execution.journal.writing.audit_writer import AuditWriter, NewRow
from kalshi_pipelines.execution.journal.writing.facts import FactWriter
from kalshi_pipelines.execution.journal.writing.postings import Change, PostingMaker
from kalshi_pipelines.execution.journal.writing.scopes import ScopeWriter
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.worst_case import Exposure
from kalshi_pipelines.units import DOLLAR_CENTICENTS, HOUR_US


class PositionWriter:
    """Records positions that no recorded fill explains, such as positions from before the first live session."""

    def __init__(self, connection: sa.Connection, facts: FactWriter, account_postings: AccountPostings) -> None:
        self._connection, self._facts, self._account_postings = connection, facts, account_postings

    def record_opening(
        self,
        account: Account,
        ticker: str,
        event_ticker: str,
        *,
        position_centicontracts: int,
        spent_microdollars: int,
        dedupe: str,
    ) -> bool:
        """Count a position that no recorded fill explains, and return True.

        ``dedupe`` identifies the position. If a position with the same ``dedupe`` was counted before, return False.
        """
        if is_stored(self._connection, postings.c.dedupe, f"opening:{dedupe}"):
            return False
        exposure = Exposure.of_position(position_centicontracts, spent_microdollars)
        change = Change(exposure, spent_microdollars, position_centicontracts)
        rows = self._account_postings.make(account, ticker, event_ticker, "opening", f"opening:{dedupe}", change)
        self._facts.record("opening", rows, {"ticker": ticker})
        return True


class SettlementWriter:
    """Records settlements of markets in every scope that holds a position in the market."""

    def __init__(
        self,
        connection: sa.Connection,
        audit: AuditWriter,
        sessions: SessionReading,
        facts: FactWriter,
        scopes: ScopeWriter,
        postings: PostingMaker,
    ) -> None:
        self._connection, self._audit, self._sessions = connection, audit, sessions
        self._facts, self._scopes, self._postings = facts, scopes, postings

    def record(
        self,
        account: Account,
        ticker: str,
        event_ticker: str,
        *,
        payoff_centicents: int,
        dedupe: str,
    ) -> bool:
        """Record that a market has paid out. Return False if the settlement was recorded before.

        The scopes of the event and the account count possible losses, so they stop counting the market. Session, day
        and rolling scopes keep the realized loss or gain. Open orders of the market keep their reservation.
        """
        dedupe = f"settle:{dedupe}"
        if is_stored(self._connection, postings.c.dedupe, dedupe):
            return False
        session_id = self._sessions.newest_live_session(account)
        rows: list[NewRow] = []
        for scope in self._holding(account, ticker, event_ticker):
            spent, position = scope["spent_microdollars"], scope["position_centicontracts"]
            forgets = scope["kind"] in {ScopeKind.EVENT.value, ScopeKind.ACCOUNT.value}
            paid = spent if forgets else position * payoff_centicents
            change = Change(Exposure(-paid, DOLLAR_CENTICENTS * position - paid), -paid, -position)
            rows += self._postings.make([scope["scope_id"]], session_id, ticker, "settle", dedupe, change)
        if not rows:
            return False
        self._facts.record("settle", rows, {"ticker": ticker, "payoff_centicents": payoff_centicents})
        return True

    def _holding(self, account: Account, ticker: str, event_ticker: str) -> list[Row]:
        """Return the scopes that still count orders and fills and that hold a position in a market."""
        day = self._scopes.latest_day(account, Mode.LIVE)
        leased = sa.select(leases.c.session_id).where(
            leases.c.environment == account.environment, leases.c.subaccount == account.subaccount
        )
        found = (
            sa.select(scopes.c.scope_id, scopes.c.kind, scope_markets)
            .join(scope_markets, scope_markets.c.scope_id == scopes.c.scope_id)
            .where(
                scope_markets.c.ticker == ticker,
                sa.or_(scope_markets.c.position_centicontracts != 0, scope_markets.c.spent_microdollars != 0),
                scopes.c.environment == account.environment,
                scopes.c.subaccount == account.subaccount,
                scopes.c.mode == Mode.LIVE.value,
                sa.or_(
                    sa.and_(scopes.c.kind == ScopeKind.ACCOUNT.value, scopes.c.key == ACCOUNT_KEY),
                    sa.and_(scopes.c.kind == ScopeKind.EVENT.value, scopes.c.key == event_ticker),
                    scopes.c.scope_id == (day[0] if day else 0),
                    scopes.c.hour >= self._audit.now_us // HOUR_US - WINDOW_HOURS,
                    sa.and_(scopes.c.kind == ScopeKind.SESSION.value, scopes.c.key.in_(leased)),
                ),
            )
            .order_by(scopes.c.scope_id)
        )
        return all_rows(self._connection, found)
