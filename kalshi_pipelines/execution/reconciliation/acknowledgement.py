"""Acknowledgement: persons take responsibility for evidence, and the ledger is set to the exchange's truth.

The journal's earlier rows stay as they are. An order that a person changed elsewhere is a foreign order from then on:
the ledger counts what rests of it, and its fills. A second person signs if caps would grow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from kalshi_pipelines.execution.journal.records import Details, EvidenceItem, ForeignOrder, Intent, Signature
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder
from kalshi_pipelines.execution.orders.persons import is_same_person
from kalshi_pipelines.execution.orders.states import OPEN_STATES, OrderState, Writer
from kalshi_pipelines.execution.reconciliation.comparison import Comparison, post_snapshot
from kalshi_pipelines.execution.reconciliation.evidence import (
    SHORT_DIGEST,
    Evidence,
    NotAcknowledged,
    NothingToAcknowledge,
    items_of,
)
from kalshi_pipelines.execution.reconciliation.positions import counted_positions, take_over
from kalshi_pipelines.execution.reconciliation.report import DifferenceKind
from kalshi_pipelines.execution.reconciliation.resolution import ReconciliationContext
from kalshi_pipelines.execution.reconciliation.snapshot import AccountSnapshot, take_snapshot
from kalshi_pipelines.units import DAY_US

ACKNOWLEDGE: Final = "acknowledge"
ADOPT: Final = "adopt"
#: How long a first signature waits for the second one.
SIGNATURE_VALID_US: Final = DAY_US
_NAMES: Final = ("orders", "notional", "worst loss", "cap on the worst loss")


#: The signature of a transaction that is undone.
_NOBODY: Final = Signature("nobody", "only shown")


class _UndoneError(Exception):
    """Undo a transaction that only showed what an acknowledgement would change."""

    def __init__(self, evidence: Evidence) -> None:
        super().__init__()
        self.evidence = evidence


def _undo(evidence: Evidence) -> NoReturn:
    raise _UndoneError(evidence)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The result of a signature: the evidence, and the acknowledgement's number if no further signature is needed."""

    evidence: Evidence
    number: int | None


def show_evidence(
    context: ReconciliationContext, action: str = ACKNOWLEDGE, history: Sequence[EvidenceItem] = ()
) -> Evidence:
    """Return the evidence of the account and the changes that its acknowledgement would make. Nothing is recorded.

    ``history`` is the evidence of an adoption about the time before, such as orders of a lost journal.

    Raises:
        NotAcknowledged: There is nothing to acknowledge, or no person can take responsibility for a difference.
        KalshiError, UnreadableAccount: The account cannot be read.
        JournalUnavailable: The journal cannot be read or written.
    """
    snapshot = take_snapshot(context)
    try:
        with context.journal.writing() as transaction:
            _undo(_apply(context, transaction, snapshot, action, _NOBODY, history))
    except _UndoneError as undone:
        return undone.evidence


def acknowledge(
    context: ReconciliationContext,
    digest: str,
    signature: Signature,
    action: str = ACKNOWLEDGE,
    history: Sequence[EvidenceItem] = (),
) -> Acknowledgement:
    """Sign evidence. If no further signature is needed, set the ledger to the exchange's truth.

    Args:
        context: The journal, the exchange and the account.
        digest: The first digits of the digest of the evidence that the person has read.
        signature: The person and the person's reason.
        action: The kind of acknowledgement.
        history: The evidence of an adoption about the time before.

    Raises:
        NotAcknowledged: The evidence has another digest, or it cannot be acknowledged.
        KalshiError, UnreadableAccount: The account cannot be read.
        JournalUnavailable: The journal cannot be read or written.
    """
    snapshot, account = take_snapshot(context), context.account
    try:
        with context.journal.writing() as transaction:
            evidence = _apply(context, transaction, snapshot, action, signature, history)
            _require_digest(evidence, digest)
            since_us = transaction.now_us - SIGNATURE_VALID_US
            signed = transaction.reading.acknowledgements.signatures(account, action, evidence.sha256, since_us)
            others = [each for each in signed if not is_same_person(each.by, signature.by)]
            if evidence.needs_second and not others:
                _undo(evidence)
            first, second = (others[-1], signature) if evidence.needs_second else (signature, None)
            transaction.acknowledgements.sign(account, action, evidence.sha256, signature)
            number = transaction.acknowledgements.record(
                account, action, evidence.sha256, evidence.items, first, second, needs_second=evidence.needs_second
            )
    except _UndoneError as undone:
        with context.journal.writing() as transaction:
            transaction.acknowledgements.sign(account, action, undone.evidence.sha256, signature)
        return Acknowledgement(undone.evidence, None)
    return Acknowledgement(evidence, number)


def _require_digest(evidence: Evidence, digest: str) -> None:
    if len(digest) < SHORT_DIGEST:
        raise NotAcknowledged(
            f"The digest has {len(digest)} digits; {SHORT_DIGEST} or more are needed.", "Copy all digits."
        )
    if not evidence.sha256.startswith(digest.lower()):
        raise NotAcknowledged(
            f"The evidence has another digest now.\n{evidence}",
            "Read the evidence, then use its digest.",
        )


def _apply(
    context: ReconciliationContext,
    transaction: JournalTransaction,
    snapshot: AccountSnapshot,
    action: str,
    signature: Signature,
    history: Sequence[EvidenceItem],
) -> Evidence:
    """Set the ledger to the exchange's truth, and return the evidence with the changes of the ledger."""
    account = context.account
    _require_quiet(context, transaction, action)
    comparison = post_snapshot(context, transaction, snapshot, fact_by_fact=True)
    present = items_of(transaction, account, snapshot, comparison)
    orders_now = {item.order_id for item in present if item.order_id is not None}
    items = (*present, *(item for item in history if item.order_id not in orders_now))
    if not items:
        raise NothingToAcknowledge("The account matches the journal, and every fact is explained.")
    reading = transaction.reading.acknowledgements
    before = reading.counters(account)
    _Correction(context, transaction, snapshot, action).make(items, comparison)
    if transaction.reading.ledger.breached_scopes(account):
        transaction.ledger.clear_breaches(account, signature.by, signature.reason)
    changes, grows = _changes(before, reading.counters(account))
    unproved = any(item.kind == DifferenceKind.UNRESOLVED.value for item in items)
    return Evidence(action, account, items, changes, needs_second=grows or unproved or action == ADOPT)


def _require_quiet(context: ReconciliationContext, transaction: JournalTransaction, action: str) -> None:
    """Check that no session is sending orders, because the evidence would change while a person reads it."""
    reading = transaction.reading
    if action != ADOPT and reading.sessions.first_live_session_us(context.account) is None:
        raise NotAcknowledged(
            "No live session of the sub-account was ever opened, so the journal counts nothing yet.",
            "Cancel other people's orders, then open a session. The session takes over the positions.",
        )
    lease = reading.sessions.lease(context.account)
    if lease is not None and lease.until_us > transaction.now_us:
        raise NotAcknowledged(
            f"The live session {lease.session_id} may still send orders.",
            "Wait for its end, or end it with `close-session`.",
        )


def _changes(
    before: Mapping[tuple[str, str], tuple[int, ...]], after: Mapping[tuple[str, str], tuple[int, ...]]
) -> tuple[tuple[str, ...], bool]:
    """Return the changes of the scopes as text, and whether any cap grows.

    A cap grows if it is raised, or if less is counted towards it.
    """
    lines, grows = [], False
    for (kind, key), now in sorted(after.items()):
        was = before.get((kind, key))
        if was is None or was == now:
            continue
        said = [
            f"{name} {_amount(name, new - old)}" for name, old, new in zip(_NAMES, was, now, strict=True) if old != new
        ]
        lines.append(f"{kind} {key}: {', '.join(said)}")
        grows = grows or now[3] > was[3] or any(new < old for old, new in zip(was[:3], now[:3], strict=True))
    return tuple(lines), grows


def _amount(name: str, change: int) -> str:
    sign = "+" if change > 0 else "-"
    return f"{sign}{abs(change) if name == 'orders' else amounts.money(abs(change))}"


class _Correction:
    """Sets the ledger to the exchange's truth."""

    def __init__(
        self, context: ReconciliationContext, transaction: JournalTransaction, snapshot: AccountSnapshot, action: str
    ) -> None:
        self._account, self._transaction, self._snapshot = context.account, transaction, snapshot
        self._facts = {"action": action}

    def make(self, items: tuple[EvidenceItem, ...], comparison: Comparison) -> None:
        """Make every posting that the evidence requires."""
        # Reservations are released first. Otherwise an order would be counted twice for a moment, and a scope could be
        # marked as breached.
        closed = {item.intent_id for item in items if item.intent_id is not None}
        intents = {number: self._transaction.reading.orders.intent(number) for number in sorted(closed)}
        for intent in intents.values():
            self._close(intent)
        if self._transaction.reading.sessions.first_live_session_us(self._account) is None:
            # The journal counts nothing yet. The first session takes over the positions and the resting orders.
            return
        for item in items:
            order = self._snapshot.orders.orders.get(item.order_id or "")
            if order is not None and order.is_resting and item.kind != DifferenceKind.FOREIGN_ORDER.value:
                self._count_as_foreign(order, intents.get(item.intent_id or 0))
        drifted = {each.subject for each in comparison.differences if each.kind is DifferenceKind.POSITION_DRIFT}
        self._take_over_positions(drifted)

    def _close(self, intent: Intent) -> None:
        """End an open order with the fills that are recorded, or stop counting the missing fills of an ended order."""
        facts = {**self._facts, "detail": "a person acknowledged the exchange's truth"}
        if intent.state in OPEN_STATES:
            self._transaction.orders.record_answer(
                intent,
                OrderState.CANCELED,
                filled_centicontracts=intent.filled_centicontracts,
                writer=Writer.RECONCILER,
                details=Details(facts=facts),
            )
        else:
            self._transaction.ledger.write_off(intent, facts)

    def _count_as_foreign(self, order: ExchangeOrder, intent: Intent | None) -> None:
        fee = 0
        if intent is not None:
            share = -(-intent.fee_bound_microdollars * order.remaining_centicontracts // intent.count_centicontracts)
            fee = max(intent.fee_left_microdollars, share)
        seen = ForeignOrder.from_exchange(order, "a person acknowledged what happened to it")
        event = intent.event_ticker if intent is not None and intent.ticker == order.ticker else None
        self._transaction.foreign_orders.record(self._account, seen, event or self._event_of(order.ticker), intent, fee)

    def _take_over_positions(self, tickers: set[str]) -> None:
        counted = counted_positions(self._transaction, self._account)
        for ticker in sorted(tickers):
            take_over(
                self._transaction,
                self._account,
                ticker,
                self._event_of(ticker),
                holding=self._snapshot.holdings.get(ticker),
                counted=counted.get(ticker, 0),
                dedupe=f":{self._transaction.now_us}",
            )

    def _event_of(self, ticker: str) -> str:
        known = self._snapshot.events.get(ticker)
        return ticker.rpartition("-")[0] or ticker if known is None else known
