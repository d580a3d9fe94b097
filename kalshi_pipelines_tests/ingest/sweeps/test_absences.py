"""Markets that no list shows: they are read by ticker, read from the archive, or marked as missing."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa

from kalshi_pipelines.ingest.sweeps import ingest_markets, ingest_orderbooks
from kalshi_pipelines.units import microseconds
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import markets, settlements, watermarks
from kalshi_pipelines_tests.support.ingest.swept_exchange import SweptExchange, swept_exchange

DAY_S = 86_400
MISSING = markets.c.missing_since_us.is_not(None)


@pytest.fixture
def exchange(engine: sa.Engine) -> Iterator[SweptExchange]:
    with swept_exchange(engine) as running:
        yield running


def quoted(exchange: SweptExchange) -> set[str]:
    with exchange.engine.connect() as connection:
        return set(connection.exec_driver_sql("SELECT ticker FROM current_quotes").scalars())


def test_vanished_tenth_is_a_finding_in_the_same_run(exchange: SweptExchange) -> None:
    exchange.nightly()
    live = exchange.stored(markets.c.status != "finalized")
    is_open = {ticker for ticker, status in live.items() if status == "active"}
    deleted = exchange.steer("DELETE", "/markets", share=0.1)["tickers"]
    gone = set(deleted) & live.keys()
    result = ingest_markets(exchange.inputs)
    problem = next(each for each in result.problems if each.startswith("GET /markets status=open: "))
    counts = f"{len(is_open)} records at the last complete read, {len(is_open - gone)} now."
    assert f"{counts} {len(is_open & gone)} records vanished" in problem
    assert "risky GET /markets list status=open" in exchange.list_findings()
    assert exchange.stored(MISSING).keys() == gone
    assert not quoted(exchange) & gone
    books = ingest_orderbooks(exchange.inputs)
    assert (books.missing, books.counts.read) == ((), len(is_open - gone))
    assert ingest_markets(exchange.inputs).problems == ()


def test_deleted_provisional_markets_are_an_addition_only(exchange: SweptExchange) -> None:
    tickers = exchange.steer("POST", "/markets", count=30, provisional=True)["tickers"]
    exchange.nightly()
    for ticker in tickers:
        exchange.steer("DELETE", f"/markets/{ticker}")
    assert ingest_markets(exchange.inputs).problems == ()
    assert exchange.list_findings() == ["additive GET /markets list tickers"]
    assert exchange.stored(MISSING).keys() == set(tickers)


def test_missing_market_that_comes_back_is_no_longer_missing(exchange: SweptExchange) -> None:
    exchange.nightly()
    ticker = exchange.ask("/markets", status="open", limit=1)["markets"][0]["ticker"]
    exchange.inject("hidden_rows", field="ticker", value=ticker)
    ingest_markets(exchange.inputs)
    assert exchange.stored(MISSING).keys() == {ticker}
    assert ticker not in quoted(exchange)
    exchange.heal()
    ingest_markets(exchange.inputs, statuses=["open"])
    assert exchange.stored(MISSING) == {}
    assert ticker in quoted(exchange)


def test_market_archived_before_it_was_read_is_read_from_the_archive(exchange: SweptExchange) -> None:
    exchange.nightly()
    live = exchange.stored(markets.c.status == "active")
    exchange.pass_seconds(250 * DAY_S)
    archived = {row["ticker"]: row["status"] for row in exchange.ask("/historical/markets", limit=1000)["markets"]}
    results = exchange.nightly()
    assert results[2].problems == ()
    assert len(archived.keys() & live.keys()) > 10
    stored = exchange.stored()
    assert {ticker: stored[ticker] for ticker in live} == {
        ticker: archived.get(ticker, stored[ticker]) for ticker in live
    }
    assert exchange.stored(MISSING) == {}
    ended = archived.keys() & live.keys()
    assert "active" not in {stored[ticker] for ticker in ended}
    with exchange.engine.connect() as connection:
        settled = dict(connection.execute(sa.select(settlements.c.ticker, settlements.c.result)).all())
    assert ended <= settled.keys()
    assert {"yes", "no"} <= {settled[ticker] for ticker in ended}


def test_markets_settled_and_archived_between_two_runs_are_read(sqlite_engine: sa.Engine) -> None:
    with swept_exchange(sqlite_engine, archived=6_000) as exchange:
        exchange.nightly()
        archived = exchange.ask("/historical/markets", limit=1000)["markets"]
        assert not {row["ticker"] for row in archived} & exchange.stored().keys()
        since = archived[200]["settlement_ts"]
        with writing(exchange.engine) as connection:
            mark = watermarks.c.name == "markets.settlement_time"
            position = microseconds(dt.datetime.fromisoformat(since))
            connection.execute(sa.update(watermarks).where(mark).values(position_us=position))
        exchange.requests()
        ingest_markets(exchange.inputs)
        expected = {row["ticker"] for row in archived if row["settlement_ts"] >= since}
        assert expected <= exchange.stored().keys()
        # The archive is read down to the watermark, and no further.
        assert exchange.requests()["GET /historical/markets"] <= 3


def test_combos_of_an_earlier_setting_end_and_their_books_are_not_read(sqlite_engine: sa.Engine) -> None:
    with swept_exchange(sqlite_engine, combos=100) as exchange:
        exchange.nightly(include_combos=True)
        is_combo = markets.c.mve_collection_ticker.is_not(None)
        assert set(exchange.stored(is_combo).values()) == {"active"}
        books = ingest_orderbooks(exchange.inputs)
        assert books.counts.read == len(exchange.stored(~is_combo, markets.c.status == "active"))
        exchange.pass_seconds(10 * DAY_S)
        exchange.nightly()
        for ticker, status in exchange.stored(is_combo).items():
            assert status == exchange.ask(f"/markets/{ticker}")["market"]["status"]
        assert set(exchange.stored(is_combo).values()) == {"finalized"}


def test_snapshot_asks_only_for_markets_that_left_the_open_list(exchange: SweptExchange) -> None:
    exchange.nightly()
    ticker = exchange.ask("/markets", status="open", limit=1)["markets"][0]["ticker"]
    exchange.steer("POST", f"/markets/{ticker}/status", status="closed")
    exchange.requests()
    ingest_markets(replace(exchange.inputs), statuses=["open"])
    assert exchange.stored()[ticker] == "closed"
    asked = exchange.requests()
    assert asked == {"GET /historical/cutoff": 1, "GET /markets": 2}
