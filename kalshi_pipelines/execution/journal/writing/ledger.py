"""The ledger: comparing orders with their caps, reserving their worst case, and releasing reservations.

The database adds up the postings and enforces the caps. A writing transaction has exclusive access to the journal. The
database therefore enforces the caps on the same figures that this module reads.
"""

from collections.abc import Mapping

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.caps import refusal, reserved_exposure
from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.records import Fill, Intent, Refusal
from kalshi_pipelines.execution.journal.tables import scopes
from kalshi_pipelines.execution.journal.writing.admission_figures import AdmissionFigureReader
from kalshi_pipelines.execution.journal.writing.audit_writer import AuditWriter, NewRow
from kalshi_pipelines.execution.journal.writing.postings import Change, PostingMaker, resting
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
        session, figures = self._reading.sessions.get(intent.session_id), self._figures.of(intent)
        return refusal(intent, figures, session, self._reading.sessions.caps(intent.session_id))

    def make_reservation(self, intent: Intent) -> list[NewRow]:
        """Return the postings that reserve an order's worst case. Scopes that do not exist yet are opened."""
        ids = [
            scope.scope_id or self._scopes.open_for(intent, kind, scope.key)
            for kind, scope in self._figures.of(intent).scopes.items()
        ]
        bid = intent.side is Side.BID
        change = Change(
            exposure=reserved_exposure(intent),
            open_bids=intent.count_centicontracts if bid else 0,
            open_asks=0 if bid else intent.count_centicontracts,
            orders=1,
            notional=intent.notional_microdollars,
        )
        return self._postings.make(
            sorted(ids),
            intent.session_id,
            intent.ticker,
            "reserve",
            f"reserve:{intent.intent_id}",
            change,
            intent_id=intent.intent_id,
            event_seq=intent.state_seq + 1,
            event_state="reserved",
        )

    def make_release(self, intent: Intent, to_state: str, reported_filled: int) -> list[NewRow]:
        """Return the postings that release the unfilled part of an order that has ended.

        ``reported_filled`` is the filled count, in centi-contracts, that the exchange reported for the whole order.
        """
        held = intent.reserved_centicontracts
        kept = min(held, max(0, reported_filled - intent.filled_centicontracts))
        if held == kept:
            return []
        fee = intent.fee_left_microdollars
        change = resting(intent, kept, fee) - resting(intent, held, fee)
        opens = kept - held
        returned = reported_filled == 0 and to_state in {"abandoned", "rejected", "absent"}
        charged = {scope_id for scope_id, _ in self._scopes.reserved_in(intent)}
        rows: list[NewRow] = []
        for scope_id in self._scopes.holding(intent):
            # Notional is returned only to scopes in which the order was reserved. If a later day took over the order,
            # that day never counted the order's notional.
            rows += self._postings.make(
                [scope_id],
                intent.session_id,
                intent.ticker,
                "release",
                f"release:{intent.intent_id}",
                Change(
                    exposure=change,
                    open_bids=opens if intent.side is Side.BID else 0,
                    open_asks=opens if intent.side is Side.ASK else 0,
                    notional=-intent.notional_microdollars if returned and scope_id in charged else 0,
                ),
                intent_id=intent.intent_id,
                event_seq=intent.state_seq + 1,
                event_state=to_state,
            )
        return rows

    def make_fill(self, fill: Fill, intent: Intent, change: Change) -> list[NewRow]:
        """Return the postings of a fill of one of our orders."""
        return self._postings.make(
            self._scopes.holding(intent),
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

    def write_off(self, intent: Intent, facts: Mapping[str, object]) -> bool:
        """Stop counting the missing fills of an ended order, after persons took over the order's true state.

        Return False if the order holds no reservation.
        """
        held = intent.reserved_centicontracts
        if not held:
            return False
        bid = intent.side is Side.BID
        change = Change(
            Exposure() - resting(intent, held, intent.fee_left_microdollars),
            open_bids=-held if bid else 0,
            open_asks=0 if bid else -held,
        )
        rows = self._postings.make(
            self._scopes.holding(intent),
            intent.session_id,
            intent.ticker,
            "foreign",
            f"written_off:{intent.intent_id}",
            change,
        )
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
