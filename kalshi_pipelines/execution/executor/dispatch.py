"""The last step of an order: ``LiveDispatch`` sends the order once, ``SimulatedDispatch`` only records it.

``SimulatedDispatch`` holds no key, no address and no transport, so a dry run has no means of sending.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol

import orjson

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.executor.session import TradeSession
from kalshi_pipelines.execution.gates.order_checks import Denial
from kalshi_pipelines.execution.journal.errors import JournalRefused, JournalUnavailable
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Check, Details, Intent, Mode, Sent
from kalshi_pipelines.execution.orders.answers import AnswerVerdict, OrderAnswer, SendFailure, error_text, judge_answer
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint, PassCheckpoint, ignore_checkpoint
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.request import OrderRequest
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import InvalidTerms, OrderId
from kalshi_pipelines.execution.transport.order_transport import OrderTransport
from kalshi_pipelines.execution.transport.permits import SendPermit
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.units import SECOND_US

#: The denial reason for each rule with which a guard of the journal can refuse an order. Each key is the part of the
#: rule's name after the colon: ``kill`` stands for ``send_guard:kill``.
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
#: A sentence for people about the finding of the guard, for each rule.
_GUARD_SENTENCES: Final = {
    "not_live": "The session was not opened as a live session by hand.",
    "kill": "The kill switch is engaged.",
    "killed_since_opened": "The kill switch was engaged after this session was opened, so the session stays stopped.",
    "session_expired": "The time of this session is over.",
    "session_ended": "This session has ended.",
    "lease": "This session no longer holds the lease of its sub-account.",
    "code_version": "The program has changed since this session was opened.",
    "clock": "The clock went back since the order was planned.",
    "stale": "The proposal is not valid at this time.",
    "breached": "Facts exceeded the cap on the worst loss of a scope that the order belongs to.",
    "unresolved": "The outcome of another order in this market is unknown.",
    "fenced": "The session's order group is fenced, so the exchange accepts no order of it.",
    "approval": "No other person has approved exactly this request.",
}
#: The largest number of an order group's contracts that the exchange matches in any 15 seconds. This limit only slows
#: fills down; the ledger enforces the caps.
GROUP_CONTRACTS: Final = 10_000
#: The kill switch is engaged when this number of orders in a row were refused or could not be sent. A refusal that only
#: tells how the market stood does not count, and does not interrupt the row.
MOST_REFUSALS_IN_A_ROW: Final = 3
#: The longest time between recording that an order is being sent and the first byte of the order, in microseconds. If
#: more time has passed, the order is not sent.
MOST_TIME_TO_SEND_US: Final = 5 * SECOND_US
#: The type of functions that return why the kill switch forbids orders now, or None if the kill switch permits orders.
KillReader = Callable[[], str | None]


_LONGEST_REASON: Final = 1_000


def denied_by_guard(error: JournalRefused) -> Denial:
    """Return the denial for a refusal by a guard of the journal, with a sentence for people."""
    rule = error.rule.partition(":")[2]
    return Denial(GUARD_DENIALS.get(rule, DenialReason.CHECK_FAILED), _GUARD_SENTENCES.get(rule, str(error)))


def _nobody() -> str | None:
    return None


class GroupNotMade(ExpectedError):
    """The exchange did not confirm an order group.

    The order was not sent, because an order without a group cannot be fenced.
    """


@dataclass(frozen=True, slots=True)
class DispatchResult:
    """The result of dispatching an order: the order's intent, with its new state, and an explanation.

    ``denied`` explains why the order was not sent. If the executor tried to send the order, ``detail`` describes the
    result, such as the exchange's answer.
    """

    intent: Intent
    denied: Denial | None = None
    detail: str = ""


class OrderDispatch(Protocol):
    """The interface of an order's last step: an admitted order is sent in a live session and simulated in a dry run."""

    mode: Mode

    def ensure_group(self, exchange_index: int) -> OrderId | None:
        """Return the order group for orders of a shard, or None in a mode that sends nothing."""
        ...

    def dispatch(
        self, intent: Intent, request: OrderRequest, checks: tuple[Check, ...], kill: KillReader
    ) -> DispatchResult:
        """Send or simulate a reserved order, unless the kill switch has been engaged meanwhile."""
        ...


class SimulatedDispatch:
    """The last step of an order in a dry run: the order is recorded, and nothing is sent."""

    mode = Mode.DRY_RUN

    def __init__(self, journal: Journal, session: TradeSession) -> None:
        self._journal, self._session = journal, session

    def ensure_group(self, exchange_index: int) -> OrderId | None:
        """Return None. A dry run sends no orders, so it needs no order group."""
        del exchange_index
        return None

    def dispatch(
        self, intent: Intent, request: OrderRequest, checks: tuple[Check, ...], kill: KillReader
    ) -> DispatchResult:
        """Record the order as simulated. The order keeps its reservation, as a resting order does."""
        del request, kill
        with self._journal.writing() as transaction:
            present = transaction.reading.orders.intent(intent.intent_id)
            if present.state is not OrderState.RESERVED:
                return DispatchResult(present)
            if transaction.reading.halts.kill_state().engaged:
                killed = Denial(DenialReason.KILL_SWITCH_ENGAGED, transaction.reading.halts.kill_state().reason)
                return DispatchResult(
                    transaction.orders.abandon(intent, killed.reason, killed.detail, Details(checks)), killed
                )
            return DispatchResult(
                transaction.orders.record_simulation(intent, self._session.code_version, Details(checks))
            )


class LiveDispatch:
    """The last step of an order in a live session: record that it is being sent, send it once, record the answer."""

    mode = Mode.LIVE

    def __init__(
        self,
        journal: Journal,
        session: TradeSession,
        transport: OrderTransport,
        checkpoint: PassCheckpoint = ignore_checkpoint,
        newcomer: Callable[[], str | None] = _nobody,
    ) -> None:
        self._journal, self._session, self._transport = journal, session, transport
        self._checkpoint, self._newcomer = checkpoint, newcomer
        self._refusals = 0

    def ensure_group(self, exchange_index: int) -> OrderId:
        """Return the session's order group on a shard. The group is created when a shard is first used.

        Raises:
            GroupNotMade: The exchange did not confirm the new group, or another journal or person trades.
        """
        with self._journal.reading() as reading:
            known = reading.sessions.groups(self._session.session_id).get(exchange_index)
        if known is not None:
            return OrderId(known)
        made = _read_group_id(self._transport.create_order_group(exchange_index, GROUP_CONTRACTS))
        with self._journal.writing() as transaction:
            transaction.sessions.add_group(self._session.session_id, exchange_index, str(made), 100 * GROUP_CONTRACTS)
        self._require_no_newcomer()
        return made

    def _require_no_newcomer(self) -> None:
        """End the session if another journal or person began to trade the sub-account after it was opened.

        The session's own order group is listed already. If two sessions begin at once, at least one of them therefore
        sees the other's group before its first order.

        Raises:
            GroupNotMade: Another order group exists, or the order groups cannot be read. The session has ended.
        """
        try:
            found = self._newcomer()
        except (KalshiError, ValueError) as error:
            found = f"the order groups of the sub-account cannot be read ({error})"
        if found is not None:
            with self._journal.writing() as transaction:
                transaction.sessions.end(self._session.session_id, f"another journal trades: {found}"[:_LONGEST_REASON])
            raise GroupNotMade(
                f"The session has ended, because {found}.", "Let only one journal trade the sub-account."
            )

    def dispatch(
        self, intent: Intent, request: OrderRequest, checks: tuple[Check, ...], kill: KillReader
    ) -> DispatchResult:
        """Send the order once.

        If sending is interrupted, record the order as unknown, so that a reconciliation resolves it.
        """
        if not self._transport.take_order_tokens():
            spent = Denial(DenialReason.RATE_BUDGET_SPENT, "too few write tokens besides those kept for cancels")
            return DispatchResult(release_reservation(self._journal, intent, spent, checks), spent)
        try:
            with self._journal.writing() as transaction:
                sent = transaction.orders.record_sending(intent, self._session.code_version, Details(checks))
                sending = transaction.reading.orders.intent(intent.intent_id)
        except JournalRefused as error:
            refused = denied_by_guard(error)
            return DispatchResult(release_reservation(self._journal, intent, refused, checks), refused)
        self._checkpoint(Checkpoint.SENDING_COMMITTED)
        with self._record_unknown_if_interrupted(sending):
            answer = self._send_unless_stopped(sent, kill)
        self._checkpoint(Checkpoint.ANSWERED)
        with self._record_unknown_if_interrupted(sending):
            verdict = judge_answer(answer, request)
            moved = self._record_verdict(sending, verdict, answer)
        self._checkpoint(Checkpoint.ANSWER_COMMITTED)
        return DispatchResult(moved, detail=verdict.detail)

    def _send_unless_stopped(self, sent: Sent, kill: KillReader) -> OrderAnswer:
        """Send an order after its sending is recorded, unless the kill switch is engaged or recording took too long.

        Both are checked twice: before connecting, and again after connecting, immediately before the first byte.
        Connecting can take seconds, and a kill that is given meanwhile must stop the order.
        """
        stopped = self._why_stopped(sent, kill)
        if stopped is not None:
            return OrderAnswer(None, failure=SendFailure.NOT_SENT, detail=stopped)
        return self._transport.place(SendPermit(sent, lambda: self._why_stopped(sent, kill)))

    def _why_stopped(self, sent: Sent, kill: KillReader) -> str | None:
        """Return why a recorded order must not leave now, or None.

        The transaction that recorded the sending has checked the journal's kill switch. Since then, any source of the
        kill switch may have been engaged. A slow disk, server or connection may also have made the checks outdated.
        """
        killed = kill()
        if killed is not None:
            return f"the kill switch was engaged before the request left ({killed})"
        late_us = self._journal.now_us() - sent.at_us
        if not 0 <= late_us <= MOST_TIME_TO_SEND_US:
            return f"{late_us // 1_000} ms have passed since the sending was recorded"
        return None

    @contextmanager
    def _record_unknown_if_interrupted(self, sending: Intent) -> Iterator[None]:
        """Record the order as unknown if an error interrupts this block, then let the error pass.

        If the journal is unavailable, the next reconciliation records the order as unknown instead.
        """
        try:
            yield
        except BaseException as error:
            unknown = AnswerVerdict(OrderState.UNKNOWN, f"interrupted by {type(error).__name__}")
            with suppress(JournalUnavailable):
                self._record_verdict(
                    sending, unknown, OrderAnswer(None, failure=SendFailure.LOST, detail=unknown.detail)
                )
            raise

    def _record_verdict(self, sending: Intent, verdict: AnswerVerdict, answer: OrderAnswer) -> Intent:
        if not verdict.is_ordinary:
            self._refusals = self._refusals + 1 if verdict.state is OrderState.REJECTED else 0
        facts = {
            "detail": verdict.detail,
            "status": answer.status,
            "failure": answer.failure.value if answer.failure else None,
            "exchange_ms": verdict.ts_ms,
            "remaining_centicontracts": verdict.remaining,
        }
        ended = verdict.state in (OrderState.EXECUTED, OrderState.CANCELED, OrderState.REJECTED)
        with self._journal.writing() as transaction:
            # A reconciliation may have resolved the order while the request was under way. In that case the state from
            # the reconciliation stays, and the answer to the request is only added to the audit log.
            present = transaction.reading.orders.intent(sending.intent_id)
            if present.state is not OrderState.SENDING:
                transaction.audit.append(
                    "answer", {**facts, "intent_id": sending.intent_id, "said": verdict.state.value}
                )
                return present
            moved = transaction.orders.record_answer(
                present,
                verdict.state,
                order_id=None if verdict.order_id is None else str(verdict.order_id),
                filled_centicontracts=verdict.filled if ended or verdict.order_id else None,
                details=Details(facts=facts),
            )
            if self._refusals >= MOST_REFUSALS_IN_A_ROW and not transaction.reading.halts.kill_state().engaged:
                why = f"{self._refusals} orders in a row were refused or could not be sent, the last: {verdict.detail}"
                transaction.halts.engage(1, "executor", "executor", why)
            return moved


def release_reservation(journal: Journal, intent: Intent, refused: Denial, checks: tuple[Check, ...]) -> Intent:
    """Abandon a reserved order and return its intent. If the order is no longer reserved, leave it unchanged."""
    with journal.writing() as transaction:
        present = transaction.reading.orders.intent(intent.intent_id)
        if present.state is not OrderState.RESERVED:
            return present
        return transaction.orders.abandon(present, refused.reason, refused.detail, Details(checks))


def _read_group_id(answer: OrderAnswer) -> OrderId:
    if answer.status not in (200, 201):
        raise GroupNotMade(
            f"The order group was not created ({answer.status or answer.detail}): {error_text(answer.body)}"
        )
    try:
        return OrderId(orjson.loads(answer.body)["order_group_id"])
    except (ValueError, KeyError, TypeError, InvalidTerms):
        raise GroupNotMade(f"The exchange's answer names no order group: {error_text(answer.body)}") from None
