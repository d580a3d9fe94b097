"""A night takes no longer because the exchange is older: requests are counted beside a short and a long past."""

import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.list_reads import stored_read
from kalshi_pipelines.ingest.sweeps import ingest_events, ingest_series
from kalshi_pipelines.ingest.sweeps.events_by_series import SAVED_EVERY
from kalshi_pipelines.ingest.sweeps.met_keys import MetKeys
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.tables import events, series
from kalshi_pipelines_tests.support.ingest.swept_exchange import SweptExchange, swept_exchange

HOUR_S = 3_600
DAY_S = 24 * HOUR_S
BY_SERIES = "GET /events by series"


@pytest.fixture
def exchange(sqlite_engine: sa.Engine) -> Iterator[SweptExchange]:
    with swept_exchange(sqlite_engine) as running:
        yield running


@pytest.fixture
def empty_copy(migrated_file: Path, tmp_path: Path) -> Iterator[sa.Engine]:
    """A second empty warehouse."""
    path = tmp_path / "second.db"
    shutil.copy(migrated_file, path)
    engine = open_engine(f"sqlite:///{path}")
    yield engine
    engine.dispose()


def requests_of_two_nights(engine: sa.Engine, archived: int) -> list[dict[str, int]]:
    with swept_exchange(engine, archived=archived) as exchange:
        counted = []
        for _ in range(2):
            exchange.nightly(settled_lookback_hours=48)
            counted.append(exchange.requests())
            exchange.pass_seconds(DAY_S)
    return counted


def test_night_beside_a_long_past_needs_as_many_requests_as_beside_a_short_one(
    sqlite_engine: sa.Engine, empty_copy: sa.Engine
) -> None:
    short = requests_of_two_nights(sqlite_engine, 24)
    long = requests_of_two_nights(empty_copy, 12_000)
    assert long == short


def test_series_are_read_whole_once_a_week_and_else_only_if_changed(exchange: SweptExchange) -> None:
    first = ingest_series(exchange.inputs)
    assert first.counts.read == len(exchange.ask("/series")["series"])
    exchange.pass_seconds(DAY_S)
    assert ingest_series(exchange.inputs).counts.read == 0
    exchange.pass_seconds(6 * DAY_S)
    assert ingest_series(exchange.inputs).counts.read == first.counts.read


def test_read_of_every_series_takes_at_most_seven_nights(exchange: SweptExchange) -> None:
    ingest_series(exchange.inputs)
    with exchange.engine.connect() as connection:
        total = connection.scalar(sa.select(sa.func.count()).select_from(series)) or 0
    positions = []
    for _ in range(8):
        ingest_events(exchange.inputs)
        exchange.requests()
        ingest_events(exchange.inputs)
        again = exchange.requests()["GET /events"]
        read = stored_read(exchange.engine, BY_SERIES)
        assert read is not None
        positions.append(read.position)
        exchange.pass_seconds(DAY_S)
        # A second run on the same day reads no further slice.
        assert again < 5 + -(-total // 7)
    # An empty position means that the last series was read.
    assert "" in positions[:7]
    first_week = positions[: positions.index("") + 1]
    assert first_week == [*sorted(map(str, first_week[:-1])), ""]


@pytest.mark.usefixtures("no_back_off")
def test_read_of_series_goes_on_where_a_killed_run_stopped(sqlite_engine: sa.Engine) -> None:
    with swept_exchange(sqlite_engine, markets=2_500) as exchange:
        ingest_series(exchange.inputs)
        exchange.inject("html_error", "GET /events", at=SAVED_EVERY + 2, times=10**6, where={"series_ticker": None})
        with pytest.raises(KalshiError):
            ingest_events(exchange.inputs)
        killed = stored_read(exchange.engine, BY_SERIES)
        assert killed is not None
        assert killed.position
        assert killed.complete_us is None
        exchange.heal()
        exchange.requests()
        ingest_events(exchange.inputs)
        done = stored_read(exchange.engine, BY_SERIES)
        assert done is not None
        assert done.position
        assert done.position > killed.position
        assert done.complete_us is not None


def test_event_whose_markets_are_all_paused_is_found_within_a_week(exchange: SweptExchange) -> None:
    event = exchange.ask("/events", status="open", limit=200)["events"][0]["event_ticker"]
    for market in exchange.ask("/markets", event_ticker=event)["markets"]:
        exchange.steer("POST", f"/markets/{market['ticker']}/status", status="inactive")
    ingest_series(exchange.inputs)
    for _ in range(7):
        ingest_events(exchange.inputs)
        exchange.pass_seconds(DAY_S)
    with exchange.engine.connect() as connection:
        found = connection.scalar(sa.select(events.c.is_placeholder).where(events.c.event_ticker == event))
    assert not found
    assert found is not None


def test_met_keys_of_200_000_tickers_take_two_megabytes() -> None:
    tickers = [f"KXHIGHNY-26NOV22-B{number}" for number in range(200_000)]
    tracemalloc.start()
    met = MetKeys()
    for at in range(0, len(tickers), 1_000):
        met.add(tickers[at : at + 1_000])
    assert all(ticker in met for ticker in tickers)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "KXHIGHNY-26NOV22-B200000" not in met
    assert len(met) == 200_000
    assert peak < 2_500_000
