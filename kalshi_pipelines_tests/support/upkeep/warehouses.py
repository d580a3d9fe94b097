"""Warehouses for tests of upkeep: settled and live markets with quotes, books, settlements and history rows."""

from collections.abc import Iterable
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.units import DAY_US
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines_tests.support.upkeep.tasks import days_ago
from kalshi_pipelines_tests.support.warehouse.rows import (
    EVENT,
    LEGAL,
    MARKET,
    ORDERBOOK_SNAPSHOT,
    PRICE_SNAPSHOT,
    SERIES,
)

#: The text that all markets share, and its key.
TEXT: Final = {"text_digest": b"text", "text": "Shared rules."}
DIGESTS: Final = {"rules_secondary_digest": b"text", "price_ranges_digest": b"ranges"}
SETTLED: Final = {"status": "finalized", "result": "yes", "settlement_value_microdollars": 1_000_000}


def insert(engine: sa.Engine, table: sa.Table, *rows: dict[str, Any]) -> None:
    """Insert rows, each completed by the legal row of the table."""
    legal = {name: value for name, value in LEGAL[table].items() if table.c[name] is not table.autoincrement_column}
    with writing(engine) as connection:
        connection.execute(sa.insert(table), [legal | row for row in rows])


def start(engine: sa.Engine) -> None:
    """Insert a run, a series, and the texts that all markets of these tests refer to."""
    insert(engine, tables.ingest_runs, {"status": "succeeded", "finished_us": days_ago(50)})
    insert(engine, tables.series, {"ticker": SERIES["ticker"]})
    with writing(engine) as connection:
        connection.execute(sa.insert(tables.rule_texts), [TEXT, {"text_digest": b"ranges", "text": "[]"}])


def add_event(engine: sa.Engine, event: str, recorded_us: int | None = None, **values: Any) -> None:
    """Insert an event."""
    at = days_ago(60) if recorded_us is None else recorded_us
    insert(engine, tables.events, {"event_ticker": event, "first_seen_us": at, "recorded_us": at} | values)


def add_market(engine: sa.Engine, ticker: str, event: str = EVENT["event_ticker"], **values: Any) -> None:
    """Insert a market with its quote and its newest orderbook."""
    at = values.pop("recorded_us", days_ago(60))
    row = {"ticker": ticker, "event_ticker": event, "recorded_us": at, "first_seen_us": at} | values
    insert(engine, tables.markets, MARKET | DIGESTS | row)
    insert(engine, tables.quotes, {"ticker": ticker, "observed_us": at})
    insert(engine, tables.orderbooks, {"ticker": ticker, "observed_us": at})


def add_settled(engine: sa.Engine, ticker: str, settled_days_ago: float, event: str = EVENT["event_ticker"]) -> None:
    """Insert a settled market with its quote, its newest orderbook and its settlement."""
    at = days_ago(settled_days_ago)
    add_market(engine, ticker, event, recorded_us=at, settlement_time_us=at, **SETTLED)
    settlement = {"ticker": ticker, "event_ticker": event, "settled_us": at, "recorded_us": at}
    insert(engine, tables.settlements, settlement)


def add_history(engine: sa.Engine, ticker: str, times: Iterable[int], **run: Any) -> int:
    """Insert an ended run with a quote of a market at each time, and return the run's number."""
    moments = list(times)
    ended = {"status": "succeeded", "finished_us": max(moments), "history_rows": len(moments), **run}
    with writing(engine) as connection:
        query = sa.insert(tables.ingest_runs).returning(tables.ingest_runs.c.ingest_run_id)
        number = int(connection.scalar(query, LEGAL[tables.ingest_runs] | ended) or 0)
        row = {name: value for name, value in PRICE_SNAPSHOT.items() if name != "price_snapshot_id"}
        rows = [
            row | {"ticker": ticker, "observed_us": at, "ingest_run_id": number, "volume_centicontracts": at % DAY_US}
            for at in moments
        ]
        connection.execute(sa.insert(tables.price_snapshots), rows)
    return number


def keys(engine: sa.Engine, table: sa.Table) -> list[Any]:
    """Return the values of the first column of a table's primary key, sorted."""
    column = next(iter(table.primary_key))
    with engine.connect() as connection:
        return sorted(connection.scalars(sa.select(column)))


def add_book_history(engine: sa.Engine, ticker: str, times: Iterable[int]) -> int:
    """Insert an ended run with an orderbook of a market at each time, and return the run's number."""
    moments = list(times)
    ended = {"subject": "orderbooks", "status": "succeeded", "finished_us": max(moments), "history_rows": len(moments)}
    with writing(engine) as connection:
        query = sa.insert(tables.ingest_runs).returning(tables.ingest_runs.c.ingest_run_id)
        number = int(connection.scalar(query, LEGAL[tables.ingest_runs] | ended) or 0)
        rows = [ORDERBOOK_SNAPSHOT | {"ticker": ticker, "observed_us": at, "ingest_run_id": number} for at in moments]
        connection.execute(sa.insert(tables.orderbook_snapshots), rows)
    return number
