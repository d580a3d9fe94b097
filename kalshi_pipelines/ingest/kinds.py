"""Kinds of record that are ingested page by page: series, events, markets with their quotes, and orderbooks."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.stamps import PROVENANCE, Stamp
from kalshi_pipelines.ingest.markets import append_history, convert_markets, store_markets
from kalshi_pipelines.ingest.pages import RecordKind, StoredRows, convert_whole
from kalshi_pipelines.ingest.rows import EVENT_ROWS, ORDERBOOK_ROWS, SERIES_ROWS
from kalshi_pipelines.kalshi.records import Event, Market, Orderbook, Series
from kalshi_pipelines.warehouse.bulk import BulkWrite, Row, wanted_keys, write_rows
from kalshi_pipelines.warehouse.tables import events, orderbook_snapshots, orderbooks, quotes, series

Digests = Mapping[str, bytes]

_KEEP: Final = ("first_seen_us",)
_SERIES: Final = BulkWrite(series, SERIES_ROWS.columns, keep=_KEEP)
_EVENTS: Final = BulkWrite(events, EVENT_ROWS.columns, keep=_KEEP)
_ORDERBOOKS: Final = BulkWrite(orderbooks, ORDERBOOK_ROWS.columns)
_ORDERBOOK_SNAPSHOTS: Final = BulkWrite(orderbook_snapshots, ORDERBOOK_ROWS.columns, on_conflict="refuse")
_PLACEHOLDER_COLUMNS: Final = ("is_placeholder", *PROVENANCE)


def _digests(key: sa.Column[str], digest: sa.Column[bytes], connection: sa.Connection, keys: Sequence[str]) -> Digests:
    wanted = wanted_keys(keys, connection.dialect.name)
    stored = sa.select(key, digest).join_from(wanted, key.table, key == wanted.c.value)
    return dict(connection.execute(stored).all())


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


def _store_orderbooks(connection: sa.Connection, rows: Sequence[Row], _stamp: Stamp) -> StoredRows:
    """Overwrite the newest books, and add each changed book to the history."""
    refused = write_rows(connection, _ORDERBOOKS, rows)
    out = {each.position for each in refused}
    append_history(connection, _ORDERBOOK_SNAPSHOTS, [row for position, row in enumerate(rows) if position not in out])
    return StoredRows(refused, len(rows) - len(refused))


SERIES: Final = RecordKind(
    subject="series",
    record=Series,
    stored_digests=partial(_digests, series.c.ticker, series.c.record_digest),
    convert=partial(convert_whole, Series, "ticker", SERIES_ROWS.row),
    add_parents=_no_parents,
    store=partial(_overwrite, _SERIES),
)

EVENTS: Final = RecordKind(
    subject="events",
    record=Event,
    stored_digests=partial(_digests, events.c.event_ticker, events.c.record_digest),
    convert=partial(convert_whole, Event, "event_ticker", EVENT_ROWS.row),
    add_parents=_series_of_events,
    store=partial(_overwrite, _EVENTS),
)

MARKETS: Final = RecordKind(
    subject="markets",
    record=Market,
    stored_digests=partial(_digests, quotes.c.ticker, quotes.c.record_digest),
    convert=convert_markets,
    add_parents=_events_of_markets,
    store=store_markets,
)

ORDERBOOKS: Final = RecordKind(
    subject="orderbooks",
    record=Orderbook,
    stored_digests=partial(_digests, orderbooks.c.ticker, orderbooks.c.record_digest),
    convert=partial(convert_whole, Orderbook, "ticker", ORDERBOOK_ROWS.row),
    add_parents=_no_parents,
    store=_store_orderbooks,
)
