"""Kinds of record that are ingested page by page: series, events, markets with their quotes, and orderbooks."""

from collections.abc import Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.stamps import PROVENANCE, Stamp
from kalshi_pipelines.ingest.pages import RecordKind, StoredRows
from kalshi_pipelines.ingest.rows import EVENT_ROWS, MARKET_ROWS, ORDERBOOK_ROWS, SERIES_ROWS
from kalshi_pipelines.kalshi.records import Event, Market, Orderbook, Series
from kalshi_pipelines.warehouse.bulk import BulkWrite, Row, wanted_keys, write_rows
from kalshi_pipelines.warehouse.tables import (
    QUOTE,
    events,
    markets,
    orderbook_snapshots,
    price_snapshots,
    series,
)

Digests = Mapping[str, bytes]

_KEEP: Final = ("first_seen_us",)
_SERIES: Final = BulkWrite(series, SERIES_ROWS.columns, keep=_KEEP)
_EVENTS: Final = BulkWrite(events, EVENT_ROWS.columns, keep=_KEEP)
_MARKETS: Final = BulkWrite(markets, MARKET_ROWS.columns, keep=_KEEP)
_SNAPSHOT_VALUES: Final = (*QUOTE, "volume_24h_centicontracts")
_snapshot_values: Final = itemgetter(*[MARKET_ROWS.columns.index(name) for name in _SNAPSHOT_VALUES])
_PRICE_SNAPSHOTS: Final = BulkWrite(
    price_snapshots,
    ("ticker", "observed_us", "ingest_run_id", *_SNAPSHOT_VALUES),
    on_conflict="refuse",
)
_ORDERBOOK_SNAPSHOTS: Final = BulkWrite(orderbook_snapshots, ORDERBOOK_ROWS.columns, on_conflict="refuse")
_PLACEHOLDER_COLUMNS: Final = ("is_placeholder", *PROVENANCE)


def _digests(key: sa.Column[str], digest: sa.Column[bytes], connection: sa.Connection, keys: Sequence[str]) -> Digests:
    wanted = wanted_keys(keys, connection.dialect.name)
    stored = sa.select(key, digest).join_from(wanted, key.table, key == wanted.c.value)
    return dict(connection.execute(stored).all())


def _latest_book_digests(connection: sa.Connection, tickers: Sequence[str]) -> Digests:
    snapshot, other = orderbook_snapshots.c, orderbook_snapshots.alias("other").c
    newest = sa.select(sa.func.max(other.observed_us)).where(other.ticker == snapshot.ticker).scalar_subquery()
    wanted = wanted_keys(tickers, connection.dialect.name)
    latest = (
        sa.select(snapshot.ticker, snapshot.record_digest)
        .join_from(wanted, orderbook_snapshots, snapshot.ticker == wanted.c.value)
        .where(snapshot.observed_us == newest)
    )
    return dict(connection.execute(latest).all())


def _no_parents(_connection: sa.Connection, _records: Sequence[object], _stamp: Stamp) -> int:
    return 0


def _series_of_events(connection: sa.Connection, records: Sequence[Event], stamp: Stamp) -> int:
    return _add_placeholders(connection, series, {record.series_ticker for record in records}, stamp)


def _events_of_markets(connection: sa.Connection, records: Sequence[Market], stamp: Stamp) -> int:
    return _add_placeholders(connection, events, {record.event_ticker for record in records}, stamp)


def _add_placeholders(connection: sa.Connection, table: sa.Table, keys: set[str], stamp: Stamp) -> int:
    """Add placeholder rows for parents (such as a market's event) that were not read yet. Return how many were added.

    A market can thus be stored before its event. The event's own record later fills the placeholder.
    """
    (key,) = table.primary_key
    wanted = wanted_keys(keys, connection.dialect.name)
    known = set(connection.scalars(sa.select(key).join_from(wanted, table, key == wanted.c.value)))
    provenance = (None, stamp.recorded_us, stamp.recorded_us, stamp.ingest_run_id)
    missing = [(ticker, True, *provenance) for ticker in sorted(keys - known)]
    write = BulkWrite(table, (key.name, *_PLACEHOLDER_COLUMNS), on_conflict="keep")
    # If the database refuses a parent, it also refuses the child, and the child goes to the quarantine.
    return len(missing) - len(write_rows(connection, write, missing))


def _overwrite(write: BulkWrite, connection: sa.Connection, rows: Sequence[Row], _stamp: Stamp) -> StoredRows:
    return StoredRows(write_rows(connection, write, rows))


def _store_markets(connection: sa.Connection, rows: Sequence[Row], stamp: Stamp) -> StoredRows:
    """Write markets, and add a price snapshot for each market whose quote differs from the stored quote."""
    wanted = wanted_keys([row[0] for row in rows], connection.dialect.name)
    quote = sa.select(markets.c.ticker, *[markets.c[name] for name in QUOTE]).join_from(
        wanted, markets, markets.c.ticker == wanted.c.value
    )
    before = {ticker: tuple(values) for ticker, *values in connection.execute(quote)}
    refused = write_rows(connection, _MARKETS, rows)
    out = {each.position for each in refused}
    snapshots = [
        (row[0], stamp.recorded_us, stamp.ingest_run_id, *values)
        for position, (row, values) in enumerate(zip(rows, map(_snapshot_values, rows), strict=True))
        if position not in out and before.get(row[0]) != values[: len(QUOTE)]
    ]
    _append(connection, _PRICE_SNAPSHOTS, snapshots)
    return StoredRows(refused, len(snapshots))


def _append_orderbooks(connection: sa.Connection, rows: Sequence[Row], _stamp: Stamp) -> StoredRows:
    refused = write_rows(connection, _ORDERBOOK_SNAPSHOTS, rows)
    return StoredRows(refused, len(rows) - len(refused))


def _append(connection: sa.Connection, write: BulkWrite, rows: Sequence[Row]) -> None:
    refused = write_rows(connection, write, rows)
    if refused:
        row = rows[refused[0].position]
        raise RuntimeError(f"The table {write.table.name} refused a history row of {row[0]}: {refused[0].reason}")


SERIES: Final = RecordKind(
    subject="series",
    record=Series,
    key="ticker",
    row=SERIES_ROWS.row,
    stored_digests=partial(_digests, series.c.ticker, series.c.record_digest),
    add_parents=_no_parents,
    store=partial(_overwrite, _SERIES),
)

EVENTS: Final = RecordKind(
    subject="events",
    record=Event,
    key="event_ticker",
    row=EVENT_ROWS.row,
    stored_digests=partial(_digests, events.c.event_ticker, events.c.record_digest),
    add_parents=_series_of_events,
    store=partial(_overwrite, _EVENTS),
)

MARKETS: Final = RecordKind(
    subject="markets",
    record=Market,
    key="ticker",
    row=MARKET_ROWS.row,
    stored_digests=partial(_digests, markets.c.ticker, markets.c.record_digest),
    add_parents=_events_of_markets,
    store=_store_markets,
)

ORDERBOOKS: Final = RecordKind(
    subject="orderbooks",
    record=Orderbook,
    key="ticker",
    row=ORDERBOOK_ROWS.row,
    stored_digests=_latest_book_digests,
    add_parents=_no_parents,
    store=_append_orderbooks,
)
