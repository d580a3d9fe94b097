"""The trades, the candlesticks and the orderbook of one real market agree with what the exchange said of it.

The recorder of the frames joined 38 seconds after the market opened. The trades before that are in the market's volume
and not in the frames.
"""

import datetime as dt
import gzip
import json
from collections import Counter
from decimal import Decimal
from functools import cache
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from kalshi_pipelines.history.proof.recompute import recompute_candles
from kalshi_pipelines.history.trade_columns import trade_rows
from kalshi_pipelines.lake.datasets import CANDLESTICKS_1D, CANDLESTICKS_1H, CANDLESTICKS_1M
from kalshi_pipelines.units import MINUTE_US, instant
from kalshi_pipelines_tests.support.history.recorded_frames import (
    FRAMES,
    INDEX,
    MARKET,
    Change,
    Frame,
    ReplayedBook,
    frames,
    manifest_row,
    market_record,
    raw_trades_of,
)

pytestmark = pytest.mark.skipif(not FRAMES.is_file(), reason="the recorded frames are not on this machine")

#: Contracts traded between 22:45:00, when the market opened, and 22:45:38.338, when the recorder got its snapshot.
BEFORE_THE_RECORDING: Final = Decimal("1722.62")
ONE: Final = Decimal(1)


@cache
def all_frames() -> list[Frame]:
    return list(frames())


@cache
def trades() -> pa.Table:
    """Return the recorded trades as the product stores them."""
    rows = trade_rows(raw_trades_of(frame for frame in all_frames() if frame.kind == "trade"))
    assert rows.refused == []
    return pa.Table.from_batches([rows.batch])


def test_number_of_frames_and_bytes_are_those_of_the_manifest() -> None:
    row = manifest_row()
    assert (str(len(all_frames())), str(FRAMES.stat().st_size)) == (row["events"], row["bytes_gz"])
    assert {frame.body["market_ticker"] for frame in all_frames()} == {MARKET}


def test_frames_that_the_index_quotes_are_in_the_recording() -> None:
    with gzip.open(FRAMES, "rt") as lines:
        recorded = [json.loads(line)["event"] for line in lines]
    quoted = [
        each["file"]
        for each in json.loads(INDEX.read_text())["frames"]
        if each["path"] == manifest_row()["file"] and each["verbatim"] and each["type"] != "stream"
    ]
    assert len(quoted) > 3
    for name in quoted:
        assert json.loads((INDEX.parent / name).read_text()) in recorded


def test_every_trade_is_stored_as_it_was_sent() -> None:
    sent = Counter(
        (frame.body["trade_id"].replace("-", ""), frame.body["yes_price_dollars"], frame.body["count_fp"])
        for frame in all_frames()
        if frame.kind == "trade"
    )
    stored = Counter(
        (row["trade_id"].hex(), f"{row['yes_price']:.4f}", f"{row['contracts']:.2f}") for row in trades().to_pylist()
    )
    assert stored == sent
    assert len(stored) == trades().num_rows == 977


def test_volume_and_last_price_are_those_of_the_settled_market() -> None:
    record, found = market_record(), trades()
    assert pc.sum(found["contracts"]).as_py() + BEFORE_THE_RECORDING == Decimal(record["volume_fp"])
    last = recompute_candles(found, CANDLESTICKS_1H)["last_prices"][-1].as_py()
    assert last == [Decimal(record["last_price_dollars"])]
    opened, closed = (dt.datetime.fromisoformat(record[name]) for name in ("open_time", "close_time"))
    assert opened < pc.min(found["created_time"]).as_py() <= pc.max(found["created_time"]).as_py() <= closed
    assert instant(all_frames()[0].received_ms * 1_000) - opened == dt.timedelta(seconds=38, milliseconds=338)


def test_candles_of_all_lengths_have_the_sums_and_extremes_of_the_trades() -> None:
    found = trades()
    minutes, hours, days = (
        recompute_candles(found, length) for length in (CANDLESTICKS_1M, CANDLESTICKS_1H, CANDLESTICKS_1D)
    )
    assert hours["end_time"].to_pylist() == [dt.datetime(2026, 8, 10, 23, tzinfo=dt.UTC)]
    assert days["end_time"].to_pylist() == [dt.datetime(2026, 8, 11, 4, tzinfo=dt.UTC)]
    for longer in (hours, days):
        (row,) = longer.to_pylist()
        assert row["volume"] == pc.sum(minutes["volume"]).as_py() == Decimal("31158.29")
        assert row["trades"] == pc.sum(minutes["trades"]).as_py() == 977
        assert (row["high_price"], row["low_price"]) == (
            pc.max(minutes["high_price"]).as_py(),
            pc.min(minutes["low_price"]).as_py(),
        )
        assert (row["open_price"], row["close_price"]) == (
            minutes["open_price"][0].as_py(),
            minutes["close_price"][-1].as_py(),
        )


def test_candles_of_minutes_equal_those_of_plain_arithmetic_on_the_frames() -> None:
    by_minute: dict[int, list[dict[str, str]]] = {}
    for frame in all_frames():
        if frame.kind == "trade":
            minute = -(-int(frame.body["ts_ms"]) * 1_000 // MINUTE_US)
            by_minute.setdefault(minute, []).append(frame.body)
    found = recompute_candles(trades(), CANDLESTICKS_1M).to_pylist()
    assert [row["end_time"] for row in found] == [instant(minute * MINUTE_US) for minute in sorted(by_minute)]
    for row, (_, sent) in zip(found, sorted(by_minute.items()), strict=True):
        prices = [Decimal(trade["yes_price_dollars"]) for trade in sent]
        counts = [Decimal(trade["count_fp"]) for trade in sent]
        value = sum((price * count for price, count in zip(prices, counts, strict=True)), Decimal())
        assert (row["volume"], row["high_price"], row["low_price"]) == (sum(counts), max(prices), min(prices))
        assert row["mean_price"] == round(value / sum(counts), 6)
        # Frames arrive in the order of the feed. The order of trades of one millisecond is not published.
        assert prices[0] in row["first_prices"]
        assert prices[-1] in row["last_prices"]


def test_replayed_orderbook_is_never_negative_or_crossed_and_ends_empty() -> None:
    book = ReplayedBook()
    for place, frame in enumerate(all_frames()):
        book.apply(frame)
        is_last_of_its_time = place + 1 == len(all_frames()) or all_frames()[place + 1].body.get(
            "ts_ms"
        ) != frame.body.get("ts_ms")
        if is_last_of_its_time:
            assert book.best("yes") + book.best("no") < ONE
    record = market_record()
    assert (book.best("yes"), ONE - book.best("no")) == (
        Decimal(record["yes_bid_dollars"]),
        Decimal(record["yes_ask_dollars"]),
    )
    assert book.rows() == []
    assert (record["yes_bid_size_fp"], record["yes_ask_size_fp"]) == ("0.00", "0.00")


def test_every_trade_took_its_contracts_from_the_level_of_the_maker() -> None:
    book, taken = ReplayedBook(), Counter[Change]()
    for frame in all_frames():
        book.apply(frame)
        if frame.kind == "trade":
            side = "no" if frame.body["taker_outcome_side"] == "yes" else "yes"
            price = frame.body[f"{side}_price_dollars"]
            taken[Change(frame.body["ts_ms"], side, price, -Decimal(frame.body["count_fp"]))] += 1
    assert taken <= book.changes
    assert taken.total() == 977
