"""Candlesticks as rows of the lake."""

from collections.abc import Iterable
from decimal import Decimal

import pyarrow as pa

from kalshi_pipelines.lake.datasets import Dataset
from kalshi_pipelines.units import instant


def candles_batch(dataset: Dataset, candles: Iterable[tuple[str, int, str | None]]) -> pa.RecordBatch:
    """Return candlesticks as a batch: the ticker, the end in microseconds, and the price; None without a trade."""
    rows = []
    for ticker, end_us, price in sorted(candles, key=lambda candle: candle[:2]):
        exact = None if price is None else Decimal(price)
        row = {name: exact for name in dataset.schema.names if name.endswith("_price")}
        quotes = {
            name: Decimal("0.4") if name.startswith("yes_bid") else Decimal("0.6")
            for name in dataset.schema.names
            if name.startswith(("yes_bid_", "yes_ask_"))
        }
        counts = {"volume": Decimal("0" if price is None else "12.34"), "open_interest": Decimal("99.01")}
        rows.append(row | quotes | counts | {"ticker": ticker, "end_time": instant(end_us)})
    return pa.RecordBatch.from_pylist(rows, dataset.schema)
