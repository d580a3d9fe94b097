"""Tickers and queries of two events, and helpers that collect news and read the stored rows."""

from typing import Any

import sqlalchemy as sa

from kalshi_pipelines.news.collecting import collect_news
from kalshi_pipelines.news.options import NewsOptions
from kalshi_pipelines.news.reports import CollectionReport
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines_tests.support.news.providers import ScriptedProvider

GAME, STORM = "KXMLBGAME-26NOV22", "KXHURR-26"
TORONTO, LANDFALL = "KXMLBGAME-26NOV22-TOR", "KXHURR-26-FL"
NOW = 1_790_600_000_000_000
STORM_QUERY, GAME_QUERY = "Hurricane Zelda hit Florida In 2026", "Toronto at Philadelphia Nov 22"


def collect(engine: sa.Engine, *providers: ScriptedProvider, now: int = NOW, **options: Any) -> CollectionReport:
    """Collect news once, at a fixed time."""
    return collect_news(engine, providers, NewsOptions(**options), Environment.SANDBOX, clock=lambda: now)


def rows(engine: sa.Engine, table: sa.Table) -> list[dict[str, Any]]:
    """Return all rows of a table in the order of its primary key."""
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()]


def positions(engine: sa.Engine) -> dict[str, int]:
    """Return the position of each watermark by name."""
    return {row["name"]: row["position_us"] for row in rows(engine, tables.watermarks)}
