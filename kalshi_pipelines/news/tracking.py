"""Tracked items: markets and events that every run searches news for."""

import json
from dataclasses import dataclass

import sqlalchemy as sa

from kalshi_pipelines.news.errors import NewsFailed
from kalshi_pipelines.news.targets import MOST_QUERIES, query_of
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import events, markets, tracked_items


@dataclass(frozen=True)
class TrackedItem:
    """A tracked market or event. An item without queries of its own is searched by its titles."""

    ticker: str
    item_type: str
    queries: tuple[str, ...]
    is_active: bool
    last_collected_us: int | None


def track(engine: sa.Engine, ticker: str, queries: list[str]) -> TrackedItem:
    """Track a market or event of the warehouse, with the given queries or with its titles.

    Raises:
        NewsFailed: The warehouse has no such market or event, or the queries are empty or too many.
    """
    ticker = ticker.strip().upper()
    cleaned = [query_of(query) for query in queries]
    if not all(cleaned) or len(cleaned) > MOST_QUERIES:
        raise NewsFailed(
            f"A query has no words, or there are more than {MOST_QUERIES} queries.",
            f"Give at most {MOST_QUERIES} queries, each with at least one word.",
        )
    with writing(engine) as connection:
        item_type = _type_of(connection, ticker)
        values = {"item_type": item_type, "search_queries": json.dumps(cleaned), "is_active": True}
        there = tracked_items.c.ticker == ticker
        if not connection.execute(sa.update(tracked_items).where(there).values(values)).rowcount:
            connection.execute(sa.insert(tracked_items).values(ticker=ticker, created_us=now_us(), **values))
    return next(item for item in list_tracked(engine, every=True) if item.ticker == ticker)


def untrack(engine: sa.Engine, ticker: str) -> None:
    """Stop tracking a market or event, and keep its articles.

    Raises:
        NewsFailed: The market or event is not tracked.
    """
    ticker = ticker.strip().upper()
    item = tracked_items.c
    with writing(engine) as connection:
        stopped = sa.update(tracked_items).where(item.ticker == ticker, item.is_active).values(is_active=False)
        if not connection.execute(stopped).rowcount:
            raise NewsFailed(
                f"{ticker} is not tracked.", "List the tracked items with `python -m kalshi_pipelines.news tracked`."
            )


def list_tracked(engine: sa.Engine, *, every: bool = False) -> list[TrackedItem]:
    """Return the tracked items; with ``every`` also the items that are no longer tracked."""
    item = tracked_items.c
    select = sa.select(
        item.ticker, item.item_type, item.search_queries, item.is_active, item.last_collected_us
    ).order_by(item.ticker)
    with engine.connect() as connection:
        rows = connection.execute(select if every else select.where(item.is_active)).all()
    return [
        TrackedItem(ticker, item_type, tuple(map(str, json.loads(queries))), bool(is_active), last)
        for ticker, item_type, queries, is_active, last in rows
    ]


def _type_of(connection: sa.Connection, ticker: str) -> str:
    if connection.scalar(sa.select(sa.exists().where(markets.c.ticker == ticker))):
        return "market"
    if connection.scalar(sa.select(sa.exists().where(events.c.event_ticker == ticker))):
        return "event"
    raise NewsFailed(
        f"{ticker[:100]!r} is no market or event of this warehouse.",
        "Check the ticker, or ingest markets first with `dagster job execute -m kalshi_pipelines -j nightly`.",
    )
