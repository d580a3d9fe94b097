"""Preview of the trades that an order would make, with prices and fees, computed before anything changes.

Belongs here: reading the opposite side of the book in price-time order, and computing exactly what a member would pay.
Does not belong here: the decision to trade (``engine``), and changes of orders and money (``state``).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from kalshi_pipelines.sandbox.trading.events import Side
from kalshi_pipelines.sandbox.trading.exposure import RestingExposure, cost_each
from kalshi_pipelines.sandbox.trading.fees import FillFee, fill_fee, rates_of, resting_allowance, trade_fee
from kalshi_pipelines.sandbox.trading.records import SandboxOrder, TradedMarket
from kalshi_pipelines.sandbox.trading.state import TradingState
from kalshi_pipelines.units import DOLLAR_CENTICENTS


@dataclass(frozen=True, slots=True)
class MatchIntent:
    """Terms of a new or amended order when it is matched.

    ``overpaid`` is the sum of the order's rounding fees that were not returned, in micro-dollars.
    """

    member: str
    subaccount: int
    side: Side
    price: int
    count: int
    stops_at_own: bool
    rests: bool
    overpaid: int = 0


@dataclass(frozen=True, slots=True)
class PlannedTrade:
    """A planned trade: the maker order, the centi-contracts to trade with it, and the fee of the taker.

    A ``count`` of 0 means that the maker order belongs to the taker's member and must be canceled.
    """

    maker: SandboxOrder
    count: int
    taker: FillFee


@dataclass(slots=True)
class MatchPlan:
    """All trades that an order would make immediately.

    ``left`` is the count that would not trade. ``stopped_at_own`` tells whether matching stopped at an order of the
    same member.
    """

    trades: list[PlannedTrade] = field(default_factory=list)
    left: int = 0
    stopped_at_own: bool = False


def crosses(side: Side, price: int, other: int) -> bool:
    """Return whether an order with the limit ``price`` can trade with an opposite order at the price ``other``."""
    return price >= other if side == "bid" else price <= other


def opposite(side: Side) -> Side:
    """Return the other side of the book: ``ask`` for ``bid``, and ``bid`` for ``ask``."""
    return "ask" if side == "bid" else "bid"


class MatchPreview:
    """Preview of the trades that an order with the given terms would make in a market at an instant."""

    def __init__(self, state: TradingState, market: TradedMarket, intent: MatchIntent, at_us: int) -> None:
        self._state, self._market, self._intent, self._at_us = state, market, intent, at_us
        self._holding = state.holding(intent.member, intent.subaccount, market.ticker)
        self._step = state.members[intent.member].balance_step
        self._overpaid = intent.overpaid
        self._change = 0
        self.plan = self._build_plan()

    def is_affordable(self, freed: int = 0) -> bool:
        """Return whether the member has enough money for the previewed trades and for collateral.

        The collateral covers every order of the member that would rest after the trades. ``freed`` is the collateral
        that the order reserved before an amendment.
        """
        intent, market, state = self._intent, self._market, self._state
        key = (intent.member, intent.subaccount, market.ticker)
        exposure = state.exposures.get(key) or RestingExposure()
        rests = self.plan.left if intent.rests and not self.plan.stopped_at_own else 0
        allowance = resting_allowance(market.facts, intent.price, rests, self._step) if rests else 0
        bound = exposure.reserve_with(intent.side, intent.price, rests, allowance, self._holding)
        bound -= exposure.reserve(state.holding(*key))
        free = state.available(intent.member, intent.subaccount, market.facts.shard) + freed
        return free + self._change >= bound

    def _build_plan(self) -> MatchPlan:
        intent, plan = self._intent, MatchPlan(left=self._intent.count)
        for maker in self._queue():
            if not plan.left or not crosses(intent.side, intent.price, maker.price):
                break
            if maker.member == intent.member:
                if intent.stops_at_own:
                    plan.stopped_at_own = True
                    break
                plan.trades.append(PlannedTrade(maker, 0, FillFee(0, 0)))
                continue
            count = min(plan.left, maker.remaining)
            plan.trades.append(PlannedTrade(maker, count, self._cost(maker, count)))
            plan.left -= count
        return plan

    def _queue(self) -> Iterator[SandboxOrder]:
        return self._market.book.queue(opposite(self._intent.side))  # type: ignore[return-value]  # books hold orders

    def _cost(self, maker: SandboxOrder, count: int) -> FillFee:
        """Compute the fee that the taker pays for one trade, and update the preview's running position and balance."""
        intent = self._intent
        sign = 1 if intent.side == "bid" else -1
        each = cost_each(intent.side, maker.price)
        closing = min(count, max(0, -self._holding * sign))
        change = (DOLLAR_CENTICENTS - each) * closing - each * (count - closing)
        rates = rates_of(self._market.facts, self._at_us, maker.created_us)
        cost = fill_fee(trade_fee(rates.taker, maker.price, count), change, self._step, self._overpaid)
        self._overpaid += cost.rounding
        self._change += change - cost.fee
        self._holding += sign * count
        return cost
