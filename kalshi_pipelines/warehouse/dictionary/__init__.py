"""The data dictionary of the warehouse: what each table and each of its columns means, its unit, and its source.

``docs/data_dictionary.md`` and the columns in the Dagster UI are made from it. A test fails if a column has no text.
"""

from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.dictionary import account, checks, market_data, news, work
from kalshi_pipelines.warehouse.dictionary.language import OURS, ColumnText, Meaning, TableText, meaning

#: The meaning of each table, by its name.
TABLES: Final[dict[str, TableText]] = {
    "series": market_data.SERIES,
    "events": market_data.EVENTS,
    "markets": market_data.MARKETS,
    "rule_texts": market_data.RULE_TEXTS,
    "quotes": market_data.QUOTES,
    "price_snapshots": market_data.PRICE_SNAPSHOTS,
    "orderbooks": market_data.ORDERBOOKS,
    "orderbook_snapshots": market_data.ORDERBOOK_SNAPSHOTS,
    "settlements": market_data.SETTLEMENTS,
    "fee_changes": work.FEE_CHANGES,
    "tracked_items": news.TRACKED_ITEMS,
    "news_articles": news.ARTICLES,
    "news_article_markets": news.ARTICLE_MARKETS,
    "news_article_events": news.ARTICLE_EVENTS,
    "news_article_sources": news.ARTICLE_SOURCES,
    "news_finds": news.FINDS,
    "news_sentiments": news.SENTIMENTS,
    "news_sentiment_windows": news.SENTIMENT_WINDOWS,
    "balances": account.BALANCES,
    "positions": account.POSITIONS,
    "trades": account.TRADES,
    "portfolio_settlements": account.SETTLEMENTS,
    "history_partitions": work.HISTORY_PARTITIONS,
    "history_residuals": work.HISTORY_RESIDUALS,
    "history_windows": work.HISTORY_WINDOWS,
    "lake_files": work.LAKE_FILES,
    "warehouse_identity": work.WAREHOUSE_IDENTITY,
    "ingest_runs": work.INGEST_RUNS,
    "list_reads": work.LIST_READS,
    "watermarks": work.WATERMARKS,
    "quarantine": work.QUARANTINE,
    "rate_budgets": work.RATE_BUDGETS,
    "contract_runs": checks.CONTRACT_RUNS,
    "contract_endpoints": checks.CONTRACT_ENDPOINTS,
    "contract_baselines": checks.CONTRACT_BASELINES,
    "contract_findings": checks.CONTRACT_FINDINGS,
    "contract_finding_events": checks.FINDING_EVENTS,
    "alerts": checks.ALERTS,
    "alert_deliveries": checks.ALERT_DELIVERIES,
    "vendor_documents": work.VENDOR_DOCUMENTS,
    "vendor_spending": work.VENDOR_SPENDING,
    "adoption_counts": work.ADOPTION_COUNTS,
    "adoption_notes": work.ADOPTION_NOTES,
    "history_moves": work.HISTORY_MOVES,
    "superseded_files": work.SUPERSEDED_FILES,
}


def meaning_of(column: sa.Column[Any]) -> Meaning:
    """Return the meaning of a column of the warehouse."""
    return meaning(TABLES[column.table.name], column)


__all__ = ["OURS", "TABLES", "ColumnText", "Meaning", "TableText", "meaning_of"]
