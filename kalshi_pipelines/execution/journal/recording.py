"""Writing a row and telling of it are one act: no row of the journal without its audit record, and none told twice.

A record's body names every row it is about with all its values, so that the tables can be made again from the log.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
import sqlalchemy as sa

from kalshi_pipelines.execution.journal.engine import record_hash
from kalshi_pipelines.execution.journal.errors import JournalOutdated
from kalshi_pipelines.execution.journal.questions import Question
from kalshi_pipelines.execution.journal.reading import JournalReading, Known
from kalshi_pipelines.execution.journal.records import Details, Intent
from kalshi_pipelines.execution.journal.tables import audit_head, audit_log, order_events, postings
from kalshi_pipelines.execution.orders.canonical_json import canonical_json
from kalshi_pipelines.execution.orders.states import OrderState, Writer
from kalshi_pipelines.units import instant
from kalshi_pipelines.warehouse.engine import sqlite_driver

#: The version of the form of an audit record's body.
BODY_VERSION: Final = 1
#: Rows of one statement; those of a reservation are five, and a statement takes 65,535 values at most.
_ROWS_AT_ONCE: Final = 50

_HEAD: Final = Question(sa.select(audit_head.c.seq, audit_head.c.hash).with_for_update())


@dataclass(frozen=True, slots=True)
class NewRow:
    """A row to be stored under an audit record; ``audit_column`` gets the record's number."""

    table: sa.Table
    values: Mapping[str, object]


class Recording(JournalReading):
    """A writing transaction: it has locked the end of the audit chain, so there is only one at a time."""

    def __init__(self, connection: sa.Connection, clock_us: Callable[[], int], known: Known | None = None) -> None:
        super().__init__(connection, known)
        head = _HEAD.asked(connection, {})
        if not head:
            raise JournalOutdated("The journal was never set up: run the `migrate` job.")
        # After the lock: waiting for it must not make what is decided old.
        self.now_us = clock_us()
        self._seq: int = head[0]["seq"]
        self._hash: str = head[0]["hash"]

    @property
    def head(self) -> tuple[int, str]:
        """Number and hash of the newest audit record, those of this transaction included."""
        return self._seq, self._hash

    def audit(self, kind: str, facts: Mapping[str, object]) -> int:
        """Append a record without a row of its own; its number.

        Raises:
            NotCanonical: The facts hold what a record must not have, such as a float.
        """
        return self._record(kind, [], facts)

    def _record(self, kind: str, rows: Sequence[NewRow], facts: Mapping[str, object]) -> int:
        """Append a record and store the rows it tells of, in this order."""
        seq = self._seq + 1
        stored = [(row.table, {**row.values, audit_column(row.table): seq}) for row in rows]
        body = canonical_json(
            {
                **facts,
                "at": timestamp(self.now_us),
                "kind": kind,
                "rows": rows_told(stored),
                "v": BODY_VERSION,
            }
        )
        digest = record_hash(seq, self._hash, body)
        row = {"seq": seq, "prev_seq": self._seq, "prev_hash": self._hash, "hash": digest, "kind": kind, "body": body}
        self._store([(audit_log, [row]), *_grouped(stored)])
        self._seq, self._hash = seq, digest
        return seq

    def _store(self, groups: Sequence[tuple[sa.Table, Sequence[Mapping[str, object]]]]) -> None:
        """Insert rows, those of a group with the same columns; they are integers and texts no type has to convert.

        Through the driver itself: an order waits for this, and each statement would cost as much again on the way. On
        Postgres all of them make one round trip.
        """
        driver = self._connection.connection.driver_connection
        if isinstance(driver, psycopg.Connection):
            with driver.pipeline(), driver.cursor() as cursor:
                for table, rows in groups:
                    # Setting up the checks of a table costs more than a row, so its rows come in few statements.
                    for begin in range(0, len(rows), _ROWS_AT_ONCE):
                        some = rows[begin : begin + _ROWS_AT_ONCE]
                        statement = insertion(table, tuple(rows[0]), "%s", len(some))
                        cursor.execute(statement, [value for row in some for value in row.values()])
            return
        sqlite = sqlite_driver(self._connection)
        for table, rows in groups:
            statement = insertion(table, tuple(rows[0]), "?")
            if len(rows) == 1:
                sqlite.execute(statement, tuple(rows[0].values()))
            else:
                sqlite.executemany(statement, [tuple(row.values()) for row in rows])

    def _event(
        self,
        intent: Intent,
        to_state: OrderState,
        kind: str,
        details: Details,
        *,
        writer: Writer = Writer.EXECUTOR,
        more: Sequence[NewRow] = (),
        **values: object,
    ) -> int:
        """Move an intent; postings and other rows that belong to the move come with it."""
        row = event_row(intent, to_state, self.now_us, writer, values)
        return self._record(kind, [row, *more], told(details, intent))


def event_row(intent: Intent, to_state: OrderState, at_us: int, writer: Writer, values: Mapping[str, object]) -> NewRow:
    """The next event of an intent, on the one it is at."""
    return NewRow(
        order_events,
        {
            "intent_id": intent.intent_id,
            "seq": intent.state_seq + 1,
            "mode": intent.mode.value,
            "prev_seq": intent.state_seq,
            "from_state": intent.state.value,
            "to_state": to_state.value,
            "at_us": at_us,
            "writer": writer.value,
            **values,
        },
    )


def told(details: Details, intent: Intent) -> dict[str, object]:
    """What a record says besides its rows."""
    return {**facts_of(details), "client_order_id": intent.client_order_id, "ticker": intent.ticker}


def facts_of(details: Details) -> dict[str, object]:
    """Facts and checks of an event, the checks by code."""
    if not details.checks:
        return dict(details.facts)
    checks = sorted(details.checks, key=lambda check: (check.code, check.limit, check.observed))
    return {
        **details.facts,
        "checks": [
            {"code": check.code, "ok": check.ok, "limit": check.limit, "observed": check.observed} for check in checks
        ],
    }


def timestamp(at_us: int) -> str:
    """An instant as the audit writes it."""
    return f"{instant(at_us).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def rows_told(rows: Sequence[tuple[sa.Table, Mapping[str, object]]]) -> list[dict[str, object]]:
    """Rows as the audit writes them; a posting once for all its scopes, without what it does not change."""
    said: list[dict[str, object]] = []
    for table, values in rows:
        row = {"table": table.name, **values}
        if table is postings:
            row = {name: value for name, value in row.items() if not (name.startswith("d_") and value == 0)}
            scope_id = row.pop("scope_id")
            last = said[-1] if said else {}
            if {name: value for name, value in last.items() if name != "scope_ids"} == row:
                said[-1] = {**last, "scope_ids": [*_listed(last["scope_ids"]), scope_id]}
                continue
            row["scope_ids"] = [scope_id]
        said.append(row)
    return said


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


@functools.cache
def audit_column(table: sa.Table) -> str:
    """The column that refers to a row's audit record."""
    return next(key.parent.name for key in sorted(table.foreign_keys, key=lambda key: key.parent.name) if _is_seq(key))


def _is_seq(key: sa.ForeignKey) -> bool:
    return key.target_fullname == "audit_log.seq" and len(key.constraint.columns if key.constraint else ()) == 1


@functools.cache
def insertion(table: sa.Table, columns: tuple[str, ...], mark: str, rows: int = 1) -> LiteralString:
    """The statement that stores rows of a table, in the words of the driver."""
    names = ", ".join(f'"{table.c[name].name}"' for name in columns)
    places = f"({', '.join([mark] * len(columns))})"
    return f"INSERT INTO {table.name} ({names}) VALUES {', '.join([places] * rows)}"  # noqa: S608


def _grouped(rows: Sequence[tuple[sa.Table, dict[str, Any]]]) -> list[tuple[sa.Table, list[dict[str, Any]]]]:
    """Neighbours of one table together, to be stored by one statement."""
    groups: list[tuple[sa.Table, list[dict[str, Any]]]] = []
    for table, values in rows:
        if groups and groups[-1][0] is table and list(groups[-1][1][0]) == list(values):
            groups[-1][1].append(values)
        else:
            groups.append((table, [values]))
    return groups
