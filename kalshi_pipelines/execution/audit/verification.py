"""Verification of a whole journal: the audit chain, the rows, the counters, the anchors and the exchange's orders.

The verification only reads. Its verdict is one of four: clean, explained, corrupt, or could not run. Clean and
explained are successes. A journal is explained if it holds what persons did elsewhere or took responsibility for.
"""

import hashlib
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.audit.breaches import check_breaches
from kalshi_pipelines.execution.audit.elsewhere import Elsewhere
from kalshi_pipelines.execution.audit.former_keys import check_former_keys
from kalshi_pipelines.execution.audit.lists import check_lists
from kalshi_pipelines.execution.audit.older_records import VERSIONS, complete_row
from kalshi_pipelines.execution.audit.replay import replay_ledger, replay_states
from kalshi_pipelines.execution.journal.anchor_trust import anchors_on_record, anchors_since_review
from kalshi_pipelines.execution.journal.anchors import AnchorFile, AnchorsUnreadable
from kalshi_pipelines.execution.journal.engine import explain_failures, record_hash
from kalshi_pipelines.execution.journal.errors import JournalOutdated, JournalRefused, JournalUnavailable
from kalshi_pipelines.execution.journal.migrations import altered_guards, require_journal_head
from kalshi_pipelines.execution.journal.tables import (
    anchors,
    audit_head,
    audit_log,
    intents,
    journal_identity,
    metadata,
    session_caps,
)
from kalshi_pipelines.execution.journal.writing.audit_writer import audit_column, rows_in_body
from kalshi_pipelines.execution.orders.canonical_json import canonical_json, is_canonical
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder
from kalshi_pipelines.execution.orders.request import request_sha256, request_text
from kalshi_pipelines.warehouse.engine import sqlite_driver

#: The largest number of problems in a report. Without this limit, a corrupt journal could fill the report
#: with thousands of problems.
MOST_PROBLEMS: Final = 100
_AT_ONCE: Final = 5_000
#: Tables that the verification does not compare row by row with the audit records. It recomputes most of them instead.
DERIVED: Final = {
    "audit_log",
    "audit_head",
    "anchors",
    "journal_identity",
    "audit_kinds",
    "denial_reasons",
    "legal_transitions",
    "former_keys",
    "scopes",
    "scope_markets",
    "open_intents",
    "leases",
    "session_caps",
    "proposals",
}


class AuditVerdict(StrEnum):
    """The result of verifying a journal."""

    CLEAN = "clean"
    EXPLAINED = "explained"
    """The journal obeys all its rules, and it holds things that persons did elsewhere or took responsibility for."""
    CORRUPT = "corrupt"
    COULD_NOT_RUN = "could not run"

    @property
    def exit_status(self) -> int:
        """The exit status of the ``verify-audit`` command."""
        return {AuditVerdict.CORRUPT: 1, AuditVerdict.COULD_NOT_RUN: 2}.get(self, 0)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The report of a verification of the journal: its verdict and the problems that it found."""

    verdict: AuditVerdict
    records: int
    head: str
    problems: tuple[str, ...]
    explanations: tuple[str, ...] = ()
    """Things that persons did elsewhere or took responsibility for, one line each, with who explained it."""

    @property
    def ok(self) -> bool:
        """Whether the whole journal was checked and no problem was found."""
        return self.verdict in (AuditVerdict.CLEAN, AuditVerdict.EXPLAINED)

    def __str__(self) -> str:
        lines = [f"{self.verdict.value}: {self.records:,} audit records, head {self.head}"]
        lines += [f"- {problem}" for problem in self.problems]
        return "\n".join([*lines, *(f"- explained: {each}" for each in self.explanations)])


def verify(
    engine: sa.Engine,
    anchor_file: Path | None = None,
    exchange_orders: Iterable[ExchangeOrder] | None = None,
) -> AuditReport:
    """Verify a whole journal.

    Args:
        engine: An engine that ``open_journal`` made.
        anchor_file: The file with anchors of the chain. Without anchors, a truncated or rewritten journal may look
            clean.
        exchange_orders: Every order of the sub-account since its first session, as the exchange reports them. If this
            is None, the journal is not compared with the exchange.
    """
    found: list[str] = []
    explained: tuple[str, ...] = ()
    records, head = 0, "-"
    guards_changed = False
    try:
        guards_changed = bool(altered_guards(engine))
        require_journal_head(engine)
        reading = engine
        if engine.dialect.name == "postgresql":
            reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with explain_failures(engine), reading.connect() as connection, connection.begin():
            chain, elsewhere = _Chain(connection), Elsewhere(connection)
            problems = itertools.chain(
                _damage(connection),
                chain.problems(),
                check_lists(connection),
                _rows(connection, chain.recorded),
                _requests(connection),
                replay_states(connection),
                replay_ledger(connection),
                check_breaches(connection),
                check_former_keys(connection),
                _anchors(connection, chain, anchor_file),
                elsewhere.problems(exchange_orders),
            )
            found.extend(itertools.islice(problems, MOST_PROBLEMS))
            records, head = chain.records, chain.head
            explained = tuple(itertools.islice(elsewhere.explanations(), MOST_PROBLEMS))
    except JournalOutdated as error:
        found.append(str(error))
        verdict = AuditVerdict.CORRUPT if guards_changed else AuditVerdict.COULD_NOT_RUN
        return AuditReport(verdict, records, head, tuple(found))
    except (JournalUnavailable, JournalRefused, AnchorsUnreadable) as error:
        return AuditReport(AuditVerdict.COULD_NOT_RUN, records, head, (*found, str(error)))
    verdict = AuditVerdict.EXPLAINED if explained else AuditVerdict.CLEAN
    return AuditReport(AuditVerdict.CORRUPT if found else verdict, records, head, tuple(found), explained)


class _Chain:
    """A reader of the audit log that checks the chain of hashes record by record, from the first record."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self.records = 0
        self.last = -1
        self.head = "-"
        self.hashes: dict[int, str] = {}
        #: Digests of the rows that are listed in audit records, by the name of the table and the number of the record.
        self.recorded: defaultdict[str, dict[int, list[bytes]]] = defaultdict(dict)
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
            yield f"the chain ends at record {self.last}, but the stored head is {head}"
        self.head = f"{self.last}:{before}"

    def _record(self, before: str | None, row: sa.RowMapping) -> Iterator[str]:
        seq, body = row["seq"], row["body"]
        if seq != self.last + 1:
            yield f"record {self.last + 1} is missing: {seq} follows {self.last}"
        self.records += 1
        self.last = seq
        self.hashes[seq] = row["hash"]
        if row["prev_hash"] != before:
            yield f"record {seq} does not carry the hash of the record before it"
        if row["hash"] != record_hash(seq, row["prev_hash"], body):
            yield f"record {seq} was changed: its hash does not match its content"
        if not is_canonical(body):
            yield f"the body of record {seq} is not canonical JSON"
            return
        content = json.loads(body)
        if content.get("v") not in VERSIONS:
            yield f"record {seq} has a body of version {content.get('v')}, which does not exist"
        if content.get("kind") != row["kind"]:
            yield f"record {seq} is of kind {content.get('kind')} in its body, but {row['kind']} in its row"
        for listed in content.get("rows", []):
            each = complete_row(listed, content.get("v"))
            self.recorded[each["table"]].setdefault(seq, []).append(_digest(each))
            yield from self._sent_while_stopped(seq, each)

    def _sent_while_stopped(self, seq: int, row: Mapping[str, object]) -> Iterator[str]:
        """Track the kill switch, and yield a problem if an order was recorded as sent while the switch was engaged."""
        if row["table"] == "kill_events":
            self._engaged = bool(row["engaged"])
        elif row["table"] == "order_events" and row["to_state"] == "sending" and self._engaged:
            yield f"record {seq}: intent {row['intent_id']} was sent while the kill switch was engaged"


def _genesis(body: str, identity: sa.RowMapping) -> Iterator[str]:
    content = json.loads(body) if is_canonical(body) else {}
    for name in ("database_id", "environment"):
        if content.get(name) != identity[name]:
            yield f"record 0 names {name} {content.get(name)}, but the journal's identity is {identity[name]}"


def _rows(connection: sa.Connection, recorded: Mapping[str, dict[int, list[bytes]]]) -> Iterator[str]:
    """Yield audit records that differ from the stored rows they name, and stored rows that no audit record names."""
    for table in metadata.sorted_tables:
        if table.name in DERIVED:
            continue
        column = audit_column(table)
        there: defaultdict[int, list[bytes]] = defaultdict(list)
        for seq, rows in _by_record(connection, table, column):
            there[seq] = sorted(_digest(row) for row in rows)
        wanted = recorded.get(table.name, {})
        for seq in sorted(wanted.keys() | there.keys()):
            if sorted(wanted.get(seq, [])) != there.get(seq, []):
                yield f"{table.name}: the stored rows of record {seq} differ from it ({_differing(wanted, there, seq)})"
    caps: defaultdict[str, dict[str, object]] = defaultdict(dict)
    for row in connection.execute(sa.select(session_caps)).mappings():
        caps[row["session_id"]][row["kind"]] = {
            "orders": row["orders_cap"],
            "notional_microdollars": row["notional_cap_microdollars"],
            "worst_microdollars": row["worst_cap_microdollars"],
        }
    opened = sa.select(audit_log.c.seq, audit_log.c.body).where(audit_log.c.kind == "session")
    for seq, body in connection.execute(opened):
        content = json.loads(body)
        if content.get("caps") != caps[content["rows"][0]["session_id"]]:
            yield f"record {seq}: the stored caps of session {content['rows'][0]['session_id']} differ from it"


def _requests(connection: sa.Connection) -> Iterator[str]:
    """Yield the intents whose stored request differs from their stored terms or from their stored digest."""
    ordered = sa.select(intents).order_by(intents.c.intent_id).execution_options(yield_per=_AT_ONCE)
    for row in connection.execute(ordered).mappings():
        if row["request_json"] != request_text(dict(row)):
            yield f"intent {row['intent_id']}: the stored request differs from the terms that were reserved"
        if row["request_sha256"] != request_sha256(row["request_json"]):
            yield f"intent {row['intent_id']}: the stored digest is not that of the request"


def _differing(wanted: Mapping[int, list[bytes]], there: Mapping[int, list[bytes]], seq: int) -> str:
    return f"{len(wanted.get(seq, []))} recorded, {len(there.get(seq, []))} stored"


def _by_record(
    connection: sa.Connection, table: sa.Table, column: str
) -> Iterator[tuple[int, list[dict[str, object]]]]:
    """Yield the number of each audit record with its stored rows, in the format in which the record lists rows.

    In this format, equal postings to several scopes are a single entry.
    """
    key = [table.c[column], *table.primary_key.columns]
    held: list[tuple[sa.Table, dict[str, object]]] = []
    seq: int | None = None
    ordered = sa.select(table).order_by(*key).execution_options(yield_per=_AT_ONCE)
    for row in connection.execute(ordered).mappings():
        if row[column] != seq and seq is not None:
            yield seq, rows_in_body(held)
            held = []
        seq = row[column]
        held.append((table, dict(row)))
    if seq is not None:
        yield seq, rows_in_body(held)


def _digest(row: Mapping[str, object]) -> bytes:
    return hashlib.sha256(canonical_json(row).encode()).digest()[:12]


def _anchors(connection: sa.Connection, chain: _Chain, anchor_file: Path | None) -> Iterator[str]:
    noted = {(row[0], row[1]) for row in connection.execute(sa.select(anchors.c.seq, anchors.c.hash))}
    yield from (
        f"the journal's anchor of record {seq} has another hash than the record"
        for seq, digest in noted
        if chain.hashes.get(seq) != digest
    )
    if anchor_file is None:
        return
    database_id = connection.execute(sa.select(journal_identity.c.database_id)).scalar_one()
    since = anchors_since_review(connection, AnchorFile(anchor_file).all_anchors(), database_id)
    in_file = {(anchor.seq, anchor.hash) for anchor in since if anchor.database_id == database_id}
    for seq, digest in sorted(in_file):
        if seq > chain.last:
            yield f"{anchor_file} has record {seq}, but the journal ends at record {chain.last}: it was cut or restored"
        elif chain.hashes.get(seq) != digest:
            yield f"{anchor_file} has another hash of record {seq} than the journal: the journal was rewritten"
    for seq, digest in anchors_on_record(connection).items():
        if (seq, digest) not in in_file:
            yield f"the anchor of record {seq} is missing from {anchor_file}"


def _damage(connection: sa.Connection) -> Iterator[str]:
    """Yield the problems that SQLite's integrity checks find.

    Postgres needs no such check, because it checks a page whenever it reads the page.
    """
    if connection.dialect.name != "sqlite":
        return
    driver = sqlite_driver(connection)
    yield from (f"integrity check: {line}" for (line,) in driver.execute("PRAGMA integrity_check(5)") if line != "ok")
    yield from (f"a row without its parent: {row}" for row in driver.execute("PRAGMA foreign_key_check").fetchmany(5))
