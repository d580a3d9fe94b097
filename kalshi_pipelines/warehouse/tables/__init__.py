"""The tables of the warehouse as SQLAlchemy describes them, with the constraints that keep illegal rows out.

Column names carry their unit: ``*_microdollars`` (1e-6 dollar), ``*_centicontracts`` (1e-2 contract), ``*_us``
(microseconds since 1970 UTC). Prices are YES prices unless the name says ``no_``. Objects the vendor leaves open
(price ranges, strikes of custom markets, tags ...) are kept as the JSON text that was received.

Only migrations create or change a table; a test compares them with this description.
"""

from kalshi_pipelines.warehouse.tables.adoption import (
    ROW_OUTCOMES,
    adoption_counts,
    adoption_notes,
)
from kalshi_pipelines.warehouse.tables.bookkeeping import (
    ADOPTION,
    ENVIRONMENTS,
    LEGACY_SUBJECTS,
    LEGACY_TABLES,
    RUN_STATUSES,
    SUBJECTS,
    ingest_runs,
    quarantine,
    rate_budgets,
    watermarks,
)
from kalshi_pipelines.warehouse.tables.columns import (
    MAX_PRICE_MICRODOLLARS,
    metadata,
)
from kalshi_pipelines.warehouse.tables.market_data import (
    BOOK_SIDES,
    FEE_TYPES,
    MARKET_FACTS,
    MARKET_OPTIONAL_TIMES,
    MARKET_RESULTS,
    MARKET_STATUSES,
    MARKET_TIMES,
    MARKET_TYPES,
    PREVIOUS_DAY_PRICES,
    QUOTE,
    QUOTE_COUNTS,
    QUOTE_OPTIONAL,
    QUOTE_PRICES,
    SETTLEMENT_BOUNDS_TYPES,
    SETTLEMENT_RESULTS,
    events,
    markets,
    orderbook_snapshots,
    price_snapshots,
    series,
    settlements,
)
from kalshi_pipelines.warehouse.tables.news import (
    SENTIMENT_LABELS,
    TRACKED_ITEM_TYPES,
    news_article_events,
    news_article_markets,
    news_articles,
    news_sentiments,
    tracked_items,
)
from kalshi_pipelines.warehouse.tables.portfolio import (
    ACTIONS,
    BOOK_ORDER_SIDES,
    OUTCOME_SIDES,
    balances,
    portfolio_settlements,
    positions,
    trades,
)

__all__ = [
    "ACTIONS",
    "ADOPTION",
    "BOOK_ORDER_SIDES",
    "BOOK_SIDES",
    "ENVIRONMENTS",
    "FEE_TYPES",
    "LEGACY_SUBJECTS",
    "LEGACY_TABLES",
    "MARKET_FACTS",
    "MARKET_OPTIONAL_TIMES",
    "MARKET_RESULTS",
    "MARKET_STATUSES",
    "MARKET_TIMES",
    "MARKET_TYPES",
    "MAX_PRICE_MICRODOLLARS",
    "OUTCOME_SIDES",
    "PREVIOUS_DAY_PRICES",
    "QUOTE",
    "QUOTE_COUNTS",
    "QUOTE_OPTIONAL",
    "QUOTE_PRICES",
    "ROW_OUTCOMES",
    "RUN_STATUSES",
    "SENTIMENT_LABELS",
    "SETTLEMENT_BOUNDS_TYPES",
    "SETTLEMENT_RESULTS",
    "SUBJECTS",
    "TRACKED_ITEM_TYPES",
    "adoption_counts",
    "adoption_notes",
    "balances",
    "events",
    "ingest_runs",
    "markets",
    "metadata",
    "news_article_events",
    "news_article_markets",
    "news_articles",
    "news_sentiments",
    "orderbook_snapshots",
    "portfolio_settlements",
    "positions",
    "price_snapshots",
    "quarantine",
    "rate_budgets",
    "series",
    "settlements",
    "tracked_items",
    "trades",
    "watermarks",
]
