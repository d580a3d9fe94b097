"""Public trades of the generated catalogue, computed on request.

Belongs here: finding the trades of all price paths in a period of time, newest first, without searching every market.
Does not belong here: JSON, pages, and trades of the engine (``public_trades``).
"""

from bisect import bisect_left
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Final

from kalshi_pipelines.sandbox.clock import PriceTime, midnight_us, rfc3339
from kalshi_pipelines.sandbox.markets.generated import GeneratedMarket
from kalshi_pipelines.sandbox.markets.listing import TradeFilter, TradeRow
from kalshi_pipelines.sandbox.markets.public_trades import trade_json
from kalshi_pipelines.sandbox.noise import mixed
from kalshi_pipelines.sandbox.pagination import SortKey
from kalshi_pipelines.units import DAY_US

_EPOCHS_A_SLICE: Final = 1_000
_CACHED_SLICES: Final = 64
_CACHED_DAYS: Final = 8
_MOST_SLICES: Final = 86_400


class _Day:
    """The markets that are open at some time of one UTC day, by the time between two changes of their price.

    Each group is sorted by phase (the offset of the price changes), so that the trades of a short time are found
    without searching all markets.
    """

    def __init__(self, begin_us: int, markets: Iterable[GeneratedMarket]) -> None:
        self.begin_us = begin_us
        self._groups: defaultdict[int, list[tuple[int, GeneratedMarket]]] = defaultdict(list)
        for market in markets:
            if market.path.rate and market.open_us < begin_us + DAY_US and market.close_us > begin_us:
                period = market.path.period_us
                self._groups[period].append((market.path.phase_us % period, market))
        for group in self._groups.values():
            group.sort(key=itemgetter(0))
        epochs = sum(len(group) * (DAY_US // period + 1) for period, group in self._groups.items())
        self.width_us = DAY_US // min(max(1, epochs // _EPOCHS_A_SLICE), _MOST_SLICES)

    def slices(self, newest: int, oldest: int) -> range:
        """Return the numbers of the day's slices of time that overlap a period, newest first.

        A slice holds about a thousand price changes.
        """
        last = min(newest, self.begin_us + DAY_US - 1) - self.begin_us
        first = max(oldest - self.begin_us, 0)
        return range(last // self.width_us, first // self.width_us - 1, -1)

    def trades(self, number: int) -> list[TradeRow]:
        """Return the trades of a slice, newest first."""
        begin = self.begin_us + number * self.width_us
        end = min(begin + self.width_us, self.begin_us + DAY_US)
        rows = [row for period, group in self._groups.items() for row in _group_trades(group, period, begin, end)]
        rows.sort(key=_place)
        return rows


class GeneratedTrades:
    """Public trades of all generated markets, live and archived."""

    def __init__(self, time: PriceTime) -> None:
        self._time = time
        self._markets: dict[str, GeneratedMarket] = {}
        self._oldest_us = 1 << 63
        self._days: OrderedDict[int, _Day] = OrderedDict()
        self._slices: OrderedDict[tuple[int, int], list[TradeRow]] = OrderedDict()

    def follow(self, markets: Mapping[str, GeneratedMarket]) -> None:
        """Add markets to the markets whose generated trades ``rows`` returns."""
        self._markets.update(markets)
        since_us = min((market.open_us for market in markets.values()), default=1 << 63)
        self._oldest_us = min(self._oldest_us, since_us)
        # Days that were over before any of these markets opened stay as they are.
        for day in [day for day in self._days if day + DAY_US > since_us]:
            del self._days[day]
        for place in [place for place in self._slices if place[0] + DAY_US > since_us]:
            del self._slices[place]

    def quotes_moved(self) -> None:
        """Discard cached trades after quotes were moved, because future trades follow the new quotes."""
        self._slices.clear()

    def market_opened(self) -> None:
        """Discard cached trades, because a market was opened in the engine.

        The cache may hold trades of this market for instants after the opening. From the opening on, the engine alone
        makes the market's trades.
        """
        self._days.clear()
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
        for begin_us in range(midnight_us(newest), midnight_us(oldest) - 1, -DAY_US):
            day = self._day(begin_us)
            for number in day.slices(newest, oldest):
                for trade in self._slice(day, number):
                    if oldest <= -trade.sort_key[0] <= newest:
                        yield trade

    def _day(self, begin_us: int) -> _Day:
        known = self._days.get(begin_us)
        if known is None:
            known = self._days[begin_us] = _Day(begin_us, self._markets.values())
            if len(self._days) > _CACHED_DAYS:
                self._days.popitem(last=False)
        return known

    def _slice(self, day: _Day, number: int) -> list[TradeRow]:
        place = (day.begin_us, number)
        known = self._slices.get(place)
        if known is None:
            known = self._slices[place] = day.trades(number)
            if len(self._slices) > _CACHED_SLICES:
                self._slices.popitem(last=False)
        return known


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
        yield TradeRow((-created_us, identifier), body, fill.is_block, market.ticker)


def _trade_id(seed: int, epoch: int, number: int) -> str:
    # A random UUID of version 4, as the real exchange gives. Building it from text is faster than through ``UUID``.
    high = mixed(seed, epoch, 1_000 + number) & ~(0xF << 12) | 4 << 12
    low = mixed(epoch, seed, 2_000 + number) & ~(3 << 62) | 2 << 62
    text = f"{high:016x}{low:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
