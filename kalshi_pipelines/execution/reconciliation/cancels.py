"""Cancels of single orders: record the request, send the cancel, read the exchange, and record what it proves.

A cancel only reduces risk, so it needs no session, and a journal that cannot be written does not prevent it. Unlike a
reconciliation, it judges only the named orders, fences no order group and ends no session.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.journal.errors import JournalUnavailable
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Details, Fill, Intent
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.orders.answers import OrderAnswer, SendFailure, error_text
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder
from kalshi_pipelines.execution.orders.states import RESTING_STATES, OrderState
from kalshi_pipelines.execution.orders.terms import InvalidTerms, MarketTicker, OrderId
from kalshi_pipelines.execution.reconciliation.account import AccountReader
from kalshi_pipelines.execution.reconciliation.matching import contradictions
from kalshi_pipelines.execution.reconciliation.resolution import UNSTORABLE, record_reported_state
from kalshi_pipelines.units import HOUR_US, SECOND_US, now_us

_MARGIN_US: Final = 2 * SECOND_US


class SingleCancelTransport(Protocol):
    """The only write to the exchange that a cancel makes. ``OrderTransport`` implements it."""

    def cancel(self, order_id: OrderId, ticker: MarketTicker) -> OrderAnswer:
        """Cancel one order."""
        ...


@dataclass(frozen=True, slots=True)
class CancelContext:
    """The inputs of cancels.

    ``open_exchange`` is called after the cancels were sent, because reads need the warehouse and cancels do not.
    """

    journal: Journal
    transport: SingleCancelTransport
    open_exchange: Callable[[], AccountReader]
    clock_us: Callable[[], int] = now_us
    pause: Callable[[float], None] = time.sleep
    attempts: int = 3
    """The largest number of cancels that are sent for one order."""
    looks: int = 10
    """The largest number of readings until the exchange's reads include the cancels."""
    pause_seconds: float = 0.5


@dataclass(slots=True)
class CancelOutcome:
    """The outcome of the cancel of one order."""

    intent: Intent
    answers: list[OrderAnswer] = field(default_factory=list)
    order: ExchangeOrder | None = None
    """The order in the newest reading of the exchange, or None if no reading has it."""
    problem: str = ""
    """The reason why nothing is proved, if the exchange could not be read or does not list the order."""

    @property
    def is_ended(self) -> bool:
        """Whether a reading of the exchange proves that the order has ended."""
        return self.order is not None and not self.order.is_resting

    @property
    def answer_text(self) -> str:
        """The exchange's last answer to the cancel, as text for people."""
        last = self.answers[-1]
        if last.is_confirmation:
            return "the exchange confirmed the cancel"
        if last.failure is not None:
            return f"the cancel has no answer ({last.detail})"
        return f"the exchange refused the cancel ({last.status} {error_text(last.body)})"

    @property
    def has_certain_answers(self) -> bool:
        """Whether no cancel is left that may still take effect at the exchange."""
        return all(answer.failure is not SendFailure.LOST for answer in self.answers)


@dataclass(frozen=True, slots=True)
class CancelReport:
    """The outcomes of cancels, and the problems that kept them from being recorded in the journal."""

    outcomes: tuple[CancelOutcome, ...]
    not_recorded: tuple[str, ...] = ()


def cancel_orders(context: CancelContext, intents: Sequence[Intent], by: str, why: str) -> CancelReport:
    """Cancel orders until readings of the exchange prove that they have ended, and record what was proved.

    A cancel is repeated a few times, because repeating it changes nothing more. No error prevents the cancels.
    """
    problems = [_record_requests(context, intents, by, why)]
    outcomes = [CancelOutcome(intent) for intent in intents]
    fills: list[Fill] = []
    for attempt in range(context.attempts):
        waiting = [outcome for outcome in outcomes if not outcome.is_ended]
        if not waiting:
            break
        if attempt:
            context.pause(context.pause_seconds * 2**attempt)
        acted_us = 0
        for outcome in waiting:
            answer = _send(context, outcome.intent)
            outcome.answers.append(answer)
            acted_us = max(acted_us, answer.server_us or context.clock_us() + _MARGIN_US)
        fills = _read(context, waiting, acted_us) or fills
    problems.append(_record_outcomes(context, outcomes, fills))
    return CancelReport(tuple(outcomes), tuple(problem for problem in problems if problem))


def _record_requests(context: CancelContext, intents: Sequence[Intent], by: str, why: str) -> str:
    """Record who cancels the orders and why. Return why this is not recorded; empty if it is."""
    details = Details(facts={"canceled_by": by, "reason": why})
    try:
        with context.journal.writing() as transaction:
            for intent in intents:
                present = transaction.reading.orders.intent(intent.intent_id)
                if present.state is OrderState.RESTING:
                    transaction.orders.record_answer(
                        present,
                        OrderState.PENDING_CANCEL,
                        order_id=present.order_id,
                        filled_centicontracts=present.reported_filled_centicontracts,
                        details=details,
                    )
    except (JournalUnavailable, *UNSTORABLE) as error:
        return f"the request: {error}"
    return ""


def _send(context: CancelContext, intent: Intent) -> OrderAnswer:
    try:
        return context.transport.cancel(OrderId(intent.order_id or ""), MarketTicker(intent.ticker))
    except InvalidTerms as error:
        return OrderAnswer(None, failure=SendFailure.NOT_SENT, detail=str(error))


def _read(context: CancelContext, waiting: Sequence[CancelOutcome], acted_us: int) -> list[Fill]:
    """Read the orders until all have ended or the reading includes the cancels, and return the account's fills.

    An order that has ended cannot rest again, so an old reading proves its end, too.
    """
    since_us = min(outcome.intent.planned_us for outcome in waiting) - HOUR_US
    tickers = {outcome.intent.ticker for outcome in waiting}
    try:
        exchange = context.open_exchange()
        for look in range(context.looks):
            if look:
                context.pause(context.pause_seconds)
            as_of_us = exchange.as_of_us()
            listed = exchange.orders(since_us, min(tickers) if len(tickers) == 1 else None).orders
            for outcome in waiting:
                outcome.order = listed.get(outcome.intent.order_id or "")
                outcome.problem = "" if outcome.order else "the exchange does not list the order"
            if as_of_us >= acted_us or all(outcome.is_ended for outcome in waiting):
                break
        return exchange.fills(since_us)
    except (ExpectedError, OSError) as error:
        for outcome in waiting:
            outcome.problem = "" if outcome.is_ended else f"the exchange cannot be read: {error}"
        return []


def _record_outcomes(context: CancelContext, outcomes: Sequence[CancelOutcome], fills: Sequence[Fill]) -> str:
    """Record the fills and the ends of the orders. Return why this is not recorded; empty if it is."""
    try:
        with context.journal.writing() as transaction:
            for outcome in outcomes:
                if outcome.order is not None:
                    _record_outcome(transaction, outcome, outcome.order, fills)
    except (JournalUnavailable, *UNSTORABLE) as error:
        return f"the outcome: {error}"
    return ""


def _record_outcome(
    transaction: JournalTransaction, outcome: CancelOutcome, order: ExchangeOrder, fills: Sequence[Fill]
) -> None:
    reading = transaction.reading.orders
    # An order with other terms than were sent is left to a reconciliation, which reports the difference.
    if contradictions(reading.intent(outcome.intent.intent_id), order):
        return
    for fill in fills:
        if fill.order_id == order.order_id:
            transaction.fills.record(fill, reading.intent(outcome.intent.intent_id))
    present = reading.intent(outcome.intent.intent_id)
    still_rests = order.is_resting and present.state is OrderState.PENDING_CANCEL and outcome.has_certain_answers
    if (present.state in RESTING_STATES and not order.is_resting) or still_rests:
        record_reported_state(transaction, present, order)
