"""A snapshot of the whole account at the exchange: orders, fills, settlements and positions from one reading."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kalshi_pipelines.execution.journal.records import Fill, Intent, Mode
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder, Holding, OrderSweep, Settlement
from kalshi_pipelines.execution.reconciliation.resolution import ReconciliationContext
from kalshi_pipelines.units import HOUR_US


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


def take_snapshot(context: ReconciliationContext) -> AccountSnapshot:
    """Read the account for the period in which the journal may lack facts.

    Raises:
        KalshiError, UnreadableAccount, WarehouseUnavailable: The account cannot be read completely.
        JournalUnavailable: The journal cannot be read.
    """
    with context.journal.reading() as reading:
        since_us = _start_us(context, reading.sessions.first_live_session_us(context.account))
    return _read_account(context, since_us)


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
        acknowledged = reading.acknowledgements.orders(context.account)
        ours = {
            order.order_id
            for order in orders.orders.values()
            if _may_be_ours(order, reading.orders.intent_of_client_order_id(Mode.LIVE, order.client_order_id))
        }
        ours |= {fill.order_id for fill in recent_fills if reading.orders.intent_id_of_order(fill.order_id) is not None}
        counted = {market.ticker for market in reading.ledger.markets(context.account)}
        foreign = {each.ticker for each in reading.foreign_orders.resting(context.account)}
    # A fill of our own order counts even if it seems older than the start of the reading, because the exchange's clock
    # may be behind ours. A fill of an order that persons took over long ago is not new.
    fills = [
        fill
        for fill in recent_fills
        if fill.at_us >= since_us or (fill.order_id in ours and fill.order_id not in acknowledged)
    ]
    ours -= acknowledged.keys()
    strange = {order.ticker for order in orders.orders.values() if order.is_resting and order.order_id not in ours}
    strange |= {fill.ticker for fill in fills if fill.order_id not in ours}
    strange |= (set(holdings) - counted) | foreign
    return AccountSnapshot(
        as_of_us, orders, fills, settlements, holdings, {each: context.exchange.event_of(each) for each in strange}
    )


def _may_be_ours(order: ExchangeOrder, intent: Intent | None) -> bool:
    """Return whether an order may be the order of the intent with its client order id.

    An order of another order group was sent by an earlier journal.
    """
    return intent is not None and order.order_group_id in (None, intent.order_group_id)
