"""Whatever was changed behind the journal's back is named: by record, by row, by what can be worked out again."""

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
from kalshi_pipelines_tests.support.execution.tampering import tampered
from kalshi_pipelines_tests.support.execution.trading import EVENT, NOON, TICKER, desk_at

#: What is done to the journal of a session, and every problem that is told of it, in this order.
TOLD: list[tuple[list[str], list[str]]] = [
    (
        ["UPDATE journal_identity SET environment='demo'"],
        [
            "the chain begins with environment sandbox, the journal says demo",
        ],
    ),
    (
        ["UPDATE journal_identity SET database_id='another-database-id'"],
        ["the chain begins with database_id 0123456789abcdef0123456789abcdef, the journal says another-database-id"],
    ),
    (
        ["UPDATE audit_head SET seq = 33"],
        [
            "the chain ends at record 34"
            ", its head was (33, 'd54b1a672091ae0e63c788a0d89a558da9550fe7025afbb4194557ee7fd729a4')",
        ],
    ),
    (
        ["DELETE FROM audit_head"],
        ["the chain ends at record 34, its head was None"],
    ),
    (
        ["DELETE FROM audit_log WHERE seq = 21"],
        [
            "record 21 is missing: 22 follows 20",
            "record 22 does not follow the one before it",
            "sweeps: the rows of record 21 are not what it tells (0 told, 1 there)",
        ],
    ),
    (
        ["DELETE FROM audit_log WHERE seq = 34"],
        [
            "the chain ends at record 33"
            ", its head was (34, 'd54b1a672091ae0e63c788a0d89a558da9550fe7025afbb4194557ee7fd729a4')",
            "kill_events: the rows of record 34 are not what it tells (0 told, 1 there)",
        ],
    ),
    (
        ["UPDATE audit_log SET prev_hash = hash WHERE seq = 24"],
        [
            "record 24 does not follow the one before it",
            "record 24 was changed: its hash is another",
        ],
    ),
    (
        ["UPDATE audit_log SET body = replace(body, '\"clean\":1', '\"clean\":0') WHERE seq = 24"],
        [
            "record 24 was changed: its hash is another",
            "reconciliations: the rows of record 24 are not what it tells (1 told, 1 there)",
        ],
    ),
    (
        ["UPDATE audit_log SET body = body || ' ' WHERE seq = 24"],
        [
            "record 24 was changed: its hash is another",
            "record 24 is not in canonical form",
            "reconciliations: the rows of record 24 are not what it tells (0 told, 1 there)",
        ],
    ),
    (
        ["UPDATE audit_log SET kind = 'note' WHERE seq = 24"],
        ["record 24 is of kind reconciliation, its row says note"],
    ),
    (
        ["UPDATE kill_events SET engaged = 1 WHERE seq = 2"],
        [
            "kill_events: the rows of record 2 are not what it tells (1 told, 1 there)",
        ],
    ),
    (
        ["UPDATE session_caps SET orders_cap = 1 WHERE kind = 'day'"],
        [
            "record 4: the caps of session session-0001 are others than it tells",
            "record 26: the caps of session session-0002 are others than it tells",
            "reserve:16: day 2026-11-23 had orders 2 beyond its cap 1",
        ],
    ),
    (
        ["UPDATE session_caps SET notional_cap_microdollars = 1 WHERE kind = 'event' and session_id='session-0002'"],
        [
            "record 26: the caps of session session-0002 are others than it tells",
            "reserve:28: event KXRAIN-26NOV24 had notional 10000000 beyond its cap 1",
        ],
    ),
    (
        ["UPDATE session_caps SET worst_cap_microdollars = 1 WHERE kind = 'rolling' and session_id='session-0002'"],
        [
            "record 26: the caps of session session-0002 are others than it tells",
            "reserve:28: rolling 498761 had worst loss 7230000 beyond its cap 1",
        ],
    ),
    (
        ["DELETE FROM session_caps WHERE kind='account' and session_id='session-0002'"],
        [
            "record 26: the caps of session session-0002 are others than it tells",
            "reserve:28 of session session-0002 has no caps of kind account",
        ],
    ),
    (
        ["UPDATE sessions SET position_cap_centicontracts=999 where session_id='session-0002'"],
        [
            "sessions: the rows of record 26 are not what it tells (1 told, 1 there)",
            "reserve:28: position of KXRAIN-26NOV24-T1 could be 1400, beyond its cap",
        ],
    ),
    (
        ["DELETE FROM fills WHERE fill_id='f-2'"],
        [
            "fills: the rows of record 32 are not what it tells (1 told, 0 there)",
        ],
    ),
    (
        [
            "INSERT INTO anchors (seq, place, hash, at_us) VALUES"
            " (7,'file','0000000000000000000000000000000000000000000000000000000000000000',1)"
        ],
        ["anchor 7 tells of another record"],
    ),
    (
        ["UPDATE order_events SET from_state='reserved' WHERE intent_id=8 and seq=2"],
        [
            "order_events: the rows of record 9 are not what it tells (1 told, 1 there)",
            "intent 8: event 2 goes from reserved to denied after (1, 'planned')",
        ],
    ),
    (
        ["UPDATE order_events SET to_state='reserved' WHERE intent_id=8 and seq=2"],
        [
            "order_events: the rows of record 9 are not what it tells (1 told, 1 there)",
            "the list of open intents is not what the events make of it: [(8, 'reserved')]",
            "intent 8 is reserved in [] only",
            "the account holds 1000 open bids of KXRAIN-26NOV24-T1, its orders make 2000",
        ],
    ),
    (
        ["UPDATE order_events SET to_state='reserved' WHERE intent_id=8 and seq=1"],
        [
            "order_events: the rows of record 8 are not what it tells (1 told, 1 there)",
            "intent 8: event 1 goes from None to reserved after None",
            "intent 8: event 2 goes from planned to denied after (1, 'reserved')",
            "intent 8 is reserved in [] only",
        ],
    ),
    (
        ["UPDATE order_events SET seq=7 WHERE intent_id=8 and seq=2"],
        [
            "order_events: the rows of record 9 are not what it tells (1 told, 1 there)",
            "intent 8: event 7 goes from planned to denied after (1, 'planned')",
        ],
    ),
    (
        ["DELETE FROM order_events WHERE intent_id=8"],
        [
            "order_events: the rows of record 8 are not what it tells (1 told, 0 there)",
            "order_events: the rows of record 9 are not what it tells (1 told, 0 there)",
            "intent 8 has no event",
        ],
    ),
    (
        ["DELETE FROM open_intents"],
        ["the list of open intents is not what the events make of it: [(28, 'reserved')]"],
    ),
    (
        ["UPDATE open_intents SET state='sending'"],
        ["the list of open intents is not what the events make of it: [(28, 'reserved'), (28, 'sending')]"],
    ),
    (
        ["UPDATE open_intents SET ticker='KXOTHER'"],
        ["the list of open intents has intent 28 with another market or account"],
    ),
    (
        ["UPDATE open_intents SET subaccount=7"],
        ["the list of open intents has intent 28 with another market or account"],
    ),
    (
        ["UPDATE scopes SET key='session-0009' WHERE kind='session' AND key='session-0002'"],
        ["reserve:28 is counted in session session-0009, which is not its own"],
    ),
    (
        ["UPDATE scopes SET key='2026-11-21' WHERE kind='day' AND key='2026-11-23'"],
        [f"reserve:{number} is counted in day 2026-11-21, which is not its own" for number in (6, 16)],
    ),
    (
        ["UPDATE scopes SET hour=hour+1, key='498762' WHERE scope_id=8"],
        ["reserve:28 is counted in rolling 498762, which is not its own"],
    ),
    (
        ["UPDATE scopes SET key='KXELSE' WHERE kind='event' AND key LIKE 'KXRAIN%'"],
        [f"reserve:{number} is counted in event KXELSE, which is not its own" for number in (6, 16, 28)],
    ),
    (
        ["UPDATE scopes SET key='mine' WHERE kind='account'"],
        [f"reserve:{number} is counted in account mine, which is not its own" for number in (6, 16, 28)],
    ),
    (
        ["DELETE FROM scopes WHERE scope_id=8"],
        [
            "reserve:28 is posted to scope 8, which is not there",
            "scope 8 counts [5200000, 200000, 0, 0, 1000, 0] in KXRAIN-26NOV24-T1"
            ", its postings make [0, 0, 0, 0, 0, 0]",
            "intent 28 is reserved in ['account', 'day', 'event', 'session'] only",
        ],
    ),
    (
        ["UPDATE scopes SET orders=2 WHERE scope_id=8"],
        ["scope rolling 498761 counts (2, 5000000, 5200000), its postings make (1, 5000000, 5200000)"],
    ),
    (
        ["UPDATE scopes SET notional_microdollars=2 WHERE scope_id=8"],
        ["scope rolling 498761 counts (1, 2, 5200000), its postings make (1, 5000000, 5200000)"],
    ),
    (
        ["UPDATE scopes SET worst_microdollars=2 WHERE scope_id=8"],
        ["scope rolling 498761 counts (1, 5000000, 2), its postings make (1, 5000000, 5200000)"],
    ),
    (
        ["UPDATE scopes SET breached=0 WHERE scope_id=9"],
        [
            "scope event KXOTHER is beyond its cap and not marked as breached",
        ],
    ),
    (
        ["UPDATE scope_markets SET position_centicontracts=2 WHERE scope_id=8"],
        [
            "scope 8 counts [5200000, 200000, 0, 2, 1000, 0] in KXRAIN-26NOV24-T1"
            ", its postings make [5200000, 200000, 0, 0, 1000, 0]"
        ],
    ),
    (
        ["DELETE FROM scope_markets WHERE scope_id=8"],
        ["scope 8 does not count KXRAIN-26NOV24-T1, of which it has postings"],
    ),
    (
        ["INSERT INTO scope_markets VALUES (8,'KXMORE-1',0,0,0,0,0,1)"],
        ["scope 8 counts [0, 0, 0, 0, 0, 1] in KXMORE-1, its postings make [0, 0, 0, 0, 0, 0]"],
    ),
    (
        ["INSERT INTO scope_markets VALUES (88,'KXMORE-1',0,0,0,0,0,1)"],
        [
            "scope 88 counts [0, 0, 0, 0, 0, 1] in KXMORE-1, its postings make [0, 0, 0, 0, 0, 0]",
        ],
    ),
    (
        ["DELETE FROM postings WHERE dedupe='reserve:28' and scope_id=8"],
        [
            "postings: the rows of record 30 are not what it tells (1 told, 1 there)",
            "scope rolling 498761 counts (1, 5000000, 5200000), its postings make (0, 0, 0)",
            "scope 8 counts [5200000, 200000, 0, 0, 1000, 0] in KXRAIN-26NOV24-T1"
            ", its postings make [0, 0, 0, 0, 0, 0]",
            "intent 28 is reserved in ['account', 'day', 'event', 'session'] only",
        ],
    ),
    (
        ["UPDATE intents SET count_centicontracts=900 WHERE intent_id=28"],
        [
            "intents: the rows of record 28 are not what it tells (1 told, 1 there)",
            "intent 28: its request has other terms than it was counted with",
            "the account holds 1000 open bids of KXRAIN-26NOV24-T1, its orders make 900",
        ],
    ),
    (
        ["UPDATE order_events SET filled_centicontracts=500 WHERE to_state='canceled'"],
        [
            "order_events: the rows of record 15 are not what it tells (1 told, 1 there)",
            "the account holds 1000 open bids of KXRAIN-26NOV24-T1, its orders make 1100",
        ],
    ),
    (
        [
            "UPDATE fills SET count_centicontracts=300 WHERE fill_id='f-1'",
            "UPDATE order_events SET filled_centicontracts=400 WHERE to_state='canceled'",
        ],
        [
            "fills: the rows of record 14 are not what it tells (1 told, 1 there)",
            "the account holds 1000 open bids of KXRAIN-26NOV24-T1, its orders make 1100",
        ],
    ),
    (
        [
            "INSERT INTO foreign_orders VALUES ('order-0009','KXOTHER-1','ask',5000,700,1,'by hand',34)",
            "UPDATE postings SET dedupe='foreign:order-0009' WHERE dedupe='fill:f-2'",
        ],
        [
            "foreign_orders: the rows of record 34 are not what it tells (0 told, 1 there)",
            "postings: the rows of record 32 are not what it tells (1 told, 1 there)",
            "the account holds 0 open asks of KXOTHER-1, its orders make 700",
        ],
    ),
    (
        ["UPDATE order_events SET from_state='planned' WHERE intent_id=8 and seq=1"],
        [
            "order_events: the rows of record 8 are not what it tells (1 told, 1 there)",
            "intent 8: event 1 goes from planned to planned after None",
        ],
    ),
    (
        ["DELETE FROM order_events WHERE intent_id=8 AND seq=2", "UPDATE order_events SET seq=2 WHERE intent_id=8"],
        [
            "order_events: the rows of record 8 are not what it tells (1 told, 1 there)",
            "order_events: the rows of record 9 are not what it tells (1 told, 0 there)",
            "intent 8: event 2 goes from None to planned after None",
        ],
    ),
    (
        ["UPDATE order_events SET to_state='executed' WHERE intent_id=8 and seq=2"],
        [
            "order_events: the rows of record 9 are not what it tells (1 told, 1 there)",
            "intent 8: event 2 goes from planned to executed after (1, 'planned')",
        ],
    ),
    (
        ["UPDATE postings SET kind='release' WHERE dedupe='reserve:28' AND scope_id=8"],
        [
            "postings: the rows of record 30 are not what it tells (1 told, 2 there)",
            "intent 28 is reserved in ['account', 'day', 'event', 'session'] only",
        ],
    ),
    (
        ["UPDATE audit_log SET body = body || ' ' WHERE seq = 0"],
        [
            "record 0 was changed: its hash is another",
            "record 0 is not in canonical form",
            "the chain begins with database_id None, the journal says 0123456789abcdef0123456789abcdef",
            "the chain begins with environment None, the journal says sandbox",
        ],
    ),
    (
        ["UPDATE audit_log SET body = 'x' WHERE seq = 0"],
        [
            "record 0 was changed: its hash is another",
            "record 0 is not in canonical form",
            "the chain begins with database_id None, the journal says 0123456789abcdef0123456789abcdef",
            "the chain begins with environment None, the journal says sandbox",
        ],
    ),
    (
        ["DELETE FROM approvals"],
        ["approvals: the rows of record 11 are not what it tells (1 told, 0 there)"],
    ),
]
#: Beginnings of what SQLite's own checks say, which differs a little from one SQLite to the next.
OF_SQLITE = ("a row without its parent: ", "integrity check: ")


@pytest.fixture(scope="module")
def a_session(migrated_journal_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a session with everything in it."""
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
    """The chain as somebody writes it anew who knows how: a record's body is another, and"
    " every hash after it fits."""
    with engine.connect() as connection:
        records = connection.execute(sa.select(audit_log.c.seq, audit_log.c.body).order_by(audit_log.c.seq)).all()
    before: str | None = None
    for number, body in records:
        told = json.loads(body)
        if number == seq:
            change(told)
        text = canonical_json(told)
        digest = record_hash(number, before, text)
        quoted = text.replace("'", "''")
        previous = "NULL" if before is None else f"'{before}'"
        tampered(
            engine,
            f"UPDATE audit_log SET body = '{quoted}', prev_hash = {previous}, hash = '{digest}' WHERE seq = {number}",
        )
        before = digest
    tampered(engine, f"UPDATE audit_head SET hash = '{before}'")


def test_the_journal_of_a_session_is_clean(engine: sa.Engine) -> None:
    report = verify(engine)
    assert (report.verdict, report.records, report.problems) == (AuditVerdict.CLEAN, 35, ())
    assert str(report) == f"clean: 35 audit records, head {report.head}"
    assert report.head.startswith("34:")


def test_the_log_of_a_session_is_what_it_always_was(sqlite_journal: sa.Engine) -> None:
    log = audit_of_a_session(sqlite_journal.url.render_as_string(hide_password=False))
    assert hashlib.sha256(log.encode()).hexdigest() == GOLDEN


@pytest.mark.parametrize(("statements", "problems"), TOLD, ids=[each[0][-1][:60] for each in TOLD])
def test_F25_what_was_changed_is_named(engine: sa.Engine, statements: list[str], problems: list[str]) -> None:
    for statement in statements:
        tampered(engine, statement)
    report = verify(engine)
    assert report.verdict is AuditVerdict.CORRUPT
    assert [problem for problem in report.problems if not problem.startswith(OF_SQLITE)] == problems


def test_F25_what_sqlite_itself_finds_is_told_beside_it(engine: sa.Engine) -> None:
    tampered(engine, "DELETE FROM scopes WHERE scope_id = 8")
    tampered(engine, "UPDATE kill_events SET engaged = 2 WHERE seq = 2")
    found = verify(engine).problems
    assert "integrity check: CHECK constraint failed in kill_events" in found
    assert "a row without its parent: ('scope_markets', None, 'scopes', 0)" in found
    assert sum(problem.startswith("a row without") for problem in found) == 2


@pytest.mark.parametrize(
    ("column", "cap", "told"),
    [
        ("orders_cap", 2, "rolling 498761 had orders 3 beyond its cap 2"),
        ("orders_cap", 3, None),
        ("notional_cap_microdollars", 9_999_999, "rolling 498761 had notional 10000000 beyond its cap 9999999"),
        ("notional_cap_microdollars", 10_000_000, None),
        ("worst_cap_microdollars", 7_229_999, "rolling 498761 had worst loss 7230000 beyond its cap 7229999"),
        ("worst_cap_microdollars", 7_230_000, None),
    ],
)
def test_the_hours_before_count_in_a_rolling_cap(engine: sa.Engine, column: str, cap: int, told: str | None) -> None:
    tampered(engine, f"UPDATE session_caps SET {column} = {cap} WHERE kind = 'rolling' AND session_id = 'session-0002'")
    with engine.connect() as connection:
        assert list(replay_ledger(connection)) == ([f"reserve:28: {told}"] if told else [])


@pytest.mark.parametrize(("side", "cap"), [(Side.BID, 1_400), (Side.ASK, 600)])
def test_a_position_counts_for_bids_and_against_asks(sqlite_journal: sa.Engine, side: Side, cap: int) -> None:
    desk = desk_at(sqlite_journal)
    bought = desk.sent()
    with desk.journal.writing() as transaction:
        transaction.fill(Fill("f-1", "order-0001", TICKER, Side.BID, 4_900, 400, 70_000, NOON), bought)
        transaction.answered(transaction.intent(bought.intent_id), OrderState.CANCELED, filled_centicontracts=400)
    desk.reserved(side=side)
    assert verify(sqlite_journal).ok
    for allowed, is_told in ((cap, False), (cap - 1, True)):
        tampered(sqlite_journal, f"UPDATE sessions SET position_cap_centicontracts = {allowed}")
        with sqlite_journal.connect() as connection:
            found = list(replay_ledger(connection))
        assert any(problem.endswith(f"could be {cap}, beyond its cap") for problem in found) is is_told


def test_F25_a_journal_without_identity_is_nobody_s(engine: sa.Engine) -> None:
    tampered(engine, "DELETE FROM journal_identity")
    assert "the journal has no identity" in verify(engine).problems


def test_F25_a_log_that_was_forged_with_all_its_hashes_is_no_match_for_its_rows(engine: sa.Engine) -> None:
    def still_engaged(told: dict[str, Any]) -> None:
        told["rows"][0]["engaged"] = 1

    forged(engine, still_engaged, 2)
    assert list(verify(engine).problems) == [
        "record 12: intent 6 was to be sent with the kill switch engaged",
        "record 18: intent 16 was to be sent with the kill switch engaged",
        "kill_events: the rows of record 2 are not what it tells (1 told, 1 there)",
    ]


def test_F25_other_caps_than_were_told_are_found_in_a_forged_log_too(engine: sa.Engine) -> None:
    def wider(told: dict[str, Any]) -> None:
        told["caps"]["day"]["orders"] += 1

    forged(engine, wider, 26)
    assert list(verify(engine).problems) == ["record 26: the caps of session session-0002 are others than it tells"]


def test_F25_a_journal_whose_kill_switch_was_never_released_sent_nothing(engine: sa.Engine) -> None:
    for seq in (1, 2):
        forged(engine, lambda told: told.update(rows=[]), seq)
    assert "record 12: intent 6 was to be sent with the kill switch engaged" in verify(engine).problems


def test_a_scope_at_its_cap_is_not_beyond_it(engine: sa.Engine) -> None:
    tampered(engine, "UPDATE scopes SET worst_cap_microdollars = worst_microdollars WHERE scope_id = 8")
    assert verify(engine).ok


@pytest.mark.parametrize("side", Side)
def test_what_rests_counts_until_it_is_gone(sqlite_journal: sa.Engine, side: Side) -> None:
    desk = desk_at(sqlite_journal)
    desk.reserved(side=side)
    for order_id in ("order-0008", "order-0009"):
        with desk.journal.writing() as transaction:
            transaction.foreign_order("sandbox", 0, ForeignOrder(order_id, TICKER, side, 5_000, 700, "by hand"), EVENT)
    assert verify(sqlite_journal).ok
    with desk.journal.writing() as transaction:
        assert transaction.foreign_order_gone("sandbox", 0, "order-0008", EVENT)
    assert verify(sqlite_journal).ok


def test_a_verification_sees_one_state_whatever_is_written_meanwhile(
    journal_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, rows = desk_at(journal_engine), verification._rows

    def rows_after_a_write(connection: sa.Connection, *told: Any) -> Iterator[str]:
        desk.reserved()
        yield from rows(connection, *told)

    monkeypatch.setattr(verification, "_rows", rows_after_a_write)
    for _ in range(2):
        report = verify(journal_engine)
        assert report.ok, str(report)


def test_a_verification_on_postgres_can_write_nothing(
    postgres_journal_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(connection: sa.Connection) -> Iterator[str]:
        yield f"read only: {connection.exec_driver_sql('SHOW transaction_read_only').scalar_one()}"

    engine = open_journal(postgres_journal_url)
    desk_at(engine)
    monkeypatch.setattr(verification, "replay_states", told)
    assert verify(engine).problems == ("read only: on",)
    engine.dispose()


def test_what_keeps_a_verification_from_looking_is_its_only_problem(tmp_path: Path) -> None:
    engine = open_journal(f"sqlite:///{tmp_path / 'empty.db'}")
    report = verify(engine)
    engine.dispose()
    assert (report.verdict, report.records, report.head) == (AuditVerdict.COULD_NOT_RUN, 0, "-")
    (problem,) = report.problems
    assert "run `" in problem


def test_F25_a_genesis_that_names_another_journal_is_told(engine: sa.Engine) -> None:
    forged(engine, lambda told: told.update(environment="demo"), 0)
    assert list(verify(engine).problems) == ["the chain begins with environment demo, the journal says sandbox"]


def test_F22_an_anchor_file_tells_of_a_journal_that_was_cut_or_rewritten(engine: sa.Engine, tmp_path: Path) -> None:
    file, mine = tmp_path / "anchors.jsonl", identity(engine)
    with engine.connect() as connection:
        (last,) = connection.execute(sa.select(audit_log.c.hash).where(audit_log.c.seq == 34)).one()
    AnchorFile(file).append(Anchor(mine, 34, last, 1))
    AnchorFile(file).append(Anchor("another-journal", 34, "0" * 64, 1))
    tampered(engine, f"INSERT INTO anchors (seq, place, hash, at_us) VALUES (34, 'file', '{last}', 1)")
    tampered(engine, f"INSERT INTO anchors (seq, place, hash, at_us) VALUES (34, 'notary', '{last}', 1)")
    assert verify(engine, file).ok
    AnchorFile(file).append(Anchor(mine, 35, "1" * 64, 1))
    AnchorFile(file).append(Anchor(mine, 33, "2" * 64, 1))
    assert list(verify(engine, file).problems) == [
        f"{file} notes another record 33 than the journal has: it was rewritten",
        f"{file} notes record 35, the journal ends at 34: it was cut or restored",
    ]
    file.write_text("")
    assert list(verify(engine, file).problems) == [f"the anchor of record 34 is no more in {file}"]


def test_no_more_is_told_than_a_person_reads(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "MOST_PROBLEMS", 5)
    tampered(engine, "DELETE FROM journal_identity")
    report = verify(engine)
    assert (report.verdict, len(report.problems)) == (AuditVerdict.CORRUPT, 5)
    assert len(str(report).splitlines()) == 6
