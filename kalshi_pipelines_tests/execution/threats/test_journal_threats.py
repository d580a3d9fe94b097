"""Tests of the threats that the journal itself stops: crashes, races, clocks, disks and changes by other programs."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import AuditVerdict, verify
from kalshi_pipelines.execution.journal.anchors import Anchor, AnchorFile
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.errors import (
    AlreadyPlanned,
    AnchorsNotTrusted,
    IdempotencyConflict,
    JournalOutdated,
    JournalRefused,
    JournalRestored,
    JournalUnavailable,
)
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Details, Fill, Mode, ScopeKind
from kalshi_pipelines.execution.journal.tables import audit_log, intents, kill_events, order_events
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.states import OrderState, Writer
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.units import microseconds
from kalshi_pipelines_tests.support.execution.order_steps import (
    ACCOUNT,
    EVENT,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    TICKER,
    Clock,
    OrderSteps,
    caps,
    new_session,
    next_session,
    open_session,
    order_steps,
)
from kalshi_pipelines_tests.support.execution.tampering import tamper

Rows = list[tuple[object, ...]]


def race(case: str, url: str, processes: int) -> list[str]:
    finished = subprocess.run(
        [sys.executable, "-m", "kalshi_pipelines_tests.support.execution.racing", case, url, str(processes)],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    results: list[str] = json.loads(finished.stdout)
    return results


def standing(steps: OrderSteps, kind: ScopeKind, key: str) -> tuple[int, int]:
    with steps.journal.reading() as reading:
        (found,) = reading.ledger.standings(ACCOUNT, Mode.LIVE, {kind: key})
    return found.orders, found.worst_microdollars


def only_intent(steps: OrderSteps) -> int:
    with steps.journal._engine.connect() as connection:
        return int(connection.execute(sa.select(intents.c.intent_id)).scalar_one())


Opening = Callable[..., sa.Engine]
Reopening = Callable[[str], OrderSteps]


@pytest.fixture
def opened() -> Iterator[Opening]:
    """Return a function that opens journals; all are closed after the test."""
    engines: list[sa.Engine] = []

    def open_one(url: str, *wait: float) -> sa.Engine:
        engines.append(open_journal(url, *wait))
        return engines[-1]

    yield open_one
    for engine in engines:
        engine.dispose()


@pytest.fixture
def url(journal_url: str) -> str:
    """Return the URL of a journal with an open session. This process keeps no connection to the journal."""
    engine = open_journal(journal_url)
    order_steps(engine, caps(session=(5, 10**15, 200_000_000)))
    engine.dispose()
    return journal_url


@pytest.fixture
def steps_of(opened: Opening) -> Reopening:
    """Return a function that opens a journal in the state that other processes left."""

    def reopen(url: str) -> OrderSteps:
        clock = Clock()
        return OrderSteps(Journal(opened(url), "sandbox", clock_us=clock), clock)

    return reopen


def test_F01_process_killed_after_planning_has_sent_and_reserved_nothing(url: str, steps_of: Reopening) -> None:
    assert race("die_planned", url, 1) == ["SIGKILL"]
    steps = steps_of(url)
    with steps.journal.writing() as transaction:
        intent = transaction.reading.orders.intent(only_intent(steps))
        assert intent.state is OrderState.PLANNED
        assert transaction.reading.ledger.standings(ACCOUNT, Mode.LIVE, {ScopeKind.ACCOUNT: "account"}) == []
        transaction.orders.deny(intent, DenialReason.CRASHED_BEFORE_SENDING, "the process ended")
    assert verify(steps.journal._engine).ok


def test_F02_reservation_of_a_killed_process_is_released_by_recovery(url: str, steps_of: Reopening) -> None:
    assert race("die_reserved", url, 1) == ["SIGKILL"]
    steps = steps_of(url)
    assert standing(steps, ScopeKind.ACCOUNT, "account") == (1, 5_200_000)
    with steps.journal.writing() as transaction:
        (left,) = transaction.reading.orders.open_intents(ACCOUNT)
        transaction.orders.abandon(left, DenialReason.CRASHED_BEFORE_SENDING, "the process ended")
    assert standing(steps, ScopeKind.ACCOUNT, "account") == (1, 0)
    assert verify(steps.journal._engine).ok


@pytest.mark.parametrize("point", ["sending", "about to send"])
def test_F03_process_killed_at_sending_leaves_an_order_that_blocks_its_market(
    url: str, point: str, steps_of: Reopening
) -> None:
    assert race(f"die_{point}", url, 1) == ["SIGKILL"]
    steps = steps_of(url)
    with steps.journal.writing() as transaction:
        (left,) = transaction.reading.orders.open_intents(ACCOUNT)
    if point == "about to send":
        assert left.state is OrderState.RESERVED
        return
    with steps.journal.writing() as transaction:
        transaction.orders.record_answer(left, OrderState.UNKNOWN, writer=Writer.RECONCILER)
    other = steps.reserve()
    with pytest.raises(JournalRefused, match="unresolved"):
        steps.record_sending(other)
    assert standing(steps, ScopeKind.ACCOUNT, "account") == (2, 10_400_000)
    assert verify(steps.journal._engine).ok


def test_F04_order_found_at_the_exchange_keeps_its_reservation(steps: OrderSteps) -> None:
    unknown = steps.record_sent()
    with steps.journal.writing() as transaction:
        unknown = transaction.orders.record_answer(unknown, OrderState.UNKNOWN, writer=Writer.RECONCILER)
        transaction.orders.record_answer(unknown, OrderState.RESTING, order_id="order-0001", writer=Writer.RECONCILER)
    assert standing(steps, ScopeKind.ACCOUNT, "account") == (1, 5_200_000)
    steps.record_sending(steps.reserve())


@pytest.mark.parametrize("point", ["inside"])
def test_F05_uncommitted_transaction_leaves_nothing(url: str, point: str, steps_of: Reopening) -> None:
    assert race(f"die_{point}", url, 1) == ["SIGKILL"]
    steps = steps_of(url)
    with steps.journal._engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(intents)) == 0
    assert verify(steps.journal._engine).ok


def test_F12_sixteen_processes_send_one_order_once(url: str, steps_of: Reopening) -> None:
    steps = steps_of(url)
    steps.reserve()
    steps.journal._engine.dispose()
    results = Counter(race("send_the_same", url, 16))
    assert results["sent"] == 1, results
    assert sum(results.values()) == 16
    assert set(results) <= {"sent", "send_guard:unresolved", "pk_order_events", "foreign_key"}, results
    assert verify(steps.journal._engine).ok


def test_F12_one_signal_in_many_processes_is_one_order(url: str, steps_of: Reopening) -> None:
    results = race("order_the_same_signal", url, 8)
    assert results.count("reserved") == 1, results
    assert {each for each in results if each != "reserved"} == {f"intent {only_intent(steps_of(url))}"}


def test_F13_eight_processes_get_the_five_orders_the_cap_allows(url: str, steps_of: Reopening) -> None:
    results = race("order_what_others_do_not", url, 8)
    assert sum(map(int, results)) == 5, results
    steps = steps_of(url)
    assert standing(steps, ScopeKind.SESSION, "session-0001") == (5, 5 * 5_200_000)
    assert verify(steps.journal._engine).ok


def test_F14_second_live_session_opens_only_after_the_lease_of_the_first(steps: OrderSteps) -> None:
    group = "9b2f2c4e-0000-4000-8000-000000000002"
    with pytest.raises(JournalRefused), steps.journal.writing() as transaction:
        open_session(transaction, new_session("session-0002"), group)
    with steps.journal.writing() as transaction:
        open_session(transaction, new_session("session-dry1", mode=Mode.DRY_RUN))
        transaction.sessions.renew_lease("session-0001", steps.clock() + SECOND)
    steps.clock.now_us += SECOND
    with steps.journal.writing() as transaction:
        open_session(transaction, new_session("session-0002", now_us=steps.clock()), group)
        assert transaction.reading.sessions.live_session(ACCOUNT) == "session-0002"
        assert not transaction.sessions.renew_lease("session-0001", steps.clock() + HOUR)


def test_F15_repeated_signal_returns_its_order_and_makes_no_other(steps: OrderSteps) -> None:
    new = steps.intent()
    with steps.journal.writing() as transaction:
        intent = transaction.orders.plan(new)
    with pytest.raises(AlreadyPlanned) as again, steps.journal.writing() as transaction:
        transaction.orders.plan(new)
    assert again.value.intent.intent_id == intent.intent_id
    changed = steps.intent(idempotency_key=new.idempotency_key, price_centicents=5_100)
    with pytest.raises(IdempotencyConflict), steps.journal.writing() as transaction:
        transaction.orders.plan(changed)


def test_F17_order_past_its_validity_is_not_sent(steps: OrderSteps) -> None:
    intent = steps.reserve(valid_until_us=steps.clock() + SECOND)
    steps.clock.now_us += SECOND + 1
    with pytest.raises(JournalRefused, match="stale"):
        steps.record_sending(intent)


def midnight_steps(engine: sa.Engine, midnight: datetime) -> OrderSteps:
    steps = order_steps(engine)
    steps.clock.now_us = microseconds(midnight) - MINUTE
    next_session(steps, 2)
    return steps


@pytest.mark.parametrize(
    "midnight",
    [
        datetime(2026, 11, 24, 5, tzinfo=UTC),
        datetime(2027, 3, 15, 4, tzinfo=UTC),  # The clocks have gone forward in New York the day before.
        datetime(2027, 11, 8, 5, tzinfo=UTC),  # The clocks have gone back in New York the day before.
    ],
)
def test_F19_new_day_begins_with_all_open_amounts(sqlite_journal: sa.Engine, midnight: datetime) -> None:
    steps = midnight_steps(sqlite_journal, midnight)
    resting = steps.record_sent()
    with steps.journal.writing() as transaction:
        transaction.orders.record_answer(resting, OrderState.RESTING, order_id="order-0001")
        fill = Fill("f-1", "order-0001", TICKER, Side.BID, 5_000, 400, 0, steps.clock())
        transaction.fills.record(fill, transaction.reading.orders.intent(resting.intent_id))
    before = standing(steps, ScopeKind.DAY, previous_day(midnight))[1]
    steps.clock.now_us += 2 * MINUTE
    steps.reserve(ticker=f"{EVENT}-T2")
    today = f"{midnight:%Y-%m-%d}"
    assert standing(steps, ScopeKind.DAY, today) == (1, before + 5_200_000)
    steps.clock.now_us -= 2 * MINUTE
    with steps.journal.writing() as transaction:
        transaction.orders.record_answer(
            transaction.reading.orders.intent(resting.intent_id), OrderState.CANCELED, filled_centicontracts=400
        )
    assert standing(steps, ScopeKind.DAY, today)[1] == 400 * 5_000 + 5_200_000
    steps.reserve(ticker=f"{EVENT}-T3")
    assert standing(steps, ScopeKind.DAY, today)[0] == 2, "a clock that goes back reopens no day"
    assert verify(sqlite_journal).ok


def previous_day(midnight: datetime) -> str:
    return f"{midnight - timedelta(days=1):%Y-%m-%d}"


def test_F20_wait_for_a_locked_sqlite_journal_is_short(sqlite_journal_url: str, opened: Opening) -> None:
    steps = order_steps(opened(sqlite_journal_url))
    impatient = Journal(opened(sqlite_journal_url, 0.05), "sandbox", clock_us=steps.clock)
    intent = steps.reserve()
    with closing(sqlite3.connect(sqlite_journal_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalUnavailable, match="locked"), impatient.writing() as transaction:
            transaction.orders.record_sending(intent, "1.0+test")
    assert steps.reload(intent).state is OrderState.RESERVED
    steps.record_sending(intent)


def test_F20_wait_for_a_row_lock_in_postgres_is_short(postgres_journal_url: str, opened: Opening) -> None:
    steps = order_steps(opened(postgres_journal_url))
    impatient = opened(postgres_journal_url)
    sa.event.listen(impatient, "begin", lambda connection: connection.exec_driver_sql("SET lock_timeout = '50ms'"))
    second = Journal(impatient, "sandbox").writing()
    with steps.journal.writing(), pytest.raises(JournalUnavailable, match="lock"):
        second.__enter__()


def test_F21_full_disk_stores_nothing_of_an_order(sqlite_journal: sa.Engine) -> None:
    steps = order_steps(sqlite_journal)
    intent = steps.reserve()
    with sqlite_journal.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        pages = driver.execute("PRAGMA page_count").fetchone()[0]
        driver.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(JournalUnavailable, match="full"), steps.journal.writing() as transaction:
        transaction.orders.plan(steps.intent(), Details(facts={"padding": "x" * 100_000}))
    stored = verify(sqlite_journal)
    assert stored.ok, str(stored)
    with sqlite_journal.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA max_page_count = 1000000")
    steps.record_sending(intent)


def test_F21_read_only_journal_sends_nothing(sqlite_journal: sa.Engine) -> None:
    steps = order_steps(sqlite_journal)
    intent = steps.reserve()
    with sqlite_journal.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA query_only = ON")
    with pytest.raises(JournalUnavailable, match="readonly"):
        steps.record_sending(intent)
    assert steps.reload(intent).state is OrderState.RESERVED


def test_F22_backup_older_than_a_change_of_the_kill_switch_is_not_armed(
    sqlite_journal: sa.Engine, tmp_path: Path, opened: Opening
) -> None:
    steps = order_steps(sqlite_journal, anchor_file=tmp_path / "anchors.jsonl")
    for number in range(2):
        backup = tmp_path / f"backup{number}.db"
        with (
            closing(sqlite3.connect(str(sqlite_journal.url.database))) as source,
            closing(sqlite3.connect(backup)) as copy,
        ):
            source.backup(copy)
        with steps.journal.writing() as transaction:
            if transaction.reading.halts.kill_state().engaged:
                transaction.halts.release("grace", "looked at it")
            else:
                transaction.halts.engage(1, "operator", "bob", "stop")
        steps.journal.require_trusted_anchors()
        restored = Journal(
            opened(f"sqlite:///{backup}"), "sandbox", clock_us=steps.clock, anchor_file=tmp_path / "anchors.jsonl"
        )
        with pytest.raises(JournalRestored, match="is missing"):
            restored.require_trusted_anchors()


def test_F22_journal_restored_from_a_backup_is_not_armed(
    sqlite_journal: sa.Engine, tmp_path: Path, opened: Opening
) -> None:
    file = tmp_path / "anchors.jsonl"
    steps = order_steps(sqlite_journal, anchor_file=file)
    steps.journal.require_trusted_anchors()
    backup = tmp_path / "backup.db"
    with closing(sqlite3.connect(str(sqlite_journal.url.database))) as source, closing(sqlite3.connect(backup)) as copy:
        source.backup(copy)
    steps.record_sent()
    steps.journal.anchor()
    steps.journal.require_trusted_anchors()
    restored = Journal(opened(f"sqlite:///{backup}"), "sandbox", clock_us=steps.clock, anchor_file=file)
    with pytest.raises(JournalRestored, match="is missing"):
        restored.require_trusted_anchors()
    report = verify(opened(f"sqlite:///{backup}"), file)
    assert report.verdict is AuditVerdict.CORRUPT
    assert "cut or restored" in str(report)
    assert verify(sqlite_journal, file).ok
    for _ in range(3):
        with restored.writing() as transaction:
            transaction.audit.append("note", {})
    with pytest.raises(JournalRestored, match="has another hash"):
        restored.require_trusted_anchors()


def test_F22_new_journal_beside_the_anchors_of_another_is_not_armed(
    sqlite_journal: sa.Engine, tmp_path: Path, opened: Opening
) -> None:
    """With a new journal, trading could use up every cap again, and could send an earlier signal again."""
    file = tmp_path / "anchors.jsonl"
    other = Anchor("f" * 32, 3, "a" * 64, 1)
    AnchorFile(file).append(other)
    steps = order_steps(sqlite_journal, anchor_file=file)
    with pytest.raises(JournalRestored, match=f"another journal \\({'f' * 32}\\)"):
        steps.journal.require_trusted_anchors()
    assert verify(sqlite_journal, file).ok
    file.unlink()
    with pytest.raises(AnchorsNotTrusted, match="is not there"):
        steps.journal.require_trusted_anchors()


@pytest.mark.parametrize("guard", ["send", "order_events_no_update", "post"])
def test_F23_removed_guard_is_noticed_before_anything_is_sent(journal_engine: sa.Engine, guard: str) -> None:
    steps = order_steps(journal_engine)
    with journal_engine.begin() as connection:
        if journal_engine.dialect.name == "sqlite":
            connection.exec_driver_sql(f"DROP TRIGGER guard_{guard}")
        else:
            table, name = {
                "send": ("order_events", "guard_send"),
                "post": ("postings", "guard_post"),
                "order_events_no_update": ("order_events", "guard_order_events_append_only"),
            }[guard]
            connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
    with pytest.raises(JournalOutdated, match="missing or changed"):
        Journal(journal_engine, "sandbox", clock_us=steps.clock)
    assert verify(journal_engine).verdict is AuditVerdict.CORRUPT


def test_F24_order_whose_audit_cannot_be_written_is_not_sent(steps: OrderSteps) -> None:
    intent = steps.reserve()
    with steps.journal._writing.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(
                "CREATE TRIGGER no_audit BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'no audit'); END"
            )
        else:
            connection.exec_driver_sql("ALTER TABLE audit_log ADD CONSTRAINT no_audit CHECK (seq < 0) NOT VALID")
    with pytest.raises(JournalRefused):
        steps.record_sending(intent)
    assert steps.reload(intent).state is OrderState.RESERVED


def test_F34_order_that_turns_the_position_reserves_for_the_part_it_opens(steps: OrderSteps) -> None:
    held = steps.record_sent(fee_bound_microdollars=0)
    with steps.journal.writing() as transaction:
        fill = Fill("f-1", "order-0001", TICKER, Side.BID, 5_000, 1_000, 0, NOON)
        transaction.fills.record(fill, held)
        transaction.orders.record_answer(
            transaction.reading.orders.intent(held.intent_id),
            OrderState.EXECUTED,
            order_id="order-0001",
            filled_centicontracts=1_000,
        )
    closing_order = {"side": Side.ASK, "fee_bound_microdollars": 0}
    steps.reserve(**closing_order)
    assert standing(steps, ScopeKind.ACCOUNT, "account")[1] == 5_000_000
    steps.reserve(**closing_order, count_centicontracts=3_000)
    # The account paid $5.00 for 10 contracts, and received $20.00 for selling 40 contracts at $0.50. If YES wins,
    # being short 30 contracts costs $30.00, so the worst loss is $15.00.
    assert standing(steps, ScopeKind.ACCOUNT, "account")[1] == 15_000_000


def test_F40_caps_of_a_running_session_cannot_be_changed(steps: OrderSteps) -> None:
    for statement in (
        "UPDATE sessions SET order_worst_cap_microdollars = 1",
        "UPDATE session_caps SET worst_cap_microdollars = 1",
        "DELETE FROM session_caps",
        "INSERT INTO session_caps VALUES ('session-0001', 'day', 1, 1, 1)",
    ):
        with pytest.raises(JournalRefused), steps.journal.writing() as transaction:
            transaction._connection.exec_driver_sql(statement)


def test_F41_nothing_is_sent_after_the_kill_switch_is_engaged(journal_url: str, opened: Opening) -> None:
    engine = opened(journal_url)
    steps = order_steps(engine)
    engine.dispose()
    results = race("send_until_stopped", journal_url, 6)
    assert all(each.endswith("send_guard:kill") for each in results), results
    with engine.connect() as connection:
        engaged = connection.scalar(sa.select(sa.func.max(kill_events.c.audit_seq)))
        sent = connection.scalars(
            sa.select(order_events.c.audit_seq).where(order_events.c.to_state == OrderState.SENDING.value)
        ).all()
    assert sent
    assert engaged is not None
    assert max(sent) < engaged
    assert verify(steps.journal._engine).ok


def test_F48_cancel_after_a_partial_fill_releases_only_the_rest(steps: OrderSteps) -> None:
    intent = steps.record_sent()
    with steps.journal.writing() as transaction:
        intent = transaction.orders.record_answer(intent, OrderState.RESTING, order_id="order-0001")
        transaction.fills.record(Fill("f-1", "order-0001", TICKER, Side.BID, 5_000, 300, 20_000, NOON), intent)
    assert standing(steps, ScopeKind.ACCOUNT, "account")[1] == 5_200_000
    with steps.journal.writing() as transaction:
        transaction.orders.record_answer(
            transaction.reading.orders.intent(intent.intent_id), OrderState.CANCELED, filled_centicontracts=300
        )
    assert standing(steps, ScopeKind.ACCOUNT, "account")[1] == 300 * 5_000 + 20_000
    assert verify(steps.journal._engine).ok


def test_F49_repeated_and_unordered_fills_count_once(journal_engine: sa.Engine) -> None:
    steps = order_steps(journal_engine)
    fills = [Fill(f"f-{number}", "order-0001", TICKER, Side.BID, 5_000, 100, 10_000, NOON) for number in range(3)]
    results: list[tuple[int, int]] = []
    for order in ((0, 1, 2), (2, 0, 1, 2, 0)):
        intent = steps.record_sent(ticker=f"{TICKER}{len(results)}", event_ticker=f"KXE{len(results)}")
        for number in order:
            with steps.journal.writing() as transaction:
                fill = fills[number]
                named = Fill(
                    f"{fill.fill_id}-{len(results)}", "order-0001", intent.ticker, fill.side, fill.price_centicents,
                    fill.count_centicontracts, fill.fee_microdollars, NOON,
                )  # fmt: skip
                transaction.fills.record(named, transaction.reading.orders.intent(intent.intent_id))
        results.append(standing(steps, ScopeKind.EVENT, intent.event_ticker))
        assert steps.reload(intent).filled_centicontracts == 300
    assert results[0] == results[1]
    assert verify(journal_engine).ok


def test_F50_fee_above_its_bound_is_stored_and_stops_trading(steps: OrderSteps) -> None:
    intent = steps.record_sent(fee_bound_microdollars=1_000)
    with steps.journal.writing() as transaction:
        assert transaction.fills.record(Fill("f-1", "order-0001", TICKER, Side.BID, 5_000, 1_000, 2_000, NOON), intent)
        assert transaction.reading.halts.kill_state().engaged
        assert "fee" in transaction.reading.halts.kill_state().reason
    assert standing(steps, ScopeKind.ACCOUNT, "account")[1] == 5_002_000


def test_F51_inexact_amounts_are_refused_by_the_database(steps: OrderSteps) -> None:
    intent = steps.plan()
    with steps.journal._engine.connect() as connection:
        stored = connection.execute(sa.select(intents).where(intents.c.intent_id == intent.intent_id)).mappings().one()
    for column in ("notional_microdollars", "reserved_if_no_microdollars", "reserved_if_yes_microdollars"):
        changed = {"idempotency_key": "a" * 64, "client_order_id": "kx1-other", column: stored[column] + 1}
        with pytest.raises(JournalRefused, match="ck_intents"), steps.journal.writing() as transaction:  # noqa: PT012
            row = {**stored, **changed, "intent_id": transaction.audit.append("note", {})}
            transaction._connection.execute(intents.insert(), row)


def test_F56_another_code_version_than_the_session_s_sends_nothing(steps: OrderSteps) -> None:
    intent = steps.reserve()
    with pytest.raises(JournalRefused, match="code_version"):
        steps.record_sending(intent, "0.9+old")


def test_F59_many_small_orders_reach_the_caps_on_rate_and_number(steps: OrderSteps) -> None:
    tiny = {"count_centicontracts": 1, "fee_bound_microdollars": 0}
    reasons: Counter[str] = Counter()
    for _ in range(64):
        with steps.journal.writing() as transaction:
            intent = transaction.orders.plan(steps.intent(**tiny))
            refusal = transaction.ledger.refusal(intent)
            if refusal is None:
                transaction.orders.reserve(intent)
            else:
                transaction.orders.deny(intent, refusal.reason, refusal.detail)
        reasons[refusal.reason.code if refusal else "admitted"] += 1
    assert reasons == {"admitted": 25, "cap_order_count": 35, "cap_message_rate": 4}
    with steps.journal.writing() as transaction:
        for _ in range(3):
            transaction.orders.record_attempt(steps.session_id, denial=DenialReason.INVALID_PROPOSAL)
        assert transaction.reading.orders.attempts_in_last_minute(ACCOUNT, Mode.LIVE, steps.clock()) == 67


def test_F60_markets_of_one_event_add_up_without_credit(journal_engine: sa.Engine) -> None:
    steps = order_steps(journal_engine, caps(event=(100, 10**15, 5 * 5_000_000)))
    for number in range(5):
        side = Side.BID if number % 2 else Side.ASK
        steps.reserve(ticker=f"{EVENT}-T{number}", side=side, fee_bound_microdollars=0)
    assert standing(steps, ScopeKind.EVENT, EVENT) == (5, 25_000_000)
    beyond = steps.plan(ticker=f"{EVENT}-T9", count_centicontracts=1, fee_bound_microdollars=0)
    with pytest.raises(JournalRefused, match="cap_worst_loss"), steps.journal.writing() as transaction:
        transaction.orders.reserve(beyond)


TAMPERED = {
    "a byte of a body": "UPDATE audit_log SET body = replace(body, 'ada', 'adb') WHERE kind = 'session'",
    "a record's kind": "UPDATE audit_log SET kind = 'note' WHERE kind = 'plan'",
    "a record in the middle": "DELETE FROM audit_log WHERE seq = 4",
    "the last record": "DELETE FROM audit_log WHERE seq = (SELECT max(seq) FROM audit_log)",
    "an intent's price": "UPDATE intents SET price_centicents = 4000",
    "an event's time": "UPDATE order_events SET at_us = at_us + 1 WHERE to_state = 'sending'",
    "an event that is gone": "DELETE FROM order_events WHERE to_state = 'sending'",
    "a counter": "UPDATE scopes SET worst_microdollars = 0 WHERE kind = 'account'",
    "a market's counter": "UPDATE scope_markets SET if_no_microdollars = 0",
    "a posting": "DELETE FROM postings WHERE scope_id = 1",
    "an amount of a posting": "UPDATE postings SET d_if_no_microdollars = 1",
    "a cap": "UPDATE session_caps SET worst_cap_microdollars = 1 WHERE kind = 'day'",
    "the list of open orders": "DELETE FROM open_intents",
    "a kill event": "UPDATE kill_events SET reason = 'nothing'",
    "whose journal it is": "UPDATE journal_identity SET database_id = 'another-database'",
    "a session's host": "UPDATE sessions SET armed_by = 'nobody'",
}


@pytest.mark.parametrize("what", TAMPERED)
def test_F25_every_change_behind_the_code_is_found(sqlite_journal: sa.Engine, what: str) -> None:
    steps = order_steps(sqlite_journal)
    steps.record_sent()
    assert verify(sqlite_journal).ok
    tamper(sqlite_journal, TAMPERED[what])
    report = verify(sqlite_journal)
    assert report.verdict is AuditVerdict.CORRUPT, what
    assert report.problems


def test_F25_changes_behind_the_code_are_found_in_postgres(postgres_journal_url: str, opened: Opening) -> None:
    engine = opened(postgres_journal_url)
    steps = order_steps(engine)
    steps.record_sent()
    assert verify(engine).ok
    found: set[str] = set()
    for what in ("an event's time", "a counter", "a kill event", "a byte of a body"):
        tamper(engine, TAMPERED[what])
        problems = set(verify(engine).problems)
        assert problems > found, what
        found = problems


def test_F25_rewritten_journal_is_found_by_its_anchors(sqlite_journal: sa.Engine, tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    steps = order_steps(sqlite_journal, anchor_file=file)
    steps.journal.anchor()
    other = tmp_path / "other.db"
    shutil.copy(str(sqlite_journal.url.database), other)
    with sqlite_journal.connect() as connection:
        head = connection.execute(sa.select(audit_log.c.hash).order_by(audit_log.c.seq.desc()).limit(1)).scalar_one()
    lines = file.read_text().replace(head, "0" * 64)
    file.write_text(lines)
    report = verify(sqlite_journal, file)
    assert report.verdict is AuditVerdict.CORRUPT
    assert "rewritten" in str(report)
    os.truncate(file, 0)
    assert "is missing from" in str(verify(sqlite_journal, file))
