"""The third witness: the exchange's own daily files of all trades, which are no part of its API.

A file has the trades of one New York day. It names no trade id, so contracts, number of trades, highest and lowest
price of each market are compared. The address is hard-coded, no key is sent, and redirects are not followed.
"""

import datetime as dt
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol

import httpx
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.history.proof.residuals import Residual, State
from kalshi_pipelines.lake.datasets import CANDLESTICKS_1M, PUBLIC_TRADES
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.reading import read

#: The only address from which the files of the real exchange are read.
REPORTS_URL: Final = "https://kalshi-public-docs.s3.amazonaws.com/reporting"
_MOST_BYTES: Final = 4 << 30
_ROW_END: Final = b"},"


class ReportRefused(ExpectedError):
    """A daily file of the exchange cannot be read, or does not have the form that is known."""


class ReportRow(msgspec.Struct, frozen=True):
    """A trade in a daily file. The price is in cents, and it may have decimals."""

    ticker_name: str
    date: str
    contracts_traded: Decimal
    price: Decimal


@dataclass(frozen=True)
class TradedSums:
    """Contracts, number of trades, and the highest and lowest price in dollars of a market on a day."""

    contracts: Decimal
    prints: int
    high: Decimal
    low: Decimal

    def with_row(self, row: ReportRow) -> "TradedSums":
        """Return the sums with one more trade."""
        price = row.price.scaleb(-2)
        contracts = self.contracts + row.contracts_traded
        return TradedSums(contracts, self.prints + 1, max(self.high, price), min(self.low, price))

    def __str__(self) -> str:
        numbers = (f"{each:f}" for each in (self.contracts, self.high, self.low))
        contracts, high, low = (each.rstrip("0").rstrip(".") if "." in each else each for each in numbers)
        return f"contracts {contracts}, trades {self.prints}, high {high}, low {low}"


class Reports(Protocol):
    """A source of daily files."""

    def sums_of(self, day: dt.date) -> dict[str, TradedSums] | None:
        """Return the sums of each market on a New York day; None if the file is not published."""


@dataclass(frozen=True)
class DailyReports:
    """The daily files at an address.

    Attributes:
        url: The address of the folder of the files.
        transport: The HTTP transport; None for the usual one.
    """

    url: str = REPORTS_URL
    transport: httpx.BaseTransport | None = None

    def sums_of(self, day: dt.date) -> dict[str, TradedSums] | None:
        """Return the sums of each market on a New York day; None if the file is not published.

        Raises:
            ReportRefused: The file cannot be read, or it does not have the known form.
        """
        # No credentials and no proxy of the environment are used.
        with httpx.Client(transport=self.transport, timeout=60, trust_env=False) as client:
            return self._sums_of(client, day)

    def _sums_of(self, client: httpx.Client, day: dt.date) -> dict[str, TradedSums] | None:
        for name in (f"trade_data_{day}.json.gz", f"trade_data_{day}.json"):
            try:
                with client.stream("GET", f"{self.url}/{name}", follow_redirects=False) as response:
                    if response.status_code in (403, 404):  # the store answers 403 for files that do not exist
                        continue
                    if response.status_code != 200:
                        raise ReportRefused(f"The daily file {name} was answered with {response.status_code}.")
                    chunks: Iterable[bytes] = response.iter_bytes(1 << 20)
                    return sums_of_rows(parse(_unpacked(chunks) if name.endswith(".gz") else chunks, day))
            except httpx.HTTPError as error:
                raise ReportRefused(f"The daily file {name} cannot be read: {type(error).__name__}.") from None
        return None


def _unpacked(chunks: Iterable[bytes]) -> Iterator[bytes]:
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        for chunk in chunks:
            rest = chunk
            while rest:
                yield unpack.decompress(rest, 1 << 20)
                rest = unpack.unconsumed_tail
    except zlib.error:
        raise ReportRefused("A daily file is not complete gzip.") from None
    if not unpack.eof:
        raise ReportRefused("A daily file is not complete gzip.")


def parse(chunks: Iterable[bytes], day: dt.date) -> Iterator[ReportRow]:
    """Yield the trades of a daily file, of which only a small part is in memory at a time.

    Raises:
        ReportRefused: The file does not have the known form, or has trades of another day.
    """
    buffer, total = b"", 0
    for chunk in chunks:
        total += len(chunk)
        if total > _MOST_BYTES:
            raise ReportRefused(f"The daily file of {day} is too large.")
        buffer += chunk
        if not buffer.startswith(b"["):
            if buffer:
                raise ReportRefused(f"The daily file of {day} is no JSON list.")
            continue
        end = buffer.rfind(_ROW_END)
        if end > 0:
            yield from _rows(buffer[: end + 1] + b"]", day)
            buffer = b"[" + buffer[end + len(_ROW_END) :]
    yield from _rows(buffer, day)


def _rows(text: bytes, day: dt.date) -> list[ReportRow]:
    try:
        rows = msgspec.json.decode(text, type=list[ReportRow])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ReportRefused(f"The daily file of {day} does not have the known form: {error}.") from None
    for row in rows:
        numbers = row.price, row.contracts_traded
        is_possible = all(each.is_finite() and each > 0 for each in numbers) and row.price < 100
        if row.date != day.isoformat() or not is_possible:
            raise ReportRefused(f"The daily file of {day} has an impossible trade of {row.ticker_name}.")
    return rows


def sums_of_rows(rows: Iterable[ReportRow]) -> dict[str, TradedSums]:
    """Return the sums of each market."""
    found: dict[str, TradedSums] = {}
    for row in rows:
        price = row.price.scaleb(-2)
        known = found.get(row.ticker_name, TradedSums(Decimal(0), 0, price, price))
        found[row.ticker_name] = known.with_row(row)
    return found


def sums_in_lake(lake: Lake, engine: sa.Engine, day: dt.date) -> dict[str, TradedSums]:
    """Return the sums of each market on a New York day by the trades of the lake."""
    # Candlesticks have New York days that end one microsecond later.
    start_us, end_us = (each - 1 for each in CANDLESTICKS_1M.bounds_of(day))
    found: dict[str, TradedSums] = {}
    columns = ["ticker", "yes_price", "contracts"]
    for batch in read(lake, engine, PUBLIC_TRADES, start_us, end_us, columns=columns):
        prices = pc.multiply(batch.column("yes_price"), pa.scalar(1_000_000, pa.decimal128(7, 0))).cast(pa.int64())
        table = pa.table([batch.column("ticker"), prices, batch.column("contracts")], names=columns)
        aggregates = [("contracts", "sum"), ("contracts", "count"), ("yes_price", "max"), ("yes_price", "min")]
        for row in table.group_by("ticker").aggregate(aggregates).to_pylist():
            high, low = (Decimal(row[f"yes_price_{name}"]).scaleb(-6) for name in ("max", "min"))
            new = TradedSums(row["contracts_sum"], row["contracts_count"], high, low)
            known = found.get(row["ticker"])
            found[row["ticker"]] = new if known is None else _added(known, new)
    return found


def _added(one: TradedSums, other: TradedSums) -> TradedSums:
    contracts, prints = one.contracts + other.contracts, one.prints + other.prints
    return TradedSums(contracts, prints, max(one.high, other.high), min(one.low, other.low))


def compare_report(day: dt.date, expected: dict[str, TradedSums], found: dict[str, TradedSums]) -> Iterator[Residual]:
    """Yield a residual for each market whose sums on a New York day differ."""
    for ticker in sorted(expected.keys() | found.keys()):
        theirs, ours = expected.get(ticker), found.get(ticker)
        if theirs != ours:
            yield Residual(
                ticker,
                f"daily report of {day}",
                State.MISSING,
                None if theirs is None else str(theirs),
                None if ours is None else str(ours),
                f"The exchange's file of the New York day {day} has other trades of the market.",
            )
