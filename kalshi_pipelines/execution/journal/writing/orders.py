"""Commands about orders: plan, deny, reserve, record that an order is sent, and record the exchange's answer."""

from collections.abc import Mapping
from typing import Final

from kalshi_pipelines.execution.journal.errors import AlreadyPlanned, IdempotencyConflict, JournalRefused
from kalshi_pipelines.execution.journal.intent_rows import new_intent_row, planned_intent
from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.reading.rows import Row
from kalshi_pipelines.execution.journal.records import Details, Intent, Mode, NewIntent, Sent
from kalshi_pipelines.execution.journal.tables import approvals, attempts, intents, order_events
from kalshi_pipelines.execution.journal.writing.admission_figures import OrderPlace
from kalshi_pipelines.execution.journal.writing.audit_writer import NO_FACTS, AuditWriter, NewRow
from kalshi_pipelines.execution.journal.writing.ledger import LedgerWriter
from kalshi_pipelines.execution.journal.writing.order_events import NO_DETAILS, facts_of, moved, record_event
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.request import request_text
from kalshi_pipelines.execution.orders.states import FINAL_STATES, OrderState, Writer

#: The kind of audit record for each order state that an answer of the exchange can lead to.
_KINDS: Final = {
    OrderState.RESTING: "resting",
    OrderState.PENDING_CANCEL: "cancel",
    OrderState.EXECUTED: "executed",
    OrderState.CANCELED: "canceled",
    OrderState.REJECTED: "rejected",
    OrderState.UNKNOWN: "unknown",
    OrderState.ABSENT: "absent",
}


class OrderWriter:
    """Records each step of an order, with its reservation and its audit record."""

    def __init__(self, audit: AuditWriter, reading: JournalReading, ledger: LedgerWriter) -> None:
        self._audit, self._reading, self._ledger = audit, reading, ledger
        self._new_keys: set[tuple[Mode, str]] = set()

    def record_attempt(
        self,
        session_id: str,
        *,
        proposal_id: int | None = None,
        intent_id: int | None = None,
        denial: DenialReason | None = None,
        details: Details = NO_DETAILS,
    ) -> int:
        """Record an attempt that planned no new order: a denial, or a repetition of an earlier order.

        The attempt counts towards the cap on attempts.
        """
        row = self._attempt_row(self._reading.sessions.get(session_id), proposal_id, intent_id, denial)
        return self._audit.record("attempt", [row], facts_of(details))

    def require_new(self, new: NewIntent) -> None:
        """Check that no order was planned for the same signal.

        Raises:
            AlreadyPlanned: The same signal was planned earlier with the same terms.
            IdempotencyConflict: The same signal was planned earlier with other terms.
        """
        mode = Mode(self._reading.sessions.get(new.session_id)["mode"])
        if (mode, new.idempotency_key) in self._new_keys:
            return
        earlier = self._reading.orders.intent_of_key(mode, new.idempotency_key, new.former_key)
        if earlier is not None:
            raise AlreadyPlanned(earlier) if _same_terms(earlier, new) else IdempotencyConflict(earlier)
        self._new_keys.add((mode, new.idempotency_key))

    def plan(self, new: NewIntent, details: Details = NO_DETAILS) -> Intent:
        """Store an order with the request that would be sent, and record the attempt to have the order sent.

        The stored order tells how many of its contracts only close what the account holds.

        Raises:
            AlreadyPlanned: The same signal was planned earlier with the same terms.
            IdempotencyConflict: The same signal was planned earlier with other terms.
            JournalRefused: The database refuses the order, or the request's text and the order have different terms.
        """
        session = self._reading.sessions.get(new.session_id)
        mode = Mode(session["mode"])
        self.require_new(new)
        self._new_keys.remove((mode, new.idempotency_key))
        intent_id = self._audit.next_seq
        held = self._ledger.held(place_of_new(new, session))
        closing = min(new.request.count.centi, held.closable(new.request.side))
        values = new_intent_row(new, session, self._audit.now_us, closing)
        intent = planned_intent(intent_id, values)
        if request_text(values) != intent.request_json:
            raise JournalRefused(
                "request_terms",
                f"the request of order {intent.client_order_id} has other terms than its caps are checked with.",
                "Nothing was stored. This is a defect of the program; report it.",
            )
        rows = [
            NewRow(intents, values),
            NewRow(
                order_events,
                {
                    "intent_id": intent_id,
                    "seq": 1,
                    "mode": mode.value,
                    "to_state": OrderState.PLANNED.value,
                    "at_us": self._audit.now_us,
                    "writer": Writer.EXECUTOR.value,
                },
            ),
            self._attempt_row(session, new.proposal_id, intent_id, None),
        ]
        self._audit.record("plan", rows, facts_of(details))
        return intent

    def deny(self, intent: Intent, reason: DenialReason, detail: str, details: Details = NO_DETAILS) -> Intent:
        """End a planned order that is not admitted. Nothing was reserved for it, so no counter changes."""
        facts = Details(details.checks, {**details.facts, "reason": reason.code, "detail": detail})
        record_event(self._audit, intent, OrderState.DENIED, "deny", facts, denial=reason.code)
        return self._moved(intent, OrderState.DENIED, denial=reason)

    def reserve(self, intent: Intent, details: Details = NO_DETAILS) -> Intent:
        """Reserve the worst case of a planned order in every scope that counts the order.

        Raises:
            JournalRefused: The order exceeds a cap; nothing is stored. To find the exceeded cap before reserving, call
                ``ledger.refusal``.
        """
        rows = self._ledger.make_reservation(intent)
        record_event(self._audit, intent, OrderState.RESERVED, "reserve", details, more=rows)
        return self._moved(intent, OrderState.RESERVED)

    def record_sending(self, intent: Intent, code_version: str, details: Details = NO_DETAILS) -> Sent:
        """Record that an order is about to be sent.

        Only the process that commits this record may send the order, and only once.

        Raises:
            JournalRefused: A rule forbids sending the order; ``rule`` names it, such as ``send_guard:kill``.
        """
        session = self._reading.sessions.get(intent.session_id)
        facts = {
            **details.facts,
            "request": intent.request_json,
            "request_sha256": intent.request_sha256,
            "host": session["host"],
            "key_fingerprint": session["key_fingerprint"],
        }
        with_request = Details(details.checks, facts)
        seq = record_event(self._audit, intent, OrderState.SENDING, "send", with_request, code_version=code_version)
        return Sent(
            audit_seq=seq,
            at_us=self._audit.now_us,
            intent_id=intent.intent_id,
            session_id=intent.session_id,
            request_json=intent.request_json,
            request_sha256=intent.request_sha256,
            client_order_id=intent.client_order_id,
            host=str(session["host"]),
            key_fingerprint=str(session["key_fingerprint"]),
        )

    def record_simulation(self, intent: Intent, code_version: str, details: Details = NO_DETAILS) -> Intent:
        """Record that a dry run's order reached the point at which a live order is sent.

        The order keeps its reservation, as a resting order does.
        """
        record_event(self._audit, intent, OrderState.SIMULATED, "simulate", details, code_version=code_version)
        return self._moved(intent, OrderState.SIMULATED)

    def abandon(self, intent: Intent, reason: DenialReason, detail: str, details: Details = NO_DETAILS) -> Intent:
        """End a reserved order that will not be sent, and release its reservation."""
        facts = Details(details.checks, {**details.facts, "reason": reason.code, "detail": detail})
        # If an order has fills although it was never sent, its notional stays reserved. Recording those fills has
        # engaged the kill switch.
        released = self._ledger.make_release(intent, OrderState.ABANDONED.value, intent.filled_centicontracts)
        record_event(self._audit, intent, OrderState.ABANDONED, "abandon", facts, more=released)
        return self._moved(intent, OrderState.ABANDONED)

    def record_answer(
        self,
        intent: Intent,
        state: OrderState,
        *,
        order_id: str | None = None,
        filled_centicontracts: int | None = None,
        writer: Writer = Writer.EXECUTOR,
        details: Details = NO_DETAILS,
    ) -> Intent:
        """Move an order to the state that the exchange reports.

        ``filled_centicontracts`` is the filled count of the whole order; every final state needs this count. Reported
        fills stay reserved until they are posted. The unfilled rest of an ended order is released.

        Raises:
            JournalRefused: The order cannot go from its present state to this state.
        """
        released: list[NewRow] = []
        if state in FINAL_STATES:
            # A posted fill was traded even if the exchange's answer reports a smaller filled count. The notional of
            # posted fills therefore stays reserved.
            filled = max(filled_centicontracts or 0, intent.filled_centicontracts)
            released = self._ledger.make_release(intent, state.value, filled)
        record_event(
            self._audit,
            intent,
            state,
            _KINDS[state],
            details,
            writer=writer,
            more=released,
            order_id=order_id,
            filled_centicontracts=filled_centicontracts,
        )
        return self._moved(
            intent,
            state,
            order_id=order_id or intent.order_id,
            reported_filled_centicontracts=filled_centicontracts,
        )

    def record_absence(self, intent: Intent, resolution_id: int, details: Details = NO_DETAILS) -> Intent:
        """End an unknown order that is proved absent from the exchange, and release its reservation.

        Raises:
            JournalRefused: The resolution does not belong to the intent, or the intent has recorded fills.
        """
        filled = self._reading.orders.intent(intent.intent_id).filled_centicontracts
        if filled:
            raise JournalRefused(
                "absent:filled",
                f"intent {intent.intent_id} has {filled} centi-contracts filled on record, so its order arrived.",
                "Find out where the order is.",
            )
        released = self._ledger.make_release(intent, OrderState.ABSENT.value, 0)
        record_event(
            self._audit,
            intent,
            OrderState.ABSENT,
            "absent",
            details,
            writer=Writer.RECONCILER,
            more=released,
            resolution_id=resolution_id,
        )
        return self._moved(intent, OrderState.ABSENT)

    def approve(self, request_sha256: str, by: str, expires_us: int, facts: Mapping[str, object] = NO_FACTS) -> int:
        """Record a person's approval of the request with this digest, and return the approval's number."""
        row = {
            "request_sha256": request_sha256,
            "approved_by": by,
            "approved_us": self._audit.now_us,
            "expires_us": expires_us,
        }
        return self._audit.record("approval", [NewRow(approvals, row)], facts)

    def _moved(self, intent: Intent, state: OrderState, **changes: object) -> Intent:
        return moved(intent, state, self._audit.now_us, **changes)

    def _attempt_row(
        self, session: Row, proposal_id: int | None, intent_id: int | None, denial: DenialReason | None
    ) -> NewRow:
        self._ledger.count_attempt(Account(session["environment"], session["subaccount"]), Mode(session["mode"]))
        return NewRow(
            attempts,
            {
                "session_id": session["session_id"],
                "environment": session["environment"],
                "subaccount": session["subaccount"],
                "mode": session["mode"],
                "at_us": self._audit.now_us,
                "proposal_id": proposal_id,
                "intent_id": intent_id,
                "denial": None if denial is None else denial.code,
            },
        )


def place_of_new(new: NewIntent, session: Row) -> OrderPlace:
    """Return the place of an order that is not stored yet."""
    account = Account(session["environment"], session["subaccount"])
    return OrderPlace(account, Mode(session["mode"]), new.session_id, new.event_ticker, str(new.request.ticker))


def _same_terms(earlier: Intent, new: NewIntent) -> bool:
    """Return whether two orders have the same market, side, price and proposed count.

    Their order groups may differ, because each session has its own groups.
    """
    request = new.request
    return (earlier.ticker, earlier.side, earlier.price_centicents, earlier.proposed_centicontracts) == (
        str(request.ticker),
        request.side,
        request.price.centicents,
        (new.proposed or request.count).centi,
    )
