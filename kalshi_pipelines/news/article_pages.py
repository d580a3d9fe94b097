"""Fetching of the pages of articles that arrived without text. Nothing is fetched unless an operator enables it.

Pages are fetched only from the public internet (see ``fetching``), at most 50 in a run, one after the other.
"""

import re
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.runs import IngestRun
from kalshi_pipelines.news.articles import MOST_SNIPPET
from kalshi_pipelines.news.fetching import FetchedPage, Fetcher, FetchLimits, NotFetched
from kalshi_pipelines.news.languages import language_of
from kalshi_pipelines.news.stories import sketch_of
from kalshi_pipelines.news.untrusted import plain_text
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import news_article_sources, news_articles

MOST_PAGES: Final = 50
_LIMITS: Final = FetchLimits(most_bytes=2 * 1024 * 1024, seconds=15.0, redirects=3)
_MOST_READ: Final = 1_000_000
_CHARSET: Final = re.compile(r"charset\s*=\s*[\"']?(utf-?8|us-ascii|iso-8859-\d{1,2}|windows-125\d)\b", re.IGNORECASE)
_TEXTS: Final = ("text/html", "application/xhtml+xml", "text/plain")


@dataclass(frozen=True)
class PageCounts:
    """Counts of pages that gave a text and of pages that failed."""

    read: int = 0
    failed: int = 0


def page_fetcher() -> Fetcher:
    """Return a fetcher of article pages. It contacts public hosts only."""
    return Fetcher(limits=_LIMITS)


def read_pages(run: IngestRun, text_characters: int, fetcher: Fetcher) -> PageCounts:
    """Fetch the page of each article that this run stored without text, and store the page's text."""
    article, source = news_articles.c, news_article_sources.c
    with run.engine.connect() as connection:
        wanted = connection.execute(
            sa.select(article.news_article_id, article.title, sa.func.min(source.url))
            .join_from(news_articles, news_article_sources, source.news_article_id == article.news_article_id)
            .where(article.ingest_run_id == run.run_id, article.full_text.is_(None))
            .group_by(article.news_article_id, article.title)
            .order_by(article.news_article_id)
            .limit(MOST_PAGES)
        ).all()
    texts = {}
    for key, title, url in wanted:
        try:
            text = text_of(fetcher.fetch(url), text_characters)
        except NotFetched:
            continue
        texts[key] = {
            "full_text": text,
            "text_snippet": plain_text(text, MOST_SNIPPET),
            "text_sketch": sketch_of(text),
            "language": language_of(None, f"{title} {text}"),
        }
    with writing(run.engine) as connection:
        for key, values in texts.items():
            connection.execute(sa.update(news_articles).where(article.news_article_id == key).values(values))
    return PageCounts(len(texts), len(wanted) - len(texts))


def text_of(page: FetchedPage, text_characters: int) -> str:
    """Return the clean text of a page.

    Raises:
        NotFetched: The page is not text or has no text.
    """
    kind = page.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() not in _TEXTS:
        raise NotFetched("The page has an unsupported content type.")
    named = _CHARSET.search(kind)
    text = plain_text(page.body.decode(named[1] if named else "utf-8", errors="replace"), text_characters, _MOST_READ)
    if not text:
        raise NotFetched("The page has no text.")
    return text
