"""Whether the journal is what it was written as: the chain, its rows, its counters, its anchors, the exchange's orders.

Reads only. It says clean, corrupt (and what), or that it could not look, which is not clean.
"""

import hashlib
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.audit.replay import replay_ledger, replay_states
from kalshi_pipelines.execution.journal.anchors import AnchorFile, AnchorsUnreadable
from kalshi_pipelines.execution.journal.engine import explained_failures, record_hash
from kalshi_pipelines.execution.journal.errors import JournalOutdated, JournalRefused, JournalUnavailable
from kalshi_pipelines.execution.journal.migrations import guards_taken_down, require_journal_head
from kalshi_pipelines.execution.journal.recording import audit_column, rows_told
from kalshi_pipelines.execution.journal.tables import (
    anchors,
    audit_head,
    audit_log,
    fills,
    foreign_orders,
    intents,
    journal_identity,
    metadata,
    order_events,
    session_caps,
)
from kalshi_pipelines.execution.orders.canonical_json import canonical_json, is_canonical
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder
from kalshi_pipelines.execution.orders.request import request_sha256, request_text
from kalshi_pipelines.warehouse.engine import sqlite_driver

#: More than so many problems say nothing more.
MOST_PROBLEMS: Final = 100
_AT_ONCE: Final = 5_000
#: Tables with rows that no record tells of: they are worked out again instead.
_DERIVED: Final = {
    "audit_log",
    "audit_head",
    "anchors",
    "journal_identity",
    "audit_kinds",
    "denial_reasons",
    "legal_transitions",
    "scopes",
    "scope_markets",
    "open_intents",
    "leases",
    "session_caps",
    "proposals",
}


class AuditVerdict(IntEnum):
    """What a verification came to; the number is the exit status of the command."""

    CLEAN = 0
    CORRUPT = 1
    COULD_NOT_RUN = 2


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a verification found."""

    verdict: AuditVerdict
    records: int
    head: str
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything was looked at and nothing found."""
        return self.verdict is AuditVerdict.CLEAN

    def __str__(self) -> str:
        lines = [f"{self.verdict.name.lower().replace('_', ' ')}: {self.records:,} audit records, head {self.head}"]
        return "\n".join([*lines, *(f"- {problem}" for problem in self.problems)])


def verify(
    engine: sa.Engine,
    anchor_file: Path | None = None,
    exchange_orders: Iterable[ExchangeOrder] | None = None,
) -> AuditReport:
    """Verify a whole journal.

    Args:
        engine: Made by ``open_journal``.
        anchor_file: Where heads of the chain were noted; without it a cut or rewritten journal may look clean.
        exchange_orders: Every order the exchange has of the sub-account since its first session, if it was asked.
    """
    found: list[str] = []
    records, head = 0, "-"
    guards_changed = False
    try:
        guards_changed = bool(guards_taken_down(engine))
        require_journal_head(engine)
        reading = engine
        if engine.dialect.name == "postgresql":
            reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with explained_failures(engine), reading.connect() as connection, connection.begin():
            chain = _Chain(connection)
            problems = itertools.chain(
                _damage(connection),
                chain.problems(),
                _rows(connection, chain.told),
                _requests(connection),
                replay_states(connection),
                replay_ledger(connection),
                _anchors(connection, chain, anchor_file),
                _exchange(connection, exchange_orders),
            )
            found.extend(itertools.islice(problems, MOST_PROBLEMS))
            records, head = chain.records, chain.head
    except JournalOutdated as error:
        found.append(str(error))
        verdict = AuditVerdict.CORRUPT if guards_changed else AuditVerdict.COULD_NOT_RUN
        return AuditReport(verdict, records, head, tuple(found))
    except (JournalUnavailable, JournalRefused, AnchorsUnreadable) as error:
        return AuditReport(AuditVerdict.COULD_NOT_RUN, records, head, (*found, str(error)))
    return AuditReport(AuditVerdict.CORRUPT if found else AuditVerdict.CLEAN, records, head, tuple(found))


class _Chain:
    """The audit log, read from its beginning."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self.records = 0
        self.last = -1
        self.head = "-"
        self.hashes: dict[int, str] = {}
        #: What the log says was stored: digests of rows, by table and record.
        self.told: defaultdict[str, dict[int, list[bytes]]] = defaultdict(dict)
        self._engaged = True

    def problems(self) -> Iterator[str]:
        identity = self._connection.execute(sa.select(journal_identity)).mappings().first()
        if identity is None:
            yield "the journal has no identity"
            return
        before: str | None = None
        rows = self._connection.execute(
            sa.select(audit_log).order_by(audit_log.c.seq).execution_options(yield_per=_AT_ONCE)
        )
        for row in rows.mappings():
            yield from self._record(before, row)
            before = row["hash"]
            if row["seq"] == 0:
                yield from _genesis(row["body"], identity)
        head = self._connection.execute(sa.select(audit_head.c.seq, audit_head.c.hash)).first()
        if head is None or (head.seq, head.hash) != (self.last, before):
            yield f"the chain ends at record {self.last}, its head was {head}"
        self.head = f"{self.last}:{before}"

    def _record(self, before: str | None, row: sa.RowMapping) -> Iterator[str]:
        seq, body = row["seq"], row["body"]
        if seq != self.last + 1:
            yield f"record {self.last + 1} is missing: {seq} follows {self.last}"
        self.records += 1
        self.last = seq
        self.hashes[seq] = row["hash"]
        if row["prev_hash"] != before:
            yield f"record {seq} does not follow the one before it"
        if row["hash"] != record_hash(seq, row["prev_hash"], body):
            yield f"record {seq} was changed: its hash is another"
        if not is_canonical(body):
            yield f"record {seq} is not in canonical form"
            return
        told = json.loads(body)
        if told.get("kind") != row["kind"]:
            yield f"record {seq} is of kind {told.get('kind')}, its row says {row['kind']}"
        for each in told.get("rows", []):
            self.told[each["table"]].setdefault(seq, []).append(_digest(each))
            yield from self._stopped(seq, each)

    def _stopped(self, seq: int, row: Mapping[str, object]) -> Iterator[str]:
        """Nothing may be sent while the kill switch is engaged."""
        if row["table"] == "kill_events":
            self._engaged = bool(row["engaged"])
        elif row["table"] == "order_events" and row["to_state"] == "sending" and self._engaged:
            yield f"record {seq}: intent {row['intent_id']} was to be sent with the kill switch engaged"


def _genesis(body: str, identity: sa.RowMapping) -> Iterator[str]:
    told = json.loads(body) if is_canonical(body) else {}
    for name in ("database_id", "environment"):
        if told.get(name) != identity[name]:
            yield f"the chain begins with {name} {told.get(name)}, the journal says {identity[name]}"


def _rows(connection: sa.Connection, told: Mapping[str, dict[int, list[bytes]]]) -> Iterator[str]:
    """Every row is told of by its record, word for word, and every row that was told of is there."""
    for table in metadata.sorted_tables:
        if table.name in _DERIVED:
            continue
        column = audit_column(table)
        there: defaultdict[int, list[bytes]] = defaultdict(list)
        for seq, rows in _by_record(connection, table, column):
            there[seq] = sorted(_digest(row) for row in rows)
        wanted = told.get(table.name, {})
        for seq in sorted(wanted.keys() | there.keys()):
            if sorted(wanted.get(seq, [])) != there.get(seq, []):
                yield f"{table.name}: the rows of record {seq} are not what it tells ({_differing(wanted, there, seq)})"
    caps: defaultdict[str, dict[str, object]] = defaultdict(dict)
    for row in connection.execute(sa.select(session_caps)).mappings():
        caps[row["session_id"]][row["kind"]] = {
            "orders": row["orders_cap"],
            "notional_microdollars": row["notional_cap_microdollars"],
            "worst_microdollars": row["worst_cap_microdollars"],
        }
    sessions_told = sa.select(audit_log.c.seq, audit_log.c.body).where(audit_log.c.kind == "session")
    for seq, body in connection.execute(sessions_told):
        said = json.loads(body)
        if said.get("caps") != caps[said["rows"][0]["session_id"]]:
            yield f"record {seq}: the caps of session {said['rows'][0]['session_id']} are others than it tells"


def _requests(connection: sa.Connection) -> Iterator[str]:
    """The bytes of every request are those of the terms its caps were held against, and of its digest."""
    ordered = sa.select(intents).order_by(intents.c.intent_id).execution_options(yield_per=_AT_ONCE)
    for row in connection.execute(ordered).mappings():
        if row["request_json"] != request_text(dict(row)):
            yield f"intent {row['intent_id']}: its request has other terms than it was counted with"
        if row["request_sha256"] != request_sha256(row["request_json"]):
            yield f"intent {row['intent_id']}: the digest of its request is another"


def _differing(wanted: Mapping[int, list[bytes]], there: Mapping[int, list[bytes]], seq: int) -> str:
    return f"{len(wanted.get(seq, []))} told, {len(there.get(seq, []))} there"


def _by_record(
    connection: sa.Connection, table: sa.Table, column: str
) -> Iterator[tuple[int, list[dict[str, object]]]]:
    """The rows of each record as the log would tell them; those of postings together."""
    key = [table.c[column], *table.primary_key.columns]
    held: list[tuple[sa.Table, dict[str, object]]] = []
    seq: int | None = None
    ordered = sa.select(table).order_by(*key).execution_options(yield_per=_AT_ONCE)
    for row in connection.execute(ordered).mappings():
        if row[column] != seq and seq is not None:
            yield seq, rows_told(held)
            held = []
        seq = row[column]
        held.append((table, dict(row)))
    if seq is not None:
        yield seq, rows_told(held)


def _digest(row: Mapping[str, object]) -> bytes:
    return hashlib.sha256(canonical_json(row).encode()).digest()[:12]


def _anchors(connection: sa.Connection, chain: _Chain, anchor_file: Path | None) -> Iterator[str]:
    noted = {(row[0], row[1]) for row in connection.execute(sa.select(anchors.c.seq, anchors.c.hash))}
    yield from (f"anchor {seq} tells of another record" for seq, digest in noted if chain.hashes.get(seq) != digest)
    if anchor_file is None:
        return
    database_id = connection.execute(sa.select(journal_identity.c.database_id)).scalar_one()
    in_file = {(anchor.seq, anchor.hash) for anchor in AnchorFile(anchor_file).anchors(database_id)}
    for seq, digest in sorted(in_file):
        if seq > chain.last:
            yield f"{anchor_file} notes record {seq}, the journal ends at {chain.last}: it was cut or restored"
        elif chain.hashes.get(seq) != digest:
            yield f"{anchor_file} notes another record {seq} than the journal has: it was rewritten"
    wanted = connection.execute(sa.select(anchors.c.seq, anchors.c.hash).where(anchors.c.place == "file"))
    for seq, digest in wanted:
        if (seq, digest) not in in_file:
            yield f"the anchor of record {seq} is no more in {anchor_file}"


def _exchange(connection: sa.Connection, orders: Iterable[ExchangeOrder] | None) -> Iterator[str]:
    """Every order of the exchange was recorded before it was sent, with these terms, once; or is known as foreign."""
    if orders is None:
        return
    live = connection.execute(sa.select(intents).where(intents.c.mode == "live")).mappings()
    ours = {row["client_order_id"]: row for row in live}
    sent = set(
        connection.execute(sa.select(order_events.c.intent_id).where(order_events.c.to_state == "sending")).scalars()
    )
    foreign = set(connection.execute(sa.select(foreign_orders.c.order_id)).scalars())
    foreign |= set(connection.execute(sa.select(fills.c.order_id).where(fills.c.intent_id.is_(None))).scalars())
    seen: dict[str, str] = {}
    for order in orders:
        row = ours.get(order.client_order_id)
        if row is None:
            if order.order_id not in foreign and not order.did_nothing:
                yield f"order {order.order_id} of {order.ticker} is neither this journal's nor known as somebody else's"
            continue
        if row["intent_id"] not in sent:
            yield f"order {order.order_id} of intent {row['intent_id']} was never to be sent"
        before = seen.setdefault(order.client_order_id, order.order_id)
        if before != order.order_id:
            yield f"orders {before} and {order.order_id} are of one intent {row['intent_id']}"
        terms = (order.ticker, order.side.value, order.price_centicents, order.count_centicontracts)
        if terms != (row["ticker"], row["side"], row["price_centicents"], row["count_centicontracts"]):
            yield f"order {order.order_id} has other terms than intent {row['intent_id']}"


def _damage(connection: sa.Connection) -> Iterator[str]:
    """What SQLite itself finds; Postgres checks its pages when they are read."""
    if connection.dialect.name != "sqlite":
        return
    driver = sqlite_driver(connection)
    yield from (f"integrity check: {line}" for (line,) in driver.execute("PRAGMA integrity_check(5)") if line != "ok")
    yield from (f"a row without its parent: {row}" for row in driver.execute("PRAGMA foreign_key_check").fetchmany(5))
