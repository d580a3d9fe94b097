"""A warehouse with a few markets and events for news tests."""

import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines_tests.support.news.collecting import GAME, LANDFALL, STORM, TORONTO
from kalshi_pipelines_tests.support.warehouse.rows import EVENT, LEGAL, MARKET, STORED_QUOTE


@pytest.fixture
def stocked(engine: sa.Engine) -> sa.Engine:
    """A warehouse with a storm event, a game event and an untraded event. The storm is traded more than the game."""
    with writing(engine) as connection:
        for table in (tables.ingest_runs, tables.series, tables.rule_texts):
            connection.execute(sa.insert(table), LEGAL[table])
        for row in (
            EVENT,
            EVENT | {"event_ticker": STORM, "title": "Will Hurricane Zelda hit Florida?", "sub_title": "In 2026"},
            EVENT | {"event_ticker": "KXQUIET-26", "title": "Nobody trades this", "sub_title": ""},
        ):
            connection.execute(sa.insert(tables.events), row)
        for ticker, event, traded, title, outcome in (
            (TORONTO, GAME, 100, "Will Toronto win the game?", "Toronto Blue Jays"),
            (LANDFALL, STORM, 900, "Will Hurricane Zelda make landfall in Florida?", "Yes"),
            ("KXQUIET-26-A", "KXQUIET-26", 0, "Will anybody trade this?", "Yes"),
        ):
            row = {"ticker": ticker, "event_ticker": event, "title": title, "yes_sub_title": outcome}
            connection.execute(sa.insert(tables.markets), MARKET | row)
            quote = {"ticker": ticker, "volume_24h_centicontracts": traded}
            connection.execute(sa.insert(tables.quotes), STORED_QUOTE | quote)
    return engine
