"""Every row that is removed or changed is found by the comparison of minutes, and a complete tape has no difference."""

import datetime as dt
import uuid
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.history.proof.in_step import in_step
from kalshi_pipelines.history.proof.minutes import CANDLE_COLUMNS, MOST_MINUTES, TRADE_COLUMNS, MinuteComparison
from kalshi_pipelines.history.proof.residuals import State
from kalshi_pipelines.lake.datasets import CANDLESTICKS_1M, PUBLIC_TRADES
from kalshi_pipelines.units import MINUTE_US, instant, microseconds

NOON_US = microseconds(dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC))
MIDNIGHT_US = NOON_US + 720 * MINUTE_US
TRADES = pa.schema([PUBLIC_TRADES.schema.field(name) for name in TRADE_COLUMNS])
CANDLES = pa.schema([CANDLESTICKS_1M.schema.field(name) for name in CANDLE_COLUMNS])

#: Ticker, time after noon, price in hundredths of a cent, hundredths of a contract, and whether it is a block.
Trade = tuple[str, int, int, int, bool]
TRADE = st.tuples(
    st.sampled_from("ABC"),
    st.integers(0, 6).map(lambda steps: steps * MINUTE_US // 2) | st.integers(0, 3 * MINUTE_US),
    st.integers(1, 9_999),
    st.integers(1, 500),
    st.booleans(),
)


def table(trades: list[Trade]) -> pa.Table:
    rows = [
        {
            "ticker": ticker,
            "created_time": instant(NOON_US + at),
            "trade_id": uuid.UUID(int=number).bytes,
            "yes_price": Decimal(price).scaleb(-4),
            "contracts": Decimal(count).scaleb(-2),
            "is_block": block,
        }
        for number, (ticker, at, price, count, block) in enumerate(trades)
    ]
    return pa.Table.from_pylist(rows, TRADES)


def candles_of(trades: list[Trade], *, blocks: bool = True) -> pa.Table:
    """Return the exchange's candlesticks: fills of the same microsecond are in the order of the list."""
    minutes: dict[tuple[str, int], list[Trade]] = defaultdict(list)
    for trade in trades:
        if blocks or not trade[4]:
            minutes[trade[0], -(-(NOON_US + trade[1]) // MINUTE_US) * MINUTE_US].append(trade)
    rows = []
    for (ticker, end_us), found in sorted(minutes.items()):
        ordered = [Decimal(price).scaleb(-4) for _, _, price, _, _ in sorted(found, key=lambda trade: trade[1])]
        prices = {"open": ordered[0], "high": max(ordered), "low": min(ordered), "close": ordered[-1]}
        volume = Decimal(sum(trade[3] for trade in found)).scaleb(-2)
        row: dict[str, Any] = {f"{name}_price": value for name, value in prices.items()}
        rows.append({"ticker": ticker, "end_time": instant(end_us), "volume": volume, **row})
    return pa.Table.from_pylist(rows, CANDLES)


def compared(trades: list[Trade], candles: pa.Table) -> MinuteComparison:
    comparison = MinuteComparison()
    comparison.compare(table(trades), candles)
    return comparison


def minute_of(trade: Trade) -> tuple[str, int]:
    return trade[0], -(-(NOON_US + trade[1]) // MINUTE_US) * MINUTE_US


def found_minutes(comparison: MinuteComparison) -> set[tuple[str, int]]:
    return {(each.ticker, each.end_us) for minutes in comparison.differing.values() for each in minutes}


@given(st.lists(TRADE, max_size=30), st.randoms())
def test_complete_tape_has_no_difference(trades: list[Trade], chance: Any) -> None:
    shuffled = list(trades)
    chance.shuffle(shuffled)  # the order within a microsecond is not published
    comparison = compared(shuffled, candles_of(trades))
    assert not comparison.differing
    assert comparison.minutes == len({minute_of(each) for each in trades})


@given(st.lists(TRADE, min_size=1, max_size=30), st.data())
def test_any_removed_trade_is_found_in_its_minute(trades: list[Trade], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(trades) - 1))
    comparison = compared(trades[:place] + trades[place + 1 :], candles_of(trades))
    assert found_minutes(comparison) == {minute_of(trades[place])}


@given(st.lists(TRADE, min_size=1, max_size=30), st.data())
def test_any_changed_count_or_added_trade_is_found(trades: list[Trade], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(trades) - 1))
    ticker, at, price, count, block = trades[place]
    changed = [*trades[:place], (ticker, at, price, count + 1, block), *trades[place + 1 :]]
    assert found_minutes(compared(changed, candles_of(trades))) == {minute_of(trades[place])}
    assert found_minutes(compared([*trades, trades[place]], candles_of(trades))) == {minute_of(trades[place])}


@given(st.lists(TRADE, min_size=1, max_size=30), st.data())
def test_changed_price_outside_of_its_minute_is_found(trades: list[Trade], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(trades) - 1))
    ticker, at, price, count, block = trades[place]
    changed = [*trades[:place], (ticker, at, price + 10_000, count, block), *trades[place + 1 :]]
    assert found_minutes(compared(changed, candles_of(trades))) == {minute_of(trades[place])}


def test_minute_is_named_with_both_candlesticks() -> None:
    trades: list[Trade] = [("A", 1, 5_700, 100, False), ("A", 2, 5_000, 250, False)]
    (residual,) = compared(trades[:1], candles_of(trades)).residuals(set(), MIDNIGHT_US)
    assert residual.ticker == "A"
    assert residual.kind == "candlestick of the minute that ends at 2026-11-22T12:01Z"
    assert residual.state is State.MISSING
    assert residual.expected == "open 0.57, high 0.57, low 0.5, close 0.5, volume 3.5"
    assert residual.found == "open 0.57, high 0.57, low 0.57, close 0.57, volume 1"


def test_ties_are_counted() -> None:
    trades: list[Trade] = [("A", 5, 20, 100, False), ("A", 5, 10, 100, False), ("A", 5, 30, 100, False)]
    assert compared(trades[::-1], candles_of(trades)).ties == 1


def test_rule_of_block_trades_is_named() -> None:
    trades: list[Trade] = [("A", 5, 20, 100, False), ("A", 9, 90, 700, True), ("B", 9, 90, 700, True)]
    comparison = compared(trades, candles_of(trades, blocks=False))
    residuals = list(comparison.residuals(set(), MIDNIGHT_US))
    assert comparison.without_blocks == 2
    assert [each.ticker for each in residuals] == ["A", "B"]
    assert all("block trades do not count" in each.explanation for each in residuals)


def test_minute_without_candlestick_is_explained_by_the_volume() -> None:
    comparison = compared([("A", 5, 20, 100, False)], CANDLES.empty_table())
    assert [each.state for each in comparison.residuals(set(), MIDNIGHT_US)] == [State.MISSING]
    assert [each.state for each in comparison.residuals({"A"}, MIDNIGHT_US)] == [State.EXPLAINED]


def test_trade_at_midnight_is_named_as_the_reason_of_the_last_minute() -> None:
    trades: list[Trade] = [("A", 720 * MINUTE_US, 20, 100, False)]
    (residual,) = compared([], candles_of(trades)).residuals(set(), MIDNIGHT_US)
    assert "midnight" in residual.explanation


def test_many_minutes_of_a_market_are_counted() -> None:
    trades: list[Trade] = [("A", minute * MINUTE_US, 20, 100, False) for minute in range(50)]
    residuals = list(compared([], candles_of(trades)).residuals(set(), MIDNIGHT_US))
    assert len(residuals) == MOST_MINUTES + 1
    assert residuals[-1].found == str(50 - MOST_MINUTES)
    assert residuals[-1].state is State.MISSING


@pytest.mark.parametrize("rows", [1, 3, 100])
@given(tickers=st.lists(st.lists(st.sampled_from("abcdé\U0001f600"), max_size=40), min_size=3, max_size=3))
def test_steps_have_every_row_once_and_whole_tickers(rows: int, tickers: list[list[str]]) -> None:
    schema = pa.schema([("ticker", pa.string())])
    streams = []
    for each in tickers:
        whole = pa.table([pa.array(sorted(each), pa.string())], schema)
        streams.append(whole.to_batches(max_chunksize=rows))
    steps = list(in_step([streams[:2], streams[2:]], [schema, schema]))
    found = [[table["ticker"].to_pylist() for table in step] for step in steps]
    seen: set[str] = set()
    for left, right in found:
        assert not seen & {*left, *right}
        seen |= {*left, *right}
    assert sorted(each for left, _ in found for each in left) == sorted(tickers[0] + tickers[1])
    assert sorted(each for _, right in found for each in right) == sorted(tickers[2])
