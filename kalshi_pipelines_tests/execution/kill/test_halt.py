"""Halts on a running sandbox: no order rests afterwards, or the report says that this is not proved."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
from kalshi_pipelines.execution.journal.errors import JournalUnavailable
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.kill.emergency import EmergencyFile
from kalshi_pipelines.execution.kill.groups import GroupsToFence
from kalshi_pipelines.execution.kill.halt import Halt
from kalshi_pipelines.execution.kill.switch import KillSwitch, NotReleased
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT
from kalshi_pipelines_tests.support.execution.sandbox_member import (
    Row,
    SandboxMember,
    Trader,
    live_trader,
    proposed,
    ready_journal,
    resting,
    sandbox_with_member,
)


@pytest.fixture
def member(tmp_path: Path) -> Iterator[SandboxMember]:
    with sandbox_with_member(tmp_path) as made:
        yield made


def _gone() -> Journal:
    raise JournalUnavailable("The journal cannot be used.")


def _halt(trader: Trader, folder: Path, *, journal_works: bool = True) -> tuple[Halt, KillSwitch]:
    member = trader.member
    emergency = EmergencyFile(folder / "emergency.jsonl")
    opened = (lambda: trader.journal) if journal_works else _gone
    switch = KillSwitch(opened, emergency, (), account=ACCOUNT)
    transport = member.transport(trader.settings)
    groups = GroupsToFence(opened, member.portfolio, ACCOUNT)
    account = ExchangeAccount(member.client, 0)
    return Halt(switch, emergency, transport, account, groups, pause=lambda _: None), switch


def _rest(trader: Trader, market: Row, orders: int = 3) -> None:
    for _ in range(orders):
        assert trader.executor.decide(resting(market, market["yes_bid_dollars"])).outcome is DecisionOutcome.PLACED


def _resting_now(member: SandboxMember) -> int:
    return len(member.portfolio.orders(0, status="resting").records)


def test_F42_halt_cancels_resting_orders_and_proves_that_none_rests(
    member: SandboxMember, journal_engine: sa.Engine, tmp_path: Path
) -> None:
    trader = live_trader(member, ready_journal(journal_engine))
    market = member.tradable()
    _rest(trader, market)
    assert _resting_now(member) == 3
    halt, switch = _halt(trader, tmp_path)
    switch.engage("bob", "before the halt")
    report = halt.run("bob", "enough", patience_seconds=30)
    assert (report.flat, report.resting, _resting_now(member)) == (True, (), 0)
    assert "FLAT" in str(report)
    assert report.engaged.seq is not None
    assert trader.executor.decide(proposed(market)).reason is DenialReason.KILL_SWITCH_ENGAGED
    with pytest.raises(NotReleased, match="minute ago"):
        switch.release("ann", "go on")


@pytest.mark.parametrize("kind", ["refuse", "drop_after_apply", "rate_limit"])
def test_F44_lost_answers_to_cancels_are_tried_again(
    member: SandboxMember, sqlite_journal: sa.Engine, tmp_path: Path, kind: str
) -> None:
    trader = live_trader(member, ready_journal(sqlite_journal))
    _rest(trader, member.tradable())
    member.steer("POST", "/faults", endpoint="write", kind=kind, times=4)
    report = _halt(trader, tmp_path)[0].run("bob", "enough", patience_seconds=30)
    assert (report.flat, _resting_now(member)) == (True, 0)
    assert report.problems


def test_F44_order_that_arrives_after_the_halt_is_refused_by_the_fence(
    member: SandboxMember, sqlite_journal: sa.Engine, tmp_path: Path
) -> None:
    trader = live_trader(member, ready_journal(sqlite_journal))
    market = member.tradable()
    _rest(trader, market, 1)
    member.steer("POST", "/faults", endpoint="POST /portfolio/events/orders", kind="delay", seconds=600, hold=False)
    assert trader.executor.decide(resting(market, market["yes_bid_dollars"])).outcome is DecisionOutcome.UNKNOWN
    assert _halt(trader, tmp_path)[0].run("bob", "enough", patience_seconds=30).flat
    member.steer("POST", "/clock", seconds=700)
    assert _resting_now(member) == 0


def test_F45_halt_waits_during_a_pause_and_reports_flat_only_afterwards(
    member: SandboxMember, sqlite_journal: sa.Engine, tmp_path: Path
) -> None:
    trader = live_trader(member, ready_journal(sqlite_journal))
    market = member.tradable()
    _rest(trader, market)
    shard = market["exchange_index"]
    member.steer("POST", f"/shards/{shard}", exchange_active=False)
    halt, _ = _halt(trader, tmp_path)
    paused = halt.run("bob", "enough", patience_seconds=0)
    assert not paused.flat
    assert str(paused).startswith("NOT FLAT")
    member.steer("POST", f"/shards/{shard}", exchange_active=True, trading_active=True)
    assert halt.run("bob", "enough", patience_seconds=30).flat
    assert _resting_now(member) == 0


def test_F21_halt_works_without_the_journal(member: SandboxMember, sqlite_journal: sa.Engine, tmp_path: Path) -> None:
    trader = live_trader(member, ready_journal(sqlite_journal))
    _rest(trader, member.tradable())
    halt, switch = _halt(trader, tmp_path, journal_works=False)
    report = halt.run("bob", "the disk is gone", patience_seconds=30)
    assert (report.flat, report.engaged.seq, _resting_now(member)) == (True, None, 0)
    assert "emergency.jsonl" in report.engaged.problem
    assert "the disk is gone" in str(switch.why_engaged())


@pytest.mark.parametrize("journal_works", [True, False])
def test_F21_halt_on_a_full_disk_still_cancels(
    member: SandboxMember, sqlite_journal: sa.Engine, tmp_path: Path, journal_works: bool
) -> None:
    trader = live_trader(member, ready_journal(sqlite_journal))
    _rest(trader, member.tradable())
    (tmp_path / "full").touch()
    halt, switch = _halt(trader, tmp_path / "full", journal_works=journal_works)
    report = halt.run("bob", "the disk is full", patience_seconds=30)
    assert (report.flat, _resting_now(member)) == (True, 0)
    assert (report.engaged.is_on_record, report.engaged.seq is not None) == (journal_works, journal_works)
    assert switch.why_engaged() is not None


def test_lagging_reads_prove_nothing(member: SandboxMember, sqlite_journal: sa.Engine, tmp_path: Path) -> None:
    trader = live_trader(member, ready_journal(sqlite_journal))
    _rest(trader, member.tradable())
    member.steer("POST", "/conduct", read_lag=3_600)
    report = _halt(trader, tmp_path)[0].run("bob", "enough", patience_seconds=0)
    assert not report.flat
    assert "lag" in str(report)
