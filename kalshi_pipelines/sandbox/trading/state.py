"""State of the trading side, which is the result of all events so far.

Belongs here: applying events. Does not belong here: deciding which events happen (``engine``). The same events always
give the same state. They may be applied as they happen, after a restart, or later to a replica.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from kalshi_pipelines.sandbox.trading import events as ev
from kalshi_pipelines.sandbox.trading.book import OrderBook
from kalshi_pipelines.sandbox.trading.exposure import RestingExposure, cost_each
from kalshi_pipelines.sandbox.trading.fees import resting_allowance
from kalshi_pipelines.sandbox.trading.records import (
    CANCELED,
    EXECUTED,
    RESTING,
    AccountKey,
    ApiKey,
    HoldingKey,
    Member,
    OrderGroup,
    Position,
    PublicTrade,
    SandboxFill,
    SandboxOrder,
    SandboxSettlement,
    Shard,
    TradedMarket,
    Transfer,
)
from kalshi_pipelines.units import DOLLAR_CENTICENTS

SHARDS: Final = 4
GROUP_WINDOW_US: Final = 15_000_000
"""Period within which an order group's trades count towards its limit: 15 seconds.

Source: the vendor's page on order groups.
"""
CENT: Final = 10_000
"""One cent in micro-dollars."""


class TradingState:
    """Members, markets, orders, money and contracts of one exchange.

    Other code may read the state but changes it only by ``apply``.
    """

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.keys: dict[str, ApiKey] = {}
        self.shards: dict[int, Shard] = {number: Shard() for number in range(SHARDS)}
        self.cash: defaultdict[AccountKey, int] = defaultdict(int)
        self.reserved: defaultdict[AccountKey, int] = defaultdict(int)
        self.markets: dict[str, TradedMarket] = {}
        self.orders: dict[str, SandboxOrder] = {}
        self.orders_of: defaultdict[str, list[SandboxOrder]] = defaultdict(list)
        self.fills_of: defaultdict[str, list[SandboxFill]] = defaultdict(list)
        self.settlements_of: defaultdict[str, list[SandboxSettlement]] = defaultdict(list)
        self.transfers_of: defaultdict[str, list[Transfer]] = defaultdict(list)
        self.deposits_of: defaultdict[str, list[ev.MoneyMoved]] = defaultdict(list)
        self.positions: dict[HoldingKey, Position] = {}
        self.exposures: defaultdict[HoldingKey, RestingExposure] = defaultdict(RestingExposure)
        self.groups: dict[str, OrderGroup] = {}
        self.groups_of: defaultdict[str, dict[str, OrderGroup]] = defaultdict(dict)
        self.sequence = 0
        self.last_us = 0
        self.orders_accepted = 0
        self.fees_collected = 0
        self.clock_offset_us = 0
        self._holders: defaultdict[str, dict[HoldingKey, Position]] = defaultdict(dict)
        self._held_by: defaultdict[str, list[Position]] = defaultdict(list)
        self._reserve_of: defaultdict[HoldingKey, int] = defaultdict(int)
        self._appliers: dict[type, Callable[[Any], None]] = {
            ev.MemberJoined: self._member_joined,
            ev.SubaccountOpened: self._subaccount_opened,
            ev.KeyRegistered: self._key_registered,
            ev.KeyDeleted: self._key_deleted,
            ev.MoneyMoved: self._money_moved,
            ev.MoneyTransferred: self._money_transferred,
            ev.MarketOpened: self._market_opened,
            ev.MarketChanged: self._market_changed,
            ev.PositionSettled: self._position_settled,
            ev.ShardChanged: self._shard_changed,
            ev.OrderAccepted: self._order_accepted,
            ev.OrderRested: self._order_rested,
            ev.OrderCanceled: self._order_canceled,
            ev.OrderDecreased: self._order_decreased,
            ev.OrderAmended: self._order_amended,
            ev.Traded: self._traded,
            ev.GroupCreated: self._group_created,
            ev.GroupTriggered: self._group_triggered,
            ev.GroupReset: self._group_reset,
            ev.GroupLimitChanged: self._group_limit_changed,
            ev.GroupDeleted: self._group_deleted,
            ev.CancelAllRequested: self._cancel_all_requested,
            ev.ClockMoved: self._clock_moved,
        }

    def apply(self, event: ev.AnyEvent) -> None:
        """Apply an event to the state."""
        self.sequence += 1
        self.last_us = max(self.last_us, event.at_us)
        self._appliers[type(event)](event)

    def available(self, member: str, subaccount: int, shard: int) -> int:
        """Return the micro-dollars free for new orders: cash less the collateral of resting orders."""
        return self.cash[member, subaccount, shard] - self.reserved[member, subaccount, shard]

    def holding(self, member: str, subaccount: int, ticker: str) -> int:
        """Return the centi-contracts of a position, negative for NO."""
        position = self.positions.get((member, subaccount, ticker))
        return 0 if position is None else position.count

    def positions_of(self, member: str) -> list[Position]:
        """Return every position that a member has or had, oldest first."""
        return self._held_by[member]

    def holders_of(self, ticker: str) -> list[Position]:
        """Return every position in a market, in the order in which the positions were opened."""
        return list(self._holders[ticker].values())

    def _member_joined(self, event: ev.MemberJoined) -> None:
        self.members[event.member] = Member(event.member, event.balance_step, event.keeps_history, event.at_us)

    def _subaccount_opened(self, event: ev.SubaccountOpened) -> None:
        self.members[event.member].subaccounts.add(event.subaccount)

    def _key_registered(self, event: ev.KeyRegistered) -> None:
        self.keys[event.key_id] = ApiKey(
            event.key_id, event.member, event.name, event.public_key, event.scopes, event.subaccount
        )

    def _key_deleted(self, event: ev.KeyDeleted) -> None:
        del self.keys[event.key_id]

    def _money_moved(self, event: ev.MoneyMoved) -> None:
        self.cash[event.member, event.subaccount, event.shard] += event.amount
        self.deposits_of[event.member].append(event)

    def _money_transferred(self, event: ev.MoneyTransferred) -> None:
        self.cash[event.member, event.from_subaccount, event.from_shard] -= event.amount
        self.cash[event.member, event.to_subaccount, event.to_shard] += event.amount
        self.transfers_of[event.member].append(
            Transfer(
                event.transfer_id,
                event.client_transfer_id,
                event.member,
                event.from_subaccount,
                event.from_shard,
                event.to_subaccount,
                event.to_shard,
                event.amount,
                event.at_us,
            )
        )

    def _market_opened(self, event: ev.MarketOpened) -> None:
        self.markets[event.ticker] = TradedMarket(event, event.status, event.close_us, OrderBook())

    def _market_changed(self, event: ev.MarketChanged) -> None:
        market = self.markets[event.ticker]
        market.status, market.result, market.value = event.status, event.result, event.value
        if event.close_us is not None:
            market.close_us = event.close_us

    def _position_settled(self, event: ev.PositionSettled) -> None:
        position = self.positions[event.member, event.subaccount, event.ticker]
        market = self.markets[event.ticker]
        value = market.value or 0
        count, cost = position.count, position.cost
        owed = count * value if count > 0 else -count * (DOLLAR_CENTICENTS - value)
        self.cash[event.member, event.subaccount, position.shard] += event.revenue - event.fee
        self.fees_collected += owed - event.revenue + event.fee
        market.pool -= owed
        market.open_interest -= max(count, 0)
        position.realized += event.revenue - cost
        position.fees += event.fee
        position.count = position.cost = 0
        position.settled_us = position.updated_us = event.at_us
        if self.members[event.member].keeps_history:
            self.settlements_of[event.member].append(
                SandboxSettlement(
                    event.member,
                    event.subaccount,
                    event.ticker,
                    position.event_ticker,
                    position.shard,
                    market.result,
                    value,
                    max(count, 0),
                    cost if count > 0 else 0,
                    max(-count, 0),
                    cost if count < 0 else 0,
                    event.revenue,
                    event.fee,
                    event.at_us,
                )
            )

    def _shard_changed(self, event: ev.ShardChanged) -> None:
        self.shards[event.shard] = Shard(event.exchange_active, event.trading_active)

    def _order_accepted(self, event: ev.OrderAccepted) -> None:
        member = self.members[event.member]
        self.orders_accepted += 1
        order = SandboxOrder(
            number=self.orders_accepted,
            order_id=event.order_id,
            member=event.member,
            subaccount=event.subaccount,
            ticker=event.ticker,
            shard=self.markets[event.ticker].facts.shard,
            side=event.side,
            price=event.price,
            initial_count=event.count,
            remaining=event.count,
            accepted=event,
            client_order_id=event.client_order_id,
            expires_us=event.expires_us,
            created_us=event.at_us,
            updated_us=event.at_us,
        )
        self.orders[order.order_id] = order
        if member.keeps_history:
            self.orders_of[event.member].append(order)
        if event.client_order_id is not None:
            member.client_order_ids[event.client_order_id] = event.order_id
        if event.order_group is not None:
            self.groups[event.order_group].orders[event.order_id] = None

    def _order_rested(self, event: ev.OrderRested) -> None:
        order = self.orders[event.order_id]
        order.is_resting = True
        self.markets[order.ticker].book.add(order)
        self._expose(order, order.remaining)
        self._reserve(order.member, order.subaccount, order.ticker)

    def _order_canceled(self, event: ev.OrderCanceled) -> None:
        order = self.orders[event.order_id]
        self._take(order, event.count)
        order.status = CANCELED
        self._touched(order, event.at_us)

    def _order_decreased(self, event: ev.OrderDecreased) -> None:
        order = self.orders[event.order_id]
        self._take(order, event.count)
        self._touched(order, event.at_us)

    def _order_amended(self, event: ev.OrderAmended) -> None:
        order = self.orders[event.order_id]
        if event.keeps_place:
            self._take(order, order.remaining - event.remaining)
        else:
            self._take(order, order.remaining)
            order.price, order.remaining = event.price, event.remaining
        order.initial_count = order.filled + order.remaining
        order.expires_us = event.expires_us
        if event.client_order_id is not None and event.client_order_id != order.client_order_id:
            order.client_order_id = event.client_order_id
            self.members[order.member].client_order_ids[event.client_order_id] = order.order_id
        order.updated_us = event.at_us

    def _traded(self, event: ev.Traded) -> None:
        market = self.markets[event.ticker]
        maker, taker = self.orders[event.maker_order], self.orders[event.taker_order]
        for order, fee, rounding in (
            (maker, event.maker_fee, event.maker_rounding),
            (taker, event.taker_fee, event.taker_rounding),
        ):
            is_taker = order is taker
            self._take(order, event.count)
            order.filled += event.count
            order.rounding += rounding
            spent = cost_each(order.side, event.price) * event.count
            if is_taker:
                order.taker_cost += spent
                order.taker_fees += fee
            else:
                order.maker_cost += spent
                order.maker_fees += fee
            if not order.remaining:
                order.status = EXECUTED
            self._book_fill(market, order, event, fee)
            if self.members[order.member].keeps_history:
                self.fills_of[order.member].append(
                    SandboxFill(
                        event.trade_id,
                        order.order_id,
                        order.member,
                        order.subaccount,
                        order.ticker,
                        order.shard,
                        order.side,
                        event.price,
                        event.count,
                        is_taker,
                        fee,
                        event.at_us,
                    )
                )
            self._count_in_group(order, event)
        market.last_price = event.price
        market.volume += event.count
        market.pool = market.open_interest * DOLLAR_CENTICENTS
        market.trades.append(
            PublicTrade(event.trade_id, event.ticker, event.price, event.count, taker.side, event.at_us)
        )
        self._touched(maker, event.at_us)
        self._touched(taker, event.at_us)

    def _book_fill(self, market: TradedMarket, order: SandboxOrder, event: ev.Traded, fee: int) -> None:
        """Apply one side of a trade to the money and the position of its member."""
        key = (order.member, order.subaccount, order.ticker)
        position = self.positions.get(key)
        if position is None:
            position = Position(*key, market.facts.event_ticker, order.shard, event.at_us, event.at_us)
            self.positions[key] = self._holders[order.ticker][key] = position
            self._held_by[order.member].append(position)
        each, sign = cost_each(order.side, event.price), 1 if order.side == "bid" else -1
        closing = min(event.count, max(0, -position.count * sign))
        opening = event.count - closing
        before = max(position.count, 0)
        if closing:
            # If the cost does not divide evenly among the contracts, the last contract to be closed carries the
            # remainder.
            released = position.cost * closing // abs(position.count)
            position.cost -= released
            position.realized += (DOLLAR_CENTICENTS - each) * closing - released
        position.cost += each * opening
        position.count += sign * event.count
        position.traded += each * event.count
        position.traded_count += event.count
        position.fees += fee
        position.updated_us = event.at_us
        market.open_interest += max(position.count, 0) - before
        self.cash[order.member, order.subaccount, order.shard] += (
            (DOLLAR_CENTICENTS - each) * closing - each * opening - fee
        )
        self.fees_collected += fee
        self._reserve(*key)

    def _count_in_group(self, order: SandboxOrder, event: ev.Traded) -> None:
        group = self.groups.get(order.accepted.order_group or "")
        if group is None:
            return
        group.matched.append((event.at_us, event.count))
        group.matched_count += event.count
        while group.matched[0][0] <= event.at_us - GROUP_WINDOW_US:
            group.matched_count -= group.matched.popleft()[1]

    def _group_created(self, event: ev.GroupCreated) -> None:
        group = OrderGroup(event.group_id, event.member, event.subaccount, event.shard, event.limit)
        self.groups[event.group_id] = self.groups_of[event.member][event.group_id] = group

    def _group_triggered(self, event: ev.GroupTriggered) -> None:
        self.groups[event.group_id].triggered = True

    def _group_reset(self, event: ev.GroupReset) -> None:
        group = self.groups[event.group_id]
        group.triggered = False
        group.matched.clear()
        group.matched_count = 0

    def _group_limit_changed(self, event: ev.GroupLimitChanged) -> None:
        self.groups[event.group_id].limit = event.limit

    def _group_deleted(self, event: ev.GroupDeleted) -> None:
        group = self.groups.pop(event.group_id)
        del self.groups_of[group.member][event.group_id]

    def _cancel_all_requested(self, event: ev.CancelAllRequested) -> None:
        self.members[event.member].cancel_all_us[event.subaccount] = event.at_us

    def _clock_moved(self, event: ev.ClockMoved) -> None:
        self.clock_offset_us = event.offset_us

    def _take(self, order: SandboxOrder, count: int) -> None:
        """Subtract ``count`` centi-contracts from an order's remaining count.

        If the order rests, also update the book and the collateral.
        """
        if order.is_resting:
            self.markets[order.ticker].book.reduce(order, count)
            self._expose(order, -count)
            if count == order.remaining:
                order.is_resting = False
            self._reserve(order.member, order.subaccount, order.ticker)
        order.remaining -= count

    def _expose(self, order: SandboxOrder, count: int) -> None:
        """Update the collateral of a member for a change of one resting order.

        Add ``count`` centi-contracts of the order to the member's resting contracts, or remove them if ``count`` is
        negative. Call this method before the order's ``remaining`` changes.
        """
        market = self.markets[order.ticker].facts
        rests = count if count > 0 else order.remaining + count
        step = self.members[order.member].balance_step
        allowance = resting_allowance(market, order.price, rests, step) if rests else 0
        exposure = self.exposures[order.member, order.subaccount, order.ticker]
        exposure.change(order.side, order.price, count, allowance - order.allowance)
        order.allowance = allowance

    def _reserve(self, member: str, subaccount: int, ticker: str) -> None:
        key = (member, subaccount, ticker)
        exposure = self.exposures.get(key)
        if exposure is None:
            return
        reserve = exposure.reserve(self.holding(member, subaccount, ticker))
        shard = self.markets[ticker].facts.shard
        self.reserved[member, subaccount, shard] += reserve - self._reserve_of[key]
        self._reserve_of[key] = reserve

    def _touched(self, order: SandboxOrder, at_us: int) -> None:
        order.updated_us = at_us
        if order.status != RESTING and not self.members[order.member].keeps_history:
            del self.orders[order.order_id]
            if order.accepted.order_group is not None and order.accepted.order_group in self.groups:
                self.groups[order.accepted.order_group].orders.pop(order.order_id, None)
