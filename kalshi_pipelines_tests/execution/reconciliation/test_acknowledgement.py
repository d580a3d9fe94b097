"""Every incident has a way back: what persons acknowledge, and what a journal does afterwards."""

import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import AuditVerdict, verify
from kalshi_pipelines.execution.executor import session as sessions
from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Intent, Signature
from kalshi_pipelines.execution.kill.emergency import EmergencyFile
from kalshi_pipelines.execution.kill.switch import KillSwitch
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder, Holding, OrderStatus
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Contracts, YesPrice
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount
from kalshi_pipelines.execution.reconciliation.evidence import Evidence, NotAcknowledged
from kalshi_pipelines.execution.reconciliation.reconciler import Reconciler
from kalshi_pipelines.execution.reconciliation.report import DifferenceKind, ReconciliationReport
from kalshi_pipelines_tests.support.execution import sandbox_member
from kalshi_pipelines_tests.support.execution.member_reconciler import by_hand, markets, reconciler
from kalshi_pipelines_tests.support.execution.order_steps import (
    ACCOUNT,
    EVENT,
    HOUR,
    NOON,
    TICKER,
    next_session,
    order_steps,
)
from kalshi_pipelines_tests.support.execution.reconciliation_bench import LOST, Bench
from kalshi_pipelines_tests.support.execution.sandbox_member import (
    SUBACCOUNT,
    Row,
    SandboxMember,
    live_trader,
    price_near,
    proposed,
    ready_journal,
    resting,
)
from kalshi_pipelines_tests.support.execution.scripted_account import CANCELED, EXECUTED, RESTING, fill_of, order_of

ANN, BOB = Signature("ann", "moved on the web page"), Signature("bob", "ann showed me")


def kinds(report: ReconciliationReport) -> list[DifferenceKind]:
    return [each.kind for each in report.differences]


def amend(member: SandboxMember, intent: Intent, price: str, count: str, **more: str) -> None:
    """Amend an order as its member does on the exchange's web site."""
    body = {"ticker": intent.ticker, "side": intent.side.value, "price": price, "count": count, **more}
    path = f"/portfolio/events/orders/{intent.order_id}/amend"
    answer = by_hand(member, "POST", path, **body)
    assert answer.status_code in (200, 201), answer.text


def price_of(intent: Intent) -> str:
    """Return the limit price of an order in dollars."""
    return str(YesPrice(intent.price_centicents))


def rested(member: SandboxMember, journal: Journal, market: Row, count: int = 300) -> Intent:
    """Return the intent of an order that rests below the bid, after its session was closed."""
    trader = live_trader(member, journal)
    price = price_near(market["yes_bid_dollars"], "-0.05")
    intent = trader.executor.decide(resting(market, price, count)).intent
    assert intent is not None
    assert intent.state is OrderState.RESTING
    sessions.close(journal, trader.session, "done")
    return intent


def exchange_orders(member: SandboxMember) -> list[ExchangeOrder]:
    return list(ExchangeAccount(member.client, SUBACCOUNT).orders(0).orders.values())


def trades_again(member: SandboxMember, journal: Journal, work: Reconciler, tmp_path: Path, market: Row) -> None:
    """Check that the account is clean, that a person can release the switch, and that a new session trades."""
    report = work.reconcile()
    assert report.clean, str(report)
    again = work.reconcile()
    assert again.clean, str(again)
    switch = KillSwitch(
        lambda: journal, EmergencyFile(tmp_path / "emergency.jsonl"), (), account=Account("sandbox", SUBACCOUNT)
    )
    with journal.reading() as reading:
        engaged = reading.halts.kill_state().engaged
    if engaged:
        switch.release("carol", "the account is clean")
    trader = live_trader(member, journal)
    decision = trader.executor.decide(proposed(market))
    assert decision.outcome is DecisionOutcome.PLACED, decision
    after = work.reconcile(own_session=trader.session.session_id)
    assert after.clean, str(after)
    sessions.close(journal, trader.session, "done")


def acknowledge(work: Reconciler, *, second: bool) -> None:
    """Acknowledge what differs, with the signatures that it needs."""
    evidence = work.show_evidence()
    assert evidence.needs_second is second, str(evidence)
    first = work.acknowledge(evidence.sha256[:12], ANN)
    assert (first.number is None) is second
    if second:
        assert work.acknowledge(evidence.sha256[:12], ANN).number is None, "one person signed twice"
        assert work.acknowledge(evidence.sha256[:12], BOB).number is not None


@pytest.mark.parametrize("worse", ["price", "count", "client order id"])
def test_F75_order_amended_elsewhere_trades_again_after_acknowledge(
    member: SandboxMember, journal_engine: sa.Engine, tmp_path: Path, worse: str
) -> None:
    journal, (market, other) = ready_journal(journal_engine), markets(member, 2)
    intent = rested(member, journal, market)
    work = reconciler(member, journal)
    price = price_of(intent)
    if worse == "price":
        amend(member, intent, market["yes_bid_dollars"], "3.00")
    elif worse == "count":
        amend(member, intent, price, "5.00")
    else:
        amend(member, intent, price, "3.00", updated_client_order_id="mine-now")
    for _ in range(2):
        report = work.reconcile()
        assert kinds(report) == [DifferenceKind.ORDER_DIVERGED], str(report)
    found = verify(journal_engine, exchange_orders=exchange_orders(member))
    assert found.verdict in (AuditVerdict.EXPLAINED, AuditVerdict.CLEAN), str(found)
    acknowledge(work, second=False)
    trades_again(member, journal, work, tmp_path, other)
    with journal.reading() as reading:
        held = {each.ticker: each for each in reading.ledger.markets(ACCOUNT)}
    assert held[market["ticker"]].open_bids_centicontracts == (500 if worse == "count" else 300)
    found = verify(journal_engine, exchange_orders=exchange_orders(member))
    assert found.verdict is AuditVerdict.EXPLAINED, str(found)
    assert "acknowledged by ann: moved on the web page" in str(found)


def test_F75_order_reduced_or_canceled_elsewhere_needs_no_acknowledgement(
    member: SandboxMember, sqlite_journal: sa.Engine, tmp_path: Path
) -> None:
    journal, (first, second, other) = ready_journal(sqlite_journal), markets(member, 3)
    fewer, canceled = rested(member, journal, first), rested(member, journal, second)
    amend(member, fewer, price_near(price_of(fewer), "-0.01"), "2.00")
    path = f"/portfolio/events/orders/{canceled.order_id}?market_ticker={canceled.ticker}"
    assert by_hand(member, "DELETE", path).status_code == 200
    work = reconciler(member, journal)
    report = work.reconcile()
    assert report.clean, str(report)
    assert f"note: order {fewer.client_order_id} was changed elsewhere: its count is 2.00 contracts" in str(report)
    assert f"resolved: {canceled.client_order_id} was resting, is canceled" in str(report)
    with journal.reading() as reading:
        assert not reading.halts.kill_state().engaged
    trades_again(member, journal, work, tmp_path, other)
    found = verify(sqlite_journal, exchange_orders=exchange_orders(member))
    assert found.verdict is AuditVerdict.EXPLAINED, str(found)
    assert "so it was changed elsewhere" in str(found)


def foreign(market: Row, price: str, **more: object) -> Row:
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


def test_acknowledged_foreign_order_rests_trades_and_ends_without_a_difference(
    member: SandboxMember, journal_engine: sa.Engine, tmp_path: Path
) -> None:
    journal, (market, other) = ready_journal(journal_engine), markets(member, 2)
    sessions.close(journal, live_trader(member, journal).session, "done")
    bid = market["yes_bid_dollars"]
    made = by_hand(member, "POST", "/portfolio/events/orders", **foreign(market, bid)).json()
    work = reconciler(member, journal)
    assert kinds(work.reconcile()) == [DifferenceKind.FOREIGN_ORDER]
    acknowledge(work, second=False)
    trades_again(member, journal, work, tmp_path, other)
    ahead = Decimal(market["yes_bid_size_fp"]) + 1
    order = {"side": "ask", "price": bid, "count": f"{ahead:.2f}", "time_in_force": "immediate_or_cancel"}
    member.steer("POST", f"/markets/{market['ticker']}/orders", **order)
    report = work.reconcile()
    assert report.clean, str(report)
    assert "of an acknowledged order" in str(report)
    with journal.reading() as reading:
        held = {each.ticker: each for each in reading.ledger.markets(ACCOUNT)}
    place = held[market["ticker"]]
    assert (place.position_centicontracts, place.open_bids_centicontracts) == (100, 100)
    path = f"/portfolio/events/orders/{made['order_id']}?market_ticker={market['ticker']}"
    assert by_hand(member, "DELETE", path).status_code == 200
    trades_again(member, journal, work, tmp_path, other)
    found = verify(journal_engine, exchange_orders=exchange_orders(member))
    assert found.verdict is AuditVerdict.EXPLAINED, str(found)
    assert "not acknowledged" not in str(found)


def test_F75_acknowledged_foreign_order_that_grows_is_reported_again(
    member: SandboxMember, sqlite_journal: sa.Engine, tmp_path: Path
) -> None:
    journal, (market, other) = ready_journal(sqlite_journal), markets(member, 2)
    sessions.close(journal, live_trader(member, journal).session, "done")
    price = price_near(market["yes_bid_dollars"], "-0.05")
    made = by_hand(member, "POST", "/portfolio/events/orders", **foreign(market, price)).json()
    work = reconciler(member, journal)
    assert kinds(work.reconcile()) == [DifferenceKind.FOREIGN_ORDER]
    acknowledge(work, second=False)
    body = {"ticker": market["ticker"], "side": "bid", "price": price, "count": "9.00"}
    answer = by_hand(member, "POST", f"/portfolio/events/orders/{made['order_id']}/amend", **body)
    assert answer.status_code in (200, 201)
    assert kinds(work.reconcile()) == [DifferenceKind.FOREIGN_ORDER]
    with journal.reading() as reading:
        held = {each.ticker: each for each in reading.ledger.markets(ACCOUNT)}
    assert held[market["ticker"]].open_bids_centicontracts == 900
    acknowledge(work, second=False)
    trades_again(member, journal, work, tmp_path, other)


def test_F75_foreign_trade_is_explained_only_after_a_person_acknowledged_it(
    member: SandboxMember, sqlite_journal: sa.Engine, tmp_path: Path
) -> None:
    journal, (market, other) = ready_journal(sqlite_journal), markets(member, 2)
    sessions.close(journal, live_trader(member, journal).session, "done")
    order = foreign(market, market["yes_ask_dollars"], time_in_force="immediate_or_cancel")
    assert by_hand(member, "POST", "/portfolio/events/orders", **order).status_code == 201
    work = reconciler(member, journal)
    assert kinds(work.reconcile()) == [DifferenceKind.FOREIGN_FILL]
    assert "not acknowledged yet" in str(verify(sqlite_journal, exchange_orders=exchange_orders(member)))
    acknowledge(work, second=False)
    with pytest.raises(NotAcknowledged, match="every fact is explained"):
        work.show_evidence()
    trades_again(member, journal, work, tmp_path, other)
    found = verify(sqlite_journal, exchange_orders=exchange_orders(member))
    assert found.verdict is AuditVerdict.EXPLAINED, str(found)
    assert "not acknowledged" not in str(found)


def test_F68_signal_of_an_earlier_journal_is_acknowledged_and_never_traded_twice(
    member: SandboxMember, journal_engine: sa.Engine, sqlite_journal_url: str, tmp_path: Path
) -> None:
    """A fresh journal meets 409, because an earlier journal used the client order id of the signal."""
    market, other = markets(member, 2)
    again = proposed(market, count=Contracts(200))
    shutil.copy(sqlite_journal_url.removeprefix("sqlite:///"), tmp_path / "earlier.db")
    earlier = open_journal(f"sqlite:///{tmp_path / 'earlier.db'}")
    before = ready_journal(earlier)
    first = live_trader(member, before)
    assert first.executor.decide(again).outcome is DecisionOutcome.PLACED
    sessions.close(before, first.session, "done")
    earlier.dispose()
    journal = ready_journal(journal_engine)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sandbox_member, "record_reconciliation", lambda _: None)
        trader = live_trader(member, journal)
    work = reconciler(member, journal)
    assert work.reconcile(own_session=trader.session.session_id).clean
    assert trader.executor.decide(again).outcome is DecisionOutcome.UNKNOWN
    report = work.reconcile(own_session=trader.session.session_id)
    assert DifferenceKind.ORDER_DIVERGED in kinds(report), str(report)
    acknowledge(work, second=True)
    trades_again(member, journal, work, tmp_path, other)
    repeated = live_trader(member, journal)
    second = replace(again, signal=replace(again.signal, attempt=2))
    assert repeated.executor.decide(second).reason is DenialReason.ATTEMPT_NOT_DUE
    found = verify(journal_engine, exchange_orders=exchange_orders(member))
    assert found.verdict is AuditVerdict.EXPLAINED, str(found)


# --- incidents that the sandbox cannot cause, with a scripted account


@pytest.fixture
def bench(journal_engine: sa.Engine) -> Bench:
    return Bench(order_steps(journal_engine))


def goes_on(bench: Bench, *, second: bool) -> None:
    """Acknowledge what differs, and check that a new session can send an order afterwards."""
    bench.end_session()
    acknowledge(bench.work, second=second)
    report = bench.reconcile()
    assert report.clean, str(report)
    with bench.steps.journal.writing() as transaction:
        if transaction.reading.halts.kill_state().engaged:
            transaction.halts.release("carol", "clean")
    next_session(bench.steps, 2)
    sent = bench.steps.record_sent(ticker=f"{EVENT}-T9")
    with bench.steps.journal.writing() as transaction:
        transaction.orders.record_answer(sent, OrderState.REJECTED, filled_centicontracts=0)
    found = verify(bench.steps.journal._engine, exchange_orders=bench.account.listed)
    assert found.verdict is AuditVerdict.EXPLAINED, str(found)


def test_F75_missing_order_is_closed_by_two_persons_and_reported_if_it_appears(bench: Bench) -> None:
    intent, order = bench.resting()
    bench.account.listed = []
    assert bench.kinds() == [DifferenceKind.ORDER_MISSING]
    goes_on(bench, second=True)
    assert bench.state(intent) is OrderState.CANCELED
    bench.account.listed = [order]
    assert bench.kinds() == [DifferenceKind.FOREIGN_ORDER]
    bench.account.listed = []


@pytest.mark.parametrize("resting", [True, False])
def test_missing_fills_are_acknowledged_as_a_position(bench: Bench, resting: bool) -> None:
    _, order = bench.resting()
    changed = replace(order, filled_centicontracts=400, remaining_centicontracts=600)
    if not resting:
        changed = replace(changed, status=CANCELED, remaining_centicontracts=0)
    bench.account.listed = [changed]
    bench.account.held = {TICKER: Holding(TICKER, 400, 2_000_000)}
    assert DifferenceKind.FILLS_MISSING in bench.kinds()
    goes_on(bench, second=True)
    with bench.steps.journal.reading() as reading:
        held = {each.ticker: each for each in reading.ledger.markets(ACCOUNT)}
    assert held[TICKER].position_centicontracts == 400
    assert held[TICKER].open_bids_centicontracts == (600 if resting else 0)


@pytest.mark.parametrize("ended", [CANCELED, EXECUTED, RESTING])
def test_F75_ended_order_that_does_something_else_is_taken_over(bench: Bench, ended: OrderStatus) -> None:
    intent, order = bench.resting()
    with bench.steps.journal.writing() as transaction:
        transaction.orders.record_answer(intent, OrderState.CANCELED, filled_centicontracts=0)
    filled = {CANCELED: 100, EXECUTED: 1_000, RESTING: 0}[ended]
    bench.account.listed = [
        replace(
            order,
            status=ended,
            filled_centicontracts=filled,
            remaining_centicontracts=1_000 if ended is RESTING else 0,
        )
    ]
    if filled:
        bench.account.made = [fill_of(order, filled, NOON)]
        bench.account.held = {TICKER: Holding(TICKER, filled, filled * 5_000)}
    assert bench.kinds() == [DifferenceKind.ORDER_DIVERGED]
    goes_on(bench, second=False)
    bench.account.listed = []
    assert bench.reconcile().clean


def test_absent_order_that_was_filled_is_taken_over_and_not_tried_again(bench: Bench) -> None:
    intent = bench.unknown()
    assert bench.reconcile().clean
    assert bench.state(intent) is OrderState.ABSENT
    order = order_of(intent, EXECUTED)
    bench.account.listed = [order]
    bench.account.made = [fill_of(order, 1_000, NOON)]
    bench.account.held = {TICKER: Holding(TICKER, 1_000, 5_000_000)}
    assert bench.kinds() == [DifferenceKind.ORDER_DIVERGED]
    goes_on(bench, second=False)
    with bench.steps.journal.reading() as reading:
        assert reading.acknowledgements.filled_elsewhere(intent.intent_id) == 1_000


@pytest.mark.parametrize("rests", [True, False])
def test_F77_unknown_order_whose_fence_is_never_confirmed_is_closed_by_two_persons(bench: Bench, rests: bool) -> None:
    intent = bench.unknown()
    bench.account.answers = [LOST] * 100
    bench.account.listed = [order_of(intent)] if rests else []
    assert bench.kinds() == [DifferenceKind.FENCE_NOT_CONFIRMED]
    goes_on(bench, second=True)
    assert bench.state(intent) is OrderState.CANCELED
    with bench.steps.journal.reading() as reading:
        held = {each.ticker: each for each in reading.ledger.markets(ACCOUNT)}
    assert held[TICKER].open_bids_centicontracts == (1_000 if rests else 0) if TICKER in held else not rests
    if not rests:
        late = order_of(intent)
        bench.account.listed = [late]
        assert bench.kinds() == [DifferenceKind.ORDER_DIVERGED], "the order arrived after all"
        bench.account.listed = []


def test_twin_of_an_order_is_taken_over_and_the_order_is_kept(bench: Bench) -> None:
    intent, order = bench.resting()
    twin = replace(order, order_id="order-twin")
    bench.account.listed = [order, twin]
    assert set(bench.kinds()) == {DifferenceKind.ORDER_DIVERGED}
    goes_on(bench, second=False)
    assert bench.state(intent) is OrderState.RESTING
    with bench.steps.journal.reading() as reading:
        held = {each.ticker: each for each in reading.ledger.markets(ACCOUNT)}
    assert held[TICKER].open_bids_centicontracts == 2_000
    bench.account.listed = [order]
    assert bench.reconcile().clean
    bench.account.listed = [replace(order, status=CANCELED, remaining_centicontracts=0)]
    assert bench.reconcile().clean
    assert bench.state(intent) is OrderState.CANCELED


def test_F50_fee_above_its_bound_is_acknowledged_once(bench: Bench) -> None:
    _, order = bench.resting()
    bench.account.listed = [replace(order, filled_centicontracts=1, remaining_centicontracts=999)]
    bench.account.made = [fill_of(order, 1, NOON, fee_microdollars=1_000_000)]
    bench.account.held = {TICKER: Holding(TICKER, 1, 5_000)}
    assert bench.kinds() == [DifferenceKind.FEE_ABOVE_BOUND]
    bench.account.listed = [replace(order, status=CANCELED, filled_centicontracts=1, remaining_centicontracts=0)]
    assert bench.reconcile().clean
    goes_on(bench, second=False)


def evidence_of_a_lost_order(bench: Bench) -> Evidence:
    """Return the evidence of a resting order that the exchange does not list, after its session has ended."""
    bench.resting()
    bench.account.listed = []
    bench.reconcile()
    bench.end_session()
    return bench.work.show_evidence()


def test_old_digest_is_refused_once_and_with_the_new_evidence(bench: Bench) -> None:
    evidence = evidence_of_a_lost_order(bench)
    with pytest.raises(NotAcknowledged, match="The evidence has another digest now") as refused:
        bench.work.acknowledge("0" * 12, ANN)
    assert evidence.sha256[:12] in refused.value.problem
    assert "othing was recorded" not in refused.value.problem, "the command itself says so"


@pytest.mark.parametrize("by", [" ann", "Ann", "ann\u200b", "\uff41nn"])
def test_F77_one_person_cannot_sign_twice_in_two_spellings(bench: Bench, by: str) -> None:
    evidence = evidence_of_a_lost_order(bench)
    assert bench.work.acknowledge(evidence.sha256, ANN).number is None
    assert bench.work.acknowledge(evidence.sha256, replace(ANN, by=by)).number is None
    assert bench.work.acknowledge(evidence.sha256, BOB).number is not None


def test_F77_one_person_cannot_sign_twice_and_a_signature_expires(bench: Bench) -> None:
    evidence = evidence_of_a_lost_order(bench)
    assert bench.work.acknowledge(evidence.sha256, ANN).number is None
    bench.steps.clock.now_us += 24 * HOUR + 1
    assert bench.work.show_evidence().sha256 == evidence.sha256
    assert bench.work.acknowledge(evidence.sha256, BOB).number is None, "ann's signature is older than a day"
    assert bench.work.acknowledge(evidence.sha256, ANN).number is not None


@pytest.mark.parametrize("state", [OrderState.CANCELED, OrderState.UNKNOWN])
def test_journal_stopped_by_a_capped_reduce_only_order_trades_again(bench: Bench, state: OrderState) -> None:
    """An earlier version stopped for ever when the exchange capped a reduce-only order at the position."""
    sent = bench.steps.record_sent(reduce_only=True, count_centicontracts=800)
    order = order_of(sent, EXECUTED, count_centicontracts=500, filled_centicontracts=500)
    with bench.steps.journal.writing() as transaction:
        known = state is OrderState.CANCELED
        transaction.orders.record_answer(
            sent,
            state,
            order_id=order.order_id if known else None,
            filled_centicontracts=500 if known else None,
        )
        transaction.reconciliations.record(ACCOUNT, NOON, NOON, differences=1, clean=False, report="order_diverged")
        transaction.halts.engage(1, "reconciler", "reconciler", "order_diverged: its count is 500, not 800")
    bench.account.listed = [order]
    bench.account.made = [fill_of(order, 500, NOON)]
    bench.account.held = {TICKER: Holding(TICKER, 500, 2_500_000)}
    report = bench.reconcile()
    assert report.clean, str(report)
    bench.end_session()
    with pytest.raises(NotAcknowledged, match="every fact is explained"):
        bench.work.show_evidence()
    with bench.steps.journal.writing() as transaction:
        transaction.halts.release("carol", "the exchange capped it")
    next_session(bench.steps, 2)
    bench.steps.record_sent(ticker=f"{EVENT}-T9")
    found = verify(bench.steps.journal._engine, exchange_orders=[order])
    assert found.verdict is AuditVerdict.CLEAN, str(found)
