"""Databases of the older ``kalshi_research`` tool, of each revision, with good and odd rows.

    database = make_legacy_database(tmp_path / "old.db", snapshots=1_000)
    database.rows["price_snapshots"]  # 1,000 good rows and the odd ones
    database.keys("quarantined")      # {("positions", "id=9000002"), ...}

An adoption keeps good rows unchanged. ``ODD_ROWS`` states the outcome of each odd row. The
outcomes ``normalised`` and ``kept`` give an entry in ``adoption_notes``, and ``quarantined`` one in ``quarantine``.
"""

import datetime as dt
import hashlib
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

Becomes = Literal["normalised", "kept", "quarantined"]

REVISIONS: Final = (
    "d4dfdc646da1",
    "43e7135752b1",
    "7f0c2b3a1d9e",
    "890030df7b2c",
    "57607a2deee0",
    "9e54540e9c31",
    "72eaf245a5d1",
    "cbbf8e286441",
)
HEAD: Final = REVISIONS[-1]
UNKNOWN_REVISION: Final = "ffffffffffff"
#: Value of ``stamp`` for a database that is stamped with its own revision.
TRUE_STAMP: Final = "(its revision)"
#: The ticker of the event that :func:`leave_a_row_in_the_log` writes.
EVENT_IN_THE_LOG: Final = "KXINTHELOG-26"

_LIQUIDITY_REQUIRED, _LIQUIDITY_OPTIONAL, _LIQUIDITY_GONE = "d4dfdc646da1", "57607a2deee0", "9e54540e9c31"
_THESIS_IS_TEXT: Final = "7f0c2b3a1d9e"
_FULL_TEXT_SINCE: Final = "cbbf8e286441"

#: For each table, the first revision that has it, and its columns at the newest revision.
_TABLES: Final[Mapping[str, tuple[str, str]]] = {
    "events": (
        "d4dfdc646da1",
        """ticker VARCHAR NOT NULL PRIMARY KEY, series_ticker VARCHAR NOT NULL, title VARCHAR NOT NULL, status VARCHAR,
        category VARCHAR, mutually_exclusive BOOLEAN NOT NULL, created_at DATETIME NOT NULL,
        updated_at DATETIME NOT NULL""",
    ),
    "markets": (
        "d4dfdc646da1",
        """ticker VARCHAR NOT NULL PRIMARY KEY, event_ticker VARCHAR NOT NULL REFERENCES events (ticker),
        series_ticker VARCHAR, title VARCHAR NOT NULL, subtitle VARCHAR, status VARCHAR NOT NULL, result VARCHAR,
        open_time DATETIME NOT NULL, close_time DATETIME NOT NULL, expiration_time DATETIME NOT NULL, category VARCHAR,
        subcategory VARCHAR, created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL""",
    ),
    "price_snapshots": (
        "d4dfdc646da1",
        """id INTEGER NOT NULL PRIMARY KEY, ticker VARCHAR NOT NULL REFERENCES markets (ticker),
        snapshot_time DATETIME NOT NULL, yes_bid INTEGER NOT NULL, yes_ask INTEGER NOT NULL, no_bid INTEGER NOT NULL,
        no_ask INTEGER NOT NULL, last_price INTEGER, volume INTEGER NOT NULL, volume_24h INTEGER NOT NULL,
        open_interest INTEGER NOT NULL{liquidity}""",
    ),
    "settlements": (
        "d4dfdc646da1",
        """ticker VARCHAR NOT NULL PRIMARY KEY REFERENCES markets (ticker), event_ticker VARCHAR NOT NULL,
        settled_at DATETIME NOT NULL, result VARCHAR NOT NULL, final_yes_price INTEGER, final_no_price INTEGER,
        yes_payout INTEGER, no_payout INTEGER""",
    ),
    "positions": (
        "43e7135752b1",
        """id INTEGER NOT NULL PRIMARY KEY, ticker VARCHAR(100) NOT NULL, side VARCHAR(10) NOT NULL,
        quantity INTEGER NOT NULL, avg_price_cents INTEGER NOT NULL, current_price_cents INTEGER,
        unrealized_pnl_cents INTEGER, realized_pnl_cents INTEGER NOT NULL DEFAULT '0', thesis_id {thesis_type},
        opened_at DATETIME NOT NULL, closed_at DATETIME, last_synced DATETIME NOT NULL""",
    ),
    "trades": (
        "43e7135752b1",
        """id INTEGER NOT NULL PRIMARY KEY, kalshi_trade_id VARCHAR(100) NOT NULL UNIQUE,
        ticker VARCHAR(100) NOT NULL, side VARCHAR(10) NOT NULL, action VARCHAR(10) NOT NULL, quantity INTEGER NOT NULL,
        price_cents INTEGER NOT NULL, total_cost_cents INTEGER NOT NULL, fee_cents INTEGER NOT NULL DEFAULT '0',
        position_id INTEGER REFERENCES positions (id), executed_at DATETIME NOT NULL, synced_at DATETIME NOT NULL""",
    ),
    "tracked_items": (
        "890030df7b2c",
        """id INTEGER NOT NULL PRIMARY KEY, ticker VARCHAR(100) NOT NULL UNIQUE, item_type VARCHAR(20) NOT NULL,
        search_queries TEXT NOT NULL, created_at DATETIME NOT NULL, last_collected_at DATETIME,
        is_active BOOLEAN NOT NULL DEFAULT 1""",
    ),
    "news_articles": (
        "890030df7b2c",
        """id INTEGER NOT NULL PRIMARY KEY, url VARCHAR(2000) NOT NULL UNIQUE, url_hash VARCHAR(64) NOT NULL,
        title VARCHAR(500) NOT NULL, source_domain VARCHAR(200) NOT NULL, published_at DATETIME,
        collected_at DATETIME NOT NULL, text_snippet TEXT, full_text TEXT, exa_request_id VARCHAR(100)""",
    ),
    "news_article_markets": (
        "890030df7b2c",
        """article_id INTEGER NOT NULL REFERENCES news_articles (id), ticker VARCHAR(100) NOT NULL
        REFERENCES markets (ticker), PRIMARY KEY (article_id, ticker)""",
    ),
    "news_article_events": (
        "890030df7b2c",
        """article_id INTEGER NOT NULL REFERENCES news_articles (id), event_ticker VARCHAR(100) NOT NULL
        REFERENCES events (ticker), PRIMARY KEY (article_id, event_ticker)""",
    ),
    "news_sentiments": (
        "890030df7b2c",
        """id INTEGER NOT NULL PRIMARY KEY, article_id INTEGER NOT NULL REFERENCES news_articles (id),
        analyzed_at DATETIME NOT NULL, score FLOAT NOT NULL, label VARCHAR(20) NOT NULL, confidence FLOAT NOT NULL,
        method VARCHAR(50) NOT NULL, keywords_matched TEXT""",
    ),
    "portfolio_settlements": (
        "72eaf245a5d1",
        """id INTEGER NOT NULL PRIMARY KEY, ticker VARCHAR(100) NOT NULL, event_ticker VARCHAR(100) NOT NULL,
        market_result VARCHAR(20) NOT NULL, yes_count INTEGER NOT NULL, yes_total_cost INTEGER NOT NULL,
        no_count INTEGER NOT NULL, no_total_cost INTEGER NOT NULL, revenue INTEGER NOT NULL,
        fee_cost_dollars VARCHAR(32) NOT NULL, value INTEGER, settled_at DATETIME NOT NULL, synced_at DATETIME NOT NULL,
        UNIQUE (ticker, settled_at)""",
    ),
}
_INDEXES: Final = {
    "markets": ("CREATE INDEX idx_markets_event ON markets (event_ticker)",),
    "price_snapshots": (
        "CREATE INDEX idx_snapshots_ticker_time ON price_snapshots (ticker, snapshot_time)",
        "CREATE INDEX idx_snapshots_time ON price_snapshots (snapshot_time)",
    ),
    "trades": ("CREATE INDEX idx_trades_ticker ON trades (ticker)",),
    "positions": ("CREATE INDEX idx_positions_ticker ON positions (ticker)",),
}
_FULL_TEXT: Final = {
    "markets": ("market_fts", "ticker", "title, subtitle", "event_ticker, series_ticker"),
    "events": ("event_fts", "ticker", "title, category", "series_ticker"),
}

_START: Final = dt.datetime(2026, 1, 6)  # noqa: DTZ001  # the older tool stored UTC without saying so
_EVENT, _OTHER_EVENT = "KXFED-26JAN", "KXCPI-26FEB"
_MARKET, _OTHER_MARKET = f"{_EVENT}-T0", f"{_EVENT}-T1"
_REFUSED_MARKET, _GONE = "KXFED-26JAN-HAUNTED", "KXGONE-26-T0"
_THEN, _LATER = "2026-01-06 12:00:00.000000", "2026-01-20 12:00:00.500000"


def _hash(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


#: One good row of each table. Odd rows list only the columns that differ.
_GOOD: Final[Mapping[str, dict[str, Any]]] = {
    "events": {
        "ticker": _EVENT,
        "series_ticker": "KXFED",
        "title": "What will the Fed do in January? — “maybe”",
        "status": None,
        "category": "Economics",
        "mutually_exclusive": 1,
        "created_at": _THEN,
        "updated_at": _LATER,
    },
    "markets": {
        "ticker": _MARKET,
        "event_ticker": _EVENT,
        "series_ticker": "KXFED",
        "title": "Will it be above 1.0%?",
        "subtitle": "≥ 1.0%",
        "status": "active",
        "result": None,
        "open_time": _THEN,
        "close_time": _LATER,
        "expiration_time": _LATER,
        "category": "Economics",
        "subcategory": None,
        "created_at": _THEN,
        "updated_at": _LATER,
    },
    "price_snapshots": {
        "id": 1,
        "ticker": _MARKET,
        "snapshot_time": "2026-01-06 00:00:00.000000",
        "yes_bid": 40,
        "yes_ask": 42,
        "no_bid": 58,
        "no_ask": 60,
        "last_price": 41,
        "volume": 1_000,
        "volume_24h": 100,
        "open_interest": 500,
    },
    "settlements": {
        "ticker": _MARKET,
        "event_ticker": _EVENT,
        "settled_at": _LATER,
        "result": "yes",
        "final_yes_price": 99,
        "final_no_price": 1,
        "yes_payout": 100,
        "no_payout": 0,
    },
    "positions": {
        "id": 1,
        "ticker": _MARKET,
        "side": "yes",
        "quantity": 12,
        "avg_price_cents": 40,
        "current_price_cents": 42,
        "unrealized_pnl_cents": 24,
        "realized_pnl_cents": -5,
        "thesis_id": None,
        "opened_at": _THEN,
        "closed_at": None,
        "last_synced": _LATER,
    },
    "trades": {
        "id": 1,
        "kalshi_trade_id": "fill-1",
        "ticker": _MARKET,
        "side": "yes",
        "action": "buy",
        "quantity": 12,
        "price_cents": 40,
        "total_cost_cents": 480,
        "fee_cents": 3,
        "position_id": 1,
        "executed_at": _THEN,
        "synced_at": _LATER,
    },
    "portfolio_settlements": {
        "id": 1,
        "ticker": _MARKET,
        "event_ticker": _EVENT,
        "market_result": "yes",
        "yes_count": 12,
        "yes_total_cost": 480,
        "no_count": 0,
        "no_total_cost": 0,
        "revenue": 1_200,
        "fee_cost_dollars": "0.0300",
        "value": None,
        "settled_at": _LATER,
        "synced_at": _LATER,
    },
    "tracked_items": {
        "id": 1,
        "ticker": _EVENT,
        "item_type": "event",
        "search_queries": '["fed", "fed rate"]',
        "created_at": _THEN,
        "last_collected_at": None,
        "is_active": 1,
    },
    "news_articles": {
        "id": 1,
        "url": "https://news.example/1",
        "url_hash": _hash("https://news.example/1"),
        "title": "Rates — “really”",
        "source_domain": "news.example",
        "published_at": None,
        "collected_at": _LATER,
        "text_snippet": "Rates",
        "full_text": "Rates went up.",
        "exa_request_id": "req_1",
    },
    "news_article_markets": {"article_id": 1, "ticker": _MARKET},
    "news_article_events": {"article_id": 1, "event_ticker": _EVENT},
    "news_sentiments": {
        "id": 1,
        "article_id": 1,
        "analyzed_at": _LATER,
        "score": 0.25,
        "label": "positive",
        "confidence": 0.9,
        "method": "keyword",
        "keywords_matched": '["up"]',
    },
}
_MORE_GOOD: Final[Mapping[str, Sequence[dict[str, Any]]]] = {
    "events": ({"ticker": _OTHER_EVENT, "series_ticker": "KXCPI", "category": None, "mutually_exclusive": 0},),
    "settlements": ({"ticker": _OTHER_MARKET, "result": "no", "yes_payout": None, "no_payout": None},),
    "positions": (
        {"id": 2, "side": "no", "quantity": 3, "closed_at": _LATER},
        {"id": 3, "ticker": _OTHER_MARKET, "avg_price_cents": 100, "unrealized_pnl_cents": None},
    ),
    "trades": (
        {"id": 2, "kalshi_trade_id": "fill-2", "side": "no", "position_id": None, "price_cents": 61}
        | {"total_cost_cents": 732},
        {"id": 3, "kalshi_trade_id": "fill-3", "action": "sell", "quantity": 1, "total_cost_cents": 40},
    ),
    "portfolio_settlements": ({"id": 2, "ticker": _OTHER_MARKET, "market_result": "scalar", "value": 37},),
    "tracked_items": ({"id": 2, "ticker": _MARKET, "item_type": "market", "is_active": 0},),
    "news_articles": ({"id": 2, "url": "https://news.example/2", "url_hash": _hash("https://news.example/2")},),
    "news_article_markets": ({"article_id": 2, "ticker": _OTHER_MARKET},),
    "news_sentiments": ({"id": 2, "article_id": 2, "score": -1.0, "label": "negative", "keywords_matched": None},),
}


@dataclass(frozen=True)
class OddRow:
    """A legacy row with a wrong or unusual value.

    Attributes:
        name: A short description of the problem.
        table: The legacy table of the row.
        becomes: The outcome of the row in an adoption.
        differs: The columns that differ from a good row.
    """

    name: str
    table: str
    becomes: Becomes
    differs: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The primary key of the row, in the key format of the warehouse."""
        row = _GOOD[self.table] | dict(self.differs)
        return ",".join(f"{name}={row[name]}" for name in _key_of(self.table))


def _odd(table: str, becomes: Becomes, rows: Mapping[str, dict[str, Any]]) -> Iterator[OddRow]:
    for number, (name, differs) in enumerate(rows.items(), start=1):
        numbered: dict[str, Any] = {"id": _FIRST_ODD_ID[becomes] + number} if "id" in _key_of(table) else {}
        if table == "trades":
            moment = f"2026-01-07 12:00:{number:02}.{len(becomes):06}"
            numbered |= {"kalshi_trade_id": f"fill-{numbered['id']}", "executed_at": moment}
        yield OddRow(name, table, becomes, numbered | differs)


def _key_of(table: str) -> tuple[str, ...]:
    if table.startswith("news_article_"):
        return tuple(_GOOD[table])
    return (next(iter(_GOOD[table])),)


_FIRST_ODD_ID: Final[Mapping[Becomes, int]] = {
    "normalised": 9_000_000,
    "kept": 9_000_100,
    "quarantined": 9_000_200,
}
_LONG_URL: Final = f"https://news.example/{'a' * 2_379}"
_NEW_YORK_TIME: Final = "2026-02-02 07:00:00-05:00"

ODD_ROWS: Final[tuple[OddRow, ...]] = (
    *_odd("events", "normalised", {"spaces around the ticker": {"ticker": " KXSPACE-26 "}}),
    *_odd("events", "kept", {"only named": dict.fromkeys(("ticker", "series_ticker", "title"), "KXNAMED-26")}),
    *_odd("events", "quarantined", {"flag of 7": {"ticker": "KXFLAG-26", "mutually_exclusive": 7}}),
    *_odd("markets", "normalised", {"status in capitals": {"ticker": "KXFED-26JAN-T8", "status": "Active "}}),
    *_odd(
        "markets",
        "kept",
        {
            "closes before it opens": {"ticker": "KXFED-26JAN-T9", "open_time": _LATER, "close_time": _THEN},
            "its event is in quarantine": {"ticker": "KXFLAG-26-T0", "event_ticker": "KXFLAG-26"},
            "ticker of 130 characters": {"ticker": "KX" + "L" * 128},
        },
    ),
    *_odd(
        "markets",
        "quarantined",
        {
            "unknown status": {"ticker": _REFUSED_MARKET, "status": "haunted"},
            "no event": {"ticker": "KXORPHAN-26-T0", "event_ticker": "KXORPHAN-26"},
        },
    ),
    *_odd(
        "price_snapshots",
        "normalised",
        {
            "time with a Z": {"snapshot_time": "2026-02-01T00:00:00Z"},
            "time of another zone": {"snapshot_time": _NEW_YORK_TIME},
            "spaces around the ticker": {"ticker": f" {_MARKET}", "snapshot_time": "2026-02-03 00:00:00.000000"},
        },
    ),
    *_odd(
        "price_snapshots",
        "kept",
        {
            "crossed": {"yes_bid": 70, "yes_ask": 30, "no_bid": 70, "no_ask": 30, "snapshot_time": _THEN[:-1] + "1"},
            "yes and no disagree": {"no_bid": 10, "snapshot_time": _THEN[:-1] + "2"},
            "its market is in quarantine": {"ticker": _REFUSED_MARKET},
        },
    ),
    *_odd(
        "price_snapshots",
        "quarantined",
        {
            "the same ticker and time again": {},
            "ask of 130": {"yes_ask": 130},
            "bid of -3": {"yes_bid": -3},
            "half a contract": {"volume": 12.5},
            "no date": {"snapshot_time": "yesterday"},
            "no market": {"ticker": _GONE},
            "ticker of bytes": {"ticker": b"\xff\xfe"},
            "larger than an integer can be": {"open_interest": 2**63 - 1},
        },
    ),
    *_odd("settlements", "normalised", {"result in capitals": {"ticker": "KXFED-26JAN-T8", "result": "YES"}}),
    *_odd(
        "settlements",
        "quarantined",
        {
            "payouts of 140": {"ticker": "KXFED-26JAN-T9", "yes_payout": 70, "no_payout": 70},
            "no market": {"ticker": _GONE},
        },
    ),
    *_odd(
        "positions",
        "normalised",
        {
            "capitals": {"side": "YES", "closed_at": _LATER},
            "space": {"side": " no\n", "closed_at": _LATER},
        },
    ),
    *_odd(
        "positions",
        "kept",
        {
            "open twice": {},
            "closed before it was opened": {"opened_at": _LATER, "closed_at": _THEN},
            "cost unknown": {"avg_price_cents": 0, "closed_at": _LATER},
            "no market": {"ticker": _GONE, "closed_at": _LATER},
        },
    ),
    *_odd(
        "positions",
        "quarantined",
        {
            "side of its own": {"side": "hold"},
            "no side": {"side": ""},
            "quantity in words": {"quantity": "abc"},
            "quantity below zero": {"quantity": -4},
            "dearer than a dollar": {"avg_price_cents": 140},
        },
    ),
    *_odd("trades", "normalised", {"capitals": {"action": "BUY"}, "space": {"side": " yes"}}),
    *_odd(
        "trades",
        "kept",
        {
            "costs do not add up": {"total_cost_cents": 1},
            "executed in the future": {"executed_at": "2099-01-01 00:00:00.000000"},
            "its position is in quarantine": {"position_id": 9_000_201},
            "the same fill with another id": {"executed_at": _THEN},
        },
    ),
    *_odd(
        "trades",
        "quarantined",
        {
            "action of its own": {"action": "hold"},
            "no contracts": {"quantity": 0, "total_cost_cents": 0},
            "half a cent": {"price_cents": 55.5},
            "the same fill id in capitals": {"kalshi_trade_id": "FILL-1"},
            "no fill id": {"kalshi_trade_id": " "},
            "no position": {"position_id": 99_999},
        },
    ),
    *_odd("portfolio_settlements", "normalised", {"capitals": {"ticker": "KXFED-26JAN-T8", "market_result": "Yes"}}),
    *_odd(
        "portfolio_settlements",
        "quarantined",
        {
            "fee in words": {"ticker": "KXFED-26JAN-T9", "fee_cost_dollars": "n/a"},
            "count below zero": {"ticker": "KXFED-26JAN-T7", "yes_count": -1},
            "scalar without a value": {"ticker": "KXFED-26JAN-T6", "market_result": "scalar"},
            "the same with another time format": {"settled_at": "2026-01-20T12:00:00.500000Z"},
        },
    ),
    *_odd("tracked_items", "normalised", {"small letters": {"ticker": _OTHER_EVENT.lower()}}),
    *_odd(
        "tracked_items",
        "quarantined",
        {
            "no JSON": {"ticker": "KXBADJSON", "search_queries": "fed, rates"},
            "no list of texts": {"ticker": "KXNOLIST", "search_queries": '{"a": 1}'},
            "series": {"ticker": "KXFED", "item_type": "series"},
            "the same in small letters": {"ticker": _EVENT.lower()},
        },
    ),
    *_odd("news_articles", "kept", {"url of 2,400 characters": {"url": _LONG_URL, "url_hash": _hash(_LONG_URL)}}),
    *_odd(
        "news_articles",
        "quarantined",
        {
            "hash of another url": {"url": "https://news.example/3"},
            "no url": {"url": "", "url_hash": _hash("")},
        },
    ),
    *_odd("news_article_markets", "quarantined", {"no article": {"article_id": 9_999}, "no market": {"ticker": _GONE}}),
    *_odd("news_article_events", "quarantined", {"no event": {"event_ticker": "KXGONE-26"}}),
    *_odd("news_sentiments", "normalised", {"capitals": {"label": "Neutral", "method": "model"}}),
    *_odd(
        "news_sentiments",
        "quarantined",
        {
            "score of 3.5": {"score": 3.5},
            "label of its own": {"label": "POS"},
            "no JSON": {"keywords_matched": "up, down"},
            "no article": {"article_id": 9_999},
            "the same again": {},
        },
    ),
)


@dataclass(frozen=True)
class LegacyDatabase:
    """A legacy database that was created for a test.

    Attributes:
        path: The file.
        rows: The number of rows in each table, including odd rows.
        odd_rows: The odd rows in the database.
    """

    path: Path
    rows: Mapping[str, int]
    odd_rows: tuple[OddRow, ...]

    def keys(self, becomes: Becomes) -> set[tuple[str, str]]:
        """Return the table and key of the odd rows with an outcome."""
        return {(row.table, row.key) for row in self.odd_rows if row.becomes == becomes}

    def counts(self) -> dict[str, tuple[int, int, int]]:
        """Return how many rows of each table an adoption reads, normalises and quarantines."""
        return {
            table: (rows, self._count(table, "normalised"), self._count(table, "quarantined"))
            for table, rows in self.rows.items()
        }

    def _count(self, table: str, becomes: Becomes) -> int:
        return sum(row.table == table and row.becomes == becomes for row in self.odd_rows)


def make_legacy_database(
    path: Path,
    revision: str = HEAD,
    *,
    snapshots: int = 50,
    markets: int = 3,
    bad_rows: bool = True,
    stamp: str | Sequence[str] | None = TRUE_STAMP,
    newer_tables: bool = False,
    full_text: bool | None = None,
) -> LegacyDatabase:
    """Create a database of the older tool in a new file.

    Args:
        path: The file.
        revision: The revision of the tables.
        snapshots: The number of good rows in ``price_snapshots``.
        markets: The number of good rows in ``markets``, at least 3. Snapshots are spread over them.
        bad_rows: Whether to add the rows of ``ODD_ROWS``.
        stamp: The rows of ``alembic_version``: one text or several. An empty tuple leaves the table empty. ``None``
            leaves the table out, as the older tool's ``create_all`` did.
        newer_tables: Whether to add the tables of newer revisions to an older database, as a newer tool did.
        full_text: Whether to create full-text tables and their triggers. By default they are created only at the older
            tool's newest revision. As in the older tool, they are left out if ``stamp`` is ``None``, or if this SQLite
            lacks FTS5.
    """
    if full_text is None:
        full_text = revision == _FULL_TEXT_SINCE and stamp is not None and has_full_text()
    odd_rows = ODD_ROWS if bad_rows else ()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN")
        tables = _create_tables(database, revision, HEAD if newer_tables else revision)
        if full_text:
            for table, words in _FULL_TEXT.items():
                _create_full_text(database, table, *words)
        _write_stamp(database, revision if stamp == TRUE_STAMP else stamp)
        for table in tables:
            _insert(database, table, _good_rows(table, markets))
            if table == "price_snapshots":
                _insert_snapshots(database, snapshots, markets, revision)
            liquidity = {"liquidity": 1} if _has_liquidity(table, revision) else {}
            _insert(
                database,
                table,
                (_GOOD[table] | dict(odd.differs) | liquidity for odd in odd_rows if odd.table == table),
            )
        database.execute("COMMIT")
        rows = {table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
    return LegacyDatabase(path, rows, tuple(odd for odd in odd_rows if odd.table in tables))


def has_full_text() -> bool:
    """Return whether this SQLite has the full-text extension FTS5."""
    with closing(sqlite3.connect(":memory:")) as database:
        (there,) = database.execute("SELECT sqlite_compileoption_used('ENABLE_FTS5')").fetchone()
    return bool(there)


def leave_a_row_in_the_log(path: Path) -> None:
    """Add the event ``EVENT_IN_THE_LOG`` to a database. As after a crash, only the ``-wal`` file has the event."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA wal_autocheckpoint = 0")
        _insert(database, "events", iter([_GOOD["events"] | {"ticker": EVENT_IN_THE_LOG}]))
        crashed = _copies(path, "", "-wal")
    _put_back(crashed)


def leave_a_hot_journal(path: Path) -> None:
    """Imitate a writer that deletes all price snapshots and crashes before its commit.

    Only the rollback journal of SQLite still has the deleted snapshots.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA cache_size = 1")  # SQLite writes changed pages to the file before the commit
        database.execute("BEGIN")
        database.execute("DELETE FROM price_snapshots")
        database.execute("DELETE FROM events")
        crashed = _copies(path, "", "-journal")
        database.execute("ROLLBACK")
    _put_back(crashed)


def _copies(path: Path, *suffixes: str) -> list[tuple[Path, Path]]:
    copies = [(Path(f"{path}{suffix}.crashed"), Path(f"{path}{suffix}")) for suffix in suffixes]
    for copy, original in copies:
        shutil.copyfile(original, copy)
    return copies


def _put_back(copies: list[tuple[Path, Path]]) -> None:
    for copy, original in copies:
        copy.replace(original)


def _is_since(revision: str, this: str) -> bool:
    return REVISIONS.index(revision) >= REVISIONS.index(this)


def _has_liquidity(table: str, revision: str) -> bool:
    return table == "price_snapshots" and not _is_since(revision, _LIQUIDITY_GONE)


def _create_tables(database: sqlite3.Connection, revision: str, newest: str) -> list[str]:
    tables = [table for table, (since, _) in _TABLES.items() if _is_since(newest, since)]
    liquidity = ", liquidity INTEGER" if _has_liquidity("price_snapshots", revision) else ""
    if liquidity and not _is_since(revision, _LIQUIDITY_OPTIONAL):
        liquidity += " NOT NULL"
    there_before = _is_since(revision, _TABLES["positions"][0])
    thesis = "INTEGER" if there_before and not _is_since(revision, _THESIS_IS_TEXT) else "VARCHAR(64)"
    for table in tables:
        columns = _TABLES[table][1].format(liquidity=liquidity, thesis_type=thesis)
        database.execute(f"CREATE TABLE {table} ({columns})")
        for index in _INDEXES.get(table, ()):
            database.execute(index)
    return tables


def _create_full_text(database: sqlite3.Connection, table: str, name: str, key: str, words: str, rest: str) -> None:
    unindexed = ", ".join(f"{column} UNINDEXED" for column in rest.split(", "))
    columns = f"{key}, {words}, {rest}"
    values = ", ".join(f"new.{column}" for column in columns.split(", "))
    delete = f"DELETE FROM {name} WHERE {key} = old.{key};"
    insert = f"INSERT INTO {name} ({columns}) VALUES ({values});"
    database.execute(f"CREATE VIRTUAL TABLE {name} USING fts5({key} UNINDEXED, {words}, {unindexed})")
    for suffix, verb, body in (
        ("ai", "INSERT", insert),
        ("ad", "DELETE", delete),
        ("au", "UPDATE", delete + insert),
    ):
        database.execute(f"CREATE TRIGGER {name}_{suffix} AFTER {verb} ON {table} BEGIN {body} END")


def _write_stamp(database: sqlite3.Connection, stamp: str | Sequence[str] | None) -> None:
    if stamp is None:
        return
    database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    stamps = [stamp] if isinstance(stamp, str) else stamp
    database.executemany("INSERT INTO alembic_version VALUES (?)", [(each,) for each in stamps])


def _good_rows(table: str, markets: int) -> Iterator[dict[str, Any]]:
    good = _GOOD[table]
    if table == "markets":
        yield from (
            good | {"ticker": f"{_EVENT}-T{number if number < 6 else 100 + number}"} for number in range(markets)
        )
    elif table != "price_snapshots":
        yield good
        yield from (good | more for more in _MORE_GOOD.get(table, ()))


def _insert(database: sqlite3.Connection, table: str, rows: Iterator[dict[str, Any]]) -> None:
    for row in rows:
        places = ", ".join(f":{column}" for column in row)
        database.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", row)


def _insert_snapshots(database: sqlite3.Connection, snapshots: int, markets: int, revision: str) -> None:
    columns = [*_GOOD["price_snapshots"], *(["liquidity"] if _has_liquidity("price_snapshots", revision) else [])]
    tickers = [row["ticker"] for row in _good_rows("markets", markets)]
    database.executemany(
        f"INSERT INTO price_snapshots ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
        (_snapshot(number, tickers)[: len(columns)] for number in range(snapshots)),
    )


def _snapshot(number: int, tickers: Sequence[str]) -> tuple[Any, ...]:
    """Return a good quote with all columns, the retired column last. Number 0 is the quote of ``_GOOD``."""
    time = _START + dt.timedelta(minutes=number // len(tickers))
    bid, volume = (40 + number) % 98, 1_000 + number
    ask = bid + 2
    last = None if number % 7 == 6 else bid + 1
    return (
        *(number + 1, tickers[number % len(tickers)], f"{time:%Y-%m-%d %H:%M:%S.%f}"),
        *(bid, ask, 100 - ask, 100 - bid, last, volume, volume // 10, volume // 2, 364_036),
    )
