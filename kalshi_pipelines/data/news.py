"""News for readers: each article with each market or event it is about, and its newest sentiment."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from kalshi_pipelines.warehouse.bulk import wanted_keys
from kalshi_pipelines.warehouse.tables import (
    news_article_events,
    news_article_markets,
    news_articles,
    news_sentiments,
)


def news_query(
    dialect: str, start_us: int | None, end_us: int | None, tickers: Collection[str] | None = None
) -> sa.Select[Any]:
    """Return the query of articles by the time at which we collected them.

    An article that is about several markets has a row for each of them. An article without a market has one row.
    """
    links, newest = _links(), _newest_sentiments()
    articles = news_articles.c
    joined = news_articles.outerjoin(links, links.c.news_article_id == articles.news_article_id)
    joined = joined.outerjoin(newest, newest.c.news_article_id == articles.news_article_id)
    names = ("news_article_id", "collected_us", "published_us", "url", "title", "source_domain", "language", "group_id")
    query = (
        sa.select(
            *[articles[name] for name in names],
            articles.text_snippet,
            links.c.item_type,
            links.c.ticker,
            links.c.relevance,
            newest.c.score.label("sentiment_score"),
            newest.c.label.label("sentiment_label"),
            newest.c.method.label("sentiment_method"),
            newest.c.analyzed_us.label("sentiment_us"),
        )
        .select_from(joined)
        .order_by(articles.collected_us, articles.news_article_id, links.c.item_type, links.c.ticker)
    )
    if start_us is not None:
        query = query.where(articles.collected_us >= start_us)
    if end_us is not None:
        query = query.where(articles.collected_us < end_us)
    if tickers is not None:
        query = query.where(links.c.ticker.in_(sa.select(wanted_keys(tickers, dialect).c.value)))
    return query


def _links() -> sa.Subquery:
    return sa.union_all(
        *[
            sa.select(
                table.c.news_article_id,
                sa.literal(item, sa.Text()).label("item_type"),
                table.c[column].label("ticker"),
                table.c.relevance,
            )
            for table, item, column in (
                (news_article_markets, "market", "ticker"),
                (news_article_events, "event", "event_ticker"),
            )
        ]
    ).subquery("links")


def _newest_sentiments() -> sa.Subquery:
    columns = news_sentiments.c
    number = sa.func.row_number().over(
        partition_by=columns.news_article_id, order_by=(columns.analyzed_us.desc(), columns.news_sentiment_id.desc())
    )
    ranked = sa.select(news_sentiments, number.label("number")).subquery("ranked")
    return sa.select(ranked).where(ranked.c.number == 1).subquery("newest")
