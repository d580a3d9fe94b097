"""Sweeps find unsettled markets through the index of statuses, however many settled markets are stored."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.ingest.sweeps import ingest_orderbooks
from kalshi_pipelines.ingest.sweeps.absences import absent_markets
from kalshi_pipelines.ingest.sweeps.event_absences import live_events
from kalshi_pipelines.ingest.sweeps.market_states import LIVE_STATUSES
from kalshi_pipelines.ingest.sweeps.met_keys import MetKeys
from kalshi_pipelines.warehouse.queries import market_query
from kalshi_pipelines_tests.support.ingest.swept_exchange import SweptExchange, swept_exchange

INDEX = "ix_markets_status_close_time_us"


@pytest.fixture
def exchange(engine: sa.Engine) -> Iterator[SweptExchange]:
    with swept_exchange(engine) as running:
        yield running


def run(engine: sa.Engine, query: sa.Select[Any]) -> None:
    with engine.connect() as connection:
        connection.execute(query).all()


def is_through_index(connection: sa.Connection, statement: str, given: Any) -> bool:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET enable_seqscan = off")
        plan = connection.exec_driver_sql(f"EXPLAIN {statement}", given).scalars().all()
        return any(INDEX in line for line in plan)
    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given).all()
    return any(INDEX in line[-1] for line in plan)


@pytest.mark.parametrize(
    ("work", "wanted"),
    [
        (lambda exchange: ingest_orderbooks(exchange.inputs), "count(*)"),
        (lambda exchange: absent_markets(exchange.inputs, LIVE_STATUSES, MetKeys(), is_full=True), "is_provisional"),
        (lambda exchange: run(exchange.engine, live_events()), "DISTINCT"),
        (lambda exchange: run(exchange.engine, market_query(exchange.engine.dialect.name, None, ["active"])), "title"),
    ],
    ids=["books", "absent_markets", "live_events", "readers"],
)
def test_unsettled_markets_are_found_through_the_index_of_statuses(
    exchange: SweptExchange, work: Callable[[SweptExchange], object], wanted: str
) -> None:
    exchange.nightly()
    executed: list[tuple[str, Any]] = []
    sa.event.listen(exchange.engine, "before_cursor_execute", lambda *given: executed.append((given[2], given[3])))
    work(exchange)
    asked = [each for each in executed if "markets.status" in each[0] and wanted in each[0]]
    assert asked
    with exchange.engine.connect() as connection:
        assert all(is_through_index(connection, *each) for each in asked)
