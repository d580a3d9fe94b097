"""Storage of provider answers: new articles, new facts of known articles, their sources, search results and stories.

One answer of a provider is stored in one transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.quarantine import UnstorableRecord, set_aside
from kalshi_pipelines.bookkeeping.stamps import Stamp
from kalshi_pipelines.news.articles import NewsArticle, RejectedArticle, article_of, payload_of
from kalshi_pipelines.news.providers.protocol import ProviderAnswer
from kalshi_pipelines.news.stories import UNDATED_US, Features, Stories, features
from kalshi_pipelines.news.targets import Target
from kalshi_pipelines.warehouse.bulk import BulkWrite, RefusedRow, Row, wanted_keys, write_rows
from kalshi_pipelines.warehouse.tables import news_article_sources, news_articles, news_finds

SUBJECT: Final = "news_articles"
_NEW: Final = BulkWrite(
    news_articles,
    (
        "url",
        "title",
        "source_domain",
        "published_us",
        "collected_us",
        "text_snippet",
        "full_text",
        "exa_request_id",
        "ingest_run_id",
        "language",
        "text_sketch",
    ),
    on_conflict="refuse",
)
_SOURCES: Final = BulkWrite(
    news_article_sources,
    ("news_article_id", "provider", "url", "provider_article_id", "request_id", "found_us", "ingest_run_id"),
    on_conflict="keep",
)
_FINDS: Final = BulkWrite(
    news_finds,
    ("item_type", "ticker", "news_article_id", "provider", "query", "rank", "found_us", "ingest_run_id"),
    keep=("found_us", "ingest_run_id"),
)
#: Columns that a later answer can fill in, each with the attribute of `NewsArticle` that holds the value.
_FILLABLE: Final = {
    "published_us": "published_us",
    "text_snippet": "snippet",
    "full_text": "text",
    "language": "language",
    "text_sketch": "sketch",
}


@dataclass(frozen=True)
class StoredCounts:
    """Counts of stored, unchanged and rejected articles of one answer."""

    written: int = 0
    unchanged: int = 0
    rejected: int = 0
    new_groups: int = 0
    in_known_groups: int = 0


@dataclass(frozen=True)
class AnswerOrigin:
    """The provider, query and target of an answer. The target is ``None`` for a provider without queries."""

    provider: str
    query: str = ""
    target: Target | None = None


def store_answer(
    connection: sa.Connection, origin: AnswerOrigin, answer: ProviderAnswer, text_characters: int, stamp: Stamp
) -> StoredCounts:
    """Store a provider's answer, with rejected entries in the quarantine.

    Args:
        connection: A connection in a transaction. The caller counts the answer in the same transaction.
        origin: The provider, query and target of the answer.
        answer: The answer to store.
        text_characters: The number of characters kept of each text.
        stamp: The time and run of the storage.
    """
    articles: dict[str, tuple[int, NewsArticle]] = {}
    rejected: list[UnstorableRecord] = []
    for rank, raw in enumerate(answer.articles, start=1):
        try:
            article = article_of(raw, text_characters, stamp.recorded_us)
        except RejectedArticle as reason:
            rejected.append(UnstorableRecord(payload_of(raw), str(reason), None))
            continue
        articles.setdefault(article.url, (rank, article))
    known = _known_articles(connection, articles)
    new = [article for _, article in articles.values() if article.url not in known]
    refused = _insert(connection, new, answer.request_id, stamp)
    for each in refused:
        url = new[each.position].url
        rejected.append(UnstorableRecord(url.encode(), f"The warehouse refused the article: {each.reason}", None))
        del articles[url]
    changed = {url for url, row in known.items() if _fill_gaps(connection, row, articles[url][1])}
    ids = {url: int(row["news_article_id"]) for url, row in _known_articles(connection, articles).items()}
    stored = _assign_stories(connection, [article for article in new if article.url in ids], ids, stamp)
    changed |= known.keys() & _record_sources(connection, origin, answer, articles, ids, stamp)
    _record_finds(connection, origin, articles, ids, stamp)
    set_aside(connection, SUBJECT, rejected, stamp)
    written = len(new) - len(refused) + len(changed)
    read = len(answer.articles)
    return replace(stored, written=written, unchanged=read - written - len(rejected), rejected=len(rejected))


def _known_articles(connection: sa.Connection, urls: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    wanted = wanted_keys(list(urls), connection.dialect.name)
    columns = [news_articles.c[name] for name in ("news_article_id", "url", *_FILLABLE)]
    rows = connection.execute(
        sa.select(*columns).join_from(wanted, news_articles, news_articles.c.url == wanted.c.value)
    ).mappings()
    return {row["url"]: dict(row) for row in rows}


def _insert(
    connection: sa.Connection, articles: Sequence[NewsArticle], request_id: str | None, stamp: Stamp
) -> list[RefusedRow]:
    rows: list[Row] = [
        (
            each.url,
            each.title,
            each.source_domain,
            each.published_us,
            stamp.recorded_us,
            each.snippet,
            each.text,
            request_id,
            stamp.ingest_run_id,
            each.language,
            each.sketch,
        )
        for each in articles
    ]
    return write_rows(connection, _NEW, rows)


def _fill_gaps(connection: sa.Connection, row: Mapping[str, Any], article: NewsArticle) -> bool:
    """Fill in missing facts of a stored article and keep known facts. Return whether any fact was added."""
    values = {
        column: getattr(article, name)
        for column, name in _FILLABLE.items()
        if row[column] is None and getattr(article, name) is not None
    }
    if values:
        connection.execute(
            sa.update(news_articles).where(news_articles.c.news_article_id == row["news_article_id"]).values(values)
        )
    return bool(values)


def _assign_stories(
    connection: sa.Connection, new: Sequence[NewsArticle], ids: Mapping[str, int], stamp: Stamp
) -> StoredCounts:
    """Assign a story to each new article."""
    if not new:
        return StoredCounts()
    described = [
        (
            ids[each.url],
            features(
                each.title,
                each.published_us or stamp.recorded_us,
                each.sketch,
                is_dated=each.published_us is not None,
            ),
        )
        for each in new
    ]
    stories = Stories(
        _recent_articles(connection, [each for _, each in described], frozenset(key for key, _ in described))
    )
    rows = []
    firsts = 0
    for article_id, article in described:
        story = stories.story_of(article)
        firsts += story is None
        story = article_id if story is None else story
        stories.add(story, article)
        rows.append({"key": article_id, "story": story})
    key = news_articles.c.news_article_id
    update = sa.update(news_articles).where(key == sa.bindparam("key")).values(group_id=sa.bindparam("story"))
    connection.execute(update, rows)
    return StoredCounts(new_groups=firsts, in_known_groups=len(new) - firsts)


def _recent_articles(
    connection: sa.Connection, described: Sequence[Features], without: frozenset[int]
) -> Iterable[tuple[int, Features]]:
    """Yield stored articles that could share a story with the new articles, each with its story's number."""
    columns = news_articles.c
    first = min(each.published_us for each in described) - UNDATED_US
    last = max(each.published_us for each in described) + UNDATED_US
    rows = connection.execute(
        sa.select(
            columns.news_article_id,
            columns.group_id,
            columns.title,
            columns.published_us,
            columns.collected_us,
            columns.text_sketch,
        )
        .where(
            sa.or_(
                columns.published_us.between(first, last),
                columns.published_us.is_(None) & columns.collected_us.between(first, last),
            )
        )
        .order_by(columns.news_article_id)
    )
    for key, group, title, published, collected, sketch in rows:
        if key not in without:
            yield group or key, features(title, published or collected, sketch, is_dated=published is not None)


def _record_sources(
    connection: sa.Connection,
    origin: AnswerOrigin,
    answer: ProviderAnswer,
    articles: Mapping[str, tuple[int, NewsArticle]],
    ids: Mapping[str, int],
    stamp: Stamp,
) -> set[str]:
    """Record a provider as a source of articles. Return the addresses of articles that are new to this provider."""
    columns = news_article_sources.c
    known_ids = set(
        connection.scalars(
            sa.select(columns.news_article_id).where(
                columns.provider == origin.provider, columns.news_article_id.in_(list(ids.values()))
            )
        )
    )
    added = {url: article for url, (_, article) in articles.items() if ids[url] not in known_ids}
    rows: list[Row] = [
        (ids[url], origin.provider, each.link, each.provider_id, answer.request_id, *_stamp(stamp))
        for url, each in added.items()
    ]
    write_rows(connection, _SOURCES, rows)
    return set(added)


def _record_finds(
    connection: sa.Connection,
    origin: AnswerOrigin,
    articles: Mapping[str, tuple[int, NewsArticle]],
    ids: Mapping[str, int],
    stamp: Stamp,
) -> None:
    target = origin.target
    if target is None:
        return
    rows: list[Row] = [
        (target.item_type, target.ticker, ids[url], origin.provider, origin.query, rank, *_stamp(stamp))
        for url, (rank, _) in articles.items()
    ]
    write_rows(connection, _FINDS, rows)


def _stamp(stamp: Stamp) -> tuple[int, int]:
    return stamp.recorded_us, stamp.ingest_run_id
