"""The ledger: comparing orders with their caps, reserving their worst case, and releasing reservations.

The database adds up the postings and enforces the caps. A writing transaction has exclusive access to the journal. The
database therefore enforces the caps on the same figures that this module reads.
"""

from collections.abc import Mapping

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.caps import Scope, refusal
from kalshi_pipelines.execution.journal.counting import counted_exposure, view_of_scope
from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.records import Fill, Intent, Mode, Refusal
from kalshi_pipelines.execution.journal.tables import scopes
from kalshi_pipelines.execution.journal.writing.admission_figures import AdmissionFigureReader, OrderPlace, place_of
from kalshi_pipelines.execution.journal.writing.audit_writer import AuditWriter, NewRow
from kalshi_pipelines.execution.journal.writing.postings import (
    NO_CHANGE,
    Change,
    PostingMaker,
    change_by_fill,
    resting,
)
from kalshi_pipelines.execution.journal.writing.scopes import ScopeWriter
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.execution.orders.worst_case import Exposure


class LedgerWriter:
    """Compares orders with their caps, and makes the ledger postings of our own orders."""

    def __init__(
        self,
        connection: sa.Connection,
        audit: AuditWriter,
        reading: JournalReading,
        figures: AdmissionFigureReader,
        postings: PostingMaker,
        scopes: ScopeWriter,
    ) -> None:
        self._connection, self._audit, self._reading = connection, audit, reading
        self._figures, self._postings, self._scopes = figures, postings, scopes

    def refusal(self, intent: Intent) -> Refusal | None:
        """Return why a planned order exceeds its caps, or None if it exceeds no cap."""
        session, figures = self._reading.sessions.get(intent.session_id), self._figures.of(place_of(intent))
        return refusal(intent, figures, session, self._reading.sessions.caps(intent.session_id))

    def held(self, place: OrderPlace) -> Scope:
        """Return the live account's ledger of a market: the position that an order there can close."""
        return self._figures.of(place).held

    def count_attempt(self, account: Account, mode: Mode) -> None:
        """Count an attempt that this transaction stores towards the cap on attempts."""
        self._figures.count_attempt(account, mode)

    def make_reservation(self, intent: Intent) -> list[NewRow]:
        """Return the postings that reserve an order's worst case. Scopes that do not exist yet are opened."""
        counted = {
            scope.scope_id or self._scopes.open_for(intent, kind, scope.key): scope.counted(intent)
            for kind, scope in self._figures.of(place_of(intent)).scopes.items()
        }
        bid = intent.side is Side.BID
        rows: list[NewRow] = []
        for scope_id, contracts in sorted(counted.items()):
            # The open count of this posting tells later postings how many contracts of the order the scope counts.
            rows += self._postings.make(
                [scope_id],
                intent.session_id,
                intent.ticker,
                "reserve",
                f"reserve:{intent.intent_id}",
                Change(
                    exposure=counted_exposure(intent, contracts),
                    open_bids=contracts if bid else 0,
                    open_asks=0 if bid else contracts,
                    orders=0 if intent.only_closes else 1,
                    notional=intent.notional_microdollars,
                ),
                intent_id=intent.intent_id,
                event_seq=intent.state_seq + 1,
                event_state="reserved",
            )
        return rows

    def make_release(self, intent: Intent, to_state: str, reported_filled: int) -> list[NewRow]:
        """Return the postings that release the unfilled part of an order that has ended.

        ``reported_filled`` is the filled count, in centi-contracts, that the exchange reported for the whole order.
        """
        returned = reported_filled == 0 and to_state in {"abandoned", "rejected", "absent"}
        charged = {scope_id for scope_id, _, _ in self._scopes.reserved_in(intent)}
        rows: list[NewRow] = []
        for scope_id, counted in self._scopes.holding(intent):
            seen = view_of_scope(intent, counted)
            reported = max(0, reported_filled - (intent.count_centicontracts - counted))
            held = seen.reserved_centicontracts
            kept = min(held, max(0, reported - seen.filled_centicontracts))
            opens, fee = kept - held, seen.fee_left_microdollars
            # Notional is returned only to scopes in which the order was reserved. If a later day took over the order,
            # that day never counted the order's notional.
            notional = -intent.notional_microdollars if returned and scope_id in charged else 0
            if not (opens or notional):
                continue
            rows += self._postings.make(
                [scope_id],
                intent.session_id,
                intent.ticker,
                "release",
                f"release:{intent.intent_id}",
                Change(
                    exposure=resting(seen, kept, fee) - resting(seen, held, fee),
                    open_bids=opens if intent.side is Side.BID else 0,
                    open_asks=opens if intent.side is Side.ASK else 0,
                    notional=notional,
                ),
                intent_id=intent.intent_id,
                event_seq=intent.state_seq + 1,
                event_state=to_state,
            )
        return rows

    def make_fill(self, fill: Fill, intent: Intent) -> list[NewRow]:
        """Return the postings of a fill of one of our orders. A scope that counts nothing of the fill gets none."""
        rows: list[NewRow] = []
        for scope_id, counted in self._scopes.holding(intent):
            change = change_by_fill(fill, intent, counted)
            if change != NO_CHANGE:
                rows += self._postings.make(
                    [scope_id],
                    intent.session_id,
                    intent.ticker,
                    "fill",
                    f"fill:{fill.fill_id}",
                    change,
                    fill_id=fill.fill_id,
                    intent_id=intent.intent_id,
                    event_seq=intent.state_seq,
                    event_state=intent.state.value,
                )
        return rows

    def write_off(self, intent: Intent, facts: Mapping[str, object]) -> bool:
        """Stop counting the missing fills of an ended order, after persons took over the order's true state.

        Return False if the order holds no reservation.
        """
        if not intent.reserved_centicontracts:
            return False
        rows: list[NewRow] = []
        for scope_id, counted in self._scopes.holding(intent):
            seen = view_of_scope(intent, counted)
            held = seen.reserved_centicontracts
            change = Change(
                Exposure() - resting(seen, held, seen.fee_left_microdollars),
                open_bids=-held if intent.side is Side.BID else 0,
                open_asks=-held if intent.side is Side.ASK else 0,
            )
            if change != NO_CHANGE:
                dedupe = f"written_off:{intent.intent_id}"
                rows += self._postings.make([scope_id], intent.session_id, intent.ticker, "foreign", dedupe, change)
        self._audit.record("review", rows, facts)
        return True

    def clear_breaches(self, account: Account, by: str, reason: str) -> int:
        """Clear every breached scope of a sub-account after a person's review, and return how many there were."""
        session_id = self._reading.sessions.newest_live_session(account)
        found = self._connection.execute(
            sa.select(scopes.c.scope_id, scopes.c.kind, scopes.c.key)
            .where(
                scopes.c.environment == account.environment,
                scopes.c.subaccount == account.subaccount,
                scopes.c.breached == 1,
            )
            .order_by(scopes.c.scope_id)
        ).all()
        rows = [
            posting
            for scope_id, kind, key in found
            for posting in self._postings.make(
                [scope_id], session_id, "*", "review", f"review:{kind}:{key}:{self._audit.next_seq}", Change()
            )
        ]
        if rows:
            self._audit.record("review", rows, {"by": by, "reason": reason})
        return len(rows)
