"""News in Dagster: hostile text shows as plain text, and the schedule requests each run once."""

import datetime as dt

import dagster as dg
import sqlalchemy as sa

from kalshi_pipelines.defs.news.automation import news_schedule
from kalshi_pipelines.defs.news.metadata import (
    budget_metadata,
    collection_metadata,
    link_metadata,
    sentiment_metadata,
    table_entry,
)
from kalshi_pipelines.news.reports import BudgetState, CollectionReport, LinkingReport, ScoringReport, SearchReport
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines_tests.support.warehouse.rows import LEGAL

HOSTILE = "<script>x</script> [a](javascript:b) ![p](http://127.0.0.1/p) \u202eback `c` | d |"
NEW_YORK = dt.timezone(dt.timedelta(hours=-5))


def shown(metadata: dict[str, object]) -> str:
    """Return all text that a page would show, and assert that none of it has a type that Dagster renders as markup."""
    texts = []
    for name, value in metadata.items():
        assert isinstance(value, int | float | str | dg.TableMetadataValue), name
        if isinstance(value, dg.TableMetadataValue):
            texts += [str(cell) for record in value.records for cell in record.data.values()]
        elif isinstance(value, str):
            texts.append(value)
    return "\n".join(texts)


def test_hostile_headlines_show_as_plain_text(sqlite_engine: sa.Engine) -> None:
    with writing(sqlite_engine) as connection:
        for needed in (tables.ingest_runs, tables.series, tables.events, tables.markets):
            connection.execute(sa.insert(needed), LEGAL[needed])
        connection.execute(sa.insert(tables.news_articles), LEGAL[tables.news_articles] | {"title": HOSTILE})
        link = {"relevance": 0.5, "relevance_method": "m", "linked_us": 1}
        connection.execute(sa.insert(tables.news_article_markets), LEGAL[tables.news_article_markets] | link)
        connection.execute(sa.insert(tables.news_sentiment_windows), LEGAL[tables.news_sentiment_windows])
    search = SearchReport("exa", calls=3, failed=1, problems=("Exa answered 500.",), not_sent=("x",))
    found = shown(collection_metadata(sqlite_engine, CollectionReport(1, 0.5, searches=(search,))))
    found += shown(link_metadata(sqlite_engine, LinkingReport(1, 1, 0, 0, "m")))
    found += shown(sentiment_metadata(sqlite_engine, ScoringReport(1, 1, "m", {"positive": 1})))
    assert found.count("back") == 2
    assert "Exa answered 500." in found
    assert not set(found) & set("<>`|\u202e")
    assert "](" not in found
    assert "javascript:" not in found


def test_money_shows_in_dollars_as_numbers() -> None:
    budget = BudgetState(1_000_000, 140_000, 250_000, spent_by_run=70_000, unsettled=2)
    assert budget_metadata(budget) == {
        "spent_today_dollars": 0.14,
        "remaining_today_dollars": 0.86,
        "day_budget_dollars": 1.0,
        "spent_by_run_dollars": 0.07,
        "run_budget_dollars": 0.25,
        "calls_without_a_price": 2,
    }
    assert table_entry("empty", []) == {}


def test_news_schedule_requests_three_runs_a_day() -> None:
    keys = set()
    for hour in (7, 13, 19):
        at = dt.datetime(2026, 11, 23, hour, 15, tzinfo=NEW_YORK)
        request = news_schedule(dg.build_schedule_context(scheduled_execution_time=at))
        assert isinstance(request, dg.RunRequest)
        keys.add(request.run_key)
    assert len(keys) == 3
