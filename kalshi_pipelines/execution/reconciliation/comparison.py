"""The comparison of the whole account with the journal: orders, fills, positions and settlements.

Each new fact is recorded in the journal once. A fact that the journal cannot explain is reported as a difference. The
exchange's lists are not read at one instant. The account is therefore read again before a difference is reported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from kalshi_pipelines.execution.journal.records import Details, Fill, ForeignOrder, Intent, Mode
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint
from kalshi_pipelines.execution.orders.evidence import STATE_OF, ExchangeOrder, Holding, OrderSweep, Settlement
from kalshi_pipelines.execution.orders.states import OrderState, Writer
from kalshi_pipelines.execution.reconciliation.matching import contradictions, end_contradiction
from kalshi_pipelines.execution.reconciliation.positions import counted_positions, take_over
from kalshi_pipelines.execution.reconciliation.report import (
    MAY_SETTLE,
    AccountDifference,
    DifferenceKind,
    ResolvedOrder,
)
from kalshi_pipelines.execution.reconciliation.resolution import UNREADABLE, UNSTORABLE, ReconciliationContext
from kalshi_pipelines.units import HOUR_US

_RESTS: Final = (OrderState.RESTING, OrderState.PENDING_CANCEL)


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """A snapshot of the whole account at the exchange, from one reading."""

    as_of_us: int
    orders: OrderSweep
    fills: Sequence[Fill]
    settlements: Sequence[Settlement]
    holdings: Mapping[str, Holding]
    events: Mapping[str, str]
    """The event ticker of each market that has an order, fill or position without an explanation in the journal.

    The keys are tickers of markets.
    """


@dataclass
class Comparison:
    """The result of a comparison: differences between account and journal, resolved orders, and named counts.

    A name such as ``orders_read`` or ``fills_posted`` tells what is counted.
    """

    as_of_us: int | None = None
    differences: list[AccountDifference] = field(default_factory=list)
    resolved: list[ResolvedOrder] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=dict)

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
            result = Comparison(differences=[AccountDifference(DifferenceKind.FACT_REFUSED, "account", str(error))])
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
    for name in ("fills_posted", "settlements_posted", "positions_adopted"):
        if name in before.figures:
            result.count(name, before.figures[name])
    kept = {DifferenceKind.FOREIGN_FILL, DifferenceKind.FEE_ABOVE_BOUND}
    result.differences[:0] = [each for each in before.differences if each.kind in kept]


def _compare_once(context: ReconciliationContext) -> Comparison:
    with context.journal.reading() as reading:
        since_us = _start_us(context, reading.sessions.first_live_session_us(context.account))
    snapshot = _read_account(context, since_us)
    context.checkpoint(Checkpoint.SWEPT)
    result = Comparison(as_of_us=snapshot.as_of_us)
    with context.journal.writing() as transaction:
        _SnapshotPosting(context, transaction, snapshot, result).post()
    return result


def _start_us(context: ReconciliationContext, first_us: int | None) -> int:
    """Return the start of the period for which the account is read.

    The period starts an hour before the oldest open order or the last clean reconciliation, whichever is earlier. The
    start is never before the account's first live session.
    """
    if first_us is None:
        return context.clock_us()
    with context.journal.reading() as reading:
        open_now = reading.orders.open_intents(context.account)
        clean = reading.reconciliations.newest_clean(context.account)
    edges = [intent.planned_us for intent in open_now]
    edges.append(first_us if clean is None else clean.as_of_us)
    return max(first_us, min(edges) - HOUR_US)


def _read_account(context: ReconciliationContext, since_us: int) -> AccountSnapshot:
    # The instant up to which the exchange's reads are complete is read first. The lists are read afterwards, so they
    # are complete at least up to this instant.
    as_of_us = context.exchange.as_of_us()
    orders = context.exchange.orders(since_us)
    holdings = context.exchange.holdings()
    settlements = context.exchange.settlements(since_us)
    recent_fills = context.exchange.fills(since_us)
    with context.journal.reading() as reading:
        ours = {
            order.order_id
            for order in orders.orders.values()
            if reading.orders.intent_of_client_order_id(Mode.LIVE, order.client_order_id) is not None
        }
        ours |= {fill.order_id for fill in recent_fills if reading.orders.intent_id_of_order(fill.order_id) is not None}
        counted = {market.ticker for market in reading.ledger.markets(context.account)}
        foreign = {each.ticker for each in reading.ledger.foreign_orders(context.account)}
    # A fill of our own order counts even if it seems older than the start of the reading, because the exchange's clock
    # may be behind ours.
    fills = [fill for fill in recent_fills if fill.at_us >= since_us or fill.order_id in ours]
    strange = {order.ticker for order in orders.orders.values() if order.is_resting and order.order_id not in ours}
    strange |= {fill.ticker for fill in fills if fill.order_id not in ours}
    strange |= (set(holdings) - counted) | foreign
    return AccountSnapshot(
        as_of_us, orders, fills, settlements, holdings, {each: context.exchange.event_of(each) for each in strange}
    )


class _SnapshotPosting:
    """Records a snapshot of the account in the journal, in one transaction."""

    def __init__(
        self,
        context: ReconciliationContext,
        transaction: JournalTransaction,
        snapshot: AccountSnapshot,
        result: Comparison,
    ) -> None:
        self._account = context.account
        self._transaction, self._snapshot, self._result = transaction, snapshot, result
        self._too_long_us = context.limits.unknown_too_long_us
        # Without a live session of the account there are no caps to compare facts with, so the ledger is not updated.
        self._has_ledger = transaction.reading.sessions.first_live_session_us(context.account) is not None

    def post(self) -> None:
        """Record new facts, update orders that have ended, and collect the differences."""
        for fill in self._snapshot.fills:
            self._post_fill(fill)
        for order in self._snapshot.orders.orders.values():
            self._check_order(order)
        self._report_missing_orders()
        if self._has_ledger:
            self._update_ledger()
        else:
            self._result.count("positions_to_adopt", len(self._snapshot.holdings))
        self._report_long_unknown()
        self._result.count("orders_read", len(self._snapshot.orders.orders))
        self._result.count("positions_read", len(self._snapshot.holdings))

    def _add_difference(self, kind: DifferenceKind, subject: str, detail: str) -> None:
        self._result.differences.append(AccountDifference(kind, subject, detail))

    def _intent_of(self, order_id: str) -> Intent | None:
        number = self._transaction.reading.orders.intent_id_of_order(order_id)
        if number is not None:
            return self._transaction.reading.orders.intent(number)
        order = self._snapshot.orders.orders.get(order_id)
        return None if order is None else self._intent_of_client(order.client_order_id)

    def _intent_of_client(self, client_order_id: str) -> Intent | None:
        found = self._transaction.reading.orders.intent_of_client_order_id(Mode.LIVE, client_order_id)
        ours = found is not None and found.account == self._account
        return found if ours else None

    def _post_fill(self, fill: Fill) -> None:
        intent = self._intent_of(fill.order_id)
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
            self._add_difference(DifferenceKind.FOREIGN_FILL, fill.fill_id, detail)

    def _check_order(self, order: ExchangeOrder) -> None:
        intent = self._intent_of_client(order.client_order_id) if order.client_order_id else None
        if intent is None:
            self._record_foreign_order(order)
            return
        twins = self._snapshot.orders.of_client(order.client_order_id)
        wrong = contradictions(intent, order) if len(twins) == 1 else [f"{len(twins)} orders have this client order id"]
        never = end_contradiction(intent, order)
        wrong += [] if never is None else [never]
        posted = intent.filled_centicontracts
        # An unknown order that has ended at the exchange cannot arrive any more. If all its fills are recorded, its
        # outcome is proved without a fence.
        is_proved = intent.state is OrderState.UNKNOWN and posted == order.filled_centicontracts
        if wrong:
            self._add_difference(DifferenceKind.ORDER_DIVERGED, order.client_order_id, "; ".join(wrong))
        elif (intent.state in _RESTS or is_proved) and not order.is_resting:
            self._record_end(intent, order)
        if posted < order.filled_centicontracts:
            filled = amounts.count(order.filled_centicontracts)
            detail = f"the order says {filled} are filled, its fills add up to {amounts.count(posted)}"
            self._add_difference(DifferenceKind.FILLS_MISSING, order.client_order_id, detail)

    def _record_end(self, intent: Intent, order: ExchangeOrder) -> None:
        moved = self._transaction.orders.record_answer(
            intent,
            STATE_OF[order.status],
            order_id=order.order_id,
            filled_centicontracts=order.filled_centicontracts,
            writer=Writer.RECONCILER,
            details=Details(facts={"exchange_status": order.status.value}),
        )
        self._result.resolved.append(ResolvedOrder(intent.intent_id, intent.client_order_id, intent.state, moved.state))

    def _record_foreign_order(self, order: ExchangeOrder) -> None:
        if not order.is_resting:
            return
        why = "it has no client order id" if not order.client_order_id else "its client order id is not the journal's"
        if self._has_ledger:
            seen = ForeignOrder(
                order.order_id,
                order.ticker,
                order.side,
                order.price_centicents,
                order.remaining_centicontracts,
                why,
            )
            self._transaction.foreign_orders.record(self._account, seen, self._event_of(order.ticker))
        detail = f"{amounts.count(order.remaining_centicontracts)} of {order.ticker} rest; {why}"
        self._add_difference(DifferenceKind.FOREIGN_ORDER, order.order_id, detail)

    def _report_missing_orders(self) -> None:
        """Report orders that rest according to the journal but are missing from the exchange's complete list."""
        there = {order.client_order_id for order in self._snapshot.orders.orders.values()}
        for intent in self._transaction.reading.orders.open_intents(self._account, states=_RESTS):
            if intent.client_order_id not in there:
                detail = f"order {intent.order_id} of {intent.ticker} is missing from the exchange's list"
                self._add_difference(DifferenceKind.ORDER_MISSING, intent.client_order_id, detail)
        rests = {order.order_id for order in self._snapshot.orders.orders.values() if order.is_resting}
        for foreign in self._transaction.reading.ledger.foreign_orders(self._account):
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
                detail = f"for {age_us // 60_000_000} minutes"
                self._add_difference(DifferenceKind.UNKNOWN_TOO_LONG, intent.client_order_id, detail)

    def _event_of(self, ticker: str) -> str:
        known = self._snapshot.events.get(ticker)
        return ticker.rpartition("-")[0] or ticker if known is None else known
