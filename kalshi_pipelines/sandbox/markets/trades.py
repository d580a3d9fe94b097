"""Public trades of the generated catalogue, computed on request.

Belongs here: finding the trades of all price paths in a period of time, newest first, without searching every market.
Does not belong here: JSON, pages, and trades of the engine (``public_trades``).
"""

from bisect import bisect_left
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Final
from uuid import UUID

from kalshi_pipelines.sandbox.clock import PriceTime, rfc3339
from kalshi_pipelines.sandbox.markets.generated import GeneratedMarket
from kalshi_pipelines.sandbox.markets.listing import TradeFilter, TradeRow
from kalshi_pipelines.sandbox.markets.public_trades import trade_json
from kalshi_pipelines.sandbox.noise import mixed
from kalshi_pipelines.sandbox.pagination import SortKey

_FILLS_A_SLICE: Final = 2_000
_CACHED_SLICES: Final = 64


class GeneratedTrades:
    """Public trades of all generated markets. Trades before ``oldest_us`` are left out."""

    def __init__(self, time: PriceTime, oldest_us: int) -> None:
        self._time = time
        self._oldest_us = oldest_us
        self._markets: dict[str, GeneratedMarket] = {}
        self._by_phase: defaultdict[int, list[tuple[int, GeneratedMarket]]] = defaultdict(list)
        self._sorted = True
        self._slices: OrderedDict[int, list[TradeRow]] = OrderedDict()

    def follow(self, markets: Mapping[str, GeneratedMarket]) -> None:
        """Add markets to the markets whose generated trades ``rows`` returns."""
        self._markets.update(markets)
        for market in markets.values():
            if market.base_volume:
                self._by_phase[market.path.period_us].append((market.path.phase_us % market.path.period_us, market))
        self._sorted = False
        self._slices.clear()

    def quotes_moved(self) -> None:
        """Discard cached trades after quotes were moved, because future trades follow the new quotes."""
        self._slices.clear()

    def market_opened(self) -> None:
        """Discard cached trades, because a market was opened in the engine.

        The cache may hold trades of this market for instants after the opening. From the opening on, the engine alone
        makes the market's trades.
        """
        self._slices.clear()

    def rows(self, wanted: TradeFilter) -> Iterator[TradeRow]:
        """Return the generated trades in the market and the period of a filter, newest first.

        The result contains block trades and other trades. The caller removes the trades that the filter's
        ``is_block_trade`` excludes.
        """
        now_us = self._time.now_us()
        newest = now_us if wanted.max_us is None else min(now_us, wanted.max_us)
        oldest = max(self._oldest_us, wanted.min_us or 0)
        if wanted.ticker is None:
            return self._everywhere(newest, oldest)
        return self._of(wanted.ticker, newest, oldest)

    def _of(self, ticker: str, newest: int, oldest: int) -> Iterator[TradeRow]:
        market = self._markets.get(ticker)
        if market is None:
            return
        path = market.path
        last = path.epoch_at(min(newest, market.close_us))
        first = path.epoch_at(max(oldest, market.open_us)) - 1
        for epoch in range(last, first, -1):
            if oldest <= path.begins_us(epoch) <= newest:
                yield from sorted(_trades(market, epoch), key=_place)

    def _everywhere(self, newest: int, oldest: int) -> Iterator[TradeRow]:
        if not self._sorted:
            for group in self._by_phase.values():
                group.sort(key=itemgetter(0))
            self._sorted = True
        # Search in slices of time that hold about two thousand trades each. If markets trade rarely, the slices are
        # long, so that few slices need to be searched.
        fills_a_day = sum(2 * len(group) * 86_400_000_000 // period for period, group in self._by_phase.items())
        if not fills_a_day:
            return
        width = max(self._time.tick_us, _FILLS_A_SLICE * 86_400_000_000 // fills_a_day)
        for number in range(newest // width, oldest // width - 1, -1):
            for trade in self._slice(number, width):
                if oldest <= -trade.sort_key[0] <= newest:
                    yield trade

    def _slice(self, number: int, width: int) -> list[TradeRow]:
        known = self._slices.get(number)
        if known is not None:
            return known
        begin, end = number * width, (number + 1) * width
        trades = [
            trade for period, group in self._by_phase.items() for trade in _group_trades(group, period, begin, end)
        ]
        trades.sort(key=_place)
        self._slices[number] = trades
        if len(self._slices) > _CACHED_SLICES:
            self._slices.popitem(last=False)
        return trades


def _place(row: TradeRow) -> SortKey:
    return row.sort_key


def _group_trades(group: list[tuple[int, GeneratedMarket]], period: int, begin: int, end: int) -> Iterator[TradeRow]:
    """Iterate over the trades from ``begin`` (included) to ``end`` (excluded) in markets whose prices change once per
    ``period``.

    The price of a market changes when the time modulo the period equals the market's phase.
    """
    for cycle in range(begin // period, end // period + 1):
        low = bisect_left(group, begin - cycle * period, key=itemgetter(0))
        high = bisect_left(group, end - cycle * period, key=itemgetter(0))
        for _, market in group[low:high]:
            yield from _trades(market, market.path.epoch_at(cycle * period + market.path.phase_us % period))


def _trades(market: GeneratedMarket, epoch: int) -> Iterator[TradeRow]:
    if not market.trades_alone_in(epoch):
        return
    created_us = market.path.begins_us(epoch)
    created = rfc3339(created_us)
    for number, fill in enumerate(market.path.fills(epoch)):
        identifier = _trade_id(market.path.seed, epoch, number)
        body = trade_json(
            market.ticker,
            identifier,
            created,
            fill.price,
            fill.size,
            taker_is_yes=fill.taker_is_yes,
            is_block=fill.is_block,
        )
        yield TradeRow((-created_us, identifier), body, fill.is_block)


def _trade_id(seed: int, epoch: int, number: int) -> str:
    return str(UUID(int=mixed(seed, epoch, 1_000 + number) << 64 | mixed(epoch, seed, 2_000 + number), version=4))
