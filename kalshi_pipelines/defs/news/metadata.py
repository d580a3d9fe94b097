"""Metadata that shows news in Dagster: counts, money and plain text. Article text is never rendered as markup."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg
import sqlalchemy as sa

from kalshi_pipelines.defs.tables import text_table
from kalshi_pipelines.news.reports import BudgetState, CollectionReport, LinkingReport, ScoringReport
from kalshi_pipelines.news.showing import newest_headlines, sentiment_rows, strongest_links
from kalshi_pipelines.units import dollars

_MOST_SHOWN: Final = 10
_MOST_PROBLEMS: Final = 10


def collection_metadata(engine: sa.Engine, done: CollectionReport) -> dict[str, Any]:
    """Return the metadata of a news collection: counts, money spent, a table of providers, and the newest headlines."""
    metadata: dict[str, Any] = {
        "targets": done.targets,
        "articles_read": done.read,
        "articles_written": done.written,
        "articles_unchanged": done.unchanged,
        "entries_rejected": done.rejected,
        "pages_read": done.pages_read,
        "pages_failed": done.pages_failed,
        "new_stories": done.new_groups,
        "duplicate_share": round(done.duplicate_share, 4),
        "seconds": round(done.seconds, 3),
        "ingest_run_id": done.run_id,
        "contract_differences": len(done.differences),
        **budget_metadata(done.budget),
    }
    providers = [
        {
            "provider": each.provider,
            "calls": str(each.calls),
            "failed": str(each.failed),
            "articles": str(each.articles),
            "queries not sent": str(len(each.not_sent)),
        }
        for each in done.searches
    ]
    problems = [{"problem": problem} for each in done.searches for problem in each.problems]
    metadata |= table_entry("providers", providers)
    metadata |= table_entry("newest_headlines", newest_headlines(engine, _MOST_SHOWN))
    metadata |= table_entry("problems", problems[:_MOST_PROBLEMS])
    return metadata


def link_metadata(engine: sa.Engine, done: LinkingReport) -> dict[str, Any]:
    """Return the metadata of article links: their counts, the method of their scores, and the strongest links."""
    return {
        "considered": done.considered,
        "links_to_markets": done.markets,
        "links_to_events": done.events,
        "unrelated": done.unrelated,
        "method": done.method,
        **table_entry("strongest_links", strongest_links(engine, _MOST_SHOWN)),
    }


def sentiment_metadata(engine: sa.Engine, done: ScoringReport) -> dict[str, Any]:
    """Return the metadata of sentiment scores: article counts, word list, and a table of scores by market or event."""
    return {
        "articles_scored": done.articles,
        "windows": done.windows,
        "method": done.method,
        **{f"articles_{label}": count for label, count in sorted(done.labels.items())},
        **table_entry("sentiment", sentiment_rows(engine, _MOST_SHOWN)),
    }


def budget_metadata(budget: BudgetState) -> dict[str, Any]:
    """Return the limits and spending of the news budget in dollars, as numbers that Dagster can plot."""
    return {
        "spent_today_dollars": float(dollars(budget.spent_today)),
        "remaining_today_dollars": float(dollars(budget.remaining_today)),
        "day_budget_dollars": float(dollars(budget.day_limit)),
        "spent_by_run_dollars": float(dollars(budget.spent_by_run)),
        "run_budget_dollars": float(dollars(budget.run_limit)),
        "calls_without_a_price": budget.unsettled,
    }


def table_entry(name: str, rows: Sequence[Mapping[str, str]]) -> dict[str, dg.TableMetadataValue]:
    """Return rows as metadata: one plain-text table under the given name. Without rows, return no metadata."""
    if not rows:
        return {}
    return {name: text_table(list(rows[0]), rows)}
