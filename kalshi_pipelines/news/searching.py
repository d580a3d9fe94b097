"""Full-text search of articles: the index of the warehouse, asked with words and not with a language of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.news.words import words
from kalshi_pipelines.warehouse.tables import SEARCHED_TEXT, news_articles

_MOST_WORDS: Final = 16


@dataclass(frozen=True)
class FoundArticle:
    """An article that has all the words of a search."""

    news_article_id: int
    title: str
    url: str
    source_domain: str
    published_us: int | None
    snippet: str | None


def search_articles(engine: sa.Engine, text: str, most: int = 20) -> list[FoundArticle]:
    """The articles that have every word of a text, the best first, at most so many.

    Words are cut to their stems by the database, as those of the articles are. Nothing of the text is syntax.
    """
    terms = list(dict.fromkeys(words(text)))[:_MOST_WORDS]
    if not terms:
        return []
    with engine.connect() as connection:
        return [FoundArticle(*row) for row in connection.execute(search_of(terms, engine.dialect.name).limit(most))]


def search_of(terms: Sequence[str], dialect: str) -> sa.Select[Any]:
    """The statement that finds articles with all of some words, the best first."""
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
