"""Sweeps read the right lists, go back in time far enough, and report what the exchange left out."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.quarantine import UnstorableRecord, set_aside, unresolved_keys
from kalshi_pipelines.bookkeeping.stamps import Stamp
from kalshi_pipelines.ingest.sweeps import ALL_STATUSES, IngestInputs, ingest_events, ingest_markets, ingest_orderbooks
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.sandbox.process import SandboxProcess
from kalshi_pipelines.settings import Environment, RateTier, Settings
from kalshi_pipelines.units import DAY_US, SECOND_US, now_us
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import (
    events,
    markets,
    orderbook_snapshots,
    price_snapshots,
    quotes,
    settlements,
    watermarks,
)
from kalshi_pipelines_tests.support.ingest.wire import MARKET, raw


@pytest.fixture
def inputs(engine: sa.Engine, frozen_sandbox: SandboxProcess) -> Iterator[IngestInputs]:
    settings = Settings(rate_tier=RateTier.PRESTIGE)
    with KalshiClient.from_settings(settings, engine, url=frozen_sandbox.url) as client:
        yield IngestInputs(client, engine, Environment.SANDBOX)


def count(engine: sa.Engine, *conditions: Any) -> int:
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(markets).where(*conditions)) or 0


def test_combos_are_read_only_when_included(inputs: IngestInputs) -> None:
    ingest_markets(inputs)
    ingest_events(inputs)
    combos = markets.c.ticker.startswith("KXMVE")
    assert count(inputs.engine, combos) == 0
    ingest_markets(replace(inputs, include_combos=True))
    ingest_events(replace(inputs, include_combos=True))
    assert count(inputs.engine, combos) > 0
    with inputs.engine.connect() as connection:
        assert connection.scalars(sa.select(events.c.event_ticker).where(events.c.is_placeholder)).all() == []


def test_first_settled_sweep_reaches_back_as_far_as_configured(inputs: IngestInputs) -> None:
    finalized = markets.c.status == "finalized"
    ingest_markets(replace(inputs, settled_lookback_hours=1))
    recent = count(inputs.engine, finalized)
    with writing(inputs.engine) as connection:
        connection.execute(sa.delete(watermarks))
    ingest_markets(inputs)
    assert recent < count(inputs.engine, finalized)


def test_later_settled_sweep_overlaps_the_last_settlement_by_a_day(
    inputs: IngestInputs, frozen_sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int | None] = []
    pages = KalshiClient.market_pages

    def market_pages(self: KalshiClient, **filters: Any) -> Iterator[Page]:
        asked.append(filters.get("min_settled_ts"))
        return pages(self, **filters)

    monkeypatch.setattr(KalshiClient, "market_pages", market_pages)
    first = ingest_markets(inputs, statuses=["settled"])
    with inputs.engine.connect() as connection:
        (mark,) = connection.scalars(sa.select(watermarks.c.position_us))
        newest = connection.scalar(sa.select(sa.func.max(markets.c.settlement_time_us)))
    assert mark == newest
    again = ingest_markets(inputs, statuses=["settled"])
    day = 86_400
    since = mark // SECOND_US - day
    assert asked == [None, since]
    params: dict[str, str | int] = {"status": "settled", "mve_filter": "exclude", "limit": 1000}
    with httpx.Client(base_url=frozen_sandbox.url) as client:
        everything, recent = (
            len(client.get("/markets", params=query).json()["markets"])
            for query in (params, params | {"min_settled_ts": since})
        )
    assert (first.counts.read, again.counts.read) == (everything, recent)


def test_orderbooks_the_exchange_did_not_send_are_reported_missing(inputs: IngestInputs) -> None:
    ingest_markets(inputs)
    with writing(inputs.engine) as connection:
        gone = connection.scalars(sa.select(markets.c.ticker).where(markets.c.status == "finalized").limit(1)).one()
        connection.execute(sa.update(markets).values(status="finalized").where(markets.c.status == "active"))
        one = sa.select(markets.c.ticker).order_by(markets.c.ticker).limit(1).scalar_subquery()
        connection.execute(sa.update(markets).values(status="active").where(markets.c.ticker == one))
        connection.execute(
            sa.text(
                f"INSERT INTO markets ({', '.join(column.name for column in markets.columns)}) SELECT "
                + ", ".join(
                    {"ticker": "'KXGONE'", "status": "'active'"}.get(column.name, column.name)
                    for column in markets.columns
                )
                + " FROM markets WHERE ticker = :gone"
            ),
            {"gone": gone},
        )
    done = ingest_orderbooks(inputs)
    assert done.missing == ("KXGONE",)
    with inputs.engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(orderbook_snapshots)) == done.counts.written


def test_first_settled_sweep_reaches_back_to_the_oldest_stored_market(inputs: IngestInputs) -> None:
    days_ago = now_us() - 60 * DAY_US
    ingest_markets(inputs, statuses=["open"])
    with writing(inputs.engine) as connection:
        connection.execute(sa.update(markets).values(first_seen_us=days_ago))
    ingest_markets(replace(inputs, settled_lookback_hours=1), statuses=["settled"])
    settled = count(inputs.engine, markets.c.status == "finalized")
    with writing(inputs.engine) as connection:
        connection.execute(sa.delete(watermarks))
    ingest_markets(inputs, statuses=["settled"])
    assert settled == count(inputs.engine, markets.c.status == "finalized") > 0


def test_market_known_only_from_an_adopted_database_changes_no_sweep(
    inputs: IngestInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {"ticker": "KXOLD", "is_placeholder": True, "status": "active", "first_seen_us": 1, "recorded_us": 1}
    ingest_events(inputs)
    with writing(inputs.engine) as connection:
        connection.execute(sa.insert(markets), named | {"ingest_run_id": 1})
    assert ingest_orderbooks(inputs).missing == ()
    asked: list[int] = []

    def market_pages(self: KalshiClient, **filters: Any) -> Iterator[Page]:
        asked.append(filters["min_settled_ts"])
        return iter(())

    monkeypatch.setattr(KalshiClient, "market_pages", market_pages)
    ingest_markets(replace(inputs, settled_lookback_hours=1), statuses=["settled"])
    assert asked[0] > now_us() // SECOND_US - 2 * 3_600


def test_market_that_reopened_during_the_sweeps_is_read_last(
    inputs: IngestInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def market_pages(self: KalshiClient, **filters: Any) -> Iterator[Page]:
        asked.append(filters)
        yield Page("GET /markets", 1, "", [raw(MARKET)] if "min_updated_ts" in filters else [], now_us())

    monkeypatch.setattr(KalshiClient, "market_pages", market_pages)
    started = now_us()
    ingest_markets(inputs)
    assert count(inputs.engine) == 1
    (since,) = [filters["min_updated_ts"] for filters in asked if "min_updated_ts" in filters]
    assert since <= started // SECOND_US
    assert [filters.get("status") for filters in asked][: len(ALL_STATUSES)] == list(ALL_STATUSES)


def test_quarantined_markets_are_requested_again(inputs: IngestInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest_markets(inputs)
    with writing(inputs.engine) as connection:
        ticker = connection.scalars(
            sa.select(markets.c.ticker).where(markets.c.status == "finalized").order_by(markets.c.settlement_time_us)
        ).first()
        assert ticker
        for table in (price_snapshots, quotes, settlements, markets):
            connection.execute(sa.delete(table).where(table.c.ticker == ticker))
        rejected = UnstorableRecord(b"{}", "a result nobody knew then", ticker)
        set_aside(connection, "markets", [rejected], Stamp(now_us(), 1))
    ingest_markets(inputs, statuses=["open"])
    assert count(inputs.engine, markets.c.ticker == ticker) == 1
    assert unresolved_keys(inputs.engine, "markets") == []
