"""Rows and figures of stored news for people: headlines, links, sentiment, duplicates and freshness.

Belongs here: a few rows and figures as harmless lines of text. Does not belong here: their layout in a user interface.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.alerts.messages import moment
from kalshi_pipelines.alerts.scrubbing import neutral
from kalshi_pipelines.units import DAY_US, HOUR_US
from kalshi_pipelines.warehouse.tables import (
    ingest_runs,
    news_article_events,
    news_article_markets,
    news_articles,
    news_sentiment_windows,
)

#: The age in microseconds at which the last successful collection is too old. Four collections are due in 24 hours, so
#: three in a row may fail.
OLDEST_US: Final = 26 * HOUR_US
RATE_DAYS: Final = 7
#: The highest usual share of duplicates. A higher share means that queries repeat each other.
MOST_DUPLICATES: Final = 0.8
_FEWEST_FOR_A_RATE: Final = 20
_MOST_TITLE: Final = 80
_COMMAND: Final = "dagster job execute -m kalshi_pipelines -j news"

_IS_FIRST: Final = news_articles.c.group_id.is_(None) | (news_articles.c.group_id == news_articles.c.news_article_id)

Row = Mapping[str, str]


@dataclass(frozen=True)
class NewsFreshness:
    """The age of the last successful collection of news.

    Attributes:
        is_fresh: Whether the last successful collection ended less than 26 hours ago.
        last_us: The end of that collection in microseconds since 1970 UTC; ``None`` if none succeeded.
        sentence: The result as a sentence for people, with the command to run if news is old.
    """

    is_fresh: bool
    last_us: int | None
    sentence: str


@dataclass(frozen=True)
class DuplicateRate:
    """The share of articles of the last seven days that repeat a known story.

    Attributes:
        articles: The number of articles collected.
        copies: The number of those articles that are not the first of their story.
    """

    articles: int
    copies: int

    @property
    def share(self) -> float:
        """The share of copies among the articles, from 0 to 1."""
        return self.copies / self.articles if self.articles else 0.0

    @property
    def is_usual(self) -> bool:
        """Whether the share of copies is at most 80 %. With fewer than 20 articles, any share counts as usual."""
        return self.articles < _FEWEST_FOR_A_RATE or self.share <= MOST_DUPLICATES

    @property
    def sentence(self) -> str:
        """The duplicate rate as a sentence for people."""
        text = f"{self.copies} of {self.articles} articles of the last {RATE_DAYS} days repeat a known story."
        return text if self.is_usual else f"{text} Check the queries of tracked items and the feeds."


def news_freshness(engine: sa.Engine, environment: str, now_us: int) -> NewsFreshness:
    """Return whether a collection of news succeeded in the last 26 hours, with the result as a sentence."""
    runs = ingest_runs.c
    wanted = (runs.subject == "news_articles") & (runs.environment == environment) & (runs.status == "succeeded")
    with engine.connect() as connection:
        last = connection.scalar(sa.select(sa.func.max(runs.finished_us)).where(wanted))
    if last is not None and now_us - last < OLDEST_US:
        return NewsFreshness(True, last, f"The last collection of {environment} news succeeded at {moment(last)}.")
    since = "yet" if last is None else f"since {moment(last)}"
    return NewsFreshness(False, last, f"No collection of {environment} news succeeded {since}. Run `{_COMMAND}`.")


def duplicate_rate(engine: sa.Engine, now_us: int) -> DuplicateRate:
    """Return the duplicate rate of the articles collected in the last seven days."""
    articles = news_articles.c
    is_copy = sa.case((articles.group_id != articles.news_article_id, 1), else_=0)
    with engine.connect() as connection:
        counted = connection.execute(
            sa.select(sa.func.count(), sa.func.sum(is_copy)).where(articles.collected_us >= now_us - RATE_DAYS * DAY_US)
        ).one()
    return DuplicateRate(int(counted[0]), int(counted[1] or 0))


def newest_headlines(engine: sa.Engine, most: int) -> list[Row]:
    """Return the newest stories with their outlets, leaving out copies of a story."""
    articles = news_articles.c
    found = (
        sa.select(articles.title, articles.source_domain, articles.published_us)
        .where(_IS_FIRST)
        .order_by(articles.news_article_id.desc())
        .limit(most)
    )
    with engine.connect() as connection:
        return [
            {
                "headline": neutral(row.title, _MOST_TITLE),
                "outlet": neutral(row.source_domain, 60),
                "published": "unknown" if row.published_us is None else moment(row.published_us),
            }
            for row in connection.execute(found)
        ]


def strongest_links(engine: sa.Engine, most: int) -> list[Row]:
    """Return the most relevant links of the last day that has links, leaving out copies of a story."""
    found = sa.union_all(
        *(
            sa.select(links.c[ticker].label("ticker"), links.c.relevance, links.c.linked_us, news_articles.c.title)
            .join(news_articles, news_articles.c.news_article_id == links.c.news_article_id)
            .where(_IS_FIRST)
            for links, ticker in ((news_article_markets, "ticker"), (news_article_events, "event_ticker"))
        )
    ).subquery()
    last = sa.select(sa.func.max(found.c.linked_us)).scalar_subquery()
    chosen = (
        sa.select(found)
        .where(found.c.relevance.is_not(None), found.c.linked_us > last - DAY_US)
        .order_by(found.c.relevance.desc(), found.c.ticker, found.c.title)
        .limit(most)
    )
    with engine.connect() as connection:
        return [
            {
                "market or event": neutral(row.ticker, 60),
                "relevance": f"{row.relevance:.2f}",
                "headline": neutral(row.title, _MOST_TITLE),
            }
            for row in connection.execute(chosen)
        ]


def sentiment_rows(engine: sa.Engine, most: int) -> list[Row]:
    """Return the newest sentiment windows, the window with the largest number of stories first.

    Each row also shows counts, because a score alone can mislead.
    """
    windows = news_sentiment_windows.c
    last = sa.select(sa.func.max(windows.until_us)).scalar_subquery()
    chosen = (
        sa.select(news_sentiment_windows)
        .where(windows.until_us == last)
        .order_by(windows.stories.desc(), windows.ticker, windows.days)
        .limit(most)
    )
    with engine.connect() as connection:
        return [_sentiment_row(row) for row in connection.execute(chosen)]


def _sentiment_row(row: sa.Row[Any]) -> Row:
    before = row.previous_weighted_score
    return {
        "market or event": neutral(row.ticker, 60),
        "days": str(row.days),
        "stories": str(row.stories),
        "positive / neutral / negative": f"{row.positive} / {row.neutral} / {row.negative}",
        "weighted score": f"{row.weighted_score:+.2f}",
        "before": "unknown" if before is None else f"{before:+.2f}",
    }
