"""Headlines, links, sentiment, duplicates and freshness as shown to people."""

from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.news.showing import (
    OLDEST_US,
    DuplicateRate,
    duplicate_rate,
    newest_headlines,
    news_freshness,
    sentiment_rows,
    strongest_links,
)
from kalshi_pipelines.units import DAY_US
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines_tests.support.warehouse.rows import EVENT, LEGAL, MARKET

NOW = 1_795_348_800_000_000
HOSTILE = "<script>x</script> [a](javascript:b) \u202eback `c`"


def insert(engine: sa.Engine, table: sa.Table, *rows: dict[str, Any]) -> None:
    with writing(engine) as connection:
        for row in rows:
            connection.execute(sa.insert(table).values(**(dict(LEGAL[table]) | row)))


@pytest.fixture
def run(engine: sa.Engine) -> int:
    """The key of a run that test rows can refer to. The warehouse also has a series, an event and a market."""
    done = {"status": "succeeded", "started_us": NOW - 9, "finished_us": NOW - 1}
    insert(engine, tables.ingest_runs, {"subject": "news_articles"} | done)
    for table in (tables.series, tables.events, tables.markets):
        insert(engine, table, {})
    return 1


def articles(engine: sa.Engine, *rows: dict[str, Any]) -> None:
    for number, row in enumerate(rows, 1):
        usual = {"url": f"https://a.example/{number}", "news_article_id": number, "collected_us": NOW}
        insert(engine, tables.news_articles, usual | row)


def test_newest_headlines_show_first_articles_as_harmless_lines(engine: sa.Engine, run: int) -> None:
    articles(
        engine,
        {"title": "First", "group_id": 1, "published_us": None},
        {"title": "A copy", "group_id": 1},
        {"title": HOSTILE, "group_id": 3, "published_us": NOW},
        {"title": "Adopted", "group_id": None},
    )
    shown = newest_headlines(engine, 3)
    assert [row["headline"] for row in shown][::2] == ["Adopted", "First"]
    assert shown[1]["published"] == "2026-11-22 12:00 UTC"
    assert shown[2]["published"] == "unknown"
    assert not set("<>`\u202e") & set(shown[1]["headline"])
    assert "](" not in shown[1]["headline"]


def test_strongest_links_are_recent_and_sorted_by_relevance(engine: sa.Engine, run: int) -> None:
    articles(engine, {"title": "Weak"}, {"title": "Strong"}, {"title": "Old"}, {"title": "Unscored"}, {"group_id": 2})
    for article, relevance, at_us in ((1, 0.2, NOW - 5), (3, 1.0, NOW - DAY_US), (5, 0.95, NOW)):
        link = {"news_article_id": article, "relevance": relevance, "relevance_method": "m", "linked_us": at_us}
        insert(engine, tables.news_article_markets, link)
    insert(
        engine,
        tables.news_article_events,
        {"news_article_id": 2, "relevance": 0.9, "relevance_method": "m", "linked_us": NOW},
        {"news_article_id": 4, "relevance": None, "relevance_method": None, "linked_us": None},
    )
    assert strongest_links(engine, 5) == [
        {"market or event": EVENT["event_ticker"], "relevance": "0.90", "headline": "Strong"},
        {"market or event": MARKET["ticker"], "relevance": "0.20", "headline": "Weak"},
    ]
    assert len(strongest_links(engine, 1)) == 1


def test_sentiment_rows_show_the_newest_window_with_counts(engine: sa.Engine, run: int) -> None:
    counts = {"articles": 5, "stories": 4, "positive": 1, "neutral": 0, "negative": 3, "ingest_run_id": run}
    window = {"item_type": "market", "days": 7, "weighted_score": -0.456} | counts
    insert(
        engine,
        tables.news_sentiment_windows,
        window | {"ticker": "OLD", "until_us": NOW - DAY_US},
        window | {"ticker": "NEW", "until_us": NOW, "previous_weighted_score": None},
    )
    assert sentiment_rows(engine, 5) == [
        {
            "market or event": "NEW",
            "days": "7",
            "stories": "4",
            "positive / neutral / negative": "1 / 0 / 3",
            "weighted score": "-0.46",
            "before": "unknown",
        }
    ]


def test_freshness_counts_only_successful_runs_of_the_environment(engine: sa.Engine, run: int) -> None:
    environment = dict(LEGAL[tables.ingest_runs])["environment"]
    at_us = NOW - 1
    assert news_freshness(engine, environment, at_us + OLDEST_US - 1).is_fresh
    late = news_freshness(engine, environment, at_us + OLDEST_US)
    assert (late.is_fresh, late.last_us) == (False, at_us)
    assert "-j news" in late.sentence
    other = {"sandbox", "demo", "prod"} - {environment}
    for name in other:
        assert news_freshness(engine, name, NOW).last_us is None


def test_duplicate_rate_counts_recent_copies_and_ignores_small_samples(engine: sa.Engine, run: int) -> None:
    articles(
        engine, {"group_id": 1}, {"group_id": 1}, {"group_id": 1, "collected_us": NOW - 8 * DAY_US}, {"group_id": None}
    )
    assert duplicate_rate(engine, NOW) == DuplicateRate(articles=3, copies=1)
    assert DuplicateRate(0, 0).is_usual
    assert DuplicateRate(10, 10).is_usual
    assert DuplicateRate(100, 80).is_usual
    assert not DuplicateRate(100, 81).is_usual
    assert "81 of 100" in DuplicateRate(100, 81).sentence
