"""One collection of news with the providers and the limits that the settings choose."""

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from kalshi_pipelines.news.collecting import collect_news
from kalshi_pipelines.news.options import NewsOptions
from kalshi_pipelines.news.providers.configured import configured_providers
from kalshi_pipelines.news.reports import CollectionReport
from kalshi_pipelines.settings import Settings


@dataclass(frozen=True)
class ConfiguredCollection:
    """The result of a collection with the configured providers.

    Attributes:
        report: The report of the collection; ``None`` if no provider is configured.
        skip_reasons: The reason for each kind of provider that is skipped, as a sentence.
    """

    report: CollectionReport | None
    skip_reasons: tuple[str, ...] = ()


def collect_configured_news(
    engine: sa.Engine,
    settings: Settings,
    sandbox_url: str | None,
    *,
    log: Callable[[str], None],
    dagster_run_id: str | None = None,
) -> ConfiguredCollection:
    """Collect news from the configured providers.

    Args:
        engine: A warehouse with the newest schema.
        settings: The settings that choose providers and limits.
        sandbox_url: An address of this run's sandbox; ``None`` if the run has no sandbox.
        log: Receives each reason for a skipped provider before the collection starts.
        dagster_run_id: The Dagster run that the collection is part of.

    Raises:
        InvalidSettings: The address of a feed is invalid.
        NewsFailed: Calls were made, and every call failed.
        AlreadyRunning: Another run collects news into this warehouse.
    """
    with configured_providers(settings, sandbox_url) as configured:
        for reason in configured.skip_reasons:
            log(reason)
        if not configured.providers:
            return ConfiguredCollection(None, configured.skip_reasons)
        options = NewsOptions.from_settings(settings)
        report = collect_news(
            engine, configured.providers, options, settings.environment, dagster_run_id=dagster_run_id
        )
    return ConfiguredCollection(report, configured.skip_reasons)
