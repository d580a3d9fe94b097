"""Simulated traders: they fill the books of markets that are traded in the engine, and trade there.

Their orders and trades follow the market's price path, so prices do not jump when a market is opened in the engine. The
engine matches members' orders with orders of the simulated traders. Belongs here: the orders of the simulated traders
and the times at which they act. Does not belong here: price paths (``quotes``) and matching (``trading``).
"""

import heapq
from dataclasses import dataclass, field
from typing import Final

from kalshi_pipelines.sandbox.markets.generated import GeneratedMarket
from kalshi_pipelines.sandbox.markets.rows import MarketRow
from kalshi_pipelines.sandbox.trading.commands import Execution, NewOrder, RequestRefused
from kalshi_pipelines.sandbox.trading.engine import MatchingEngine
from kalshi_pipelines.sandbox.trading.events import Side, TimeInForce
from kalshi_pipelines.sandbox.trading.records import SandboxOrder
from kalshi_pipelines.units import DOLLAR_CENTICENTS

MAKERS: Final = "crowd-makers"
TAKERS: Final = "crowd-takers"
OTHERS: Final = "crowd-others"
"""Simulated member that places the orders that an admin request asks for.

The other simulated traders do not replace these orders when the price path moves.
"""
SIMULATED_MEMBERS: Final = (MAKERS, TAKERS, OTHERS)
STARTING_MONEY: Final = 10**18
"""Micro-dollars that each simulated member gets on each shard. The amount is so large that it never runs out."""
KEPT_EPOCHS: Final = 30
"""Largest number of epochs that are simulated in a market when the clock jumps ahead. Earlier epochs are skipped.

An epoch is the time between two regular price changes.
"""


@dataclass(slots=True)
class _VisitedMarket:
    """A market in which the simulated traders act.

    ``epoch`` is the number of the last simulated epoch (the time between two regular price changes). ``resting`` holds
    the order id of the simulated order at each price level.
    """

    row: MarketRow
    epoch: int = 0
    visits: int = 0
    resting: dict[tuple[Side, int], str] = field(default_factory=dict)


class SimulatedTraders:
    """The simulated traders of one exchange.

    If ``is_active`` is False, the simulated traders enter no market and leave their existing orders unchanged.
    """

    def __init__(self, engine: MatchingEngine, *, is_active: bool = True) -> None:
        self.is_active = is_active
        self._engine = engine
        self._visited: dict[str, _VisitedMarket] = {}
        self._visits: list[tuple[int, str, int]] = []

    def enter(self, row: MarketRow, at_us: int) -> None:
        """Start trading in a market that was just opened in the engine.

        The first orders reproduce the book that the market showed before it was opened.
        """
        if not self.is_active:
            return
        self._join(at_us)
        self._visited[row.ticker] = _VisitedMarket(row)
        self.follow(row.ticker, at_us)

    def return_to(self, row: MarketRow, at_us: int) -> None:
        """Continue the simulated trading in a market after a restart of the exchange."""
        if not self.is_active:
            return
        visited = self._visited[row.ticker] = _VisitedMarket(row)
        if isinstance(row, GeneratedMarket):
            visited.epoch = row.epoch_of(at_us)
        for order in self._orders_in(row.ticker, {MAKERS}):
            visited.resting[order.side, order.price] = order.order_id
        self._expect(visited)

    def follow(self, ticker: str, at_us: int) -> None:
        """Make the simulated orders in a market's book match the present state of the market's price path."""
        visited = self._visited.get(ticker)
        if visited is None:
            return
        if isinstance(visited.row, GeneratedMarket):
            visited.epoch = visited.row.epoch_of(at_us)
        if self.is_active:
            self._make(visited, at_us)
        self._expect(visited)

    def next_due_us(self) -> int | None:
        """Return the instant of the next simulated activity in microseconds since 1970.

        Return None if no market is simulated.
        """
        return self._visits[0][0] if self._visits else None

    def run(self, at_us: int, now_us: int) -> None:
        """Simulate the market that is due first: update the simulated orders in its book, then trade.

        Each call simulates at most one epoch of the market (the time between two regular price changes).
        """
        _, ticker, visit = heapq.heappop(self._visits)
        visited = self._visited[ticker]
        row = visited.row
        if visit != visited.visits or not isinstance(row, GeneratedMarket):
            return
        oldest = row.epoch_of(now_us) - KEPT_EPOCHS + 1
        if visited.epoch + 1 < oldest:
            visited.epoch = oldest - 1
        else:
            visited.epoch += 1
            if self.is_active:
                self._make(visited, at_us)
                self._take(row, visited.epoch, at_us)
        self._expect(visited)

    def place(
        self, ticker: str, side: Side, price: int, count: int, time_in_force: TimeInForce, *, at_us: int
    ) -> Execution:
        """Place a simulated order that the admin route requests.

        Raises ``RequestRefused`` if the engine refuses the order.
        """
        self._join(at_us)
        return self._engine.place(NewOrder(OTHERS, 0, ticker, side, price, count, time_in_force), at_us=at_us)

    def clear(self, ticker: str, at_us: int) -> int:
        """Cancel all simulated orders in a market's book and return their number.

        The simulated traders place new orders at the market's next regular price change.
        """
        orders = self._orders_in(ticker, set(SIMULATED_MEMBERS))
        self._engine.recorder.cancel_each(orders, "member", at_us)
        return len(orders)

    def _join(self, at_us: int) -> None:
        state = self._engine.state
        for member in SIMULATED_MEMBERS:
            if member not in state.members:
                self._engine.accounts.join(member, at_us=at_us, keeps_history=False)
                for shard in state.shards:
                    self._engine.accounts.deposit(member, 0, shard, STARTING_MONEY, at_us=at_us)

    def _expect(self, visited: _VisitedMarket) -> None:
        """Schedule the simulation of a market's next epoch (the time between two regular price changes)."""
        row = visited.row
        if not isinstance(row, GeneratedMarket) or row.time.is_frozen or row.status != "active":
            return
        begins_us = row.path.begins_us(visited.epoch + 1)
        if begins_us < row.close_us:
            visited.visits += 1
            heapq.heappush(self._visits, (begins_us, row.ticker, visited.visits))

    def _make(self, visited: _VisitedMarket, at_us: int) -> None:
        """Cancel the simulated orders that differ from the book of the price path.

        Then place the orders that are missing.
        """
        ticker = visited.row.ticker
        if not self._may_act(ticker):
            return
        wanted = _levels(visited.row, visited.epoch)
        orders = self._engine.state.orders
        for level, order_id in list(visited.resting.items()):
            order = orders.get(order_id)
            if order is None or order.remaining != wanted.get(level):
                del visited.resting[level]
                if order is not None:
                    self._engine.recorder.cancel_each([order], "member", at_us)
        for (side, price), count in wanted.items():
            if (side, price) not in visited.resting:
                order = self._try(NewOrder(MAKERS, 0, ticker, side, price, count), at_us)
                if order is not None and order.is_resting:
                    visited.resting[side, price] = order.order_id

    def _take(self, row: GeneratedMarket, epoch: int, at_us: int) -> None:
        if not row.trades_in(epoch) or not self._may_act(row.ticker):
            return
        for fill in row.path.fills(epoch):
            # Block trades are negotiated outside the order book, so the simulated traders do not place them.
            if not fill.is_block:
                side: Side = "bid" if fill.taker_is_yes else "ask"
                new = NewOrder(TAKERS, 0, row.ticker, side, fill.price, fill.size, "immediate_or_cancel")
                self._try(new, at_us)

    def _may_act(self, ticker: str) -> bool:
        market = self._engine.state.markets[ticker]
        shard = self._engine.state.shards[market.facts.shard]
        return market.status == "active" and shard.exchange_active and shard.trading_active

    def _try(self, new: NewOrder, at_us: int) -> SandboxOrder | None:
        try:
            return self._engine.place(new, at_us=at_us).order
        except RequestRefused:
            # The engine refuses a simulated order whose recorded price is not on the recorded grid. Place the other
            # orders all the same.
            return None

    def _orders_in(self, ticker: str, members: set[str]) -> list[SandboxOrder]:
        state = self._engine.state
        book = state.markets[ticker].book
        resting = (state.orders[order.order_id] for side in ("bid", "ask") for order in book.queue(side))
        return [order for order in resting if order.member in members]


def _levels(row: MarketRow, epoch: int) -> dict[tuple[Side, int], int]:
    """Return the centi-contracts that simulated orders should offer at each side and YES price, best price first."""
    yes, no = row.path.book(epoch) if isinstance(row, GeneratedMarket) else row.own_book()
    bids: dict[tuple[Side, int], int] = {("bid", level.price): level.size for level in reversed(yes)}
    asks: dict[tuple[Side, int], int] = {("ask", DOLLAR_CENTICENTS - level.price): level.size for level in reversed(no)}
    return bids | asks
