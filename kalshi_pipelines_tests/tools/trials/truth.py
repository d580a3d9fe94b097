"""A member's orders in the exchange's own log, and the largest possible loss of the orders, found by brute force.

The executor's arithmetic is not used. Every outcome of each market is combined with every subset of its open orders.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final

import httpx

from kalshi_pipelines.units import DOLLAR_CENTICENTS

Row = dict[str, Any]
#: The beginning of every client order id that the executor makes.
OUR_PREFIX: Final = "kx1-"
_RATE_SCALE: Final = 10**12
#: Largest number of open orders in one market for which every subset is tried.
_MOST_SUBSETS: Final = 12


@dataclass
class TruthOrder:
    """An order that the exchange accepted."""

    order_id: str
    client_order_id: str
    ticker: str
    side: str
    price: int
    count: int
    group: str | None
    at_us: int
    filled: int = 0
    canceled: int = 0
    fees: int = 0
    paid: int = 0
    """Net cost in micro-dollars. Fills of a bid add their cost, and fills of an ask subtract their proceeds."""
    is_amended: bool = False

    @property
    def open(self) -> int:
        return self.count - self.filled - self.canceled

    @property
    def is_ours(self) -> bool:
        """Whether the executor sent the order. A person's orders have other client order ids."""
        return self.client_order_id.startswith(OUR_PREFIX)

    @property
    def sign(self) -> int:
        return 1 if self.side == "bid" else -1


@dataclass
class TruthReader:
    """A reader of an exchange's log, which remembers what it has read."""

    admin_url: str
    http: httpx.Client
    seen: int = 0
    rates: dict[str, int] = field(default_factory=dict)
    events_of: dict[str, str] = field(default_factory=dict)
    members: dict[str, list[Row]] = field(default_factory=dict)
    _member_of: dict[str, str] = field(default_factory=dict)

    def refresh(self) -> None:
        """Read the events that are new since the last call."""
        while True:
            page = self.http.get(f"{self.admin_url}/sandbox/truth", params={"after": self.seen, "limit": 10_000}).json()
            for event in page["events"]:
                self._take(event)
            if not page["events"]:
                return
            self.seen = page["events"][-1]["sequence"]

    def _take(self, event: Row) -> None:
        match event["event"]:
            case "MarketOpened":
                later = [rate for _, rate, _ in event["fee_steps"]]
                self.rates[event["ticker"]] = max([event["taker_rate"], *later])
                self.events_of[event["ticker"]] = event["event_ticker"]
            case "OrderAccepted":
                self._member_of[event["order_id"]] = event["member"]
                self.members.setdefault(event["member"], []).append(event)
            case "OrderCanceled" | "OrderDecreased" | "OrderAmended":
                self.members.setdefault(self._member_of[event["order_id"]], []).append(event)
            case "Traded":
                sides = {self._member_of[event[name]] for name in ("maker_order", "taker_order")}
                for member in sides:
                    self.members.setdefault(member, []).append(event)

    def states(self, member: str) -> Iterator[tuple[Row, dict[str, TruthOrder]]]:
        """Yield each event and the member's orders by id after it. One dictionary is updated and yielded every time."""
        orders: dict[str, TruthOrder] = {}
        for event in self.members.get(member, ()):
            _apply(orders, event)
            yield event, orders

    def orders(self, member: str) -> dict[str, TruthOrder]:
        """Return the member's current orders by id."""
        orders: dict[str, TruthOrder] = {}
        for event in self.members.get(member, ()):
            _apply(orders, event)
        return orders

    def worst(self, orders: Collection[TruthOrder]) -> int:
        """Return the loss in micro-dollars if each market has its worst outcome and its orders have the worst fills."""
        tickers = {order.ticker for order in orders}
        return sum(self._worst_of([order for order in orders if order.ticker == ticker]) for ticker in tickers)

    def _worst_of(self, orders: list[TruthOrder]) -> int:
        open_orders = [order for order in orders if order.open > 0]
        assert len(open_orders) <= _MOST_SUBSETS
        worst = 0
        for pays in (0, DOLLAR_CENTICENTS):
            have = sum(_loss(order.side, order.paid, order.filled, pays) + order.fees for order in orders)
            for filled in product((False, True), repeat=len(open_orders)):
                more = 0
                for order, is_filled in zip(open_orders, filled, strict=True):
                    if is_filled:
                        cost = order.price * order.open * order.sign
                        more += _loss(order.side, cost, order.open, pays) + self._fee(order)
                worst = max(worst, have + more)
        return worst

    def _fee(self, order: TruthOrder) -> int:
        rate = self.rates[order.ticker]
        return -(-rate * order.open * order.price * (DOLLAR_CENTICENTS - order.price) // _RATE_SCALE)


def _loss(side: str, paid: int, count: int, pays: int) -> int:
    contracts = count if side == "bid" else -count
    return paid - contracts * pays


def _apply(orders: dict[str, TruthOrder], event: Row) -> None:
    match event["event"]:
        case "OrderAccepted":
            orders[event["order_id"]] = TruthOrder(
                event["order_id"],
                event.get("client_order_id") or "",
                event["ticker"],
                event["side"],
                event["price"],
                event["count"],
                event.get("order_group"),
                event["at_us"],
            )
        case "OrderCanceled" | "OrderDecreased":
            orders[event["order_id"]].canceled += event["count"]
        case "OrderAmended":
            order = orders[event["order_id"]]
            order.price, order.is_amended = event["price"], True
            order.count = order.filled + order.canceled + event["remaining"]
        case "Traded":
            for role in ("maker", "taker"):
                traded = orders.get(event[f"{role}_order"])
                if traded is not None:
                    traded.filled += event["count"]
                    traded.fees += event[f"{role}_fee"]
                    traded.paid += event["price"] * event["count"] * traded.sign
