"""How market records are converted and stored: facts, quotes, shared texts, settlements and the history of quotes.

A record whose quote alone changed is not decoded as a whole, and the row of its facts is not written.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec
import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.quarantine import UnstorableRecord
from kalshi_pipelines.bookkeeping.stamps import Stamp
from kalshi_pipelines.ingest.market_parts import MarketParts, split_market
from kalshi_pipelines.ingest.pages import Converted, RecordRefusedInPart, StorableRecord, StoredRows, unknown_as_json
from kalshi_pipelines.ingest.rows import MARKET_ROWS, QUOTE_COLUMNS, quote_values, shared_texts, text_digest
from kalshi_pipelines.kalshi.decoding import decode_records
from kalshi_pipelines.kalshi.records import Market
from kalshi_pipelines.units import InexactValue
from kalshi_pipelines.warehouse.bulk import BulkWrite, RefusedRow, Row, wanted_keys, write_rows
from kalshi_pipelines.warehouse.tables import (
    MAX_PRICE_MICRODOLLARS,
    QUOTE,
    markets,
    price_snapshots,
    quotes,
    rule_texts,
    settlements,
)

_MARKETS: Final = BulkWrite(markets, MARKET_ROWS.columns, keep=("first_seen_us",))
#: Columns of the rows in ``MarketChange``. Those of the facts are in ``MARKET_ROWS``.
QUOTE_ROW_COLUMNS: Final = ("ticker", "record_digest", *QUOTE_COLUMNS, "observed_us", "ingest_run_id")
SETTLEMENT_COLUMNS: Final = (
    "ticker",
    "event_ticker",
    "settled_us",
    "result",
    "final_yes_price_microdollars",
    "final_no_price_microdollars",
    "yes_payout_microdollars",
    "no_payout_microdollars",
    "recorded_us",
    "ingest_run_id",
)
_QUOTES: Final = BulkWrite(quotes, QUOTE_ROW_COLUMNS)
_KNOWN_QUOTES: Final = replace(_QUOTES, are_known=True)
_TEXTS: Final = BulkWrite(rule_texts, ("text_digest", "text"), on_conflict="keep")
_SETTLEMENTS: Final = BulkWrite(settlements, SETTLEMENT_COLUMNS)
_SNAPSHOT_COLUMNS: Final = (*QUOTE, "volume_24h_centicontracts")
_PRICE_SNAPSHOTS: Final = BulkWrite(
    price_snapshots, ("ticker", "observed_us", "ingest_run_id", *_SNAPSHOT_COLUMNS), on_conflict="refuse"
)
_LAST_PRICE: Final = _QUOTES.columns.index("last_price_microdollars")
_VOLUME: Final = _QUOTES.columns.index("volume_centicontracts")
_SETTLED_US: Final = MARKET_ROWS.columns.index("settlement_time_us")
_SETTLEMENT_VALUE: Final = MARKET_ROWS.columns.index("settlement_value_microdollars")
#: The result of a finalized market whose record names none: before 2026, the exchange wrote none for a scalar value.
_UNNAMED_RESULT: Final = "scalar"
_UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class MarketChange(NamedTuple):
    """The changed parts of a market, as rows.

    Attributes:
        ticker: The ticker of the market.
        quote: The row of the quote.
        snapshot: The history row, if the quote differs from the stored quote.
        facts: The row of the facts, if they changed.
        texts: The shared texts of the facts.
        settlement: The settlement, if the facts changed and the market is finalized.
    """

    ticker: str
    quote: Row
    snapshot: Row | None
    facts: Row | None = None
    texts: Sequence[str] = ()
    settlement: Row | None = None


class _Stored(NamedTuple):
    """The digest of the facts of a stored market, and its quote. A placeholder has neither."""

    facts_digest: bytes | None
    quote: tuple[int | None, ...]


_NOT_STORED: Final = _Stored(None, ())


def convert_markets(
    engine: sa.Engine, raws: Sequence[msgspec.Raw], digests: Mapping[str, bytes], stamp: Stamp
) -> Converted[Market]:
    """Convert changed market records. Only records whose facts changed are decoded as a whole."""
    parts, unreadable = _split(raws)
    with engine.connect() as connection:
        stored = _stored_markets(connection, list(parts))
    partly = [part for ticker, part in parts.items() if _facts_are_stored(stored.get(ticker), part)]
    changed = [part.raw for ticker, part in parts.items() if not _facts_are_stored(stored.get(ticker), part)]
    decoded = decode_records(Market, unreadable + changed)
    storable: list[StorableRecord[Market]] = []
    rejected = [UnstorableRecord(each.raw, each.reason, each.key) for each in decoded.rejected]
    for record, raw, unknown in decoded.records:
        part = parts[record.ticker]
        try:
            facts = MARKET_ROWS.row(record, part.facts_digest, unknown_as_json(unknown), stamp)
            quote, snapshot = _quote_rows(part, digests, stored, stamp)
            settlement = _settlement(record, facts, quote, stamp) if record.status == "finalized" else None
            change = MarketChange(record.ticker, quote, snapshot, facts, shared_texts(record), settlement)
        except (InexactValue, UnicodeDecodeError) as error:
            rejected.append(UnstorableRecord(bytes(raw), str(error), record.ticker))
        else:
            storable.append(StorableRecord(change, raw, record))
    for part in partly:
        try:
            change = MarketChange(part.quote.ticker, *_quote_rows(part, digests, stored, stamp))
        except InexactValue as error:
            rejected.append(UnstorableRecord(bytes(part.raw), str(error), part.quote.ticker))
        else:
            storable.append(StorableRecord(change, part.raw, None))
    examined = [(part.quote, part.raw, ()) for part in partly]
    return Converted(storable, rejected, decoded.records, examined, decoded.unknown_fields)


def _split(raws: Sequence[msgspec.Raw]) -> tuple[dict[str, MarketParts], list[msgspec.Raw]]:
    """Return the parts of each record by ticker, and the records without a readable quote."""
    parts: dict[str, MarketParts] = {}
    unreadable: list[msgspec.Raw] = []
    for raw in raws:
        try:
            part = split_market(raw)
        except _UNDECODABLE:
            unreadable.append(raw)
        else:
            parts[part.quote.ticker] = part
    return parts, unreadable


def _facts_are_stored(stored: _Stored | None, part: MarketParts) -> bool:
    return stored is not None and stored.facts_digest == part.facts_digest


def _stored_markets(connection: sa.Connection, tickers: Sequence[str]) -> dict[str, _Stored]:
    if not tickers:
        return {}
    wanted = wanted_keys(tickers, connection.dialect.name)
    both = sa.select(markets.c.ticker, markets.c.facts_digest, *[quotes.c[name] for name in QUOTE]).select_from(
        wanted.join(markets, markets.c.ticker == wanted.c.value).outerjoin(quotes, quotes.c.ticker == markets.c.ticker)
    )
    return {ticker: _Stored(digest, tuple(quote)) for ticker, digest, *quote in connection.execute(both)}


def _quote_rows(
    part: MarketParts, digests: Mapping[str, bytes], stored: Mapping[str, _Stored], stamp: Stamp
) -> tuple[Row, Row | None]:
    """Return the row of the quote, and its history row if it differs from the stored quote."""
    ticker = part.quote.ticker
    values = quote_values(part.quote)
    quote = (ticker, digests[ticker], *values, stamp.recorded_us, stamp.ingest_run_id)
    if stored.get(ticker, _NOT_STORED).quote == values[: len(QUOTE)]:
        return quote, None
    return quote, (ticker, stamp.recorded_us, stamp.ingest_run_id, *values[: len(_SNAPSHOT_COLUMNS)])


def _settlement(market: Market, facts: Row, quote: Row, stamp: Stamp) -> Row | None:
    """Return the settlement of a finalized market. Payouts follow the settlement value, not the result."""
    value = facts[_SETTLEMENT_VALUE]
    if value is None:
        return None
    last_price = quote[_LAST_PRICE] if quote[_VOLUME] else None
    return (
        market.ticker,
        market.event_ticker,
        facts[_SETTLED_US],
        market.result or _UNNAMED_RESULT,
        last_price,
        None if last_price is None else MAX_PRICE_MICRODOLLARS - last_price,
        value,
        MAX_PRICE_MICRODOLLARS - value,
        stamp.recorded_us,
        stamp.ingest_run_id,
    )


def store_markets(connection: sa.Connection, changes: Sequence[MarketChange], _stamp: Stamp) -> StoredRows:
    """Write the changes of markets.

    Raises:
        RecordRefusedInPart: The database accepted the facts of a market and refused its quote or its settlement.
    """
    refused = _refused_texts(connection, changes)
    out = {each.position for each in refused}
    refused += _write(connection, _MARKETS, changes, out, "facts")
    out = {each.position for each in refused}
    news = {position for position, change in enumerate(changes) if change.facts is not None}
    in_part = _write(connection, _QUOTES, changes, out | (set(range(len(changes))) - news), "quote")
    in_part += _write(connection, _KNOWN_QUOTES, changes, out | news, "quote")
    in_part += _write(connection, _SETTLEMENTS, changes, out | {each.position for each in in_part}, "settlement")
    if in_part:
        raise RecordRefusedInPart(in_part)
    snapshots = [change.snapshot for position, change in enumerate(changes) if change.snapshot and position not in out]
    append_history(connection, _PRICE_SNAPSHOTS, snapshots)
    return StoredRows(refused, len(snapshots))


def _write(
    connection: sa.Connection, write: BulkWrite, changes: Sequence[MarketChange], out: Collection[int], part: str
) -> list[RefusedRow]:
    """Write one part of the changes, and return the refused rows with the positions of their changes."""
    part_of = attrgetter(part)
    positions: list[int] = []
    rows: list[Row] = []
    for position, change in enumerate(changes):
        row = part_of(change)
        if row is not None and position not in out:
            positions.append(position)
            rows.append(row)
    return [replace(each, position=positions[each.position]) for each in write_rows(connection, write, rows)]


def _refused_texts(connection: sa.Connection, changes: Sequence[MarketChange]) -> list[RefusedRow]:
    """Store the shared texts of the changes, and return a refusal for each change that has a refused text."""
    texts = list({text for change in changes for text in change.texts})
    reasons = {
        texts[each.position]: each.reason
        for each in write_rows(connection, _TEXTS, [(text_digest(text), text) for text in texts])
    }
    if not reasons:
        return []
    return [
        RefusedRow(position, reasons[text])
        for position, change in enumerate(changes)
        if (text := next((text for text in change.texts if text in reasons), None)) is not None
    ]


def append_history(connection: sa.Connection, write: BulkWrite, rows: Sequence[Row]) -> None:
    """Add history rows. The database accepted the same values in another table, so it must not refuse one here."""
    refused = write_rows(connection, write, rows)
    if refused:
        row = rows[refused[0].position]
        raise RuntimeError(f"The table {write.table.name} refused a history row of {row[0]}: {refused[0].reason}")
