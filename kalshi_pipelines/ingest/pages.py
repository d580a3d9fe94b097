"""One page to the warehouse, in one transaction: skip what is unchanged, decode the rest, store, quarantine, account.

Works for every kind of record; what differs between kinds is told by a ``RecordKind``.
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
from kalshi_pipelines.contracts.comparison.page_checks import PageChecks, SeenPage
from kalshi_pipelines.kalshi.decoding import Decoded, decode_records, record_key
from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.units import InexactValue
from kalshi_pipelines.warehouse.bulk import RefusedRow, Row
from kalshi_pipelines.warehouse.engine import writing

Record = TypeVar("Record", bound=msgspec.Struct)

#: The longest books have 20,000 levels in some 400,000 bytes: a longer record is not the exchange's.
MOST_RECORD_BYTES: Final = 1 << 20
_KEPT_OF_LONGER: Final = 4_096


@dataclass(frozen=True)
class StoredRows:
    """What the database did with rows: those it refused, and how many history rows came of the others."""

    refused: list[RefusedRow]
    history_rows: int = 0


@dataclass(frozen=True)
class RecordKind(Generic[Record]):
    """What tells one kind of record from another when pages are stored.

    Attributes:
        subject: The name in run records and in the quarantine.
        record: The wire record.
        key: The field of the record that identifies it.
        row: Makes the row of a record, given its digest, its unknown fields as JSON text and the provenance.
        stored_digests: The digests of what is stored now under the given keys.
        add_parents: Makes placeholders for parents that are not stored yet; returns how many.
        store: Writes the rows and the history that comes with them.
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
    """Store the records of a page: all of it is committed, or nothing.

    A record whose bytes equal what is stored is not decoded. Of a record that stands twice in the page the last counts.
    ``checks`` get to see what became of the page.

    Returns:
        An example of each field the client does not know.
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
        checks.see(SeenPage(page.endpoint, page.received_us, page.raw_records, decoded.records, refused))
    run.report_progress()
    return decoded.unknown_fields


def _too_long(kind: RecordKind[Record], raw: msgspec.Raw) -> UnstorableRecord:
    reason = f"the record has {len(raw):,} bytes, and {MOST_RECORD_BYTES:,} are the most that are stored"
    return UnstorableRecord(bytes(memoryview(raw)[:_KEPT_OF_LONGER]), reason, record_key(kind.record, raw))


def _changed(
    engine: sa.Engine, kind: RecordKind[Record], raws: Sequence[msgspec.Raw]
) -> tuple[dict[str, bytes], list[msgspec.Raw]]:
    """The digests of the records by key, and those records whose digest is not the stored one."""
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
