"""Asset checks of news articles: their age, the money spent, and the share of duplicates."""

from typing import Final

import dagster as dg

from kalshi_pipelines.defs.news.assets import news_articles
from kalshi_pipelines.defs.news.metadata import budget_metadata
from kalshi_pipelines.defs.resources import WarehouseResource
from kalshi_pipelines.defs.schema.warehouse import warehouse_at_head
from kalshi_pipelines.news.budget import budget_state
from kalshi_pipelines.news.options import NewsOptions
from kalshi_pipelines.news.showing import duplicate_rate, news_freshness
from kalshi_pipelines.units import dollars, now_us

_WARN: Final = dg.AssetCheckSeverity.WARN


@dg.asset_check(asset=news_articles, name="collected_in_the_last_26_hours")
def collected_in_the_last_26_hours(warehouse: WarehouseResource) -> dg.AssetCheckResult:
    """Passes if news was collected in the last 26 hours.

    Without this check, a quiet day and a broken collector look alike.
    """
    with warehouse_at_head(warehouse):
        fresh = news_freshness(warehouse.engine, warehouse.settings.environment.value, now_us())
    return dg.AssetCheckResult(passed=fresh.is_fresh, severity=_WARN, description=fresh.sentence)


@dg.asset_check(asset=news_articles, name="within_budget")
def within_budget(warehouse: WarehouseResource) -> dg.AssetCheckResult:
    """Passes if the money spent is within the budgets of the day and of the run. The metadata shows what remains."""
    with warehouse_at_head(warehouse):
        budget = budget_state(warehouse.engine, NewsOptions.from_settings(warehouse.settings), now_us())
    spent, limit = dollars(budget.spent_today), dollars(budget.day_limit)
    return dg.AssetCheckResult(
        passed=not budget.is_exceeded,
        description=f"{spent} of {limit} dollars are spent this UTC day; {dollars(budget.remaining_today)} remain",
        metadata=budget_metadata(budget),
    )


@dg.asset_check(asset=news_articles, name="usual_duplicate_rate")
def usual_duplicate_rate(warehouse: WarehouseResource) -> dg.AssetCheckResult:
    """Passes if at most 80 % of the last week's articles repeat a known story. Fewer than 20 articles always pass."""
    with warehouse_at_head(warehouse):
        rate = duplicate_rate(warehouse.engine, now_us())
    metadata = {"articles": rate.articles, "copies": rate.copies, "share": round(rate.share, 4)}
    return dg.AssetCheckResult(passed=rate.is_usual, severity=_WARN, description=rate.sentence, metadata=metadata)


default_checks: Final = [collected_in_the_last_26_hours, within_budget, usual_duplicate_rate]
