"""The watermark of settled markets moves forward only, also after settled markets have left the warehouse."""

import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.runs import IngestRun
from kalshi_pipelines.ingest.sweeps.settled import advance_watermark
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import markets, orderbooks, quotes, settlements, watermarks
from kalshi_pipelines_tests.support.upkeep.tasks import NOW_US, days_ago
from kalshi_pipelines_tests.support.upkeep.warehouses import add_event, add_settled, start
from kalshi_pipelines_tests.support.warehouse.rows import EVENT


def advance(engine: sa.Engine) -> int | None:
    with IngestRun(engine, "markets", Environment.SANDBOX) as run:
        advance_watermark(run, NOW_US)
    with engine.connect() as connection:
        return connection.scalar(sa.select(watermarks.c.position_us))


def test_watermark_stays_after_the_newest_settled_markets_left(engine: sa.Engine) -> None:
    start(engine)
    add_event(engine, EVENT["event_ticker"])
    assert advance(engine) is None
    add_settled(engine, "TRADED", 50)
    add_settled(engine, "LEAVES", 40)
    assert advance(engine) == days_ago(40)
    with writing(engine) as connection:
        for table in (quotes, orderbooks, settlements, markets):
            connection.execute(sa.delete(table).where(table.c.ticker == "LEAVES"))
    assert advance(engine) == days_ago(40)
    add_settled(engine, "NEWER", 1)
    assert advance(engine) == days_ago(1)
