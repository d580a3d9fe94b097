"""Decides whether an order at the exchange is the order that was sent.

These functions judge the result of a sweep and read nothing themselves.
"""

from collections.abc import Collection
from dataclasses import dataclass

from kalshi_pipelines.execution.journal.records import Intent
from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder, OrderSweep
from kalshi_pipelines.execution.orders.states import NEVER_THERE, OrderState
from kalshi_pipelines.execution.orders.terms import Side


@dataclass(frozen=True, slots=True)
class Found:
    """A match: the exchange has exactly one order of the intent, with the terms that were sent."""

    order: ExchangeOrder


@dataclass(frozen=True, slots=True)
class NotThere:
    """No match: a complete sweep does not contain any order of the intent."""


@dataclass(frozen=True, slots=True)
class Diverged:
    """A contradiction: the orders at the exchange do not agree with the order that was sent."""

    why: str


Match = Found | NotThere | Diverged


def match_intent(intent: Intent, sweep: OrderSweep) -> Match:
    """Return what a complete sweep proves about an intent."""
    found = sweep.of_client(intent.client_order_id)
    if intent.order_id is not None and intent.order_id in sweep.orders:
        found = list({order.order_id: order for order in [*found, sweep.orders[intent.order_id]]}.values())
    if not found:
        if intent.filled_centicontracts or intent.reported_filled_centicontracts:
            filled = amounts.count(max(intent.filled_centicontracts, intent.reported_filled_centicontracts or 0))
            return Diverged(f"{filled} are filled, but no list of orders contains the order")
        nameless = [order for order in sweep.orders.values() if _may_be_order_of(intent, order)]
        return Diverged(f"an order of its group has no client order id: {_ids(nameless)}") if nameless else NotThere()
    if len(found) > 1:
        return Diverged(f"{len(found)} orders have its client order id: {_ids(found)}")
    wrong = contradictions(intent, found[0])
    return Diverged("; ".join(wrong)) if wrong else Found(found[0])


def _may_be_order_of(intent: Intent, order: ExchangeOrder) -> bool:
    """Return whether an order without a client order id belongs to the intent's order group.

    Such an order may be the order of this intent. In that case the sweep does not prove that the intent's order is
    absent.
    """
    return (
        not order.client_order_id and order.order_group_id is not None and order.order_group_id == intent.order_group_id
    )


def contradictions(intent: Intent, order: ExchangeOrder) -> list[str]:
    """Return the terms in which an order at the exchange differs from the order that was sent."""
    terms: dict[str, tuple[object, object]] = {
        "client order id": (order.client_order_id, intent.client_order_id),
        "market": (order.ticker, intent.ticker),
        "side": (order.side.value, intent.side.value),
        "order group": (order.order_group_id or intent.order_group_id, intent.order_group_id),
    }
    if intent.order_id is not None:
        terms["order id"] = (order.order_id, intent.order_id)
    wrong = [f"its {name} is {there}, not {sent}" for name, (there, sent) in terms.items() if there != sent]
    wrong += _worse_terms(intent, order)
    if order.filled_centicontracts + order.remaining_centicontracts > order.count_centicontracts:
        wrong.append("its filled and remaining contracts are more than were ordered")
    if order.is_resting and order.remaining_centicontracts == 0:
        wrong.append("it rests with no contracts remaining")
    return wrong


def _worse_terms(intent: Intent, order: ExchangeOrder) -> list[str]:
    """Return the terms that make an order at the exchange riskier than the order that was sent."""
    wrong = []
    if is_worse_price(order.side, order.price_centicents, than=intent.price_centicents):
        there, sent = amounts.price(order.price_centicents), amounts.price(intent.price_centicents)
        wrong.append(f"its price is {there}, not {sent}")
    if order.count_centicontracts > intent.count_centicontracts:
        there, sent = amounts.count(order.count_centicontracts), amounts.count(intent.count_centicontracts)
        wrong.append(f"its count is {there}, not {sent}")
    return wrong


def is_worse_price(side: Side, price: int, *, than: int) -> bool:
    """Return whether an order at this YES price may lose more than an order at another YES price."""
    return price > than if side is Side.BID else price < than


def harmless_changes(intent: Intent, order: ExchangeOrder) -> list[str]:
    """Return how a person reduced or bettered the order elsewhere, as on the exchange's web site.

    Such a change adds no risk. The ledger counts the order as it was sent until the order ends.
    """
    changes = []
    # The exchange itself limits the count of a reduce-only order to the position.
    if order.count_centicontracts < intent.count_centicontracts and not intent.reduce_only:
        there, sent = amounts.count(order.count_centicontracts), amounts.count(intent.count_centicontracts)
        changes.append(f"its count is {there} of the {sent} that were sent")
    if is_worse_price(order.side, intent.price_centicents, than=order.price_centicents):
        there, sent = amounts.price(order.price_centicents), amounts.price(intent.price_centicents)
        changes.append(f"its price is {there} instead of {sent}")
    return changes


def end_contradiction(intent: Intent, order: ExchangeOrder) -> str | None:
    """Return how an order at the exchange contradicts the order's final state in the journal, or None.

    The exchange may list an order that it refused as canceled; recordings show this for post-only orders. A canceled
    order without fills therefore does not contradict a refusal.
    """
    if intent.state in NEVER_THERE and not order.did_nothing:
        return f"it is {intent.state.value} in the journal, but {order.status.value} at the exchange"
    if intent.state not in (OrderState.EXECUTED, OrderState.CANCELED):
        return None
    if order.is_resting:
        return f"it ended as {intent.state.value} in the journal, but rests at the exchange"
    if intent.reported_filled_centicontracts != order.filled_centicontracts:
        filled = amounts.count(intent.reported_filled_centicontracts or 0)
        return (
            f"it ended with {filled} filled, but the exchange has {amounts.count(order.filled_centicontracts)} filled"
        )
    return None


def _ids(orders: Collection[ExchangeOrder]) -> str:
    return ", ".join(sorted(order.order_id for order in orders))
