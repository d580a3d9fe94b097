"""Tests of sessions on a running sandbox: which of them open, how they end, and that a dry run cannot send."""

import gc
import json
import os
import platform
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor import session as sessions
from kalshi_pipelines.execution.executor.decisions import AdmittedOrder, DecisionOutcome
from kalshi_pipelines.execution.executor.dispatch import LiveDispatch, SimulatedDispatch
from kalshi_pipelines.execution.executor.executor import TradeExecutor
from kalshi_pipelines.execution.executor.planning import ExecutorInputs
from kalshi_pipelines.execution.executor.session import Opening, SessionRefused
from kalshi_pipelines.execution.gates.key import key_checks
from kalshi_pipelines.execution.gates.market_snapshot import ExchangeMarkets, UnreadableMarket
from kalshi_pipelines.execution.gates.order_checks import first_denial
from kalshi_pipelines.execution.journal.errors import JournalRefused
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Mode, Origin
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.idempotency import client_order_id, idempotency_key
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Contracts, MarketTicker
from kalshi_pipelines.execution.transport.order_transport import OrderTransport
from kalshi_pipelines.kalshi.signing import Signer
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import instant, now_us
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT
from kalshi_pipelines_tests.support.execution.sandbox_member import (
    SandboxMember,
    Trader,
    dry_trader,
    join_sandbox,
    live_trader,
    proposed,
    ready_journal,
    sandbox_with_member,
)


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxMember]:
    with sandbox_with_member(tmp_path_factory.mktemp("member")) as made:
        yield made


def _open(member: SandboxMember, journal: Journal, origin: Origin = Origin.BY_HAND, **settings: Any) -> None:
    made = member.settings(**settings)
    opening = Opening("ann", origin)
    sessions.open_live(journal, made, Environment.SANDBOX, opening, member.transport(made), ())


def test_F14_second_live_session_is_refused_until_the_first_ends(
    member: SandboxMember, journal_engine: sa.Engine
) -> None:
    journal = ready_journal(journal_engine)
    first = live_trader(member, journal)
    with pytest.raises(SessionRefused) as caught:
        _open(member, journal)
    assert caught.value.reason is DenialReason.SESSION_NOT_EXCLUSIVE
    with journal.reading() as reading:
        lease = reading.sessions.lease(ACCOUNT)
    assert lease
    holder = f"{first.session.session_id} of process {platform.node()}:{os.getpid()}"
    until = f"{instant(lease.until_us):%Y-%m-%d %H:%M:%S} UTC"
    assert caught.value.detail == f"Session {holder} holds the sub-account until {until}, and may renew its lease"
    sessions.close(journal, first.session, "done")
    _open(member, journal)


@pytest.mark.parametrize("origin", [origin for origin in Origin if origin is not Origin.BY_HAND])
def test_F16_run_that_no_person_started_opens_no_live_session(
    member: SandboxMember, sqlite_journal: sa.Engine, origin: Origin
) -> None:
    with pytest.raises(SessionRefused) as caught:
        _open(member, ready_journal(sqlite_journal), origin)
    assert caught.value.reason is DenialReason.ORIGIN_NOT_LIVE


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"mode": Mode.DRY_RUN}, DenialReason.NOT_ARMED),
        ({"arm": "sandbox:00000000:00000000:1795449600"}, DenialReason.ARM_TOKEN_INVALID),
        ({"series": None}, DenialReason.TICKER_NOT_ALLOWED),
    ],
)
def test_live_session_without_mode_token_or_series_is_refused(
    member: SandboxMember, sqlite_journal: sa.Engine, settings: dict[str, Any], reason: DenialReason
) -> None:
    with pytest.raises(SessionRefused) as caught:
        _open(member, ready_journal(sqlite_journal), **settings)
    assert caught.value.reason is reason
    assert reason.remedy in str(caught.value)


def test_journal_without_its_guards_opens_no_live_session(member: SandboxMember, sqlite_journal: sa.Engine) -> None:
    journal = ready_journal(sqlite_journal)
    with sqlite_journal.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER guard_send")
    with pytest.raises(SessionRefused, match=r"guard_send.*Run the `migrate` job") as caught:
        _open(member, journal)
    assert caught.value.reason is DenialReason.SCHEMA_NOT_AT_HEAD


@pytest.mark.parametrize("is_kill", [False, True])
def test_F22_restored_journal_opens_no_live_session(
    member: SandboxMember, sqlite_journal: sa.Engine, tmp_path: Path, is_kill: bool
) -> None:
    ready_journal(sqlite_journal)
    anchored = Journal(sqlite_journal, "sandbox", anchor_file=tmp_path / "anchors")
    with sqlite_journal.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    backup = Path(str(sqlite_journal.url.database)).read_bytes()
    with anchored.writing() as transaction:
        transaction.audit.append("answer", {"text": "later"})
        if is_kill:
            transaction.halts.engage(1, "operator", "bob", "stop")
    if not is_kill:
        anchored.anchor()
    sqlite_journal.dispose()
    for name in ("journal.db-wal", "journal.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    Path(str(sqlite_journal.url.database)).write_bytes(backup)
    restored = Journal(sqlite_journal, "sandbox", anchor_file=tmp_path / "anchors")
    with pytest.raises(SessionRefused) as caught:
        _open(member, restored)
    assert caught.value.reason is DenialReason.JOURNAL_RESTORED


def test_F56_other_code_version_than_the_session_s_sends_nothing(
    member: SandboxMember, sqlite_journal: sa.Engine
) -> None:
    trader = live_trader(member, ready_journal(sqlite_journal))
    newer = replace(trader.session, code_version="9.9+other")
    dispatch = LiveDispatch(trader.journal, newer, member.transport(trader.settings))
    inputs = member.inputs(lambda: None)
    executor = TradeExecutor(newer, trader.journal, trader.settings, inputs, dispatch)
    sent = len(member.orders_on_exchange())
    decision = executor.decide(proposed(member.tradable()))
    assert decision.intent is not None
    assert decision.intent.state is OrderState.ABANDONED
    assert len(member.orders_on_exchange()) == sent


def test_code_version_is_stable_and_names_a_digest() -> None:
    assert sessions.code_version() == sessions.code_version()
    assert "+" in sessions.code_version()


def test_executor_refuses_a_dispatch_of_the_other_mode(member: SandboxMember, sqlite_journal: sa.Engine) -> None:
    trader = dry_trader(member, ready_journal(sqlite_journal))
    transport = member.transport(trader.settings)
    live = LiveDispatch(trader.journal, trader.session, transport)
    with pytest.raises(ValueError, match="cannot dispatch live"):
        TradeExecutor(trader.session, trader.journal, trader.settings, ExecutorInputs(_no_market, _no_kill), live)
    pretended = replace(trader.session, mode=Mode.LIVE)
    with pytest.raises(ValueError, match="must read the balance"):
        TradeExecutor(pretended, trader.journal, trader.settings, ExecutorInputs(_no_market, _no_kill), live)
    executor = TradeExecutor(pretended, trader.journal, trader.settings, member.inputs(_no_kill), live)
    sent = len(member.orders_on_exchange())
    decision = executor.decide(proposed(member.tradable()))
    assert (decision.outcome, decision.reason) == (DecisionOutcome.DENIED, DenialReason.CHECK_FAILED)
    assert len(member.orders_on_exchange()) == sent


def test_F39_dry_run_reaches_neither_a_key_nor_a_transport(
    member: SandboxMember, sqlite_journal: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = ready_journal(sqlite_journal)
    market = ExchangeMarkets(member.client)(MarketTicker(member.tradable()["ticker"]))
    order = proposed(member.tradable())
    settings = TradeSettings()
    session = sessions.open_dry_run(journal, settings, Environment.SANDBOX, Opening("ann", Origin.BY_HAND))
    executor = TradeExecutor(
        session,
        journal,
        settings,
        ExecutorInputs(lambda _: replace(market, read_us=now_us()), _no_kill),
        SimulatedDispatch(journal, session),
    )
    assert not _reachable(executor, (OrderTransport, Signer))

    def no_socket(*_: Any, **__: Any) -> socket.socket:
        raise AssertionError("a dry run opened a socket")

    monkeypatch.setattr(socket, "socket", no_socket)
    assert executor.decide(order).outcome is DecisionOutcome.SIMULATED


def _reachable(start: object, kinds: tuple[type, ...]) -> list[object]:
    """Return the objects of the given types that an object refers to, directly or not. Skip modules and classes."""
    seen, found, waiting = {id(start)}, [], [start]
    while waiting:
        for referent in gc.get_referents(waiting.pop()):
            skipped = (
                isinstance(referent, type | type(sys))
                or referent is globals()
                or "__builtins__" in (referent if isinstance(referent, dict) else ())
            )
            if id(referent) in seen or skipped:
                continue
            seen.add(id(referent))
            if isinstance(referent, kinds):
                found.append(referent)
            waiting.append(referent)
    return found


def _no_kill() -> None:
    return None


def _no_market(_ticker: MarketTicker) -> Any:
    raise UnreadableMarket("nobody asks")


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        ({}, True),
        ({"scopes": ["read", "write"]}, False),
        ({"scopes": ["read"]}, False),
        ({"scopes": ["read", "write::trade", "write::transfer"]}, False),
    ],
)
def test_F27_key_with_other_scopes_than_trading_is_refused(
    member: SandboxMember, tmp_path: Path, key: dict[str, Any], fits: bool
) -> None:
    with ExitStack() as stack:
        place = join_sandbox(member.sandbox, tmp_path, stack, member="bea", **key)
        denied = first_denial(key_checks(place.portfolio, place.key_id, 0))
        assert (denied is None) is fits
        assert first_denial(key_checks(place.portfolio, "another key", 0)) is not None
        assert first_denial(key_checks(place.portfolio, place.key_id, 1)) is not None


def _agents_order(trader: Trader) -> AdmittedOrder:
    order = proposed(trader.member.tradable(), actor=ActorKind.AGENT, actor_name="agent 7", count=Contracts(200))
    waiting = trader.executor.decide(order).waiting
    assert waiting is not None
    return waiting


def test_F39_agent_s_order_waits_for_another_person_s_approval(
    member: SandboxMember, journal_engine: sa.Engine
) -> None:
    journal = ready_journal(journal_engine)
    trader = live_trader(member, journal)
    sent = len(member.orders_on_exchange())
    waiting = _agents_order(trader)
    with journal.writing() as transaction:
        transaction.orders.approve(waiting.intent.request_sha256, "agent 7", now_us() + 60_000_000)
        transaction.orders.approve("f" * 64, "bob", now_us() + 60_000_000)
    assert not trader.executor.is_due(waiting)
    assert trader.executor.decide_again(waiting).outcome is DecisionOutcome.AWAITS_APPROVAL
    assert len(member.orders_on_exchange()) == sent
    with journal.writing() as transaction:
        transaction.orders.approve(waiting.intent.request_sha256, "bob", now_us() + 60_000_000)
    assert trader.executor.is_due(waiting)
    assert trader.executor.decide_again(waiting).outcome is DecisionOutcome.PLACED
    assert len(member.orders_on_exchange()) == sent + 1


def test_F08_interrupted_sending_is_recorded_as_unknown(
    member: SandboxMember, sqlite_journal: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    trader = live_trader(member, ready_journal(sqlite_journal))

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(OrderTransport, "place", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trader.executor.decide(proposed(member.tradable()))
    with trader.journal.reading() as reading:
        assert [intent.state for intent in reading.orders.open_intents(ACCOUNT)] == [OrderState.UNKNOWN]


def test_answer_that_the_journal_refuses_leaves_the_order_unknown(
    member: SandboxMember, sqlite_journal: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    trader = live_trader(member, ready_journal(sqlite_journal))
    first = trader.executor.decide(proposed(member.tradable())).intent
    assert first is not None
    place = OrderTransport.place

    def of_another_order(transport: OrderTransport, permit: Any) -> Any:
        answer = place(transport, permit)
        body_fields = json.loads(answer.body)
        return replace(answer, body=json.dumps({**body_fields, "order_id": first.order_id}).encode())

    monkeypatch.setattr(OrderTransport, "place", of_another_order)
    order = proposed(member.tradable())
    with pytest.raises(JournalRefused):
        trader.executor.decide(order)
    with trader.journal.reading() as reading:
        unknown = reading.orders.open_intents(ACCOUNT, states=[OrderState.UNKNOWN])
    assert [intent.client_order_id for intent in unknown] == [
        str(client_order_id(idempotency_key(ACCOUNT, order.proposer, order.signal)))
    ]


def test_late_answer_does_not_overrule_a_resolved_order(
    member: SandboxMember, sqlite_journal: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    trader = live_trader(member, ready_journal(sqlite_journal))
    place = OrderTransport.place

    def meanwhile(transport: OrderTransport, permit: Any) -> Any:
        answer = place(transport, permit)
        with trader.journal.writing() as transaction:
            intent = transaction.reading.orders.intent(permit.sent.intent_id)
            transaction.orders.record_answer(intent, OrderState.UNKNOWN)
        return answer

    monkeypatch.setattr(OrderTransport, "place", meanwhile)
    decision = trader.executor.decide(proposed(member.tradable()))
    assert decision.intent is not None
    assert decision.intent.state is OrderState.UNKNOWN
    with trader.journal.reading() as reading:
        assert [record.kind for record in reading.audit_log.newest(1)] == ["answer"]


def test_F67_journal_with_two_hard_links_opens_no_live_session(
    member: SandboxMember, sqlite_journal: sa.Engine, tmp_path: Path
) -> None:
    journal, file = ready_journal(sqlite_journal), Path(str(sqlite_journal.url.database))
    (tmp_path / "second.db").hardlink_to(file)
    with pytest.raises(SessionRefused) as caught:
        _open(member, journal)
    assert caught.value.reason is DenialReason.JOURNAL_HAS_TWO_PATHS
    assert str(file) in caught.value.detail
    assert str(tmp_path / "second.db") in caught.value.detail
    with journal.writing() as transaction:
        transaction.halts.engage(1, "operator", "bob", "a kill needs no claim")
    with journal.reading() as reading:
        assert reading.halts.kill_state().engaged


def test_F66_session_whose_anchor_fails_sends_no_further_order(
    member: SandboxMember, sqlite_journal: sa.Engine, tmp_path: Path
) -> None:
    anchors = tmp_path / "disk" / "anchors"
    ready_journal(sqlite_journal)
    journal = Journal(sqlite_journal, "sandbox", anchor_file=anchors)
    trader = live_trader(member, journal)
    market = member.tradable()
    before = len(member.orders_on_exchange())
    assert trader.executor.decide(proposed(market), None).outcome is DecisionOutcome.PLACED
    anchors.rename(tmp_path / "kept")
    while anchors.parent.exists():
        anchors.parent.rmdir()
    with journal.writing() as transaction:
        for number in range(100):
            transaction.audit.append("note", {"number": number})
    denied = trader.executor.decide(proposed(market), None)
    assert (denied.outcome, denied.reason) == (DecisionOutcome.DENIED, DenialReason.SESSION_CLOSED)
    assert len(member.orders_on_exchange()) == before + 1
    with journal.reading() as reading:
        assert reading.ledger.markets(ACCOUNT), "the facts of the session stay"
