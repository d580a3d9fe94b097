"""The truth about a simulated year: what the sandbox showed whenever a job looked at it.

Belongs here: reading the sandbox's own rows, and one SQLite file of every change that a job could see. None of it uses
the code that the pipelines use. The sandbox's clock stands still while a job runs, so that one look describes what
every request of the job could see.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson

from kalshi_pipelines.sandbox.markets.quotes import Level
from kalshi_pipelines.sandbox.markets.rows import MarketRow

#: Members of a market's JSON that make up its quote, in the order of the texts that are compared.
QUOTE_MEMBERS: Final = (
    "yes_bid_dollars", "yes_ask_dollars", "no_bid_dollars", "no_ask_dollars", "last_price_dollars",
    "yes_bid_size_fp", "yes_ask_size_fp", "volume_fp", "open_interest_fp",
)  # fmt: skip
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS looks (look INTEGER PRIMARY KEY, kind TEXT, at_us INTEGER, complete INTEGER);
CREATE TABLE IF NOT EXISTS quotes (ticker TEXT, look INTEGER, complete INTEGER, text TEXT);
CREATE TABLE IF NOT EXISTS books (ticker TEXT, look INTEGER, complete INTEGER, text BLOB);
CREATE TABLE IF NOT EXISTS settlements (
    ticker TEXT PRIMARY KEY, look INTEGER, settled_us INTEGER, result TEXT, value INTEGER, event_ticker TEXT
);
CREATE TABLE IF NOT EXISTS beyond (ticker TEXT PRIMARY KEY, look INTEGER);
"""


@dataclass(frozen=True)
class Look:
    """A job's look at the exchange.

    Attributes:
        number: Number of the look, from 1.
        kind: ``nightly`` reads all live markets, ``snapshot`` only the open ones.
        at_us: Instant of the look, in microseconds since 1970.
        is_complete: Whether the job ended well. If not, it may have seen any part of what the sandbox showed.
        settled_since_us: Settlements before this instant are out of the job's reach.
    """

    number: int
    kind: str
    at_us: int
    is_complete: bool
    settled_since_us: int = 0


def quote_text(market: MarketRow) -> str:
    """Return the quote of a market: prices in units of 1e-4 dollar and counts of 1e-2 contract, in a fixed order."""
    body: dict[str, Any] = orjson.loads(market.json())
    return ",".join(str(int(body[name].replace(".", ""))) for name in QUOTE_MEMBERS)


def book_digest(sides: Iterable[tuple[str, Iterable[tuple[int, int]]]]) -> bytes:
    """Return a digest of a book: both sides with price (1e-4 dollar) and size (1e-2 contract), ascending in price."""
    text = "|".join(side + ";".join(f"{price},{size}" for price, size in sorted(levels)) for side, levels in sides)
    return hashlib.blake2b(text.encode(), digest_size=12).digest()


EMPTY_BOOK: Final = book_digest([("yes", ()), ("no", ())])


def _levels(levels: Iterable[Level]) -> list[tuple[int, int]]:
    return [(level.price, level.size) for level in levels]


class TruthFile:
    """The record of all looks, in one SQLite file. Only changes are recorded."""

    def __init__(self, path: Path, last_look: int = 0) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(_TABLES)
        for table in ("looks", "quotes", "books", "settlements", "beyond"):
            self._database.execute(f"DELETE FROM {table} WHERE look > ?", (last_look,))
        self._known: dict[str, dict[str, tuple[object, int]]] = {"quotes": {}, "books": {}}
        for table, known in self._known.items():
            rows = self._database.execute(f"SELECT ticker, text, complete FROM {table} ORDER BY look")
            known.update((ticker, (text, complete)) for ticker, text, complete in rows)
        self._settled = {ticker for (ticker,) in self._database.execute("SELECT ticker FROM settlements")}
        self._beyond = {ticker for (ticker,) in self._database.execute("SELECT ticker FROM beyond")}
        self._final = set(self._settled)

    def record(self, look: Look, markets: Iterable[MarketRow]) -> dict[str, int]:
        """Record what a job could see of the live markets, and return how many quotes and books were new to it."""
        self._database.execute("BEGIN")
        self._database.execute(
            "INSERT INTO looks VALUES (?, ?, ?, ?)", (look.number, look.kind, look.at_us, look.is_complete)
        )
        changed = {"quotes": 0, "books": 0, "seen": 0}
        tickers = set()
        for market in markets:
            tickers.add(market.ticker)
            is_settled = market.status == "finalized"
            if market.status != "active" and market.ticker in self._known["books"]:
                # A job may ask for the book of a market that closed since the job before it, and gets an empty book.
                self._note("books", market.ticker, EMPTY_BOOK, replace(look, is_complete=False))
            if market.ticker in self._beyond or (is_settled and market.ticker in self._final):
                continue
            # A snapshot reads the open markets. It may also ask for others by ticker, if it knows them.
            is_listed = market.status == "active" or look.kind == "nightly"
            if not is_listed and market.ticker not in self._known["quotes"]:
                continue
            of_market = look if is_listed else replace(look, is_complete=False)
            if is_settled and not self._settle(of_market, market):
                continue
            changed["seen"] += 1
            changed["quotes"] += self._note("quotes", market.ticker, quote_text(market), of_market)
            if market.status == "active":
                yes, no = market.own_book()
                digest = book_digest([("yes", _levels(yes)), ("no", _levels(no))])
                changed["books"] += self._note("books", market.ticker, digest, look)
        self._database.execute("COMMIT")
        for known in self._known.values():
            for ticker in [ticker for ticker in known if ticker not in tickers]:
                del known[ticker]
        return changed

    def _settle(self, look: Look, market: MarketRow) -> bool:
        """Record a settlement, and return whether the job could see it."""
        settled_us = market.settled_us or 0
        if settled_us < look.settled_since_us:
            self._beyond.add(market.ticker)
            self._database.execute("INSERT INTO beyond VALUES (?, ?)", (market.ticker, look.number))
            return False
        if market.ticker not in self._settled:
            self._settled.add(market.ticker)
            row = (market.ticker, look.number, settled_us, market.result, market.value, market.event_ticker)
            self._database.execute("INSERT INTO settlements VALUES (?, ?, ?, ?, ?, ?)", row)
        if look.is_complete:
            self._final.add(market.ticker)
        return True

    def _note(self, table: str, ticker: str, text: object, look: Look) -> bool:
        known = self._known[table].get(ticker)
        if known is not None and known[0] == text and (known[1] or not look.is_complete):
            return False
        self._known[table][ticker] = (text, look.is_complete)
        self._database.execute(
            f"INSERT INTO {table} VALUES (?, ?, ?, ?)",
            (ticker, look.number, look.is_complete, text),
        )
        return known is None or known[0] != text


def looks_of(database: sqlite3.Connection) -> Iterator[Look]:
    """Read all looks from a truth file, in order."""
    for number, kind, at_us, complete in database.execute("SELECT * FROM looks ORDER BY look"):
        yield Look(number, kind, at_us, bool(complete))
