"""Public trades as rows of the lake."""

import datetime as dt
import hashlib
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import pyarrow as pa

from kalshi_pipelines.lake.datasets import PUBLIC_TRADES

#: A day in UTC, and its first microsecond.
TRADES_DAY: Final = dt.date(2026, 11, 22)
TRADES_DAY_US: Final = 1_795_305_600_000_000

#: A ticker, a time in microseconds after the beginning of the day, and the number of the trade.
Trade = tuple[str, int, int]


def trade_id(number: int) -> bytes:
    """Return the id of a trade, as 16 bytes."""
    return hashlib.md5(str(number).encode(), usedforsecurity=False).digest()


def trades_batch(trades: Iterable[Trade], *, price: str = "0.57") -> pa.RecordBatch:
    """Return trades as a batch that is sorted as the lake's files are."""
    rows = sorted((ticker, TRADES_DAY_US + at, trade_id(number), number) for ticker, at, number in trades)
    columns = {
        "ticker": [row[0] for row in rows],
        "created_time": [row[1] for row in rows],
        "trade_id": [row[2] for row in rows],
        "yes_price": [Decimal(price)] * len(rows),
        "contracts": [Decimal(row[3]) / 100 for row in rows],
        "taker_side": ["yes" if row[3] % 2 else "no" for row in rows],
        "taker_book_side": ["bid" if row[3] % 2 else "ask" for row in rows],
        "is_block": [False] * len(rows),
        "is_combo": [row[3] % 3 == 0 for row in rows],
    }
    return pa.record_batch(
        [pa.array(values, field.type) for values, field in zip(columns.values(), PUBLIC_TRADES.schema, strict=True)],
        schema=PUBLIC_TRADES.schema,
    )
