"""The TradeExecutor, which turns each proposal into an order, or into a denial with a reason.

``decide`` handles every order in three steps. ``planning`` reads the market and fixes the request. Admitting makes the
checks of ``admission_checks`` and reserves the order's worst case, in one transaction of the journal. Sending checks
the order again and passes it to the session's dispatch. The order is on record before anything is sent. A signal is
planned only once. If a proposal repeats a signal, ``decide`` returns the earlier order.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor.admission_checks import AdmissionChecks, filled_count
from kalshi_pipelines.execution.executor.decisions import (
    AdmittedOrder,
    Decision,
    DecisionOutcome,
    PlannedOrder,
    decision_of,
)
from kalshi_pipelines.execution.executor.dispatch import (
    OrderDispatch,
    denied_by_guard,
    release_reservation,
)
from kalshi_pipelines.execution.executor.lease_keeper import LeaseKeeper
from kalshi_pipelines.execution.executor.leaving import fit_to_position
from kalshi_pipelines.execution.executor.planning import (
    MARKET_READ_ERRORS,
    PLANNING_ERRORS,
    ExecutorInputs,
    OrderPlanning,
    denied_as_unplannable,
)
from kalshi_pipelines.execution.executor.session import TradeSession
from kalshi_pipelines.execution.gates.order_checks import (
    Denial,
    first_denial,
)
from kalshi_pipelines.execution.journal.caps import Scope
from kalshi_pipelines.execution.journal.errors import AlreadyPlanned, IdempotencyConflict, JournalRefused
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Details, Intent, Mode, NewIntent
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.journal.writing.admission_figures import OrderPlace
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint, PassCheckpoint, ignore_checkpoint
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.idempotency import former_idempotency_key, idempotency_key
from kalshi_pipelines.execution.orders.proposals import ActorKind, ProposedOrder
from kalshi_pipelines.execution.orders.states import TRIED_IN_VAIN
from kalshi_pipelines.units import microdollars, microseconds, now_us


class TradeExecutor:
    """Decides about the proposals of one trading session.

    Args:
        session: An open session. Every order has the session's mode, caps and sub-account.
        journal: The journal that records each step before the next one.
        settings: Limits of single orders.
        inputs: Readers of markets, kill switch and balance.
        dispatch: The last step of orders, in the session's mode.
        checkpoint: A function that tests use to interrupt an order between two steps.
        clock_us: A function that returns the present instant in microseconds.

    Raises:
        ValueError: Session and dispatch differ in mode, or a live session has no reader of the balance.
    """

    def __init__(
        self,
        session: TradeSession,
        journal: Journal,
        settings: TradeSettings,
        inputs: ExecutorInputs,
        dispatch: OrderDispatch,
        *,
        checkpoint: PassCheckpoint = ignore_checkpoint,
        clock_us: Callable[[], int] = now_us,
    ) -> None:
        if dispatch.mode is not session.mode:
            raise ValueError(f"a {session.mode} session cannot dispatch {dispatch.mode}")
        if session.mode is Mode.LIVE and inputs.balance is None:
            raise ValueError("a live session must read the balance of the account")
        self._session, self._journal, self._settings = session, journal, settings
        self._read, self._dispatch = inputs, dispatch
        self._checkpoint, self._clock_us = checkpoint, clock_us
        self._planning = OrderPlanning(
            session, journal, settings, inputs, dispatch, checkpoint=checkpoint, clock_us=clock_us
        )
        self._checks = AdmissionChecks(session, settings)
        self._lease = LeaseKeeper(journal, session)

    def decide(self, order: ProposedOrder, proposal_id: int | None = None) -> Decision:
        """Plan, admit and send the order of one proposal, or deny it.

        An order that needs a person's approval stays reserved, and its decision has ``waiting`` set. Once ``is_due``
        returns true for ``waiting``, call ``decide_again`` with it.

        Raises:
            JournalUnavailable: The journal cannot be read or written; nothing more was done.
        """
        self.keep_lease()
        planned = self._plan(order, proposal_id)
        self.keep_lease()
        if isinstance(planned, Decision):
            return planned
        admitted = self._admit(planned)
        if isinstance(admitted, Decision):
            return admitted
        return self._send(admitted)

    def keep_lease(self) -> Denial | None:
        """Renew the session's lease if its last renewal is old. Return a denial if the lease was lost."""
        if self._lease.keep():
            return None
        return Denial(DenialReason.SESSION_CLOSED, "the session's lease was lost")

    def is_due(self, waiting: AdmittedOrder) -> bool:
        """Return whether a waiting order can be decided now.

        A person has approved it, it is no longer valid, or the kill switch stops it.
        """
        if self._read.kill() is not None:
            return True
        now = self._clock_us()
        with self._journal.reading() as reading:
            return now > waiting.intent.valid_until_us or reading.orders.is_approved(waiting.intent, now)

    def decide_again(self, waiting: AdmittedOrder) -> Decision:
        """Send or deny an order that waited for approval, after reading the market, fee and balance again.

        Raises:
            JournalUnavailable: The journal cannot be read or written; nothing more was done.
        """
        # If the market cannot be read again, the order is checked with the market's earlier reading. One of the checks
        # fails if that reading is too old.
        with suppress(*MARKET_READ_ERRORS):
            waiting = self._planning.look_again(waiting)
        return self._send(waiting)

    def _plan(self, order: ProposedOrder, proposal_id: int | None) -> PlannedOrder | Decision:
        try:
            planned = self._planning.plan(order, proposal_id)
            return self._deny(order, proposal_id, planned) if isinstance(planned, Denial) else planned
        except PLANNING_ERRORS as error:
            return self._deny(order, proposal_id, denied_as_unplannable(error))

    def _admit(self, planned: PlannedOrder) -> AdmittedOrder | Decision:
        try:
            return self._check_and_reserve(planned)
        except JournalRefused as error:
            # The session may have ended since the order was planned: its time is over, or a reconciliation ended it.
            return self._deny(planned.order, planned.proposal_id, denied_by_guard(error))
        except PLANNING_ERRORS as error:
            return self._deny(planned.order, planned.proposal_id, denied_as_unplannable(error))

    def _check_and_reserve(self, planned: PlannedOrder) -> AdmittedOrder | Decision:
        with self._journal.writing() as transaction:
            undue = first_denial(self._checks.of_attempt(transaction.reading, planned.order))
            if undue is not None:
                return self._record_denial(transaction, planned.order, planned.proposal_id, undue)
            try:
                transaction.orders.require_new(self._new_intent(planned))
            except AlreadyPlanned as error:
                return self._record_repetition(transaction, planned, error.intent)
            except IdempotencyConflict as error:
                denied = Denial(DenialReason.IDEMPOTENCY_CONFLICT, str(error))
                return self._record_denial(transaction, planned.order, planned.proposal_id, denied)
            fitted = fit_to_position(planned, self._held(transaction, planned), self._settings)
            if isinstance(fitted, Denial):
                return self._record_denial(transaction, planned.order, planned.proposal_id, fitted)
            planned = fitted
            intent = transaction.orders.plan(self._new_intent(planned), Details(facts=planned.facts()))
            checks = self._checks.of_order(transaction.reading, planned, transaction.now_us)
            refused = first_denial(checks)
            if refused is None and (refusal := transaction.ledger.refusal(intent)) is not None:
                checks, refused = (*checks, *refusal.checks), Denial(refusal.reason, refusal.detail)
            if refused is not None:
                denied_intent = transaction.orders.deny(intent, refused.reason, refused.detail, Details(checks))
                return decision_of(planned, denied_intent, checks, refused)
            reserved = transaction.orders.reserve(intent, Details(checks))
        self._checkpoint(Checkpoint.ADMITTED)
        return AdmittedOrder(planned, reserved)

    def _held(self, transaction: JournalTransaction, planned: PlannedOrder) -> Scope:
        """Return the account's ledger of the order's market, which tells what the order can close."""
        session, request = self._session, planned.request
        event = planned.market.event_ticker
        return transaction.ledger.held(
            OrderPlace(session.account, session.mode, session.session_id, event, str(request.ticker))
        )

    def _send(self, admitted: AdmittedOrder) -> Decision:
        """Check a reserved order once more and dispatch it. If a check fails, abandon the order."""
        planned, intent = admitted.planned, admitted.intent
        killed = self._read.kill()
        with self._journal.reading() as reading:
            checks = self._checks.of_order(reading, planned, self._clock_us())
        refused = (
            Denial(DenialReason.KILL_SWITCH_ENGAGED, killed)
            if killed is not None
            else first_denial(checks) or self.keep_lease()
        )
        if refused is not None:
            abandoned = release_reservation(self._journal, intent, refused, checks)
            return decision_of(planned, abandoned, checks, refused)
        if self._lacks_approval(intent, planned):
            wanted = Denial(DenialReason.APPROVAL_REQUIRED, _describe_approval(intent))
            return replace(decision_of(planned, intent, checks, wanted), waiting=admitted)
        last = self._dispatch.dispatch(intent, planned.request, checks, self._read.kill)
        return decision_of(planned, last.intent, checks, last.denied, last.detail)

    def _lacks_approval(self, intent: Intent, planned: PlannedOrder) -> bool:
        if self._session.mode is Mode.DRY_RUN or not self._requires_approval(planned):
            return False
        with self._journal.reading() as reading:
            return not reading.orders.is_approved(intent, self._clock_us())

    def _requires_approval(self, planned: PlannedOrder) -> bool:
        return planned.order.actor is ActorKind.AGENT or planned.cost > microdollars(
            f"{self._settings.approval_dollars:f}"
        )

    def _new_intent(self, planned: PlannedOrder) -> NewIntent:
        order = planned.order
        return NewIntent(
            session_id=self._session.session_id,
            idempotency_key=idempotency_key(self._session.account, order.proposer, order.signal),
            former_key=former_idempotency_key(self._session.account, order.signal),
            request=planned.request,
            event_ticker=planned.market.event_ticker,
            fee_bound_microdollars=planned.fee_bound,
            as_of_us=microseconds(order.as_of),
            valid_until_us=microseconds(order.valid_until),
            actor=order.actor,
            actor_name=order.actor_name,
            approval_required=self._requires_approval(planned),
            proposal_id=planned.proposal_id,
            proposed=order.count,
        )

    def _deny(self, order: ProposedOrder, proposal_id: int | None, denied: Denial) -> Decision:
        with self._journal.writing() as transaction:
            return self._record_denial(transaction, order, proposal_id, denied)

    def _record_denial(
        self, transaction: JournalTransaction, order: ProposedOrder, proposal_id: int | None, denied: Denial
    ) -> Decision:
        transaction.orders.record_attempt(
            self._session.session_id,
            proposal_id=proposal_id,
            denial=denied.reason,
            details=Details(facts={"detail": denied.detail, "ticker": str(order.ticker)}),
        )
        return Decision(DecisionOutcome.DENIED, order, proposal_id, None, denied.reason, denied.detail)

    def _record_repetition(self, transaction: JournalTransaction, planned: PlannedOrder, intent: Intent) -> Decision:
        # Recording this attempt marks the proposal as decided, so that it no longer counts as pending.
        transaction.orders.record_attempt(
            self._session.session_id, proposal_id=planned.proposal_id, intent_id=intent.intent_id
        )
        detail = f"intent {intent.intent_id} of this signal is already {intent.state.value}"
        if intent.state in TRIED_IN_VAIN and not filled_count(intent):
            detail += "; `propose --again` makes the next attempt"
        return Decision(DecisionOutcome.KNOWN, planned.order, planned.proposal_id, intent, intent.denial, detail)


def _describe_approval(intent: Intent) -> str:
    return f"approve intent {intent.intent_id}: {intent.request_json}"
