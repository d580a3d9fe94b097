"""The cost of the journal for one order: admission with its two durable commits, compared with two bare commits.

``python -m kalshi_pipelines_tests.tools.benchmarks.journal`` prints a line for each database, with an empty journal and
with a journal of a million rows. Admissions and bare commits alternate, because the speed of a machine varies. On a
disk that is slow to flush, the ratio is smaller.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
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
from kalshi_pipelines_tests.support import postgres
from kalshi_pipelines_tests.support.execution.order_steps import (
    HOUR,
    SECOND,
    VERSION,
    OrderSteps,
    next_session,
    order_steps,
)

#: Orders in one session of the benchmark. The cap of a session is 25.
ORDERS = 20
ROWS = 1_000_000
#: The text that a bare commit stores.
BARE = "x" * 500


@dataclass
class Timed:
    """Seconds of each admission, and seconds of the two bare commits after it."""

    admissions: list[float] = field(default_factory=list)
    bares: list[float] = field(default_factory=list)

    @property
    def admission(self) -> float:
        """The median seconds of an admission."""
        return statistics.median(self.admissions)

    @property
    def ratio(self) -> float:
        """The median ratio of an admission to two bare commits."""
        return statistics.median(one / two for one, two in zip(self.admissions, self.bares, strict=True))


class JournalBench:
    """A journal in which one session trades after the other, each on a new day."""

    def __init__(self, url: str) -> None:
        self.engine = open_journal(url)
        upgrade_journal(self.engine)
        self._writing = self.engine.execution_options(kalshi_writes=True)
        with self._writing.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE bare (number bigint PRIMARY KEY, body text NOT NULL)")
        self.steps: OrderSteps = order_steps(self.engine)
        self._sessions = 1
        self._bare = sa.text("INSERT INTO bare VALUES (:number, :body)")
        self._numbers = 0

    def begin_session(self) -> None:
        """Move to the next day, and open a session with unused caps."""
        self._sessions += 1
        self.steps.clock.now_us += 25 * HOUR
        next_session(self.steps, self._sessions)

    def admit(self) -> float:
        """Admit an order and end it; return the seconds until the order may be sent."""
        journal = self.steps.journal
        new = self.steps.intent(count_centicontracts=10, fee_bound_microdollars=1_000)
        began = time.perf_counter()
        with journal.writing() as transaction:
            intent = transaction.orders.plan(new)
            if transaction.ledger.refusal(intent) is not None:
                raise RuntimeError("The benchmark has used up its caps.")
            intent = transaction.orders.reserve(intent)
        with journal.writing() as transaction:
            transaction.orders.record_sending(intent, VERSION)
        taken = time.perf_counter() - began
        self.steps.clock.now_us += 2 * SECOND
        with journal.writing() as transaction:
            sent = transaction.reading.orders.intent(intent.intent_id)
            transaction.orders.record_answer(sent, OrderState.CANCELED, filled_centicontracts=0)
        return taken

    def two_bare_commits(self) -> float:
        """Commit two transactions of one row each, and return the seconds."""
        began = time.perf_counter()
        for _ in range(2):
            self._numbers += 1
            with self._writing.begin() as connection:
                connection.execute(self._bare, {"number": self._numbers, "body": BARE})
        return time.perf_counter() - began

    def grow(self, rows: int) -> int:
        """Fill the journal with copies of its newest order, in other sessions, and return its number of rows."""
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


def databases(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield two SQLite databases, then two Postgres databases that flush to disk as in production."""
    yield "SQLite", [f"sqlite:///{folder / name}.db" for name in ("few", "many")]
    durable = {**postgres._SETTINGS, "fsync": "on", "synchronous_commit": "on"}
    with (
        mock.patch.object(postgres, "_SETTINGS", durable),
        # Postgres keeps its data on a disk here, although tests keep it in memory.
        mock.patch.object(postgres, "memory_or", lambda disk: disk),
        postgres.running_cluster() as cluster,
        cluster.database() as few,
        cluster.database() as many,
    ):
        yield "Postgres", [cluster.url(few), cluster.url(many)]


def in_turns(benches: list[JournalBench], sessions: int) -> list[Timed]:
    """Admit orders to each journal in turn, with two bare commits after each order."""
    timed = [Timed() for _ in benches]
    for number in range(sessions + 1):
        for bench in benches:
            bench.begin_session()
        for _ in range(ORDERS):
            for bench, each in zip(benches, timed, strict=True):
                admission, bare = bench.admit(), bench.two_bare_commits()
                if number:  # the first session only warms up and is not timed
                    each.admissions.append(admission)
                    each.bares.append(bare)
    return timed


def admission(sessions: int = 15, rows: int = ROWS) -> None:
    """Print a line per database: admission compared with bare commits, for an empty and for a large journal."""
    with tempfile.TemporaryDirectory() as name:
        for database, urls in databases(Path(name)):
            benches = [JournalBench(url) for url in urls]
            in_turns(benches, 1)
            stored = benches[1].grow(rows)
            few, many = in_turns(benches, sessions)
            for bench in benches:
                bench.engine.dispose()
            flat = statistics.median(
                large / small for large, small in zip(many.admissions, few.admissions, strict=True)
            )
            print(
                f"admission in {database}: {few.admission * 1e6:,.0f} us, {few.ratio:.2f} times two bare commits; with "
                f"{stored:,} rows {many.admission * 1e6:,.0f} us, {many.ratio:.2f} times: {flat:.2f} times as long",
                flush=True,
            )


if __name__ == "__main__":
    admission(rows=int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
