"""The quarantine: records that cannot be stored.

A record stays in quarantine until a record with the same key is stored. Each record has one row with its newest
payload and the reason. A record that is rejected every few minutes still takes one row.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.digests import record_digest
from kalshi_pipelines.bookkeeping.stamps import Stamp
from kalshi_pipelines.warehouse.bulk import BulkWrite, Row, wanted_keys, write_rows
from kalshi_pipelines.warehouse.tables import quarantine

_COLUMNS: Final = (
    "subject",
    "record_key",
    "reason",
    "payload",
    "payload_digest",
    "first_quarantined_us",
    "quarantined_us",
    "resolved_us",
    "ingest_run_id",
)
_WRITE: Final = BulkWrite(quarantine, _COLUMNS, keep=("first_quarantined_us",))
_UNREADABLE: Final = "unreadable:"


@dataclass(frozen=True)
class UnstorableRecord:
    """A record that cannot be stored.

    Attributes:
        raw: The record's bytes as received.
        reason: The reason why the record cannot be stored.
        key: The record's key; None if the key cannot be read.
    """

    raw: bytes
    reason: str
    key: str | None


def set_aside(connection: sa.Connection, subject: str, rejected: Sequence[UnstorableRecord], stamp: Stamp) -> None:
    """Put rejected records into the quarantine. A record already there with the same payload stays unchanged."""
    rows: list[Row] = []
    for each in rejected:
        digest = record_digest(each.raw)
        key = each.key or f"{_UNREADABLE}{digest.hex()}"
        texts = [_storable(text) for text in (key, each.reason, each.raw.decode(errors="backslashreplace"))]
        times = (stamp.recorded_us, stamp.recorded_us, None)
        rows.append((subject, *texts, digest, *times, stamp.ingest_run_id))
    known = _unresolved(connection, subject) if rows else {}
    refused = write_rows(connection, _WRITE, [row for row in rows if known.get(row[1]) != row[4]])
    if refused:
        raise RuntimeError(f"The quarantine refused a rejected record of {subject}: {refused[0].reason}")


def _storable(text: str) -> str:
    """Return the text with NUL characters escaped, because Postgres cannot store NUL."""
    return text.replace("\x00", "\\x00")


def resolve(connection: sa.Connection, subject: str, keys: Collection[str], stamp: Stamp) -> None:
    """Mark quarantined records as resolved because they are stored now."""
    stored = sorted(_unresolved(connection, subject).keys() & keys)
    if stored:
        columns = quarantine.c
        wanted = wanted_keys(stored, connection.dialect.name)
        connection.execute(
            sa.update(quarantine)
            .where(columns.subject == subject, columns.record_key.in_(sa.select(wanted.c.value)))
            .values(resolved_us=stamp.recorded_us)
        )


def unresolved_keys(engine: sa.Engine, subject: str) -> list[str]:
    """Return the keys of the records that are still in quarantine, except records without a readable key."""
    with engine.connect() as connection:
        return sorted(key for key in _unresolved(connection, subject) if not key.startswith(_UNREADABLE))


def _unresolved(connection: sa.Connection, subject: str) -> dict[str, bytes]:
    columns = quarantine.c
    rows = sa.select(columns.record_key, columns.payload_digest).where(
        columns.subject == subject, columns.resolved_us.is_(None)
    )
    return dict(connection.execute(rows).all())
