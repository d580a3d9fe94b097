"""The price path of a generated market: its quote, book and trades at any moment, computed from nothing but noise.

A path changes at regular instants of its own; between two of them, one *epoch*, everything stands still. Belongs here:
quotes, book levels, trades of an epoch. Does not belong here: JSON, and markets as listed.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from kalshi_pipelines.sandbox.noise import mixed, swing
from kalshi_pipelines.sandbox.prices import PriceGrid
from kalshi_pipelines.units import DOLLAR_CENTICENTS

_LOWEST: Final = 100
_HIGHEST: Final = DOLLAR_CENTICENTS - 100
_SIZE, _DEPTH, _TRADE, _INTEREST = 11, 12, 13, 14
_BOTH, _YES_ONLY, _NO_ONLY, _EMPTY = "both", "yes", "no", "none"
_BLOCK_TRADE_ODDS: Final = 97
_MOVE_FACTORS: Final = (1, -1, 2, -2, 4, -4, 8, -8, 16, -16, 32, -32, 64, -64)


class Quote(NamedTuple):
    """The best YES bid and ask in centi-cents, sizes in centi-contracts. No bid is 0, no ask a dollar, with size 0."""

    bid: int
    bid_size: int
    ask: int
    ask_size: int


class Level(NamedTuple):
    """A price of a book side in centi-cents and the centi-contracts resting at it."""

    price: int
    size: int


class PathTrade(NamedTuple):
    """One trade: YES price in centi-cents, centi-contracts, whether the taker bought YES, whether off-book."""

    price: int
    size: int
    taker_is_yes: bool
    is_block: bool


NO_QUOTE: Final = Quote(0, 0, DOLLAR_CENTICENTS, 0)


@dataclass(slots=True)
class QuotePath:
    """Where the price of one market goes.

    ``anchor`` is the price it wanders around, ``volatility`` how far, ``half_spread`` half its bid-ask distance, all in
    centi-cents; ``period_us`` is the length of an epoch, ``phase_us`` where epochs begin, ``sides`` which sides exist.
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
    _quoted_after: int | None = None
    _moved_epochs: list[int] = field(default_factory=list)
    _shifts: list[int] = field(default_factory=list)

    @property
    def is_quoted(self) -> bool:
        """Whether anybody bids or asks."""
        return self.sides != _EMPTY

    def epoch_at(self, instant_us: int) -> int:
        """The epoch an instant lies in."""
        return (instant_us - self.phase_us) // self.period_us

    def begins_us(self, epoch: int) -> int:
        """The instant an epoch begins."""
        return epoch * self.period_us + self.phase_us

    def quote(self, epoch: int, *, as_begun: bool = False) -> Quote:
        """The best bid and ask of an epoch: at present, or as it began before any move by hand within it."""
        bid, ask = self._positions(epoch, as_begun=as_begun)
        prices = self.grid.prices
        return Quote(
            0 if bid is None else prices[bid],
            0 if bid is None else self._size(epoch, 0, 0),
            DOLLAR_CENTICENTS if ask is None else prices[ask],
            0 if ask is None else self._size(epoch, 1, 0),
        )

    def book(self, epoch: int) -> tuple[list[Level], list[Level]]:
        """The YES and the NO bids of an epoch, each ascending in its own price, best last."""
        bid, ask = self._positions(epoch, as_begun=False)
        prices = self.grid.prices
        yes = [] if bid is None else self._side(epoch, 0, bid, -1)
        no = [] if ask is None else self._side(epoch, 1, ask, 1)
        return (
            [Level(prices[position], size) for position, size in reversed(yes)],
            [Level(DOLLAR_CENTICENTS - prices[position], size) for position, size in reversed(no)],
        )

    def fills(self, epoch: int) -> list[PathTrade]:
        """The trades at the instant an epoch begins, oldest first: one taker's sweep at one price."""
        quote = self.quote(epoch, as_begun=True)
        if quote == NO_QUOTE:
            return []
        noise = mixed(self.seed, epoch, _TRADE)
        taker_is_yes = self._takes_yes(epoch, quote)
        price = _traded_price(quote, taker_is_yes)
        is_block = (noise >> 8) % _BLOCK_TRADE_ODDS == 0
        return [
            PathTrade(
                price,
                1 + mixed(self.seed, epoch, _TRADE + 16 * number) % 40_000 // (1 + number),
                taker_is_yes,
                is_block,
            )
            for number in range(1, 2 + (noise >> 4) % 3)
        ]

    def last_price(self, epoch: int) -> int:
        """The price of the trades of an epoch in centi-cents, 0 if there were none."""
        quote = self.quote(epoch, as_begun=True)
        return 0 if quote == NO_QUOTE else _traded_price(quote, self._takes_yes(epoch, quote))

    def _takes_yes(self, epoch: int, quote: Quote) -> bool:
        both = quote.bid and quote.ask < DOLLAR_CENTICENTS
        return bool(mixed(self.seed, epoch, _TRADE) & 1) if both else quote.ask < DOLLAR_CENTICENTS

    def open_interest_swing(self, epoch: int, most: int) -> int:
        """Centi-contracts by which open interest differs from its floor in an epoch, 0 to ``most``."""
        return mixed(self.seed, epoch, _INTEREST) % (most + 1)

    def move(self, epoch: int) -> None:
        """Move the quote for good from this epoch on, by at least one price of the grid on a side that has a quote."""
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
        for factor in _MOVE_FACTORS:
            self._shifts[-1] = shift + factor * step
            moved = self.quote(epoch)
            if (moved.bid, moved.ask) != (before.bid, before.ask):
                return
        raise RuntimeError(f"no move of the quote {before} stays on the grid {self.grid.label}")

    def _shift(self, epoch: int, *, as_begun: bool) -> int:
        # A move is felt by trades only after the epoch it was made in: trades that were already told keep their price.
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

    def _side(self, epoch: int, side: int, best: int, direction: int) -> list[tuple[int, int]]:
        levels = []
        position = best
        noise = mixed(self.seed, side, _DEPTH)
        for number in range(2 + noise % 11):
            if not 0 <= position < len(self.grid.prices):
                break
            levels.append((position, self._size(epoch, side, number)))
            position += direction * (1 + (noise >> (2 * number + 4)) % 3)
        return levels

    def _size(self, epoch: int, side: int, number: int) -> int:
        noise = mixed(self.seed, epoch * 64 + side * 32 + number, _SIZE + 16 * self.moves)
        whole = 1 + (noise >> 8) % 5_000
        return whole * 100 if noise & 3 else whole * 100 + (noise >> 32) % 100


def _traded_price(quote: Quote, taker_is_yes: bool) -> int:
    return quote.ask if taker_is_yes else quote.bid
