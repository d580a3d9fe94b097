"""Assets of news: articles, their links to markets, and their sentiment. The package ``news`` does the work."""

from typing import Any, Final

import dagster as dg

from kalshi_pipelines.contracts.probing.other_vendor_probes import SEARCH
from kalshi_pipelines.defs.contracts.endpoints import NEWS_FEEDS, endpoint_key
from kalshi_pipelines.defs.market_data.assets import DAILY, events
from kalshi_pipelines.defs.news.metadata import collection_metadata, link_metadata, sentiment_metadata
from kalshi_pipelines.defs.resources import ExchangeResource, WarehouseResource
from kalshi_pipelines.defs.schema.warehouse import warehouse_asset
from kalshi_pipelines.defs.tables import table_metadata
from kalshi_pipelines.news.configured_collection import collect_configured_news
from kalshi_pipelines.news.linking import link_news
from kalshi_pipelines.news.options import NewsOptions
from kalshi_pipelines.news.reports import SearchReport
from kalshi_pipelines.news.scoring import score_sentiment
from kalshi_pipelines.warehouse import tables

GROUP: Final = "news"


@warehouse_asset(
    group_name=GROUP,
    kinds={"exa", "rss", "sql"},
    # This asset depends on markets, because the traded volume decides which events are worth a news search.
    deps=[events, "markets", endpoint_key(SEARCH), NEWS_FEEDS],
    metadata=table_metadata(tables.news_articles),
    freshness_policy=DAILY,
    output_required=False,
)
def news_articles(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, exchange: ExchangeResource
) -> tuple[dg.MaterializeResult[Any], ...]:
    """Articles about tracked markets and the most traded events, found by Exa and in feeds, within a daily budget."""
    settings = warehouse.settings
    collected = collect_configured_news(
        warehouse.engine,
        settings,
        exchange.sandbox_address(settings),
        log=context.log.info,
        dagster_run_id=context.run.run_id,
    )
    done = collected.report
    if done is None:
        _show_skipped(context, collected.skip_reasons)
        return ()
    context.log.info(
        f"searched news of {done.targets} markets and events: {done.read} articles read, {done.written} written, "
        f"{done.unchanged} unchanged, {done.rejected} rejected"
    )
    for each in done.searches:
        _log(context, each)
    return (dg.MaterializeResult(metadata=collection_metadata(warehouse.engine, done)),)


def _show_skipped(context: dg.AssetExecutionContext, skip_reasons: tuple[str, ...]) -> None:
    why = " ".join(skip_reasons) or "No news provider is configured."
    context.log.warning(f"news is skipped: {why}")
    # A warning in the log is not enough: the asset's page in Dagster shows observations but no log lines.
    context.log_event(dg.AssetObservation(context.asset_key, description="skipped", metadata={"skipped": why}))


def _log(context: dg.AssetExecutionContext, search: SearchReport) -> None:
    context.log.info(f"{search.provider}: {search.calls} calls, {search.failed} failed, {search.articles} articles")
    for problem in search.problems:
        context.log.warning(problem)
    if search.not_sent:
        context.log.warning(f"{search.provider}: {search.not_sent[0]}")


@warehouse_asset(
    group_name=GROUP,
    kinds={"sql"},
    deps=[news_articles],
    metadata=table_metadata(tables.news_article_markets),
    freshness_policy=DAILY,
)
def news_market_links(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult[Any]:
    """Links from articles to the markets and events they are about, each with the query that found it and a score."""
    settings = warehouse.settings
    most = NewsOptions.from_settings(settings).selected_events
    done = link_news(warehouse.engine, settings.environment, most, dagster_run_id=context.run.run_id)
    return dg.MaterializeResult(metadata=link_metadata(warehouse.engine, done))


@warehouse_asset(
    group_name=GROUP,
    kinds={"sql"},
    deps=[news_market_links],
    metadata=table_metadata(tables.news_sentiment_windows),
    freshness_policy=DAILY,
)
def news_sentiment(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult[Any]:
    """Sentiment of articles from a fixed word list, with means by market and time window. Not trading advice."""
    settings = warehouse.settings
    options = NewsOptions.from_settings(settings)
    done = score_sentiment(warehouse.engine, settings.environment, options, dagster_run_id=context.run.run_id)
    return dg.MaterializeResult(metadata=sentiment_metadata(warehouse.engine, done))


default_assets: Final = [news_articles, news_market_links, news_sentiment]
