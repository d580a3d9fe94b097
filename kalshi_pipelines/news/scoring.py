"""Sentiment of articles, and its summary for each market and event over windows that end with a UTC day.

A story counts once, even if it has many copies. Its score is the mean of the scores of its articles. Its weight is
the highest product of relevance and confidence among its articles. Articles that are not in English do not count.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.runs import Counts, IngestRun
from kalshi_pipelines.news.languages import is_english
from kalshi_pipelines.news.options import NewsOptions
from kalshi_pipelines.news.reports import ScoringReport
from kalshi_pipelines.news.sentiment import METHOD, sentiment_of
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import DAY_US, now_us
from kalshi_pipelines.warehouse.bulk import BulkWrite, Row, write_rows
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import (
    news_article_events,
    news_article_markets,
    news_articles,
    news_sentiment_windows,
    news_sentiments,
)

SUBJECT: Final = "news_sentiment"
_BATCH: Final = 500
#: The relevance assumed for a link that was adopted from a legacy database and has no score yet.
_UNSCORED: Final = 0.5
_NEUTRAL: Final = 0.1
_SENTIMENTS: Final = BulkWrite(
    news_sentiments,
    ("news_article_id", "analyzed_us", "score", "label", "confidence", "method", "keywords_matched", "ingest_run_id"),
    on_conflict="refuse",
)
_WINDOWS: Final = BulkWrite(
    news_sentiment_windows,
    (
        "item_type",
        "ticker",
        "days",
        "until_us",
        "articles",
        "stories",
        "positive",
        "neutral",
        "negative",
        "without_published_time",
        "mean_score",
        "weighted_score",
        "weight",
        "previous_weighted_score",
        "method",
        "computed_us",
        "ingest_run_id",
    ),
)
_LINKS: Final = (("market", news_article_markets, "ticker"), ("event", news_article_events, "event_ticker"))


@dataclass(frozen=True)
class _ScoredArticle:
    """The sentiment and weight of one article linked to one market or event."""

    story: int
    at_us: int
    is_published_known: bool
    score: float
    weight: float


@dataclass(frozen=True)
class _Window:
    """The stories of one market or event in one window."""

    articles: int
    without_published_time: int
    scores: tuple[float, ...]
    weights: tuple[float, ...]

    @property
    def weight(self) -> float:
        return sum(self.weights)

    @property
    def weighted_score(self) -> float:
        """The weighted mean of the stories' scores, or their plain mean if all weights are 0."""
        if not self.weight:
            return fmean(self.scores)
        return sum(score * weight for score, weight in zip(self.scores, self.weights, strict=True)) / self.weight


def score_sentiment(
    engine: sa.Engine,
    environment: Environment,
    options: NewsOptions,
    *,
    dagster_run_id: str | None = None,
    clock: Callable[[], int] = now_us,
) -> ScoringReport:
    """Score articles that this lexicon version has not scored, and write sentiment windows of markets and events.

    Raises:
        AlreadyRunning: Another run scores the news of this warehouse.
    """
    labels: Counter[str] = Counter()
    with IngestRun(engine, SUBJECT, environment, dagster_run_id=dagster_run_id) as run:
        now = clock()
        while rows := _next_articles(engine):
            with writing(engine) as connection:
                scored = _sentiment_rows(rows, now, run.run_id)
                for refused in write_rows(connection, _SENTIMENTS, scored):
                    raise RuntimeError(f"The warehouse refused the sentiment of an article: {refused.reason}")
                run.add_page(connection, Counts(read=len(scored), written=len(scored)))
            labels.update(row[3] for row in scored)
        with writing(engine) as connection:
            windows: list[Row] = [
                (*window_row, METHOD, now, run.run_id)
                for window_row in _window_rows(connection, options.sentiment_days, now)
            ]
            for refused in write_rows(connection, _WINDOWS, windows):
                raise RuntimeError(f"The warehouse refused a window of sentiment: {refused.reason}")
    return ScoringReport(sum(labels.values()), len(windows), METHOD, dict(labels))


def _next_articles(engine: sa.Engine) -> list[sa.Row[Any]]:
    """Return a batch of linked English articles that this version of the lexicon has not scored."""
    article, scored = news_articles.c, news_sentiments.c
    done = sa.exists().where(scored.news_article_id == article.news_article_id, scored.method == METHOD)
    linked = sa.or_(*[sa.exists().where(table.c.news_article_id == article.news_article_id) for _, table, _ in _LINKS])
    english = sa.or_(article.language.is_(None), article.language == "en", article.language.like("en-%"))
    with engine.connect() as connection:
        return list(
            connection.execute(
                sa.select(article.news_article_id, article.title, article.full_text, article.text_snippet)
                .where(sa.not_(done), linked, english)
                .order_by(article.news_article_id)
                .limit(_BATCH)
            )
        )


def _sentiment_rows(rows: Iterable[sa.Row[Any]], now: int, run_id: int) -> list[Row]:
    scored: list[Row] = []
    for key, title, text, snippet in map(tuple, rows):
        found = sentiment_of(title, text or snippet)
        keywords = json.dumps(found.keywords)
        scored.append((key, now, found.score, found.label, found.confidence, METHOD, keywords, run_id))
    return scored


def _window_rows(connection: sa.Connection, lengths: Sequence[int], now: int) -> Iterable[tuple[Any, ...]]:
    until = now - now % DAY_US + DAY_US
    earliest = until - 2 * max(lengths) * DAY_US
    for item_type, table, key in _LINKS:
        for ticker, articles in _scored_articles(connection, table, key, earliest, until).items():
            for days in lengths:
                row = _window_row(articles, days, until)
                if row is not None:
                    yield item_type, ticker, days, until, *row


def _scored_articles(
    connection: sa.Connection, table: sa.Table, key: str, earliest: int, until: int
) -> dict[str, list[_ScoredArticle]]:
    article, scored = news_articles.c, news_sentiments.c
    at = sa.func.coalesce(article.published_us, article.collected_us)
    rows = connection.execute(
        sa.select(
            table.c[key],
            article.news_article_id,
            article.group_id,
            at,
            article.published_us,
            article.language,
            scored.score,
            scored.confidence,
            table.c.relevance,
        )
        .join_from(table, news_articles, article.news_article_id == table.c.news_article_id)
        .join(news_sentiments, (scored.news_article_id == article.news_article_id) & (scored.method == METHOD))
        .where(at >= earliest, at < until)
        .order_by(table.c[key], article.news_article_id)
    )
    articles: defaultdict[str, list[_ScoredArticle]] = defaultdict(list)
    for ticker, article_id, group, at_us, published, language, score, confidence, relevance in rows:
        if is_english(language):
            weight = (_UNSCORED if relevance is None else relevance) * confidence
            articles[ticker].append(_ScoredArticle(group or article_id, at_us, published is not None, score, weight))
    return articles


def _window_row(articles: Sequence[_ScoredArticle], days: int, until: int) -> tuple[Any, ...] | None:
    length = days * DAY_US
    window = _window([each for each in articles if until - length <= each.at_us < until])
    if window is None:
        return None
    before = _window([each for each in articles if until - 2 * length <= each.at_us < until - length])
    labels = Counter(
        "positive" if score > _NEUTRAL else "negative" if score < -_NEUTRAL else "neutral" for score in window.scores
    )
    return (
        window.articles,
        len(window.scores),
        labels["positive"],
        labels["neutral"],
        labels["negative"],
        window.without_published_time,
        round(fmean(window.scores), 4),
        round(window.weighted_score, 4),
        round(window.weight, 4),
        None if before is None else round(before.weighted_score, 4),
    )


def _window(articles: Sequence[_ScoredArticle]) -> _Window | None:
    if not articles:
        return None
    stories: defaultdict[int, list[_ScoredArticle]] = defaultdict(list)
    for each in articles:
        stories[each.story].append(each)
    return _Window(
        len(articles),
        sum(not each.is_published_known for each in articles),
        tuple(fmean(each.score for each in copies) for copies in stories.values()),
        tuple(max(each.weight for each in copies) for copies in stories.values()),
    )
