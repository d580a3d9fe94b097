"""How one page of the exchange is stored in the warehouse, in one transaction.

Unchanged records are skipped, the others are decoded and stored, and records that cannot be stored go to the
quarantine. The steps are the same for every kind of record. A ``RecordKind`` holds the functions that differ between
kinds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, Generic, TypeVar

import msgspec
import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.digests import record_digest
from kalshi_pipelines.bookkeeping.quarantine import UnstorableRecord, resolve, set_aside
from kalshi_pipelines.bookkeeping.runs import Counts, IngestRun
from kalshi_pipelines.bookkeeping.stamps import Stamp
from kalshi_pipelines.contracts.comparison.page_checks import IngestedPage, PageChecks
from kalshi_pipelines.kalshi.decoding import Decoded, decode_records, record_key
from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.units import InexactValue
from kalshi_pipelines.warehouse.bulk import RefusedRow, Row
from kalshi_pipelines.warehouse.engine import writing

Record = TypeVar("Record", bound=msgspec.Struct)

#: The longest orderbooks have 20,000 levels in about 400,000 bytes. A record above the limit of 1 MiB cannot be
#: genuine.
MOST_RECORD_BYTES: Final = 1 << 20
_KEPT_OF_LONGER: Final = 4_096


@dataclass(frozen=True)
class StoredRows:
    """Rows that the database refused, and the number of history rows that were added."""

    refused: list[RefusedRow]
    history_rows: int = 0


@dataclass(frozen=True)
class RecordKind(Generic[Record]):
    """A kind of record, and the functions that store records of this kind.

    Attributes:
        subject: Name of the kind in run records and in the quarantine.
        record: The type of the wire record.
        key: Name of the field that identifies a record.
        row: Makes a row. The arguments are the record, its digest, its unknown fields as JSON text and the provenance.
        stored_digests: Returns the digests of the records that are stored under the given keys.
        add_parents: Adds placeholders for parents that are not stored yet, and returns how many it added.
        store: Writes rows and their history rows.
    """

    subject: str
    record: type[Record]
    key: str
    row: Callable[[Record, bytes, str | None, Stamp], Row]
    stored_digests: Callable[[sa.Connection, Sequence[str]], Mapping[str, bytes]]
    add_parents: Callable[[sa.Connection, Sequence[Record], Stamp], int]
    store: Callable[[sa.Connection, Sequence[Row], Stamp], StoredRows]


def store_page(
    run: IngestRun, kind: RecordKind[Record], page: Page, checks: PageChecks | None = None
) -> dict[str, bytes]:
    """Store the records of a page in one transaction: either the whole page is committed, or nothing.

    A record is not decoded if its digest equals the stored digest. If a page holds a record twice, the last copy is
    stored. The contract checks receive the page after it was stored.

    Returns:
        An example of each field that the client does not know.
    """
    stamp = Stamp(page.received_us, run.run_id)
    too_long = [_too_long(kind, raw) for raw in page.raw_records if len(raw) > MOST_RECORD_BYTES]
    of_use = [raw for raw in page.raw_records if len(raw) <= MOST_RECORD_BYTES] if too_long else page.raw_records
    digests, changed = _changed(run.engine, kind, of_use)
    decoded = decode_records(kind.record, changed)
    rows, sources, rejected = _rows(kind, decoded.records, digests, stamp)
    rejected += [UnstorableRecord(each.raw, each.reason, each.key) for each in decoded.rejected] + too_long
    with writing(run.engine) as connection:
        placeholders = kind.add_parents(connection, [each.record for each in sources], stamp)
        stored = kind.store(connection, rows, stamp)
        rejected += [
            UnstorableRecord(bytes(sources[each.position].raw), each.reason, rows[each.position][0])
            for each in stored.refused
        ]
        written = len(rows) - len(stored.refused)
        set_aside(connection, kind.subject, rejected, stamp)
        resolve(connection, kind.subject, digests.keys() - {each.key for each in rejected}, stamp)
        run.add_page(
            connection,
            Counts(
                read=len(page.raw_records),
                written=written,
                unchanged=len(page.raw_records) - written - len(rejected),
                rejected=len(rejected),
                history_rows=stored.history_rows,
                placeholders=placeholders,
            ),
        )
    if checks is not None:
        refused = [(each.raw, each.reason) for each in rejected]
        checks.check_page(IngestedPage(page.endpoint, page.received_us, page.raw_records, decoded.records, refused))
    run.report_progress()
    return decoded.unknown_fields


def _too_long(kind: RecordKind[Record], raw: msgspec.Raw) -> UnstorableRecord:
    reason = f"the record has {len(raw):,} bytes; records over {MOST_RECORD_BYTES:,} bytes are not stored"
    return UnstorableRecord(bytes(memoryview(raw)[:_KEPT_OF_LONGER]), reason, record_key(kind.record, raw))


def _changed(
    engine: sa.Engine, kind: RecordKind[Record], raws: Sequence[msgspec.Raw]
) -> tuple[dict[str, bytes], list[msgspec.Raw]]:
    """Return the digests of all records by key, and the records whose digest differs from the stored digest."""
    latest: dict[str, msgspec.Raw] = {}
    unreadable: list[msgspec.Raw] = []
    for raw in raws:
        key = record_key(kind.record, raw)
        if key is None:
            unreadable.append(raw)
        else:
            latest[key] = raw
    digests = {key: record_digest(raw) for key, raw in latest.items()}
    with engine.connect() as connection:
        stored = kind.stored_digests(connection, list(digests))
    return digests, unreadable + [latest[key] for key, digest in digests.items() if stored.get(key) != digest]


def _rows(
    kind: RecordKind[Record], records: Sequence[Decoded[Record]], digests: Mapping[str, bytes], stamp: Stamp
) -> tuple[list[Row], list[Decoded[Record]], list[UnstorableRecord]]:
    rows: list[Row] = []
    sources: list[Decoded[Record]] = []
    rejected: list[UnstorableRecord] = []
    key_of = attrgetter(kind.key)
    for each in records:
        key = key_of(each.record)
        try:
            unknown = _json_object(each.unknown_fields) if each.unknown_fields else None
            row = kind.row(each.record, digests[key], unknown, stamp)
        except (InexactValue, UnicodeDecodeError) as error:
            rejected.append(UnstorableRecord(bytes(each.raw), str(error), key))
        else:
            rows.append(row)
            sources.append(each)
    return rows, sources, rejected


def _json_object(fields: Mapping[str, bytes]) -> str:
    return msgspec.json.encode({name: msgspec.Raw(value) for name, value in fields.items()}).decode()
