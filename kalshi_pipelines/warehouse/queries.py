"""Queries of markets and quotes for readers: without digests, with shared texts and the series of each market."""

from collections.abc import Collection
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.bulk import wanted_keys
from kalshi_pipelines.warehouse.tables import SHARED_TEXTS, UNSETTLED, events, markets, quotes, rule_texts

#: Columns of bookkeeping, which say nothing about a market.
_LEFT_OUT: Final = frozenset(
    {"facts_digest", "record_digest", "is_placeholder", "ingest_run_id", *[f"{name}_digest" for name in SHARED_TEXTS]}
)


def market_query(
    dialect: str, tickers: Collection[str] | None = None, status: Collection[str] | None = None
) -> sa.Select[Any]:
    """Return the query of markets that were read, with their series and texts, sorted by ticker."""
    texts = {name: rule_texts.alias(name) for name in SHARED_TEXTS}
    facts = [column for column in markets.columns if column.name not in _LEFT_OUT]
    joined = markets.outerjoin(events, events.c.event_ticker == markets.c.event_ticker)
    for name, text in texts.items():
        joined = joined.outerjoin(text, text.c.text_digest == markets.c[f"{name}_digest"])
    query = (
        sa.select(
            facts[0], events.c.series_ticker, *facts[1:], *[text.c.text.label(name) for name, text in texts.items()]
        )
        .select_from(joined)
        .where(markets.c.facts_digest.is_not(None))
        .order_by(markets.c.ticker)
    )
    if status is not None:
        query = query.where(markets.c.status.in_(status))
        if "finalized" not in status:
            query = query.where(UNSETTLED)
    return _of_tickers(query, markets.c.ticker, tickers, dialect)


def quote_query(dialect: str, tickers: Collection[str] | None = None) -> sa.Select[Any]:
    """Return the query of the newest quotes, sorted by ticker."""
    first = ("ticker", "observed_us")
    rest = [column for column in quotes.columns if column.name not in (*_LEFT_OUT, *first)]
    query = sa.select(*[quotes.c[name] for name in first], *rest).order_by(quotes.c.ticker)
    return _of_tickers(query, quotes.c.ticker, tickers, dialect)


def _of_tickers(
    query: sa.Select[Any], column: sa.ColumnElement[str], tickers: Collection[str] | None, dialect: str
) -> sa.Select[Any]:
    if tickers is None:
        return query
    return query.where(column.in_(sa.select(wanted_keys(tickers, dialect).c.value)))
