"""The matching engine: decides about orders and records its decisions as events.

Belongs here: orders, from placing to canceling. Does not belong here: order groups (``groups``), members and money
(``accounts``), markets and shards (``market_control``). Sources: the vendor's pages on orders, order errors,
maintenance and pauses; recordings of June 2026 (demo).
"""

import heapq
from dataclasses import replace
from typing import Final, Literal

from kalshi_pipelines.sandbox.noise import mixed
from kalshi_pipelines.sandbox.trading import events as ev
from kalshi_pipelines.sandbox.trading.accounts import MemberAccounts
from kalshi_pipelines.sandbox.trading.commands import (
    Amendment,
    Cancellation,
    Execution,
    NewOrder,
    OrderRef,
    RequestRefused,
)
from kalshi_pipelines.sandbox.trading.exposure import cost_each
from kalshi_pipelines.sandbox.trading.fees import fill_fee, rates_of, resting_allowance, trade_fee
from kalshi_pipelines.sandbox.trading.groups import GroupControl
from kalshi_pipelines.sandbox.trading.log import TruthLog
from kalshi_pipelines.sandbox.trading.market_control import MarketControl
from kalshi_pipelines.sandbox.trading.matching import (
    MatchIntent,
    MatchPlan,
    MatchPreview,
    PlannedTrade,
    crosses,
    opposite,
)
from kalshi_pipelines.sandbox.trading.recorder import ORDER_NUMBERS, TRADE_NUMBERS, EventRecorder
from kalshi_pipelines.sandbox.trading.records import SandboxOrder, TradedMarket
from kalshi_pipelines.sandbox.trading.state import TradingState
from kalshi_pipelines.units import DOLLAR_CENTICENTS

TailPolicy = Literal["always", "never", "sometimes"]
CANCEL_ALL_TAIL_US: Final = 60_000_000
"""Period after a cancel-all during which new orders may be canceled too. Source: the vendor's OpenAPI document."""
_TAIL: Final = 5


class MatchingEngine:
    """Matching engine of one exchange.

    It matches orders in price-time priority and keeps one book of YES prices for each market.

    ``cancel_all_tail`` decides whether a cancel-all also cancels orders that start to rest in the minute after it.
    """

    def __init__(self, state: TradingState, log: TruthLog, seed: int = 0) -> None:
        self.recorder = EventRecorder(state, log, seed)
        self.accounts = MemberAccounts(self.recorder)
        self.market_control = MarketControl(self.recorder)
        self.groups = GroupControl(self.recorder)
        self.state = state
        self.log = log
        self.cancel_all_tail: TailPolicy = "sometimes"
        self._expiries: list[tuple[int, int, str]] = []
        self.resume()

    def resume(self) -> None:
        """Rebuild the queue of order expiries after the state was replayed from a log."""
        self._expiries = [
            (order.expires_us, order.number, order.order_id)
            for order in self.state.orders.values()
            if order.is_resting and order.expires_us is not None
        ]
        heapq.heapify(self._expiries)

    def place(self, new: NewOrder, *, at_us: int) -> Execution:
        """Accept an order and match it. Its terms decide whether the remainder rests in the book or is canceled.

        Raises:
            RequestRefused: The order breaks a rule. It has no effect, except that a post-only order that would trade is
                listed as canceled.
        """
        market = self._check_market(new, at_us)
        count = self._check_count(new)
        if new.post_only and self._would_cross(market, new.side, new.price):
            # Recordings show that a refused post-only order is listed as canceled and uses up its client order id.
            order = self._accept(new, count, at_us)
            self._lapse(order, "post_only_cross", at_us)
            raise RequestRefused("invalid_order", "post only cross")
        preview = self._preview(new, market, count, at_us)
        return self._execute(self._accept(new, count, at_us), market, preview.plan, at_us)

    def amend(self, amendment: Amendment, *, at_us: int) -> Execution:
        """Change price, count or expiry of a resting order. A better price may trade at once.

        The order keeps its place in the queue only if its price stays and its count does not grow.

        Raises:
            RequestRefused: The order is not resting, is not the order that the amendment describes, or its new terms
                break a rule.
        """
        order = self._find_resting(amendment.ref)
        market = self.state.markets[order.ticker]
        remaining = self._check_amendment(amendment, order, market, at_us)
        expires_us = order.expires_us if amendment.expires_us is None else amendment.expires_us or None
        keeps_place = amendment.price == order.price and remaining <= order.remaining
        before = order.remaining
        preview = None if keeps_place else self._preview_amendment(order, market, amendment.price, remaining, at_us)
        self.recorder.emit(
            ev.OrderAmended(
                at_us=at_us,
                order_id=order.order_id,
                price=amendment.price,
                remaining=remaining,
                expires_us=expires_us,
                client_order_id=amendment.updated_client_order_id,
                keeps_place=keeps_place,
            )
        )
        if preview is None:
            self._expect_expiry(order)
            return Execution(order, order.remaining, resting_changed=order.remaining != before)
        execution = self._execute(order, market, preview.plan, at_us)
        execution.resting_changed = bool(execution.trades) or execution.remaining != before
        return execution

    def cancel(self, ref: OrderRef, *, at_us: int) -> Cancellation:
        """Cancel the remainder of a resting order.

        Raises:
            RequestRefused: No such order rests in the sub-account and on the shard that the member names, or the shard
                is down.
        """
        order = self._find_resting(ref)
        count = order.remaining
        self.recorder.emit(ev.OrderCanceled(at_us=at_us, order_id=order.order_id, count=count, reason="member"))
        return Cancellation(order, count)

    def decrease(
        self, ref: OrderRef, *, at_us: int, reduce_by: int | None = None, reduce_to: int | None = None
    ) -> SandboxOrder:
        """Reduce a resting order, which keeps its place in the queue. A reduction to zero cancels the order.

        Raises:
            RequestRefused: The order is not resting, or the request would not make it smaller.
        """
        order = self._find_resting(ref)
        count = min(reduce_by or 0, order.remaining) if reduce_to is None else order.remaining - reduce_to
        if count < 0 or (reduce_by is not None and count == 0):
            raise RequestRefused("invalid_order_size")
        if count == order.remaining:
            self.recorder.emit(ev.OrderCanceled(at_us=at_us, order_id=order.order_id, count=count, reason="member"))
        elif count:
            self.recorder.emit(ev.OrderDecreased(at_us=at_us, order_id=order.order_id, count=count))
        return order

    def cancel_all(self, member: str, subaccount: int | None, *, at_us: int) -> int:
        """Cancel a member's resting orders on every working shard and return how many were canceled.

        ``subaccount`` limits the cancel to one sub-account. None cancels in all sub-accounts. Orders that start to rest
        in the following minute may be canceled as well.

        Raises:
            RequestRefused: Some orders rest on a shard that is down and were not canceled, or all shards are down and
                no order was canceled.
        """
        if not any(shard.exchange_active for shard in self.state.shards.values()):
            raise RequestRefused("exchange_unavailable")
        resting = [order for order in self.state.orders_of[member] if order.is_resting]
        matching = [order for order in resting if subaccount in {None, order.subaccount}]
        wanted = [order for order in matching if self.state.shards[order.shard].exchange_active]
        self.recorder.emit(ev.CancelAllRequested(at_us=at_us, member=member, subaccount=subaccount))
        self.recorder.cancel_each(wanted, "cancel_all", at_us)
        if len(wanted) < len(matching):
            # Raise an error because some orders rest on a shard that is down. A 204 would claim that every order was
            # canceled.
            raise RequestRefused("exchange_unavailable")
        return len(wanted)

    def next_due_us(self) -> int | None:
        """Return the instant at which the next resting order expires, or None if no order expires."""
        self._drop_stale_expiries()
        return self._expiries[0][0] if self._expiries else None

    def expire(self, at_us: int) -> None:
        """Cancel the orders whose expiry time has come."""
        while (due := self.next_due_us()) is not None and due <= at_us:
            order = self.state.orders[heapq.heappop(self._expiries)[2]]
            self.recorder.cancel_each([order], "expired", at_us)

    def _check_market(self, new: NewOrder, at_us: int) -> TradedMarket:
        market = self.state.markets.get(new.ticker)
        if market is None or new.shard not in {None, market.facts.shard}:
            raise RequestRefused("market_not_found")
        self.recorder.check_shard(market.facts.shard, trading=True)
        if market.status != "active" or at_us >= market.close_us:
            raise RequestRefused("MARKET_INACTIVE")
        member = self.state.members[new.member]
        if new.subaccount not in member.subaccounts:
            raise RequestRefused("subaccount_not_found")
        if not is_on_grid(market, new.price):
            raise RequestRefused("invalid_price")
        if new.client_order_id is not None and new.client_order_id in member.client_order_ids:
            raise RequestRefused("order_already_exists")
        if new.expires_us is not None and new.expires_us <= at_us:
            raise RequestRefused("invalid_order", "expiration time is in the past")
        if new.order_group is not None:
            self.groups.check(new.order_group, new.member, new.subaccount, market.facts.shard)
        return market

    def _check_count(self, new: NewOrder) -> int:
        if new.count < 1:
            raise RequestRefused("invalid_order_size")
        if not new.reduce_only:
            return new.count
        holding = self.state.holding(new.member, new.subaccount, new.ticker)
        closable = -holding if new.side == "bid" else holding
        if closable <= 0:
            raise RequestRefused("invalid_order", "reduce only without a position to reduce")
        return min(new.count, closable)

    def _would_cross(self, market: TradedMarket, side: ev.Side, price: int) -> bool:
        best = market.book.best(opposite(side))
        return best is not None and crosses(side, price, best)

    def _accept(self, new: NewOrder, count: int, at_us: int) -> SandboxOrder:
        order_id = self.recorder.identifier(ORDER_NUMBERS)
        self.recorder.emit(
            ev.OrderAccepted(
                at_us=at_us,
                order_id=order_id,
                member=new.member,
                subaccount=new.subaccount,
                ticker=new.ticker,
                side=new.side,
                price=new.price,
                count=count,
                time_in_force=new.time_in_force,
                self_trade_prevention=new.self_trade_prevention,
                client_order_id=new.client_order_id,
                expires_us=new.expires_us,
                post_only=new.post_only,
                reduce_only=new.reduce_only,
                cancel_on_pause=new.cancel_on_pause,
                order_group=new.order_group,
            )
        )
        return self.state.orders[order_id]

    def _preview(self, new: NewOrder, market: TradedMarket, count: int, at_us: int) -> MatchPreview:
        intent = MatchIntent(
            member=new.member,
            subaccount=new.subaccount,
            side=new.side,
            price=new.price,
            count=count,
            stops_at_own=new.self_trade_prevention == "taker_at_cross",
            rests=new.time_in_force == "good_till_canceled",
        )
        preview = MatchPreview(self.state, market, intent, at_us)
        # A fill-or-kill order that meets a resting order of the same member acts as an immediate-or-cancel order.
        own = preview.plan.stopped_at_own or any(not planned.count for planned in preview.plan.trades)
        if new.time_in_force == "fill_or_kill" and preview.plan.left and not own:
            raise RequestRefused("fill_or_kill_insufficient_resting_volume")
        if not preview.is_affordable():
            raise RequestRefused("insufficient_balance")
        return preview

    def _check_amendment(self, amendment: Amendment, order: SandboxOrder, market: TradedMarket, at_us: int) -> int:
        """Check the terms of an amendment and return the order's new remaining count."""
        self.recorder.check_shard(order.shard, trading=True)
        if market.status != "active" or at_us >= market.close_us:
            raise RequestRefused("MARKET_INACTIVE")
        if amendment.ticker != order.ticker:
            raise RequestRefused("order_ticker_mismatch")
        if amendment.side != order.side:
            raise RequestRefused("order_side_mismatch")
        if amendment.client_order_id not in {None, order.client_order_id}:
            raise RequestRefused("order_id_and_client_order_id_mismatch")
        used = self.state.members[order.member].client_order_ids
        if used.get(amendment.updated_client_order_id or "", order.order_id) != order.order_id:
            raise RequestRefused("invalid_order", "updated client order id already exists")
        if not is_on_grid(market, amendment.price):
            raise RequestRefused("invalid_price")
        if amendment.expires_us and amendment.expires_us <= at_us:
            raise RequestRefused("invalid_order", "expiration time is in the past")
        if amendment.count <= order.filled:
            raise RequestRefused("invalid_order_size")
        return amendment.count - order.filled

    def _preview_amendment(
        self, order: SandboxOrder, market: TradedMarket, price: int, remaining: int, at_us: int
    ) -> MatchPreview:
        """Preview the trades that an order would make after an amendment.

        The preview ignores the order's present place in the book.
        """
        if order.accepted.post_only and self._would_cross(market, order.side, price):
            raise RequestRefused("invalid_order", "post only cross")
        intent = replace(_intent_of(order), price=price, count=remaining)
        exposure = self.state.exposures[order.member, order.subaccount, order.ticker]
        bound = exposure.reserve(self.state.holding(order.member, order.subaccount, order.ticker))
        exposure.change(order.side, order.price, -order.remaining, -order.allowance)
        try:
            preview = MatchPreview(self.state, market, intent, at_us)
            freed = bound - exposure.reserve(self.state.holding(order.member, order.subaccount, order.ticker))
            if not preview.is_affordable(freed):
                raise RequestRefused("insufficient_balance")
        finally:
            exposure.change(order.side, order.price, order.remaining, order.allowance)
        return preview

    def _execute(self, order: SandboxOrder, market: TradedMarket, plan: MatchPlan, at_us: int) -> Execution:
        execution = Execution(order, 0)
        while not self._carry_out(execution, market, plan, at_us):
            preview = MatchPreview(self.state, market, _intent_of(order), at_us)
            if not preview.is_affordable():
                plan = MatchPlan(left=order.remaining)
                self._lapse(order, "remainder", at_us)
                break
            plan = preview.plan
        if order.is_open and order.remaining:
            self._rest_or_lapse(order, plan, at_us)
        execution.remaining = order.remaining
        if order.is_resting:
            self._expect_expiry(order)
            self._apply_tail(order, at_us)
        return execution

    def _carry_out(self, execution: Execution, market: TradedMarket, plan: MatchPlan, at_us: int) -> bool:
        """Make the planned trades.

        Return False if a triggered order group canceled a planned maker order before that order's trade.
        """
        order = execution.order
        # A fill-or-kill order trades completely or not at all. Trigger order groups only after its last trade. A group
        # that is triggered earlier could cancel maker orders that the fill-or-kill order still needs.
        at_once = order.accepted.time_in_force == "fill_or_kill"
        traded_groups: list[str | None] = []
        for planned in plan.trades:
            if not order.is_open:
                return True
            if not planned.maker.is_resting:
                return False
            if not planned.count:
                self.recorder.cancel_each([planned.maker], "self_trade", at_us)
                continue
            execution.trades.append(self._trade(order, planned, market, at_us))
            traded_groups += [order.accepted.order_group, planned.maker.accepted.order_group]
            if not at_once:
                self.groups.trigger_full(traded_groups[-2:], at_us)
        if at_once:
            self.groups.trigger_full(traded_groups, at_us)
        return True

    def _lapse(self, order: SandboxOrder, reason: ev.CancelReason, at_us: int) -> None:
        self.recorder.emit(ev.OrderCanceled(at_us=at_us, order_id=order.order_id, count=order.remaining, reason=reason))

    def _rest_or_lapse(self, order: SandboxOrder, plan: MatchPlan, at_us: int) -> None:
        if plan.stopped_at_own:
            self._lapse(order, "self_trade", at_us)
        elif order.accepted.time_in_force != "good_till_canceled":
            self._lapse(order, "remainder", at_us)
        else:
            self.recorder.emit(ev.OrderRested(at_us=at_us, order_id=order.order_id))

    def _trade(self, taker: SandboxOrder, planned: PlannedTrade, market: TradedMarket, at_us: int) -> ev.Traded:
        maker, count = planned.maker, planned.count
        rates = rates_of(market.facts, at_us, maker.created_us)
        holding = self.state.holding(maker.member, maker.subaccount, maker.ticker)
        closing = min(count, max(0, holding if maker.side == "ask" else -holding))
        each = cost_each(maker.side, maker.price)
        change = (DOLLAR_CENTICENTS - each) * closing - each * (count - closing)
        fee = trade_fee(rates.maker, maker.price, count)
        step = self.state.members[maker.member].balance_step
        left = maker.remaining - count
        kept = resting_allowance(market.facts, maker.price, left, step) if left else 0
        spare = self.state.available(maker.member, maker.subaccount, maker.shard) + maker.allowance - kept
        spare += (DOLLAR_CENTICENTS - each) * closing - fee
        cost = fill_fee(fee, change, step, maker.rounding, max(0, spare))
        traded = ev.Traded(
            at_us=at_us,
            trade_id=self.recorder.identifier(TRADE_NUMBERS),
            ticker=maker.ticker,
            price=maker.price,
            count=count,
            maker_order=maker.order_id,
            taker_order=taker.order_id,
            maker_fee=cost.fee,
            taker_fee=planned.taker.fee,
            maker_rounding=cost.rounding,
            taker_rounding=planned.taker.rounding,
        )
        self.recorder.emit(traded)
        return traded

    def _find_resting(self, ref: OrderRef) -> SandboxOrder:
        order = self.state.orders.get(ref.order_id)
        if order is None or order.member != ref.member or not order.is_resting or order.subaccount != ref.subaccount:
            raise RequestRefused("not_found")
        shard = ref.shard
        if shard is None:
            market = self.state.markets.get(ref.ticker) if ref.ticker is not None else None
            # If a request names no ticker, the exchange searches only shard 0, because an order id does not identify
            # the shard.
            shard = 0 if ref.ticker is None else -1 if market is None else market.facts.shard
        if order.shard != shard:
            raise RequestRefused("not_found")
        self.recorder.check_shard(order.shard, trading=False)
        return order

    def _apply_tail(self, order: SandboxOrder, at_us: int) -> None:
        asked = self.state.members[order.member].cancel_all_us
        last = max((asked[key] for key in (None, order.subaccount) if key in asked), default=None)
        if last is None or at_us - last >= CANCEL_ALL_TAIL_US or self.cancel_all_tail == "never":
            return
        if self.cancel_all_tail == "always" or mixed(self.recorder.seed, order.number, _TAIL) & 1:
            self.recorder.cancel_each([order], "cancel_all_tail", at_us)

    def _expect_expiry(self, order: SandboxOrder) -> None:
        if order.is_resting and order.expires_us is not None:
            heapq.heappush(self._expiries, (order.expires_us, order.number, order.order_id))

    def _drop_stale_expiries(self) -> None:
        while self._expiries:
            expires_us, _, order_id = self._expiries[0]
            order = self.state.orders.get(order_id)
            if order is not None and order.is_resting and order.expires_us == expires_us:
                return
            heapq.heappop(self._expiries)


def _intent_of(order: SandboxOrder) -> MatchIntent:
    return MatchIntent(
        member=order.member,
        subaccount=order.subaccount,
        side=order.side,
        price=order.price,
        count=order.remaining,
        stops_at_own=order.accepted.self_trade_prevention == "taker_at_cross",
        rests=order.accepted.time_in_force == "good_till_canceled",
        overpaid=order.rounding,
    )


def is_on_grid(market: TradedMarket, price: int) -> bool:
    """Return whether a market accepts a price.

    The price must be between 0 and 1 dollar, exclusive, and on the market's price grid.
    """
    return 0 < price < DOLLAR_CENTICENTS and any(
        start <= price <= end and (price - start) % step == 0 for start, end, step in market.facts.price_ranges
    )
