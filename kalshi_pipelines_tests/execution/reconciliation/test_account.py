"""Comparison of account and journal: fills, resting orders, foreign orders, positions and settlements."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import AuditVerdict, verify
from kalshi_pipelines.execution.executor import session as sessions
from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Fill, KillState, Signature
from kalshi_pipelines.execution.kill.emergency import EmergencyFile
from kalshi_pipelines.execution.kill.switch import KillSwitch, NotReleased
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.evidence import Holding
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Action, Contracts, Leg, MarketTicker, OrderId, Outcome, YesPrice
from kalshi_pipelines.execution.reconciliation.account import AccountReader
from kalshi_pipelines.execution.reconciliation.report import DifferenceKind, ReconciliationReport
from kalshi_pipelines.sandbox.process import SandboxProcess
from kalshi_pipelines_tests.support.execution import sandbox_member
from kalshi_pipelines_tests.support.execution.member_reconciler import by_hand, markets, reconciler
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT
from kalshi_pipelines_tests.support.execution.sandbox_member import (
    SUBACCOUNT,
    SandboxMember,
    live_trader,
    proposed,
    ready_journal,
    resting,
)


def kinds(report: ReconciliationReport) -> list[DifferenceKind]:
    return [each.kind for each in report.differences]


def kill_of(journal: Journal) -> KillState:
    with journal.reading() as reading:
        return reading.halts.kill_state()


def foreign(market: dict[str, Any], price: str, **more: Any) -> dict[str, Any]:
    """Return the body of an order placed outside the product, as on the exchange's web site."""
    return {
        "ticker": market["ticker"],
        "side": "bid",
        "count": "2.00",
        "price": price,
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
        **more,
    }


def test_resting_order_is_followed_to_its_end(member: SandboxMember, journal_engine: sa.Engine) -> None:
    journal = ready_journal(journal_engine)
    trader = live_trader(member, journal)
    work = reconciler(member, journal)
    places = markets(member, 2)
    bid = places[0]["yes_bid_dollars"]
    first = trader.executor.decide(resting(places[0], bid, 300)).intent
    second = trader.executor.decide(resting(places[1], places[1]["yes_bid_dollars"], 200)).intent
    assert first is not None
    assert second is not None
    # An order of the sandbox's admin sells into the book until a part of our order is filled.
    ahead = float(places[0]["yes_bid_size_fp"]) + 1
    member.steer(
        "POST",
        f"/markets/{first.ticker}/orders",
        side="ask",
        price=bid,
        count=f"{ahead:.2f}",
        time_in_force="immediate_or_cancel",
    )
    report = work.reconcile()
    assert report.clean, str(report)
    with journal.reading() as reading:
        rests = reading.orders.intent(first.intent_id)
    assert (rests.state, rests.filled_centicontracts) == (OrderState.RESTING, 100)
    transport = member.transport(member.settings())
    for intent in (first, second):
        assert intent.order_id is not None
        assert transport.cancel(OrderId(intent.order_id), MarketTicker(intent.ticker)).status == 200
    ended = work.reconcile()
    assert ended.clean, str(ended)
    with journal.reading() as reading:
        intents = [reading.orders.intent(each.intent_id) for each in (first, second)]
        held = reading.ledger.markets(ACCOUNT)
    assert [(each.state, each.filled_centicontracts, each.reserved_centicontracts) for each in intents] == [
        (OrderState.CANCELED, 100, 0),
        (OrderState.CANCELED, 0, 0),
    ]
    assert [(m.ticker, m.position_centicontracts, m.open_bids_centicontracts) for m in held] == [(first.ticker, 100, 0)]
    assert verify(journal_engine).ok


def test_outdated_reading_is_repeated_and_stops_nothing(member: SandboxMember, sqlite_journal: sa.Engine) -> None:
    journal = ready_journal(sqlite_journal)
    trader = live_trader(member, journal)
    market = markets(member, 1)[0]
    intent = trader.executor.decide(resting(market, market["yes_bid_dollars"])).intent
    assert intent is not None
    assert intent.order_id is not None
    time.sleep(1.1)
    canceled = member.transport(member.settings()).cancel(OrderId(intent.order_id), MarketTicker(intent.ticker))
    assert canceled.status == 200
    work = reconciler(member, journal)
    assert work.reconcile().clean
    member.steer("POST", "/faults", endpoint="GET /portfolio/orders", kind="stale_read", seconds=1, times=2)
    report = work.reconcile()
    assert report.clean, str(report)
    assert not kill_of(journal).engaged


def test_F53_foreign_order_is_counted_and_stops_trading(member: SandboxMember, journal_engine: sa.Engine) -> None:
    journal = ready_journal(journal_engine)
    trader = live_trader(member, journal)
    places = markets(member, 2)
    made = by_hand(member, "POST", "/portfolio/events/orders", **foreign(places[0], places[0]["yes_bid_dollars"]))
    assert made.status_code == 201
    work = reconciler(member, journal)
    report = work.reconcile()
    assert kinds(report) == [DifferenceKind.FOREIGN_ORDER], str(report)
    assert (kill_of(journal).engaged, kill_of(journal).by_whom) == (True, "reconciler")
    assert trader.executor.decide(proposed(places[1])).reason is DenialReason.KILL_SWITCH_ENGAGED
    with journal.reading() as reading:
        counted = {m.ticker: m.open_bids_centicontracts for m in reading.ledger.markets(ACCOUNT)}
    assert counted == {places[0]["ticker"]: 200}
    events = kill_of(journal).seq
    assert kinds(work.reconcile()) == [DifferenceKind.FOREIGN_ORDER]
    assert kill_of(journal).seq == events
    path = f"/portfolio/events/orders/{made.json()['order_id']}?market_ticker={places[0]['ticker']}"
    assert by_hand(member, "DELETE", path).status_code == 200
    gone = work.reconcile()
    assert gone.clean, str(gone)
    with journal.reading() as reading:
        assert [m.open_bids_centicontracts for m in reading.ledger.markets(ACCOUNT)] in ([], [0])
    assert verify(journal_engine).ok


def test_F53_foreign_fill_is_recorded_once_and_stops_trading(member: SandboxMember, sqlite_journal: sa.Engine) -> None:
    journal = ready_journal(sqlite_journal)
    live_trader(member, journal)
    market = markets(member, 1)[0]
    order = foreign(
        market, market["yes_ask_dollars"], time_in_force="immediate_or_cancel", client_order_id="not-ours-1"
    )
    assert by_hand(member, "POST", "/portfolio/events/orders", **order).json()["fill_count"] == "2.00"
    work = reconciler(member, journal)
    report = work.reconcile()
    assert kinds(report) == [DifferenceKind.FOREIGN_FILL], str(report)
    assert kill_of(journal).engaged
    with journal.reading() as reading:
        assert [(m.ticker, m.position_centicontracts) for m in reading.ledger.markets(ACCOUNT)] == [
            (market["ticker"], 200)
        ]
    assert work.reconcile().clean


class Shifted:
    """A reader of the account that reports a position of one contract in a given market."""

    def __init__(self, account: AccountReader, ticker: str) -> None:
        self._account, self._ticker = account, ticker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._account, name)

    def holdings(self) -> dict[str, Holding]:
        return {**self._account.holdings(), self._ticker: Holding(self._ticker, 100, 500_000)}


def test_F54_position_that_no_fill_explains_stops_trading(member: SandboxMember, sqlite_journal: sa.Engine) -> None:
    journal = ready_journal(sqlite_journal)
    live_trader(member, journal)
    assert reconciler(member, journal).reconcile().clean
    ticker = markets(member, 1)[0]["ticker"]
    report = reconciler(member, journal, account=lambda account: Shifted(account, ticker)).reconcile()
    assert kinds(report) == [DifferenceKind.POSITION_DRIFT], str(report)
    assert "position_drift" in kill_of(journal).reason


def test_F54_acknowledged_position_lets_a_person_release_the_switch(
    member: SandboxMember, sqlite_journal: sa.Engine, tmp_path: Path
) -> None:
    journal = ready_journal(sqlite_journal)
    trader = live_trader(member, journal)
    trader.executor.decide(proposed(markets(member, 2)[1]))
    assert reconciler(member, journal).reconcile(own_session=trader.session.session_id).clean
    sessions.close(journal, trader.session, "done")
    ticker = markets(member, 1)[0]["ticker"]
    shifted = reconciler(member, journal, account=lambda account: Shifted(account, ticker))
    switch = KillSwitch(
        lambda: journal, EmergencyFile(tmp_path / "emergency.jsonl"), (), account=Account("sandbox", SUBACCOUNT)
    )
    shifted.reconcile()
    with pytest.raises(NotReleased, match="clean reconciliation"):
        switch.release("ann", "whatever")
    evidence = shifted.show_evidence()
    assert [(each.kind, each.subject) for each in evidence.items] == [("position_drift", ticker)]
    assert shifted.acknowledge(evidence.sha256, Signature("ann", "moved by hand")).number is not None
    assert shifted.reconcile().clean
    switch.release("bob", "ann acknowledged it")
    # Acknowledging that a position is gone removes it from the journal, without recording an unknown gain.
    back = reconciler(member, journal)
    gone = back.show_evidence()
    assert back.acknowledge(gone.sha256, Signature("ann", "moved back")).number is not None
    assert back.reconcile().clean
    with journal.reading() as reading:
        bodies = [record.body for record in reading.audit_log.newest(100) if record.kind == "acknowledge"]
        held = {market.ticker: market.position_centicontracts for market in reading.ledger.markets(ACCOUNT)}
    assert ["moved back" in body for body in bodies] == [True, False]
    assert held.get(ticker, 0) == 0
    assert verify(sqlite_journal).verdict is AuditVerdict.EXPLAINED


def test_positions_from_before_the_first_session_are_counted_once(
    member: SandboxMember, sqlite_journal: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = ready_journal(sqlite_journal)
    market = markets(member, 1)[0]
    order = foreign(market, market["yes_ask_dollars"], time_in_force="immediate_or_cancel")
    assert by_hand(member, "POST", "/portfolio/events/orders", **order).status_code == 201
    before = reconciler(member, journal).reconcile()
    assert (before.clean, before.figures["positions_to_adopt"]) == (True, 1), str(before)
    with monkeypatch.context() as patched:
        patched.setattr(sandbox_member, "record_reconciliation", lambda _: None)
        trader = live_trader(member, journal)
    early = trader.executor.decide(proposed(market, count=Contracts(100)))
    assert early.reason is DenialReason.RECONCILIATION_NOT_CLEAN
    first = reconciler(member, journal).reconcile()
    assert (first.clean, first.figures["positions_adopted"]) == (True, 1), str(first)
    assert trader.executor.decide(proposed(market, count=Contracts(100))).outcome is DecisionOutcome.PLACED
    assert reconciler(member, journal).reconcile().clean
    assert "positions_adopted" not in reconciler(member, journal).reconcile().figures
    with journal.reading() as reading:
        assert [m.position_centicontracts for m in reading.ledger.markets(ACCOUNT)] == [300]


def test_F55_settled_market_ends_its_orders_and_its_position(
    sandbox: SandboxProcess, member: SandboxMember, journal_engine: sa.Engine
) -> None:
    journal = ready_journal(journal_engine)
    trader = live_trader(member, journal)
    # The test settles this market, so no other test of this module may use it.
    market = markets(member, 20)[-1 if journal_engine.dialect.name == "sqlite" else -2]
    bought = trader.executor.decide(proposed(market)).intent
    rests = trader.executor.decide(resting(market, market["yes_bid_dollars"])).intent
    assert bought is not None
    assert rests is not None
    for change in ({"status": "closed"}, {"status": "determined", "result": "yes"}, {"status": "finalized"}):
        member.steer("POST", f"/markets/{market['ticker']}/status", **change)
    work = reconciler(member, journal)
    report = work.reconcile()
    assert report.clean, str(report)
    assert report.figures["settlements_posted"] == 1
    with journal.reading() as reading:
        assert reading.orders.intent(rests.intent_id).state is OrderState.CANCELED
        assert reading.ledger.markets(ACCOUNT) == []
    assert work.reconcile().figures["settlements_posted"] == 0
    assert verify(journal_engine).ok


class Dearer:
    """An account whose fills have $10 more in fees."""

    def __init__(self, account: AccountReader) -> None:
        self._account = account

    def __getattr__(self, name: str) -> Any:
        return getattr(self._account, name)

    def fills(self, since_us: int) -> list[Fill]:
        return [
            dataclasses.replace(fill, fee_microdollars=fill.fee_microdollars + 10_000_000)
            for fill in self._account.fills(since_us)
        ]


def test_F50_fee_above_its_bound_is_reported_and_stops_trading(
    member: SandboxMember, sqlite_journal: sa.Engine
) -> None:
    journal = ready_journal(sqlite_journal)
    trader = live_trader(member, journal)
    trader.executor.decide(proposed(markets(member, 1)[0]))
    report = reconciler(member, journal, account=Dearer).reconcile()
    assert DifferenceKind.FEE_ABOVE_BOUND in kinds(report)
    assert kill_of(journal).engaged


def test_ended_session_leaves_a_clean_account(member: SandboxMember, sqlite_journal: sa.Engine) -> None:
    journal = ready_journal(sqlite_journal)
    trader = live_trader(member, journal)
    market = markets(member, 1)[0]
    trader.executor.decide(proposed(market))
    sell = Leg(Action.BUY, Outcome.NO, YesPrice.from_text(market["yes_bid_dollars"]).complement)
    trader.executor.decide(proposed(market, leg=sell, count=Contracts(250)))
    sessions.close(journal, trader.session, "done")
    report = reconciler(member, journal).reconcile()
    assert report.clean, str(report)
    with journal.reading() as reading:
        assert [m.position_centicontracts for m in reading.ledger.markets(ACCOUNT)] == [-150]
    assert "clean: sandbox" in str(report)
