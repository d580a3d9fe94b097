"""Tests with random orders: any sequence of requests conserves money and contracts, and the truth log explains every
change.
"""

from collections import defaultdict
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from kalshi_pipelines.sandbox.trading import events as ev
from kalshi_pipelines.sandbox.trading.commands import Amendment, NewOrder, OrderRef, RequestRefused
from kalshi_pipelines.sandbox.trading.records import EXECUTED, RESTING, SandboxOrder
from kalshi_pipelines_tests.support.sandbox.engines import (
    COMBO,
    MAKER_FEES,
    PLAIN,
    START_US,
    market,
    new_engine,
    replayed,
    snapshot,
)

MEMBERS = ("ann", "bob", "cat")
TICKERS = (PLAIN, MAKER_FEES, COMBO)
prices = st.one_of(
    st.sampled_from((4_900, 5_000, 5_100)), st.sampled_from((100, 4_900, 5_000, 5_100, 9_900)),
    st.integers(4_500, 5_500), st.integers(1, 9_999),
)  # fmt: skip
FLAGS: tuple[dict[str, Any], ...] = (
    *({},) * 6, {"post_only": True}, {"cancel_on_pause": True}, {"reduce_only": True}, {"subaccount": 1},
    {"client_order_id": "one"}, {"client_order_id": "two"},
)  # fmt: skip
counts = st.one_of(st.integers(1, 60).map(lambda whole: whole * 100), st.integers(1, 700))


def on_grid(ticker: str, price: int) -> int:
    """Return the highest price of a market's grid that is not above ``price``."""
    if ticker == PLAIN:
        return max(100, price // 100 * 100)
    return price // 10 * 10 if 1_000 < price < 9_000 else price


class Witness:
    """An independent, slow order book. It checks each trade in the truth log against price-time priority."""

    def __init__(self) -> None:
        self.seen = 0
        self.arrivals = 0
        self.terms: dict[str, ev.OrderAccepted] = {}
        self.prices: dict[str, int] = {}
        self.resting: dict[str, tuple[int, int]] = {}
        self.left: dict[str, int] = {}

    def follow(self, events: list[ev.AnyEvent]) -> None:
        for event in events[self.seen :]:
            self._follow(event)
        self.seen = len(events)

    def _follow(self, event: ev.AnyEvent) -> None:
        match event:
            case ev.OrderAccepted():
                self.terms[event.order_id] = event
                self.prices[event.order_id] = event.price
                self.left[event.order_id] = event.count
            case ev.OrderRested():
                self._rest(event.order_id)
            case ev.OrderAmended():
                self.prices[event.order_id] = event.price
                self.left[event.order_id] = event.remaining
                if not event.keeps_place:
                    self.resting.pop(event.order_id, None)
            case ev.OrderDecreased():
                self.left[event.order_id] -= event.count
            case ev.OrderCanceled():
                assert event.count == self.left[event.order_id]
                self.resting.pop(event.order_id, None)
            case ev.Traded():
                self._check(event)
            case _:
                pass

    def _rest(self, order_id: str) -> None:
        self.arrivals += 1
        rank = self.prices[order_id] * (-1 if self.terms[order_id].side == "bid" else 1)
        self.resting[order_id] = (rank, self.arrivals)

    def _check(self, trade: ev.Traded) -> None:
        maker, taker = self.terms[trade.maker_order], self.terms[trade.taker_order]
        assert maker.side != taker.side
        assert maker.member != taker.member
        assert trade.price == self.prices[trade.maker_order]
        limit = self.prices[trade.taker_order]
        assert trade.price <= limit if taker.side == "bid" else trade.price >= limit
        queue = sorted(
            (place, order_id)
            for order_id, place in self.resting.items()
            if self.terms[order_id].ticker == trade.ticker and self.terms[order_id].side == maker.side
        )
        assert queue[0][1] == trade.maker_order, "the best and earliest order trades first"
        for order_id in (trade.maker_order, trade.taker_order):
            self.left[order_id] -= trade.count
            assert self.left[order_id] >= 0
        if not self.left[trade.maker_order]:
            del self.resting[trade.maker_order]
        assert trade.maker_fee >= 0
        assert trade.taker_fee >= 0


class OrderFlow(RuleBasedStateMachine):
    orders: Any = Bundle("orders")
    groups: Any = Bundle("groups")

    @initialize()
    def open_the_markets(self) -> None:
        self.engine = new_engine(*MEMBERS, dollars=60)
        self.engine.accounts.join("dan", at_us=START_US, balance_step=10_000)
        self.engine.accounts.deposit("dan", 0, 0, 20_000_000, at_us=START_US)
        self.engine.accounts.open_subaccount("ann", at_us=START_US)
        self.engine.accounts.transfer("ann", (0, 0), (1, 0), 9_000_000, None, at_us=START_US)
        self.paid_in = sum(self.engine.state.cash.values())
        self.now = START_US
        self.witness = Witness()
        self.settled: set[str] = set()

    @rule(microseconds=st.sampled_from((1, 400_000, 6_000_000, 16_000_000)))
    def time_passes(self, microseconds: int) -> None:
        self.now += microseconds
        self.engine.expire(self.now)

    @rule(
        target=orders,
        ticker=st.sampled_from((PLAIN, MAKER_FEES, COMBO)),
        orders=st.lists(
            st.tuples(
                st.sampled_from((*MEMBERS, "dan")),
                st.sampled_from(("bid", "ask")),
                prices,
                counts,
                st.sampled_from((*("good_till_canceled",) * 4, "immediate_or_cancel", "fill_or_kill")),
                st.sampled_from(("taker_at_cross", "maker")),
                st.sampled_from(FLAGS),
                st.sampled_from((None, None, 5_000_000)),
            ),
            min_size=6,
            max_size=16,
        ),
    )
    def place(self, ticker: str, orders: list[Any]) -> Any:
        return multiple(*(order for terms in orders if (order := self._place(ticker, *terms)) is not None))

    def _place(
        self,
        ticker: str,
        member: str,
        side: ev.Side,
        price: int,
        count: int,
        force: ev.TimeInForce,
        prevention: ev.SelfTradePrevention,
        flags: dict[str, Any],
        lifetime: int | None,
    ) -> SandboxOrder | None:
        if flags.get("reduce_only"):
            force = "immediate_or_cancel"
        expires = None if lifetime is None or force != "good_till_canceled" else self.now + lifetime
        terms = {"subaccount": 0, "time_in_force": force, "self_trade_prevention": prevention, "expires_us": expires}
        return self._place_or_refuse(
            NewOrder(
                member=member, ticker=ticker, side=side, price=on_grid(ticker, price), count=count, **{**terms, **flags}
            )
        )

    @rule(
        target=orders,
        group=groups,
        side=st.sampled_from(("bid", "ask")),
        price=st.sampled_from((4_900, 5_000, 5_100)),
        count=counts,
    )
    def place_in_group(self, group: tuple[str, str], side: ev.Side, price: int, count: int) -> Any:
        member, group_id = group
        order = self._place_or_refuse(NewOrder(member, 0, PLAIN, side, price, count, order_group=group_id))
        return multiple() if order is None else order

    def _place_or_refuse(self, new: NewOrder) -> SandboxOrder | None:
        before, events = self.engine.state.sequence, len(self.engine.log.events)
        try:
            execution = self.engine.place(new, at_us=self.now)
        except RequestRefused as refused:
            # A refused post-only order adds two events, because it is listed as canceled. Any other refused order adds
            # none.
            listed = 2 if refused.details == "post only cross" else 0
            assert self.engine.state.sequence == before + listed, "a refused order changes nothing"
            assert len(self.engine.log.events) == events + listed
            return None
        order = execution.order
        if new.time_in_force == "fill_or_kill" and not order.remaining and order.status == EXECUTED:
            assert order.filled == new.count
        if new.post_only:
            assert not execution.trades
        if new.time_in_force != "good_till_canceled":
            assert not order.is_resting
        return order

    @rule(order=orders)
    def cancel(self, order: SandboxOrder) -> None:
        self._try(lambda: self.engine.cancel(self._ref(order), at_us=self.now))

    @rule(order=orders, price=prices, extra=counts, lifetime=st.sampled_from((None, 0, 7_000_000)))
    def amend(self, order: SandboxOrder, price: int, extra: int, lifetime: int | None) -> None:
        expires = self.now + lifetime if lifetime else lifetime
        price = on_grid(order.ticker, price)
        amendment = Amendment(
            self._ref(order), order.ticker, order.side, price, order.filled + extra, expires_us=expires
        )
        self._try(lambda: self.engine.amend(amendment, at_us=self.now))

    @rule(order=orders, count=counts, to=st.booleans())
    def decrease(self, order: SandboxOrder, count: int, to: bool) -> None:
        terms = {"reduce_to": count} if to else {"reduce_by": count}
        self._try(lambda: self.engine.decrease(self._ref(order), at_us=self.now, **terms))

    @rule(member=st.sampled_from(MEMBERS), subaccount=st.sampled_from((None, 0)))
    def cancel_all(self, member: str, subaccount: int | None) -> None:
        self.engine.cancel_all(member, subaccount, at_us=self.now)
        assert not any(
            order.is_resting
            for order in self.engine.state.orders_of[member]
            if subaccount in {None, order.subaccount} and self.engine.state.shards[order.shard].exchange_active
        )

    @rule(target=groups, member=st.sampled_from(MEMBERS), limit=counts)
    def create_group(self, member: str, limit: int) -> Any:
        return member, self.engine.groups.create(member, 0, 0, limit, at_us=self.now).group_id

    @rule(group=groups, what=st.sampled_from(("trigger", "reset")))
    def steer_group(self, group: tuple[str, str], what: str) -> None:
        act = self.engine.groups.trigger if what == "trigger" else self.engine.groups.reset
        act(group[0], 0, group[1], at_us=self.now)

    @rule(group=consumes(groups))
    def delete_group(self, group: tuple[str, str]) -> None:
        self.engine.groups.delete(group[0], None, group[1], at_us=self.now)

    @rule(group=groups, limit=counts)
    def limit_group(self, group: tuple[str, str], limit: int) -> None:
        self.engine.groups.set_limit(group[0], 0, group[1], limit, at_us=self.now)

    @rule(ticker=st.sampled_from(TICKERS))
    def pause_and_resume(self, ticker: str) -> None:
        if ticker not in self.settled:
            self.engine.market_control.change(ticker, "inactive", at_us=self.now)
            self._expect_refusal(ticker)
            self.engine.market_control.change(ticker, "active", at_us=self.now)
            assert not list(self.engine.state.markets[ticker].book.queue("bid"))

    @rule(working=st.sampled_from(((True, False), (False, False))))
    def pause_and_resume_a_shard(self, working: tuple[bool, bool]) -> None:
        exchange, trading = working
        self.engine.market_control.set_shard(0, exchange_active=exchange, trading_active=trading, at_us=self.now)
        self._expect_refusal(PLAIN)
        self.engine.market_control.set_shard(0, exchange_active=True, trading_active=True, at_us=self.now)

    def _expect_refusal(self, ticker: str) -> None:
        assert self._place_or_refuse(NewOrder("ann", 0, ticker, "bid", 100, 100)) is None

    @rule(
        ticker=st.sampled_from((MAKER_FEES, COMBO)),
        outcome=st.sampled_from((("yes", 10_000), ("no", 0), ("scalar", 3_333))),
    )
    def settle(self, ticker: str, outcome: tuple[ev.Result, int]) -> None:
        if ticker in self.settled:
            return
        self.settled.add(ticker)
        for status in ("closed", "determined", "finalized"):
            result, value = outcome if status != "closed" else ("", None)
            self.engine.market_control.change(ticker, status, at_us=self.now, result=result, value=value)  # type: ignore[arg-type]
        assert self.engine.state.markets[ticker].pool == 0

    @rule(member=st.sampled_from(MEMBERS), amount=st.integers(-5_000_000, 5_000_000))
    def deposit(self, member: str, amount: int) -> None:
        if self._try(lambda: self.engine.accounts.deposit(member, 0, 0, amount // 10_000 * 10_000, at_us=self.now)):
            self.paid_in += amount // 10_000 * 10_000

    def _ref(self, order: SandboxOrder) -> OrderRef:
        return OrderRef(order.member, order.subaccount, order.order_id, ticker=order.ticker)

    def _try(self, act: Any) -> bool:
        before = self.engine.state.sequence
        try:
            act()
        except RequestRefused:
            assert self.engine.state.sequence == before
            return False
        return True

    @invariant()
    def money_is_conserved(self) -> None:
        state = self.engine.state
        pools = sum(traded.pool for traded in state.markets.values())
        assert sum(state.cash.values()) + pools + state.fees_collected == self.paid_in
        assert state.fees_collected >= 0

    @invariant()
    def contracts_are_conserved(self) -> None:
        for ticker, traded in self.engine.state.markets.items():
            held = [position.count for position in self.engine.state.holders_of(ticker)]
            assert sum(held) == 0
            assert traded.open_interest == sum(count for count in held if count > 0)
            assert traded.pool == traded.open_interest * 10_000

    @invariant()
    def no_book_is_crossed(self) -> None:
        for traded in self.engine.state.markets.values():
            bid, ask = traded.book.best("bid"), traded.book.best("ask")
            assert bid is None or ask is None or bid < ask

    @invariant()
    def collateral_is_covered_and_counted(self) -> None:
        state = self.engine.state
        needed: defaultdict[tuple[str, int, int], int] = defaultdict(int)
        resting = [order for order in state.orders.values() if order.is_resting]
        for member, subaccount, ticker in {(order.member, order.subaccount, order.ticker) for order in resting}:
            mine = [o for o in resting if (o.member, o.subaccount, o.ticker) == (member, subaccount, ticker)]
            holding = state.holding(member, subaccount, ticker)
            shard = state.markets[ticker].facts.shard
            needed[member, subaccount, shard] += _collateral(mine, holding)
        for key, reserved in state.reserved.items():
            assert reserved == needed[key]
            assert 0 <= reserved <= state.cash[key]
        assert all(cash >= 0 for cash in state.cash.values())

    @invariant()
    def positions_are_the_sum_of_fills(self) -> None:
        state = self.engine.state
        held: defaultdict[tuple[str, int, str], int] = defaultdict(int)
        fees: defaultdict[str, int] = defaultdict(int)
        for fills in state.fills_of.values():
            for fill in fills:
                held[fill.member, fill.subaccount, fill.ticker] += fill.count if fill.side == "bid" else -fill.count
                fees[fill.order_id] += fill.fee
        for key, position in state.positions.items():
            assert position.count == (0 if key[2] in self.settled else held[key])
        for order in state.orders.values():
            assert order.taker_fees + order.maker_fees == fees[order.order_id]
            assert order.filled + order.remaining <= order.initial_count
            assert (order.status == RESTING) == order.is_resting

    @invariant()
    def trades_follow_price_and_time(self) -> None:
        self.witness.follow(self.engine.log.events)

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            assert snapshot(replayed(self.engine.log)) == snapshot(self.engine.state)


def _collateral(resting: list[SandboxOrder], holding: int) -> int:
    """Compute the collateral of the orders of one position, contract by contract, to compare it with the engine's."""
    total = sum(order.allowance for order in resting)
    for side, closable in (("bid", -holding), ("ask", holding)):
        closing = max(0, closable)
        costs = sorted(
            (order.price if side == "bid" else 10_000 - order.price, order.remaining)
            for order in resting
            if order.side == side
        )
        for cost, count in reversed(costs):
            closed = min(count, closing)
            closing -= closed
            total += cost * (count - closed)
    return total


TestOrderFlow = OrderFlow.TestCase
TestOrderFlow.settings = settings(max_examples=50, stateful_step_count=30)


def test_a_market_on_another_shard_takes_its_collateral_there() -> None:
    engine = new_engine("ann", dollars=10)
    engine.market_control.open(market("KXOTHER-1-A", shard=1))
    engine.place(NewOrder("ann", 0, "KXOTHER-1-A", "bid", 5_000, 1_000), at_us=START_US)
    assert engine.state.available("ann", 0, 0) == 10_000_000
    assert engine.state.available("ann", 0, 1) == 5_000_000
