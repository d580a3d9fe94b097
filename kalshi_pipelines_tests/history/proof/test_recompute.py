"""Candlesticks computed from trades are exact, have the right periods, and name prices whose order is unknown."""

import datetime as dt
import uuid
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.history.proof.recompute import SCHEMA, recompute_candles
from kalshi_pipelines.lake.datasets import (
    CANDLESTICKS_1D,
    CANDLESTICKS_1H,
    CANDLESTICKS_1M,
    PRICE_HISTORY,
    PUBLIC_TRADES,
)
from kalshi_pipelines.units import MINUTE_US, instant, microseconds

NOON_US = microseconds(dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC))

Trade = tuple[str, int, int, str, str, bool]


def table(*trades: Trade) -> pa.Table:
    """Return trades: ticker, time after noon, number, price, contracts, and whether it is a block."""
    rows = [
        {
            "ticker": ticker,
            "created_time": instant(NOON_US + at),
            "trade_id": uuid.UUID(int=number).bytes,
            "yes_price": Decimal(price),
            "contracts": Decimal(count),
            "taker_side": "yes",
            "taker_book_side": "bid",
            "is_block": block,
            "is_combo": False,
        }
        for ticker, at, number, price, count, block in trades
    ]
    return pa.Table.from_pylist(rows, PUBLIC_TRADES.schema)


def rows_of(trades: pa.Table, **options: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = recompute_candles(trades, CANDLESTICKS_1M, **options).to_pylist()
    return rows


def test_candle_has_first_highest_lowest_last_mean_and_volume() -> None:
    trades = [("A", 3, 1, "0.57", "1", False), ("A", 1, 9, "0.10", "2", False), ("A", 2, 5, "0.9901", "0.01", False)]
    (row,) = rows_of(table(*trades))
    names = ("open_price", "high_price", "low_price", "close_price", "mean_price", "volume", "trades")
    assert [row[name] for name in names] == [
        Decimal("0.1"),
        Decimal("0.9901"),
        Decimal("0.1"),
        Decimal("0.57"),
        Decimal("0.259103"),
        Decimal("3.01"),
        3,
    ]
    assert row["end_time"] == instant(NOON_US + MINUTE_US)


def test_period_includes_its_end_and_not_its_beginning() -> None:
    trades = [("A", at, at + 1, "0.5", "1", False) for at in (0, 1, MINUTE_US, MINUTE_US + 1)]
    found = [(row["end_time"], row["trades"]) for row in rows_of(table(*trades))]
    assert found == [(instant(NOON_US + minutes * MINUTE_US), count) for minutes, count in ((0, 1), (1, 2), (2, 1))]


@pytest.mark.parametrize(
    ("time", "end"),
    [
        ("2026-03-08T05:00:00+00:00", "2026-03-08T05:00:00+00:00"),
        ("2026-03-08T05:00:00.000001+00:00", "2026-03-09T04:00:00+00:00"),
        ("2026-11-02T04:59:59+00:00", "2026-11-02T05:00:00+00:00"),
        ("2026-11-01T04:00:00.000001+00:00", "2026-11-02T05:00:00+00:00"),
    ],
)
def test_days_end_at_midnight_in_new_york_when_clocks_change(time: str, end: str) -> None:
    at = microseconds(dt.datetime.fromisoformat(time)) - NOON_US
    found = recompute_candles(table(("A", at, 1, "0.5", "1", False)), CANDLESTICKS_1D)
    assert found["end_time"].to_pylist() == [dt.datetime.fromisoformat(end)]


def test_prices_of_one_microsecond_are_all_named() -> None:
    sweep = [("A", 5, number, price, "1", False) for number, price in enumerate(("0.50", "0.51", "0.52", "0.51"))]
    (row,) = rows_of(table(*sweep, ("A", 4, 9, "0.40", "1", False)))
    assert (row["first_prices"], row["open_price"]) == ([Decimal("0.4")], Decimal("0.4"))
    assert sorted(row["last_prices"]) == [Decimal("0.5"), Decimal("0.51"), Decimal("0.52")]
    assert row["close_price"] == Decimal("0.51")


def test_block_trades_count_only_if_wanted() -> None:
    trades = table(("A", 1, 1, "0.5", "1", False), ("A", 2, 2, "0.9", "1000", True))
    assert [row["volume"] for row in rows_of(trades)] == [Decimal(1001)]
    assert [row["volume"] for row in rows_of(trades, includes_blocks=False)] == [Decimal(1)]


def test_no_trades_give_no_candle() -> None:
    assert recompute_candles(table(), CANDLESTICKS_1H) == SCHEMA.empty_table()


def test_dataset_without_periods_is_refused() -> None:
    with pytest.raises(ValueError, match="no dataset of candlesticks"):
        recompute_candles(table(("A", 1, 1, "0.5", "1", False)), PRICE_HISTORY)


_TRADES = st.lists(
    st.tuples(st.sampled_from("AB"), st.integers(0, 3 * MINUTE_US), st.integers(1, 999_999), st.integers(1, 10**9)),
    max_size=30,
)


@given(_TRADES)
def test_candles_equal_those_of_plain_arithmetic(drawn: list[tuple[str, int, int, int]]) -> None:
    trades = [
        (
            ticker,
            at // 7_000_000 * 7_000_000,
            number,
            str(Decimal(price).scaleb(-6)),
            str(Decimal(count).scaleb(-2)),
            False,
        )
        for number, (ticker, at, price, count) in enumerate(drawn)
    ]
    groups: dict[tuple[str, int], list[Trade]] = defaultdict(list)
    for trade in sorted(trades, key=lambda each: each[:3]):
        groups[trade[0], -(-trade[1] // MINUTE_US)].append(trade)
    expected = []
    for (ticker, minute), group in sorted(groups.items()):
        prices, counts = ([Decimal(trade[place]) for trade in group] for place in (3, 4))
        value = sum((price * count for price, count in zip(prices, counts, strict=True)), Decimal())
        end = instant(NOON_US + minute * MINUTE_US)
        expected.append(
            (ticker, end, prices[0], max(prices), min(prices), prices[-1], round(value / sum(counts), 6), sum(counts))
        )
    found = [tuple(row.values())[:8] for row in rows_of(table(*reversed(trades)))]
    assert found == expected
