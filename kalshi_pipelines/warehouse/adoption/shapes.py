"""The schema of a ``kalshi_research`` database: its revisions, tables and columns.

Code that inspects a database compares the database's tables and columns with this schema. The stamped Alembic revision
is not trusted.
"""

import sqlite3
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError

#: Alembic revisions of the older tool, oldest first.
LEGACY_REVISIONS: Final = (
    "d4dfdc646da1",
    "43e7135752b1",
    "7f0c2b3a1d9e",
    "890030df7b2c",
    "57607a2deee0",
    "9e54540e9c31",
    "72eaf245a5d1",
    "cbbf8e286441",
)


class UnknownShape(ExpectedError):
    """The tables of a database differ from all revisions of the older tool."""


@dataclass(frozen=True)
class LegacyTable:
    """A table of the older tool.

    Attributes:
        name: The name of the table.
        key: The columns of the primary key.
        columns: The other columns, in the order that the conversion takes them.
        retired: Columns that only some revisions have. The warehouse has no counterpart for them.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    retired: tuple[str, ...] = ()

    @property
    def read(self) -> tuple[str, ...]:
        """The columns to read from the legacy table, key columns first."""
        return self.key + self.columns

    @property
    def rows_sql(self) -> str:
        """The statement that reads all rows of the table, with retired columns last."""
        return str(sa.select(*map(sa.column, (*self.read, *self.retired))).select_from(sa.table(self.name)))

    @property
    def count_sql(self) -> str:
        """The statement that counts the rows of the table."""
        return str(sa.select(sa.func.count()).select_from(sa.table(self.name)))


def _table(name: str, key: str, columns: str, retired: tuple[str, ...] = ()) -> LegacyTable:
    return LegacyTable(name, tuple(key.split()), tuple(columns.split()), retired)


EVENTS: Final = _table(
    "events", "ticker", "series_ticker title status category mutually_exclusive created_at updated_at"
)
MARKETS: Final = _table(
    "markets",
    "ticker",
    "event_ticker series_ticker title subtitle status result open_time close_time expiration_time category subcategory"
    " created_at updated_at",
)
PRICE_SNAPSHOTS: Final = _table(
    "price_snapshots",
    "id",
    "ticker snapshot_time yes_bid yes_ask no_bid no_ask last_price volume volume_24h open_interest",
    retired=("liquidity",),
)
SETTLEMENTS: Final = _table(
    "settlements", "ticker", "event_ticker settled_at result final_yes_price final_no_price yes_payout no_payout"
)
POSITIONS: Final = _table(
    "positions",
    "id",
    "ticker side quantity avg_price_cents current_price_cents unrealized_pnl_cents realized_pnl_cents thesis_id"
    " opened_at closed_at last_synced",
)
TRADES: Final = _table(
    "trades",
    "id",
    "kalshi_trade_id ticker side action quantity price_cents total_cost_cents fee_cents position_id executed_at"
    " synced_at",
)
PORTFOLIO_SETTLEMENTS: Final = _table(
    "portfolio_settlements",
    "id",
    "ticker event_ticker market_result yes_count yes_total_cost no_count no_total_cost revenue fee_cost_dollars value"
    " settled_at synced_at",
)
TRACKED_ITEMS: Final = _table(
    "tracked_items", "id", "ticker item_type search_queries created_at last_collected_at is_active"
)
NEWS_ARTICLES: Final = _table(
    "news_articles",
    "id",
    "url url_hash title source_domain published_at collected_at text_snippet full_text exa_request_id",
)
NEWS_ARTICLE_MARKETS: Final = _table("news_article_markets", "article_id ticker", "")
NEWS_ARTICLE_EVENTS: Final = _table("news_article_events", "article_id event_ticker", "")
NEWS_SENTIMENTS: Final = _table(
    "news_sentiments", "id", "article_id analyzed_at score label confidence method keywords_matched"
)

#: The tables in the order of adoption: a table comes after the tables it refers to.
LEGACY_TABLES: Final = (
    EVENTS,
    MARKETS,
    PRICE_SNAPSHOTS,
    SETTLEMENTS,
    POSITIONS,
    TRADES,
    PORTFOLIO_SETTLEMENTS,
    TRACKED_ITEMS,
    NEWS_ARTICLES,
    NEWS_ARTICLE_MARKETS,
    NEWS_ARTICLE_EVENTS,
    NEWS_SENTIMENTS,
)
_IN_EVERY_REVISION: Final = (EVENTS, MARKETS, PRICE_SNAPSHOTS, SETTLEMENTS)
_FULL_TEXT_TABLES: Final = ("market_fts", "event_fts")
_FULL_TEXT_PARTS: Final = ("", "_data", "_idx", "_content", "_docsize", "_config")
_TRIGGERS: Final = frozenset(f"{table}_{suffix}" for table in _FULL_TEXT_TABLES for suffix in ("ai", "ad", "au"))
_UNFINISHED: Final = "_alembic_tmp_"
STAMP_TABLE: Final = "alembic_version"


def looks_legacy(tables: frozenset[str]) -> bool:
    """Return whether a database with these tables may belong to the older tool."""
    return {table.name for table in _IN_EVERY_REVISION} <= tables


def legacy_tables(database: sqlite3.Connection) -> tuple[LegacyTable, ...]:
    """Return the tables of the older tool that a database has, in the order of adoption.

    Raises:
        UnknownShape: A table lacks a column or has an unknown column. Or the database has a view or trigger that is not
            from the older tool and that the adoption would drop.
    """
    names = _names(database, "table")
    present = []
    for table in LEGACY_TABLES:
        if table.name not in names:
            continue
        columns = {row[1] for row in database.execute(f'PRAGMA table_info("{table.name}")')}
        missing, surplus = set(table.read) - columns, columns - set(table.read) - set(table.retired)
        if missing:
            raise UnknownShape(f"The table {table.name} lacks the columns {', '.join(sorted(missing))}.")
        if surplus:
            raise UnknownShape(f"The table {table.name} has unknown columns: {', '.join(sorted(surplus))}.")
        present.append(replace(table, retired=tuple(name for name in table.retired if name in columns)))
    foreign = sorted(_names(database, "view") | (_names(database, "trigger") - _TRIGGERS))
    if foreign:
        raise UnknownShape(
            f"Views or triggers that do not belong to the older tool would be lost ({', '.join(foreign)}).",
            "Drop them first, and create them again for the new tables afterwards.",
        )
    return tuple(present)


def remains_of_legacy(database: sqlite3.Connection) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the triggers and tables of the older tool, in the order in which to drop them."""
    names = _names(database, "table")
    tables = [table.name for table in reversed(LEGACY_TABLES)]
    return (
        tuple(sorted(_names(database, "trigger") & _TRIGGERS)),
        (
            *filter(is_unfinished, sorted(names)),
            *(name for name in (*_FULL_TEXT_TABLES, *tables, STAMP_TABLE) if name in names),
        ),
    )


def is_legacy_full_text_part(table: str) -> bool:
    """Return whether SQLite created a table as internal storage for a full-text table of the older tool."""
    return table in {f"{name}{part}" for name in _FULL_TEXT_TABLES for part in _FULL_TEXT_PARTS}


def is_unfinished(table: str) -> bool:
    """Return whether a table is a partial copy that a killed migration of the older tool left."""
    return table.removeprefix(_UNFINISHED) in {each.name for each in LEGACY_TABLES} and table.startswith(_UNFINISHED)


def _names(database: sqlite3.Connection, kind: str) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = ?", (kind,))}
