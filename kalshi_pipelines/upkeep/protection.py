"""Settled markets that stay in the warehouse: traded, held, tracked, linked to news, or proposed on."""

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.bulk import wanted_keys
from kalshi_pipelines.warehouse.tables import (
    markets,
    news_article_markets,
    orderbook_snapshots,
    portfolio_settlements,
    positions,
    price_snapshots,
    tracked_items,
    trades,
)

TRADED: Final = "traded"
HELD: Final = "held"
TRACKED: Final = "tracked"
IN_NEWS: Final = "linked to news"
PROPOSED: Final = "proposed on"
UNMOVED: Final = "with history rows that are not only in the lake yet"


def reasons_to_stay(protected: frozenset[str], dialect: str) -> Mapping[str, sa.ColumnElement[bool]]:
    """Return a condition on ``markets`` for each reason to stay, by the reason's name.

    Args:
        protected: Tickers that the journal of orders names.
        dialect: Name of the database's dialect.
    """
    journal = sa.select(wanted_keys(sorted(protected), dialect).c.value)
    names = (markets.c.ticker, markets.c.event_ticker)
    return {
        TRADED: _refers(trades) | _refers(portfolio_settlements),
        HELD: _refers(positions),
        TRACKED: sa.exists().where(tracked_items.c.ticker.in_(names)).correlate(markets),
        IN_NEWS: _refers(news_article_markets),
        PROPOSED: markets.c.ticker.in_(journal),
        UNMOVED: _refers(price_snapshots) | _refers(orderbook_snapshots),
    }


def _refers(table: sa.Table) -> Any:  # noqa: ANN401  # an EXISTS is also a condition
    return sa.exists().where(table.c.ticker == markets.c.ticker).correlate(markets)
