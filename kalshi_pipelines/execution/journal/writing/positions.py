"""Recording settlements of markets, and recording positions that no recorded fill explains."""

from collections.abc import Sequence

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

        Every scope keeps the loss or gain of the market, as if the position had been sold for its payout. Open orders
        of the market keep their reservation.

        A session or an hour may still count contracts that were sold elsewhere. They were sold for an unknown price, so
        they count as if they had paid out nothing.
        """
        dedupe = f"settle:{dedupe}"
        if is_stored(self._connection, postings.c.dedupe, dedupe):
            return False
        session_id = self._sessions.newest_live_session(account)
        rows: list[NewRow] = []
        holding = self._holding(account, ticker, event_ticker)
        held = _still_held(holding)
        for scope in holding:
            position, paying = scope["position_centicontracts"], held[scope["scope_id"]]
            sold_elsewhere = position - paying
            paid = paying * payoff_centicents + min(0, sold_elsewhere) * DOLLAR_CENTICENTS
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
            sa.select(scopes.c.scope_id, scopes.c.kind, scopes.c.hour, scope_markets)
            .join(scope_markets, scope_markets.c.scope_id == scopes.c.scope_id)
            .where(
                scope_markets.c.ticker == ticker,
                scope_markets.c.position_centicontracts != 0,
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


def _still_held(holding: Sequence[Row]) -> dict[int, int]:
    """Return how many signed centi-contracts of each scope's position the account still holds, by scope.

    The hours share the account's position, the newest hour first.
    """
    kinds = {scope["kind"]: scope["position_centicontracts"] for scope in holding}
    account = left = kinds.get(ScopeKind.ACCOUNT.value, 0)
    held = {}
    for scope in sorted(holding, key=lambda scope: scope["hour"] or 0, reverse=True):
        position = scope["position_centicontracts"]
        if scope["kind"] == ScopeKind.ROLLING.value:
            held[scope["scope_id"]] = _common(position, left)
            left -= held[scope["scope_id"]]
        elif scope["kind"] == ScopeKind.SESSION.value:
            held[scope["scope_id"]] = _common(position, account)
        else:
            held[scope["scope_id"]] = position
    return held


def _common(position: int, other: int) -> int:
    """Return the signed contracts that two positions have in common; 0 if they are on opposite sides."""
    if position * other <= 0:
        return 0
    return min(position, other) if position > 0 else max(position, other)
