"""Faults of history: rows that are missing or wrong in every response, and places that cannot be read.

Belongs here: the effect of a fault on trades and candlesticks. The effects come before paging, so a page is full of
other rows. Does not belong here: choosing the affected requests (``plan``), and faults of single pages (``lists``).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import orjson

from kalshi_pipelines.sandbox.errors import ErrorResponse, nested
from kalshi_pipelines.sandbox.faults.lists import is_in_share
from kalshi_pipelines.sandbox.faults.plan import Fault
from kalshi_pipelines.sandbox.markets.listing import TradeRow
from kalshi_pipelines.sandbox.prices import price_text
from kalshi_pipelines.units import DOLLAR_CENTICENTS, SECOND_US, microdollars

_TRADE_KINDS: Final = frozenset({"dropped_period", "dropped_trade", "changed_price", "unserved_trades"})
_POISONS: Final = frozenset({"poisoned_cursor", "poisoned_second"})
_MICRODOLLARS_PER_CENTICENT: Final = 100


class TradeFaults:
    """The faults of one request for trades."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults = [fault for fault in faults if fault.kind in _TRADE_KINDS]
        self._poisons = [fault for fault in faults if fault.kind in _POISONS]
        self.drops_page = any(fault.kind == "dropped_page" for fault in faults)

    def served(self, row: TradeRow) -> TradeRow | None:
        """Return a trade as the faults let the exchange serve it, or None if they hide it."""
        for fault in self._faults:
            if fault.kind == "changed_price":
                row = _with_price(row, fault)
            elif _hides(fault, row):
                return None
        return row

    def check_readable(self, newest_us: int, oldest_us: int, list_end_us: int, *, by_cursor: bool) -> None:
        """Refuse a page that a fault makes unreadable.

        Args:
            newest_us: Instant from which the page was searched.
            oldest_us: Instant up to which the page was searched.
            list_end_us: Instant of the newest row that the list of the request can have.
            by_cursor: Whether the page was reached by a cursor.

        Raises:
            ErrorResponse: The page cannot be read.
        """
        for fault in self._poisons:
            at_us = fault.time_us
            if fault.kind == "poisoned_cursor":
                fails = by_cursor and oldest_us <= at_us <= list_end_us
            else:
                second_us = at_us - at_us % SECOND_US
                fails = oldest_us < second_us + SECOND_US and newest_us >= second_us
            if fails:
                raise gateway_timeout()


def serves_candles(faults: Sequence[Fault], ticker: str) -> bool:
    """Return whether the faults let the exchange serve candlesticks of a market."""
    return not any(fault.kind == "unserved_candles" and _concerns(fault, ticker) for fault in faults)


def gateway_timeout() -> ErrorResponse:
    """Return the HTTP 504 for a page that takes the exchange too long."""
    return nested(504, "gateway_timeout", "gateway timeout")


def _hides(fault: Fault, row: TradeRow) -> bool:
    if fault.kind == "unserved_trades":
        return _concerns(fault, row.ticker)
    if fault.kind == "dropped_trade":
        return row.sort_key[1] == fault.key
    begin_us = fault.time_us
    return begin_us <= -row.sort_key[0] < begin_us + int(fault.seconds * SECOND_US)


def _concerns(fault: Fault, ticker: str) -> bool:
    return is_in_share(ticker, fault.share) if fault.key is None else ticker == fault.key


def _with_price(row: TradeRow, fault: Fault) -> TradeRow:
    if row.sort_key[1] != fault.key:
        return row
    price = microdollars(str(fault.value)) // _MICRODOLLARS_PER_CENTICENT
    prices = {"yes_price_dollars": price_text(price), "no_price_dollars": price_text(DOLLAR_CENTICENTS - price)}
    return replace(row, json=orjson.dumps(orjson.loads(row.json) | prices))
