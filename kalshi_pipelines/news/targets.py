"""The targets of news searches: tracked items and the most traded events, with queries from their titles.

The rank of an event is the number of contracts that its markets traded in 24 hours, as read by the last ingest of
markets. Placeholders, combos and events without active markets do not count. Tracked items come first. Within each
group the item with the oldest search comes first, so that a small budget reaches every item in time.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.news.untrusted import plain_text
from kalshi_pipelines.warehouse.tables import UNSETTLED, events, markets, quotes, tracked_items, watermarks

MOST_QUERY: Final = 200
MOST_QUERIES: Final = 5
_QUESTION_WORDS: Final = re.compile(
    r"^(?:will|does|do|did|is|are|was|has|have|can|could|how (?:many|much)|what|which|who|when)\b"
    r"(?:\s+the\b)?\s*",
    re.IGNORECASE,
)
_NO_SUBJECT: Final = frozenset({"", "yes", "no"})
_NOT_ALNUM: Final = re.compile(r"[^\w\s$%.,'/&+-]")


@dataclass(frozen=True)
class Target:
    """A market or event to search news for.

    Attributes:
        item_type: ``market`` or ``event``.
        ticker: The ticker.
        subject: The words of the item's titles. The relevance of an article is measured by these words.
        queries: The queries sent to providers.
        is_tracked: Whether the item is tracked. Otherwise it is one of the most traded events.
    """

    item_type: str
    ticker: str
    subject: str
    queries: tuple[str, ...]
    is_tracked: bool

    def watermark(self, provider: str) -> str:
        """Return the name of the watermark of this item at a provider."""
        return f"news {provider} {self.item_type} {self.ticker}"


def targets_of(connection: sa.Connection, selected_events: int) -> list[Target]:
    """Return all targets in the order of their searches."""
    tracked = _tracked_targets(connection)
    known = {(target.item_type, target.ticker) for target in tracked}
    selected = [
        target for target in _most_traded(connection, selected_events) if (target.item_type, target.ticker) not in known
    ]
    last = _last_searches(connection)
    turn = {target: last.get((target.item_type, target.ticker), 0) for target in (*tracked, *selected)}
    return sorted(turn, key=lambda target: (not target.is_tracked, turn[target]))


def query_of(subject: str) -> str:
    """Return the query for a subject: its words without a question mark and leading question words."""
    text = _NOT_ALNUM.sub(" ", plain_text(subject, 2 * MOST_QUERY).rstrip("?"))
    text = " ".join(_QUESTION_WORDS.sub("", text).split())
    if len(text) > MOST_QUERY:
        text = text[:MOST_QUERY].rpartition(" ")[0] or text[:MOST_QUERY]
    return text


def subject_of(*titles: str | None) -> str:
    """Join titles into one text. A title that repeats another title, or says only yes or no, is left out."""
    kept: list[str] = []
    for title in titles:
        clean = plain_text(title or "", 2 * MOST_QUERY)
        if clean.casefold() in _NO_SUBJECT:
            continue
        if not any(clean.casefold() in other.casefold() for other in kept):
            kept.append(clean)
    return " ".join(kept)


def _tracked_targets(connection: sa.Connection) -> list[Target]:
    item, market, event = tracked_items.c, markets.c, events.c
    rows = connection.execute(
        sa.select(
            item.ticker,
            item.item_type,
            item.search_queries,
            market.title,
            market.yes_sub_title,
            event.title.label("event_title"),
            event.sub_title,
        )
        .select_from(tracked_items)
        .outerjoin(markets, (market.ticker == item.ticker) & (item.item_type == "market"))
        .outerjoin(events, (event.event_ticker == item.ticker) & (item.item_type == "event"))
        .where(item.is_active)
        .order_by(item.ticker)
    ).mappings()
    return [_tracked_target(row) for row in rows]


def _tracked_target(row: sa.RowMapping) -> Target:
    titles = ("title", "yes_sub_title") if row["item_type"] == "market" else ("event_title", "sub_title")
    given = [query_of(each) for each in json.loads(row["search_queries"]) if isinstance(each, str)]
    subject = subject_of(*(row[title] for title in titles)) or " ".join(given)
    queries = [query for query in dict.fromkeys(given or [query_of(subject)]) if query]
    return Target(row["item_type"], row["ticker"], subject, tuple(queries[:MOST_QUERIES]), True)


def _most_traded(connection: sa.Connection, count: int) -> list[Target]:
    market, event, quote = markets.c, events.c, quotes.c
    traded = sa.func.sum(quote.volume_24h_centicontracts)
    rows = connection.execute(
        sa.select(event.event_ticker, event.title, event.sub_title)
        .join_from(quotes, markets, market.ticker == quote.ticker)
        .join(events, market.event_ticker == event.event_ticker)
        .where(
            market.status == "active",
            UNSETTLED,
            market.mve_collection_ticker.is_(None),
            quote.volume_24h_centicontracts > 0,
            sa.not_(event.is_placeholder),
        )
        .group_by(event.event_ticker, event.title, event.sub_title)
        .order_by(traded.desc(), event.event_ticker)
        .limit(count)
    )
    found = []
    for ticker, title, sub_title in rows:
        subject = subject_of(title, sub_title)
        query = query_of(subject)
        if query:
            found.append(Target("event", ticker, subject, (query,), False))
    return found


def _last_searches(connection: sa.Connection) -> dict[tuple[str, str], int]:
    """Return the time of the last search for each market and event at any provider."""
    name = watermarks.c.name
    last: dict[tuple[str, str], int] = {}
    for text, position in connection.execute(sa.select(name, watermarks.c.position_us).where(name.like("news %"))):
        *_, item_type, ticker = text.rsplit(" ", 2)
        last[item_type, ticker] = max(position, last.get((item_type, ticker), 0))
    return last
