"""Trades, candles, quotes and books of the past, settlements, events and news, exact, in SQLite, Postgres and S3."""

import datetime as dt
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from kalshi_pipelines.data import Data, frame, open_data
from kalshi_pipelines.data.trades import TRADES
from kalshi_pipelines.lake.buffers import ORDERBOOKS, PRICES
from kalshi_pipelines.lake.datasets import (
    CANDLESTICKS_1D,
    CANDLESTICKS_1H,
    CANDLESTICKS_1M,
    PAST_EVENTS,
    PUBLIC_TRADES,
    SETTLED_MARKETS,
)
from kalshi_pipelines.lake.history import publish_history
from kalshi_pipelines.lake.lake import open_lake
from kalshi_pipelines.lake.removal import remove_published
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.units import DAY_US, HOUR_US, MINUTE_US, instant
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import fee_changes, news_article_events, news_article_markets
from kalshi_pipelines_tests.support.data.candles import candles_batch
from kalshi_pipelines_tests.support.lake.lakes import (
    DAY,
    MIDNIGHT_US,
    TICKER,
    add_book,
    add_markets,
    add_quotes,
    local_lake,
)
from kalshi_pipelines_tests.support.lake.object_server import running_object_server
from kalshi_pipelines_tests.support.lake.public_trades import TRADES_DAY, TRADES_DAY_US, trade_id, trades_batch

Trade = tuple[str, int, int]


def add_trades(engine: sa.Engine, folder: Path, *trades: Trade, day: int = 0) -> None:
    """Publish trades of one UTC day. Their times are microseconds after the beginning of ``TRADES_DAY``."""
    date = TRADES_DAY + dt.timedelta(days=day)
    local_lake(folder / "lake").replace_day(engine, PUBLIC_TRADES, date, [[trades_batch(trades)]], "test")


def publish(engine: sa.Engine, folder: Path) -> None:
    for buffer in (PRICES, ORDERBOOKS):
        publish_history(local_lake(folder / "lake"), engine, buffer, now=True)


def ids(reader: pa.RecordBatchReader) -> list[str]:
    return list(reader.read_all()["trade_id"].to_pylist())


def text(number: int) -> str:
    return str(uuid.UUID(bytes=trade_id(number)))


def test_trades_have_ids_as_text_exact_amounts_and_aware_times(
    warehouse: sa.Engine, data: Data, tmp_path: Path
) -> None:
    add_trades(warehouse, tmp_path, ("B", 1, 3), ("A", 5, 2), ("A", 5, 1))
    rows = data.trades().read_all().to_pylist()
    first, second = sorted([text(1), text(2)])
    assert [(row["ticker"], row["trade_id"]) for row in rows] == [("A", first), ("A", second), ("B", text(3))]
    assert rows[2] == {
        "ticker": "B",
        "created_time": instant(TRADES_DAY_US + 1),
        "trade_id": text(3),
        "yes_price": Decimal("0.57"),
        "contracts": Decimal("0.03"),
        "taker_side": "yes",
        "taker_book_side": "bid",
        "is_block": False,
        "is_combo": True,
    }
    assert data.trades().schema == TRADES


def test_trades_of_a_span_and_of_tickers_are_exactly_those(warehouse: sa.Engine, data: Data, tmp_path: Path) -> None:
    add_trades(warehouse, tmp_path, ("A", 0, 1), ("A", 9, 2), ("B", 9, 3))
    add_trades(warehouse, tmp_path, ("A", DAY_US, 4), ("A", DAY_US + 9, 5), day=1)
    assert set(ids(data.trades(tickers=["A"]))) == {text(number) for number in (1, 2, 4, 5)}
    start, end = instant(TRADES_DAY_US + 9), instant(TRADES_DAY_US + DAY_US + 9)
    assert set(ids(data.trades(start, end))) == {text(number) for number in (2, 3, 4)}
    assert ids(data.trades(tickers=["X"])) == []
    # A date is the beginning of the New York day, five hours after the beginning of the UTC day.
    assert set(ids(data.trades(TRADES_DAY))) == {text(4), text(5)}


def test_text_ids_of_sliced_batches_are_those_of_their_rows(warehouse: sa.Engine, data: Data, tmp_path: Path) -> None:
    add_trades(warehouse, tmp_path, *[("A", number, number) for number in range(100)])
    start, end = instant(TRADES_DAY_US + 37), instant(TRADES_DAY_US + 41)
    assert ids(data.trades(start, end)) == [text(number) for number in range(37, 41)]


def test_trades_are_priced_with_the_fees_of_their_own_moment(warehouse: sa.Engine, data: Data, tmp_path: Path) -> None:
    common = {"scope": "series", "ticker": "KXMLBGAME", "recorded_us": 1, "source": "scheduled"}
    with writing(warehouse) as connection:
        connection.execute(sa.delete(fee_changes))
        for at, multiplier in ((0, "1"), (TRADES_DAY_US + 10, "0.5")):
            row = {"change_id": str(at), "effective_us": at, "fee_type": "quadratic", "fee_multiplier": multiplier}
            connection.execute(sa.insert(fee_changes).values(common | row))
    add_trades(warehouse, tmp_path, (TICKER, 9, 1_000), (TICKER, 10, 2_000), ("KXUNKNOWN", 1, 3))
    rows = {row["trade_id"]: row for row in data.trades(with_fees=True).read_all().to_pylist()}
    names = ("fee_type", "fee_multiplier", "taker_fee", "maker_fee")
    assert [rows[text(1_000)][name] for name in names] == ["quadratic", Decimal(1), Decimal("0.17157"), Decimal(0)]
    assert [rows[text(2_000)][name] for name in names[1:]] == [Decimal("0.5"), Decimal("0.17157"), Decimal(0)]
    assert [rows[text(3)][name] for name in names] == [None] * 4
    assert data.fee_changes()["fee_multiplier"].to_pylist() == ["1", "0.5"]


def test_trades_without_rows_have_the_columns_of_fees_and_quotes(data: Data) -> None:
    assert data.trades(with_fees=True).read_all().num_rows == 0
    assert "taker_fee" in data.trades(with_fees=True).schema.names
    assert {"quote_yes_bid", "quote_observed_time"} <= set(data.trades_with_quotes().schema.names)


def quoted(data: Data, **options: Any) -> dict[str, Decimal | None]:
    rows = data.trades_with_quotes(**options).read_all().to_pylist()
    assert all(row["quote_observed_time"] is None or row["quote_observed_time"] < row["created_time"] for row in rows)
    return {row["trade_id"]: row["quote_yes_bid"] for row in rows}


def test_trades_have_the_quote_seen_before_them_across_days_and_places(
    warehouse: sa.Engine, data: Data, tmp_path: Path
) -> None:
    add_markets(warehouse, ["A", "B"])
    add_quotes(warehouse, [TRADES_DAY_US - DAY_US], "A", yes_bid_microdollars=100_000)
    add_quotes(warehouse, [TRADES_DAY_US - 8 * DAY_US], "B", yes_bid_microdollars=100_000)
    add_quotes(warehouse, [TRADES_DAY_US + 50], "A", yes_bid_microdollars=200_000)
    publish(warehouse, tmp_path)
    add_quotes(warehouse, [TRADES_DAY_US + 60], "A", yes_bid_microdollars=300_000)
    trades = [("A", 0, 1), ("A", 50, 2), ("A", 51, 3), ("A", 60, 4), ("A", 61, 5), ("B", 70, 6), ("C", 70, 7)]
    add_trades(warehouse, tmp_path, *trades)
    add_trades(warehouse, tmp_path, ("A", DAY_US, 8), ("B", DAY_US, 9), day=1)
    expected = {1: "0.1", 2: "0.1", 3: "0.2", 4: "0.2", 5: "0.3", 6: None, 7: None, 8: "0.3", 9: None}
    prices = {text(number): None if price is None else Decimal(price) for number, price in expected.items()}
    assert quoted(data) == prices
    assert quoted(data, tickers=["A"]) == {text(number): prices[text(number)] for number in (1, 2, 3, 4, 5, 8)}
    later = instant(TRADES_DAY_US + DAY_US)
    assert quoted(data, start=later) == {text(number): prices[text(number)] for number in (8, 9)}
    assert quoted(data, start=later, max_age=dt.timedelta(days=30))[text(9)] == Decimal("0.1")


def test_candles_have_their_length_and_keep_missing_prices(warehouse: sa.Engine, data: Data, tmp_path: Path) -> None:
    lake = local_lake(tmp_path / "lake")
    ends = {CANDLESTICKS_1M: MINUTE_US, CANDLESTICKS_1H: HOUR_US, CANDLESTICKS_1D: DAY_US}
    for dataset, length in ends.items():
        batch = candles_batch(dataset, [("A", MIDNIGHT_US + length, "0.571"), ("B", MIDNIGHT_US + length, None)])
        lake.replace_day(warehouse, dataset, DAY, [[batch]], "test")
    for period, length in (("1m", MINUTE_US), ("1h", HOUR_US), ("1d", DAY_US)):
        rows = data.candles(period).read_all().to_pylist()  # type: ignore[arg-type]
        assert [row["end_time"] for row in rows] == [instant(MIDNIGHT_US + length)] * 2
        assert [(row["close_price"], row["volume"]) for row in rows] == [
            (Decimal("0.571"), Decimal("12.34")),
            (None, Decimal(0)),
        ]
    assert data.candles("1m", tickers=["B"]).read_all()["ticker"].to_pylist() == ["B"]
    end = instant(MIDNIGHT_US + MINUTE_US)
    assert data.candles("1m", end=end).read_all().num_rows == 0
    assert data.candles("1m", start=end).read_all().num_rows == 2
    with pytest.raises(ValueError, match="no length of candlesticks"):
        data.candles("5m")  # type: ignore[arg-type]


def test_quotes_as_of_a_time_are_the_newest_known_then(warehouse: sa.Engine, data: Data, tmp_path: Path) -> None:
    add_markets(warehouse, ["A", "B"])
    for days, bid in ((0, 100_000), (2, 200_000)):
        add_quotes(warehouse, [MIDNIGHT_US + days * DAY_US], "A", yes_bid_microdollars=bid)
    add_quotes(warehouse, [MIDNIGHT_US + DAY_US], "B", yes_bid_microdollars=300_000)
    publish(warehouse, tmp_path)
    remove_published(local_lake(tmp_path / "lake"), warehouse, PRICES, MIDNIGHT_US + DAY_US)
    add_quotes(warehouse, [MIDNIGHT_US + 3 * DAY_US], "A", yes_bid_microdollars=400_000)

    def found(at: int, tickers: list[str] | None = None) -> dict[str, str]:
        rows = data.quotes(tickers, as_of=instant(MIDNIGHT_US + at)).to_pylist()
        return {row["ticker"]: f"{row['yes_bid']:.1f}" for row in rows}

    assert found(-1) == {}
    assert found(0) == {"A": "0.1"}
    assert found(DAY_US - 1) == {"A": "0.1"}
    assert found(2 * DAY_US - 1) == {"A": "0.1", "B": "0.3"}
    assert found(2 * DAY_US) == {"A": "0.2", "B": "0.3"}
    assert found(9 * DAY_US) == {"A": "0.4", "B": "0.3"}
    assert found(9 * DAY_US, ["B", "X"]) == {"B": "0.3"}
    assert [row["ticker"] for row in data.quotes(as_of=DAY).to_pylist()] == ["A"]


def test_book_at_a_time_is_the_newest_known_then_and_may_be_empty(
    warehouse: sa.Engine, data: Data, tmp_path: Path
) -> None:
    add_book(warehouse, MIDNIGHT_US, "[[570000,100],[560000,200]]", "[[420000,300]]")
    publish(warehouse, tmp_path)
    add_book(warehouse, MIDNIGHT_US + DAY_US, "[]", "[]")

    def levels(at: dt.datetime | None) -> list[tuple[str, str, str]]:
        rows = data.book(TICKER, at).to_pylist()
        return [(row["side"], f"{row['price']:.2f}", f"{row['contracts']:.0f}") for row in rows]

    assert levels(instant(MIDNIGHT_US - 1)) == []
    full = [("no", "0.42", "3"), ("yes", "0.56", "2"), ("yes", "0.57", "1")]
    assert levels(instant(MIDNIGHT_US)) == levels(instant(MIDNIGHT_US + DAY_US - 1)) == full
    assert levels(instant(MIDNIGHT_US + DAY_US)) == [("no", "0.00", "0"), ("yes", "0.00", "0")]
    assert data.book("KXOTHER", instant(MIDNIGHT_US)).num_rows == 0


def test_settlements_are_those_of_both_places(warehouse: sa.Engine, data: Data) -> None:
    del warehouse
    rows = data.settlements().read_all().to_pylist()
    assert [(row["ticker"], row["settlement_result"]) for row in rows] == [(TICKER, "yes")]
    assert {"yes_payout", "no_payout", "settled_time", "series_ticker"} <= rows[0].keys()


def test_events_have_their_series_and_come_from_both_places_once(
    warehouse: sa.Engine, data: Data, tmp_path: Path
) -> None:
    row = dict.fromkeys(PAST_EVENTS.schema.names) | {"ended_time": instant(MIDNIGHT_US), "title": "Old"}
    rows = [
        row | {"event_ticker": ticker, "recorded_time": instant(MIDNIGHT_US)}
        for ticker in ("KXGONE-1", "KXMLBGAME-26NOV22")
    ]
    batch = pa.RecordBatch.from_pylist(rows, PAST_EVENTS.schema)
    local_lake(tmp_path / "lake").publish(warehouse, PAST_EVENTS, {DAY: [batch]}, "test")
    found = {row["event_ticker"]: row for row in data.events().to_pylist()}
    assert {name: row["title"] for name, row in found.items()} == {
        "KXGONE-1": "Old",
        "KXMLBGAME-26NOV22": "Toronto at Philadelphia",
    }
    event = found["KXMLBGAME-26NOV22"]
    assert (event["series_title"], event["mutually_exclusive"]) == ("Baseball games", True)
    assert event["first_seen_time"] == instant(1)
    assert data.events(tickers=["KXGONE-1"])["event_ticker"].to_pylist() == ["KXGONE-1"]


def test_news_have_a_row_for_each_market_and_the_newest_sentiment(warehouse: sa.Engine, data: Data) -> None:
    rows = data.news().to_pylist()
    assert {(row["item_type"], row["ticker"]) for row in rows} == {("market", TICKER), ("event", "KXMLBGAME-26NOV22")}
    assert data.news(tickers=[TICKER]).num_rows == 1
    collected = rows[0]["collected_time"]
    assert data.news(end=collected).num_rows == 0
    assert data.news(start=collected).num_rows == 2
    with writing(warehouse) as connection:
        for table in (news_article_markets, news_article_events):
            connection.execute(sa.delete(table))
    (row,) = data.news().to_pylist()
    assert (row["ticker"], row["item_type"]) == (None, None)
    assert row["sentiment_label"] is not None


def test_frames_keep_exact_decimals_and_aware_times(warehouse: sa.Engine, data: Data, tmp_path: Path) -> None:
    add_trades(warehouse, tmp_path, *[("A", number, number) for number in range(1, 11)])
    found = frame(data.trades())
    assert found["contracts"].sum() == Decimal("0.55")
    assert (found["yes_price"] * found["contracts"]).sum() == Decimal("0.3135")
    assert found["created_time"].iloc[0] == pd.Timestamp(TRADES_DAY_US + 1, unit="us", tz="UTC")
    assert frame(data.markets())["ticker"].tolist() == [TICKER]


def test_duckdb_has_views_of_all_history(warehouse: sa.Engine, data: Data, tmp_path: Path) -> None:
    empty = data.duckdb()
    views = ("public_trades", "candlesticks_1m", "candlesticks_1h", "candlesticks_1d", "fee_changes", "events")
    assert [empty.sql(f"SELECT count(*) FROM {view}").fetchall()[0][0] for view in views[:4]] == [0] * 4
    add_trades(warehouse, tmp_path, ("A", 1, 1), ("A", 2, 2))
    found = data.duckdb().sql("SELECT trade_id, yes_price FROM public_trades ORDER BY created_time").fetchall()
    assert found == [(uuid.UUID(text(number)), Decimal("0.57")) for number in (1, 2)]
    assert data.duckdb().sql("SELECT count(*) FROM events").fetchall() == [(1,)]


def test_history_of_a_lake_in_an_object_store_is_read(
    sqlite_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-of-the-test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-test")
    with running_object_server() as server:
        httpx.put(f"{server}/history", trust_env=False).raise_for_status()
        address = SecretStr(f"s3://history/lake?endpoint_override={server}&region=us-east-1")
        url = sqlite_engine.url.render_as_string()
        settings = Settings(warehouse_url=url, lake_url=address)
        batch = trades_batch([("A", 1, 1), ("B", 2, 2)])
        open_lake(settings).replace_day(sqlite_engine, PUBLIC_TRADES, TRADES_DAY, [[batch]], "test")
        with open_data(settings) as data:
            assert ids(data.trades(tickers=["B"])) == [text(2)]
            assert data.trades_with_quotes().read_all()["quote_yes_bid"].to_pylist() == [None, None]
            found = data.duckdb().sql("SELECT count(*), sum(contracts) FROM public_trades").fetchall()
            assert found == [(2, Decimal("0.03"))]


def test_settlements_have_columns_of_settled_markets(data: Data) -> None:
    schema = data.settlements().schema
    assert all(SETTLED_MARKETS.schema.field(name) == schema.field(name) for name in schema.names)
