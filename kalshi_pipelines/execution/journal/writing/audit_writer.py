"""The audit writer: the only code that appends to the audit log.

Each row is stored together with its audit record. The record's body contains all values of its rows, so the tables can
be rebuilt from the audit log.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.driver_query import DriverQuery
from kalshi_pipelines.execution.journal.engine import record_hash
from kalshi_pipelines.execution.journal.errors import JournalOutdated
from kalshi_pipelines.execution.journal.tables import audit_head, audit_log, postings
from kalshi_pipelines.execution.journal.writing.insertion import insert_rows
from kalshi_pipelines.execution.orders.canonical_json import canonical_json
from kalshi_pipelines.units import instant

#: The version of the format in which the body of an audit record is written. Version 2 lists how many contracts of an
#: order only close a position.
BODY_VERSION: Final = 2

#: The facts of an audit record that has nothing to state besides its rows.
NO_FACTS: Final[Mapping[str, object]] = {}

_HEAD: Final = DriverQuery(sa.select(audit_head.c.seq, audit_head.c.hash).with_for_update())


@dataclass(frozen=True, slots=True)
class NewRow:
    """A row to be stored with an audit record. The audit writer fills in the column that refers to the record."""

    table: sa.Table
    values: Mapping[str, object]


class AuditWriter:
    """The end of the audit chain, locked for one transaction.

    The lock lets only one transaction write at a time.

    Args:
        connection: A connection with an open transaction that may write.
        clock_us: Returns the present time in microseconds. It is called once, after the lock is granted.

    Raises:
        JournalOutdated: The journal was never set up.
    """

    def __init__(self, connection: sa.Connection, clock_us: Callable[[], int]) -> None:
        head = _HEAD.fetch_all(connection, {})
        if not head:
            raise JournalOutdated("The journal was never set up.", "Run the `migrate` job.")
        self._connection = connection
        # The clock is read only after the lock is granted. Otherwise the transaction's time would be the time before
        # the wait for the lock.
        self._now_us = clock_us()
        self._at = timestamp(self._now_us)
        self._seq: int = head[0]["seq"]
        self._hash: str = head[0]["hash"]

    @property
    def now_us(self) -> int:
        """The time of the transaction in microseconds. Every row that the transaction stores carries this time."""
        return self._now_us

    @property
    def head(self) -> tuple[int, str]:
        """The number and hash of the newest audit record, including records of this transaction."""
        return self._seq, self._hash

    @property
    def next_seq(self) -> int:
        """The number that the next audit record will get."""
        return self._seq + 1

    def return_to(self, head: tuple[int, str]) -> None:
        """Return to an earlier end of the chain, after the records behind it were undone in the database."""
        self._seq, self._hash = head

    def append(self, kind: str, facts: Mapping[str, object]) -> int:
        """Append an audit record without rows, and return the record's number.

        Raises:
            NotCanonical: The facts contain a value that a record must not have, such as a float.
        """
        return self.record(kind, [], facts)

    def record(self, kind: str, rows: Sequence[NewRow], facts: Mapping[str, object]) -> int:
        """Append an audit record, store its rows in the given order, and return the record's number.

        Raises:
            NotCanonical: The facts contain a value that a record must not have, such as a float.
        """
        seq = self._seq + 1
        stored = [(row.table, {**row.values, audit_column(row.table): seq}) for row in rows]
        body = canonical_json(
            {
                **facts,
                "at": self._at,
                "kind": kind,
                "rows": rows_in_body(stored),
                "v": BODY_VERSION,
            }
        )
        digest = record_hash(seq, self._hash, body)
        row = {"seq": seq, "prev_seq": self._seq, "prev_hash": self._hash, "hash": digest, "kind": kind, "body": body}
        insert_rows(self._connection, [(audit_log, [row]), *_grouped(stored)])
        self._seq, self._hash = seq, digest
        return seq


def timestamp(at_us: int) -> str:
    """Return an instant in the format of the audit log: UTC, with microseconds."""
    return f"{instant(at_us).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def rows_in_body(rows: Sequence[tuple[sa.Table, Mapping[str, object]]]) -> list[dict[str, object]]:
    """Return rows in the format in which an audit record's body lists them.

    Equal postings to several scopes become one entry with a list of scopes. Amounts of zero in postings are left out.
    """
    entries: list[dict[str, object]] = []
    for table, values in rows:
        row = {"table": table.name, **values}
        if table is postings:
            row = {name: value for name, value in row.items() if not (name.startswith("d_") and value == 0)}
            scope_id = row.pop("scope_id")
            last = entries[-1] if entries else {}
            if {name: value for name, value in last.items() if name != "scope_ids"} == row:
                entries[-1] = {**last, "scope_ids": [*_as_list(last["scope_ids"]), scope_id]}
                continue
            row["scope_ids"] = [scope_id]
        entries.append(row)
    return entries


def _as_list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


@functools.cache
def audit_column(table: sa.Table) -> str:
    """Return the name of a table's column that holds the number of each row's audit record."""
    return next(key.parent.name for key in sorted(table.foreign_keys, key=lambda key: key.parent.name) if _is_seq(key))


def _is_seq(key: sa.ForeignKey) -> bool:
    return key.target_fullname == "audit_log.seq" and len(key.constraint.columns if key.constraint else ()) == 1


def _grouped(rows: Sequence[tuple[sa.Table, dict[str, Any]]]) -> list[tuple[sa.Table, list[dict[str, Any]]]]:
    """Return the rows in groups, in their given order, so that one statement can store a group.

    A group consists of consecutive rows of the same table with the same columns.
    """
    groups: list[tuple[sa.Table, list[dict[str, Any]]]] = []
    for table, values in rows:
        if groups and groups[-1][0] is table and list(groups[-1][1][0]) == list(values):
            groups[-1][1].append(values)
        else:
            groups.append((table, [values]))
    return groups
