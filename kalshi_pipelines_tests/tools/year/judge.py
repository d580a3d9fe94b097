"""Comparison of a year's warehouse and lake with the truth: no row lost, none doubled, none that was never shown.

Belongs here: reading Parquet files and SQLite with plain readers, and the rules of the comparison. None of it uses the
code that the pipelines use.
"""

import sqlite3
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from kalshi_pipelines_tests.tools.year.truth import EMPTY_BOOK, Look, book_digest, looks_of

_QUOTE: Final = (
    "yes_bid", "yes_ask", "no_bid", "no_ask", "last_price", "yes_bid_size", "yes_ask_size", "volume", "open_interest",
)  # fmt: skip
_PRICES: Final = 5
_SHOWN: Final = 5
#: Lake prices are in units of 1e-6 dollar, the truth's in units of 1e-4 dollar.
_PRICE_UNIT: Final = 100
#: Rows by ticker and instant.
Rows = dict[tuple[str, int], object]
Stored = Iterator[tuple[str, int, object]]


@dataclass
class Verdict:
    """The result of a comparison: how many rows were compared, and which ones are wrong, with examples."""

    compared: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def blame(self, fault: str, example: str) -> None:
        """Count a fault, and keep the first few examples of it."""
        self.wrong[fault] += 1
        if len(self.examples[fault]) < _SHOWN:
            self.examples[fault].append(example)


def judge(folder: Path) -> Verdict:
    """Compare the data of a year in ``folder`` with its truth."""
    verdict = Verdict()
    data = folder / "data" / "sandbox"
    with sqlite3.connect(f"file:{folder / 'truth.db'}?mode=ro", uri=True) as truth:
        looks = list(looks_of(truth))
        for table, read in (("quotes", _stored_quotes), ("books", _stored_books)):
            _compare(verdict, table, truth, looks, read(verdict, data))
        _compare_settlements(verdict, truth, data, looks)
    return verdict


def _compare(
    verdict: Verdict,
    table: str,
    truth: sqlite3.Connection,
    looks: list[Look],
    stored: Stored,
) -> None:
    starts = [look.at_us for look in looks]
    beyond = {ticker for (ticker,) in truth.execute("SELECT ticker FROM beyond")}
    of_look: defaultdict[int, list[tuple[str, object]]] = defaultdict(list)
    for ticker, observed_us, text in sorted(stored, key=lambda row: row[1]):
        place = bisect_right(starts, observed_us)
        if ticker in beyond:
            # The market settled at the edge of the first night's reach: it may be stored, but need not be.
            continue
        if place == 0:
            verdict.blame(f"{table}: stored before the first look", f"{ticker} {observed_us}")
            continue
        of_look[looks[place - 1].number].append((ticker, text))
    shown: dict[str, object] = {}
    last: dict[str, object] = {}
    for look in looks:
        seen = truth.execute(f"SELECT ticker, text, complete FROM {table} WHERE look = ?", (look.number,)).fetchall()
        shown.update((ticker, text) for ticker, text, _ in seen)
        for ticker, text in of_look.pop(look.number, ()):
            verdict.compared[f"{table} stored"] += 1
            where = f"{ticker} at look {look.number} ({look.kind})"
            if shown.get(ticker) != text:
                verdict.blame(f"{table}: stored what was not shown", f"{where}: {text!r}, shown {shown.get(ticker)!r}")
            elif last.get(ticker) == text:
                verdict.blame(f"{table}: stored again without a change", f"{where}: {text!r}")
            last[ticker] = text
        for ticker, text, complete in seen:
            verdict.compared[f"{table} shown"] += 1
            if complete and last.get(ticker) != text:
                where = f"{ticker} at look {look.number} ({look.kind})"
                verdict.blame(f"{table}: lost", f"{where}: {text!r}, stored {last.get(ticker)!r}")


def _files(data: Path, dataset: str) -> list[Path]:
    return sorted((data / "lake" / dataset).glob("date=*/*.parquet"))


def _stored_quotes(verdict: Verdict, data: Path) -> Stored:
    """Return each stored quote once, from the lake and from SQL. The same key twice must mean the same quote."""
    found: Rows = {}
    for path in _files(data, "price_history"):
        table = pq.ParquetFile(path).read()
        columns = [
            _prices(table[name]) if number < _PRICES else _whole(table[name]) for number, name in enumerate(_QUOTE)
        ]
        texts = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
        for key, text in zip(_keys(table), texts, strict=True):
            _add(verdict, "quotes", found, key, text, from_lake=True)
    verdict.compared["quotes in the lake"] = len(found)
    from_lake = set(found)
    units = [("_microdollars", _PRICE_UNIT) if number < _PRICES else ("_centicontracts", 1) for number in range(9)]
    names = ", ".join(
        f"{name}{unit}" if unit_size == 1 else f"{name}{unit} / {unit_size}"
        for name, (unit, unit_size) in zip(_QUOTE, units, strict=True)
    )
    with _open(data) as warehouse:
        for ticker, observed, *values in warehouse.execute(f"SELECT ticker, observed_us, {names} FROM price_snapshots"):
            key = (ticker, observed)
            _add(verdict, "quotes", found, key, ",".join(map(str, values)), from_lake=False, known=key in from_lake)
    yield from ((*key, text) for key, text in found.items())


def _stored_books(verdict: Verdict, data: Path) -> Stored:
    """Return each stored book once, from the lake and from SQL."""
    found: Rows = {}
    for path in _files(data, "orderbook_levels"):
        table = pq.ParquetFile(path).read()
        prices, sizes = _prices(table["price"]), _whole(table["contracts"])
        sides = table["side"].to_pylist()
        levels: defaultdict[tuple[str, int], dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
        for key, side, price, size in zip(_keys(table), sides, prices, sizes, strict=True):
            book = levels[key]
            if size:
                book[side].append((price, size))
        for key, book in levels.items():
            text = book_digest([(side, book.get(side, ())) for side in ("yes", "no")])
            _add(verdict, "books", found, key, text, from_lake=True)
    verdict.compared["books in the lake"] = len(found)
    from_lake = set(found)
    with _open(data) as warehouse:
        rows = warehouse.execute("SELECT ticker, observed_us, yes_levels, no_levels FROM orderbook_snapshots")
        for ticker, observed, *sides in rows:
            parsed = [[(price // _PRICE_UNIT, size) for price, size in orjson.loads(side)] for side in sides]
            key = (ticker, observed)
            text = book_digest(zip(("yes", "no"), parsed, strict=True))
            _add(verdict, "books", found, key, text, from_lake=False, known=key in from_lake)
    verdict.compared["books that became empty"] = sum(text == EMPTY_BOOK for text in found.values())
    yield from ((*key, text) for key, text in found.items())


def _add(
    verdict: Verdict,
    table: str,
    found: Rows,
    key: tuple[str, int],
    text: object,
    *,
    from_lake: bool,
    known: bool = False,
) -> None:
    if key not in found:
        found[key] = text
    elif from_lake:
        verdict.blame(f"{table}: twice in the lake", str(key))
    elif not known:
        verdict.blame(f"{table}: twice in SQL", str(key))
    elif found[key] != text:
        verdict.blame(f"{table}: SQL and the lake differ", f"{key}: {text!r} and {found[key]!r}")


def _compare_settlements(verdict: Verdict, truth: sqlite3.Connection, data: Path, looks: list[Look]) -> None:
    """Check that each settlement that a complete night could see is in SQL, or in the lake, with its value."""
    in_sql, in_lake = _sql_settlements(data), _lake_settlements(verdict, data)
    verdict.compared["settlements in SQL"], verdict.compared["settlements in the lake"] = len(in_sql), len(in_lake)
    last_night = max((look.number for look in looks if look.kind == "nightly" and look.is_complete), default=0)
    shown: dict[str, tuple[Any, ...]] = {}
    for ticker, look, *rest in truth.execute("SELECT ticker, look, settled_us, result, value FROM settlements"):
        shown[ticker] = tuple(rest)
        verdict.compared["settlements shown"] += 1
        places = [place[ticker] for place in (in_sql, in_lake) if ticker in place]
        if not places and look <= last_night:
            verdict.blame("settlements: lost", f"{ticker} {rest}")
        for found in places:
            if found != tuple(rest):
                verdict.blame("settlements: differ", f"{ticker}: stored {found}, shown {rest}")
    _compare_events(verdict, truth, data, last_night)
    beyond = {ticker for (ticker,) in truth.execute("SELECT ticker FROM beyond")}
    for ticker in (set(in_sql) | set(in_lake)) - set(shown) - beyond:
        verdict.blame("settlements: never shown", ticker)


def _compare_events(verdict: Verdict, truth: sqlite3.Connection, data: Path, last_night: int) -> None:
    """Check that the event of each settled market is in SQL or in the lake."""
    with _open(data) as warehouse:
        stored = {ticker for (ticker,) in warehouse.execute("SELECT event_ticker FROM events WHERE NOT is_placeholder")}
    verdict.compared["events in SQL"] = len(stored)
    for path in _files(data, "past_events"):
        stored.update(pq.ParquetFile(path).read(["event_ticker"])["event_ticker"].to_pylist())
    rows = truth.execute("SELECT DISTINCT event_ticker FROM settlements WHERE look <= ?", (last_night,))
    for (ticker,) in rows:
        verdict.compared["events of settled markets"] += 1
        if ticker not in stored:
            verdict.blame("events: lost", ticker)


def _sql_settlements(data: Path) -> dict[str, tuple[Any, ...]]:
    with _open(data) as warehouse:
        rows = warehouse.execute("SELECT ticker, settled_us, result, yes_payout_microdollars FROM settlements")
        return {ticker: (settled, result, value // _PRICE_UNIT) for ticker, settled, result, value in rows}


def _lake_settlements(verdict: Verdict, data: Path) -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for path in _files(data, "settled_markets"):
        table = pq.ParquetFile(path).read()
        settled = table["settlement_time"].cast(pa.int64()).to_pylist()
        values = _prices(table["settlement_value"])
        rows = zip(table["ticker"].to_pylist(), settled, table["result"].to_pylist(), values, strict=True)
        for ticker, *rest in rows:
            if ticker in found:
                verdict.blame("settlements: twice in the lake", ticker)
            found[ticker] = tuple(rest)
    return found


def _keys(table: pa.Table) -> Iterator[tuple[str, int]]:
    return zip(table["ticker"].to_pylist(), table["observed_time"].cast(pa.int64()).to_pylist(), strict=True)


def _prices(column: pa.ChunkedArray) -> list[int]:
    return [value // _PRICE_UNIT for value in _whole(column)]


def _whole(column: pa.ChunkedArray) -> list[int]:
    """Return exact decimals as whole numbers of their last digit. No value exceeds 64 bits; nulls become 0."""
    whole: list[int] = []
    for array in column.chunks:
        values, buffer = [0] * len(array), array.buffers()[1]
        if buffer is not None:
            # A decimal has 16 bytes. The lower eight bytes come first.
            values = memoryview(buffer).cast("q")[::2].tolist()[array.offset : array.offset + len(array)]
        if array.null_count:
            values = [value if known else 0 for value, known in zip(values, array.is_valid().to_pylist(), strict=True)]
        whole += values
    return whole


def _open(data: Path) -> Any:
    from contextlib import closing

    return closing(sqlite3.connect(f"file:{data / 'warehouse.db'}?mode=ro", uri=True))


def text_of(verdict: Verdict) -> Mapping[str, Any]:
    """Return a verdict as JSON."""
    return {"compared": dict(verdict.compared), "wrong": dict(verdict.wrong), "examples": dict(verdict.examples)}
