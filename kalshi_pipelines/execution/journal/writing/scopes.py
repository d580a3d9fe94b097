"""Scopes of the ledger: finding the scopes of a posting, and opening new scopes."""

from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.guards import ACCOUNT_KEY
from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.reading.rows import Row
from kalshi_pipelines.execution.journal.records import Intent, Mode, ScopeKind
from kalshi_pipelines.execution.journal.tables import postings, scopes
from kalshi_pipelines.execution.journal.writing.admission_figures import WINDOW_HOURS
from kalshi_pipelines.execution.journal.writing.audit_writer import AuditWriter
from kalshi_pipelines.execution.journal.writing.insertion import insert_rows
from kalshi_pipelines.execution.journal.writing.postings import Change, PostingMaker
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.worst_case import Exposure
from kalshi_pipelines.units import HOUR_US, trading_day

_LATEST_DAY: Final = (
    sa.select(scopes.c.scope_id, scopes.c.key)
    .where(
        scopes.c.kind == ScopeKind.DAY.value,
        scopes.c.environment == sa.bindparam("environment"),
        scopes.c.subaccount == sa.bindparam("subaccount"),
        scopes.c.mode == sa.bindparam("mode"),
    )
    .order_by(scopes.c.key.desc())
    .limit(1)
)
_COUNTED_IN: Final = (
    sa.select(
        scopes.c.scope_id, scopes.c.kind, postings.c.d_open_bids_centicontracts + postings.c.d_open_asks_centicontracts
    )
    .join(postings, postings.c.scope_id == scopes.c.scope_id)
    .where(postings.c.dedupe == sa.bindparam("dedupe"))
    .order_by(scopes.c.scope_id)
)


class ScopeWriter:
    """Finds the scopes that a posting belongs to, and opens new scopes."""

    def __init__(
        self, connection: sa.Connection, audit: AuditWriter, reading: JournalReading, postings: PostingMaker
    ) -> None:
        self._connection, self._audit, self._reading, self._postings = connection, audit, reading, postings

    def open_for(self, intent: Intent, kind: ScopeKind, key: str) -> int:
        """Open a scope for an order with the caps of its session, and return the scope's number."""
        caps = self._reading.sessions.caps(intent.session_id)[kind.value]
        scope_id = self._insert(intent.account, intent.mode, kind, key, caps)
        if kind is ScopeKind.DAY and intent.mode is Mode.LIVE:
            self._carry_over(intent.account, intent.session_id, scope_id, key)
        return scope_id

    def of_account(self, account: Account, event_ticker: str, session_id: str) -> list[int]:
        """Return the scopes of a fact that belongs to none of our orders: account, event and the present day.

        Scopes that do not exist yet are opened with the caps of the session.
        """
        keys = {
            ScopeKind.ACCOUNT: ACCOUNT_KEY,
            ScopeKind.EVENT: event_ticker,
            ScopeKind.DAY: self._day(account, Mode.LIVE),
        }
        caps = self._reading.sessions.caps(session_id)
        return sorted(self._found_or_opened(account, session_id, kind, key, caps) for kind, key in keys.items())

    def of_activity(self, account: Account, session_id: str, at_us: int) -> dict[ScopeKind, int]:
        """Return the scopes of the day and of the hour that count what happened at an instant.

        A day or an hour that no order is compared with any more is left out. Scopes that do not exist yet are opened
        with the caps of the session.
        """
        now_us, day, hour = self._audit.now_us, self._day(account, Mode.LIVE), at_us // HOUR_US
        keys = {}
        if trading_day(at_us).isoformat() >= day:
            keys[ScopeKind.DAY] = day
        if now_us // HOUR_US - WINDOW_HOURS <= hour <= now_us // HOUR_US:
            keys[ScopeKind.ROLLING] = str(hour)
        caps = self._reading.sessions.caps(session_id)
        return {kind: self._found_or_opened(account, session_id, kind, key, caps) for kind, key in keys.items()}

    def as_counted(self, scope_ids: list[int], dedupe: str) -> list[int]:
        """Return scopes of a fact, with the scopes in which an earlier posting with this key was counted.

        The session, the hour and the event of the earlier posting count the fact. The day stays the given one.
        """
        day = ScopeKind.DAY.value
        earlier = [scope_id for scope_id, kind, _ in self._counted_in(dedupe) if kind != day]
        if not earlier:
            return scope_ids
        found = self._connection.execute(
            sa.select(scopes.c.scope_id).where(scopes.c.kind == day, scopes.c.scope_id.in_(scope_ids))
        )
        return sorted({*earlier, *(row[0] for row in found)})

    def reserved_in(self, intent: Intent) -> list[tuple[int, str, int]]:
        """Return each scope in which an order was reserved: its number, kind and the centi-contracts that it counts."""
        return self._counted_in(f"reserve:{intent.intent_id}")

    def _counted_in(self, dedupe: str) -> list[tuple[int, str, int]]:
        found = self._connection.execute(_COUNTED_IN, {"dedupe": dedupe})
        return [(scope_id, kind, counted) for scope_id, kind, counted in found]

    def holding(self, intent: Intent) -> list[tuple[int, int]]:
        """Return the scopes that count an order now, each with the centi-contracts that it counts.

        Each new day takes over open orders from the day before. The newest day therefore replaces the day on which the
        order was reserved.
        """
        found = self.reserved_in(intent)
        is_dry = intent.mode is Mode.DRY_RUN
        held = {scope_id: counted for scope_id, kind, counted in found if kind != ScopeKind.DAY.value or is_dry}
        if found and not is_dry:
            latest = self.latest_day(intent.account, intent.mode)
            held |= {latest[0]: intent.count_centicontracts} if latest else {}
        return sorted(held.items())

    def _found_or_opened(
        self, account: Account, session_id: str, kind: ScopeKind, key: str, caps: Mapping[str, Row]
    ) -> int:
        found: int | None = self._connection.scalar(
            sa.select(scopes.c.scope_id).where(
                scopes.c.kind == kind.value,
                scopes.c.environment == account.environment,
                scopes.c.subaccount == account.subaccount,
                scopes.c.mode == Mode.LIVE.value,
                scopes.c.key == key,
            )
        )
        if found is None:
            found = self._insert(account, Mode.LIVE, kind, key, caps[kind.value])
            if kind is ScopeKind.DAY:
                self._carry_over(account, session_id, found, key)
        return found

    def latest_day(self, account: Account, mode: Mode) -> tuple[int, str] | None:
        """Return the number and date of the newest day scope, or None if no day scope exists."""
        row = self._connection.execute(
            _LATEST_DAY, {"environment": account.environment, "subaccount": account.subaccount, "mode": mode.value}
        ).first()
        return None if row is None else (row[0], row[1])

    def _day(self, account: Account, mode: Mode) -> str:
        """Return today's date in New York, or the newest day on record if that day is later."""
        today = trading_day(self._audit.now_us).isoformat()
        latest = self.latest_day(account, mode)
        return today if latest is None else max(today, latest[1])

    def _insert(self, account: Account, mode: Mode, kind: ScopeKind, key: str, caps: Row) -> int:
        newest = self._connection.scalar(sa.select(sa.func.max(scopes.c.scope_id)))
        scope_id: int = (newest or 0) + 1
        row = {
            "scope_id": scope_id,
            "kind": kind.value,
            "environment": account.environment,
            "subaccount": account.subaccount,
            "mode": mode.value,
            "key": key,
            "hour": int(key) if kind is ScopeKind.ROLLING else None,
            "opened_us": self._audit.now_us,
            "orders_cap": caps["orders_cap"],
            "notional_cap_microdollars": caps["notional_cap_microdollars"],
            "worst_cap_microdollars": caps["worst_cap_microdollars"],
            "orders": 0,
            "notional_microdollars": 0,
            "worst_microdollars": 0,
            "breached": 0,
        }
        insert_rows(self._connection, [(scopes, [row])])
        return scope_id

    def _carry_over(self, account: Account, session_id: str, scope_id: int, day: str) -> None:
        """Post every open reservation and position of the account to the scope of a new day.

        The results of markets that are flat belong to an earlier day.
        """
        rows = [
            row
            for market in self._reading.ledger.markets(account)
            if market.is_outstanding
            for row in self._postings.make(
                [scope_id],
                session_id,
                market.ticker,
                "opening",
                f"opening:{day}:{market.ticker}",
                Change(
                    exposure=Exposure(market.if_no_microdollars, market.if_yes_microdollars),
                    spent=market.spent_microdollars,
                    position=market.position_centicontracts,
                    open_bids=market.open_bids_centicontracts,
                    open_asks=market.open_asks_centicontracts,
                ),
            )
        ]
        if rows:
            self._audit.record("opening", rows, {"day": day})
