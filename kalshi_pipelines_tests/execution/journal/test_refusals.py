"""Tests that the journal's database refuses every illegal row, from any program, and names the rule."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.journal.errors import JournalRefused
from kalshi_pipelines.execution.journal.guards import NEVER_CHANGED, lower_guards
from kalshi_pipelines.execution.journal.records import (
    Binding,
    EvidenceItem,
    Fill,
    ForeignOrder,
    Intent,
    Mode,
    NewIntent,
    Origin,
    ScopeKind,
    Signature,
    SweepReading,
)
from kalshi_pipelines.execution.journal.tables import APPEND_ONLY, metadata, postings, scopes
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.journal.writing.admission_figures import AdmissionFigureReader
from kalshi_pipelines.execution.journal.writing.scopes import ScopeWriter
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.request import OrderRequest
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import ClientOrderId, OrderId, Side, TimeInForce
from kalshi_pipelines.units import now_us
from kalshi_pipelines_tests.support.execution.order_steps import (
    ACCOUNT,
    GROUP,
    HOUR,
    MINUTE,
    NOON,
    TICKER,
    WIDE,
    OrderSteps,
    caps,
    forge,
    new_session,
    open_session,
    order_steps,
)
from kalshi_pipelines_tests.support.execution.unsendable import SENDING, unknown_order

ROW_COUNTS: sa.CompoundSelect[str, int] = sa.union_all(
    *(
        sa.select(sa.literal_column(f"'{name}'"), sa.func.count()).select_from(table)
        for name, table in metadata.tables.items()
    )
)
Attempt = Callable[[JournalTransaction, OrderSteps], object]


def refused(steps: OrderSteps, attempt: Attempt) -> str:
    """Return the rule by which the database refused a write, after checking that nothing was stored."""
    before = rows_of(steps)
    with pytest.raises(JournalRefused) as raised, steps.journal.writing() as transaction:
        attempt(transaction, steps)
    assert rows_of(steps) == before
    return raised.value.rule


def rows_of(steps: OrderSteps) -> dict[str, int]:
    with steps.journal._engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(ROW_COUNTS)}


def sql(transaction: JournalTransaction, statement: str) -> None:
    transaction._connection.exec_driver_sql(statement)


def audited(transaction: JournalTransaction) -> int:
    return transaction.audit.append("note", {})


def event(transaction: JournalTransaction, intent: Intent, **changed: object) -> None:
    """Insert an order event by plain SQL, as another program could."""
    values: dict[str, Any] = {
        "intent_id": intent.intent_id,
        "seq": intent.state_seq + 1,
        "mode": intent.mode.value,
        "to_state": "reserved",
        "prev_seq": intent.state_seq,
        "from_state": intent.state.value,
        "at_us": transaction.now_us,
        "writer": "executor",
        "audit_seq": audited(transaction),
    }
    values.update(changed)
    transaction._connection.execute(metadata.tables["order_events"].insert(), values)


def test_order_passes_every_guard_when_nothing_is_wrong(steps: OrderSteps) -> None:
    intent = steps.record_sent()
    with steps.journal.writing() as transaction:
        transaction.orders.record_answer(intent, OrderState.RESTING, order_id="order-0001")
    with steps.journal.writing() as transaction:
        transaction.orders.record_answer(steps.reload(intent), OrderState.CANCELED, filled_centicontracts=0)
    assert steps.reload(intent).state is OrderState.CANCELED


LIFE_CYCLE: dict[str, tuple[dict[str, object], str]] = {
    "a jump over reserved": ({"to_state": "resting", "order_id": "order-0001"}, "planned"),
    "straight from planned to sending": ({"to_state": "sending", "code_version": "1.0+test"}, "planned"),
    "a forged state before": ({"from_state": "sending", "to_state": "unknown"}, "planned"),
    "a skipped number": ({"seq": 9, "prev_seq": 8}, "planned"),
    "a number without the one before": ({"seq": 9}, "planned"),
    "a second beginning": ({"seq": 1, "prev_seq": None, "from_state": None, "to_state": "planned"}, "planned"),
    "a fork": (
        {"seq": 2, "prev_seq": 1, "from_state": "planned", "to_state": "denied", "denial": "not_armed"}, "reserved"
    ),
    "reserved again": ({"to_state": "reserved"}, "reserved"),
    "life after the end": ({"to_state": "reserved"}, "denied"),
    "sending again": ({"to_state": "sending", "code_version": "1.0+test"}, "sending"),
    "absent without proof": ({"to_state": "absent", "writer": "reconciler"}, "unknown"),
    "absent with a proof that is not there": (
        {"to_state": "absent", "writer": "reconciler", "resolution_id": 1}, "unknown"
    ),
    "absent found by the executor": ({"to_state": "absent", "resolution_id": 1}, "unknown"),
    "simulated though live": ({"to_state": "simulated"}, "reserved"),
    "of another mode than its intent": ({"mode": "dry_run"}, "planned"),
    "denied without a reason": ({"to_state": "denied"}, "planned"),
    "denied for no known reason": ({"to_state": "denied", "denial": "bored"}, "planned"),
    "resting without the exchange's id": ({"to_state": "resting"}, "sending"),
    "an end that does not say what was filled": ({"to_state": "canceled"}, "sending"),
    "sent by no version": ({"to_state": "sending"}, "reserved"),
    "a state nobody knows": ({"to_state": "lost"}, "sending"),
    "without an audit record": ({"audit_seq": 10_000}, "planned"),
    "under the audit record of another event": ({"audit_seq": 6}, "planned"),
    "of no intent": ({"intent_id": 9_999}, "planned"),
}  # fmt: skip


def in_state(steps: OrderSteps, state: str) -> Intent:
    """Return an order in the given state, in a market that no other order uses."""
    market = {"ticker": f"KX{state.upper()}-1", "event_ticker": f"KX{state.upper()}"}
    if state == "planned":
        return steps.plan(**market)
    if state == "denied":
        with steps.journal.writing() as transaction:
            return transaction.orders.deny(transaction.orders.plan(steps.intent(**market)), DenialReason.NOT_ARMED, "")
    if state == "reserved":
        return steps.reserve(**market)
    intent = steps.record_sent(**market)
    if state == "unknown":
        with steps.journal.writing() as transaction:
            return transaction.orders.record_answer(intent, OrderState.UNKNOWN)
    return intent


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "keys alone"])
def test_event_not_allowed_by_the_previous_event_is_refused(steps: OrderSteps, guarded: bool) -> None:
    """Foreign keys and partial unique indexes refuse a wrong order event even if every trigger is removed."""
    intents = {state: in_state(steps, state) for state in ("planned", "denied", "reserved", "sending", "unknown")}
    if not guarded:
        with steps.journal._writing.begin() as connection:
            lower_guards(connection)
    for wrong, (changed, state) in LIFE_CYCLE.items():
        assert refused(steps, lambda transaction, _: event(transaction, intents[state], **changed)), wrong  # noqa: B023


def resting(steps: OrderSteps) -> Intent:
    intent = steps.record_sent()
    with steps.journal.writing() as transaction:
        return transaction.orders.record_answer(intent, OrderState.RESTING, order_id="order-0001")


def test_order_id_of_a_second_intent_is_refused(steps: OrderSteps) -> None:
    resting(steps)
    other = steps.record_sent(ticker="KXOTHER-1", event_ticker="KXOTHER")

    def twice(transaction: JournalTransaction, _: OrderSteps) -> None:
        transaction.orders.record_answer(other, OrderState.RESTING, order_id="order-0001")

    assert refused(steps, twice)


def test_change_or_deletion_of_an_append_only_row_is_refused(steps: OrderSteps) -> None:
    fill_every_table(steps)
    for table in APPEND_ONLY:
        with steps.journal._engine.connect() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(table)), table.name
        column = table.columns.keys()[0]
        for statement in (f"UPDATE {table.name} SET {column} = {column}", f"DELETE FROM {table.name}"):
            rule = refused(steps, lambda transaction, _: sql(transaction, statement))  # noqa: B023
            assert rule == f"append_only:{table.name}"


def test_change_of_the_columns_that_name_a_counter_is_refused(steps: OrderSteps) -> None:
    resting(steps)
    for table, columns in NEVER_CHANGED.items():
        for column in columns.split(", "):
            statement = f"UPDATE {table} SET {column} = {column}"
            assert refused(steps, lambda transaction, _: sql(transaction, statement)) == f"append_only:{table}"  # noqa: B023


def test_emptying_a_table_is_refused(steps: OrderSteps) -> None:
    fill_every_table(steps)
    sqlite = steps.journal._engine.dialect.name == "sqlite"
    for table in sorted(metadata.tables):
        if sqlite and table in {"leases", "open_intents"}:
            continue  # Tables whose rows may be deleted. The verification of the journal recomputes their rows.
        statement = f"DELETE FROM {table}" if sqlite else f"TRUNCATE {table} CASCADE"
        assert refused(steps, lambda transaction, _: sql(transaction, statement)).startswith("append_only")  # noqa: B023


def test_replacing_the_head_of_the_chain_in_sqlite_is_refused(sqlite_journal: sa.Engine) -> None:
    steps = order_steps(sqlite_journal)
    head = "(SELECT max(seq) FROM audit_log)"
    replace_head = (
        f"INSERT OR REPLACE INTO audit_log SELECT seq, prev_seq, prev_hash, hash, kind, body FROM audit_log "
        f"WHERE seq = {head}"
    )
    assert refused(steps, lambda transaction, _: sql(transaction, replace_head)) == "append_only:audit_log"


def fill_every_table(steps: OrderSteps) -> None:
    """Store at least one row in each append-only table."""
    unknown = unknown_order(steps)
    with steps.journal.writing() as transaction:
        transaction.orders.approve(unknown.request_sha256, "grace", steps.clock() + HOUR)
        fence = transaction.evidence.record_fence(GROUP, steps.clock())
        sweep = transaction.evidence.record_sweep(
            SweepReading(fence, TICKER, steps.clock(), steps.clock() + 1, 1, "e" * 64, True)
        )
        transaction.evidence.record_resolution(unknown, fence, sweep)
        transaction.foreign_orders.record(
            ACCOUNT, ForeignOrder("foreign-1", TICKER, Side.BID, 1, 100, "test"), "KXRAIN"
        )
        transaction.fills.record_foreign(ACCOUNT, Fill("f-1", "foreign-1", TICKER, Side.BID, 1, 100, 0, NOON), "KXRAIN")
        transaction.reconciliations.record(ACCOUNT, NOON, NOON, differences=0, clean=True, report="")
        fewer = ForeignOrder("foreign-1", TICKER, Side.BID, 1, 50, "test")
        transaction.foreign_orders.record(ACCOUNT, fewer, "KXRAIN")
        signature, item = Signature("ann", "test"), EvidenceItem("foreign_fill", "f-1", "a trade")
        transaction.acknowledgements.sign(ACCOUNT, "acknowledge", "e" * 64, signature)
        transaction.acknowledgements.record(
            ACCOUNT, "acknowledge", "e" * 64, [item], signature, None, needs_second=False
        )
        transaction.orders.record_attempt("session-0001", denial=DenialReason.INVALID_PROPOSAL)
        transaction.anchor_events.record_failure(Path("/anchors"), "no space left")
        transaction.sessions.end("session-0001", "done")
        transaction._connection.execute(
            metadata.tables["proposals"].insert(), {**proposed_now(transaction), **PROPOSAL}
        )
        former = {"mode": "live", "idempotency_key": "f" * 64, "intent_id": unknown.intent_id}
        transaction._connection.execute(metadata.tables["former_keys"].insert(), former)
        used = {"arming_sha256": "a" * 64, "kind": "token", "session_id": "session-0001", "audit_seq": 1}
        transaction._connection.execute(metadata.tables["used_armings"].insert(), used)
    steps.journal.anchor("test")


def proposed_now(transaction: JournalTransaction) -> dict[str, int]:
    """Return the time of a proposal on SQLite. On Postgres the server sets it."""
    return {"proposed_us": now_us()} if transaction._connection.dialect.name == "sqlite" else {}


PROPOSAL = {
    "source": "test", "actor_kind": "agent", "actor_name": "bot", "strategy": "s",
    "strategy_version": "1", "partition": "", "signal": "x", "leg": "1", "attempt": 1, "ticker": TICKER,
    "action": "buy", "outcome": "yes", "price_centicents": 5_000, "count_centicontracts": 100,
    "time_in_force": "immediate_or_cancel", "as_of_us": NOON, "valid_until_us": NOON + MINUTE, "post_only": 0,
    "reduce_only": 0, "reason": "",
}  # fmt: skip


@pytest.mark.parametrize("case", SENDING)
def test_sending_is_refused_by_each_rule_of_the_guard(steps: OrderSteps, case: str) -> None:
    make, rule = SENDING[case]
    intent = make(steps)
    assert (
        refused(steps, lambda transaction, _: transaction.orders.record_sending(intent, "1.0+test"))
        == f"send_guard:{rule}"
    )


def test_sending_by_another_code_version_is_refused(steps: OrderSteps) -> None:
    intent = steps.reserve()
    assert (
        refused(steps, lambda transaction, _: transaction.orders.record_sending(intent, "1.1"))
        == "send_guard:code_version"
    )


def test_sending_without_a_reservation_is_refused(steps: OrderSteps) -> None:
    intent = steps.plan()

    def without_postings(transaction: JournalTransaction, _: OrderSteps) -> None:
        event(transaction, intent)
        moved = replace(intent, state=OrderState.RESERVED, state_seq=2)
        event(transaction, moved, to_state="sending", code_version="1.0+test")

    assert refused(steps, without_postings) == "send_guard:unreserved"


ELSEWHERE = {
    ScopeKind.SESSION: "session-of-mine",
    ScopeKind.DAY: "2026-11-21",
    ScopeKind.ROLLING: str(NOON // HOUR + 1),
    ScopeKind.EVENT: "KXELSE",
    ScopeKind.ACCOUNT: "account of mine",
}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_sending_with_a_reservation_in_another_scope_is_refused(
    steps: OrderSteps, kind: ScopeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order must be reserved in its own scopes. Otherwise, a program could avoid every cap by using new scopes."""
    keys = AdmissionFigureReader._keys
    monkeypatch.setattr(AdmissionFigureReader, "_keys", lambda *its: {**keys(*its), kind: ELSEWHERE[kind]})
    monkeypatch.setattr(ScopeWriter, "_carry_over", lambda *_: None)
    intent = steps.reserve()
    assert (
        refused(steps, lambda transaction, _: transaction.orders.record_sending(intent, "1.0+test"))
        == "send_guard:unreserved"
    )


def test_sending_with_a_reservation_in_a_past_day_is_refused(
    steps: OrderSteps, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.reserve()
    keys = AdmissionFigureReader._keys
    monkeypatch.setattr(AdmissionFigureReader, "_keys", lambda *its: {**keys(*its), ScopeKind.DAY: "2026-11-22"})
    intent = steps.reserve()
    assert (
        refused(steps, lambda transaction, _: transaction.orders.record_sending(intent, "1.0+test"))
        == "send_guard:unreserved"
    )


def test_two_reservations_in_a_scope_by_one_statement_cannot_hide_one(steps: OrderSteps) -> None:
    """Postgres counts the reservations of a statement together, SQLite counts them one by one."""
    first = steps.reserve()
    with steps.journal._writing.connect() as connection:
        rows = connection.execute(sa.select(postings).where(postings.c.intent_id == first.intent_id)).mappings().all()
        forged = [{**rows[0], "dedupe": f"reserve:{name}"} for name in ("one", "two")]
        if connection.dialect.name == "postgresql":
            with pytest.raises(sa.exc.IntegrityError, match="reservation:twice_in_a_scope"):
                connection.execute(sa.insert(postings).values(forged))
        else:
            connection.execute(sa.insert(postings).values(forged))
            counted = sa.select(scopes.c.orders).where(scopes.c.scope_id == rows[0]["scope_id"])
            assert connection.scalar(counted) == 3
        connection.rollback()


def test_sending_in_a_dry_run_is_refused(journal_engine: sa.Engine) -> None:
    steps = order_steps(journal_engine, mode=Mode.DRY_RUN)
    intent = steps.reserve(order_group_id=None)
    assert refused(steps, lambda transaction, _: transaction.orders.record_sending(intent, "1.0+test"))
    with steps.journal.writing() as transaction:
        assert transaction.orders.record_simulation(intent, "1.0+test").state is OrderState.SIMULATED


INTENTS: dict[str, dict[str, Any]] = {
    "a price of nothing": {"price_centicents": 0},
    "a price of a dollar": {"price_centicents": 10_000},
    "no contracts": {"count_centicontracts": 0},
    "more contracts than anybody may": {"count_centicontracts": 100_000_001},
    "a negative fee bound": {"fee_bound_microdollars": -1},
    "reduce-only that rests": {
        "reduce_only": True, "time_in_force": TimeInForce.GOOD_TILL_CANCELED, "expires_us": NOON + MINUTE
    },
    "post-only that does not rest": {"post_only": True},
    "good till canceled without an end": {"time_in_force": TimeInForce.GOOD_TILL_CANCELED},
    "an end where none can be": {"expires_us": NOON + MINUTE},
    "valid for more than ten minutes": {"valid_until_us": NOON + 10 * MINUTE + 1},
    "valid before it was known": {"valid_until_us": NOON},
    "an agent's without approval": {"actor": ActorKind.AGENT},
    "a group of no session": {"order_group_id": OrderId("00000000-0000-4000-8000-000000000000")},
    "a group of another shard": {"exchange_index": 1},
    "self-trade prevention nobody knows": {"self_trade_prevention": "none"},
}  # fmt: skip


def test_intent_that_cannot_be_an_order_is_refused(steps: OrderSteps) -> None:
    for wrong, changed in INTENTS.items():
        assert refused(steps, lambda transaction, _: transaction.orders.plan(steps.intent(**changed))), wrong  # noqa: B023


def with_text(new: NewIntent, text: str) -> NewIntent:
    """Return a copy of an order with another request text."""
    misprinted = type("Misprinted", (OrderRequest,), {"json": text})
    return replace(new, request=forge(misprinted, new.request))


@pytest.mark.parametrize(
    "sent",
    [
        {"ticker": "KXELSE-26-A"},
        {"side": Side.ASK},
        {"price_centicents": 5_001},
        {"count_centicontracts": 1_001},
        {"client_order_id": ClientOrderId("kx1-another-0001")},
        {"order_group_id": None},
        {"exchange_index": 1},
        {"time_in_force": TimeInForce.FILL_OR_KILL},
        {"reduce_only": True},
        {"post_only": True},
        {"expires_us": NOON + MINUTE},
    ],
)
def test_F27_intent_whose_request_has_other_terms_is_refused(steps: OrderSteps, sent: dict[str, Any]) -> None:
    new = steps.intent()
    same_id = {"client_order_id": new.request.client_order_id, **sent}
    other = with_text(new, steps.intent(**same_id).request.json)
    with pytest.raises(JournalRefused, match="request_terms"), steps.journal.writing() as transaction:
        transaction.orders.plan(other)
    steps.subaccount = 1
    with pytest.raises(JournalRefused, match="request_terms"), steps.journal.writing() as transaction:
        transaction.orders.plan(steps.intent())
    twice = with_text(new, new.request.json[:-1] + ',"count":"1000000.00"}')
    with pytest.raises(JournalRefused, match="request_terms"), steps.journal.writing() as transaction:
        transaction.orders.plan(twice)


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"reserved_if_no_microdollars": 5_199_999}, "ck_intents_reserved"),
        ({"request_sha256": "abc"}, "ck_intents_request_sha256"),
    ],
)
def test_intent_row_with_too_small_a_reservation_or_a_wrong_digest_is_refused(
    steps: OrderSteps, changed: dict[str, object], rule: str
) -> None:
    intent = steps.plan()

    def store(transaction: JournalTransaction, _: OrderSteps) -> None:
        row = dict(transaction._connection.execute(sa.select(metadata.tables["intents"])).mappings().one())
        row |= {"intent_id": audited(transaction), "idempotency_key": "a" * 64, "client_order_id": "kx1-another"}
        transaction._connection.execute(metadata.tables["intents"].insert(), row | changed)

    assert refused(steps, store) == rule
    assert steps.reload(intent).state is OrderState.PLANNED


SESSIONS: dict[str, dict[str, Any]] = {
    **{f"live though {origin}": {"origin": origin} for origin in Origin if origin is not Origin.BY_HAND},
    "longer than a day": {"lives_us": 24 * HOUR + 1},
    "over before it began": {"lives_us": 0},
    "live without a key": {"binding": None},
    "live without somebody who armed it": {"armed_by": None},
    "of a key that is bound to another host": {"binding": Binding(ACCOUNT, "127.0.0.1:1", "a1b2c3d4e5f60718")},
    "of a host of another environment": {
        "binding": Binding(ACCOUNT, "external-api.kalshi.com", "ffffffffffffffff")
    },
    "of another environment than the journal": {
        "account": Account("demo", 0), "binding": Binding(Account("demo", 0), "demo-api.kalshi.co", "ffffffffffffffff")
    },
    "more for an order than the code allows": {"allowed": caps(order_worst=50_000_001)},
    "more attempts than the code allows": {"allowed": caps(attempts=61)},
    "a larger position than the code allows": {"allowed": caps(position=200_001)},
    "a negative cap": {"allowed": caps(order_worst=-1)},
    **{
        f"more in a {kind} than the code allows": {
            "allowed": replace(
                WIDE,
                scopes={
                    **WIDE.scopes,
                    kind: replace(each, worst_microdollars=each.worst_microdollars + 1),
                },
            )
        }
        for kind, each in WIDE.scopes.items()
    },
    "more orders in a session than the code allows": {"allowed": caps(session=(26, 1, 1))},
    "more orders in a day than the code allows": {"allowed": caps(day=(101, 1, 1))},
}  # fmt: skip


def test_session_with_too_many_permissions_is_refused(steps: OrderSteps) -> None:
    with steps.journal.writing() as transaction:
        transaction.sessions.end(steps.session_id, "done")
    group = "9b2f2c4e-0000-4000-8000-000000000002"
    for wrong, changed in SESSIONS.items():
        session = new_session("session-0002", **changed)
        assert refused(steps, lambda transaction, _: open_session(transaction, session, group)), wrong  # noqa: B023


def test_release_by_the_person_who_engaged_is_refused(steps: OrderSteps) -> None:
    with steps.journal.writing() as transaction:
        transaction.halts.engage(2, "operator", "ada", "stop")
    assert refused(steps, lambda transaction, _: transaction.halts.release("ada", "fine again"))
    steps.release_kill_switch()
    assert refused(steps, lambda transaction, _: transaction.halts.release("grace", "again")) == "kill_not_engaged"


def test_release_of_an_older_engagement_is_refused(steps: OrderSteps) -> None:
    with steps.journal.writing() as transaction:
        transaction.halts.engage(1, "operator", "ada", "stop")
        transaction.halts.engage(2, "operator", "bob", "stop more")

    def the_older_one(transaction: JournalTransaction, _: OrderSteps) -> None:
        row = {
            "seq": 5, "prev_seq": 4, "engaged": 0, "level": 0, "source": "x", "by_whom": "bob", "reason": "x",
            "at_us": NOON, "released_seq": 3, "engaged_by": "ada", "released_engaged": 1,
            "audit_seq": audited(transaction),
        }  # fmt: skip
        transaction._connection.execute(metadata.tables["kill_events"].insert(), row)

    assert refused(steps, the_older_one)


def test_proof_of_absence_of_another_group_or_market_is_refused(steps: OrderSteps) -> None:
    unknown = unknown_order(steps)
    with steps.journal.writing() as transaction:
        transaction.sessions.add_group(steps.session_id, 1, "9b2f2c4e-0000-4000-8000-000000000009", 100)
        other = transaction.evidence.record_fence("9b2f2c4e-0000-4000-8000-000000000009", NOON)
        elsewhere = transaction.evidence.record_sweep(SweepReading(other, TICKER, NOON, NOON + 1, 1, "e" * 64, True))
        fence = transaction.evidence.record_fence(GROUP, NOON)
        partial = transaction.evidence.record_sweep(SweepReading(fence, TICKER, NOON, NOON + 1, 1, "e" * 64, False))
        market = transaction.evidence.record_sweep(SweepReading(fence, "KXOTHER-1", NOON, NOON + 1, 1, "e" * 64, True))
    for proof in ((other, elsewhere), (fence, elsewhere), (fence, partial), (fence, market)):
        assert refused(steps, lambda transaction, _: transaction.evidence.record_resolution(unknown, *proof))  # noqa: B023
    before_the_fence = SweepReading(fence, TICKER, NOON, NOON, 1, "e" * 64, True)
    assert refused(steps, lambda transaction, _: transaction.evidence.record_sweep(before_the_fence))


def test_another_program_cannot_write_to_a_sqlite_journal(sqlite_journal: sa.Engine) -> None:
    order_steps(sqlite_journal)
    with closing(sqlite3.connect(str(sqlite_journal.url.database), isolation_level=None)) as other:
        other.execute("PRAGMA foreign_keys = ON")
        columns = "proposed_us, source, actor_kind, actor_name"
        for statement in (
            f"INSERT INTO proposals ({columns}) VALUES (1, 's', 'agent', 'bot')",
            "INSERT INTO audit_log VALUES (99, 98, 'x', 'y', 'note', '{}')",
            "INSERT INTO leases VALUES ('sandbox', 0, 'session-0001', 'live', 'by_hand', 'me', 1)",
        ):
            with pytest.raises(sqlite3.DatabaseError, match=r"journal_(writer|audit_hash)|does not enforce"):
                other.execute(statement)


@pytest.mark.parametrize("pragma", ["foreign_keys = OFF", "ignore_check_constraints = ON", "recursive_triggers = OFF"])
def test_connection_with_its_checks_off_cannot_write(sqlite_journal: sa.Engine, pragma: str) -> None:
    steps = order_steps(sqlite_journal)
    with sqlite_journal.connect() as connection:
        connection.connection.driver_connection.execute(f"PRAGMA {pragma}")  # type: ignore[union-attr]
    with pytest.raises(JournalRefused, match="does not enforce"), steps.journal.writing() as transaction:
        transaction.audit.append("note", {})


def test_refusal_names_the_rule_that_refused(steps: OrderSteps) -> None:
    is_sqlite = steps.journal._engine.dialect.name == "sqlite"

    def refused(act: Callable[[JournalTransaction], object]) -> str:
        with pytest.raises(JournalRefused) as caught, steps.journal.writing() as transaction:
            act(transaction)
        assert f"({caught.value.rule})" in str(caught.value)
        return caught.value.rule

    rules = [
        refused(lambda it: it.reconciliations.record(ACCOUNT, 1, 1, differences=3, clean=True, report="r")),
        refused(lambda it: it.orders.record_attempt("session-0001", proposal_id=99)),
        refused(lambda it: it.sessions.add_group("session-0001", 0, "9b2f2c4e-0000-4000-8000-3", 100)),
    ]
    assert rules[0] == "ck_reconciliations_clean_has_no_differences"
    assert rules[1] == ("foreign_key" if is_sqlite else "fk_attempts_proposal_id_proposals")
    assert rules[2] == (
        "session_groups.session_id, session_groups.exchange_index"
        if is_sqlite
        else "uq_session_groups_session_id_exchange_index"
    )
