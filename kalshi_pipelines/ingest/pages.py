"""How one page of the exchange is stored in the warehouse, in one transaction.

Unchanged records are skipped, the others are decoded and stored, and records that cannot be stored go to the
quarantine. The steps are the same for every kind of record. A ``RecordKind`` holds the functions that differ between
kinds.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.digests import record_digest
from kalshi_pipelines.bookkeeping.quarantine import UnstorableRecord, resolve, set_aside
from kalshi_pipelines.bookkeeping.runs import Counts, IngestRun
from kalshi_pipelines.bookkeeping.stamps import Stamp
from kalshi_pipelines.contracts.comparison.page_checks import IngestedPage, IngestedRecord, PageChecks
from kalshi_pipelines.kalshi.decoding import decode_records, record_key
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


class RecordRefusedInPart(Exception):
    """The database stored a part of a record and refused another part, so the transaction must be undone.

    Attributes:
        refused: The rows that were refused in part.
    """

    def __init__(self, refused: Sequence[RefusedRow]) -> None:
        super().__init__(f"{len(refused)} records were refused in part")
        self.refused = refused


class StorableRecord(NamedTuple, Generic[Record]):
    """A changed record that was converted.

    Attributes:
        row: The record's row, or its rows in several tables. The record's key comes first.
        raw: The record as received.
        record: The decoded record; None if only a part of the record changed and only this part was decoded.
    """

    row: Row
    raw: msgspec.Raw
    record: Record | None


@dataclass(frozen=True)
class Converted(Generic[Record]):
    """The changed records of a page after their conversion.

    Attributes:
        storable: The records that can be offered to the database.
        rejected: The records that cannot be decoded or converted.
        decoded: The records that were decoded as a whole, for the contract checks.
        partly_decoded: The records of which only a part was decoded, for the contract checks.
        unknown_fields: An example of each field that the client does not know.
    """

    storable: list[StorableRecord[Record]]
    rejected: list[UnstorableRecord]
    decoded: Sequence[IngestedRecord]
    partly_decoded: Sequence[IngestedRecord] = ()
    unknown_fields: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class RecordKind(Generic[Record]):
    """A kind of record, and the functions that store records of this kind.

    Attributes:
        subject: Name of the kind in run records and in the quarantine.
        record: The type of the wire record.
        stored_digests: Returns the digests of the records that are stored under the given keys.
        convert: Decodes and converts changed records. The arguments are the database, the raw records, the digests of
            the page's records by key, and the provenance.
        add_parents: Adds placeholders for parents that are not stored yet, and returns how many it added.
        store: Writes rows and their history rows. Raises RecordRefusedInPart if a record cannot be stored whole.
    """

    subject: str
    record: type[Record]
    stored_digests: Callable[[sa.Connection, Sequence[str]], Mapping[str, bytes]]
    convert: Callable[[sa.Engine, Sequence[msgspec.Raw], Mapping[str, bytes], Stamp], Converted[Record]]
    add_parents: Callable[[sa.Connection, Sequence[Record], Stamp], int]
    store: Callable[[sa.Connection, Sequence[Any], Stamp], StoredRows]


def store_page(
    run: IngestRun,
    kind: RecordKind[Record],
    page: Page,
    checks: PageChecks | None = None,
    met: Callable[[Collection[str]], None] | None = None,
) -> dict[str, bytes]:
    """Store the records of a page in one transaction: either the whole page is committed, or nothing.

    A record is not decoded if its digest equals the stored digest. If a page holds a record twice, the last copy is
    stored. The contract checks receive the page after it was stored, and ``met`` receives the keys of its records.

    Returns:
        An example of each field that the client does not know.
    """
    stamp = Stamp(page.received_us, run.run_id)
    too_long = [_too_long(kind, raw) for raw in page.raw_records if len(raw) > MOST_RECORD_BYTES]
    of_use = [raw for raw in page.raw_records if len(raw) <= MOST_RECORD_BYTES] if too_long else page.raw_records
    digests, changed = _changed(run.engine, kind, of_use)
    converted = kind.convert(run.engine, changed, digests, stamp)
    rejected = _store_converted(run, kind, page, digests, converted, too_long, stamp)
    if checks is not None:
        refused = [(each.raw, each.reason) for each in rejected]
        checks.check_page(
            IngestedPage(
                page.endpoint,
                page.received_us,
                page.raw_records,
                converted.decoded,
                refused,
                converted.partly_decoded,
            )
        )
    if met is not None:
        met({*digests, *(each.key for each in too_long if each.key is not None)} if too_long else digests)
    run.report_progress()
    return converted.unknown_fields


def _store_converted(
    run: IngestRun,
    kind: RecordKind[Record],
    page: Page,
    digests: Mapping[str, bytes],
    converted: Converted[Record],
    too_long: Sequence[UnstorableRecord],
    stamp: Stamp,
) -> list[UnstorableRecord]:
    """Store converted records in one transaction, and return all records of the page that cannot be stored.

    A record is stored whole or not at all. If the database refuses a part of a record, the transaction is undone and
    made again without this record.
    """
    storable = converted.storable
    rejected = [*converted.rejected, *too_long]
    while True:
        try:
            with writing(run.engine) as connection:
                parents_of = [each.record for each in storable if each.record is not None]
                placeholders = kind.add_parents(connection, parents_of, stamp)
                stored = kind.store(connection, [each.row for each in storable], stamp)
                all_rejected = rejected + _unstorable(storable, stored.refused)
                set_aside(connection, kind.subject, all_rejected, stamp)
                resolve(connection, kind.subject, digests.keys() - {each.key for each in all_rejected}, stamp)
                written = len(storable) - len(stored.refused)
                read = len(page.raw_records)
                unchanged = read - written - len(all_rejected)
                run.add_page(
                    connection,
                    Counts(1, read, written, unchanged, len(all_rejected), stored.history_rows, placeholders),
                )
        except RecordRefusedInPart as error:
            rejected += _unstorable(storable, error.refused)
            out = {each.position for each in error.refused}
            storable = [each for position, each in enumerate(storable) if position not in out]
        else:
            return all_rejected


def _unstorable(storable: Sequence[StorableRecord[Record]], refused: Sequence[RefusedRow]) -> list[UnstorableRecord]:
    return [
        UnstorableRecord(bytes(storable[each.position].raw), each.reason, storable[each.position].row[0])
        for each in refused
    ]


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


def convert_whole(
    kind: type[Record],
    key: str,
    row: Callable[[Record, bytes, str | None, Stamp], Row],
    engine: sa.Engine,
    raws: Sequence[msgspec.Raw],
    digests: Mapping[str, bytes],
    stamp: Stamp,
) -> Converted[Record]:
    """Decode changed records as a whole, and convert each to one row.

    Args:
        kind: The type of the wire record.
        key: Name of the field that identifies a record.
        row: Makes a row. The arguments are the record, its digest, its unknown fields as JSON text and the provenance.
        engine: Not used; records that are converted in parts need the database.
        raws: The records as received.
        digests: The digests of the records by key.
        stamp: The provenance.
    """
    decoded = decode_records(kind, raws)
    storable: list[StorableRecord[Record]] = []
    rejected = [UnstorableRecord(each.raw, each.reason, each.key) for each in decoded.rejected]
    key_of = attrgetter(key)
    for each in decoded.records:
        name = key_of(each.record)
        try:
            made = row(each.record, digests[name], unknown_as_json(each.unknown_fields), stamp)
        except (InexactValue, UnicodeDecodeError) as error:
            rejected.append(UnstorableRecord(bytes(each.raw), str(error), name))
        else:
            storable.append(StorableRecord(made, each.raw, each.record))
    return Converted(storable, rejected, decoded.records, unknown_fields=decoded.unknown_fields)


def unknown_as_json(fields: Mapping[str, bytes]) -> str | None:
    """Return the fields that the client does not know as JSON text; None if there are none.

    Raises:
        UnicodeDecodeError: A value is not UTF-8.
    """
    if not fields:
        return None
    return msgspec.json.encode({name: msgspec.Raw(value) for name, value in fields.items()}).decode()
