"""Tests that the verification names each change of a record, row or counter that did not go through the journal."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit import verification
from kalshi_pipelines.execution.audit.replay import replay_ledger
from kalshi_pipelines.execution.audit.verification import AuditVerdict, verify
from kalshi_pipelines.execution.journal.anchors import Anchor, AnchorFile
from kalshi_pipelines.execution.journal.engine import open_journal, record_hash
from kalshi_pipelines.execution.journal.records import Fill, ForeignOrder
from kalshi_pipelines.execution.journal.tables import audit_log, journal_identity
from kalshi_pipelines.execution.orders.canonical_json import canonical_json
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines_tests.support.execution.golden import GOLDEN, audit_of_a_session
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT, EVENT, NOON, TICKER, order_steps
from kalshi_pipelines_tests.support.execution.tampering import tamper

#: Statements that change a session's journal, each with all problems that the verification then reports, in order.
TAMPERED: list[tuple[list[str], list[str]]] = [
    (
        ["UPDATE journal_identity SET environment='demo'"],
        [
            "record 0 names environment sandbox, but the journal's identity is demo",
        ],
    ),
    (
        ["UPDATE journal_identity SET database_id='another-database-id'"],
        [
            "record 0 names database_id 0123456789abcdef0123456789abcdef"
            ", but the journal's identity is another-database-id"
        ],
    ),
    (
        ["UPDATE audit_head SET seq = 33"],
        [
            "the chain ends at record 34"
            ", but the stored head is (33, '3812eba45e1b49a67ce2020e636b41632e6a16d406328867bcbb54fd6fbbc968')",
        ],
    ),
    (
        ["DELETE FROM audit_head"],
        ["the chain ends at record 34, but the stored head is None"],
    ),
    (
        ["DELETE FROM audit_log WHERE seq = 21"],
        [
            "record 21 is missing: 22 follows 20",
            "record 22 does not carry the hash of the record before it",
            "sweeps: the stored rows of record 21 differ from it (0 recorded, 1 stored)",
        ],
    ),
    (
        ["DELETE FROM audit_log WHERE seq = 34"],
        [
            "the chain ends at record 33"
            ", but the stored head is (34, '3812eba45e1b49a67ce2020e636b41632e6a16d406328867bcbb54fd6fbbc968')",
            "kill_events: the stored rows of record 34 differ from it (0 recorded, 1 stored)",
        ],
    ),
    (
        ["UPDATE audit_log SET prev_hash = hash WHERE seq = 24"],
        [
            "record 24 does not carry the hash of the record before it",
            "record 24 was changed: its hash does not match its content",
        ],
    ),
    (
        ["UPDATE audit_log SET body = replace(body, '\"clean\":1', '\"clean\":0') WHERE seq = 24"],
        [
            "record 24 was changed: its hash does not match its content",
            "reconciliations: the stored rows of record 24 differ from it (1 recorded, 1 stored)",
        ],
    ),
    (
        ["UPDATE audit_log SET body = body || ' ' WHERE seq = 24"],
        [
            "record 24 was changed: its hash does not match its content",
            "the body of record 24 is not canonical JSON",
            "reconciliations: the stored rows of record 24 differ from it (0 recorded, 1 stored)",
        ],
    ),
    (
        ["UPDATE audit_log SET kind = 'note' WHERE seq = 24"],
        ["record 24 is of kind reconciliation in its body, but note in its row"],
    ),
    (
        ["UPDATE kill_events SET engaged = 1 WHERE seq = 2"],
        [
            "kill_events: the stored rows of record 2 differ from it (1 recorded, 1 stored)",
        ],
    ),
    (
        ["UPDATE session_caps SET orders_cap = 1 WHERE kind = 'day'"],
        [
            "record 4: the stored caps of session session-0001 differ from it",
            "record 26: the stored caps of session session-0002 differ from it",
            "reserve:16: day 2026-11-23 had orders 2, above its cap 1",
        ],
    ),
    (
        ["UPDATE session_caps SET notional_cap_microdollars = 1 WHERE kind = 'event' and session_id='session-0002'"],
        [
            "record 26: the stored caps of session session-0002 differ from it",
            "reserve:28: event KXRAIN-26NOV24 had notional 10000000, above its cap 1",
        ],
    ),
    (
        ["UPDATE session_caps SET worst_cap_microdollars = 1 WHERE kind = 'rolling' and session_id='session-0002'"],
        [
            "record 26: the stored caps of session session-0002 differ from it",
            "reserve:28: rolling 498761 had worst loss 7230000, above its cap 1",
        ],
    ),
    (
        ["DELETE FROM session_caps WHERE kind='account' and session_id='session-0002'"],
        [
            "record 26: the stored caps of session session-0002 differ from it",
            "reserve:28: session session-0002 has no caps of kind account",
        ],
    ),
    (
        ["UPDATE sessions SET position_cap_centicontracts=999 where session_id='session-0002'"],
        [
            "sessions: the stored rows of record 26 differ from it (1 recorded, 1 stored)",
            "reserve:28: position of KXRAIN-26NOV24-T1 could become 1400, above its cap",
        ],
    ),
    (
        ["DELETE FROM fills WHERE fill_id='f-2'"],
        [
            "fills: the stored rows of record 32 differ from it (1 recorded, 0 stored)",
        ],
    ),
    (
        [
            "INSERT INTO anchors (seq, place, hash, at_us) VALUES"
            " (7,'file','0000000000000000000000000000000000000000000000000000000000000000',1)"
        ],
        ["the journal's anchor of record 7 has another hash than the record"],
    ),
    (
        ["UPDATE order_events SET from_state='reserved' WHERE intent_id=8 and seq=2"],
        [
            "order_events: the stored rows of record 9 differ from it (1 recorded, 1 stored)",
            "intent 8: event 2 goes from reserved to denied, which is not allowed after (1, 'planned')",
        ],
    ),
    (
        ["UPDATE order_events SET to_state='reserved' WHERE intent_id=8 and seq=2"],
        [
            "order_events: the stored rows of record 9 differ from it (1 recorded, 1 stored)",
            "the list of open intents differs from the order events: [(8, 'reserved')]",
            "intent 8 is reserved in [] only",
            "the account counts 1000 open bids of KXRAIN-26NOV24-T1, but its orders add up to 2000",
        ],
    ),
    (
        ["UPDATE order_events SET to_state='reserved' WHERE intent_id=8 and seq=1"],
        [
            "order_events: the stored rows of record 8 differ from it (1 recorded, 1 stored)",
            "intent 8: event 1 goes from None to reserved, which is not allowed after None",
            "intent 8: event 2 goes from planned to denied, which is not allowed after (1, 'reserved')",
            "intent 8 is reserved in [] only",
        ],
    ),
    (
        ["UPDATE order_events SET seq=7 WHERE intent_id=8 and seq=2"],
        [
            "order_events: the stored rows of record 9 differ from it (1 recorded, 1 stored)",
            "intent 8: event 7 goes from planned to denied, which is not allowed after (1, 'planned')",
        ],
    ),
    (
        ["DELETE FROM order_events WHERE intent_id=8"],
        [
            "order_events: the stored rows of record 8 differ from it (1 recorded, 0 stored)",
            "order_events: the stored rows of record 9 differ from it (1 recorded, 0 stored)",
            "intent 8 has no event",
        ],
    ),
    (
        ["DELETE FROM open_intents"],
        ["the list of open intents differs from the order events: [(28, 'reserved')]"],
    ),
    (
        ["UPDATE open_intents SET state='sending'"],
        ["the list of open intents differs from the order events: [(28, 'reserved'), (28, 'sending')]"],
    ),
    (
        ["UPDATE open_intents SET ticker='KXOTHER'"],
        ["the list of open intents names another market or account for intent 28"],
    ),
    (
        ["UPDATE open_intents SET subaccount=7"],
        ["the list of open intents names another market or account for intent 28"],
    ),
    (
        ["UPDATE scopes SET key='session-0009' WHERE kind='session' AND key='session-0002'"],
        ["reserve:28 is counted in session session-0009, which is not the order's own"],
    ),
    (
        ["UPDATE scopes SET key='2026-11-21' WHERE kind='day' AND key='2026-11-23'"],
        [f"reserve:{number} is counted in day 2026-11-21, which is not the order's own" for number in (6, 16)],
    ),
    (
        ["UPDATE scopes SET hour=hour+1, key='498762' WHERE scope_id=8"],
        ["reserve:28 is counted in rolling 498762, which is not the order's own"],
    ),
    (
        ["UPDATE scopes SET key='KXELSE' WHERE kind='event' AND key LIKE 'KXRAIN%'"],
        [f"reserve:{number} is counted in event KXELSE, which is not the order's own" for number in (6, 16, 28)],
    ),
    (
        ["UPDATE scopes SET key='mine' WHERE kind='account'"],
        [
            *[f"reserve:{number} is counted in account mine, which is not the order's own" for number in (6, 16, 28)],
            "scope account mine is marked as breached, but no record since its last review says so",
            "record 33 says that scope account account is breached, but the scope is not marked and was not reviewed"
            " since",
        ],
    ),
    (
        ["DELETE FROM scopes WHERE scope_id=8"],
        [
            "reserve:28 is posted to scope 8, which does not exist",
            "scope 8 counts [5200000, 200000, 0, 0, 1000, 0] in KXRAIN-26NOV24-T1"
            ", but its postings add up to [0, 0, 0, 0, 0, 0]",
            "intent 28 is reserved in ['account', 'day', 'event', 'session'] only",
        ],
    ),
    (
        ["UPDATE scopes SET orders=2 WHERE scope_id=8"],
        ["scope rolling 498761 counts (2, 5000000, 5200000), but its postings add up to (1, 5000000, 5200000)"],
    ),
    (
        ["UPDATE scopes SET notional_microdollars=2 WHERE scope_id=8"],
        ["scope rolling 498761 counts (1, 2, 5200000), but its postings add up to (1, 5000000, 5200000)"],
    ),
    (
        ["UPDATE scopes SET worst_microdollars=2 WHERE scope_id=8"],
        ["scope rolling 498761 counts (1, 5000000, 2), but its postings add up to (1, 5000000, 5200000)"],
    ),
    (
        ["UPDATE scopes SET breached=0 WHERE scope_id=9"],
        [
            "scope event KXOTHER is above its cap but not marked as breached",
            "record 33 says that scope event KXOTHER is breached, but the scope is not marked and was not reviewed"
            " since",
        ],
    ),
    (
        ["UPDATE scope_markets SET position_centicontracts=2 WHERE scope_id=8"],
        [
            "scope 8 counts [5200000, 200000, 0, 2, 1000, 0] in KXRAIN-26NOV24-T1"
            ", but its postings add up to [5200000, 200000, 0, 0, 1000, 0]"
        ],
    ),
    (
        ["DELETE FROM scope_markets WHERE scope_id=8"],
        ["scope 8 has postings of KXRAIN-26NOV24-T1 but no counters for it"],
    ),
    (
        ["INSERT INTO scope_markets VALUES (8,'KXMORE-1',0,0,0,0,0,1)"],
        ["scope 8 counts [0, 0, 0, 0, 0, 1] in KXMORE-1, but its postings add up to [0, 0, 0, 0, 0, 0]"],
    ),
    (
        ["INSERT INTO scope_markets VALUES (88,'KXMORE-1',0,0,0,0,0,1)"],
        [
            "scope 88 counts [0, 0, 0, 0, 0, 1] in KXMORE-1, but its postings add up to [0, 0, 0, 0, 0, 0]",
        ],
    ),
    (
        ["DELETE FROM postings WHERE dedupe='reserve:28' and scope_id=8"],
        [
            "postings: the stored rows of record 30 differ from it (1 recorded, 1 stored)",
            "scope rolling 498761 counts (1, 5000000, 5200000), but its postings add up to (0, 0, 0)",
            "scope 8 counts [5200000, 200000, 0, 0, 1000, 0] in KXRAIN-26NOV24-T1"
            ", but its postings add up to [0, 0, 0, 0, 0, 0]",
            "intent 28 is reserved in ['account', 'day', 'event', 'session'] only",
        ],
    ),
    (
        ["UPDATE intents SET count_centicontracts=900 WHERE intent_id=28"],
        [
            "intents: the stored rows of record 28 differ from it (1 recorded, 1 stored)",
            "intent 28: the stored request differs from the terms that were reserved",
            *[
                f"reserve:28 has other amounts in the {kind} scope than its order, of which 900 count there"
                for kind in ("event", "account", "session", "day", "rolling")
            ],
            "the account counts 1000 open bids of KXRAIN-26NOV24-T1, but its orders add up to 900",
        ],
    ),
    (
        ["UPDATE order_events SET filled_centicontracts=500 WHERE to_state='canceled'"],
        [
            "order_events: the stored rows of record 15 differ from it (1 recorded, 1 stored)",
            "the account counts 1000 open bids of KXRAIN-26NOV24-T1, but its orders add up to 1100",
        ],
    ),
    (
        [
            "UPDATE fills SET count_centicontracts=300 WHERE fill_id='f-1'",
            "UPDATE order_events SET filled_centicontracts=400 WHERE to_state='canceled'",
        ],
        [
            "fills: the stored rows of record 14 differ from it (1 recorded, 1 stored)",
            "the account counts 1000 open bids of KXRAIN-26NOV24-T1, but its orders add up to 1100",
        ],
    ),
    (
        [
            "INSERT INTO foreign_orders VALUES ('order-0009','KXOTHER-1','ask',5000,700,1,'by hand',34)",
            "UPDATE postings SET dedupe='foreign:order-0009' WHERE dedupe='fill:f-2'",
        ],
        [
            "foreign_orders: the stored rows of record 34 differ from it (0 recorded, 1 stored)",
            "postings: the stored rows of record 32 differ from it (1 recorded, 1 stored)",
            "the account counts 0 open asks of KXOTHER-1, but its orders add up to 700",
        ],
    ),
    (
        ["UPDATE order_events SET from_state='planned' WHERE intent_id=8 and seq=1"],
        [
            "order_events: the stored rows of record 8 differ from it (1 recorded, 1 stored)",
            "intent 8: event 1 goes from planned to planned, which is not allowed after None",
        ],
    ),
    (
        ["DELETE FROM order_events WHERE intent_id=8 AND seq=2", "UPDATE order_events SET seq=2 WHERE intent_id=8"],
        [
            "order_events: the stored rows of record 8 differ from it (1 recorded, 1 stored)",
            "order_events: the stored rows of record 9 differ from it (1 recorded, 0 stored)",
            "intent 8: event 2 goes from None to planned, which is not allowed after None",
        ],
    ),
    (
        ["UPDATE order_events SET to_state='executed' WHERE intent_id=8 and seq=2"],
        [
            "order_events: the stored rows of record 9 differ from it (1 recorded, 1 stored)",
            "intent 8: event 2 goes from planned to executed, which is not allowed after (1, 'planned')",
        ],
    ),
    (
        ["UPDATE postings SET kind='release' WHERE dedupe='reserve:28' AND scope_id=8"],
        [
            "postings: the stored rows of record 30 differ from it (1 recorded, 2 stored)",
            "intent 28 is reserved in ['account', 'day', 'event', 'session'] only",
        ],
    ),
    (
        ["UPDATE audit_log SET body = body || ' ' WHERE seq = 0"],
        [
            "record 0 was changed: its hash does not match its content",
            "the body of record 0 is not canonical JSON",
            "record 0 names database_id None, but the journal's identity is 0123456789abcdef0123456789abcdef",
            "record 0 names environment None, but the journal's identity is sandbox",
        ],
    ),
    (
        ["UPDATE audit_log SET body = 'x' WHERE seq = 0"],
        [
            "record 0 was changed: its hash does not match its content",
            "the body of record 0 is not canonical JSON",
            "record 0 names database_id None, but the journal's identity is 0123456789abcdef0123456789abcdef",
            "record 0 names environment None, but the journal's identity is sandbox",
        ],
    ),
    (
        ["DELETE FROM approvals"],
        ["approvals: the stored rows of record 11 differ from it (1 recorded, 0 stored)"],
    ),
]
#: Beginnings of the problems that SQLite's own checks report. Their text differs between versions of SQLite.
OF_SQLITE = ("a row without its parent: ", "integrity check: ")


@pytest.fixture(scope="module")
def a_session(migrated_journal_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a journal that holds a session with every kind of record."""
    path = tmp_path_factory.mktemp("session") / "journal.db"
    shutil.copy(migrated_journal_file, path)
    audit_of_a_session(f"sqlite:///{path}")
    return path


@pytest.fixture
def engine(a_session: Path, tmp_path: Path) -> Iterator[sa.Engine]:
    made = open_journal(f"sqlite:///{shutil.copy(a_session, tmp_path / 'journal.db')}")
    yield made
    made.dispose()


def identity(engine: sa.Engine) -> str:
    with engine.connect() as connection:
        return str(connection.scalar(sa.select(journal_identity.c.database_id)))


def forged(engine: sa.Engine, change: Callable[[dict[str, Any]], None], seq: int) -> None:
    """Change the body of one record, and make every later hash fit, as a forger would."""
    with engine.connect() as connection:
        records = connection.execute(sa.select(audit_log.c.seq, audit_log.c.body).order_by(audit_log.c.seq)).all()
    before: str | None = None
    for number, body in records:
        content = json.loads(body)
        if number == seq:
            change(content)
        text = canonical_json(content)
        digest = record_hash(number, before, text)
        quoted = text.replace("'", "''")
        previous = "NULL" if before is None else f"'{before}'"
        tamper(
            engine,
            f"UPDATE audit_log SET body = '{quoted}', prev_hash = {previous}, hash = '{digest}' WHERE seq = {number}",
        )
        before = digest
    tamper(engine, f"UPDATE audit_head SET hash = '{before}'")


def test_the_journal_of_a_session_with_a_foreign_fill_is_explained(engine: sa.Engine) -> None:
    report = verify(engine)
    assert (report.verdict, report.records, report.problems) == (AuditVerdict.EXPLAINED, 35, ())
    assert report.explanations == ("foreign fill f-2 of KXOTHER-1: not acknowledged yet",)
    assert str(report).startswith(f"explained: 35 audit records, head {report.head}\n- explained: foreign fill")
    assert report.head.startswith("34:")


def test_the_log_of_a_session_is_what_it_always_was(sqlite_journal: sa.Engine) -> None:
    log = audit_of_a_session(sqlite_journal.url.render_as_string(hide_password=False))
    assert hashlib.sha256(log.encode()).hexdigest() == GOLDEN


@pytest.mark.parametrize(("statements", "problems"), TAMPERED, ids=[each[0][-1][:60] for each in TAMPERED])
def test_F25_verification_names_every_change(engine: sa.Engine, statements: list[str], problems: list[str]) -> None:
    for statement in statements:
        tamper(engine, statement)
    report = verify(engine)
    assert report.verdict is AuditVerdict.CORRUPT
    assert [problem for problem in report.problems if not problem.startswith(OF_SQLITE)] == problems


def test_F25_problems_found_by_sqlite_are_reported_too(engine: sa.Engine) -> None:
    tamper(engine, "DELETE FROM scopes WHERE scope_id = 8")
    tamper(engine, "UPDATE kill_events SET engaged = 2 WHERE seq = 2")
    found = verify(engine).problems
    assert "integrity check: CHECK constraint failed in kill_events" in found
    assert "a row without its parent: ('scope_markets', None, 'scopes', 0)" in found
    assert sum(problem.startswith("a row without") for problem in found) == 2


@pytest.mark.parametrize(
    ("column", "cap", "problem"),
    [
        ("orders_cap", 2, "rolling 498761 had orders 3, above its cap 2"),
        ("orders_cap", 3, None),
        ("notional_cap_microdollars", 9_999_999, "rolling 498761 had notional 10000000, above its cap 9999999"),
        ("notional_cap_microdollars", 10_000_000, None),
        ("worst_cap_microdollars", 7_229_999, "rolling 498761 had worst loss 7230000, above its cap 7229999"),
        ("worst_cap_microdollars", 7_230_000, None),
    ],
)
def test_rolling_cap_counts_the_hours_before(engine: sa.Engine, column: str, cap: int, problem: str | None) -> None:
    tamper(engine, f"UPDATE session_caps SET {column} = {cap} WHERE kind = 'rolling' AND session_id = 'session-0002'")
    with engine.connect() as connection:
        assert list(replay_ledger(connection)) == ([f"reserve:28: {problem}"] if problem else [])


@pytest.mark.parametrize(("side", "cap"), [(Side.BID, 1_400), (Side.ASK, 600)])
def test_position_cap_counts_for_bids_and_against_asks(sqlite_journal: sa.Engine, side: Side, cap: int) -> None:
    steps = order_steps(sqlite_journal)
    bought = steps.record_sent()
    with steps.journal.writing() as transaction:
        transaction.fills.record(Fill("f-1", "order-0001", TICKER, Side.BID, 4_900, 400, 70_000, NOON), bought)
        transaction.orders.record_answer(
            transaction.reading.orders.intent(bought.intent_id), OrderState.CANCELED, filled_centicontracts=400
        )
    steps.reserve(side=side)
    assert verify(sqlite_journal).ok
    for allowed, is_reported in ((cap, False), (cap - 1, True)):
        tamper(sqlite_journal, f"UPDATE sessions SET position_cap_centicontracts = {allowed}")
        with sqlite_journal.connect() as connection:
            found = list(replay_ledger(connection))
        assert any(problem.endswith(f"could become {cap}, above its cap") for problem in found) is is_reported


def test_F25_journal_without_identity_is_reported(engine: sa.Engine) -> None:
    tamper(engine, "DELETE FROM journal_identity")
    assert "the journal has no identity" in verify(engine).problems


def test_F25_forged_log_with_fitting_hashes_differs_from_its_rows(engine: sa.Engine) -> None:
    def still_engaged(content: dict[str, Any]) -> None:
        content["rows"][0]["engaged"] = 1

    forged(engine, still_engaged, 2)
    assert list(verify(engine).problems) == [
        "record 12: intent 6 was sent while the kill switch was engaged",
        "record 18: intent 16 was sent while the kill switch was engaged",
        "kill_events: the stored rows of record 2 differ from it (1 recorded, 1 stored)",
    ]


def test_F25_forged_caps_of_a_session_are_reported(engine: sa.Engine) -> None:
    def wider(content: dict[str, Any]) -> None:
        content["caps"]["day"]["orders"] += 1

    forged(engine, wider, 26)
    assert list(verify(engine).problems) == ["record 26: the stored caps of session session-0002 differ from it"]


def test_F25_order_sent_before_the_first_release_is_reported(engine: sa.Engine) -> None:
    for seq in (1, 2):
        forged(engine, lambda content: content.update(rows=[]), seq)
    assert "record 12: intent 6 was sent while the kill switch was engaged" in verify(engine).problems


def test_scope_exactly_at_its_cap_is_clean(engine: sa.Engine) -> None:
    tamper(engine, "UPDATE scopes SET worst_cap_microdollars = worst_microdollars WHERE scope_id = 8")
    assert verify(engine).ok


@pytest.mark.parametrize("side", Side)
def test_foreign_order_counts_until_it_is_gone(sqlite_journal: sa.Engine, side: Side) -> None:
    steps = order_steps(sqlite_journal)
    steps.reserve(side=side)
    for order_id in ("order-0008", "order-0009"):
        with steps.journal.writing() as transaction:
            transaction.foreign_orders.record(
                ACCOUNT, ForeignOrder(order_id, TICKER, side, 5_000, 700, "by hand"), EVENT
            )
    assert verify(sqlite_journal).ok
    with steps.journal.writing() as transaction:
        assert transaction.foreign_orders.record_end(ACCOUNT, "order-0008", EVENT)
    assert verify(sqlite_journal).ok


def test_verification_sees_one_state_despite_concurrent_writes(
    journal_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, rows = order_steps(journal_engine), verification._rows

    def rows_after_a_write(connection: sa.Connection, *given: Any) -> Iterator[str]:
        steps.reserve()
        yield from rows(connection, *given)

    monkeypatch.setattr(verification, "_rows", rows_after_a_write)
    for _ in range(2):
        report = verify(journal_engine)
        assert report.ok, str(report)


def test_verification_on_postgres_is_read_only(postgres_journal_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def mode_of(connection: sa.Connection) -> Iterator[str]:
        yield f"read only: {connection.exec_driver_sql('SHOW transaction_read_only').scalar_one()}"

    engine = open_journal(postgres_journal_url)
    order_steps(engine)
    monkeypatch.setattr(verification, "replay_states", mode_of)
    assert verify(engine).problems == ("read only: on",)
    engine.dispose()


def test_verification_that_cannot_run_reports_only_the_cause(tmp_path: Path) -> None:
    engine = open_journal(f"sqlite:///{tmp_path / 'empty.db'}")
    report = verify(engine)
    engine.dispose()
    assert (report.verdict, report.records, report.head) == (AuditVerdict.COULD_NOT_RUN, 0, "-")
    (problem,) = report.problems
    assert "run `" in problem.lower()


def test_F25_first_record_of_another_journal_is_reported(engine: sa.Engine) -> None:
    forged(engine, lambda content: content.update(environment="demo"), 0)
    assert list(verify(engine).problems) == ["record 0 names environment demo, but the journal's identity is sandbox"]


def test_F22_anchor_file_shows_that_a_journal_was_cut_or_rewritten(engine: sa.Engine, tmp_path: Path) -> None:
    file, mine = tmp_path / "anchors.jsonl", identity(engine)
    with engine.connect() as connection:
        (last,) = connection.execute(sa.select(audit_log.c.hash).where(audit_log.c.seq == 34)).one()
    AnchorFile(file).append(Anchor(mine, 34, last, 1))
    AnchorFile(file).append(Anchor("another-journal", 34, "0" * 64, 1))
    tamper(engine, f"INSERT INTO anchors (seq, place, hash, at_us) VALUES (34, 'file', '{last}', 1)")
    tamper(engine, f"INSERT INTO anchors (seq, place, hash, at_us) VALUES (34, 'notary', '{last}', 1)")
    assert verify(engine, file).ok
    AnchorFile(file).append(Anchor(mine, 35, "1" * 64, 1))
    AnchorFile(file).append(Anchor(mine, 33, "2" * 64, 1))
    assert list(verify(engine, file).problems) == [
        f"{file} has another hash of record 33 than the journal: the journal was rewritten",
        f"{file} has record 35, but the journal ends at record 34: it was cut or restored",
    ]
    file.write_text("")
    assert list(verify(engine, file).problems) == [f"the anchor of record 34 is missing from {file}"]


def test_report_is_limited_to_the_largest_number_of_problems(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "MOST_PROBLEMS", 5)
    tamper(engine, "DELETE FROM journal_identity")
    report = verify(engine)
    assert (report.verdict, len(report.problems)) == (AuditVerdict.CORRUPT, 5)
    assert len(str(report).splitlines()) == 6 + len(report.explanations)
