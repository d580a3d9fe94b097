"""The risk that a member's orders took, found in the exchange's own log without the executor's arithmetic.

An order that closes a position takes no risk. A session therefore does not count contracts that close a position of
another session.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kalshi_pipelines_tests.tools.trials.truth import TruthOrder


@dataclass
class RiskTaken:
    """The orders that each session counts, and the orders that only close. Feed it the events in their order."""

    session_of: Mapping[str, str]
    """The session of each order group."""
    closes: set[str] = field(default_factory=set)
    """The exchange's ids of orders that could only close what was held when they were accepted."""
    counted: dict[str, dict[str, TruthOrder]] = field(default_factory=dict)
    """For each session, its orders by id, without the contracts that close positions of other sessions."""
    _outside: dict[str, int] = field(default_factory=dict)

    def take(self, event: Mapping[str, Any], orders: Mapping[str, TruthOrder]) -> None:
        """Count an event. ``orders`` are all orders of the account after the event."""
        match event["event"]:
            case "OrderAccepted":
                self._accept(orders[event["order_id"]], list(orders.values()))
            case "OrderCanceled" | "OrderDecreased":
                self._cancel(orders[event["order_id"]])
            case "Traded":
                for role in ("maker", "taker"):
                    if (order := orders.get(event[f"{role}_order"])) is not None:
                        self._fill(order, event["price"], event["count"], event[f"{role}_fee"])

    def _accept(self, order: TruthOrder, all_orders: list[TruthOrder]) -> None:
        others = [other for other in all_orders if other.order_id != order.order_id and other.ticker == order.ticker]
        closing = min(order.count, _closable(order, others))
        if closing == order.count:
            self.closes.add(order.order_id)
        session = self.session_of.get(order.group or "")
        if session is None:
            return
        mine = self.counted.setdefault(session, {})
        own = _closable(order, [other for other in mine.values() if other.ticker == order.ticker])
        outside = closing - min(closing, own)
        self._outside[order.order_id] = outside
        mine[order.order_id] = replace(order, count=order.count - outside, filled=0, canceled=0, fees=0, paid=0)

    def _fill(self, order: TruthOrder, price: int, count: int, fee: int) -> None:
        outside = min(count, self._outside.get(order.order_id, 0))
        counted = self.counted.get(self.session_of.get(order.group or "", ""), {}).get(order.order_id)
        if counted is None:
            return
        self._outside[order.order_id] -= outside
        counted.filled += count - outside
        counted.paid += price * (count - outside) * order.sign
        counted.fees += fee if counted.count else 0

    def _cancel(self, order: TruthOrder) -> None:
        counted = self.counted.get(self.session_of.get(order.group or "", ""), {}).get(order.order_id)
        if counted is not None:
            counted.canceled = counted.count - counted.filled - min(order.open, counted.count - counted.filled)


def _closable(order: TruthOrder, others: list[TruthOrder]) -> int:
    """Return how many contracts an order can close, if every other open order of its side is filled first."""
    held = sum(other.filled * other.sign for other in others)
    ahead = sum(other.open for other in others if other.side == order.side)
    return max(0, -order.sign * held - ahead)
