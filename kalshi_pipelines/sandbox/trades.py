"""The public trades of the generated catalogue, computed when they are asked for.

Belongs here: finding which price paths traded in a stretch of time, newest first, without visiting every market.
Source of the shape: ``Trade`` of the vendor's OpenAPI document 3.34.0.
"""

from bisect import bisect_left
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Final
from uuid import UUID

import orjson

from kalshi_pipelines.sandbox.clock import PriceTime, rfc3339
from kalshi_pipelines.sandbox.generated import GeneratedMarket
from kalshi_pipelines.sandbox.listing import TradeFilter, TradeRow
from kalshi_pipelines.sandbox.noise import mixed
from kalshi_pipelines.sandbox.pagination import BEFORE_ALL, Page, SortKey, cursor_after, place_of
from kalshi_pipelines.sandbox.prices import DOLLAR, count_text, price_text

_FILLS_A_SLICE: Final = 2_000
_CACHED_SLICES: Final = 64
_Trade = tuple[SortKey, bool, bytes]


class GeneratedTrades:
    """Trades of all generated markets. ``oldest_us`` is the historical cutoff: nothing earlier is served."""

    def __init__(self, time: PriceTime, oldest_us: int) -> None:
        self._time = time
        self._oldest_us = oldest_us
        self._markets: dict[str, GeneratedMarket] = {}
        self._by_phase: defaultdict[int, list[tuple[int, GeneratedMarket]]] = defaultdict(list)
        self._sorted = True
        self._slices: OrderedDict[int, list[_Trade]] = OrderedDict()

    def follow(self, markets: Mapping[str, GeneratedMarket]) -> None:
        """Include the trades of more markets."""
        self._markets.update(markets)
        for market in markets.values():
            if market.base_volume and market.status != "initialized":
                self._by_phase[market.path.period_us].append((market.path.phase_us % market.path.period_us, market))
        self._sorted = False
        self._slices.clear()

    def quotes_moved(self) -> None:
        """Forget what was computed ahead of time: trades to come follow the moved quotes."""
        self._slices.clear()

    def page(self, wanted: TradeFilter, cursor: str, limit: int) -> Page[TradeRow]:
        """Trades newest first, after a cursor."""
        after = (place_of(cursor) if cursor else None) or BEFORE_ALL
        newest = min(self._time.now_us(), *(bound for bound in (wanted.max_us, -after[0]) if bound is not None))
        oldest = max(self._oldest_us, wanted.min_us or 0)
        source = self._everywhere(newest, oldest) if wanted.ticker is None else self._of(wanted.ticker, newest, oldest)
        rows: list[TradeRow] = []
        for key, is_block, body in source:
            if key <= after or wanted.is_block_trade not in {None, is_block}:
                continue
            if len(rows) == limit:
                return Page(rows, cursor_after(rows[-1].sort_key) if rows else "")
            rows.append(TradeRow(key, body))
        return Page(rows, "")

    def _of(self, ticker: str, newest: int, oldest: int) -> Iterator[_Trade]:
        market = self._markets.get(ticker)
        if market is None:
            return
        path = market.path
        last = path.epoch_at(min(newest, market.close_us))
        first = path.epoch_at(max(oldest, market.open_us)) - 1
        for epoch in range(last, first, -1):
            if oldest <= path.begins_us(epoch) <= newest:
                yield from sorted(_trades(market, epoch), key=itemgetter(0))

    def _everywhere(self, newest: int, oldest: int) -> Iterator[_Trade]:
        if not self._sorted:
            for group in self._by_phase.values():
                group.sort(key=itemgetter(0))
            self._sorted = True
        # As many microseconds as bring a few thousand trades, so quiet exchanges are not walked minute by minute.
        fills_a_day = sum(2 * len(group) * 86_400_000_000 // period for period, group in self._by_phase.items())
        if not fills_a_day:
            return
        width = max(self._time.tick_us, _FILLS_A_SLICE * 86_400_000_000 // fills_a_day)
        for number in range(newest // width, oldest // width - 1, -1):
            for trade in self._slice(number, width):
                if oldest <= -trade[0][0] <= newest:
                    yield trade

    def _slice(self, number: int, width: int) -> list[_Trade]:
        known = self._slices.get(number)
        if known is not None:
            return known
        begin, end = number * width, (number + 1) * width
        trades = [
            trade for period, group in self._by_phase.items() for trade in _group_trades(group, period, begin, end)
        ]
        trades.sort(key=itemgetter(0))
        self._slices[number] = trades
        if len(self._slices) > _CACHED_SLICES:
            self._slices.popitem(last=False)
        return trades


def _group_trades(group: list[tuple[int, GeneratedMarket]], period: int, begin: int, end: int) -> Iterator[_Trade]:
    """Trades in [begin, end) of markets with one period: an epoch begins where time modulo the period is the phase."""
    for cycle in range(begin // period, end // period + 1):
        low = bisect_left(group, begin - cycle * period, key=itemgetter(0))
        high = bisect_left(group, end - cycle * period, key=itemgetter(0))
        for _, market in group[low:high]:
            yield from _trades(market, market.path.epoch_at(cycle * period + market.path.phase_us % period))


def _trades(market: GeneratedMarket, epoch: int) -> Iterator[_Trade]:
    if not market.trades_in(epoch):
        return
    created_us = market.path.begins_us(epoch)
    created = rfc3339(created_us)
    for number, fill in enumerate(market.path.fills(epoch)):
        identifier = _trade_id(market.path.seed, epoch, number)
        outcome = "yes" if fill.taker_is_yes else "no"
        body = {
            "count_fp": count_text(fill.size),
            "created_time": created,
            "is_block_trade": fill.is_block,
            "no_price_dollars": price_text(DOLLAR - fill.price),
            "taker_book_side": "bid" if fill.taker_is_yes else "ask",
            "taker_outcome_side": outcome,
            "taker_side": outcome,
            "ticker": market.ticker,
            "trade_id": identifier,
            "yes_price_dollars": price_text(fill.price),
        }
        yield (-created_us, identifier), fill.is_block, orjson.dumps(body)


def _trade_id(seed: int, epoch: int, number: int) -> str:
    return str(UUID(int=mixed(seed, epoch, 1_000 + number) << 64 | mixed(epoch, seed, 2_000 + number), version=4))
