"""A scripted account for tests of reconciliation and halt: tests set its answers and see its requests."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kalshi_pipelines.execution.journal.records import Fill, Intent
from kalshi_pipelines.execution.orders.answers import OrderAnswer
from kalshi_pipelines.execution.orders.evidence import (
    ExchangeOrder,
    Holding,
    OrderStatus,
    OrderSweep,
    Settlement,
)
from kalshi_pipelines.execution.orders.terms import MarketTicker, OrderId, Side
from kalshi_pipelines_tests.support.execution.exchange_answers import confirmed

RESTING, CANCELED, EXECUTED = OrderStatus.RESTING, OrderStatus.CANCELED, OrderStatus.EXECUTED


def order_of(intent: Intent, status: OrderStatus = RESTING, **changes: Any) -> ExchangeOrder:
    """Return an intent's order as the exchange lists it."""
    left = intent.count_centicontracts if status is RESTING else 0
    filled = intent.count_centicontracts if status is EXECUTED else 0
    values: dict[str, Any] = {
        "order_id": f"order-{intent.intent_id:08}",
        "client_order_id": intent.client_order_id,
        "ticker": intent.ticker,
        "side": intent.side,
        "price_centicents": intent.price_centicents,
        "count_centicontracts": intent.count_centicontracts,
        "filled_centicontracts": filled,
        "remaining_centicontracts": left,
        "status": status,
        "order_group_id": intent.order_group_id,
        "updated_us": intent.state_us,
        **changes,
    }
    return ExchangeOrder(**values)


def fill_of(order: ExchangeOrder, count: int, at_us: int, **changes: Any) -> Fill:
    """Return a fill of an order at its limit price."""
    values: dict[str, Any] = {
        "fill_id": f"fill-{order.order_id}-{count}",
        "order_id": order.order_id,
        "ticker": order.ticker,
        "side": order.side,
        "price_centicents": order.price_centicents,
        "count_centicontracts": count,
        "fee_microdollars": 0,
        "at_us": at_us,
        **changes,
    }
    return Fill(**values)


def foreign_order(order_id: str = "order-foreign", **changes: Any) -> ExchangeOrder:
    """Return a resting order that the journal never sent."""
    values: dict[str, Any] = {
        "order_id": order_id,
        "client_order_id": "",
        "ticker": "KXOTHER-26-A",
        "side": Side.BID,
        "price_centicents": 4_000,
        "count_centicontracts": 300,
        "filled_centicontracts": 100,
        "remaining_centicontracts": 200,
        "status": RESTING,
        "order_group_id": None,
        "updated_us": 0,
        **changes,
    }
    return ExchangeOrder(**values)


@dataclass
class ScriptedAccount:
    """A scripted account.

    A write gets the next answer in ``answers``, or status 200 if none is left. Reads raise the errors in ``failing``.
    """

    clock: Callable[[], int]
    listed: list[ExchangeOrder] = field(default_factory=list)
    made: list[Fill] = field(default_factory=list)
    held: dict[str, Holding] = field(default_factory=dict)
    paid: list[Settlement] = field(default_factory=list)
    lag_us: int = -3_600_000_000
    ahead_ms: int | None = 0
    answers: list[OrderAnswer] = field(default_factory=list)
    failing: dict[str, list[Exception | None]] = field(default_factory=dict)
    then: dict[str, list[Callable[[], None]]] = field(default_factory=dict)
    written: list[tuple[str, ...]] = field(default_factory=list)
    read: list[tuple[object, ...]] = field(default_factory=list)

    def clock_difference_ms(self) -> int | None:
        return self.ahead_ms

    def as_of_us(self) -> int:
        self._begin("as_of")
        return self.clock() - self.lag_us

    def orders(self, since_us: int, ticker: str | None = None) -> OrderSweep:
        self._begin("orders", since_us, ticker)
        found = {order.order_id: order for order in self.listed if ticker in (None, order.ticker)}
        return OrderSweep(found, 3, f"{len(self.read):064x}")

    def fills(self, since_us: int) -> list[Fill]:
        self._begin("fills", since_us)
        return self.made

    def holdings(self) -> dict[str, Holding]:
        self._begin("holdings")
        return self.held

    def settlements(self, since_us: int) -> list[Settlement]:
        self._begin("settlements", since_us)
        return self.paid

    def event_of(self, ticker: str) -> str:
        self._begin("event", ticker)
        return f"EVENT-{ticker}"

    def trigger_order_group(self, order_group_id: OrderId, exchange_index: int) -> OrderAnswer:
        return self._write("trigger", str(order_group_id), str(exchange_index))

    def cancel(self, order_id: OrderId, ticker: MarketTicker) -> OrderAnswer:
        answer = self._write("cancel", str(order_id), str(ticker))
        if answer.status == 200:
            self.listed = [order for order in self.listed if order.order_id != str(order_id)]
        return answer

    def cancel_all(self) -> OrderAnswer:
        return self._write("cancel_all")

    def _write(self, *what: str) -> OrderAnswer:
        self.written.append(what)
        return self.answers.pop(0) if self.answers else confirmed(self.clock())

    def _begin(self, name: str, *arguments: object) -> None:
        self.read.append((name, *arguments))
        waiting = self.then.get(name)
        if waiting:
            waiting.pop(0)()
        failure = self.failing[name].pop(0) if self.failing.get(name) else None
        if failure is not None:
            raise failure
