"""Tests of the detection of another journal at the exchange, and of caps that begin with what the account did."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.executor import session as sessions
from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
from kalshi_pipelines.execution.executor.dispatch import GroupNotMade, LiveDispatch
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.migrations import upgrade_journal
from kalshi_pipelines.execution.journal.records import Mode, ScopeKind, ScopeStanding
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.terms import Contracts, YesPrice
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount
from kalshi_pipelines.execution.reconciliation.other_journals import ORDER_GROUP
from kalshi_pipelines.execution.service.account.other_traders import OtherTraders
from kalshi_pipelines.units import HOUR_US, now_us, trading_day
from kalshi_pipelines_tests.support.execution.member_reconciler import by_hand, markets, reconciler
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT
from kalshi_pipelines_tests.support.execution.sandbox_member import (
    Row,
    SandboxMember,
    Trader,
    live_trader,
    proposed,
    ready_journal,
    resting,
)


@contextmanager
def _journal(folder: Path, name: str) -> Iterator[Journal]:
    """Yield a new journal in a data folder of its own."""
    (folder / name).mkdir()
    engine = open_journal(f"sqlite:///{folder / name / 'journal.db'}")
    upgrade_journal(engine)
    yield ready_journal(engine)
    engine.dispose()


def _others(member: SandboxMember, journal: Journal) -> OtherTraders:
    return OtherTraders.detect(journal, ACCOUNT, ExchangeAccount(member.client, ACCOUNT.subaccount))


def _buy(trader: Trader, market: Row, count: int = 200, **changes: Any) -> None:
    decision = trader.executor.decide(proposed(market, count=Contracts(count), **changes), None)
    assert decision.outcome is DecisionOutcome.PLACED, decision


def _open(member: SandboxMember, journal: Journal, **changes: Any) -> Trader:
    """Open a live session, and let it take over the account's positions."""

    def reconcile(session_id: str) -> None:
        assert reconciler(member, journal).reconcile(own_session=session_id).clean

    return live_trader(member, journal, reconcile=reconcile, **changes)


def _scope(journal: Journal, kind: ScopeKind) -> ScopeStanding | None:
    now = now_us()
    with journal.reading() as reading:
        found = reading.ledger.live_scopes(
            ACCOUNT, Mode.LIVE, trading_day(now).isoformat(), (now // HOUR_US - 24, now // HOUR_US + 2)
        )
    return next((each for each in found if each.kind is kind), None)


def test_fresh_account_has_no_other_traders(member: SandboxMember, tmp_path: Path) -> None:
    with _journal(tmp_path, "a") as journal:
        others = _others(member, journal)
        assert others.check().ok
        trader = live_trader(member, journal)
        _buy(trader, markets(member, 1)[0])
        reconciler(member, journal).reconcile()
        again = _others(member, journal)
        assert again.check().ok
        assert (again.found.orders, again.found.idle_groups) == ((), frozenset())
        before = _scope(journal, ScopeKind.DAY)
        again.count(print)
        assert _scope(journal, ScopeKind.DAY) == before


def test_F68_second_journal_is_denied_while_the_first_may_trade(member: SandboxMember, tmp_path: Path) -> None:
    with _journal(tmp_path, "a") as first, _journal(tmp_path, "b") as second:
        trader = live_trader(member, first)
        _buy(trader, markets(member, 1)[0])
        denied = _others(member, second).check()
        assert (denied.ok, denied.code) == (False, DenialReason.ANOTHER_JOURNAL_TRADES.code)
        with first.reading() as reading:
            [group] = reading.sessions.all_groups(ACCOUNT)
        assert group in denied.observed
        sessions.close(first, trader.session, "done")
        assert not _others(member, second).check().ok, "the exchange does not tell that the session ended"


def test_F68_second_journal_is_denied_while_an_order_of_the_first_rests(member: SandboxMember, tmp_path: Path) -> None:
    with _journal(tmp_path, "a") as first, _journal(tmp_path, "b") as second:
        trader = live_trader(member, first)
        market = markets(member, 1)[0]
        assert (
            trader.executor.decide(resting(market, market["yes_bid_dollars"]), None).outcome is DecisionOutcome.PLACED
        )
        found = _others(member, second).found
        assert [order.is_resting for order in found.live] == [True]
        assert [item.kind for item in found.evidence()] == [ORDER_GROUP, "foreign_order"]


def test_F68_restored_journal_is_found_by_its_missing_orders(member: SandboxMember, tmp_path: Path) -> None:
    """Journal and anchors were restored together, so only the exchange knows the lost order."""
    with _journal(tmp_path, "a") as journal:
        first, second = markets(member, 2)
        trader = live_trader(member, journal)
        _buy(trader, first)
        reconciler(member, journal).reconcile()
        sessions.close(journal, trader.session, "done")
        journal._engine.dispose()
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "journal.db").write_bytes((tmp_path / "a" / "journal.db").read_bytes())
        newer = live_trader(member, journal)
        _buy(newer, second)
        engine = open_journal(f"sqlite:///{tmp_path / 'b' / 'journal.db'}")
        others = _others(member, Journal(engine, "sandbox"))
        assert not others.check().ok
        assert [order.ticker for order in others.found.orders] == [second["ticker"]]
        engine.dispose()


def _by_hand(member: SandboxMember, market: Row, count: str = "3.00") -> None:
    answer = by_hand(
        member,
        "POST",
        "/portfolio/events/orders",
        ticker=market["ticker"],
        side="bid",
        count=count,
        price=market["yes_ask_dollars"],
        time_in_force="immediate_or_cancel",
        self_trade_prevention_type="taker_at_cross",
    )
    assert answer.status_code == 201, answer.text


def test_F68_caps_begin_with_what_the_account_did_by_hand(member: SandboxMember, tmp_path: Path) -> None:
    first, second = markets(member, 2)
    for market in (first, second):
        _by_hand(member, market)
    with _journal(tmp_path, "a") as journal:
        others = _others(member, journal)
        assert others.check().ok
        _open(member, journal)
        said: list[str] = []
        others.count(said.append)
        assert said == ["the caps begin with 4 orders, fills and settlements that this journal did not cause"]
        asks = [YesPrice.from_text(market["yes_ask_dollars"]).centicents for market in (first, second)]
        notional = sum(300 * each for each in asks)
        for kind in (ScopeKind.DAY, ScopeKind.ROLLING):
            scope = _scope(journal, kind)
            assert scope is not None
            assert (scope.orders, scope.notional_microdollars) == (2, notional)
            assert scope.worst_microdollars >= notional
        others.count(said.append)
        assert len(said) == 1, "everything is counted once"
        assert verify(journal._engine).ok


def test_F68_losses_of_closed_positions_are_counted_exactly(member: SandboxMember, tmp_path: Path) -> None:
    market = markets(member, 1)[0]
    _by_hand(member, market)
    answer = by_hand(
        member,
        "POST",
        "/portfolio/events/orders",
        ticker=market["ticker"],
        side="ask",
        count="3.00",
        price=market["yes_bid_dollars"],
        time_in_force="immediate_or_cancel",
        self_trade_prevention_type="taker_at_cross",
    )
    assert answer.status_code == 201
    fills = ExchangeAccount(member.client, 0).fills(0)
    assert sum(fill.count_centicontracts for fill in fills) == 600
    paid = sum(
        (1 if fill.side.value == "bid" else -1) * fill.price_centicents * fill.count_centicontracts
        + fill.fee_microdollars
        for fill in fills
    )
    with _journal(tmp_path, "a") as journal:
        others = _others(member, journal)
        _open(member, journal)
        others.count(print)
        day = _scope(journal, ScopeKind.DAY)
        assert day is not None
        assert day.worst_microdollars == paid
        assert verify(journal._engine).ok


def test_caps_that_are_used_up_elsewhere_admit_no_order(member: SandboxMember, tmp_path: Path) -> None:
    first, second = markets(member, 2)
    for _ in range(3):
        _by_hand(member, first, "1.00")
    with _journal(tmp_path, "a") as journal:
        others = _others(member, journal)
        trader = _open(member, journal, day_orders=2)
        others.count(print)
        decision = trader.executor.decide(proposed(second), None)
        assert decision.reason is DenialReason.CAP_ORDER_COUNT
        sessions.close(journal, trader.session, "done")
        assert verify(journal._engine).ok
        wider = live_trader(member, journal, day_orders=4)
        _others(member, journal).count(print)
        decisions = [wider.executor.decide(proposed(second), None) for _ in range(2)]
        assert [each.outcome for each in decisions] == [DecisionOutcome.PLACED, DecisionOutcome.DENIED]


def test_F68_session_that_begins_at_the_same_time_ends_before_its_first_order(
    member: SandboxMember, tmp_path: Path
) -> None:
    with _journal(tmp_path, "a") as first, _journal(tmp_path, "b") as second:
        both = [(journal, _others(member, journal)) for journal in (first, second)]
        assert all(others.check().ok for _, others in both)
        traders = [live_trader(member, journal) for journal, _ in both]
        dispatches = [
            LiveDispatch(trader.journal, trader.session, member.transport(trader.settings), newcomer=others.newcomer)
            for trader, (_, others) in zip(traders, both, strict=True)
        ]
        dispatches[0].ensure_group(0)
        with pytest.raises(GroupNotMade, match="another session or program"):
            dispatches[1].ensure_group(0)
        with second._engine.connect() as connection:
            ends = connection.execute(sa.text("SELECT reason FROM session_ends")).scalars().all()
        assert [reason.startswith("another journal trades") for reason in ends] == [True]
        assert traders[1].executor.decide(proposed(markets(member, 1)[0]), None).outcome is not DecisionOutcome.PLACED
