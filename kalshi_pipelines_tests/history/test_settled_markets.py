"""Settled markets of any range come from the archives of their series, and never twice or in another form."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from kalshi_pipelines.history.inputs import DayRead, HistoryInputs
from kalshi_pipelines.history.settled.backfill import SettledBackfill
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.lake.datasets import SETTLED_MARKETS
from kalshi_pipelines.lake.reading import read
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import EXCHANGE_TIME_ZONE, microseconds
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines_tests.support.history.candle_exchange import CandleExchange
from kalshi_pipelines_tests.support.kalshi.recordings import recording
from kalshi_pipelines_tests.support.kalshi.transports import scripted_transport
from kalshi_pipelines_tests.support.lake.lakes import local_lake
from kalshi_pipelines_tests.support.upkeep.warehouses import insert, start

FIRST, LAST = dt.date(2026, 6, 1), dt.date(2026, 6, 3)
CUTOFF = dt.date(2026, 8, 1)


def noon(day: dt.date, minutes: int = 0) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(12), EXCHANGE_TIME_ZONE) + dt.timedelta(minutes=minutes)


class Archive:
    """An exchange with archives of series, each with the newest settlement first, one market a page."""

    def __init__(self, engine: sa.Engine, folder: Path, row: dict[str, Any]) -> None:
        self.engine, self.folder, self.row = engine, folder, row
        self.archives: dict[str, list[dict[str, Any]]] = {}
        self.live: list[dict[str, Any]] = []
        self.broken: set[str] = set()
        self.is_down = False
        self.asked: list[str] = []
        self.stops_after: int | None = None
        self.now = noon(dt.date(2026, 10, 1))
        self.lake = local_lake(folder / "lake")

    def market(self, ticker: str, settled: dt.datetime, **values: Any) -> dict[str, Any]:
        event = values.pop("event_ticker", f"{ticker.split('-', maxsplit=1)[0]}-E")
        moment = settled.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
        return self.row | {"ticker": ticker, "event_ticker": event, "settlement_ts": moment} | values

    def archive(self, series: str, *markets: dict[str, Any]) -> None:
        self.archives[series] = list(markets)

    def answer(self, request: httpx.Request) -> httpx.Response:
        path, params = request.url.path.removeprefix("/trade-api/v2"), request.url.params
        if path == "/historical/cutoff":
            moment = noon(CUTOFF).isoformat()
            return httpx.Response(
                200, json=dict.fromkeys(("market_settled_ts", "trades_created_ts", "orders_updated_ts"), moment)
            )
        if path == "/exchange/status":
            return httpx.Response(200, json={"exchange_active": not self.is_down, "trading_active": True})
        if not path.endswith("markets"):  # the exchange does not know the event or the series
            empty = {"events": [], "cursor": ""}
            return httpx.Response(404 if path.startswith("/series/") else 200, json=empty)
        if path == "/markets":
            self.asked.append("live")
            low, high = int(params["min_settled_ts"]), int(params["max_settled_ts"])
            found = [row for row in self.live if low <= _seconds(row) <= high]
            return httpx.Response(200, json={"markets": found, "cursor": ""})
        return self._archived(params["series_ticker"], int(params.get("cursor", "0")))

    def _archived(self, series: str, at: int) -> httpx.Response:
        if self.stops_after is not None and len(self.asked) >= self.stops_after:
            raise KeyboardInterrupt
        self.asked.append(series)
        if self.is_down or series in self.broken:
            return httpx.Response(504)
        rows = self.archives.get(series, [])
        following = str(at + 1) if at + 1 < len(rows) else ""
        return httpx.Response(200, json={"markets": rows[at : at + 1], "cursor": following})

    def run(self, first: dt.date = FIRST, last: dt.date = LAST) -> list[DayRead]:
        inputs = HistoryInputs(
            KalshiClient(scripted_transport(self.engine, self.answer)),
            self.engine,
            self.lake,
            Environment.SANDBOX,
            self.folder / "work",
            clock=lambda: microseconds(self.now),
        )
        return SettledBackfill(inputs, first, last).run()

    def stored(self) -> list[dict[str, Any]]:
        return list(read(self.lake, self.engine, SETTLED_MARKETS).read_all().to_pylist())

    def tickers(self) -> list[tuple[str, str]]:
        rows = self.stored()
        return [(row["ticker"], row["settled_time"].astimezone(EXCHANGE_TIME_ZONE).date().isoformat()) for row in rows]


def _seconds(row: dict[str, Any]) -> int:
    return int(dt.datetime.fromisoformat(row["settlement_ts"]).timestamp())


@pytest.fixture
def archive(sqlite_engine: sa.Engine, tmp_path: Path, no_back_off: None) -> Archive:
    row = json.loads(recording("derived_3_34_0/historical_markets.json"))["markets"][0]
    start(sqlite_engine)
    return Archive(sqlite_engine, tmp_path, row)


def add_series(archive: Archive, *tickers: str, **values: Any) -> None:
    insert(archive.engine, tables.series, *({"ticker": ticker, **values} for ticker in tickers))


def residuals(archive: Archive) -> set[tuple[str, str]]:
    columns = tables.history_residuals.c
    with archive.engine.connect() as connection:
        return {(kind, ticker) for kind, ticker in connection.execute(sa.select(columns.kind, columns.ticker))}


def test_markets_of_the_range_are_stored_and_older_pages_are_not_read(archive: Archive) -> None:
    add_series(archive, "S")
    days = [LAST + dt.timedelta(days=1), LAST, FIRST, *(FIRST - dt.timedelta(days=number) for number in range(1, 9))]
    archive.archive("S", *(archive.market(f"S-{number}", noon(day)) for number, day in enumerate(days)))
    result = archive.run()
    assert archive.tickers() == [("S-2", "2026-06-01"), ("S-1", "2026-06-03")]
    assert [day.rows for day in result] == [1, 0, 1]
    # The page after the first older page is already under way when that page is seen.
    assert archive.asked.count("S") <= 5


def test_scalar_value_and_times_of_a_market_are_stored(archive: Archive) -> None:
    add_series(archive, "S", fee_type="quadratic", fee_multiplier="0.5")
    insert(archive.engine, tables.events, {"event_ticker": "S-E", "series_ticker": "S", "title": "The event"})
    scalar = archive.market("S-1", noon(FIRST), result="scalar", settlement_value_dollars="0.3060")
    archive.archive("S", scalar | {"volume_fp": "12.34", "last_price_dollars": "0.3000"})
    archive.run()
    (row,) = archive.stored()
    assert (row["settlement_result"], str(row["yes_payout"]), str(row["no_payout"])) == (
        "scalar",
        "0.306000",
        "0.694000",
    )
    assert (str(row["volume"]), str(row["final_yes_price"]), row["settled_time"]) == ("12.34", "0.300000", noon(FIRST))
    assert (row["event_title"], row["series_ticker"], row["fee_multiplier"]) == ("The event", "S", "0.5")
    assert row["rules_primary"] == archive.row["rules_primary"]
    assert row["price_ranges"] is not None
    assert (row["first_seen_time"], row["quoted_time"]) == (None, None)


def test_series_that_vanished_from_the_exchange_is_read_too(archive: Archive) -> None:
    add_series(archive, "GONE", missing_since_us=5)
    candles = CandleExchange(archive.engine, archive.folder)
    candles.add_trades(FIRST, [("TRADED-X-1", int(noon(FIRST).timestamp()))])
    for series in ("GONE", "TRADED"):
        archive.archive(series, archive.market(f"{series}-1", noon(FIRST)))
    archive.run()
    assert [ticker for ticker, _ in archive.tickers()] == ["GONE-1", "TRADED-1"]


def test_market_that_the_warehouse_has_is_left_to_upkeep(archive: Archive) -> None:
    add_series(archive, "S")
    insert(archive.engine, tables.events, {"event_ticker": "S-E", "series_ticker": "S"})
    insert(archive.engine, tables.markets, {"ticker": "S-1", "event_ticker": "S-E"})
    settled_us = microseconds(noon(FIRST))
    insert(archive.engine, tables.settlements, {"ticker": "S-1", "event_ticker": "S-E", "settled_us": settled_us})
    archive.archive("S", archive.market("S-1", noon(FIRST)), archive.market("S-2", noon(FIRST, -1)))
    archive.run()
    assert [ticker for ticker, _ in archive.tickers()] == ["S-2"]


def test_markets_after_the_cutoff_come_from_the_live_side_once(archive: Archive) -> None:
    add_series(archive, "S")
    before, after = CUTOFF - dt.timedelta(days=1), CUTOFF + dt.timedelta(days=1)
    both = archive.market("S-1", noon(before, 30))
    archive.archive("S", both)
    archive.live = [archive.market("S-2", noon(after)), both]
    archive.run(before, after)
    assert [ticker for ticker, _ in archive.tickers()] == ["S-1", "S-2"]


def test_range_after_the_cutoff_reads_no_archive(archive: Archive) -> None:
    add_series(archive, "S")
    day = CUTOFF + dt.timedelta(days=10)
    archive.run(day, day)
    assert archive.asked == ["live"]


def test_range_that_is_read_again_has_the_same_rows(archive: Archive) -> None:
    add_series(archive, "S")
    archive.archive("S", *(archive.market(f"S-{number}", noon(LAST, -number)) for number in range(5)))
    archive.run()
    files = [file.sha256 for file in archive.lake.files(archive.engine)]
    assert [day.added for day in archive.run()] == [0, 0, 0]
    assert [file.sha256 for file in archive.lake.files(archive.engine)] == files


def test_interrupted_range_continues_with_the_series_it_has(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kalshi_pipelines.history.settled.backfill._SERIES_OF_A_CHUNK", 2)
    names = [f"S{number}" for number in range(6)]
    add_series(archive, *names)
    for name in names:
        archive.archive(name, archive.market(f"{name}-1", noon(FIRST)))
    archive.stops_after = 5
    with pytest.raises(KeyboardInterrupt):
        archive.run()
    archive.asked, archive.stops_after = [], None
    archive.run()
    assert [ticker for ticker, _ in archive.tickers()] == [f"{name}-1" for name in names]
    assert archive.asked == ["S4", "S5"]
    assert not list((archive.folder / "work").rglob("*.arrow"))


def test_live_side_is_read_again_if_the_interrupted_read_is_old(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalshi_pipelines.history.settled.backfill._SERIES_OF_A_CHUNK", 1)
    day = CUTOFF
    add_series(archive, "S")
    archive.live = [archive.market("M-1", noon(day, 10))]
    archive.now, archive.stops_after = noon(day, 20), 1
    with pytest.raises(KeyboardInterrupt):
        archive.run(day, day)
    archive.live.append(archive.market("M-2", noon(day, 30)))
    archive.now, archive.stops_after = noon(day + dt.timedelta(days=3)), None
    archive.run(day, day)
    assert [ticker for ticker, _ in archive.tickers()] == ["M-1", "M-2"]


def test_archive_that_fails_for_ever_is_listed_and_the_others_are_kept(archive: Archive) -> None:
    add_series(archive, "A", "B")
    archive.archive("A", archive.market("A-1", noon(FIRST)))
    archive.archive("B", archive.market("B-1", noon(FIRST)))
    archive.broken = {"A"}
    result = archive.run()
    assert [ticker for ticker, _ in archive.tickers()] == ["B-1"]
    assert residuals(archive) == {("archive of a series", "A")}
    assert all(len(day.holes) == 1 for day in result)
    archive.broken.clear()
    archive.run()
    assert (len(archive.tickers()), residuals(archive)) == (2, set())


def test_exchange_that_is_down_ends_the_backfill(archive: Archive) -> None:
    add_series(archive, *(f"S{number}" for number in range(9)))
    archive.is_down = True
    with pytest.raises(KalshiError):
        archive.run()
    assert archive.stored() == []


def test_market_without_a_settlement_value_is_listed_and_not_lost(archive: Archive) -> None:
    add_series(archive, "S")
    archive.archive("S", archive.market("S-1", noon(FIRST), settlement_value_dollars=None))
    archive.run()
    assert (archive.stored(), residuals(archive)) == ([], {("refused market", "S-1")})
