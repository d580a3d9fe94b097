"""An order on its way out: planned, then denied or reserved, then simulated or recorded as about to be sent."""

from typing import Final

from kalshi_pipelines.execution.journal.errors import AlreadyPlanned, IdempotencyConflict, JournalRefused
from kalshi_pipelines.execution.journal.ledger import Ledger
from kalshi_pipelines.execution.journal.reading import Row
from kalshi_pipelines.execution.journal.recording import NewRow, facts_of
from kalshi_pipelines.execution.journal.records import Details, Intent, Mode, NewIntent, Sent
from kalshi_pipelines.execution.journal.tables import attempts, intents, order_events
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.request import request_text
from kalshi_pipelines.execution.orders.states import OrderState, Writer
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.execution.orders.worst_case import Exposure
from kalshi_pipelines.units import DOLLAR_CENTICENTS

NO_DETAILS: Final = Details()


class Admission(Ledger):
    """What happens to an order before anything of it can leave this computer."""

    def attempt(
        self,
        session_id: str,
        *,
        proposal_id: int | None = None,
        intent_id: int | None = None,
        denial: DenialReason | None = None,
        details: Details = NO_DETAILS,
    ) -> int:
        """Note that somebody tried to have an order sent which can not even be planned, and why; it counts."""
        row = self._attempt_row(self.session(session_id), proposal_id, intent_id, denial)
        return self._record("attempt", [row], facts_of(details))

    def plan(self, new: NewIntent, details: Details = NO_DETAILS) -> Intent:
        """Store an order as it would be sent, and that it was tried.

        Raises:
            AlreadyPlanned: The same signal was planned before with the same terms.
            IdempotencyConflict: The same signal was planned before with other terms.
            JournalRefused: The order is one that can not be stored, or its request says other terms than it.
        """
        session = self.session(new.session_id)
        mode = Mode(session["mode"])
        earlier = self.intent_of_key(mode, new.idempotency_key)
        if earlier is not None:
            raise AlreadyPlanned(earlier) if _same_terms(earlier, new) else IdempotencyConflict(earlier)
        intent_id = self._seq + 1
        intent = _planned(new, session, intent_id, self.now_us)
        values = _intent_values(new, session, intent)
        if request_text(values) != new.request_json:
            told = f"the order {intent.client_order_id} would be sent with other terms than it is counted with"
            raise JournalRefused("request_terms", f"{told}: nothing was stored; this is an error of the program")
        rows = [
            NewRow(intents, values),
            NewRow(
                order_events,
                {
                    "intent_id": intent_id,
                    "seq": 1,
                    "mode": mode.value,
                    "to_state": OrderState.PLANNED.value,
                    "at_us": self.now_us,
                    "writer": Writer.EXECUTOR.value,
                },
            ),
            self._attempt_row(session, new.proposal_id, intent_id, None),
        ]
        self._record("plan", rows, facts_of(details))
        return intent

    def deny(self, intent: Intent, reason: DenialReason, detail: str, details: Details = NO_DETAILS) -> Intent:
        """End a planned order that is not admitted; no counter changes."""
        told = Details(details.checks, {**details.facts, "reason": reason.code, "detail": detail})
        self._event(intent, OrderState.DENIED, "deny", told, denial=reason.code)
        return self._moved(intent, OrderState.DENIED, denial=reason)

    def reserve(self, intent: Intent, details: Details = NO_DETAILS) -> Intent:
        """Hold the worst case of a planned order in every scope.

        Raises:
            JournalRefused: It goes beyond a cap (``refusal`` says so before, in words); nothing of this is stored.
        """
        self._event(intent, OrderState.RESERVED, "reserve", details, more=self._reservation(intent))
        return self._moved(intent, OrderState.RESERVED)

    def sending(self, intent: Intent, code_version: str, details: Details = NO_DETAILS) -> Sent:
        """Record that an order is about to be sent. Only who commits this may send it, once.

        Raises:
            JournalRefused: Something the journal knows forbids it; ``rule`` says what (``send_guard:kill`` ...).
        """
        session = self.session(intent.session_id)
        facts = {
            **details.facts,
            "request": intent.request_json,
            "request_sha256": intent.request_sha256,
            "host": session["host"],
            "key_fingerprint": session["key_fingerprint"],
        }
        told = Details(details.checks, facts)
        seq = self._event(intent, OrderState.SENDING, "send", told, code_version=code_version)
        return Sent(
            audit_seq=seq,
            at_us=self.now_us,
            intent_id=intent.intent_id,
            session_id=intent.session_id,
            request_json=intent.request_json,
            request_sha256=intent.request_sha256,
            client_order_id=intent.client_order_id,
            host=str(session["host"]),
            key_fingerprint=str(session["key_fingerprint"]),
        )

    def simulated(self, intent: Intent, code_version: str, details: Details = NO_DETAILS) -> Intent:
        """End a dry run's order where a live one would be sent; it keeps its reservation, as if it rested."""
        self._event(intent, OrderState.SIMULATED, "simulate", details, code_version=code_version)
        return self._moved(intent, OrderState.SIMULATED)

    def abandon(self, intent: Intent, reason: DenialReason, detail: str, details: Details = NO_DETAILS) -> Intent:
        """End a reserved order that was never to be sent, and give back what it held."""
        told = Details(details.checks, {**details.facts, "reason": reason.code, "detail": detail})
        # Of one that was filled although it was never sent (that engages the kill switch) no notional comes back.
        released = self._released(intent, OrderState.ABANDONED.value, intent.filled_centicontracts)
        self._event(intent, OrderState.ABANDONED, "abandon", told, more=released)
        return self._moved(intent, OrderState.ABANDONED)

    def _moved(self, intent: Intent, state: OrderState, **changes: object) -> Intent:
        values = {name: getattr(intent, name) for name in Intent.__slots__}
        moved = {"state": state, "state_seq": intent.state_seq + 1, "state_us": self.now_us, **changes}
        return Intent(**{**values, **moved})

    def _attempt_row(
        self, session: Row, proposal_id: int | None, intent_id: int | None, denial: DenialReason | None
    ) -> NewRow:
        return NewRow(
            attempts,
            {
                "session_id": session["session_id"],
                "environment": session["environment"],
                "subaccount": session["subaccount"],
                "mode": session["mode"],
                "at_us": self.now_us,
                "proposal_id": proposal_id,
                "intent_id": intent_id,
                "denial": None if denial is None else denial.code,
            },
        )


def _same_terms(earlier: Intent, new: NewIntent) -> bool:
    """Whether two requests are for the same trade; another session's differ in their order group."""
    return (earlier.ticker, earlier.side, earlier.price_centicents, earlier.count_centicontracts) == (
        str(new.ticker),
        new.side,
        new.price_centicents,
        new.count_centicontracts,
    )


def _planned(new: NewIntent, session: Row, intent_id: int, now_us: int) -> Intent:
    reserved = Exposure.of_resting(new.side, new.price_centicents, new.count_centicontracts, new.fee_bound_microdollars)
    pays = new.price_centicents if new.side is Side.BID else DOLLAR_CENTICENTS - new.price_centicents
    return Intent(
        intent_id=intent_id,
        session_id=new.session_id,
        environment=session["environment"],
        subaccount=session["subaccount"],
        mode=Mode(session["mode"]),
        client_order_id=str(new.client_order_id),
        ticker=str(new.ticker),
        event_ticker=new.event_ticker,
        exchange_index=new.exchange_index,
        order_group_id=None if new.order_group_id is None else str(new.order_group_id),
        side=new.side,
        price_centicents=new.price_centicents,
        count_centicontracts=new.count_centicontracts,
        fee_bound_microdollars=new.fee_bound_microdollars,
        reserved_if_no_microdollars=reserved.if_no,
        reserved_if_yes_microdollars=reserved.if_yes,
        notional_microdollars=pays * new.count_centicontracts,
        idempotency_key=new.idempotency_key,
        request_json=new.request_json,
        request_sha256=new.request_sha256,
        valid_until_us=new.valid_until_us,
        expires_us=new.expires_us,
        planned_us=now_us,
        proposal_id=new.proposal_id,
        state=OrderState.PLANNED,
        state_seq=1,
        state_us=now_us,
        order_id=None,
        denial=None,
        told_filled_centicontracts=None,
        filled_centicontracts=0,
        fees_microdollars=0,
    )


def _intent_values(new: NewIntent, session: Row, intent: Intent) -> dict[str, object]:
    return {
        "session_id": new.session_id,
        "environment": intent.environment,
        "subaccount": intent.subaccount,
        "mode": intent.mode.value,
        "origin": session["origin"],
        "proposal_id": new.proposal_id,
        "idempotency_key": new.idempotency_key,
        "client_order_id": intent.client_order_id,
        "ticker": intent.ticker,
        "event_ticker": intent.event_ticker,
        "exchange_index": intent.exchange_index,
        "order_group_id": intent.order_group_id,
        "side": new.side.value,
        "price_centicents": new.price_centicents,
        "count_centicontracts": new.count_centicontracts,
        "time_in_force": new.time_in_force.value,
        "expires_us": new.expires_us,
        "post_only": int(new.post_only),
        "reduce_only": int(new.reduce_only),
        "cancel_order_on_pause": 1,
        "self_trade_prevention": new.self_trade_prevention,
        "fee_bound_microdollars": new.fee_bound_microdollars,
        "reserved_if_no_microdollars": intent.reserved_if_no_microdollars,
        "reserved_if_yes_microdollars": intent.reserved_if_yes_microdollars,
        "notional_microdollars": intent.notional_microdollars,
        "as_of_us": new.as_of_us,
        "valid_until_us": new.valid_until_us,
        "planned_us": intent.planned_us,
        "actor_kind": new.actor.value,
        "actor_name": new.actor_name,
        "approval_required": int(new.approval_required),
        "request_json": new.request_json,
        "request_sha256": new.request_sha256,
    }
