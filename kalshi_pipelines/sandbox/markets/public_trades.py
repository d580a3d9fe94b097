"""Public trades of the exchange, newest first: trades of the catalogue (generated or recorded) and trades of the
matching engine.

Belongs here: merging both kinds of trades, page by page. Does not belong here: computing the generated trades
(``trades``). Source of the JSON shape: ``Trade`` in the vendor's OpenAPI document 3.34.0.
"""

import heapq
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace

import orjson

from kalshi_pipelines.sandbox.clock import rfc3339
from kalshi_pipelines.sandbox.markets.listing import TradeFilter, TradeHistory, TradeRow
from kalshi_pipelines.sandbox.pagination import BEFORE_ALL, RowPage, SortKey, cursor_after, place_of
from kalshi_pipelines.sandbox.prices import count_text, price_text
from kalshi_pipelines.sandbox.trading.records import PublicTrade
from kalshi_pipelines.sandbox.trading.state import TradingState
from kalshi_pipelines.units import DOLLAR_CENTICENTS


def trade_json(
    ticker: str, identifier: str, created: str, price: int, count: int, *, taker_is_yes: bool, is_block: bool
) -> bytes:
    """Return a ``Trade`` object as JSON. ``price`` is the YES price in centi-cents, ``count`` is in centi-contracts."""
    outcome = "yes" if taker_is_yes else "no"
    return orjson.dumps(
        {
            "count_fp": count_text(count),
            "created_time": created,
            "is_block_trade": is_block,
            "no_price_dollars": price_text(DOLLAR_CENTICENTS - price),
            "taker_book_side": "bid" if taker_is_yes else "ask",
            "taker_outcome_side": outcome,
            "taker_side": outcome,
            "ticker": ticker,
            "trade_id": identifier,
            "yes_price_dollars": price_text(price),
        }
    )


class PublicTrades:
    """All public trades of one exchange."""

    def __init__(self, history: TradeHistory, state: Callable[[], TradingState]) -> None:
        self._history = history
        self._state = state
        self._everywhere: list[TradeRow] = []
        self._of: defaultdict[str, list[TradeRow]] = defaultdict(list)

    def page(
        self,
        wanted: TradeFilter,
        cursor: str,
        limit: int,
        served: Callable[[TradeRow], TradeRow | None] = lambda row: row,
    ) -> RowPage[TradeRow]:
        """Return a page of trades after a cursor, newest first.

        ``served`` returns a trade as it is served, or None for a trade that is not served.
        """
        after = (place_of(cursor) if cursor else None) or BEFORE_ALL
        if wanted.max_us is None or -after[0] < wanted.max_us:
            wanted = replace(wanted, max_us=-after[0])
        rows: list[TradeRow] = []
        for row in heapq.merge(self._history.rows(wanted), self._traded(wanted), key=_place):
            if row.sort_key <= after or wanted.is_block_trade not in {None, row.is_block}:
                continue
            shown = served(row)
            if shown is None:
                continue
            if len(rows) == limit:
                return RowPage(rows, cursor_after(rows[-1].sort_key) if rows else "")
            rows.append(shown)
        return RowPage(rows, "")

    def _traded(self, wanted: TradeFilter) -> Iterator[TradeRow]:
        self._collect()
        rows = self._everywhere if wanted.ticker is None else self._of.get(wanted.ticker, [])
        # Trades are appended to the list, so the newest are at its end.
        last = len(rows) if wanted.max_us is None else bisect_right(rows, wanted.max_us, key=_created_us)
        for place in range(last - 1, -1, -1):
            row = rows[place]
            if wanted.min_us is not None and -row.sort_key[0] < wanted.min_us:
                return
            yield row

    def _collect(self) -> None:
        """Add the engine's trades since the last call of this method to the lists of public trades."""
        newcomers = []
        for ticker, market in self._state().markets.items():
            known = self._of[ticker]
            if len(market.trades) > len(known):
                rows = [_row(trade) for trade in market.trades[len(known) :]]
                newcomers += rows
                _append(known, rows)
        _append(self._everywhere, newcomers)


def _append(rows: list[TradeRow], newcomers: list[TradeRow]) -> None:
    """Append new trades to a list of trades. No new trade may be older than any trade in the list.

    New and listed trades of the same microsecond are sorted together, so that the whole list stays sorted.
    """
    if not newcomers:
        return
    oldest = max(row.sort_key[0] for row in newcomers)
    while rows and rows[-1].sort_key[0] <= oldest:
        newcomers.append(rows.pop())
    rows += sorted(newcomers, key=_place, reverse=True)


def _row(trade: PublicTrade) -> TradeRow:
    body = trade_json(
        trade.ticker,
        trade.trade_id,
        rfc3339(trade.created_us),
        trade.price,
        trade.count,
        taker_is_yes=trade.taker_side == "bid",
        is_block=False,
    )
    return TradeRow(trade.sort_key, body, ticker=trade.ticker)


def _place(row: TradeRow) -> SortKey:
    return row.sort_key


def _created_us(row: TradeRow) -> int:
    return -row.sort_key[0]
