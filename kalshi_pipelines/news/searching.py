"""Full-text search of articles through the index of the warehouse. No search text is read as query syntax."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.news.words import words
from kalshi_pipelines.warehouse.tables import SEARCHED_TEXT, news_articles

_MOST_WORDS: Final = 16


@dataclass(frozen=True)
class FoundArticle:
    """An article that contains all words of a search."""

    news_article_id: int
    title: str
    url: str
    source_domain: str
    published_us: int | None
    snippet: str | None


def search_articles(engine: sa.Engine, text: str, most: int = 20) -> list[FoundArticle]:
    """Return up to ``most`` articles that contain every word of a text, the best match first.

    The database reduces the words of searches and of articles to their stems. No part of the text is query syntax.
    """
    terms = list(dict.fromkeys(words(text)))[:_MOST_WORDS]
    if not terms:
        return []
    with engine.connect() as connection:
        return [FoundArticle(*row) for row in connection.execute(search_of(terms, engine.dialect.name).limit(most))]


def search_of(terms: Sequence[str], dialect: str) -> sa.Select[Any]:
    """Return the SQL statement that finds articles with all given words, the best match first."""
    article = news_articles.c
    columns = (
        article.news_article_id,
        article.title,
        article.url,
        article.source_domain,
        article.published_us,
        article.text_snippet,
    )
    if dialect == "sqlite":
        index = sa.table("news_search", sa.column("rowid"), sa.column("news_search"), sa.column("rank"))
        return (
            sa.select(*columns)
            .join_from(index, news_articles, article.news_article_id == index.c.rowid)
            .where(index.c.news_search.op("MATCH")(" ".join(f'"{word}"' for word in terms)))
            .order_by(index.c.rank, article.news_article_id)
        )
    searched: sa.ColumnElement[object] = sa.literal_column(f"to_tsvector('english', {SEARCHED_TEXT})")
    query = sa.func.plainto_tsquery(sa.literal_column("'english'"), " ".join(terms))
    return (
        sa.select(*columns)
        .where(searched.op("@@")(query))
        .order_by(sa.func.ts_rank(searched, query).desc(), article.news_article_id)
    )
