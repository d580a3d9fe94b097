"""The news pipeline from markets to sentiment, run as a user runs it, also with hostile and changed responses."""

import json
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
import sqlalchemy as sa

from kalshi_pipelines.news.tracking import track
from kalshi_pipelines.sandbox.faults.drift import OPERATIONS
from kalshi_pipelines.sandbox.news.hostile import HOSTILE_FEEDS
from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox
from kalshi_pipelines.warehouse.tables import (
    ingest_runs,
    markets,
    news_article_events,
    news_article_markets,
    news_article_sources,
    news_articles,
    news_sentiment_windows,
    news_sentiments,
    quarantine,
    vendor_spending,
)
from kalshi_pipelines_tests.support.checkout import SHARED
from kalshi_pipelines_tests.support.end_to_end.running import RunCommand, RunJob
from kalshi_pipelines_tests.support.end_to_end.trap import listening_trap

SHARED_DRIFT = SHARED / "drift" / "incidents.json"
NEWS_TABLES = (
    news_articles,
    news_article_sources,
    news_article_markets,
    news_article_events,
    news_sentiments,
    news_sentiment_windows,
)
INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


@pytest.fixture
def news_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxProcess]:
    """A sandbox with news that only this test uses. Runs in this process read it."""
    options = SandboxOptions(markets=300, combos=5, tick_seconds=0, tier="unlimited", warm=False)
    with running_sandbox(options) as sandbox:
        monkeypatch.setenv("KALSHI_SANDBOX_URL", sandbox.url)
        yield sandbox


def steer(sandbox: SandboxProcess, method: str, path: str, **body: Any) -> Any:
    answer = httpx.request(method, f"{sandbox.admin_url}/sandbox{path}", json=body, trust_env=False, timeout=30)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def rows(engine: sa.Engine, table: sa.Table) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


def counts(engine: sa.Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {
            table.name: connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in NEWS_TABLES
        }


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (materialization,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in materialization.metadata.items()}


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def here(**more: str) -> dict[str, str]:
    """Return this process's KALSHI_ variables and the given variables as the environment of a command."""
    return {name: value for name, value in os.environ.items() if name.startswith("KALSHI_")} | more


def test_nightly_finds_links_and_scores_articles_and_pays_for_each_once(
    news_sandbox: SandboxProcess, dagster_command: RunCommand, run_job: RunJob, warehouse: sa.Engine
) -> None:
    finished = dagster_command("nightly", here())
    assert finished.returncode == 0, finished.stderr[-3_000:]
    articles, truth = rows(warehouse, news_articles), steer(news_sandbox, "GET", "/news/truth")["articles"]
    assert_groups_are_stories(warehouse, articles, {each["url"]: each["story"] for each in truth})

    links = rows(warehouse, news_article_events)
    assert links
    assert all(0 < link["relevance"] <= 1 for link in links)
    assert sum(link["query"] is not None and link["rank"] >= 1 for link in links) > len(links) // 2
    scores = rows(warehouse, news_sentiments)
    assert {score["news_article_id"] for score in scores} == {link["news_article_id"] for link in links}
    assert {score["label"] for score in scores} >= {"positive", "negative"}
    assert rows(warehouse, news_sentiment_windows)

    charged = steer(news_sandbox, "GET", "/news/charges")
    assert spent_on_news(warehouse) == charged["total_microdollars"] > 0

    event = Counter(link["event_ticker"] for link in links).most_common(1)[0][0]
    market = next(row["ticker"] for row in rows(warehouse, markets) if row["event_ticker"] == event)
    track(warehouse, market, [])
    assert run_job("news").success
    # An article that is found again at another URL is stored once, and linked to the second market, too.
    truth = steer(news_sandbox, "GET", "/news/truth")["articles"]
    assert_pages_are_kept_once(warehouse, {each["url"]: (each["story"], each["variant"]) for each in truth})
    known = {each["news_article_id"] for each in articles}
    linked = {link["news_article_id"] for link in rows(warehouse, news_article_markets) if link["ticker"] == market}
    assert len(linked & known) > 2
    runs = [row for row in rows(warehouse, ingest_runs) if row["subject"].startswith("news_")]
    assert [row["status"] for row in runs] == ["succeeded"] * 6
    assert {row["subject"] for row in runs} == {"news_articles", "news_market_links", "news_sentiment"}
    assert all(
        row["records_read"] == row["records_written"] + row["records_unchanged"] + row["records_rejected"]
        for row in runs
    )


def assert_groups_are_stories(engine: sa.Engine, articles: list[dict[str, Any]], story_of: dict[str, str]) -> None:
    """Assert that the copies of a story are in one group, and that no group mixes stories.

    Some copies have no time of publication. The comparison leaves them out, because they may be days apart.
    """
    stories: defaultdict[int, set[str]] = defaultdict(set)
    for source in rows(engine, news_article_sources):
        stories[source["news_article_id"]].add(story_of[source["url"]])
    assert all(len(each) == 1 for each in stories.values())
    grouped = [(each["group_id"], *stories[each["news_article_id"]], each["published_us"]) for each in articles]
    pairs = list(combinations(grouped, 2))
    same_story = [one[0] == other[0] for one, other in pairs if one[1] == other[1] and one[2] and other[2]]
    same_group = [one[1] == other[1] for one, other in pairs if one[0] == other[0]]
    assert len(articles) > 20
    assert len(same_story) > 10
    assert sum(same_story) >= 0.95 * len(same_story)
    assert sum(same_group) >= 0.99 * len(same_group)


def assert_pages_are_kept_once(engine: sa.Engine, page_of: dict[str, tuple[str, str]]) -> None:
    """Assert that each stored article has exactly one web page, and that no web page is stored as two articles."""
    pages: defaultdict[int, set[tuple[str, str]]] = defaultdict(set)
    for source in rows(engine, news_article_sources):
        pages[source["news_article_id"]].add(page_of[source["url"]])
    kept = [(row["source_domain"], *pages[row["news_article_id"]]) for row in rows(engine, news_articles)]
    assert all(len(each) == 2 for each in kept)
    assert len(kept) == len(set(kept)) > 20


def test_hostile_news_harms_nothing_leaks_nothing_and_is_reported(
    news_sandbox: SandboxProcess,
    dagster_command: RunCommand,
    run_job: RunJob,
    warehouse: sa.Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = news_sandbox.admin_url
    feeds = [f"{root}/rss/search?q={{query}}", f"{root}/rss/top.xml", f"{root}/rss/hostile/redirect"]
    feeds += [f"{root}/rss/hostile/{kind}" for kind in HOSTILE_FEEDS]
    with monkeypatch.context() as silent:
        silent.setenv("KALSHI_NEWS_FEEDS", "none")
        silent.setenv("KALSHI_NEWS_DAILY_DOLLARS", "0")
        assert run_job("nightly").success
    market_rows = counts_of_markets(warehouse)
    with listening_trap() as trap:
        steer(news_sandbox, "POST", "/news", corpus="hostile", trap=trap.url)
        variables = here(
            KALSHI_NEWS_SELECTED_EVENTS="3",
            KALSHI_NEWS_RESULTS="40",
            KALSHI_NEWS_FEEDS=" ".join(feeds),
            KALSHI_NEWS_FETCH_ARTICLES="true",
            EXA_API_KEY="a-real-key-that-no-sandbox-gets",
        )
        finished = dagster_command("news", variables, preloaded=False)
    assert finished.returncode == 0, finished.stderr[-3_000:]
    assert trap.heard == []
    assert counts_of_markets(warehouse) == market_rows
    articles = rows(warehouse, news_articles)
    good = [each for each in articles if "hostile" not in each["url"] and "a.example" not in each["url"]]
    assert len(good) > 10
    for article in articles:
        assert re.match(r"https?://[a-z0-9.-]+/", article["url"]), article["url"][:100]
        assert not re.search(r"127\.0|localhost|169\.254|//10\.|\[|@|script>", article["url"][:300])
        assert article["title"].strip()
        for name in ("title", "text_snippet", "full_text"):
            text = article[name] or ""
            assert len(text) <= 10_000
            assert not re.search(r"<\s*(script|img|iframe|svg|style)", text, re.IGNORECASE), text[:200]
            assert not {unicodedata.category(letter) for letter in text} & INVISIBLE - {"Cc"}, text[:200]
            assert not set(text) & {chr(code) for code in range(32) if code not in {9, 10}}, text[:200]
        assert article["published_us"] is None or article["published_us"] < 2_000_000_000_000_000
    rejected = [row for row in rows(warehouse, quarantine) if row["subject"] == "news_articles"]
    assert len(rejected) > 10
    assert steer(news_sandbox, "GET", "/news/charges")["charges"]
    assert re.search(r"[1-9]\d* rejected", finished.stderr)
    output = finished.stderr + finished.stdout
    assert "a-real-key-that-no-sandbox-gets" not in output
    assert not re.search(r"^2026-11-22 12:00:00 - dagster - ERROR", output, re.MULTILINE)
    assert not {letter for letter in output if unicodedata.category(letter) in INVISIBLE} - {"\n", "\x1b", "\t"}
    for kind in HOSTILE_FEEDS:
        assert f"/rss/hostile/{kind}" in output or kind == "not_xml", kind
    assert [path for path in tmp_path.iterdir() if path.name in {"tick", "shell", "semicolon"}] == []


def counts_of_markets(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(markets)) or 0


def test_spent_daily_budget_stops_paid_searches_and_is_reported(
    news_sandbox: SandboxProcess, run_job: RunJob, warehouse: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALSHI_NEWS_DAILY_DOLLARS", "0.04")
    assert run_job("nightly").success
    charged = steer(news_sandbox, "GET", "/news/charges")
    assert 0 < charged["total_microdollars"] <= 40_000
    result = run_job("news")
    assert result.success
    assert steer(news_sandbox, "GET", "/news/charges")["total_microdollars"] <= 40_000
    metadata, checks = metadata_of(result, "news_articles"), checks_of(result)
    assert metadata["spent_today_dollars"] == charged["total_microdollars"] / 1_000_000
    assert metadata["remaining_today_dollars"] == round(0.04 - metadata["spent_today_dollars"], 6)
    assert any(record.data["queries not sent"] != "0" for record in metadata["providers"].records)
    assert checks["within_budget"].passed
    assert checks["within_budget"].metadata["remaining_today_dollars"].value == metadata["remaining_today_dollars"]
    assert checks["collected_in_the_last_26_hours"].passed
    assert checks["usual_duplicate_rate"].metadata["articles"].value == counts(warehouse)["news_articles"]


def test_vendor_that_charges_more_than_its_price_fails_the_budget_check(
    news_sandbox: SandboxProcess, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALSHI_NEWS_DAILY_DOLLARS", "0.02")
    monkeypatch.setenv("KALSHI_NEWS_FEEDS", "none")
    steer(news_sandbox, "POST", "/faults", endpoint="POST /search", kind="other_cost", value="0.5", times=9)
    result = run_job("nightly")
    assert steer(news_sandbox, "GET", "/news/charges")["total_microdollars"] == 500_000
    assert not checks_of(result)["within_budget"].passed


def test_news_without_key_and_feed_is_skipped_with_the_reason(
    run_job: RunJob, dagster_instance: dg.DagsterInstance, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALSHI_ENVIRONMENT", "prod")
    monkeypatch.setenv("KALSHI_NEWS_FEEDS", "none")
    monkeypatch.setenv("KALSHI_NEWS_DAILY_DOLLARS", "1")
    result = run_job("news")
    assert result.success
    skipped = {event.node_name for event in result.all_events if event.event_type_value == "STEP_SKIPPED"}
    assert {"news_market_links", "news_sentiment"} <= skipped
    seen = dagster_instance.fetch_observations(dg.AssetKey("news_articles"), limit=1).records[0].asset_observation
    assert seen is not None
    why = str(seen.metadata["skipped"].value)
    assert "EXA_API_KEY" in why
    assert "KALSHI_NEWS_FEEDS" in why


def exa_incidents() -> list[dict[str, Any]]:
    """Return recorded changes of Exa's search that are visible in a response. Without recordings, return none."""
    if not SHARED_DRIFT.is_file():
        return []
    known = json.loads(SHARED_DRIFT.read_text())
    found = known if isinstance(known, list) else known["incidents"]
    return [
        each
        for each in found
        if each["vendor"] == "exa" and all(operation["op"] in OPERATIONS for operation in each["mutation"])
    ]


BROKEN = (
    [{"op": "remove", "path": "results"}],
    [{"op": "wrap", "key": "data"}],
    [{"op": "append", "path": "results", "value": None}],
    [{"op": "set", "path": "results", "value": "none today"}],
    [{"op": "rename", "path": "results[].url", "to": "link"}],
    [{"op": "set", "path": "costDollars", "value": "much"}],
    [{"op": "http", "status": 410, "body": {"error": "gone"}}],
    [{"op": "hostile", "kind": "gzip_bomb"}],
    [{"op": "hostile", "kind": "deep_nesting"}],
)


def test_changed_search_response_is_noticed_and_leaves_no_partial_batch(
    news_sandbox: SandboxProcess, run_job: RunJob, warehouse: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALSHI_NEWS_FEEDS", "none")
    monkeypatch.setenv("KALSHI_NEWS_SEARCHES", "2")
    monkeypatch.setenv("KALSHI_NEWS_DAILY_DOLLARS", "9")
    assert run_job("nightly").success
    for operations in (*(each["mutation"] for each in exa_incidents()), *BROKEN):
        steer(news_sandbox, "DELETE", "/news/charges")
        before = spent_on_news(warehouse)
        steer(news_sandbox, "POST", "/drift", endpoint="POST /search", operations=operations)
        result = run_job("news")
        steer(news_sandbox, "DELETE", "/drift")
        if result.success:
            metadata = metadata_of(result, "news_articles")
            is_noticed = metadata["contract_differences"] or "problems" in metadata or metadata["entries_rejected"]
            # A changed field that no code reads may go unnoticed, as long as articles are still read.
            assert is_noticed or metadata["articles_read"] > 0, operations
        assert_nothing_is_half_written(warehouse)
        if operations[0]["op"] != "http":  # an HTTP error costs nothing; a changed response was already charged
            charged = steer(news_sandbox, "GET", "/news/charges")["total_microdollars"]
            assert spent_on_news(warehouse) - before >= charged > 0, operations


def spent_on_news(engine: sa.Engine) -> int:
    """Return the micro-dollars spent on news. A call whose price is unknown counts with its reserved amount."""
    columns = vendor_spending.c
    cost = sa.func.coalesce(columns.spent_microdollars, columns.reserved_microdollars)
    with engine.connect() as connection:
        return int(connection.scalar(sa.select(sa.func.sum(cost)).where(columns.purpose == "news")) or 0)


def assert_nothing_is_half_written(engine: sa.Engine) -> None:
    """Assert that every article has a source and that no run is still marked as running."""
    articles = {row["news_article_id"] for row in rows(engine, news_articles)}
    assert articles == {row["news_article_id"] for row in rows(engine, news_article_sources)}
    runs = rows(engine, ingest_runs)
    assert {row["status"] for row in runs} <= {"succeeded", "failed"}
