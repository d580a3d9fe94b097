"""The adoption of a legacy database, table by table. Every row is counted as kept, normalised or quarantined."""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.adoption import shapes
from kalshi_pipelines.warehouse.adoption.conversions import CONVERSIONS, Conversion
from kalshi_pipelines.warehouse.adoption.report import AdoptedTable, AdoptionReport, TableProgress
from kalshi_pipelines.warehouse.adoption.shapes import LegacyTable
from kalshi_pipelines.warehouse.adoption.state import AdoptionState, Parents
from kalshi_pipelines.warehouse.adoption.values import RefusedLegacyRow, Remarks
from kalshi_pipelines.warehouse.bulk import BulkWrite, Row, write_rows
from kalshi_pipelines.warehouse.tables import (
    ADOPTION,
    LEGACY_PREFIX,
    adoption_counts,
    adoption_notes,
    ingest_runs,
    price_snapshots,
    quarantine,
)

_ROWS_AT_ONCE: Final = 10_000
_QUOTED_IN_KEYS: Final = frozenset(",'\"\\")
_QUARANTINE: Final = BulkWrite(
    quarantine,
    (
        "subject",
        "record_key",
        "reason",
        "payload",
        "payload_digest",
        "first_quarantined_us",
        "quarantined_us",
        "ingest_run_id",
    ),
    on_conflict="refuse",
)
_NOTES: Final = BulkWrite(
    adoption_notes,
    ("ingest_run_id", "table_name", "row_key", "outcome", "reason", "original_values"),
    on_conflict="refuse",
)

Listener = Callable[[TableProgress], None]


class AdoptionFailed(ExpectedError):
    """Not every row of the legacy database could be read or stored, so nothing was changed."""


OldRow = tuple[Any, ...]


@dataclass(frozen=True)
class _Batch:
    """A batch of one legacy table: old rows, converted rows, remarks by row position, and refused rows with reasons."""

    old: list[OldRow]
    new: list[Row]
    remarks: dict[int, tuple[str, str]]
    refused: list[tuple[OldRow, str]]


def adopt(old: sqlite3.Connection, connection: sa.Connection, listener: Listener) -> AdoptionReport:
    """Convert every row of a legacy database into an empty warehouse, inside the open transaction.

    Args:
        old: The legacy database, open for reading.
        connection: A connection to an empty warehouse with the newest schema, inside a transaction.
        listener: Called with the progress of each table.

    Raises:
        UnknownShape: The database is not a legacy database.
        AdoptionFailed: Not every row could be read or stored.
    """
    started_us = now_us()
    state = AdoptionState(_begin_run(connection, started_us), started_us)
    tables = tuple(_adopt_table(old, connection, table, state, listener) for table in shapes.legacy_tables(old))
    report = AdoptionReport(state.run_id, tables)
    _finish_run(connection, report)
    _continue_counting(connection)
    return report


def text_or_bytes(stored: bytes) -> str | bytes:
    """Decode text of SQLite. Bytes that are not UTF-8 stay bytes, so that their row can be quarantined unchanged."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


_cached_text: Final = lru_cache(maxsize=1 << 16)(text_or_bytes)


def _adopt_table(
    old: sqlite3.Connection, connection: sa.Connection, table: LegacyTable, state: AdoptionState, listener: Listener
) -> AdoptedTable:
    (conversion,) = (each for each in CONVERSIONS if each.table.name == table.name)
    parents = _parents_of(table, state)
    (expected,) = old.execute(table.count_sql).fetchone()
    progress = TableProgress(table.name, expected, now_us(), AdoptedTable(table.name))
    for rows in _batches(old, table):
        batch = _convert_batch(rows, table, conversion, state)
        state.write_placeholders(connection)
        batch = _write_batch(connection, conversion, batch, parents)
        _quarantine(connection, table, batch.refused, state)
        _write_notes(connection, table, batch, state)
        normalised = sum(outcome == "normalised" for outcome, _ in batch.remarks.values())
        progress = progress.with_rows(len(batch.new) - normalised, normalised, len(batch.refused))
        listener(progress)
    if progress.counts.read != expected:
        raise AdoptionFailed(
            f"The old table {table.name} has {expected} rows, but {progress.counts.read} could be read. "
            "Nothing was changed.",
            "Check the old file with `PRAGMA integrity_check`.",
        )
    return progress.counts


def _batches(old: sqlite3.Connection, table: LegacyTable) -> Iterator[list[OldRow]]:
    # Decoded text is cached for quotes, which are many and repeat few short texts. Text of articles is not cached,
    # because articles are few and long.
    old.text_factory = _cached_text if table.name == shapes.PRICE_SNAPSHOTS.name else text_or_bytes
    rows = old.execute(table.rows_sql)
    while batch := rows.fetchmany(_ROWS_AT_ONCE):
        yield batch


def _convert_batch(rows: list[OldRow], table: LegacyTable, conversion: Conversion, state: AdoptionState) -> _Batch:
    batch = _Batch([], [], {}, [])
    remarks = Remarks()
    parents = _parents_of(table, state)
    convert = conversion.convert
    taken = len(table.read) if table.retired else None
    for row in rows:
        try:
            batch.new.append(convert(row[:taken], state, remarks))
            batch.old.append(row)
        except RefusedLegacyRow as refusal:
            batch.refused.append((row, str(refusal)))
            if parents is not None:
                key = row[0]
                parents.mark_quarantined(key.strip() if isinstance(key, str) else key)
            remarks = Remarks()
        if remarks:
            outcome = "normalised" if remarks.normalised else "kept"
            batch.remarks[len(batch.new) - 1] = (outcome, "; ".join(remarks.normalised + remarks.odd))
            remarks = Remarks()
    return batch


def _parents_of(table: LegacyTable, state: AdoptionState) -> Parents | None:
    return {
        shapes.EVENTS.name: state.events,
        shapes.MARKETS.name: state.markets,
        shapes.POSITIONS.name: state.positions,
        shapes.NEWS_ARTICLES.name: state.articles,
    }.get(table.name)


def _write_batch(connection: sa.Connection, conversion: Conversion, batch: _Batch, parents: Parents | None) -> _Batch:
    """Write the rows of a batch, and return a new batch.

    In the new batch, rows that the database did not store are in ``refused``, each with the reason.
    """
    refusals = {each.position: each.reason for each in write_rows(connection, conversion.write, batch.new)}
    if conversion.table is shapes.PRICE_SNAPSHOTS:
        refusals = _find_repeated_snapshots(connection, batch.new) | refusals
    if not refusals:
        return batch
    if parents is not None:
        for position in refusals:
            parents.move_to_quarantine(batch.new[position][0])
    stored = [position for position in range(len(batch.new)) if position not in refusals]
    return _Batch(
        [batch.old[position] for position in stored],
        [batch.new[position] for position in stored],
        {now: batch.remarks[before] for now, before in enumerate(stored) if before in batch.remarks},
        batch.refused + [(batch.old[position], reason) for position, reason in sorted(refusals.items())],
    )


def _find_repeated_snapshots(connection: sa.Connection, rows: Sequence[Row]) -> dict[int, str]:
    """Return the positions of quotes that were skipped because their ticker and time are stored already."""
    if not rows:
        return {}
    key = price_snapshots.c.price_snapshot_id
    ids = [row[0] for row in rows]
    within = key.between(min(ids), max(ids))
    if connection.scalar(sa.select(sa.func.count()).where(within)) == len(rows):
        return {}
    stored = set(connection.scalars(sa.select(key).where(within)))
    return {
        position: "same ticker and snapshot_time as an earlier row, which was kept"
        for position, each in enumerate(ids)
        if each not in stored
    }


def _quarantine(
    connection: sa.Connection, table: LegacyTable, refused: list[tuple[OldRow, str]], state: AdoptionState
) -> None:
    rows = []
    for old_row, reason in refused:
        payload = _original_values(table, old_row)
        digest = hashlib.sha256(payload.encode()).digest()
        times = (state.now_us, state.now_us)
        rows.append(
            (
                f"{LEGACY_PREFIX}{table.name}",
                _row_key(table, old_row),
                _storable(reason),
                payload,
                digest,
                *times,
                state.run_id,
            )
        )
    _require_stored(write_rows(connection, _QUARANTINE, rows), "quarantine")


def _write_notes(connection: sa.Connection, table: LegacyTable, batch: _Batch, state: AdoptionState) -> None:
    rows = [
        (state.run_id, table.name, _row_key(table, row), outcome, _storable(reason), _original_values(table, row))
        for row, (outcome, reason) in ((batch.old[position], said) for position, said in batch.remarks.items())
    ]
    _require_stored(write_rows(connection, _NOTES, rows), "adoption_notes")


def _require_stored(refused: Sequence[object], table: str) -> None:
    if refused:
        raise AdoptionFailed(
            f"The table {table} refused {refused[0]}, so nothing was changed.", "Report this as a bug."
        )


def _row_key(table: LegacyTable, old_row: OldRow) -> str:
    return ",".join(f"{name}={_key_part(value)}" for name, value in zip(table.key, old_row, strict=False))


def _original_values(table: LegacyTable, old_row: OldRow) -> str:
    columns = (*table.read, *table.retired)
    return json.dumps({name: _json_value(value) for name, value in zip(columns, old_row, strict=True)})


def _json_value(value: Any) -> Any:  # noqa: ANN401
    """Return a value that JSON can express. Bytes and infinite numbers become objects, so they differ from text."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, float) and value in {float("inf"), float("-inf")}:
        return {"number": str(value)}
    return value


def _key_part(value: Any) -> str:  # noqa: ANN401
    """Return a value as a part of a row key. Different values give different texts, all of which Postgres can store."""
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    text = str(value)
    return text if text.isprintable() and not set(text) & _QUOTED_IN_KEYS else json.dumps(text)


def _storable(text: str) -> str:
    """Return text that Postgres can store: every NUL is escaped."""
    return text.replace("\x00", "\\x00")


def _begin_run(connection: sa.Connection, started_us: int) -> int:
    run_id = connection.scalar(
        sa.insert(ingest_runs).returning(ingest_runs.c.ingest_run_id),
        {
            "subject": ADOPTION,
            "status": "running",
            "started_us": started_us,
            "pages": 0,
            "records_read": 0,
            "records_written": 0,
            "records_unchanged": 0,
            "records_rejected": 0,
            "history_rows": 0,
        },
    )
    return int(run_id or 0)


def _continue_counting(connection: sa.Connection) -> None:
    """Let Postgres number new rows after the highest adopted id. SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for conversion in CONVERSIONS:
        table = conversion.write.table
        key = table.autoincrement_column
        if key is not None:
            sequence = sa.func.pg_get_serial_sequence(table.name, key.name)
            highest = sa.select(sa.func.max(key)).scalar_subquery()
            positive = sa.func.coalesce(highest, 0) > 0
            connection.execute(sa.select(sa.func.setval(sequence, sa.func.greatest(highest, 1), positive)))


def _finish_run(connection: sa.Connection, report: AdoptionReport) -> None:
    total = report.total
    quotes = sum(table.stored for table in report.tables if table.name == shapes.PRICE_SNAPSHOTS.name)
    connection.execute(
        sa.update(ingest_runs)
        .where(ingest_runs.c.ingest_run_id == report.run_id)
        .values(
            status="succeeded",
            finished_us=now_us(),
            records_read=total.read,
            records_written=total.stored,
            records_rejected=total.quarantined,
            history_rows=quotes,
        )
    )
    connection.execute(
        sa.insert(adoption_counts),
        [
            {
                "ingest_run_id": report.run_id,
                "table_name": table.name,
                "rows_read": table.read,
                "rows_kept": table.kept,
                "rows_normalised": table.normalised,
                "rows_quarantined": table.quarantined,
            }
            for table in report.tables
        ],
    )
