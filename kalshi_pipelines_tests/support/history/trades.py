"""Public trades for tests: as the exchange writes them, and as texts again after they were stored."""

import json
import uuid
from typing import Any

import pyarrow as pa
from msgspec import Raw


def wire_trade(number: int = 0, **changes: Any) -> dict[str, Any]:
    """Return a trade as the exchange writes it. ``None`` as a change removes the field."""
    trade = {
        "trade_id": str(uuid.UUID(int=number + (1 << 64))),
        "ticker": "KXHIGHNY-26NOV22-T50",
        "count_fp": "343.49",
        "yes_price_dollars": "0.5700",
        "no_price_dollars": "0.4300",
        "taker_outcome_side": "yes",
        "taker_book_side": "bid",
        "taker_side": "yes",
        "created_time": "2026-11-22T12:00:00.123456Z",
        "is_block_trade": False,
        **changes,
    }
    return {name: value for name, value in trade.items() if value is not None}


def raw_trades(*trades: dict[str, Any]) -> list[Raw]:
    """Return trades as the raw records of a page."""
    return [Raw(json.dumps(trade).encode()) for trade in trades]


def texts_of(rows: pa.RecordBatch | pa.Table) -> list[tuple[str, str, str, str, str]]:
    """Return the id, market, time, price and count of stored trades as texts, with the digits that were stored."""
    return [
        (
            str(row["trade_id"] if isinstance(row["trade_id"], uuid.UUID) else uuid.UUID(bytes=row["trade_id"])),
            row["ticker"],
            f"{row['created_time']:%Y-%m-%dT%H:%M:%S.%fZ}",
            str(row["yes_price"]),
            str(row["contracts"]),
        )
        for row in rows.to_pylist()
    ]
