"""The last step of an order: recorded as sent and sent once, or recorded as simulated. Two types, no switch.

``SimulatedDispatch`` holds no key, no address and no transport, so a dry run has nothing it could send with.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol

import orjson

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.executor.session import TradeSession
from kalshi_pipelines.execution.gates.order_checks import Denied
from kalshi_pipelines.execution.journal.errors import JournalRefused, JournalUnavailable
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Check, Details, Intent, Mode, Sent
from kalshi_pipelines.execution.orders.answers import AnswerVerdict, OrderAnswer, SendFailure, error_text, judge_answer
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint, PassCheckpoint, passed
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.request import OrderRequest
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import InvalidTerms, OrderId
from kalshi_pipelines.execution.transport.order_transport import OrderTransport
from kalshi_pipelines.execution.transport.permits import SendPermit
from kalshi_pipelines.units import SECOND_US

#: Why the journal's guard did not let an order go, as a reason.
GUARD_DENIALS: Final = {
    "not_live": DenialReason.ORIGIN_NOT_LIVE,
    "kill": DenialReason.KILL_SWITCH_ENGAGED,
    "killed_since_opened": DenialReason.SESSION_CLOSED,
    "session_expired": DenialReason.SESSION_CLOSED,
    "session_ended": DenialReason.SESSION_CLOSED,
    "lease": DenialReason.SESSION_CLOSED,
    "code_version": DenialReason.CODE_VERSION_CHANGED,
    "clock": DenialReason.CLOCK_SKEWED,
    "stale": DenialReason.PROPOSAL_EXPIRED,
    "breached": DenialReason.SCOPE_BREACHED,
    "unresolved": DenialReason.UNRESOLVED_ORDER,
    "fenced": DenialReason.SESSION_CLOSED,
    "approval": DenialReason.APPROVAL_REQUIRED,
}
#: Contracts that may be matched in any 15 seconds of a session's group: a brake, not a cap.
GROUP_CONTRACTS: Final = 10_000
#: So many orders in a row that were refused or could not be sent end trading: something is not understood.
MOST_REFUSALS_IN_A_ROW: Final = 3
#: An order that is recorded later than so long after the last look is not sent any more.
MOST_TIME_TO_COMMIT_US: Final = 5 * SECOND_US
#: Tells why no new risk may be taken now, or None.
KillReader = Callable[[], str | None]


class GroupNotMade(ExpectedError):
    """The exchange did not confirm an order group, so no order can be fenced; none is sent."""


@dataclass(frozen=True, slots=True)
class DispatchResult:
    """Where an order is after its last step; ``denied`` if it was held back, ``detail`` of what the exchange said."""

    intent: Intent
    denied: Denied | None = None
    detail: str = ""


class OrderDispatch(Protocol):
    """What becomes of an order that was admitted."""

    mode: Mode

    def ensure_group(self, exchange_index: int) -> OrderId | None:
        """The order group orders of a shard belong to; None if there is none in this mode."""
        ...

    def dispatch(
        self, intent: Intent, request: OrderRequest, checks: tuple[Check, ...], kill: KillReader
    ) -> DispatchResult:
        """Take a reserved order on its last step, unless somebody says stop meanwhile."""
        ...


class SimulatedDispatch:
    """Records where an order would have been sent."""

    mode = Mode.DRY_RUN

    def __init__(self, journal: Journal, session: TradeSession) -> None:
        self._journal, self._session = journal, session

    def ensure_group(self, exchange_index: int) -> OrderId | None:
        """None: nothing is sent, so nothing has to be fenced."""
        del exchange_index
        return None

    def dispatch(
        self, intent: Intent, request: OrderRequest, checks: tuple[Check, ...], kill: KillReader
    ) -> DispatchResult:
        """End the order as simulated; it keeps its reservation, as if it rested."""
        del request, kill
        with self._journal.writing() as transaction:
            present = transaction.reading.orders.intent(intent.intent_id)
            if present.state is not OrderState.RESERVED:
                return DispatchResult(present)
            if transaction.reading.halts.kill_state().engaged:
                killed = Denied(DenialReason.KILL_SWITCH_ENGAGED, transaction.reading.halts.kill_state().reason)
                return DispatchResult(
                    transaction.orders.abandon(intent, killed.reason, killed.detail, Details(checks)), killed
                )
            return DispatchResult(
                transaction.orders.record_simulation(intent, self._session.code_version, Details(checks))
            )


class LiveDispatch:
    """Records that an order is sent, sends it once, and records what that proved."""

    mode = Mode.LIVE

    def __init__(
        self, journal: Journal, session: TradeSession, transport: OrderTransport, checkpoint: PassCheckpoint = passed
    ) -> None:
        self._journal, self._session, self._transport = journal, session, transport
        self._checkpoint = checkpoint
        self._refusals = 0

    def ensure_group(self, exchange_index: int) -> OrderId:
        """The session's order group on a shard, made when it is first needed.

        Raises:
            GroupNotMade: The exchange did not confirm it.
        """
        with self._journal.reading() as reading:
            known = reading.sessions.groups(self._session.session_id).get(exchange_index)
        if known is not None:
            return OrderId(known)
        made = _read_group_id(self._transport.create_order_group(exchange_index, GROUP_CONTRACTS))
        with self._journal.writing() as transaction:
            transaction.sessions.add_group(self._session.session_id, exchange_index, str(made), 100 * GROUP_CONTRACTS)
        return made

    def dispatch(
        self, intent: Intent, request: OrderRequest, checks: tuple[Check, ...], kill: KillReader
    ) -> DispatchResult:
        """Send the order, once; whatever interrupts that leaves it unknown, never forgotten."""
        if not self._transport.take_order_tokens():
            spent = Denied(DenialReason.RATE_BUDGET_SPENT, "too few write tokens beside those kept")
            return DispatchResult(release_reservation(self._journal, intent, spent, checks), spent)
        try:
            with self._journal.writing() as transaction:
                sent = transaction.orders.record_sending(intent, self._session.code_version, Details(checks))
                sending = transaction.reading.orders.intent(intent.intent_id)
        except JournalRefused as error:
            refused = Denied(GUARD_DENIALS.get(error.rule.partition(":")[2], DenialReason.CHECK_FAILED), str(error))
            return DispatchResult(release_reservation(self._journal, intent, refused, checks), refused)
        self._checkpoint(Checkpoint.SENDING_COMMITTED)
        with self._record_unknown_if_interrupted(sending):
            answer = self._send_unless_stopped(sent, kill)
        self._checkpoint(Checkpoint.ANSWERED)
        with self._record_unknown_if_interrupted(sending):
            told = judge_answer(answer, request)
            moved = self._record_verdict(sending, told, answer)
        self._checkpoint(Checkpoint.ANSWER_COMMITTED)
        return DispatchResult(moved, detail=told.detail)

    def _send_unless_stopped(self, sent: Sent, kill: KillReader) -> OrderAnswer:
        """Send it, unless somebody says stop by now, or everything was looked at long ago: a disk or server may stall.

        The journal's own switch was looked at as it was recorded; a file or variable may have come since.
        """
        killed = kill()
        if killed is not None:
            return OrderAnswer(
                None, failure=SendFailure.NOT_SENT, detail=f"the kill switch was engaged meanwhile ({killed})"
            )
        late_us = self._journal.now_us() - sent.at_us
        if not 0 <= late_us <= MOST_TIME_TO_COMMIT_US:
            why = f"it took {late_us // 1_000} ms to record that it is being sent"
            return OrderAnswer(None, failure=SendFailure.NOT_SENT, detail=why)
        return self._transport.place(SendPermit(sent))

    @contextmanager
    def _record_unknown_if_interrupted(self, sending: Intent) -> Iterator[None]:
        """Whatever breaks in: the order is recorded as unknown first. Without a journal the reconciliation does it."""
        try:
            yield
        except BaseException as error:
            unknown = AnswerVerdict(OrderState.UNKNOWN, f"interrupted by {type(error).__name__}")
            with suppress(JournalUnavailable):
                self._record_verdict(
                    sending, unknown, OrderAnswer(None, failure=SendFailure.LOST, detail=unknown.detail)
                )
            raise

    def _record_verdict(self, sending: Intent, told: AnswerVerdict, answer: OrderAnswer) -> Intent:
        self._refusals = self._refusals + 1 if told.state is OrderState.REJECTED else 0
        facts = {
            "detail": told.detail,
            "status": answer.status,
            "failure": answer.failure.value if answer.failure else None,
            "exchange_ms": told.ts_ms,
            "remaining_centicontracts": told.remaining,
        }
        ended = told.state in (OrderState.EXECUTED, OrderState.CANCELED, OrderState.REJECTED)
        with self._journal.writing() as transaction:
            # The reconciliation may have looked meanwhile; what it found out is more than this answer.
            present = transaction.reading.orders.intent(sending.intent_id)
            if present.state is not OrderState.SENDING:
                transaction.audit.append("answer", {**facts, "intent_id": sending.intent_id, "said": told.state.value})
                return present
            moved = transaction.orders.record_answer(
                present,
                told.state,
                order_id=None if told.order_id is None else str(told.order_id),
                filled_centicontracts=told.filled if ended or told.order_id else None,
                details=Details(facts=facts),
            )
            if self._refusals >= MOST_REFUSALS_IN_A_ROW and not transaction.reading.halts.kill_state().engaged:
                why = f"{self._refusals} orders in a row were not taken, the last: {told.detail}"
                transaction.halts.engage(1, "executor", "executor", why)
            return moved


def release_reservation(journal: Journal, intent: Intent, refused: Denied, checks: tuple[Check, ...]) -> Intent:
    """End a reserved order that is not sent; one the reconciliation has ended meanwhile stays as it is."""
    with journal.writing() as transaction:
        present = transaction.reading.orders.intent(intent.intent_id)
        if present.state is not OrderState.RESERVED:
            return present
        return transaction.orders.abandon(present, refused.reason, refused.detail, Details(checks))


def _read_group_id(answer: OrderAnswer) -> OrderId:
    if answer.status not in (200, 201):
        raise GroupNotMade(
            f"the order group was not made ({answer.status or answer.detail}): {error_text(answer.body)}"
        )
    try:
        return OrderId(orjson.loads(answer.body)["order_group_id"])
    except (ValueError, KeyError, TypeError, InvalidTerms):
        raise GroupNotMade(f"the exchange's answer names no order group: {error_text(answer.body)}") from None
