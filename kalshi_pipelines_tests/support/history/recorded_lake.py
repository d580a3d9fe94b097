"""A lake with the recorded market: its trades, its best bids whenever they changed, and its orderbook each minute."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from kalshi_pipelines.history.trade_columns import trade_rows
from kalshi_pipelines.lake.datasets import ORDERBOOK_LEVELS, PRICE_HISTORY, PUBLIC_TRADES
from kalshi_pipelines.units import MINUTE_US, instant
from kalshi_pipelines_tests.support.history.recorded_frames import MARKET, Frame, ReplayedBook, frames, raw_trades_of
from kalshi_pipelines_tests.support.lake.lakes import local_lake

#: The day of the recording, in UTC and in New York.
RECORDED_DAY: Final = dt.date(2026, 8, 10)
_ONE: Final = Decimal(1)


def add_recorded_market(engine: sa.Engine, folder: Path) -> None:
    """Publish the recorded market to the lake in a folder."""
    lake, received = local_lake(folder), list(frames())
    trades = trade_rows(raw_trades_of(frame for frame in received if frame.kind == "trade")).batch
    ordered = pa.Table.from_batches([trades]).sort_by([(name, "ascending") for name in PUBLIC_TRADES.key])
    lake.replace_day(engine, PUBLIC_TRADES, RECORDED_DAY, [ordered.combine_chunks().to_batches()], "recording")
    quotes = pa.RecordBatch.from_pylist(list(_quotes(received)), PRICE_HISTORY.schema)
    lake.publish(engine, PRICE_HISTORY, {RECORDED_DAY: [quotes]}, "recording")
    levels = [level for at_us, book in books_each_minute(received) for level in _levels(at_us, book)]
    rows = pa.RecordBatch.from_pylist(levels, ORDERBOOK_LEVELS.schema)
    lake.publish(engine, ORDERBOOK_LEVELS, {RECORDED_DAY: [rows]}, "recording")


def books_each_minute(received: list[Frame]) -> Iterator[tuple[int, ReplayedBook]]:
    """Yield the orderbook at the end of each minute, after all frames received until then."""
    book, minute = ReplayedBook(), received[0].received_ms * 1_000 // MINUTE_US
    for frame in received:
        while frame.received_ms * 1_000 // MINUTE_US > minute:
            minute += 1
            yield minute * MINUTE_US, book
        book.apply(frame)


def _quotes(received: list[Frame]) -> Iterator[dict[str, Any]]:
    """Yield the quote after each millisecond in which the best bids changed."""
    book, volume, price, last = ReplayedBook(), Decimal(0), Decimal(0), None
    for place, frame in enumerate(received):
        book.apply(frame)
        if frame.kind == "trade":
            volume += Decimal(frame.body["count_fp"])
            price = Decimal(frame.body["yes_price_dollars"])
        is_last = place + 1 == len(received) or received[place + 1].received_ms > frame.received_ms
        sides = book.best("yes"), book.best("no")
        if is_last and sides != last:
            last = sides
            yield _quote(frame.received_ms * 1_000, book, volume, price)


def _quote(at_us: int, book: ReplayedBook, volume: Decimal, price: Decimal) -> dict[str, Any]:
    yes, no = book.best("yes"), book.best("no")
    return {
        "ticker": MARKET,
        "observed_time": instant(at_us),
        "yes_bid": yes,
        "yes_ask": _ONE - no,
        "no_bid": no,
        "no_ask": _ONE - yes,
        "last_price": price,
        "yes_bid_size": book.levels["yes"].get(yes, Decimal(0)),
        "yes_ask_size": book.levels["no"].get(no, Decimal(0)),
        "volume": volume,
        "open_interest": Decimal(0),
        "volume_24h": volume,
    }


def _levels(at_us: int, book: ReplayedBook) -> Iterator[dict[str, Any]]:
    for side, price, contracts in book.rows():
        level = {"side": side, "price": price, "contracts": contracts}
        yield {"ticker": MARKET, "observed_time": instant(at_us), **level}
