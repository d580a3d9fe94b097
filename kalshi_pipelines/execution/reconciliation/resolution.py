"""The resolution of orders with an unknown outcome, in three steps.

The reconciliation fences the order group, waits until the exchange's reads include the fence, and sweeps the market.

Without a fence, an order that is not found might still arrive later. A triggered order group refuses late orders. A
complete sweep that is newer than the confirmed trigger therefore proves the order's outcome. A triggered group is never
used again, and its session ends.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.journal.errors import JournalRefused
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.records import Details, Intent, SweepReading
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.answers import OrderAnswer, error_text
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint, PassCheckpoint, ignore_checkpoint
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.evidence import STATE_OF, ExchangeOrder, OrderSweep, combine_digests
from kalshi_pipelines.execution.orders.states import OrderState, Writer
from kalshi_pipelines.execution.orders.terms import InvalidTerms, OrderId
from kalshi_pipelines.execution.reconciliation.account import AccountReader, UnreadableAccount
from kalshi_pipelines.execution.reconciliation.matching import Diverged, Found, NotThere, match_intent
from kalshi_pipelines.execution.reconciliation.report import AccountDifference, DifferenceKind, ResolvedOrder
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.units import HOUR_US, MINUTE_US, SECOND_US, now_us
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable

#: Errors that reading the exchange can raise. Every read first takes tokens from the rate budget in the warehouse, so
#: these errors include a failure of the warehouse.
UNREADABLE: Final = (KalshiError, UnreadableAccount, WarehouseUnavailable)
#: Errors of a journal that is available but cannot store a value that was read from the exchange.
UNSTORABLE: Final = (JournalRefused, ValueError, ArithmeticError)
_CONFIRMED: Final = 200
#: The margin that is added to this computer's time if the exchange's answer has no ``Date`` header.
_CLOCK_DOUBT_US: Final = 10 * SECOND_US


class FenceTransport(Protocol):
    """The only write to the exchange that a reconciliation makes. ``OrderTransport`` implements it."""

    def trigger_order_group(self, order_group_id: OrderId, exchange_index: int) -> OrderAnswer:
        """Cancel the orders of a group, and make the exchange refuse new orders of the group forever."""
        ...


@dataclass(frozen=True, slots=True)
class ReconciliationLimits:
    """The limits on waiting and on repetitions in a reconciliation."""

    margin_us: int = SECOND_US
    """How much newer than the fence the exchange's reads must be, in microseconds."""
    watermark_seconds: float = 30.0
    fence_attempts: int = 5
    pause_seconds: float = 0.5
    rounds: int = 4
    """The largest number of times that the account is read while the exchange's lists contradict each other."""
    left_behind_us: int = MINUTE_US
    """The longest time that an order stays in the state ``sending`` while its session holds the lease, in microseconds.

    After this time, a reconciliation treats the order as left behind by its process.
    """
    unknown_too_long_us: int = 10 * MINUTE_US


DEFAULT_LIMITS: Final = ReconciliationLimits()


@dataclass(frozen=True, slots=True)
class ReconciliationContext:
    """The inputs of a reconciliation: journal, exchange, transport, account and limits."""

    journal: Journal
    exchange: AccountReader
    transport: FenceTransport
    account: Account
    limits: ReconciliationLimits = DEFAULT_LIMITS
    clock_us: Callable[[], int] = now_us
    pause: Callable[[float], None] = time.sleep
    checkpoint: PassCheckpoint = ignore_checkpoint

    def open_intents(self, reading: JournalReading, states: Iterable[OrderState]) -> list[Intent]:
        """Return the account's open live orders whose state is one of the given states."""
        return reading.orders.open_intents(self.account, states=list(states))


@dataclass
class Resolution:
    """The result of resolving unknown orders: resolved orders, differences, and counts of fences and sweeps."""

    resolved: list[ResolvedOrder] = field(default_factory=list)
    differences: list[AccountDifference] = field(default_factory=list)
    fences: int = 0
    sweeps: int = 0


def mark_leftovers(context: ReconciliationContext, own_session: str | None) -> list[ResolvedOrder]:
    """Close the orders that an earlier process left behind, and return them.

    Orders that were never sent become abandoned; orders that may have been sent become unknown. A recent order is not
    closed while its session holds the lease.
    """
    marked = []
    with context.journal.writing() as transaction:
        held = transaction.reading.sessions.lease(context.account)
        for intent in context.open_intents(transaction.reading, (OrderState.RESERVED, OrderState.SENDING)):
            holds = held is not None and held.session_id == intent.session_id and held.until_us > transaction.now_us
            is_young = transaction.now_us - intent.state_us < context.limits.left_behind_us
            # A reserved order may wait for a person's approval until the order expires, so until then it counts as
            # recent.
            is_young |= intent.state is OrderState.RESERVED and transaction.now_us <= intent.valid_until_us
            if holds and is_young and intent.session_id != own_session:
                continue
            marked.append(
                ResolvedOrder(
                    intent.intent_id, intent.client_order_id, intent.state, _close_leftover(transaction, intent)
                )
            )
    context.checkpoint(Checkpoint.LEFTOVERS_MARKED)
    return marked


def _close_leftover(transaction: JournalTransaction, intent: Intent) -> OrderState:
    why = f"left behind as {intent.state.value}"
    if intent.state is OrderState.RESERVED:
        return transaction.orders.abandon(intent, DenialReason.CRASHED_BEFORE_SENDING, why).state
    facts = Details(facts={"detail": why})
    return transaction.orders.record_answer(intent, OrderState.UNKNOWN, writer=Writer.RECONCILER, details=facts).state


def resolve_unknown(context: ReconciliationContext) -> Resolution:
    """Resolve all unknown orders: fence their groups, then sweep their markets and record the outcomes."""
    resolution = Resolution()
    with context.journal.reading() as reading:
        unknown = context.open_intents(reading, (OrderState.UNKNOWN,))
    fences: dict[str, tuple[int, int]] = {}
    for intent in unknown:
        group = intent.order_group_id or ""
        if group not in fences and (fence := _ensure_fence(context, intent, resolution)) is not None:
            fences[group] = fence
    waiting = [intent for intent in unknown if intent.order_group_id in fences]
    if waiting and _wait_for_reads(context, max(fenced_us for _, fenced_us in fences.values()), resolution):
        for intent in waiting:
            _resolve(context, intent, *fences[intent.order_group_id or ""], resolution)
    return resolution


def _ensure_fence(context: ReconciliationContext, intent: Intent, resolution: Resolution) -> tuple[int, int] | None:
    """Fence an order's group, unless the group is fenced already.

    Returns:
        The number of the fence and the instant of its confirmation on the exchange's clock, or None if fencing failed.
    """
    group = intent.order_group_id or ""
    with context.journal.reading() as reading:
        known = reading.evidence.fence_of(group)
    if known is not None:
        return known
    try:
        confirmed_us = _trigger(context, OrderId(group), intent.exchange_index)
    except (FenceNotConfirmed, InvalidTerms) as error:
        resolution.differences.append(AccountDifference(DifferenceKind.FENCE_NOT_CONFIRMED, group, str(error)))
        return None
    context.checkpoint(Checkpoint.FENCED)
    with context.journal.writing() as transaction:
        known = transaction.reading.evidence.fence_of(group)
        if known is None:
            known = (transaction.evidence.record_fence(group, confirmed_us), confirmed_us)
            transaction.sessions.end(intent.session_id, "its order group was fenced")
            resolution.fences += 1
    context.checkpoint(Checkpoint.FENCE_COMMITTED)
    return known


class FenceNotConfirmed(ExpectedError):
    """The exchange did not confirm the trigger of an order group."""


def _trigger(context: ReconciliationContext, group: OrderId, exchange_index: int) -> int:
    """Trigger an order group until the exchange confirms it.

    Returns:
        The instant of the confirmation on the exchange's clock: the end of the second in the answer's
            ``Date`` header.
    """
    problem = "it was never tried"
    for attempt in range(context.limits.fence_attempts):
        if attempt:
            context.pause(context.limits.pause_seconds * 2**attempt)
        answer = context.transport.trigger_order_group(group, exchange_index)
        if answer.status == _CONFIRMED and answer.is_confirmation:
            # The confirmation is dated by the exchange's clock, because the exchange's reads are dated by it, too. If
            # our clock were used and were a year ahead, no read would be new enough for a year.
            return context.clock_us() + _CLOCK_DOUBT_US if answer.server_us is None else answer.server_us
        problem = f"{answer.status} {error_text(answer.body)}" if answer.status else answer.detail
    raise FenceNotConfirmed(f"The exchange did not confirm the trigger of the order group: {problem}.")


def _wait_for_reads(context: ReconciliationContext, fenced_us: int, resolution: Resolution) -> bool:
    """Wait a limited time until the exchange's reads are newer than the fence by a margin.

    Returns:
        Whether the exchange's reads are newer than the fence by the margin.
    """
    wanted, waited, pause = fenced_us + context.limits.margin_us, 0.0, context.limits.pause_seconds
    while True:
        try:
            behind_us = wanted - context.exchange.as_of_us()
            if behind_us <= 0:
                return True
            problem = f"the exchange's reads are {behind_us} microseconds older than needed"
        except UNREADABLE as error:
            problem = str(error)
        if waited >= context.limits.watermark_seconds:
            resolution.differences.append(AccountDifference(DifferenceKind.WATERMARK_BEHIND, "account", problem))
            return False
        context.pause(pause)
        waited += pause


def _resolve(
    context: ReconciliationContext, intent: Intent, fence_id: int, fenced_us: int, resolution: Resolution
) -> None:
    """Sweep an order's market and record the outcome that the sweep proves."""
    started_us = context.clock_us()
    try:
        as_of_us, sweep = _sweep(context, intent)
        if isinstance(match_intent(intent, sweep), NotThere):
            # The exchange may serve reads from several copies of its data. Two sweeps must therefore agree that an
            # order is absent.
            context.pause(context.limits.pause_seconds)
            earlier = sweep
            as_of_us, sweep = _sweep(context, intent)
            digests = (earlier.pages_sha256, sweep.pages_sha256)
            sweep = OrderSweep(sweep.orders, earlier.pages + sweep.pages, combine_digests(digests))
    except UNREADABLE as error:
        resolution.differences.append(AccountDifference(DifferenceKind.EXCHANGE_UNREADABLE, intent.ticker, str(error)))
        return
    if as_of_us < fenced_us + context.limits.margin_us:
        resolution.differences.append(
            AccountDifference(DifferenceKind.WATERMARK_BEHIND, intent.ticker, "the exchange's reads became older again")
        )
        return
    context.checkpoint(Checkpoint.SWEPT)
    reading = SweepReading(
        fence_id, intent.ticker, started_us, as_of_us, sweep.pages, sweep.pages_sha256, complete=True
    )
    try:
        with context.journal.writing() as transaction:
            present = transaction.reading.orders.intent(intent.intent_id)
            if present.state is not OrderState.UNKNOWN:
                return
            sweep_id = transaction.evidence.record_sweep(reading, {"orders": len(sweep.orders)})
            after = _record_match(transaction, present, fence_id, sweep_id, sweep, resolution)
    except UNSTORABLE as error:
        resolution.differences.append(
            AccountDifference(DifferenceKind.FACT_REFUSED, intent.client_order_id, str(error))
        )
        return
    resolution.sweeps += 1
    if after is not OrderState.UNKNOWN:
        resolution.resolved.append(ResolvedOrder(intent.intent_id, intent.client_order_id, OrderState.UNKNOWN, after))
    context.checkpoint(Checkpoint.RESOLVED)


def _sweep(context: ReconciliationContext, intent: Intent) -> tuple[int, OrderSweep]:
    # The instant up to which the exchange's reads are complete is read before the sweep, so that the sweep is complete
    # at least up to this instant.
    as_of_us = context.exchange.as_of_us()
    swept = context.exchange.orders(intent.planned_us - HOUR_US, intent.ticker)
    # Persons took over a twin of this order, so the twin is not the order of the intent. An order that they adopted
    # from an earlier journal still tells that the signal was traded before.
    with context.journal.reading() as reading:
        acknowledged = reading.acknowledgements.orders(context.account).items()
    twins = {order_id for order_id, item in acknowledged if item.subject == intent.client_order_id}
    return as_of_us, swept.without(twins)


def _record_match(
    transaction: JournalTransaction,
    intent: Intent,
    fence_id: int,
    sweep_id: int,
    sweep: OrderSweep,
    resolution: Resolution,
) -> OrderState:
    match = match_intent(intent, sweep)
    if isinstance(match, Diverged):
        resolution.differences.append(
            AccountDifference(DifferenceKind.ORDER_DIVERGED, intent.client_order_id, match.why)
        )
        return OrderState.UNKNOWN
    if isinstance(match, Found):
        return record_reported_state(transaction, intent, match.order, sweep_id=sweep_id).state
    return transaction.orders.record_absence(
        intent, transaction.evidence.record_resolution(intent, fence_id, sweep_id)
    ).state


def record_reported_state(
    transaction: JournalTransaction, intent: Intent, order: ExchangeOrder, **facts: object
) -> Intent:
    """Record the state that the exchange reports of an intent's order, and return the intent with that state.

    The audit log gets the exchange's status and the given facts.
    """
    return transaction.orders.record_answer(
        intent,
        STATE_OF[order.status],
        order_id=order.order_id,
        filled_centicontracts=order.filled_centicontracts,
        writer=Writer.RECONCILER,
        details=Details(facts={**facts, "exchange_status": order.status.value}),
    )
