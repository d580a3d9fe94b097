"""A list that omits records is noticed in the same run, names both counts, and loses nothing."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.list_reads import stored_read, stored_reads
from kalshi_pipelines.ingest.sweeps import ingest_events, ingest_markets, ingest_orderbooks, ingest_series
from kalshi_pipelines.warehouse.tables import events, series, watermarks
from kalshi_pipelines_tests.support.ingest.swept_exchange import SweptExchange, swept_exchange

OPEN = "GET /markets status=open"


@pytest.fixture
def exchange(sqlite_engine: sa.Engine) -> Iterator[SweptExchange]:
    with swept_exchange(sqlite_engine) as running:
        yield running


def problem_of(exchange: SweptExchange, name: str) -> str:
    read = stored_read(exchange.engine, name)
    assert read is not None
    return read.problem or ""


def count_of(exchange: SweptExchange, status: str) -> int:
    return len(exchange.ask("/markets", status=status, limit=1000, mve_filter="exclude")["markets"])


def test_complete_lists_are_stored_without_a_problem(exchange: SweptExchange) -> None:
    results = exchange.nightly()
    assert [result.problems for result in results] == [()] * 4
    for subject in ("series", "events", "markets", "orderbooks"):
        assert {read.problem for read in stored_reads(exchange.engine, subject)} == {None}
    read = stored_read(exchange.engine, OPEN)
    assert read is not None
    assert read.records == read.complete_records == count_of(exchange, "open")
    assert exchange.list_findings() == []


def test_truncated_pagination_is_a_finding_in_the_same_run(exchange: SweptExchange) -> None:
    exchange.nightly()
    before = count_of(exchange, "open")
    exchange.inject("last_page", rows=106, where={"status": "open"})
    result = ingest_markets(exchange.inputs)
    (problem,) = result.problems
    assert f"{before} records at the last complete read, 106 now." in problem
    assert f"{before - 106} missing records exist" in problem
    assert exchange.list_findings() == ["breaking GET /markets list status=open"]
    assert problem == f"{OPEN}: {problem_of(exchange, OPEN)}"
    # The markets that the list omitted were read by ticker.
    assert exchange.stored() == {
        market["ticker"]: market["status"] for market in exchange.ask("/markets", limit=1000)["markets"]
    }


def test_truncated_pagination_of_a_first_run_is_a_finding(exchange: SweptExchange) -> None:
    exchange.inject("last_page", rows=40, where={"status": "open"})
    results = exchange.nightly()
    assert re.search(r"40 records read; there is no complete read .* missing records exist", results[2].problems[0])
    assert exchange.list_findings() == ["breaking GET /markets list status=open"]


def test_tenth_hidden_from_the_lists_of_a_first_run_is_a_finding(exchange: SweptExchange) -> None:
    for status in ("unopened", "open", "paused", "closed"):
        exchange.inject("hidden_rows", share=0.1, where={"status": status})
    results = exchange.nightly()
    assert "missing records exist" in results[2].problems[0]
    assert "breaking GET /markets list status=open" in exchange.list_findings()


def test_list_that_shrinks_by_a_filter_is_a_finding(exchange: SweptExchange) -> None:
    exchange.nightly()
    stored = exchange.stored()
    exchange.inject("hidden_rows", field="price_level_structure", value="linear_cent", where={"status": "open"})
    result = ingest_markets(exchange.inputs)
    assert len(result.problems) == 1
    assert exchange.list_findings() == ["breaking GET /markets list status=open"]
    assert exchange.stored() == stored


def test_market_that_vanishes_from_one_list_only_is_a_finding(exchange: SweptExchange) -> None:
    exchange.nightly()
    ticker = exchange.ask("/markets", status="open", limit=1)["markets"][0]["ticker"]
    exchange.inject("hidden_rows", field="ticker", value=ticker, where={"status": "open"})
    (problem,) = ingest_markets(exchange.inputs).problems
    assert f"1 missing records exist, such as {ticker}." in problem


def test_empty_page_in_the_middle_is_a_finding(sqlite_engine: sa.Engine) -> None:
    with swept_exchange(sqlite_engine, markets=2_700) as exchange:
        exchange.inject("empty_page", at=2, times=1, where={"status": "open"})
        first = ingest_markets(exchange.inputs)
        (problem,) = first.problems
        assert "1 pages had no records, though the list went on." in problem
        assert exchange.list_findings() == ["breaking GET /markets list status=open"]
        exchange.heal()
        assert ingest_markets(exchange.inputs).problems == ()
        complete = stored_read(exchange.engine, OPEN)
        assert complete is not None
        exchange.inject("empty_page", at=2, times=1, where={"status": "open"})
        (problem,) = ingest_markets(exchange.inputs).problems
        counts = f"{complete.records:,} records at the last complete read, {complete.records - 1_000:,} now."
        assert counts in problem
        assert "1,000 missing records exist" in problem
        assert exchange.list_findings() == ["breaking GET /markets list status=open"]


def test_truncated_list_of_settled_markets_moves_no_watermark(exchange: SweptExchange) -> None:
    exchange.nightly()
    mark = sa.select(watermarks.c.position_us).where(watermarks.c.name == "markets.settlement_time")
    with exchange.engine.connect() as connection:
        before = connection.scalar(mark)
    ticker = exchange.ask("/markets", status="open", limit=1)["markets"][0]["ticker"]
    for status in ("closed", "determined", "finalized"):
        exchange.steer("POST", f"/markets/{ticker}/status", status=status, result="yes")
    exchange.pass_seconds(600)
    exchange.inject("last_page", rows=0, where={"status": "settled"})
    (problem,) = ingest_markets(exchange.inputs).problems
    assert problem.startswith("GET /markets status=settled: ")
    assert exchange.stored()[ticker] == "finalized"
    with exchange.engine.connect() as connection:
        assert connection.scalar(mark) == before


def test_finding_of_a_list_closes_after_two_complete_reads_of_it(exchange: SweptExchange) -> None:
    exchange.nightly()
    exchange.inject("hidden_rows", share=0.5, where={"status": "unopened"})
    ingest_markets(exchange.inputs)
    assert exchange.list_findings() == ["breaking GET /markets list status=unopened"]
    for _ in range(3):
        ingest_markets(exchange.inputs, statuses=["open"])
    assert exchange.list_findings() == ["breaking GET /markets list status=unopened"]
    exchange.heal()
    for _ in range(2):
        ingest_markets(exchange.inputs)
    assert exchange.list_findings() == []


@pytest.mark.parametrize("rows", [0, 20])
def test_truncated_list_of_events_is_a_finding(exchange: SweptExchange, rows: int) -> None:
    exchange.nightly()
    exchange.inject("last_page", "GET /events", rows=rows, where={"status": "open"})
    (problem,) = ingest_events(exchange.inputs).problems
    assert re.search(rf"records at the last complete read, {rows} now\. .* missing records exist", problem)
    assert exchange.list_findings() == ["breaking GET /events list status=open"]


def test_truncated_list_of_events_of_a_first_run_is_a_finding(exchange: SweptExchange) -> None:
    exchange.inject("last_page", "GET /events", rows=20, where={"status": "open"})
    exchange.nightly()
    assert "missing records exist" in problem_of(exchange, "GET /events status=open")
    assert exchange.list_findings() == ["breaking GET /events list status=open"]
    with exchange.engine.connect() as connection:
        assert connection.scalars(sa.select(events.c.event_ticker).where(events.c.is_placeholder)).all() == []


def weeks_later(exchange: SweptExchange) -> None:
    with exchange.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE list_reads SET complete_us = complete_us - 8 * 86400000000")


def test_truncated_list_of_series_is_a_finding(exchange: SweptExchange) -> None:
    exchange.nightly()
    weeks_later(exchange)
    exchange.inject("last_page", "GET /series", rows=5)
    (problem,) = ingest_series(exchange.inputs).problems
    assert re.search(r"GET /series: \d+ records at the last complete read, 5 now\. \d+ missing records exist", problem)
    assert exchange.list_findings() == ["breaking GET /series list"]


def test_truncated_list_of_series_of_a_first_run_is_a_finding(exchange: SweptExchange) -> None:
    exchange.inject("last_page", "GET /series", rows=5)
    exchange.nightly()
    assert "missing records exist" in problem_of(exchange, "GET /series")
    assert exchange.list_findings() == ["breaking GET /series list"]
    with exchange.engine.connect() as connection:
        assert connection.scalars(sa.select(series.c.ticker).where(series.c.is_placeholder)).all() == []


def test_orderbooks_that_active_markets_lack_are_a_finding(exchange: SweptExchange) -> None:
    exchange.nightly()
    exchange.inject("hidden_rows", "GET /markets/orderbooks", share=0.2)
    done = ingest_orderbooks(exchange.inputs)
    (problem,) = done.problems
    assert f"{len(done.missing):,} missing records exist" in problem
    assert exchange.list_findings() == ["breaking GET /markets/orderbooks list"]


def test_combos_left_out_by_choice_are_no_finding(sqlite_engine: sa.Engine) -> None:
    with swept_exchange(sqlite_engine, combos=120) as exchange:
        exchange.nightly(include_combos=True)
        assert ingest_markets(replace(exchange.inputs, include_combos=False)).problems == ()
        assert exchange.list_findings() == []


def test_market_that_closed_while_lists_were_read_is_no_finding(exchange: SweptExchange) -> None:
    exchange.nightly()
    ticker = exchange.ask("/markets", status="open", limit=1)["markets"][0]["ticker"]
    exchange.steer("POST", f"/markets/{ticker}/status", status="inactive")
    ingest_markets(exchange.inputs)
    pages: list[Any] = []

    def reopen(progress: Any) -> None:
        pages.append(progress)
        # After the page of open markets, and before the page of paused markets.
        if len(pages) == 2:
            exchange.steer("POST", f"/markets/{ticker}/status", status="active")

    exchange.inject("hidden_rows", field="ticker", value=ticker, where={"min_updated_ts": None})
    assert ingest_markets(replace(exchange.inputs, report=reopen)).problems == ()
    assert exchange.stored()[ticker] == "active"
