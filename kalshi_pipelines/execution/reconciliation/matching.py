"""Whether an order of the exchange is the one we sent: pure judgements of a sweep."""

from collections.abc import Collection
from dataclasses import dataclass

from kalshi_pipelines.execution.journal.records import Intent
from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.orders.evidence import STATE_OF, ExchangeOrder, OrderSweep
from kalshi_pipelines.execution.orders.states import NEVER_THERE, OrderState


@dataclass(frozen=True, slots=True)
class Found:
    """The one order of an intent, as it was meant."""

    order: ExchangeOrder

    @property
    def state(self) -> OrderState:
        """The state it proves."""
        return STATE_OF[self.order.status]


@dataclass(frozen=True, slots=True)
class NotThere:
    """A complete sweep does not have it."""


@dataclass(frozen=True, slots=True)
class Diverged:
    """What the exchange has can not have come of what we sent."""

    why: str


Match = Found | NotThere | Diverged


def match_intent(intent: Intent, sweep: OrderSweep) -> Match:
    """What a complete sweep says of an intent."""
    found = sweep.of_client(intent.client_order_id)
    if intent.order_id is not None and intent.order_id in sweep.orders:
        found = list({order.order_id: order for order in [*found, sweep.orders[intent.order_id]]}.values())
    if not found:
        if intent.filled_centicontracts or intent.reported_filled_centicontracts:
            filled = amounts.count(max(intent.filled_centicontracts, intent.reported_filled_centicontracts or 0))
            return Diverged(f"{filled} of it are filled, and no list of orders has it")
        nameless = [order for order in sweep.orders.values() if _may_be_order_of(intent, order)]
        return Diverged(f"an order of its group has no client order id: {_ids(nameless)}") if nameless else NotThere()
    if len(found) > 1:
        return Diverged(f"{len(found)} orders have its client order id: {_ids(found)}")
    wrong = contradictions(intent, found[0])
    return Diverged("; ".join(wrong)) if wrong else Found(found[0])


def _may_be_order_of(intent: Intent, order: ExchangeOrder) -> bool:
    """Whether an order nobody put a name to came through the intent's own group: then its absence is not proved."""
    return (
        not order.client_order_id and order.order_group_id is not None and order.order_group_id == intent.order_group_id
    )


def contradictions(intent: Intent, order: ExchangeOrder) -> list[str]:
    """In what an order of the exchange differs from the one that was sent."""
    terms: dict[str, tuple[object, object]] = {
        "client order id": (order.client_order_id, intent.client_order_id),
        "market": (order.ticker, intent.ticker),
        "side": (order.side.value, intent.side.value),
        "price": (order.price_centicents, intent.price_centicents),
        "count": (order.count_centicontracts, intent.count_centicontracts),
        "order group": (order.order_group_id or intent.order_group_id, intent.order_group_id),
    }
    if intent.order_id is not None:
        terms["order id"] = (order.order_id, intent.order_id)
    wrong = [f"its {name} is {there}, not {sent}" for name, (there, sent) in terms.items() if there != sent]
    if order.filled_centicontracts + order.remaining_centicontracts > order.count_centicontracts:
        wrong.append("more is filled and left than was ordered")
    if order.is_resting and order.remaining_centicontracts == 0:
        wrong.append("it rests with nothing left")
    return wrong


def end_contradiction(intent: Intent, order: ExchangeOrder) -> str | None:
    """What is wrong with an order the exchange has, given where the journal says it ended; None if nothing.

    An order that was refused may be listed as canceled (recorded of post-only orders): it did nothing.
    """
    if intent.state in NEVER_THERE and not order.did_nothing:
        return f"the journal has it as {intent.state.value}, the exchange as {order.status.value}"
    if intent.state not in (OrderState.EXECUTED, OrderState.CANCELED):
        return None
    if order.is_resting:
        return f"it ended as {intent.state.value}, and rests"
    if intent.reported_filled_centicontracts != order.filled_centicontracts:
        filled = amounts.count(intent.reported_filled_centicontracts or 0)
        return f"it ended with {filled} filled, and {amounts.count(order.filled_centicontracts)} are"
    return None


def _ids(orders: Collection[ExchangeOrder]) -> str:
    return ", ".join(sorted(order.order_id for order in orders))
