"""Order book of one market: YES bids and asks, ordered by price and then by arrival.

Belongs here: the place of an order in the queue. Does not belong here: money, and deciding which orders trade with each
other. A change of a price level with twenty thousand orders takes no longer than a change of a price level with one
order.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Protocol

from kalshi_pipelines.sandbox.trading.events import Side


class RestingOrder(Protocol):
    """The attributes of an order that an order book uses."""

    order_id: str
    side: Side
    price: int
    remaining: int


class _Level:
    __slots__ = ("count", "orders")

    def __init__(self) -> None:
        self.orders: dict[str, RestingOrder] = {}
        self.count = 0


class _Ladder:
    """One side of an order book.

    The best price is the last element of the price list, because changes at the end of a list are fastest.
    """

    __slots__ = ("_sign", "levels", "ranks")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self.levels: dict[int, _Level] = {}
        self.ranks: list[int] = []

    def add(self, order: RestingOrder) -> None:
        level = self.levels.get(order.price)
        if level is None:
            level = self.levels[order.price] = _Level()
            insort(self.ranks, order.price * self._sign)
        level.orders[order.order_id] = order
        level.count += order.remaining

    def remove(self, order: RestingOrder) -> None:
        level = self.levels[order.price]
        del level.orders[order.order_id]
        level.count -= order.remaining
        if not level.orders:
            del self.levels[order.price]
            rank = order.price * self._sign
            del self.ranks[bisect_left(self.ranks, rank)]

    def prices(self) -> Iterator[int]:
        """Iterate over the prices of this side, best price first."""
        return (rank * self._sign for rank in reversed(self.ranks))


class OrderBook:
    """Resting orders of one market in price-time priority."""

    __slots__ = ("_sides",)

    def __init__(self) -> None:
        self._sides = {"bid": _Ladder(1), "ask": _Ladder(-1)}

    def add(self, order: RestingOrder) -> None:
        """Put an order at the back of the queue at the order's price."""
        self._sides[order.side].add(order)

    def remove(self, order: RestingOrder) -> None:
        """Remove an order from its price level. The order's ``remaining`` must still be the count in the book."""
        self._sides[order.side].remove(order)

    def reduce(self, order: RestingOrder, count: int) -> None:
        """Subtract ``count`` from the price level of a resting order.

        Call this method before the order's ``remaining`` changes.
        """
        if count == order.remaining:
            self.remove(order)
        else:
            self._sides[order.side].levels[order.price].count -= count

    def best(self, side: Side) -> int | None:
        """Return the best price of a side of the book, or None if the side is empty."""
        ladder = self._sides[side]
        return next(ladder.prices()) if ladder.ranks else None

    def levels(self, side: Side) -> list[tuple[int, int]]:
        """Return the price and the centi-contracts of each level on a side of the book, best price first."""
        ladder = self._sides[side]
        return [(price, ladder.levels[price].count) for price in ladder.prices()]

    def count_at(self, side: Side, price: int) -> int:
        """Return the centi-contracts that rest at a price on a side of the book."""
        level = self._sides[side].levels.get(price)
        return 0 if level is None else level.count

    def queue(self, side: Side) -> Iterator[RestingOrder]:
        """Iterate over the orders on a side of the book in the order in which they trade.

        The book must not change during the iteration.
        """
        ladder = self._sides[side]
        for price in ladder.prices():
            yield from ladder.levels[price].orders.values()

    def ahead_of(self, order: RestingOrder) -> int:
        """Return the centi-contracts that trade before a resting order: those at better prices, and earlier ones at the
        same price.
        """
        ahead = 0
        for price, count in self.levels(order.side):
            if price == order.price:
                break
            ahead += count
        for earlier in self._sides[order.side].levels[order.price].orders.values():
            if earlier.order_id == order.order_id:
                break
            ahead += earlier.remaining
        return ahead
