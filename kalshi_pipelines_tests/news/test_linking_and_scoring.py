"""Links from search results and feeds, and sentiment windows that count each story once."""

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.news.linking import link_news
from kalshi_pipelines.news.options import NewsOptions
from kalshi_pipelines.news.relevance import LEAST_FOUND, relevance, stems_of, subject_words
from kalshi_pipelines.news.reports import LinkingReport, ScoringReport
from kalshi_pipelines.news.scoring import score_sentiment
from kalshi_pipelines.news.sentiment import sentiment_of
from kalshi_pipelines.news.tracking import track
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import DAY_US, HOUR_US
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines_tests.support.news.collecting import (
    GAME,
    LANDFALL,
    NOW,
    STORM,
    STORM_QUERY,
    TORONTO,
    collect,
    rows,
)
from kalshi_pipelines_tests.support.news.providers import ScriptedProvider, article, reply

GOOD, BAD = "Hope and relief as Zelda turns away from Florida", "Fears grow: Zelda kills two in Florida"


def link(engine: sa.Engine, now: int = NOW + 1) -> LinkingReport:
    return link_news(engine, Environment.SANDBOX, clock=lambda: now)


def score(engine: sa.Engine, days: Sequence[int] = (7,), now: int = NOW + 2) -> ScoringReport:
    options = NewsOptions(sentiment_days=tuple(days))
    return score_sentiment(engine, Environment.SANDBOX, options, clock=lambda: now)


# Relevance ----------------------------------------------------------------------------------------------------------


def of(subject: str, title: str, text: str = "") -> float:
    return relevance(subject_words(subject), stems_of(title), stems_of(text))


def test_relevance_is_the_weighted_share_of_subject_words() -> None:
    subject = "Will Hurricane Zelda hit Florida?"
    assert of(subject, "Hurricane Zelda hits Florida coast") == 1.0
    assert of(subject, "Nothing", "Hurricane Zelda hits Florida coast") == 0.6
    assert of(subject, "Zelda is here") < of(subject, "Zelda nears Florida") < 1
    assert of(subject, "A hurricane season to forget") < of(subject, "Zelda nears Florida")
    assert of(subject, "A hit with the crowd") < LEAST_FOUND
    assert of(subject, "") == of("", "Hurricane Zelda") == 0.0


@pytest.mark.parametrize("subject", ["Will the Fed cut rates above 4.5%?", "Top artist in Albany", "123 above below"])
def test_relevance_lies_between_0_and_1(subject: str) -> None:
    assert of(subject, subject) == 1.0
    assert 0 <= of(subject, "Fed says", subject) <= 1


# Links --------------------------------------------------------------------------------------------------------------


def test_search_results_are_linked_with_query_rank_and_relevance(stocked: sa.Engine) -> None:
    track(stocked, LANDFALL, ["Zelda"])
    answer = reply(article("a", "Zelda nears Florida", NOW), article("b", "Recipes for autumn", NOW))
    collect(stocked, ScriptedProvider({"Zelda": answer, STORM_QUERY: answer}))
    done = link(stocked)
    assert (done.considered, done.markets, done.events, done.unrelated) == (4, 1, 1, 2)
    (market,) = rows(stocked, tables.news_article_markets)
    assert (market["ticker"], market["query"], market["rank"], market["provider"]) == (LANDFALL, "Zelda", 1, "exa")
    assert market["relevance_method"] == done.method
    assert market["linked_us"] == NOW + 1
    assert 0.5 < market["relevance"] < 1
    (event,) = rows(stocked, tables.news_article_events)
    assert (event["event_ticker"], event["query"]) == (STORM, STORM_QUERY)
    # A linking run also takes articles from the hour before the previous run, so it writes the same link again.
    assert link(stocked, NOW + 3 * HOUR_US).events == 1
    assert rows(stocked, tables.news_article_events) == [event | {"linked_us": NOW + 3 * HOUR_US}]
    assert link(stocked, NOW + 6 * HOUR_US).considered == 0


def test_feed_articles_are_linked_to_events_whose_words_they_share(stocked: sa.Engine) -> None:
    feed = ScriptedProvider(
        {"": reply(article("a", "Hurricane Zelda to hit Florida", NOW), article("b", "Toronto weather", NOW))},
        name="feed example",
        takes_queries=False,
    )
    collect(stocked, feed)
    assert link(stocked).events == 1
    (event,) = rows(stocked, tables.news_article_events)
    assert (event["event_ticker"], event["query"], event["rank"]) == (STORM, None, None)


def test_link_of_an_old_database_is_scored_and_kept(stocked: sa.Engine) -> None:
    collect(stocked, ScriptedProvider({STORM_QUERY: reply(article("a", "Recipes for autumn", NOW))}))
    with writing(stocked) as connection:
        key = connection.scalar(sa.select(tables.news_articles.c.news_article_id))
        connection.execute(sa.insert(tables.news_article_markets).values(news_article_id=key, ticker=TORONTO))
    link(stocked)
    (old,) = rows(stocked, tables.news_article_markets)
    assert (old["relevance"], old["ticker"]) == (0.0, TORONTO)


# Sentiment ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "label"),
    [
        (GOOD, "positive"),
        (BAD, "negative"),
        ("The committee met on Tuesday", "neutral"),
        ("Team does not win", "negative"),
        ("No crash after all", "positive"),
    ],
)
def test_title_has_the_expected_sentiment_label(title: str, label: str) -> None:
    assert sentiment_of(title, None).label == label


def test_titles_negations_and_degrees_count_as_documented() -> None:
    def value(title: str, text: str = "") -> float:
        return sentiment_of(title, text).score

    assert value("gains") > value("", "gains") > 0
    assert value("sharply gains") > value("gains") > value("slightly gains") > 0
    assert value("not gains") < 0 < value("gains")
    assert value("gains losses") == 0
    assert -1 <= value("crash " * 500) < -0.9
    assert sentiment_of("gains", None).keywords == ("gains",)
    assert sentiment_of("Tuesday", None).confidence == 0.2


def window(engine: sa.Engine, ticker: str, days: int = 7) -> dict[str, Any]:
    (row,) = [
        row for row in rows(engine, tables.news_sentiment_windows) if (row["ticker"], row["days"]) == (ticker, days)
    ]
    return row


def test_window_counts_each_story_once(stocked: sa.Engine) -> None:
    exa = ScriptedProvider(
        {
            STORM_QUERY: reply(
                article("a", BAD, NOW),
                article("b", f"{BAD} - Reuters", NOW),
                article("c", GOOD),
                article("d", "Zelda: Florida waits", NOW - 9 * DAY_US),
            )
        }
    )
    collect(stocked, exa)
    link(stocked)
    done = score(stocked)
    assert (done.articles, done.windows) == (4, 1)
    assert done.labels == {"negative": 2, "positive": 1, "neutral": 1}
    row = window(stocked, STORM)
    assert (row["articles"], row["stories"]) == (3, 2)
    assert (row["positive"], row["neutral"], row["negative"]) == (1, 0, 1)
    assert row["without_published_time"] == 1
    assert row["previous_weighted_score"] == 0.0
    assert row["method"] == done.method
    assert row["until_us"] % DAY_US == 0
    assert score(stocked).articles == 0
    assert window(stocked, STORM) == row | {"computed_us": NOW + 2, "ingest_run_id": row["ingest_run_id"] + 1}


def test_articles_in_other_languages_are_linked_but_not_scored(stocked: sa.Engine) -> None:
    spanish = "El huracán Zelda llega a la costa de Florida y los vecinos se van de las casas por la lluvia"
    collect(stocked, ScriptedProvider({STORM_QUERY: reply(article("a", spanish, NOW))}))
    assert link(stocked).events == 1
    assert rows(stocked, tables.news_articles)[0]["language"] == "es"
    assert score(stocked) == ScoringReport(0, 0, "lexicon 1", {})


def test_market_without_news_has_no_window(stocked: sa.Engine) -> None:
    assert score(stocked).windows == 0
    assert GAME not in {row["ticker"] for row in rows(stocked, tables.news_sentiment_windows)}
