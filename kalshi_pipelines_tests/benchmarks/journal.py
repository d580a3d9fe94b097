"""What the journal adds to an order: admission with its two durable commits, beside two bare commits to the same file.

``python -m kalshi_pipelines_tests.benchmarks.journal`` prints a line for each database, and one for how it is with a
million rows in the journal. Admission and bare commits are measured in turns, because machines change from one moment
to the next; on a disk that is slow to flush the ratio is smaller.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.guards import lower_guards, raise_guards
from kalshi_pipelines.execution.journal.migrations import upgrade_journal
from kalshi_pipelines.execution.journal.tables import metadata
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.warehouse.engine import sqlite_driver
from kalshi_pipelines_tests import postgres
from kalshi_pipelines_tests.execution.journal.trading import HOUR, SECOND, VERSION, Desk, desk_at, next_session

#: Orders of a session of the benchmark; a session may have 25.
ORDERS = 20
ROWS = 1_000_000
#: The size of what a bare commit stores.
BARE = "x" * 500


@dataclass(frozen=True)
class Timed:
    """Medians in seconds."""

    admission: float
    bare: float
    ratio: float


class Bench:
    """A journal in which one session after the other trades, a day each."""

    def __init__(self, url: str) -> None:
        self.engine = open_journal(url)
        upgrade_journal(self.engine)
        self._writing = self.engine.execution_options(kalshi_writes=True)
        with self._writing.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE bare (number bigint PRIMARY KEY, body text NOT NULL)")
        self.desk: Desk = desk_at(self.engine)
        self._sessions = 1
        self._bare = sa.text("INSERT INTO bare VALUES (:number, :body)")
        self._numbers = 0

    def measure(self, sessions: int) -> Timed:
        """Admit orders, and commit twice after each."""
        admissions, bares = [], []
        for _ in range(sessions):
            self._sessions += 1
            self.desk.clock.now_us += 25 * HOUR
            next_session(self.desk, self._sessions)
            for _ in range(ORDERS):
                admissions.append(self._admit())
                bares.append(self._two_bare_commits())
        ratios = [one / other for one, other in zip(admissions, bares, strict=True)]
        return Timed(statistics.median(admissions), statistics.median(bares), statistics.median(ratios))

    def _admit(self) -> float:
        journal = self.desk.journal
        new = self.desk.intent(count_centicontracts=10, fee_bound_microdollars=1_000)
        began = time.perf_counter()
        with journal.writing() as transaction:
            intent = transaction.plan(new)
            if transaction.refusal(intent) is not None:
                raise RuntimeError("the benchmark has used up its caps")
            intent = transaction.reserve(intent)
        with journal.writing() as transaction:
            transaction.sending(intent, VERSION)
        taken = time.perf_counter() - began
        self.desk.clock.now_us += 2 * SECOND
        with journal.writing() as transaction:
            sent = transaction.intent(intent.intent_id)
            transaction.answered(sent, OrderState.CANCELED, filled_centicontracts=0)
        return taken

    def _two_bare_commits(self) -> float:
        began = time.perf_counter()
        for _ in range(2):
            self._numbers += 1
            with self._writing.begin() as connection:
                connection.execute(self._bare, {"number": self._numbers, "body": BARE})
        return time.perf_counter() - began

    def grow(self, rows: int) -> int:
        """Fill the journal with copies of its newest order, in sessions of their own; how many rows there are then."""
        with self._writing.connect() as connection:
            if self.engine.dialect.name == "sqlite":
                sqlite_driver(connection).execute("PRAGMA foreign_keys = OFF")
            with connection.begin():
                lower_guards(connection)
                if self.engine.dialect.name != "sqlite":
                    connection.exec_driver_sql("SET session_replication_role = replica")
                _copy_orders(connection, rows)
                raise_guards(connection)
            if self.engine.dialect.name == "sqlite":
                sqlite_driver(connection).execute("PRAGMA foreign_keys = ON")
                sqlite_driver(connection).execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.invalidate()
        with self.engine.connect() as connection:
            if self.engine.dialect.name != "sqlite":
                connection.commit()
                connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE")
            counted = [sa.select(sa.func.count()).select_from(table) for table in metadata.tables.values()]
            return sum(connection.execute(each).scalar_one() for each in counted)


def _copy_orders(connection: sa.Connection, rows: int) -> None:
    newest = connection.execute(sa.text("SELECT max(intent_id) FROM intents")).scalar_one()
    made: dict[str, list[dict[str, Any]]] = {}
    for name in ("intents", "order_events", "attempts", "postings"):
        table = metadata.tables[name]
        found = connection.execute(sa.select(table).where(table.c.intent_id == newest)).mappings()
        made[name] = [dict(row) for row in found]
    records = sorted({row["audit_seq"] for row in made["order_events"]})
    log = metadata.tables["audit_log"]
    made["audit_log"] = [
        dict(row) for row in connection.execute(sa.select(log).where(log.c.seq.in_(records))).mappings()
    ]
    old_scopes = sorted({row["scope_id"] for row in made["postings"]})
    kept = {
        name: [
            dict(row)
            for row in connection.execute(
                sa.select(metadata.tables[name]).where(metadata.tables[name].c.scope_id.in_(old_scopes))
            ).mappings()
        ]
        for name in ("scopes", "scope_markets")
    }
    head = connection.execute(sa.select(metadata.tables["audit_head"])).one()
    last_scope = connection.execute(sa.text("SELECT max(scope_id) FROM scopes")).scalar_one()
    each = sum(map(len, made.values()))
    batch: dict[str, list[dict[str, Any]]] = {}
    seq, digest, scope = head.seq, head.hash, last_scope
    for number in range(rows // each):
        if number % ORDERS == 0:
            moved = {old: scope + place for place, old in enumerate(old_scopes, start=1)}
            scope += len(old_scopes)
            for name, some in kept.items():
                copies = [{**row, "scope_id": moved[row["scope_id"]]} for row in some]
                for row in copies:
                    row.pop("worst_microdollars") if name == "scope_markets" else None
                    if name == "scopes":
                        row |= {"key": f"{row['key']}-{number}", "hour": None if row["hour"] is None else -number}
                batch.setdefault(name, []).extend(copies)
        shifted = {old: seq + place for place, old in enumerate(records, start=1)}
        for row in made["audit_log"]:
            now = f"{shifted[row['seq']]:064x}"
            batch.setdefault("audit_log", []).append(
                {**row, "seq": shifted[row["seq"]], "prev_seq": seq, "prev_hash": digest, "hash": now}
            )
            seq, digest = shifted[row["seq"]], now
        for name in ("intents", "order_events", "attempts", "postings"):
            for row in made[name]:
                copy = _shifted(row, shifted, newest, number)
                if name == "postings":
                    copy |= {"scope_id": moved[row["scope_id"]], "dedupe": f"{row['kind']}:{shifted[newest]}"}
                batch.setdefault(name, []).append(copy)
        if number % 2_000 == 0:
            _store(connection, batch)
    _store(connection, batch)
    connection.execute(metadata.tables["audit_head"].update().values(seq=seq, hash=digest))


def _shifted(row: dict[str, Any], shifted: dict[int, int], newest: int, number: int) -> dict[str, Any]:
    copy = {**row, "intent_id": shifted[newest]}
    for name in ("audit_seq", "attempt_id"):
        if name in copy:
            copy[name] = shifted[row[name]]
    if "idempotency_key" in copy:
        copy |= {
            "idempotency_key": f"{hash((number, 'key')) & (2**255 - 1):064x}",
            "client_order_id": f"copy-{number:09}",
        }
    if "at_us" in copy:
        copy["at_us"] = row["at_us"] - 100 * HOUR
    return copy


def _store(connection: sa.Connection, batch: dict[str, list[dict[str, Any]]]) -> None:
    for name in ("audit_log", "scopes", "scope_markets", "intents", "order_events", "attempts", "postings"):
        if batch.get(name):
            connection.execute(metadata.tables[name].insert(), batch[name])
    batch.clear()


def databases(folder: Path) -> Iterator[tuple[str, str]]:
    """A SQLite file, and a Postgres that flushes as one of a user does."""
    yield "SQLite", f"sqlite:///{folder / 'journal.db'}"
    durable = {**postgres._SETTINGS, "fsync": "on", "synchronous_commit": "on"}
    with (
        mock.patch.object(postgres, "_SETTINGS", durable),
        mock.patch.object(postgres, "_PLENTY_OF_MEMORY", 1 << 60),
        postgres.running_cluster() as cluster,
        cluster.database() as name,
    ):
        yield "Postgres", cluster.url(name)


def admission(sessions: int = 15, rows: int = ROWS) -> None:
    """Admission beside bare commits, and with a million rows beside none; prints a line a database."""
    with tempfile.TemporaryDirectory() as name:
        for database, url in databases(Path(name)):
            bench = Bench(url)
            bench.measure(2)
            empty = bench.measure(sessions)
            stored = bench.grow(rows)
            bench.measure(2)
            full = bench.measure(sessions)
            bench.engine.dispose()
            flat = (full.admission / full.bare) / (empty.admission / empty.bare)
            print(
                f"admission in {database}: {empty.admission * 1e6:,.0f} us, {empty.ratio:.2f} times two bare commits "
                f"({empty.bare * 1e6:,.0f} us); with {stored:,} rows {full.admission * 1e6:,.0f} us, "
                f"{full.ratio:.2f} times ({full.bare * 1e6:,.0f} us): {flat:.2f} times as long",
                flush=True,
            )


if __name__ == "__main__":
    admission(rows=int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
