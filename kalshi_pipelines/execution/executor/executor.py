"""The TradeExecutor, which turns each proposal into an order, or into a denial with a reason.

``decide`` handles every order in three steps. Planning reads the market and fixes the request. Admitting checks the
order and reserves its worst case in one transaction of the journal. Sending checks the order again and passes it to the
session's dispatch. The order is on record before anything is sent. A signal is planned only once. If a proposal repeats
a signal, ``decide`` returns the earlier order.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor.decisions import (
    AdmittedOrder,
    Decision,
    DecisionOutcome,
    PlannedOrder,
    ShardBalance,
    decision_of,
)
from kalshi_pipelines.execution.executor.dispatch import (
    GUARD_DENIALS,
    GroupNotMade,
    KillReader,
    OrderDispatch,
    release_reservation,
)
from kalshi_pipelines.execution.executor.lease_keeper import LeaseKeeper
from kalshi_pipelines.execution.executor.leaving import fit_to_position
from kalshi_pipelines.execution.executor.session import TradeSession
from kalshi_pipelines.execution.gates.market_snapshot import MarketReader, MarketSnapshot, UnreadableMarket
from kalshi_pipelines.execution.gates.order_checks import (
    Denial,
    balance_check,
    check,
    fee_bound_check,
    first_denial,
    market_checks,
    own_book_check,
    proposal_checks,
)
from kalshi_pipelines.execution.journal.caps import Scope
from kalshi_pipelines.execution.journal.errors import AlreadyPlanned, IdempotencyConflict, JournalRefused
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.records import Check, Details, Intent, Mode, NewIntent
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.journal.writing.admission_figures import OrderPlace
from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint, PassCheckpoint, ignore_checkpoint
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.idempotency import client_order_id, former_idempotency_key, idempotency_key
from kalshi_pipelines.execution.orders.proposals import ActorKind, ProposedOrder
from kalshi_pipelines.execution.orders.request import OrderRequest
from kalshi_pipelines.execution.orders.states import TRIED_IN_VAIN, OrderState
from kalshi_pipelines.execution.text import safe_line
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.units import microdollars, microseconds, now_us
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable

#: Errors that reading a market can raise. Every read first takes tokens from the rate budget in the warehouse, so these
#: errors include a failure of the warehouse.
MARKET_READ_ERRORS: Final = (KalshiError, UnreadableMarket, WarehouseUnavailable)
#: Errors that an unusual proposal can cause while it is planned. Such an error denies only this one proposal.
PLANNING_ERRORS: Final = (ValueError, ArithmeticError, LookupError, TypeError)
#: The type of functions that return the micro-dollars available on a shard, or None if the balance cannot be read.
BalanceReader = Callable[[int], int | None]


@dataclass(frozen=True, slots=True)
class ExecutorInputs:
    """The functions with which the executor reads markets, the kill switch and the account's balance."""

    markets: MarketReader
    kill: KillReader
    balance: BalanceReader | None = None
    """The reader of the balance. It is None in a dry run, which has no key for reading the balance."""
    used_elsewhere: frozenset[str] = frozenset()
    """Client order ids of orders that another journal placed. The exchange may accept such an id a second time."""


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
        """Return whether a waiting order can be decided now: a person has approved it, or it is no longer valid."""
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
            waiting = self._look_again(waiting)
        return self._send(waiting)

    def _plan(self, order: ProposedOrder, proposal_id: int | None) -> PlannedOrder | Decision:
        try:
            return self._read_and_plan(order, proposal_id)
        except PLANNING_ERRORS as error:
            return self._deny(order, proposal_id, _denied_as_unplannable(error))

    def _read_and_plan(self, order: ProposedOrder, proposal_id: int | None) -> PlannedOrder | Decision:
        early = first_denial(proposal_checks(order, self._settings, self._clock_us()))
        if early is not None:
            return self._deny(order, proposal_id, early)
        killed = self._read.kill()
        if killed is not None:
            return self._deny(order, proposal_id, Denial(DenialReason.KILL_SWITCH_ENGAGED, killed))
        often = self._check_attempt_rate()
        if often is not None:
            return self._deny(order, proposal_id, often)
        client_id = client_order_id(idempotency_key(self._session.account, order.proposer, order.signal))
        if str(client_id) in self._read.used_elsewhere:
            detail = f"another journal placed order {client_id} for this signal"
            return self._deny(order, proposal_id, Denial(DenialReason.IDEMPOTENCY_CONFLICT, detail))
        try:
            market = self._read.markets(order.ticker)
            group = self._dispatch.ensure_group(market.exchange_index)
        except (*MARKET_READ_ERRORS, GroupNotMade, JournalRefused) as error:
            return self._deny(order, proposal_id, Denial(DenialReason.CHECK_FAILED, str(error)))
        self._checkpoint(Checkpoint.INPUTS_READ)
        bound, fee_check = fee_bound_check(order, order.count, market, self._settings)
        request = OrderRequest(
            client_order_id=client_id,
            ticker=order.ticker,
            side=order.leg.side,
            price=order.leg.yes_price,
            count=order.count,
            time_in_force=order.time_in_force,
            subaccount=self._session.account.subaccount,
            exchange_index=market.exchange_index,
            order_group_id=group,
            expires_us=None if order.expires is None else microseconds(order.expires),
            post_only=order.post_only,
            reduce_only=order.reduce_only,
        )
        balance = self._read_balance(market.exchange_index)
        return PlannedOrder(order, proposal_id, request, market, bound, (fee_check,), balance)

    def _check_attempt_rate(self) -> Denial | None:
        """Return a denial if the account has used up its attempts of the last minute.

        This check comes before the market is read and an order group is created. Creating a group is a write to the
        exchange, and no reservation limits how many groups are created.
        """
        session, most = self._session, self._session.caps.attempts_per_minute
        with self._journal.reading() as reading:
            tried = reading.orders.attempts_in_last_minute(session.account, session.mode, self._clock_us())
        if tried < most:
            return None
        return Denial(DenialReason.CAP_MESSAGE_RATE, f"{tried} attempts in the last minute; the cap is {most}")

    def _read_balance(self, exchange_index: int) -> ShardBalance | None:
        return None if self._read.balance is None else ShardBalance(self._read.balance(exchange_index))

    def _admit(self, planned: PlannedOrder) -> AdmittedOrder | Decision:
        try:
            return self._check_and_reserve(planned)
        except JournalRefused as error:
            # The session may have ended since the order was planned: its time is over, or a reconciliation ended it.
            reason = GUARD_DENIALS.get(error.rule.partition(":")[2], DenialReason.CHECK_FAILED)
            return self._deny(planned.order, planned.proposal_id, Denial(reason, str(error)))
        except PLANNING_ERRORS as error:
            return self._deny(planned.order, planned.proposal_id, _denied_as_unplannable(error))

    def _check_and_reserve(self, planned: PlannedOrder) -> AdmittedOrder | Decision:
        with self._journal.writing() as transaction:
            undue = first_denial(self._attempt_checks(transaction.reading, planned.order))
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
            checks = self._checks(transaction.reading, planned, transaction.now_us)
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
            checks = self._checks(reading, planned, self._clock_us())
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

    def _look_again(self, admitted: AdmittedOrder) -> AdmittedOrder:
        """Check market, fee and balance again for an order that waited for approval, and return the order.

        The order's request and reservation were fixed when the order was planned. If the market's shard, event or fee
        terms have changed since then, a check fails and the order is abandoned.

        Raises:
            KalshiError, UnreadableMarket, WarehouseUnavailable: The market cannot be read.
        """
        planned = admitted.planned
        market = self._read.markets(planned.order.ticker)
        _, fee_check = fee_bound_check(planned.order, planned.request.count, market, self._settings)
        checks = (_same_terms_check(planned.market, market), fee_check)
        balance = self._read_balance(market.exchange_index)
        return replace(admitted, planned=replace(planned, market=market, checks=checks, balance=balance))

    def _lacks_approval(self, intent: Intent, planned: PlannedOrder) -> bool:
        if self._session.mode is Mode.DRY_RUN or not self._requires_approval(planned):
            return False
        with self._journal.reading() as reading:
            return not reading.orders.is_approved(intent, self._clock_us())

    def _requires_approval(self, planned: PlannedOrder) -> bool:
        return planned.order.actor is ActorKind.AGENT or planned.cost > microdollars(
            f"{self._settings.approval_dollars:f}"
        )

    def _checks(self, reading: JournalReading, planned: PlannedOrder, at_us: int) -> tuple[Check, ...]:
        own = reading.orders.open_intents(self._session.account, mode=self._session.mode)
        if self._session.mode is Mode.DRY_RUN:
            # Open orders of other dry runs are ignored, because they never rest at the exchange. The orders of a killed
            # dry run stay open for ever and could deny the orders of every later dry run.
            own = [intent for intent in own if intent.session_id == self._session.session_id]
        order = planned.order
        return (
            *proposal_checks(order, self._settings, at_us),
            *market_checks(order, planned.market, self._settings, at_us, only_closes=planned.only_closes),
            *planned.checks,
            *_balance_checks(planned),
            own_book_check(order, own),
            _unresolved_check(order, own),
            *self._reconciled_checks(reading, at_us),
        )

    def _attempt_checks(self, reading: JournalReading, order: ProposedOrder) -> tuple[Check, ...]:
        """Check that the signal's previous attempt ended without a fill.

        Otherwise the same signal could be traded twice.
        """
        if order.signal.attempt == 1:
            return ()
        signal = replace(order.signal, attempt=order.signal.attempt - 1)
        account = self._session.account
        before = reading.orders.intent_of_key(
            self._session.mode,
            idempotency_key(account, order.proposer, signal),
            former_idempotency_key(account, signal),
        )
        return (
            check(
                DenialReason.ATTEMPT_NOT_DUE,
                before is not None
                and before.state in TRIED_IN_VAIN
                and not _filled(before)
                and not reading.acknowledgements.filled_elsewhere(before.intent_id),
                f"attempt {signal.attempt} that ended without a fill",
                "no such attempt"
                if before is None
                else f"{before.state.value}, {amounts.count(_filled(before))} filled",
            ),
        )

    def _reconciled_checks(self, reading: JournalReading, at_us: int) -> tuple[Check, ...]:
        """Check that the account's last reconciliation is recent and clean. A dry run needs no reconciliation."""
        if self._session.mode is Mode.DRY_RUN:
            return ()
        account = self._session.account
        last, counted = (
            reading.reconciliations.newest(account),
            reading.reconciliations.has_any_since_first_session(account),
        )
        limit = self._settings.reconciled_minutes * 60_000_000
        return (
            check(
                DenialReason.RECONCILIATION_NOT_CLEAN,
                last is not None and last.clean and counted and 0 <= at_us - last.finished_us <= limit,
                f"a clean reconciliation in the last {self._settings.reconciled_minutes} minutes",
                "none since the first session, so positions are not counted yet"
                if last is None or not counted
                else f"{last.differences} differences, {(at_us - last.finished_us) // 1_000} ms ago",
            ),
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
        if intent.state in TRIED_IN_VAIN and not _filled(intent):
            detail += "; `propose --again` makes the next attempt"
        return Decision(DecisionOutcome.KNOWN, planned.order, planned.proposal_id, intent, intent.denial, detail)


def _balance_checks(planned: PlannedOrder) -> tuple[Check, ...]:
    """Check that the balance covers the cost of the order. An order that only closes a position costs nothing."""
    if planned.balance is None or planned.only_closes:
        return ()
    available = planned.balance.available_microdollars
    return (balance_check(available, planned.cost, planned.request.exchange_index),)


def _same_terms_check(before: MarketSnapshot, now: MarketSnapshot) -> Check:
    """Check that the market's shard, event and fee terms are unchanged since the order was planned."""
    planned, present = (
        f"shard {market.exchange_index}, event {market.event_ticker}, fee {market.fee_type} times "
        f"{str(market.fee_multiplier)[:40]}"
        for market in (before, now)
    )
    return check(DenialReason.CHECK_FAILED, planned == present, f"as planned: {planned}", present)


def _denied_as_unplannable(error: Exception) -> Denial:
    return Denial(
        DenialReason.CHECK_FAILED, f"the order cannot be planned: {type(error).__name__}: {safe_line(str(error))}"
    )


def _filled(intent: Intent) -> int:
    """Return the filled centi-contracts of an order.

    The count is the larger one of two: the sum of the recorded fills, and the filled count in the exchange's last
    answer.
    """
    return max(intent.filled_centicontracts, intent.reported_filled_centicontracts or 0)


def _unresolved_check(order: ProposedOrder, own: Iterable[Intent]) -> Check:
    unresolved = [
        str(intent.intent_id)
        for intent in own
        if intent.ticker == str(order.ticker) and intent.state in (OrderState.SENDING, OrderState.UNKNOWN)
    ]
    return check(DenialReason.UNRESOLVED_ORDER, not unresolved, "none in this market", ", ".join(unresolved) or "none")


def _describe_approval(intent: Intent) -> str:
    return f"approve intent {intent.intent_id}: {intent.request_json}"
