"""Benchmarks of news: grouping articles into stories, and storing articles with and without the full-text index."""

import time
from collections import Counter
from pathlib import Path

import sqlalchemy as sa

from kalshi_pipelines.news.addresses import canonical_address
from kalshi_pipelines.news.stories import Stories, features, sketch_of
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.bulk import BulkWrite, write_rows
from kalshi_pipelines.warehouse.engine import open_engine, writing
from kalshi_pipelines_tests.support.migrated import upgrade_to_head
from kalshi_pipelines_tests.support.news.corpus import articles
from kalshi_pipelines_tests.support.warehouse.rows import LEGAL

PAGE = 1_000
_COLUMNS = ("url", "title", "source_domain", "collected_us", "text_snippet", "full_text", "ingest_run_id")


def group_into_stories(count: int) -> tuple[int, float, float, float]:
    """Group generated articles into stories. Return the number of articles, CPU seconds, precision and recall.

    The seconds cover addresses, words, sketches and stories. Precision and recall count pairs of articles in a story.
    """
    corpus = articles(count)
    stories, of_page, given = Stories(), dict[str, int](), list[int]()
    started = time.process_time()
    for position, article in enumerate(corpus):
        page, _ = canonical_address(article.url)
        if page not in of_page:
            described = features(article.title, article.published_us, sketch_of(article.text))
            story = stories.story_of(described)
            of_page[page] = position if story is None else story
            stories.add(of_page[page], described)
        given.append(of_page[page])
    seconds = time.process_time() - started
    right = _pairs(Counter((article.story, story) for article, story in zip(corpus, given, strict=True)))
    precision = right / _pairs(Counter(given))
    return len(corpus), seconds, precision, right / _pairs(Counter(article.story for article in corpus))


def _pairs(groups: "Counter[int] | Counter[tuple[int, int]]") -> int:
    return sum(count * (count - 1) // 2 for count in groups.values())


def seconds_per_stored_article(folder: Path, count: int, *, indexed: bool) -> float:
    """Store articles with up to 2,000 characters of text in a SQLite warehouse; return the seconds per article."""
    engine = open_engine(f"sqlite:///{folder / 'warehouse.db'}")
    upgrade_to_head(engine)
    with writing(engine) as connection:
        connection.execute(sa.insert(tables.ingest_runs), LEGAL[tables.ingest_runs])
        if not indexed:
            for verb in ("insert", "update", "delete"):
                connection.exec_driver_sql(f"DROP TRIGGER news_indexing_{verb}")
    texts = [(each.title, (each.text or each.title)[:2_000]) for each in articles(count)]
    rows = [
        (f"https://e.example/{number}", title, "e.example", 1, text[:500], text, 1)
        for number, (title, text) in enumerate(texts)
    ]
    write = BulkWrite(tables.news_articles, _COLUMNS, on_conflict="refuse")
    started = time.perf_counter()
    for start in range(0, len(rows), PAGE):
        with writing(engine) as connection:
            write_rows(connection, write, rows[start : start + PAGE])
    seconds = time.perf_counter() - started
    engine.dispose()
    return seconds / len(rows)
