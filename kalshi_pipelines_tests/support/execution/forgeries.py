"""Forgeries of a journal by the owner of its database: from a changed byte to a chain with new hashes.

Each forgery changes a SQLite journal whose guards are lowered, and raises the guards again. Some forgers know the
format: they make all hashes, and the anchors, agree with what they changed. Only the rules of trading reveal them.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from kalshi_pipelines.execution.journal.engine import record_hash
from kalshi_pipelines.execution.orders.canonical_json import canonical_json

Row = dict[str, Any]
Forgery = Callable[[Path], None]


def anchors_of(file: Path) -> Path:
    """Return the anchors file of a journal in these tests."""
    return file.with_suffix(".anchors")


@contextmanager
def _without_guards(file: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(file, isolation_level=None)
    database.row_factory = sqlite3.Row
    for pragma in ("foreign_keys = OFF", "ignore_check_constraints = ON"):
        database.execute(f"PRAGMA {pragma}")
    database.execute("BEGIN")
    kept = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in kept:
        database.execute(f"DROP TRIGGER {name}")
    yield database
    for _, sql in kept:
        database.execute(sql)
    database.execute("COMMIT")
    database.close()


def _sql(*statements: str) -> Forgery:
    """Return a forgery that runs statements."""

    def forge(file: Path) -> None:
        with _without_guards(file) as database:
            for statement in statements:
                assert database.execute(statement).rowcount > 0, statement

    return forge


def _rewritten(statement: str, change: Callable[[Row], None], *, with_anchors: bool = True) -> Forgery:
    """Return a forgery that changes rows and the bodies that list them, and then every hash.

    Args:
        statement: The statement that changes the rows.
        change: Changes the body of a record in the same way.
        with_anchors: Whether the anchors file is forged, too.
    """

    def forge(file: Path) -> None:
        with _without_guards(file) as database:
            assert database.execute(statement).rowcount > 0
            hashes = _hash_again(database, change)
        if with_anchors:
            _anchor_again(anchors_of(file), hashes)

    return forge


def _hash_again(database: sqlite3.Connection, change: Callable[[Row], None]) -> Mapping[int, str]:
    hashes: dict[int, str] = {}
    before: str | None = None
    for seq, body in database.execute("SELECT seq, body FROM audit_log ORDER BY seq").fetchall():
        content = json.loads(body)
        change(content)
        text = canonical_json(content)
        hashes[seq] = record_hash(seq, before, text)
        new = (content["kind"], before, hashes[seq], text, seq)
        database.execute("UPDATE audit_log SET kind = ?, prev_hash = ?, hash = ?, body = ? WHERE seq = ?", new)
        before = hashes[seq]
    database.execute("UPDATE audit_head SET hash = ?", (before,))
    for (seq,) in database.execute("SELECT seq FROM anchors").fetchall():
        database.execute("UPDATE anchors SET hash = ? WHERE seq = ?", (hashes[seq], seq))
    return hashes


def _anchor_again(file: Path, hashes: Mapping[int, str]) -> None:
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(f"{canonical_json({**line, 'hash': hashes[line['seq']]})}\n" for line in lines))


def _in_rows(table: str, change: Callable[[Row], None]) -> Callable[[Row], None]:
    """Return a change of every row of a table that a body lists."""

    def change_body(content: Row) -> None:
        for row in content["rows"]:
            if row["table"] == table:
                change(row)

    return change_body


def _lower_caps(content: Row) -> None:
    if content["kind"] == "session":
        content["caps"]["session"]["orders"] = 0


def _need_approval(row: Row) -> None:
    row["approval_required"] = 1


def _change_reason(row: Row) -> None:
    if row["seq"] == 1:
        row["reason"] = "nothing at all"


def _newer_version(content: Row) -> None:
    content["v"] = 3


def _engage_instead(content: Row) -> None:
    if content["kind"] == "release":
        content["kind"] = "kill"
        for row in content["rows"]:
            row |= {"engaged": 1, "level": 1}
            for name in ("released_seq", "engaged_by", "released_engaged", "reconciliation_id"):
                row.pop(name, None)


_OF_ACCOUNT: Final = "(SELECT scope_id FROM scopes WHERE kind = 'account' AND mode = 'live')"
_LAST: Final = "(SELECT max(seq) FROM audit_log)"

FORGERIES: Final[Mapping[str, Forgery]] = {
    "a byte of a body": _sql("UPDATE audit_log SET body = replace(body, '70000', '70001') WHERE kind = 'fill'"),
    "a kind": _sql("UPDATE audit_log SET kind = 'note' WHERE kind = 'reconciliation'"),
    "a removed record": _sql("DELETE FROM audit_log WHERE kind = 'reconciliation'", "DELETE FROM reconciliations"),
    "a removed row": _sql("DELETE FROM approvals"),
    "an older head": _sql(
        f"UPDATE audit_head SET hash = (SELECT prev_hash FROM audit_log WHERE seq = {_LAST}), seq = seq - 1"
    ),
    "a removed end": _sql(
        f"DELETE FROM kill_events WHERE audit_seq = {_LAST}",
        f"UPDATE audit_head SET hash = (SELECT prev_hash FROM audit_log WHERE seq = {_LAST}), seq = seq - 1",
        f"DELETE FROM anchors WHERE seq = {_LAST}",
        f"DELETE FROM audit_log WHERE seq = {_LAST}",
    ),
    "a counter of a scope": _sql("UPDATE scopes SET orders = orders - 1 WHERE kind = 'day' AND orders > 0"),
    "a counter of a market": _sql(
        "UPDATE scope_markets SET position_centicontracts = position_centicontracts - 100, "
        f"spent_microdollars = spent_microdollars - 1 WHERE scope_id IN {_OF_ACCOUNT}"
    ),
    "a cap": _sql("UPDATE session_caps SET worst_cap_microdollars = worst_cap_microdollars - 1 WHERE kind = 'day'"),
    "a state": _sql("UPDATE order_events SET to_state = 'executed' WHERE to_state = 'canceled'"),
    "a price": _sql("UPDATE intents SET price_centicents = price_centicents + 1"),
    "a request": _sql("UPDATE intents SET request_json = replace(request_json, '10.00', '20.00')"),
    "a fill": _sql("UPDATE fills SET count_centicontracts = count_centicontracts + 1"),
    "a posting": _sql(
        "UPDATE postings SET d_spent_microdollars = d_spent_microdollars - 1 WHERE kind = 'fill'",
        "UPDATE scope_markets SET spent_microdollars = spent_microdollars - 1 WHERE spent_microdollars <> 0",
    ),
    "an open order": _sql("DELETE FROM open_intents"),
    "a breach": _sql("UPDATE scopes SET breached = 0 WHERE breached = 1"),
    "a breach without an excess": _sql("UPDATE scopes SET breached = 1 WHERE breached = 0"),
    "a breach within a raised cap": _sql(
        "UPDATE scopes SET breached = 0, worst_cap_microdollars = worst_microdollars WHERE breached = 1"
    ),
    "an added transition": _sql("INSERT INTO legal_transitions VALUES ('planned', 'sending')"),
    "a removed transition": _sql("DELETE FROM legal_transitions WHERE from_state = 'pending_cancel'"),
    "an added kind": _sql("INSERT INTO audit_kinds VALUES ('gift')"),
    "a removed kind": _sql("DELETE FROM audit_kinds WHERE kind = 'acknowledge'"),
    "an added code": _sql("INSERT INTO denial_reasons VALUES ('bad_luck')"),
    "an added former key": _sql(
        f"INSERT INTO former_keys SELECT mode, '{'0' * 64}', intent_id FROM intents WHERE mode = 'live' LIMIT 1"
    ),
    "an hour": _sql("UPDATE scopes SET hour = hour - 30 WHERE kind = 'rolling'"),
    "a key of a day": _sql("UPDATE scopes SET key = '2026-11-20' WHERE kind = 'day' AND key < '2026-11-24'"),
    "a rewritten chain": _rewritten(
        "UPDATE kill_events SET reason = 'nothing at all' WHERE seq = 1",
        _in_rows("kill_events", _change_reason),
        with_anchors=False,
    ),
    "a rewritten cap": _rewritten("UPDATE session_caps SET orders_cap = 0 WHERE kind = 'session'", _lower_caps),
    "a rewritten approval": _rewritten("UPDATE intents SET approval_required = 1", _in_rows("intents", _need_approval)),
    "a rewritten version": _rewritten("UPDATE audit_head SET seq = seq", _newer_version),
    "a rewritten release": _rewritten(
        "UPDATE kill_events SET engaged = 1, level = 1, released_seq = NULL, engaged_by = NULL, "
        "released_engaged = NULL, reconciliation_id = NULL WHERE engaged = 0",
        _engage_instead,
    ),
}
