"""Price path of a generated market: its quote, book and trades at any instant, computed from deterministic noise.

A path changes at regular instants. The time between two changes is called an *epoch*. Belongs here: quotes, book levels
and trades of an epoch. Does not belong here: JSON (``generated``), and lists of markets (``listing``).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

from kalshi_pipelines.sandbox.markets.volumes import LONGEST_PAUSE, total_through, traded_in
from kalshi_pipelines.sandbox.noise import mixed, swing
from kalshi_pipelines.sandbox.prices import PriceGrid
from kalshi_pipelines.units import DOLLAR_CENTICENTS

_LOWEST: Final = 100
_HIGHEST: Final = DOLLAR_CENTICENTS - 100
_SIZE, _DEPTH, _TRADE, _INTEREST = 11, 12, 13, 14
_BOTH, _YES_ONLY, _NO_ONLY, _EMPTY = "both", "yes", "no", "none"
_BLOCK_TRADE_ODDS: Final = 97
_MOST_CROSSED_LEVELS: Final = 5
_MOVE_FACTORS: Final = (1, -1, 2, -2, 4, -4, 8, -8, 16, -16, 32, -32, 64, -64)


class Quote(NamedTuple):
    """Best YES bid and best YES ask in centi-cents, with sizes in centi-contracts.

    A missing bid has price 0, a missing ask has a price of one dollar, and both have size 0.
    """

    bid: int
    bid_size: int
    ask: int
    ask_size: int


class Level(NamedTuple):
    """A price level of one book side: the price in centi-cents, and the resting quantity in centi-contracts."""

    price: int
    size: int


class PathTrade(NamedTuple):
    """A trade of a price path. Its price is the YES price in centi-cents, and its size is in centi-contracts."""

    price: int
    size: int
    taker_is_yes: bool
    is_block: bool


NO_QUOTE: Final = Quote(0, 0, DOLLAR_CENTICENTS, 0)


@dataclass(slots=True)
class QuotePath:
    """Price path of one market.

    ``anchor`` is the central price, ``volatility`` is the size of the moves, and ``half_spread`` is half the bid-ask
    distance, all in centi-cents. ``period_us`` is the time between two moves, and ``phase_us`` is the offset of the
    first move. ``sides`` names the book sides that have orders. ``rate`` is the mean number of centi-contracts that are
    traded in one epoch (the time between two regular price changes), or 0 if there are no trades.
    """

    seed: int
    grid: PriceGrid
    anchor: int
    volatility: int
    half_spread: int
    period_us: int
    phase_us: int
    sides: str
    moves: int = 0
    rate: int = 0
    _quoted_after: int | None = None
    _moved_epochs: list[int] = field(default_factory=list)
    _shifts: list[int] = field(default_factory=list)
    _move_counts: list[int] = field(default_factory=list)

    @property
    def is_quoted(self) -> bool:
        """Whether the price path has a bid or an ask."""
        return self.sides != _EMPTY

    def epoch_at(self, instant_us: int) -> int:
        """Return the number of the epoch (the time between two regular price changes) that contains an instant."""
        return (instant_us - self.phase_us) // self.period_us

    def begins_us(self, epoch: int) -> int:
        """Return the start of an epoch (the time between two regular price changes) in microseconds since 1970."""
        return epoch * self.period_us + self.phase_us

    def quote(self, epoch: int, *, as_begun: bool = False) -> Quote:
        """Return the best bid and the best ask in an epoch (the time between two regular price changes).

        If ``as_begun`` is True, return the quote at the start of the epoch, before any move by hand during the epoch.
        """
        bid, ask = self._positions(epoch, as_begun=as_begun)
        prices = self.grid.prices
        return Quote(
            0 if bid is None else prices[bid],
            0 if bid is None else self._size(epoch, 0, 0, self.moves),
            DOLLAR_CENTICENTS if ask is None else prices[ask],
            0 if ask is None else self._size(epoch, 1, 0, self.moves),
        )

    def book(self, epoch: int) -> tuple[list[Level], list[Level]]:
        """Return the YES bids and the NO bids in an epoch (the time between two regular price changes).

        Both lists ascend in price, so the best bid is last.
        """
        bid, ask = self._positions(epoch, as_begun=False)
        prices = self.grid.prices
        yes = [] if bid is None else list(self._side(epoch, 0, bid, -1, self.moves))
        no = [] if ask is None else list(self._side(epoch, 1, ask, 1, self.moves))
        return (
            [Level(prices[position], size) for position, size in reversed(yes)],
            [Level(DOLLAR_CENTICENTS - prices[position], size) for position, size in reversed(no)],
        )

    def volume(self, first_epoch: int, last_epoch: int) -> int:
        """Return the centi-contracts of all trades from one epoch to another, both included.

        An epoch is the time between two regular price changes.
        """
        if last_epoch < first_epoch:
            return 0
        return total_through(self.seed, self.rate, last_epoch) - total_through(self.seed, self.rate, first_epoch - 1)

    def fills(self, epoch: int) -> list[PathTrade]:
        """Return the trades of an epoch (the time between two regular price changes), in the order of their execution.

        All trades of an epoch happen at its start and have the taker on one side. One order made them: if it was larger
        than the best level of the book, it swept further levels.
        """
        contracts = traded_in(self.seed, self.rate, epoch)
        bid, ask = self._positions(epoch, as_begun=True)
        if not contracts or (bid is None and ask is None):
            return []
        noise = mixed(self.seed, epoch, _TRADE)
        taker_is_yes = bool(noise & 1) if bid is not None and ask is not None else ask is not None
        best = (ask if taker_is_yes else bid) or 0
        if (noise >> 8) % _BLOCK_TRADE_ODDS == 0:
            return [PathTrade(self.grid.prices[best], contracts, taker_is_yes, True)]
        levels = self._swept(epoch, best, taker_is_yes, contracts)
        if len(levels) > 1:
            return [PathTrade(level.price, level.size, taker_is_yes, False) for level in levels]
        makers = min(1 + (noise >> 4) % 3, contracts)
        return [
            PathTrade(levels[0].price, contracts // makers + (number < contracts % makers), taker_is_yes, False)
            for number in range(makers)
        ]

    def last_price(self, epoch: int, first_epoch: int) -> int:
        """Return the price in centi-cents of the last trade from ``first_epoch`` to ``epoch``, both included.

        An epoch is the time between two regular price changes. Return 0 if there was no trade.
        """
        for earlier in range(epoch, max(first_epoch, epoch - LONGEST_PAUSE) - 1, -1):
            if fills := self.fills(earlier):
                return fills[-1].price
        return 0

    def _swept(self, epoch: int, best: int, taker_is_yes: bool, contracts: int) -> list[Level]:
        """Return the levels that an order fills, each with the quantity filled. The last level takes all of the rest.

        The book is that at the start of the epoch (the time between two regular price changes).
        """
        past = bisect_left(self._moved_epochs, epoch)
        moves = self._move_counts[past - 1] if past else 0
        side, direction = (1, 1) if taker_is_yes else (0, -1)
        levels: list[Level] = []
        for position, size in islice(self._side(epoch, side, best, direction, moves), _MOST_CROSSED_LEVELS):
            levels.append(Level(self.grid.prices[position], min(size, contracts)))
            contracts -= levels[-1].size
            if not contracts:
                return levels
        return [*levels[:-1], Level(levels[-1].price, levels[-1].size + contracts)]

    def open_interest_swing(self, epoch: int, most: int) -> int:
        """Return the part of the open interest that varies from epoch to epoch, from 0 to ``most`` centi-contracts.

        An epoch is the time between two regular price changes.
        """
        return mixed(self.seed, epoch, _INTEREST) % (most + 1)

    def move(self, epoch: int) -> None:
        """Move the quote permanently, from the given epoch (the time between two regular price changes) on.

        The bid or the ask moves by at least one price of the grid.
        """
        self.moves += 1
        if self.sides == _EMPTY:
            self.sides, self._quoted_after = _BOTH, epoch
            return
        before = self.quote(epoch)
        step = 100 + mixed(self.seed, self.moves, _SIZE) % 200
        step = step if mixed(self.seed, self.moves, _DEPTH) & 1 else -step
        shift = self._shift(epoch, as_begun=False)
        if not self._moved_epochs or self._moved_epochs[-1] != epoch:
            self._moved_epochs.append(epoch)
            self._shifts.append(shift)
            self._move_counts.append(self.moves)
        self._move_counts[-1] = self.moves
        for factor in _MOVE_FACTORS:
            self._shifts[-1] = shift + factor * step
            moved = self.quote(epoch)
            if (moved.bid, moved.ask) != (before.bid, before.ask):
                return
        raise RuntimeError(f"no move keeps the quote {before} on the grid {self.grid.label}")

    def _shift(self, epoch: int, *, as_begun: bool) -> int:
        # An epoch is the time between two regular price changes. Trades follow a quote that was moved by hand only from
        # the next epoch on, so trades that were already shown keep their price.
        past = (bisect_left if as_begun else bisect_right)(self._moved_epochs, epoch)
        return self._shifts[past - 1] if past else 0

    def _positions(self, epoch: int, *, as_begun: bool) -> tuple[int | None, int | None]:
        unborn = self._quoted_after is not None and epoch < self._quoted_after + as_begun
        if self.sides == _EMPTY or unborn:
            return None, None
        seed = self.seed
        wander = swing(seed, 1, epoch, 0) + 4 * swing(seed, 2, epoch, 4) + 12 * swing(seed, 3, epoch, 9)
        middle = self.anchor + (self.volatility * wander >> 12)
        if self._shifts:
            middle += self._shift(epoch, as_begun=as_begun)
        middle = min(max(middle, _LOWEST), _HIGHEST)
        grid = self.grid
        last = len(grid.prices) - 1
        bid = min(grid.position(middle - self.half_spread), last - 1)
        ask = min(max(grid.position(middle + self.half_spread), bid + 1), last)
        return (None if self.sides == _NO_ONLY else bid), (None if self.sides == _YES_ONLY else ask)

    def _side(self, epoch: int, side: int, best: int, direction: int, moves: int) -> Iterator[tuple[int, int]]:
        position = best
        noise = mixed(self.seed, side, _DEPTH)
        for number in range(2 + noise % 11):
            if not 0 <= position < len(self.grid.prices):
                break
            yield position, self._size(epoch, side, number, moves)
            position += direction * (1 + (noise >> (2 * number + 4)) % 3)

    def _size(self, epoch: int, side: int, number: int, moves: int) -> int:
        noise = mixed(self.seed, epoch * 64 + side * 32 + number, _SIZE + 16 * moves)
        whole = 1 + (noise >> 8) % 5_000
        return whole * 100 if noise & 3 else whole * 100 + (noise >> 32) % 100
