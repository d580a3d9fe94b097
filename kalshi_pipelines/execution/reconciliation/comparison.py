"""The comparison of the whole account with the journal: orders, fills, positions and settlements.

Each new fact is recorded in the journal once. A fact that the journal cannot explain is reported as a difference. The
exchange's lists are not read at one instant. The account is therefore read again before a difference is reported.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from kalshi_pipelines.execution.journal.records import Fill, ForeignOrder, Intent, Mode
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder
from kalshi_pipelines.execution.orders.states import OPEN_STATES, RESTING_STATES, OrderState
from kalshi_pipelines.execution.reconciliation.matching import (
    contradictions,
    end_contradiction,
    harmless_changes,
    is_worse_price,
)
from kalshi_pipelines.execution.reconciliation.positions import counted_positions, take_over
from kalshi_pipelines.execution.reconciliation.report import (
    MAY_SETTLE,
    AccountDifference,
    DifferenceKind,
    ResolvedOrder,
)
from kalshi_pipelines.execution.reconciliation.resolution import (
    UNREADABLE,
    UNSTORABLE,
    ReconciliationContext,
    record_reported_state,
)
from kalshi_pipelines.execution.reconciliation.snapshot import AccountSnapshot, take_snapshot
from kalshi_pipelines.execution.text import safe_line
from kalshi_pipelines.units import MINUTE_US


@dataclass
class Comparison:
    """The result of a comparison: differences between account and journal, resolved orders, and named counts.

    A name such as ``orders_read`` or ``fills_posted`` tells what is counted.
    """

    as_of_us: int | None = None
    differences: list[AccountDifference] = field(default_factory=list)
    resolved: list[ResolvedOrder] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """Harmless changes that a person made elsewhere, and acknowledged orders."""

    def count(self, name: str, number: int = 1) -> None:
        """Add a number to the count with the given name."""
        self.figures[name] = self.figures.get(name, 0) + number


def compare(context: ReconciliationContext) -> Comparison:
    """Read the account, record new facts, and return the result with all differences.

    The account is read again, up to a limit, if it could not be read completely. It is also read again if a difference
    may exist only because the exchange's lists were read at different times.
    """
    result = Comparison()
    for number in range(context.limits.rounds):
        if number:
            context.pause(context.limits.pause_seconds * 2 ** (number - 1))
        before = result
        try:
            result = _compare_once(context)
        except UNREADABLE as error:
            result = Comparison(
                differences=[AccountDifference(DifferenceKind.EXCHANGE_UNREADABLE, "account", str(error))]
            )
        except UNSTORABLE as error:
            result = _compare_fact_by_fact(context, error)
        _carry_over(before, result)
        unread = DifferenceKind.EXCHANGE_UNREADABLE
        if not any(each.kind in MAY_SETTLE or each.kind is unread for each in result.differences):
            break
    return result


def _carry_over(before: Comparison, result: Comparison) -> None:
    """Add facts that were recorded in earlier rounds to the result of the present round.

    The present round does not find those facts again, because the journal has them already.
    """
    result.resolved[:0] = before.resolved
    result.notes[:0] = [note for note in before.notes if note not in result.notes]
    for name in ("fills_posted", "settlements_posted", "positions_adopted"):
        if name in before.figures:
            result.count(name, before.figures[name])
    kept = {DifferenceKind.FOREIGN_FILL, DifferenceKind.FEE_ABOVE_BOUND}
    result.differences[:0] = [each for each in before.differences if each.kind in kept]


def _compare_once(context: ReconciliationContext, *, fact_by_fact: bool = False) -> Comparison:
    snapshot = take_snapshot(context)
    context.checkpoint(Checkpoint.SWEPT)
    with context.journal.writing() as transaction:
        return post_snapshot(context, transaction, snapshot, fact_by_fact=fact_by_fact)


def _compare_fact_by_fact(context: ReconciliationContext, refused: Exception) -> Comparison:
    """Compare again, and leave out each fact that the journal cannot store. Each such fact is a difference."""
    try:
        return _compare_once(context, fact_by_fact=True)
    except UNREADABLE as error:
        return Comparison(differences=[AccountDifference(DifferenceKind.EXCHANGE_UNREADABLE, "account", str(error))])
    except UNSTORABLE:
        return Comparison(differences=[AccountDifference(DifferenceKind.FACT_REFUSED, "account", str(refused))])


def post_snapshot(
    context: ReconciliationContext,
    transaction: JournalTransaction,
    snapshot: AccountSnapshot,
    *,
    fact_by_fact: bool = False,
) -> Comparison:
    """Record the new facts of a snapshot, and return the comparison with all differences.

    With ``fact_by_fact``, a fact that the journal cannot store is a difference, and the other facts are recorded.
    """
    result = Comparison(as_of_us=snapshot.as_of_us)
    _SnapshotPosting(context, transaction, snapshot, result, fact_by_fact=fact_by_fact).post()
    return result


class _SnapshotPosting:
    """Records a snapshot of the account in the journal, in one transaction."""

    def __init__(
        self,
        context: ReconciliationContext,
        transaction: JournalTransaction,
        snapshot: AccountSnapshot,
        result: Comparison,
        *,
        fact_by_fact: bool,
    ) -> None:
        self._account = context.account
        self._fact_by_fact = fact_by_fact
        reading = transaction.reading.acknowledgements
        self._acknowledged = reading.orders(context.account)
        self._left_out = reading.subjects(context.account, DifferenceKind.FACT_REFUSED.value)
        self._transaction, self._snapshot, self._result = transaction, snapshot, result
        self._too_long_us = context.limits.unknown_too_long_us
        # Without a live session of the account there are no caps to compare facts with, so the ledger is not updated.
        self._has_ledger = transaction.reading.sessions.first_live_session_us(context.account) is not None

    def post(self) -> None:
        """Record new facts, update orders that have ended, and collect the differences."""
        for fill in self._snapshot.fills:
            self._post(fill.fill_id, fill, partial(self._post_fill, fill))
        for order in self._snapshot.orders.orders.values():
            self._post(order.order_id, order, partial(self._check_order, order))
        self._report_missing_orders()
        if self._has_ledger:
            self._update_ledger()
        else:
            self._result.count("positions_to_adopt", len(self._snapshot.holdings))
        self._report_long_unknown()
        self._result.count("orders_read", len(self._snapshot.orders.orders))
        self._result.count("positions_read", len(self._snapshot.holdings))

    def _post(self, fact_id: str, fact: object, action: Callable[[], None]) -> None:
        """Record one fact. A fact that the journal cannot store is left out after a person acknowledged it."""
        subject = f"{safe_line(fact_id, 60)} {hashlib.sha256(repr(fact).encode()).hexdigest()[:12]}"
        if subject in self._left_out:
            self._result.notes.append(f"{subject} is left out, because the journal cannot store it")
        elif not self._fact_by_fact:
            action()
        elif (error := self._transaction.attempt(action)) is not None:
            self._add_difference(DifferenceKind.FACT_REFUSED, subject, str(error))

    def _add_difference(
        self,
        kind: DifferenceKind,
        subject: str,
        detail: str,
        intent: Intent | None = None,
        orders: Iterable[ExchangeOrder] = (),
    ) -> None:
        intent_id = None if intent is None else intent.intent_id
        self._result.differences.append(AccountDifference(kind, subject, detail, intent_id, tuple(orders)))

    def _intent_of(self, order_id: str) -> Intent | None:
        if order_id in self._acknowledged:
            return None
        number = self._transaction.reading.orders.intent_id_of_order(order_id)
        if number is not None:
            return self._transaction.reading.orders.intent(number)
        order = self._snapshot.orders.orders.get(order_id)
        return None if order is None else self._intent_of_client(order.client_order_id)

    def _intent_of_client(self, client_order_id: str) -> Intent | None:
        if not client_order_id:
            return None
        found = self._transaction.reading.orders.intent_of_client_order_id(Mode.LIVE, client_order_id)
        ours = found is not None and found.account == self._account
        return found if ours else None

    def _intent_of_fill(self, fill: Fill) -> Intent | None:
        """Return the intent that a fill belongs to, or None.

        An order of another order group is not the order that was sent, even if it has the client order id of an intent.
        An earlier journal may have sent it.
        """
        intent, order = self._intent_of(fill.order_id), self._snapshot.orders.orders.get(fill.order_id)
        if intent is None or order is None or intent.order_id == fill.order_id:
            return intent
        return intent if order.order_group_id in (None, intent.order_group_id) else None

    def _post_fill(self, fill: Fill) -> None:
        intent = self._intent_of_fill(fill)
        if intent is not None:
            if self._transaction.fills.record(fill, intent):
                self._result.count("fills_posted")
                now = self._transaction.reading.orders.intent(intent.intent_id)
                if now.fees_microdollars > now.fee_bound_microdollars:
                    most = amounts.money(now.fee_bound_microdollars)
                    detail = f"the fees are {amounts.money(now.fees_microdollars)}, but the bound was {most}"
                    self._add_difference(DifferenceKind.FEE_ABOVE_BOUND, now.client_order_id, detail)
            return
        event = self._event_of(fill.ticker)
        if not self._has_ledger or self._transaction.fills.record_foreign(self._account, fill, event):
            detail = f"{amounts.count(fill.count_centicontracts)} of {fill.ticker} by order {fill.order_id}"
            order = self._snapshot.orders.orders.get(fill.order_id)
            if order is not None and self._is_as_acknowledged(order):
                self._result.notes.append(f"fill {safe_line(fill.fill_id)} of an acknowledged order: {detail}")
            else:
                self._add_difference(DifferenceKind.FOREIGN_FILL, fill.fill_id, detail)

    def _is_as_acknowledged(self, order: ExchangeOrder) -> bool:
        """Return whether persons took responsibility for an order that could do everything the order has done since."""
        known = self._acknowledged.get(order.order_id)
        if known is None or known.price_centicents is None:
            return False
        most = (known.filled_centicontracts or 0) + (known.remaining_centicontracts or 0)
        return (
            order.filled_centicontracts + order.remaining_centicontracts <= most
            and order.remaining_centicontracts <= (known.remaining_centicontracts or 0)
            and not is_worse_price(order.side, order.price_centicents, than=known.price_centicents)
        )

    def _check_order(self, order: ExchangeOrder) -> None:
        intent = self._intent_of(order.order_id)
        if intent is None or intent.account != self._account:
            self._record_foreign_order(order)
            return
        twins = [
            each
            for each in self._snapshot.orders.of_client(intent.client_order_id)
            if each.order_id not in self._acknowledged
        ]
        wrong = contradictions(intent, order) if len(twins) <= 1 else [f"{len(twins)} orders have this client order id"]
        never = end_contradiction(intent, order)
        wrong += [] if never is None else [never]
        posted = intent.filled_centicontracts
        # An unknown order that has ended at the exchange cannot arrive any more. If all its fills are recorded, its
        # outcome is proved without a fence.
        is_proved = intent.state is OrderState.UNKNOWN and posted == order.filled_centicontracts
        if wrong:
            self._add_difference(
                DifferenceKind.ORDER_DIVERGED, intent.client_order_id, "; ".join(wrong), intent, twins or [order]
            )
        else:
            if intent.state in OPEN_STATES:
                self._note_changes(intent, order)
            if (intent.state in RESTING_STATES or is_proved) and not order.is_resting:
                self._record_end(intent, order)
        if posted < order.filled_centicontracts:
            filled = amounts.count(order.filled_centicontracts)
            detail = f"the order says {filled} are filled, its fills add up to {amounts.count(posted)}"
            self._add_difference(DifferenceKind.FILLS_MISSING, intent.client_order_id, detail, intent, [order])

    def _note_changes(self, intent: Intent, order: ExchangeOrder) -> None:
        changes = harmless_changes(intent, order)
        if changes:
            what = "; ".join(changes)
            self._result.notes.append(f"order {intent.client_order_id} was changed elsewhere: {what}")

    def _record_end(self, intent: Intent, order: ExchangeOrder) -> None:
        moved = record_reported_state(self._transaction, intent, order)
        self._result.resolved.append(ResolvedOrder(intent.intent_id, intent.client_order_id, intent.state, moved.state))

    def _record_foreign_order(self, order: ExchangeOrder) -> None:
        if not order.is_resting:
            return
        why = "it has no client order id" if not order.client_order_id else "its client order id is not the journal's"
        if self._has_ledger:
            seen = ForeignOrder.from_exchange(order, why)
            self._transaction.foreign_orders.record(self._account, seen, self._event_of(order.ticker))
        detail = f"{amounts.count(order.remaining_centicontracts)} of {order.ticker} rest; {why}"
        if self._is_as_acknowledged(order):
            self._result.notes.append(f"acknowledged order {safe_line(order.order_id)}: {detail}")
        else:
            self._add_difference(DifferenceKind.FOREIGN_ORDER, order.order_id, detail, orders=[order])

    def _report_missing_orders(self) -> None:
        """Report orders that rest according to the journal but are missing from the exchange's complete list."""
        orders = [each for each in self._snapshot.orders.orders.values() if each.order_id not in self._acknowledged]
        there = {order.client_order_id for order in orders} | {order.order_id for order in orders}
        for intent in self._transaction.reading.orders.open_intents(self._account, states=RESTING_STATES):
            if there.isdisjoint({intent.client_order_id, intent.order_id}):
                detail = f"order {intent.order_id} of {intent.ticker} is missing from the exchange's list"
                self._add_difference(DifferenceKind.ORDER_MISSING, intent.client_order_id, detail, intent)
        rests = {order.order_id for order in self._snapshot.orders.orders.values() if order.is_resting}
        for foreign in self._transaction.reading.foreign_orders.resting(self._account):
            if foreign.order_id not in rests:
                event = self._event_of(foreign.ticker)
                self._transaction.foreign_orders.record_end(self._account, foreign.order_id, event)

    def _update_ledger(self) -> None:
        for paid in self._snapshot.settlements:
            posted = self._transaction.settlements.record(
                self._account,
                paid.ticker,
                paid.event_ticker,
                payoff_centicents=paid.payoff_centicents,
                dedupe=paid.dedupe,
            )
            self._result.count("settlements_posted", int(posted))
        if not self._transaction.reading.reconciliations.has_any_since_first_session(self._account):
            self._adopt_positions()
        self._compare_positions()
        self._transaction.realised.realise_flat_markets(self._account)
        for scope in self._transaction.reading.ledger.breached_scopes(self._account):
            self._add_difference(
                DifferenceKind.SCOPE_BREACHED, scope, "recorded facts exceed its cap; a person has to review it"
            )

    def _positions(self) -> dict[str, int]:
        return counted_positions(self._transaction, self._account)

    def _adopt_positions(self) -> None:
        """Record the positions that the account already held before its first live session.

        The journal has no fills from that time, so fills cannot explain these positions. They are recorded only
        once, in the first reconciliation that reads them after that session was opened.
        """
        counted = self._positions()
        for ticker, holding in self._snapshot.holdings.items():
            taken = take_over(
                self._transaction,
                self._account,
                ticker,
                self._event_of(ticker),
                holding=holding,
                counted=counted.get(ticker, 0),
            )
            self._result.count("positions_adopted", int(taken != 0))
        for beyond in self._transaction.reading.ledger.exceeded_caps(self._account):
            self._add_difference(
                DifferenceKind.SCOPE_BREACHED, beyond, "positions from before the first session exceed it"
            )

    def _compare_positions(self) -> None:
        ours = self._positions()
        theirs = {ticker: holding.position_centicontracts for ticker, holding in self._snapshot.holdings.items()}
        for ticker in sorted(ours.keys() | theirs.keys()):
            if ours.get(ticker, 0) != theirs.get(ticker, 0):
                there, here = amounts.count(theirs.get(ticker, 0)), amounts.count(ours.get(ticker, 0))
                detail = f"the exchange has {there}, the journal {here}"
                self._add_difference(DifferenceKind.POSITION_DRIFT, ticker, detail)

    def _report_long_unknown(self) -> None:
        for intent in self._transaction.reading.orders.open_intents(
            self._account, states=(OrderState.SENDING, OrderState.UNKNOWN)
        ):
            age_us = self._transaction.now_us - intent.planned_us
            if age_us > self._too_long_us:
                detail = f"for {age_us // MINUTE_US} minutes"
                self._add_difference(DifferenceKind.UNKNOWN_TOO_LONG, intent.client_order_id, detail, intent)

    def _event_of(self, ticker: str) -> str:
        known = self._snapshot.events.get(ticker)
        return ticker.rpartition("-")[0] or ticker if known is None else known
