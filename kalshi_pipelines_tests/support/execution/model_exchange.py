"""A minimal model of the exchange, with late requests, lost answers and a clock that tests move.

The model serves as account, fence and transport, so that the real journal, dispatch and reconciliation run on it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from kalshi_pipelines.execution.journal.records import Fill, Sent
from kalshi_pipelines.execution.orders.answers import OrderAnswer, SendFailure
from kalshi_pipelines.execution.orders.evidence import (
    ExchangeOrder,
    Holding,
    OrderStatus,
    OrderSweep,
    Settlement,
)
from kalshi_pipelines.execution.orders.terms import MarketTicker, OrderId, Side
from kalshi_pipelines.execution.transport.permits import SendPermit
from kalshi_pipelines.units import DOLLAR_CENTICENTS, centicontracts, microdollars
from kalshi_pipelines_tests.support.execution.exchange_answers import confirmed, refusal

#: Faults of one request. ``taken_503`` accepts the order and answers with status 503; ``refused_503`` refuses it.
FAULTS = (
    "none",
    "lost_before",
    "lost_after",
    "late",
    "garbled",
    "taken_408",
    "taken_409",
    "taken_429",
    "taken_500",
    "taken_503",
    "refused_400",
    "refused_429",
    "refused_503",
)


class Died(BaseException):
    """An exception that stands for the death of a process at a checkpoint."""


@dataclass
class ModelExchange:
    """A model of the exchange: its orders, fills, groups, and requests that have not arrived yet."""

    now_us: Callable[[], int]
    is_recorded: Callable[[Sent], bool]
    """A function that checks that the journal holds the record of a sending. It is called when the request arrives."""
    fault: str = "none"
    orders: dict[str, ExchangeOrder] = field(default_factory=dict)
    made: list[Fill] = field(default_factory=list)
    triggered: set[str] = field(default_factory=set)
    on_the_way: list[Sent] = field(default_factory=list)
    posts: dict[str, int] = field(default_factory=dict)
    paid: list[Settlement] = field(default_factory=list)
    numbers: int = 0

    # --- the exchange as an order transport

    def take_order_tokens(self) -> bool:
        return True

    def place(self, permit: SendPermit) -> OrderAnswer:
        sent = permit.sent
        stopped = permit.last_look()
        if stopped is not None:
            return OrderAnswer(None, failure=SendFailure.NOT_SENT, detail=stopped)
        assert self.is_recorded(sent), f"{sent.client_order_id} is sent, and no record of it is committed"
        self.posts[sent.client_order_id] = self.posts.get(sent.client_order_id, 0) + 1
        fault, self.fault = self.fault, "none"
        lost = OrderAnswer(None, failure=SendFailure.LOST, detail="the connection was lost")
        if fault == "late":
            self.on_the_way.append(sent)
        if fault in ("lost_before", "late"):
            return lost
        how, _, status = fault.partition("_")
        if how == "refused":
            return refusal(int(status), "refused")
        answer = self.arrive(sent)
        if how == "taken":
            return refusal(int(status), "nobody_knows")
        return {"lost_after": lost, "garbled": OrderAnswer(201, b"<html>")}.get(fault, answer)

    def arrive(self, sent: Sent) -> OrderAnswer:
        """Process an order request. The market, the order group or the client order id may refuse it."""
        body = json.loads(sent.request_json)
        if body["ticker"] in self.payoffs():
            return refusal(400, "market_closed")
        if body["order_group_id"] in self.triggered:
            return refusal(400, "order_group_triggered")
        if any(order.client_order_id == body["client_order_id"] for order in self.orders.values()):
            return refusal(409, "order_already_exists")
        count = centicontracts(body["count"])
        if body.get("reduce_only"):
            held = self.held(body["ticker"])[0] * (1 if body["side"] == "ask" else -1)
            if held <= 0:
                return OrderAnswer(400, b'{"error":{"code":"invalid_order"}}')
            count = min(count, held)
        rests = body["time_in_force"] == "good_till_canceled"
        order = ExchangeOrder(
            self._new_id("order"),
            body["client_order_id"],
            body["ticker"],
            Side(body["side"]),
            microdollars(body["price"]) // 100,
            count,
            0,
            count if rests else 0,
            OrderStatus.RESTING if rests else OrderStatus.CANCELED,
            body["order_group_id"],
            self.now_us(),
        )
        self.orders[order.order_id] = order
        if not rests:
            self.trade(order.order_id, count, order.price_centicents)
            order = self.orders[order.order_id]
        order_body = {
            "order_id": order.order_id,
            "client_order_id": order.client_order_id,
            "fill_count": f"{order.filled_centicontracts // 100}.{order.filled_centicontracts % 100:02}",
            "remaining_count": f"{order.remaining_centicontracts // 100}.{order.remaining_centicontracts % 100:02}",
            "ts_ms": self.now_us() // 1_000,
        }
        return OrderAnswer(201, json.dumps(order_body).encode(), server_us=self.now_us())

    def trigger_order_group(self, order_group_id: OrderId, exchange_index: int) -> OrderAnswer:
        del exchange_index
        self.triggered.add(str(order_group_id))
        for order in list(self.orders.values()):
            if order.order_group_id == str(order_group_id) and order.is_resting:
                self.cancel_order(order.order_id)
        return confirmed(self.now_us())

    def cancel(self, order_id: OrderId, ticker: MarketTicker) -> OrderAnswer:
        del ticker
        self.cancel_order(str(order_id))
        return confirmed(self.now_us())

    def cancel_all(self) -> OrderAnswer:
        for order in list(self.orders.values()):
            self.cancel_order(order.order_id)
        return OrderAnswer(204, server_us=self.now_us())

    # --- trading and settlement

    def trade(self, order_id: str, count: int, price: int) -> None:
        """Fill a part of an order, at its limit or at a better price."""
        order = self.orders[order_id]
        filled = order.filled_centicontracts + count
        left = order.count_centicontracts - filled
        status = OrderStatus.EXECUTED if left == 0 else order.status
        self.orders[order_id] = replace(
            order,
            filled_centicontracts=filled,
            remaining_centicontracts=left if order.is_resting else 0,
            status=status,
            updated_us=self.now_us(),
        )
        fee = _fee(price, count)
        self.made.append(
            Fill(self._new_id("fill"), order_id, order.ticker, order.side, price, count, fee, self.now_us())
        )

    def settle(self, ticker: str, payoff: int) -> None:
        """End a market: cancel its resting orders, and pay out its positions."""
        for order in self.resting():
            if order.ticker == ticker:
                self.cancel_order(order.order_id)
        self.paid.append(Settlement(ticker, self.event_of(ticker), payoff, self.now_us()))

    def cancel_order(self, order_id: str) -> None:
        """Cancel the unfilled rest of a resting order."""
        order = self.orders[order_id]
        if order.is_resting:
            self.orders[order_id] = replace(order, status=OrderStatus.CANCELED, remaining_centicontracts=0)

    def resting(self) -> list[ExchangeOrder]:
        return [order for order in self.orders.values() if order.is_resting]

    # --- the exchange as an account that is read

    def clock_difference_ms(self) -> int | None:
        return 0

    def as_of_us(self) -> int:
        return self.now_us()

    def orders_read(self, ticker: str | None) -> OrderSweep:
        found = {key: order for key, order in self.orders.items() if ticker in (None, order.ticker)}
        return OrderSweep(found, 1, "a" * 64)

    def fills(self, since_us: int) -> list[Fill]:
        """Return each fill twice, and also fills up to five seconds too old. Real lists repeat fills in any order."""
        found = [fill for fill in self.made if fill.at_us >= since_us - 5_000_000]
        return [*reversed(found), *found]

    def holdings(self) -> dict[str, Holding]:
        held = {ticker: self.held(ticker)[0] for ticker in self.tickers() if ticker not in self.payoffs()}
        return {ticker: Holding(ticker, count, 0) for ticker, count in held.items() if count}

    def settlements(self, since_us: int) -> list[Settlement]:
        """Return every settlement twice, newest first."""
        del since_us
        return [*reversed(self.paid), *self.paid]

    def event_of(self, ticker: str) -> str:
        return ticker.rpartition("-")[0]

    # --- true figures of the exchange, for assertions

    def tickers(self) -> list[str]:
        return sorted({order.ticker for order in self.orders.values()})

    def payoffs(self) -> dict[str, int]:
        """Return the payout of a YES contract in each ended market, in centi-cents."""
        return {each.ticker: each.payoff_centicents for each in self.paid}

    def held(self, ticker: str) -> tuple[int, int]:
        """Return the position of all fills in a market, and the micro-dollars spent on it, fees included."""
        fills = [fill for fill in self.made if fill.ticker == ticker]
        position = sum(fill.count_centicontracts * (1 if fill.side is Side.BID else -1) for fill in fills)
        return position, sum(_cost(fill, 0) for fill in fills)

    def worst(self) -> int:
        """Return the largest possible loss in open markets, in micro-dollars, fees included.

        The loss assumes the worst outcome of every open market, and fills of exactly those resting orders that increase
        the loss.
        """
        payoffs = self.payoffs()
        return sum(
            max(0, *(self._lost_in(ticker, pays, dict.fromkeys(self.orders, 0)) for pays in (0, DOLLAR_CENTICENTS)))
            for ticker in self.tickers()
            if ticker not in payoffs
        )

    def worst_of(self, elsewhere: Mapping[str, int]) -> int:
        """Return the largest possible loss of some orders, in micro-dollars, ended markets and fees included.

        Args:
            elsewhere: The orders by id, each with the centi-contracts that close a position which was taken elsewhere.
                These contracts are filled first and do not count.
        """
        payoffs = self.payoffs()
        return sum(
            max(0, *(self._lost_in(ticker, pays, elsewhere) for pays in _outcomes(payoffs.get(ticker))))
            for ticker in self.tickers()
        )

    def _lost_in(self, ticker: str, pays: int, elsewhere: Mapping[str, int]) -> int:
        lost = 0
        for order_id, outside in elsewhere.items():
            order = self.orders[order_id]
            if order.ticker != ticker or order.count_centicontracts == outside:
                continue
            filled = 0
            for fill in self.made:
                if fill.order_id == order_id:
                    before, filled = filled, filled + fill.count_centicontracts
                    counted = max(0, filled - outside) - max(0, before - outside)
                    lost += _loss(fill.side, fill.price_centicents, counted, pays) + fill.fee_microdollars
            if order.is_resting:
                left = order.count_centicontracts - max(outside, filled)
                fee = _fee(order.price_centicents, order.remaining_centicontracts)
                lost += max(0, _loss(order.side, order.price_centicents, left, pays) + fee)
        return lost

    def _new_id(self, kind: str) -> str:
        self.numbers += 1
        return f"{kind}-{self.numbers:08}"


class ModelAccount:
    """The model's account, in the form that a reconciliation reads."""

    def __init__(self, exchange: ModelExchange) -> None:
        self._exchange = exchange
        self.clock_difference_ms = exchange.clock_difference_ms
        self.as_of_us = exchange.as_of_us
        self.fills = exchange.fills
        self.holdings = exchange.holdings
        self.settlements = exchange.settlements
        self.event_of = exchange.event_of

    def orders(self, since_us: int, ticker: str | None = None) -> OrderSweep:
        del since_us
        return self._exchange.orders_read(ticker)


class NotFoundMeansRejected:
    """A wrong rule that the state machine must detect: no fence, and an order that is not found counts as refused."""

    def __init__(self, exchange: ModelExchange) -> None:
        self._exchange = exchange

    def trigger_order_group(self, order_group_id: OrderId, exchange_index: int) -> OrderAnswer:
        del order_group_id, exchange_index
        return confirmed(self._exchange.now_us())


class FenceThenReset:
    """A wrong rule that the state machine must detect: a triggered order group is opened again."""

    def __init__(self, exchange: ModelExchange) -> None:
        self._exchange = exchange

    def trigger_order_group(self, order_group_id: OrderId, exchange_index: int) -> OrderAnswer:
        answer = self._exchange.trigger_order_group(order_group_id, exchange_index)
        self._exchange.triggered.discard(str(order_group_id))
        return answer


def _outcomes(payoff: int | None) -> tuple[int, ...]:
    return (0, DOLLAR_CENTICENTS) if payoff is None else (payoff, payoff)


def _cost(fill: Fill, pays: int) -> int:
    return _loss(fill.side, fill.price_centicents, fill.count_centicontracts, pays) + fill.fee_microdollars


def _fee(price: int, count: int) -> int:
    return -(-7 * count * price * (DOLLAR_CENTICENTS - price) // (100 * DOLLAR_CENTICENTS))


def _loss(side: Side, price: int, count: int, pays: int) -> int:
    return count * (price - pays) * (1 if side is Side.BID else -1)
