"""Readers of a real recorded market return its trades, its books and its quotes as they were at each time."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow.compute as pc
import pytest
import sqlalchemy as sa

from kalshi_pipelines.data import Data, open_data
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.units import MINUTE_US, instant
from kalshi_pipelines_tests.support.history.recorded_frames import FRAMES, MARKET, Frame, frames
from kalshi_pipelines_tests.support.history.recorded_lake import add_recorded_market, books_each_minute

pytestmark = pytest.mark.skipif(not FRAMES.is_file(), reason="the recorded frames are not on this machine")


@pytest.fixture
def data(sqlite_engine: sa.Engine, tmp_path: Path) -> Iterator[Data]:
    """The recorded market as a researcher opens it."""
    add_recorded_market(sqlite_engine, tmp_path / "lake")
    url = sqlite_engine.url.render_as_string()
    with open_data(Settings(warehouse_url=url, lake_dir=tmp_path / "lake")) as data:
        yield data


def test_trades_of_the_lake_are_those_of_the_frames(data: Data) -> None:
    sent = {frame.body["trade_id"]: frame.body for frame in frames() if frame.kind == "trade"}
    rows = data.trades(tickers=[MARKET]).read_all().to_pylist()
    assert {row["trade_id"]: (f"{row['yes_price']:.4f}", f"{row['contracts']:.2f}") for row in rows} == {
        trade_id: (body["yes_price_dollars"], body["count_fp"]) for trade_id, body in sent.items()
    }
    assert len(rows) == len(sent) == 977


def test_book_at_any_time_is_the_replayed_book_of_the_minute_before(data: Data) -> None:
    received: list[Frame] = list(frames())
    minutes = 0
    for at_us, book in books_each_minute(received):
        for time_us in (at_us, at_us + MINUTE_US - 1):
            found = data.book(MARKET, instant(time_us)).to_pylist()
            assert [(row["side"], row["price"], row["contracts"]) for row in found] == book.rows()
            assert {row["observed_time"] for row in found} == {instant(at_us)}
        minutes += 1
    assert minutes == 15
    assert data.book(MARKET, instant(received[0].received_ms * 1_000)).num_rows == 0


def test_quote_before_each_trade_is_older_than_the_trade_and_holds_its_price(data: Data) -> None:
    rows = data.trades_with_quotes().read_all()
    quoted = rows.filter(pc.is_valid(rows["quote_observed_time"]))
    assert quoted.num_rows == 977
    assert pc.all(pc.less(quoted["quote_observed_time"], quoted["created_time"])).as_py()
    # A taker pays at least the best price of the other side. A quote is seen some milliseconds late.
    at_or_beyond = [
        row["yes_price"] >= row["quote_yes_ask"]
        if row["taker_side"] == "yes"
        else row["yes_price"] <= row["quote_yes_bid"]
        for row in quoted.to_pylist()
    ]
    assert sum(at_or_beyond) / len(at_or_beyond) > Decimal("0.8")
