"""Links between articles and markets or events, from search results and from feeds without a query.

Every pair of an article and an item is scored once. A link adopted from a legacy database gets a score as well, and is
kept even if the score is low.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.runs import Counts, IngestRun
from kalshi_pipelines.news.relevance import (
    LEAST_FOUND,
    LEAST_FROM_FEED,
    METHOD,
    Subject,
    relevance,
    stems_of,
    subject_words,
)
from kalshi_pipelines.news.reports import LinkingReport
from kalshi_pipelines.news.targets import Target, subject_of, targets_of
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import HOUR_US, now_us
from kalshi_pipelines.warehouse.bulk import BulkWrite, Row, write_rows
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import (
    events,
    markets,
    news_article_events,
    news_article_markets,
    news_article_sources,
    news_articles,
    news_finds,
    watermarks,
)

SUBJECT: Final = "news_market_links"
_WATERMARK: Final = "news links"
_BATCH: Final = 500
#: A collection can write articles while another run links articles. Each linking run therefore reads all articles
#: found since one hour before the previous linking run. Linking an article twice is harmless.
_OVERLAP_US: Final = HOUR_US
_FEED_PROVIDERS: Final = "feed %"
_ORIGIN_COLUMNS: Final = ("relevance", "relevance_method", "provider", "query", "rank", "linked_us")
_TABLES: Final = {"market": (news_article_markets, "ticker"), "event": (news_article_events, "event_ticker")}


@dataclass(frozen=True)
class _Pair:
    """A pair of an article and a market or event. The provider, query and rank say why both may be related."""

    article_id: int
    item_type: str
    ticker: str
    provider: str | None
    query: str | None
    rank: int | None
    least: float


def link_news(
    engine: sa.Engine,
    environment: Environment,
    selected_events: int = 10,
    *,
    dagster_run_id: str | None = None,
    clock: Callable[[], int] = now_us,
) -> LinkingReport:
    """Link the articles found since the last linking run to markets and events.

    Args:
        engine: A warehouse with the newest schema.
        environment: The environment of the markets in the warehouse.
        selected_events: The number of events to compare with feed articles, taken from the most traded events.
        dagster_run_id: The Dagster run that calls this function.
        clock: Returns the current time in microseconds since 1970 UTC.

    Raises:
        AlreadyRunning: Another run links news in this warehouse.
    """
    counted: dict[str, int] = {"market": 0, "event": 0, "unrelated": 0}
    with IngestRun(engine, SUBJECT, environment, dagster_run_id=dagster_run_id) as run:
        now = clock()
        with engine.connect() as connection:
            since = connection.scalar(sa.select(watermarks.c.position_us).where(watermarks.c.name == _WATERMARK)) or 0
            pairs = _best_pairs([*_search_results(connection, since), *_unscored_links(connection)])
            from_feeds = _feed_matches(connection, since, targets_of(connection, selected_events))
        considered = len(pairs)
        known = {(pair.item_type, pair.ticker, pair.article_id) for pair in pairs}
        extra = [pair for pair in from_feeds if (pair.item_type, pair.ticker, pair.article_id) not in known]
        considered += len(extra)
        for batch in _batches([*pairs, *extra]):
            with writing(engine) as connection:
                linked = _link(connection, batch, now)
                run.add_page(
                    connection,
                    Counts(read=len(batch), written=linked["market"] + linked["event"], unchanged=linked["unrelated"]),
                )
            for name, count in linked.items():
                counted[name] += count
        with writing(engine) as connection:
            write_rows(
                connection,
                BulkWrite(watermarks, ("name", "position_us", "ingest_run_id")),
                [(_WATERMARK, now, run.run_id)],
            )
    return LinkingReport(considered, counted["market"], counted["event"], counted["unrelated"], METHOD)


def _search_results(connection: sa.Connection, since: int) -> list[_Pair]:
    """Return the pairs of an article and a market or event that searches found since the last linking run."""
    find = news_finds.c
    rows = connection.execute(
        sa.select(find.news_article_id, find.item_type, find.ticker, find.provider, find.query, find.rank)
        .where(find.found_us >= since - _OVERLAP_US)
        .order_by(find.item_type, find.ticker, find.news_article_id, find.rank, find.provider, find.query)
    )
    return [_Pair(*row, least=LEAST_FOUND) for row in rows]


def _unscored_links(connection: sa.Connection) -> Iterator[_Pair]:
    """Yield links that were adopted from a legacy database and have no relevance score yet."""
    for item_type, (table, key) in _TABLES.items():
        rows = connection.execute(sa.select(table.c.news_article_id, table.c[key]).where(table.c.relevance.is_(None)))
        for article_id, ticker in rows:
            yield _Pair(article_id, item_type, ticker, None, None, None, 0.0)


def _best_pairs(pairs: Iterable[_Pair]) -> list[_Pair]:
    """Return each pair of article and item once, keeping the first occurrence."""
    best: dict[tuple[str, str, int], _Pair] = {}
    for pair in pairs:
        best.setdefault((pair.item_type, pair.ticker, pair.article_id), pair)
    return list(best.values())


def _feed_matches(connection: sa.Connection, since: int, targets: Sequence[Target]) -> list[_Pair]:
    """Return recent feed articles, each paired with the targets whose words it shares."""
    source = news_article_sources.c
    rows = connection.execute(
        sa.select(source.news_article_id, source.provider, news_articles.c.title, news_articles.c.text_snippet)
        .join_from(news_article_sources, news_articles, news_articles.c.news_article_id == source.news_article_id)
        .where(source.found_us >= since - _OVERLAP_US, source.provider.like(_FEED_PROVIDERS))
        .order_by(source.news_article_id, source.provider)
    )
    subjects = [(target, subject_words(target.subject)) for target in targets]
    by_word: dict[str, list[tuple[Target, Subject]]] = {}
    for target, subject in subjects:
        for word in subject.names or subject.weights:
            by_word.setdefault(word, []).append((target, subject))
    found = []
    for article_id, provider, title, snippet in rows:
        in_title, in_text = stems_of(title), stems_of(snippet)
        near = {target: subject for word in in_title | in_text for target, subject in by_word.get(word, ())}
        for target, subject in near.items():
            if relevance(subject, in_title, in_text) >= LEAST_FROM_FEED:
                found.append(_Pair(article_id, target.item_type, target.ticker, provider, None, None, LEAST_FROM_FEED))
    return _best_pairs(found)


def _batches(pairs: Iterable[_Pair]) -> Iterator[list[_Pair]]:
    waiting = iter(pairs)
    while batch := list(islice(waiting, _BATCH)):
        yield batch


def _link(connection: sa.Connection, pairs: Sequence[_Pair], now: int) -> dict[str, int]:
    """Score pairs and store links. Return the numbers of market links, event links and unrelated pairs."""
    articles = _articles(connection, {pair.article_id for pair in pairs})
    subjects = _subjects(connection, pairs)
    rows: dict[str, list[Row]] = {"market": [], "event": []}
    for pair in pairs:
        subject = subjects.get((pair.item_type, pair.ticker))
        if subject is None:
            continue  # the exchange never listed this tracked ticker
        score = relevance(subject, *articles[pair.article_id])
        if score >= pair.least:
            origin = (score, METHOD, pair.provider, pair.query, pair.rank, now)
            rows[pair.item_type].append((pair.article_id, pair.ticker, *origin))
    linked = {}
    for item_type, (table, key) in _TABLES.items():
        refused = write_rows(connection, BulkWrite(table, ("news_article_id", key, *_ORIGIN_COLUMNS)), rows[item_type])
        linked[item_type] = len(rows[item_type]) - len(refused)
    return {**linked, "unrelated": len(pairs) - linked["market"] - linked["event"]}


def _articles(connection: sa.Connection, ids: set[int]) -> dict[int, tuple[frozenset[str], frozenset[str]]]:
    columns = news_articles.c
    rows = connection.execute(
        sa.select(columns.news_article_id, columns.title, columns.full_text, columns.text_snippet).where(
            columns.news_article_id.in_(list(ids))
        )
    )
    return {key: (stems_of(title), stems_of(text or snippet)) for key, title, text, snippet in rows}


def _subjects(connection: sa.Connection, pairs: Sequence[_Pair]) -> dict[tuple[str, str], Subject]:
    wanted: dict[str, list[str]] = {"market": [], "event": []}
    for item_type, ticker in sorted({(pair.item_type, pair.ticker) for pair in pairs}):
        wanted[item_type].append(ticker)
    selects: dict[str, sa.Select[Any]] = {
        "market": sa.select(markets.c.ticker, markets.c.title, markets.c.yes_sub_title).where(
            markets.c.ticker.in_(wanted["market"])
        ),
        "event": sa.select(events.c.event_ticker, events.c.title, events.c.sub_title).where(
            events.c.event_ticker.in_(wanted["event"])
        ),
    }
    return {
        (item_type, ticker): subject_words(subject_of(title, sub_title))
        for item_type, select in selects.items()
        for ticker, title, sub_title in connection.execute(select)
    }
