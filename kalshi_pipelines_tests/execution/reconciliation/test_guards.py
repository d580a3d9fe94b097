"""Guards of reconciliation: how long to wait, what to accept as proof, and which differences to report."""

import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.journal.errors import JournalRefused
from kalshi_pipelines.execution.journal.journal import Journal, initialise
from kalshi_pipelines.execution.journal.records import Binding, Intent, Mode, ScopeKind, Signature
from kalshi_pipelines.execution.journal.tables import scopes
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.answers import OrderAnswer, SendFailure
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.evidence import (
    ExchangeOrder,
    Holding,
    OrderStatus,
    OrderSweep,
    Settlement,
    merge_orders,
)
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import OrderId, Side
from kalshi_pipelines.execution.reconciliation.account import UnreadableAccount
from kalshi_pipelines.execution.reconciliation.evidence import NotAcknowledged
from kalshi_pipelines.execution.reconciliation.matching import (
    Diverged,
    Found,
    NotThere,
    end_contradiction,
    match_intent,
)
from kalshi_pipelines.execution.reconciliation.positions import take_over
from kalshi_pipelines.execution.reconciliation.report import (
    HALTING,
    AccountDifference,
    DifferenceKind,
    ReconciliationReport,
    ResolvedOrder,
)
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable
from kalshi_pipelines_tests.support.execution.exchange_answers import JSON, confirmed, refusal
from kalshi_pipelines_tests.support.execution.order_steps import (
    ACCOUNT,
    EVENT,
    GROUP,
    HOST,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    TICKER,
    Clock,
    OrderSteps,
    new_session,
    open_session,
    order_steps,
)
from kalshi_pipelines_tests.support.execution.reconciliation_bench import GTC, LOST, Bench
from kalshi_pipelines_tests.support.execution.scripted_account import (
    CANCELED,
    EXECUTED,
    RESTING,
    fill_of,
    foreign_order,
    order_of,
)

DOWN = KalshiError("down", "Wait.")
OTHER_GROUP = GROUP[:-1] + "7"
K = DifferenceKind


@pytest.fixture
def bench(sqlite_journal: sa.Engine) -> Bench:
    return Bench(order_steps(sqlite_journal))


# --- leftovers of earlier processes


@pytest.mark.parametrize("is_sent", [True, False])
@pytest.mark.parametrize(
    ("age_us", "own", "lives", "left"),
    [
        (60 * SECOND - 1, False, True, False),
        (60 * SECOND, False, True, True),
        (0, True, True, True),
        (0, False, False, True),
    ],
)
def test_F03_order_in_progress_is_left_alone_only_in_a_live_session(
    bench: Bench, is_sent: bool, age_us: int, own: bool, lives: bool, left: bool
) -> None:
    steps = bench.steps
    intent = steps.record_sent(valid_until_us=NOON + 1) if is_sent else steps.reserve(valid_until_us=NOON + 1)
    if not lives:
        with steps.journal.writing() as transaction:
            transaction.sessions.end(steps.session_id, "over")
    steps.clock.now_us += age_us
    bench.account.lag_us = 2 * HOUR
    report = bench.reconcile(steps.session_id if own else None)
    after = OrderState.UNKNOWN if is_sent else OrderState.ABANDONED
    assert bench.state(intent) is (after if left else intent.state)
    marked = ResolvedOrder(intent.intent_id, intent.client_order_id, intent.state, after)
    assert report.resolved == ((marked,) if left else ())
    assert report.unresolved == ((intent.client_order_id,) if left and is_sent else ())


def test_reserved_order_waits_for_a_person_until_it_expires(bench: Bench) -> None:
    intent = bench.steps.reserve(valid_until_us=NOON + 5 * MINUTE)
    for late, state in [(0, OrderState.RESERVED), (1, OrderState.ABANDONED)]:
        bench.steps.clock.now_us = NOON + 5 * MINUTE + late
        bench.reconcile()
        assert bench.state(intent) is state


def test_session_without_its_lease_keeps_no_order(bench: Bench) -> None:
    bench.steps.clock.now_us = NOON + HOUR - SECOND
    intent = bench.steps.record_sent()
    bench.account.lag_us = 2 * HOUR
    for us, state in [(SECOND - 1, OrderState.SENDING), (SECOND, OrderState.UNKNOWN)]:
        bench.steps.clock.now_us = NOON + HOUR - SECOND + us
        bench.reconcile()
        assert bench.state(intent) is state


# --- fencing of order groups


@pytest.mark.parametrize(
    ("answers", "server_us", "expected_us", "paused"),
    [
        ([], NOON + 3 * SECOND, NOON + 3 * SECOND, []),
        ([], NOON - 3 * SECOND, NOON - 3 * SECOND, []),
        ([], None, NOON + 10 * SECOND, []),
        ([LOST, OrderAnswer(500), OrderAnswer(503)], NOON, NOON, [1.0, 2.0, 4.0]),
        ([OrderAnswer(200, failure=SendFailure.LOST)], NOON, NOON, [1.0]),
        ([OrderAnswer(201, b"{}", content_type=JSON)], NOON, NOON, [1.0]),
    ],
)
def test_F07_trigger_is_repeated_until_confirmed_by_the_exchange_s_clock(
    bench: Bench, answers: list[OrderAnswer], server_us: int | None, expected_us: int, paused: list[float]
) -> None:
    with bench.steps.journal.writing() as transaction:
        transaction.sessions.add_group(bench.steps.session_id, 2, OTHER_GROUP, 1_000_000)
    intent = bench.unknown(exchange_index=2, order_group_id=OrderId(OTHER_GROUP))
    bench.account.answers = [*answers, confirmed(server_us)]
    report = bench.reconcile()
    assert bench.state(intent) is OrderState.ABSENT
    assert bench.fence_us(OTHER_GROUP) == expected_us
    assert bench.account.written == [("trigger", OTHER_GROUP, "2")] * (len(answers) + 1)
    assert bench.paused[: len(paused)] == paused
    assert (report.figures["fences_set"], report.figures["sweeps_of_markets"]) == (1, 1)
    assert bench.passed[:5] == [
        Checkpoint.LEFTOVERS_MARKED,
        Checkpoint.FENCED,
        Checkpoint.FENCE_COMMITTED,
        Checkpoint.SWEPT,
        Checkpoint.RESOLVED,
    ]
    with bench.steps.journal.reading() as reading:
        assert reading.sessions.lease(ACCOUNT) is None
    again = bench.reconcile()
    assert (again.clean, again.figures["fences_set"]) == (True, 0)


@pytest.mark.parametrize(("ahead_ms", "refused"), [(2_001, True), (2_000, False), (-2_001, True), (None, False)])
def test_F18_skewed_clock_judges_and_records_nothing(bench: Bench, ahead_ms: int | None, refused: bool) -> None:
    intent = bench.unknown()
    order = order_of(intent, EXECUTED)
    bench.account.listed, bench.account.made = [order], [fill_of(order, 1_000, NOON)]
    bench.account.held = {TICKER: Holding(TICKER, 1_000, 5_000_000)}
    bench.account.ahead_ms = ahead_ms
    report = bench.reconcile()
    assert (bench.state(intent) is OrderState.UNKNOWN, report.clean is False) == (refused, refused)
    assert (bench.steps.reload(intent).filled_centicontracts == 0, bench.account.written == []) == (refused, refused)
    if refused:
        assert bench.account.read == []
        assert [str(each) for each in report.differences] == [
            f"clock_skewed this computer's clock: the exchange's clock is {ahead_ms} ms ahead, "
            "2000 ms are allowed: synchronise this computer's clock (NTP)"
        ]
        assert bench.kill() is None
        bench.account.ahead_ms = 0
        assert bench.reconcile().clean


def test_F07_fence_set_with_a_clock_far_ahead_still_proves_an_absence(bench: Bench) -> None:
    intent = bench.unknown()
    bench.steps.clock.now_us += 365 * 24 * HOUR
    bench.account.lag_us = 365 * 24 * HOUR - 2 * SECOND
    bench.account.answers = [confirmed(NOON + SECOND)]
    bench.reconcile()
    assert bench.state(intent) is OrderState.ABSENT


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (LOST, "gone"),
        (refusal(404, "not_found"), "404 not_found: not found"),
        (OrderAnswer(200, b"<html>", content_type="text/html"), "200 <html>"),
        (OrderAnswer(200, b"<html>", content_type=JSON), "200 <html>"),
        (OrderAnswer(200, b"{}", content_type="text/html"), "200 {}"),
    ],
)
def test_F07_outcome_without_a_confirmed_fence_stays_unknown(bench: Bench, answer: OrderAnswer, detail: str) -> None:
    intent = bench.unknown()
    bench.account.answers = [answer] * 4
    report = bench.reconcile()
    assert report.differences[0] == AccountDifference(
        K.FENCE_NOT_CONFIRMED, GROUP, f"The exchange did not confirm the trigger of the order group: {detail}."
    )
    assert (report.clean, report.unresolved) == (False, (intent.client_order_id,))
    assert bench.state(intent) is OrderState.UNKNOWN
    assert len(bench.account.written) == 4
    assert not [what for what in bench.account.read if what[0] == "orders" and what[2] is not None]


def test_one_fence_serves_all_orders_of_a_group(bench: Bench) -> None:
    first, second = bench.unknown(), bench.unknown(ticker=f"{EVENT}-T2")
    bench.at[Checkpoint.FENCE_COMMITTED] = lambda: None
    assert bench.reconcile().figures["fences_set"] == 1
    assert [bench.state(each) for each in (first, second)] == [OrderState.ABSENT] * 2
    assert bench.account.written == [("trigger", GROUP, "0")]


def test_fence_committed_by_another_process_meanwhile_is_used(bench: Bench) -> None:
    intent = bench.unknown()

    def another() -> None:
        with bench.steps.journal.writing() as transaction:
            transaction.evidence.record_fence(GROUP, NOON + 5 * SECOND)

    bench.at[Checkpoint.FENCED] = another
    report = bench.reconcile()
    assert (report.figures["fences_set"], bench.fence_us()) == (0, NOON + 5 * SECOND)
    assert bench.state(intent) is OrderState.ABSENT


def test_F07_fence_of_an_earlier_run_is_used_and_each_group_has_its_own(bench: Bench) -> None:
    with bench.steps.journal.writing() as transaction:
        transaction.sessions.add_group(bench.steps.session_id, 2, OTHER_GROUP, 1_000_000)
    first = bench.unknown()
    second = bench.unknown(exchange_index=2, order_group_id=OrderId(OTHER_GROUP), ticker=f"{EVENT}-T2")
    report = bench.reconcile()
    assert (report.figures["fences_set"], report.figures["sweeps_of_markets"]) == (2, 2)
    assert [bench.state(each) for each in (first, second)] == [OrderState.ABSENT] * 2


def test_F05_process_that_dies_after_its_fence_is_continued_by_the_next(bench: Bench) -> None:
    intent = bench.unknown()
    with bench.steps.journal.writing() as transaction:
        transaction.evidence.record_fence(GROUP, NOON)
    report = bench.reconcile()
    assert (bench.account.written, report.figures["fences_set"]) == ([], 0)
    assert bench.state(intent) is OrderState.ABSENT


def test_F09_order_with_other_terms_at_the_exchange_stays_unknown(bench: Bench) -> None:
    intent = bench.unknown()
    bench.account.listed = [order_of(intent, CANCELED, price_centicents=5_001)]
    report = bench.reconcile()
    # The wrong price is reported twice: by the sweep of the market and by the comparison of the account.
    difference = AccountDifference(K.ORDER_DIVERGED, intent.client_order_id, "its price is $0.5001, not $0.50")
    assert report.differences == (difference, difference)
    assert (bench.state(intent), report.resolved) == (OrderState.UNKNOWN, ())
    assert report.unresolved == (intent.client_order_id,)
    assert bench.kill() is not None


# --- reads of the account after fencing


@pytest.mark.parametrize(("lag_us", "resolved"), [(-SECOND, True), (1 - SECOND, False)])
def test_F07_reads_must_be_a_second_newer_than_the_fence(bench: Bench, lag_us: int, resolved: bool) -> None:
    intent = bench.unknown()
    bench.account.lag_us = lag_us
    report = bench.reconcile()
    assert (bench.state(intent) is OrderState.ABSENT) is resolved
    if not resolved:
        assert report.differences[0] == AccountDifference(
            K.WATERMARK_BEHIND, "account", "the exchange's reads are 1 microseconds older than needed"
        )
        assert bench.paused == [0.5] * 4


@pytest.mark.parametrize("failure", [DOWN, UnreadableAccount("a row"), WarehouseUnavailable("locked")])
def test_failing_reads_are_tried_again_and_reported(bench: Bench, failure: Exception) -> None:
    intent = bench.unknown()
    bench.account.failing["as_of"] = [failure] * 2
    assert bench.reconcile().clean
    assert bench.paused[:2] == [0.5, 0.5]
    assert bench.state(intent) is OrderState.ABSENT


def test_reads_that_never_recover_leave_every_order_unknown(bench: Bench) -> None:
    intent = bench.unknown()
    bench.account.failing["as_of"] = [DOWN] * 20
    report = bench.reconcile()
    assert [(each.kind, each.detail) for each in report.differences] == [
        (K.WATERMARK_BEHIND, str(DOWN)),
        (K.EXCHANGE_UNREADABLE, str(DOWN)),
    ]
    assert (report.as_of_us, report.clean, bench.state(intent)) == (None, False, OrderState.UNKNOWN)
    assert bench.kill() is None


def test_F07_sweep_older_than_the_fence_proves_nothing(bench: Bench) -> None:
    intent = bench.unknown()
    bench.account.then["as_of"] = [
        lambda: None,
        lambda: setattr(bench.account, "lag_us", 1 - SECOND),
        lambda: None,
        lambda: setattr(bench.account, "lag_us", -HOUR),
    ]
    report = bench.reconcile()
    assert report.differences == (
        AccountDifference(K.WATERMARK_BEHIND, TICKER, "the exchange's reads became older again"),
    )
    assert bench.state(intent) is OrderState.UNKNOWN
    assert bench.reconcile().clean
    assert bench.state(intent) is OrderState.ABSENT


def test_F07_absence_is_read_twice_from_an_hour_before_the_order(bench: Bench) -> None:
    intent = bench.unknown()
    bench.reconcile()
    looks = [what for what in bench.account.read if what[0] == "orders" and what[2] is not None]
    assert looks == [("orders", NOON - HOUR, TICKER)] * 2
    assert bench.paused[0] == 0.5
    with bench.steps.journal._engine.connect() as connection:
        sweeps = connection.execute(sa.text("SELECT pages, complete, as_of_us FROM sweeps")).mappings().all()
    assert [dict(each) for each in sweeps] == [{"pages": 6, "complete": 1, "as_of_us": NOON + HOUR}]
    assert bench.state(intent) is OrderState.ABSENT


def test_F07_order_found_only_by_the_second_sweep_is_found(bench: Bench) -> None:
    intent = bench.unknown()
    bench.account.then["orders"] = [
        lambda: None,
        lambda: bench.account.listed.append(order_of(intent, CANCELED)),
    ]
    report = bench.reconcile()
    assert (report.clean, bench.state(intent)) == (True, OrderState.CANCELED)
    assert report.resolved == (
        ResolvedOrder(intent.intent_id, intent.client_order_id, OrderState.UNKNOWN, OrderState.CANCELED),
    )


@pytest.mark.parametrize(
    ("status", "filled", "posted", "state"),
    [
        (EXECUTED, 1_000, 1_000, OrderState.EXECUTED),
        (EXECUTED, 1_000, 999, OrderState.UNKNOWN),
        (CANCELED, 0, 0, OrderState.CANCELED),
        (CANCELED, 300, 300, OrderState.CANCELED),
        (CANCELED, 300, 0, OrderState.UNKNOWN),
        (RESTING, 0, 0, OrderState.UNKNOWN),
    ],
)
def test_F06_ended_order_with_all_its_fills_needs_no_fence(
    bench: Bench, status: OrderStatus, filled: int, posted: int, state: OrderState
) -> None:
    intent = bench.unknown()
    order = order_of(intent, status, filled_centicontracts=filled)
    bench.account.listed = [order]
    bench.account.made = [fill_of(order, posted, NOON)] if posted else []
    bench.account.held = {TICKER: Holding(TICKER, posted, 5_000 * posted)} if posted else {}
    bench.account.answers = [OrderAnswer(404, b"{}")] * 4
    report = bench.reconcile()
    assert bench.state(intent) is state
    assert report.differences[0].kind is K.FENCE_NOT_CONFIRMED
    if state is not OrderState.UNKNOWN:
        assert [(each.before, each.after) for each in report.resolved] == [(OrderState.UNKNOWN, state)]
        assert bench.reconcile().clean


def test_F06_two_ended_orders_with_one_id_prove_nothing_without_a_fence(bench: Bench) -> None:
    intent = bench.unknown()
    bench.account.listed = [order_of(intent, CANCELED), order_of(intent, CANCELED, order_id="order-twin")]
    bench.account.answers = [OrderAnswer(404, b"{}")] * 4
    bench.reconcile()
    assert bench.state(intent) is OrderState.UNKNOWN


def test_F07_order_with_recorded_fills_is_never_absent(bench: Bench) -> None:
    intent = bench.unknown()
    order = order_of(intent)
    with bench.steps.journal.writing() as transaction:
        transaction.fills.record(fill_of(order, 900, NOON), transaction.reading.orders.intent(intent.intent_id))
        before = transaction.reading.ledger.standings(ACCOUNT, Mode.LIVE, {ScopeKind.DAY: "2026-11-23"})
    report = bench.reconcile()
    assert report.differences[0] == AccountDifference(
        K.ORDER_DIVERGED,
        intent.client_order_id,
        "9.00 contracts are filled, but no list of orders contains the order",
    )
    assert (bench.state(intent), report.clean) == (OrderState.UNKNOWN, False)
    assert bench.kill() is not None
    with bench.steps.journal.reading() as reading:
        assert reading.ledger.standings(ACCOUNT, Mode.LIVE, {ScopeKind.DAY: "2026-11-23"}) == before


def test_F07_journal_keeps_the_notional_of_filled_orders_and_no_absence(bench: Bench) -> None:
    intent = bench.unknown()
    with bench.steps.journal.writing() as transaction:
        transaction.fills.record(fill_of(order_of(intent), 900, NOON), intent)
    with pytest.raises(JournalRefused, match="absent:filled"), bench.steps.journal.writing() as transaction:
        transaction.orders.record_absence(intent, 1)
    assert bench.state(intent) is OrderState.UNKNOWN


@pytest.mark.parametrize("filled", [0, 1])
@pytest.mark.parametrize("state", [OrderState.REJECTED, OrderState.ABANDONED])
def test_only_the_notional_of_unfilled_contracts_is_released(bench: Bench, filled: int, state: OrderState) -> None:
    intent = bench.steps.reserve()
    if state is OrderState.REJECTED:
        bench.steps.record_sending(intent)
    with bench.steps.journal.writing() as transaction:
        if filled:
            transaction.fills.record(
                fill_of(order_of(intent), filled, NOON), transaction.reading.orders.intent(intent.intent_id)
            )
        present = transaction.reading.orders.intent(intent.intent_id)
        if state is OrderState.REJECTED:
            transaction.orders.record_answer(present, state, filled_centicontracts=0)
        else:
            transaction.orders.abandon(present, DenialReason.PROPOSAL_EXPIRED, "late")
        (day,) = transaction.reading.ledger.standings(ACCOUNT, Mode.LIVE, {ScopeKind.DAY: "2026-11-23"})
    assert day.notional_microdollars == (intent.notional_microdollars if filled else 0)


def test_F04_found_order_gets_its_id_state_and_fills(bench: Bench) -> None:
    intent = bench.unknown()
    order = order_of(intent, EXECUTED)
    bench.account.listed = [order]
    bench.account.made = [fill_of(order, 1_000, NOON)]
    bench.account.held = {TICKER: Holding(TICKER, 1_000, 5_000_000)}
    report = bench.reconcile()
    reloaded = bench.steps.reload(intent)
    assert report.clean, str(report)
    assert (reloaded.state, reloaded.order_id, reloaded.reported_filled_centicontracts) == (
        OrderState.EXECUTED,
        order.order_id,
        1_000,
    )
    assert len([what for what in bench.account.read if what[0] == "orders" and what[2] is not None]) == 1


@pytest.mark.parametrize("failure", [DOWN, UnreadableAccount("a row")])
def test_unreadable_page_leaves_the_order_unknown(bench: Bench, failure: Exception) -> None:
    intent = bench.unknown()
    bench.account.failing["orders"] = [failure]
    report = bench.reconcile()
    assert report.differences == (AccountDifference(K.EXCHANGE_UNREADABLE, TICKER, str(failure)),)
    assert bench.state(intent) is OrderState.UNKNOWN


def test_outcome_recorded_by_another_process_meanwhile_is_kept(bench: Bench) -> None:
    intent = bench.unknown()

    def meanwhile() -> None:
        with bench.steps.journal.writing() as transaction:
            present = transaction.reading.orders.intent(intent.intent_id)
            transaction.orders.record_answer(
                present, OrderState.CANCELED, order_id="order-found", filled_centicontracts=0
            )

    bench.at[Checkpoint.SWEPT] = meanwhile
    report = bench.reconcile()
    assert (report.resolved, report.figures["sweeps_of_markets"]) == ((), 0)
    assert bench.state(intent) is OrderState.CANCELED


# --- matching of orders


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"ticker": f"{EVENT}-T2"}, f"its market is {EVENT}-T2, not {TICKER}"),
        ({"side": Side.ASK}, "its side is ask, not bid"),
        ({"price_centicents": 5_001}, "its price is $0.5001, not $0.50"),
        ({"count_centicontracts": 1_001}, "its count is 10.01 contracts, not 10.00 contracts"),
        ({"order_group_id": "another"}, f"its order group is another, not {GROUP}"),
        ({"filled_centicontracts": 1}, "its filled and remaining contracts are more than were ordered"),
        ({"remaining_centicontracts": 0}, "it rests with no contracts remaining"),
    ],
)
def test_F09_order_with_other_terms_is_not_the_sent_order(bench: Bench, changes: dict[str, Any], why: str) -> None:
    intent = bench.unknown()
    order = order_of(intent)
    assert match_intent(intent, _sweep(order)) == Found(order)
    assert match_intent(intent, _sweep(replace(order, order_group_id=None))) == Found(
        replace(order, order_group_id=None)
    )
    assert match_intent(intent, _sweep(replace(order, **changes))) == Diverged(why)
    assert match_intent(intent, _sweep(foreign_order())) == NotThere()
    twin = replace(order, order_id="order-twin")
    assert match_intent(intent, _sweep(twin, order)) == Diverged(
        f"2 orders have its client order id: {order.order_id}, order-twin"
    )


def test_order_with_a_known_id_is_searched_by_both_ids(bench: Bench) -> None:
    intent, order = bench.resting()
    assert match_intent(intent, _sweep(order)) == Found(order)
    other = replace(order, client_order_id="somebody-else")
    assert isinstance(match_intent(intent, _sweep(other)), Diverged)
    moved = replace(order, order_id="order-other")
    assert match_intent(intent, _sweep(moved)) == Diverged(f"its order id is order-other, not {order.order_id}")
    assert match_intent(intent, _sweep(foreign_order())) == NotThere()


def _sweep(*orders: ExchangeOrder) -> OrderSweep:
    return OrderSweep({order.order_id: order for order in orders}, 1, "a" * 64)


@pytest.mark.parametrize("state", OrderState)
def test_final_states_that_exclude_an_order_contradict_its_presence(bench: Bench, state: OrderState) -> None:
    intent = replace(bench.steps.reserve(), state=state, reported_filled_centicontracts=1_000)
    wrong = {
        name
        for name, order in {
            "rests": order_of(intent),
            "filled": order_of(intent, EXECUTED),
            "nothing": order_of(intent, CANCELED),
        }.items()
        if end_contradiction(intent, order) is not None
    }
    there = {OrderState.SENDING, OrderState.UNKNOWN, OrderState.RESTING, OrderState.PENDING_CANCEL}
    ended = {OrderState.EXECUTED, OrderState.CANCELED}
    assert wrong == (set() if state in there else {"rests", "nothing"} if state in ended else {"rests", "filled"})


def test_later_of_two_readings_of_an_order_counts(bench: Bench) -> None:
    order = order_of(bench.steps.reserve())
    more = replace(order, filled_centicontracts=500, remaining_centicontracts=500)
    newer, ended = replace(order, updated_us=order.updated_us + 1), replace(order, status=CANCELED)
    for earlier, later in [(order, more), (order, newer), (more, ended), (newer, more)]:
        for listed in ([earlier, later], [later, earlier]):
            assert merge_orders(listed) == {order.order_id: later}
    again = replace(order, ticker="KXSAME-26-A")
    assert merge_orders([order, again])[order.order_id] is again


# --- comparison of the whole account with the journal


def test_F48_end_of_a_resting_order_is_recorded_with_its_fills(bench: Bench) -> None:
    intent, order = bench.resting()
    ended = replace(order, status=CANCELED, filled_centicontracts=400, remaining_centicontracts=0)
    bench.account.listed = [ended]
    bench.account.made = [fill_of(order, 400, NOON)]
    bench.account.held = {TICKER: Holding(TICKER, 400, 2_000_000)}
    report = bench.reconcile()
    assert report.clean, str(report)
    assert report.resolved == (
        ResolvedOrder(intent.intent_id, intent.client_order_id, OrderState.RESTING, OrderState.CANCELED),
    )
    after = bench.steps.reload(intent)
    assert (after.state, after.filled_centicontracts, after.reserved_centicontracts) == (
        OrderState.CANCELED,
        400,
        0,
    )
    assert {name: each for name, each in report.figures.items() if name != "positions_adopted"} == {
        "fences_set": 0,
        "sweeps_of_markets": 0,
        "fills_posted": 1,
        "orders_read": 1,
        "positions_read": 1,
    }
    assert "fills_posted" not in bench.reconcile().figures
    assert bench.kill() is None


def _differing(bench: Bench) -> dict[str, tuple[Callable[[Intent, ExchangeOrder], None], DifferenceKind]]:
    account = bench.account

    def changed(**changes: Any) -> Callable[[Intent, ExchangeOrder], None]:
        return lambda _, order: setattr(account, "listed", [replace(order, **changes)])

    return {
        "missing": (lambda *_: account.listed.clear(), K.ORDER_MISSING),
        "worse price": (changed(price_centicents=5_001), K.ORDER_DIVERGED),
        "twice": (lambda _, order: account.listed.append(replace(order, order_id="twin")), K.ORDER_DIVERGED),
        "fills": (changed(filled_centicontracts=1, remaining_centicontracts=999), K.FILLS_MISSING),
        "foreign": (lambda *_: account.listed.append(foreign_order()), K.FOREIGN_ORDER),
        "foreign id": (
            lambda *_: account.listed.append(foreign_order(client_order_id="somebody")),
            K.FOREIGN_ORDER,
        ),
        "foreign fill": (
            lambda *_: account.made.append(fill_of(foreign_order(), 300, NOON)),
            K.FOREIGN_FILL,
        ),
        "drift": (lambda *_: account.held.update({"KXX-26-A": Holding("KXX-26-A", 1, 1)}), K.POSITION_DRIFT),
    }


@pytest.mark.parametrize(
    "name", ["missing", "worse price", "twice", "fills", "foreign", "foreign id", "foreign fill", "drift"]
)
def test_F53_F54_unexplained_facts_are_differences_and_most_halt(bench: Bench, name: str) -> None:
    intent, order = bench.resting()
    assert bench.reconcile().clean
    bench.passed.clear()
    change, kind = _differing(bench)[name]
    change(intent, order)
    found = bench.kinds()
    assert kind in found
    assert (bench.kill() is not None) is (kind in HALTING)
    settles = bool({K.ORDER_DIVERGED, K.ORDER_MISSING, K.FILLS_MISSING, K.POSITION_DRIFT} & set(found))
    assert bench.paused == ([0.5, 1.0] if settles else [])


def test_difference_that_disappears_on_the_next_read_does_not_count(bench: Bench) -> None:
    bench.resting()
    assert bench.reconcile().clean
    rests, bench.account.listed = bench.account.listed, []
    bench.account.then["orders"] = [lambda: None, lambda: setattr(bench.account, "listed", rests)]
    report = bench.reconcile()
    assert (report.clean, bench.paused, bench.kill()) == (True, [0.5], None)


def test_foreign_fill_of_an_earlier_round_stays_in_the_report(bench: Bench) -> None:
    bench.resting()
    assert bench.reconcile().clean
    foreign = foreign_order()
    bench.account.made = [fill_of(foreign, 300, NOON)]
    bench.account.then["holdings"] = [
        lambda: None,
        lambda: bench.account.held.update({foreign.ticker: Holding(foreign.ticker, 300, 1_200_000)}),
    ]
    assert bench.kinds() == [K.FOREIGN_FILL]
    assert bench.kinds() == []


def test_account_that_fails_one_read_is_read_again(bench: Bench) -> None:
    for name in ("orders", "fills", "holdings", "settlements", "as_of"):
        bench.account.failing[name] = [DOWN]
        bench.paused.clear()
        assert bench.reconcile().clean
        assert bench.paused == [0.5]
    bench.account.failing["fills"] = [DOWN] * 3
    report = bench.reconcile()
    assert report.differences == (AccountDifference(K.EXCHANGE_UNREADABLE, "account", str(DOWN)),)
    assert (report.as_of_us, bench.kill()) == (None, None)


def test_F50_fees_above_the_reserved_bound_stop_trading(bench: Bench) -> None:
    intent, order = bench.resting()
    filled = replace(order, filled_centicontracts=400, remaining_centicontracts=600)
    bench.account.listed = [filled]
    bench.account.held = {TICKER: Holding(TICKER, 400, 2_000_000)}
    bench.account.made = [fill_of(order, 400, NOON, fee_microdollars=200_000)]
    assert bench.reconcile().clean
    bench.account.listed = [replace(filled, filled_centicontracts=401, remaining_centicontracts=599)]
    bench.account.held = {TICKER: Holding(TICKER, 401, 2_005_000)}
    bench.account.made.append(fill_of(order, 1, NOON, fee_microdollars=1))
    report = bench.reconcile()
    assert report.differences == (
        AccountDifference(K.FEE_ABOVE_BOUND, intent.client_order_id, "the fees are $0.200001, but the bound was $0.20"),
    )
    assert "its fee is above the bound" in str(bench.kill())


def test_F06_outcome_unknown_for_ten_minutes_stops_trading(bench: Bench) -> None:
    intent = bench.unknown()
    for late, found in [(0, []), (1, [K.UNKNOWN_TOO_LONG])]:
        bench.steps.clock.now_us = NOON + 10 * MINUTE + late
        bench.account.answers = [LOST] * 4
        report = bench.reconcile()
        assert [each.kind for each in report.differences if each.kind is not K.FENCE_NOT_CONFIRMED] == found
    assert report.differences[-1].detail == "for 10 minutes"
    assert report.differences[-1].subject == intent.client_order_id
    assert bench.kill() is not None


def test_sending_order_of_a_live_session_is_not_unresolved(bench: Bench) -> None:
    sent = bench.steps.record_sent()
    assert bench.reconcile().unresolved == ()
    assert bench.state(sent) is OrderState.SENDING


def test_F53_foreign_order_that_ended_is_no_longer_counted(bench: Bench) -> None:
    bench.resting()
    bench.account.listed.append(foreign_order())
    assert bench.kinds() == [K.FOREIGN_ORDER]

    def counted() -> list[int]:
        with bench.steps.journal.reading() as reading:
            return [
                each.open_bids_centicontracts for each in reading.ledger.markets(ACCOUNT) if each.ticker[:3] == "KXO"
            ]

    assert counted() == [200]
    bench.account.listed[-1] = foreign_order(status=CANCELED)
    assert bench.kinds() == []
    assert counted() in ([], [0])
    events = [what[1] for what in bench.account.read if what[0] == "event"]
    assert set(events) == {"KXOTHER-26-A"}


def test_F55_settlement_is_recorded_once_and_ends_the_position(bench: Bench) -> None:
    _, order = bench.resting()
    done = replace(order, status=EXECUTED, filled_centicontracts=1_000, remaining_centicontracts=0)
    bench.account.listed = [done]
    bench.account.made = [fill_of(order, 1_000, NOON)]
    bench.account.held = {TICKER: Holding(TICKER, 1_000, 5_000_000)}
    assert bench.reconcile().clean
    bench.account.held = {}
    bench.account.paid = [Settlement(TICKER, EVENT, 10_000, NOON)]
    assert [bench.reconcile().figures["settlements_posted"] for _ in range(2)] == [1, 0]


def test_reading_starts_before_oldest_open_order_and_last_clean_run(bench: Bench) -> None:
    def since() -> int:
        bench.account.read.clear()
        bench.reconcile()
        [since_us] = {what[1] for what in bench.account.read if what[0] in ("fills", "settlements", "orders")}
        assert isinstance(since_us, int)
        return since_us

    clock = bench.steps.clock
    assert since() == NOON
    clock.now_us = NOON + 30 * MINUTE
    bench.resting()
    assert since() == NOON
    bench.account.lag_us = 0
    clock.now_us = NOON + 3 * HOUR
    assert since() == NOON
    bench.account.listed[0] = replace(bench.account.listed[0], status=CANCELED, remaining_centicontracts=0)
    clock.now_us = NOON + 4 * HOUR
    bench.reconcile()
    clock.now_us = NOON + 5 * HOUR
    assert since() == NOON + 3 * HOUR


def test_account_without_a_session_is_reported_but_not_recorded(sqlite_journal: sa.Engine) -> None:
    clock = Clock()
    initialise(sqlite_journal, "sandbox", clock_us=clock)
    bench = Bench(OrderSteps(Journal(sqlite_journal, "sandbox", clock_us=clock), clock))
    bench.account.held = {TICKER: Holding(TICKER, 1, 1)}
    report = bench.reconcile()
    assert (report.clean, report.figures["positions_to_adopt"]) == (True, 1)
    bench.account.listed = [foreign_order()]
    bench.account.made = [fill_of(foreign_order(), 300, NOON), fill_of(foreign_order(), 1, NOON - 1)]
    assert bench.kinds() == [K.FOREIGN_FILL, K.FOREIGN_ORDER]
    with bench.steps.journal.reading() as reading:
        assert reading.ledger.markets(ACCOUNT) == []


def test_F49_fill_is_ours_by_order_id_or_client_order_id(bench: Bench) -> None:
    sent = bench.steps.record_sent()
    known = order_of(sent, EXECUTED)
    with bench.steps.journal.writing() as transaction:
        transaction.orders.record_answer(
            sent, OrderState.EXECUTED, order_id=known.order_id, filled_centicontracts=1_000
        )
    unknown = bench.unknown(ticker=f"{EVENT}-T2")
    found = order_of(unknown, EXECUTED)
    bench.account.answers = [LOST] * 4
    bench.account.listed = [found]
    bench.account.made = [fill_of(known, 1_000, NOON), fill_of(found, 1_000, NOON)]
    bench.account.held = {each.ticker: Holding(each.ticker, 1_000, 5_000_000) for each in (known, found)}
    report = bench.reconcile()
    assert [each.kind for each in report.differences] == [K.FENCE_NOT_CONFIRMED]
    assert report.figures["fills_posted"] == 2


def test_F54_positions_from_before_the_first_session_are_adopted_once(bench: Bench) -> None:
    bench.account.held = {TICKER: Holding(TICKER, 1, 5_000), "KXX-26-A": Holding("KXX-26-A", -200, 900_000)}
    report = bench.reconcile()
    assert (report.clean, report.figures["positions_adopted"]) == (True, 2)
    again = bench.reconcile()
    assert (again.clean, again.figures.get("positions_adopted")) == (True, None)
    with bench.steps.journal.reading() as reading:
        held = {each.ticker: each.position_centicontracts for each in reading.ledger.markets(ACCOUNT)}
    assert held == {TICKER: 1, "KXX-26-A": -200}


def test_F54_hundredth_of_a_contract_is_a_drift_on_either_side(bench: Bench) -> None:
    intent, order = bench.resting()
    bench.account.listed = [replace(order, filled_centicontracts=1, remaining_centicontracts=999)]
    bench.account.made = [fill_of(order, 1, NOON)]
    bench.account.held = {TICKER: Holding(TICKER, 1, 5_000)}
    assert bench.reconcile().clean
    bench.account.held = {"KXX-26-A": Holding("KXX-26-A", 1, 1)}
    assert [(each.kind, each.subject, each.detail) for each in bench.reconcile().differences] == [
        (K.POSITION_DRIFT, TICKER, "the exchange has 0.00 contracts, the journal 0.01 contracts"),
        (K.POSITION_DRIFT, "KXX-26-A", "the exchange has 0.01 contracts, the journal 0.00 contracts"),
    ]
    assert bench.state(intent) is OrderState.RESTING


def test_F50_breached_cap_is_a_difference_until_a_person_clears_it(bench: Bench) -> None:
    _, order = bench.resting()
    bench.account.listed = [replace(order, filled_centicontracts=1, remaining_centicontracts=999)]
    bench.account.made = [fill_of(order, 1, NOON, fee_microdollars=2_000_000_000)]
    bench.account.held = {TICKER: Holding(TICKER, 1, 5_000)}
    bench.reconcile()
    report = bench.reconcile()
    assert {each.kind for each in report.differences} == {K.SCOPE_BREACHED}
    assert report.differences
    bench.end_session()
    evidence = bench.work.show_evidence()
    assert {each.kind for each in evidence.items} == {"scope_breached", "fee_above_bound"}
    assert evidence.needs_second
    assert bench.work.acknowledge(evidence.sha256, Signature("ann", "the fee is being clarified")).number is None
    assert {each.kind for each in bench.reconcile().differences} == {K.SCOPE_BREACHED}
    assert bench.work.acknowledge(evidence.sha256, Signature("bob", "I asked, too")).number is not None
    assert bench.reconcile().clean


def _events(engine: sa.Engine) -> set[str]:
    with engine.connect() as connection:
        return set(
            connection.scalars(sa.select(scopes.c.key).where(scopes.c.kind == "event", scopes.c.subaccount == 0))
        )


def test_F53_order_of_another_sub_account_is_foreign_and_counts_for_the_event(
    bench: Bench, sqlite_journal: sa.Engine
) -> None:
    steps = bench.steps
    bench.account.listed = [foreign_order()]
    assert bench.kinds() == [K.FOREIGN_ORDER]
    assert _events(sqlite_journal) == {"EVENT-KXOTHER-26-A"}
    other = new_session(
        "session-0002", account=Account("sandbox", 1), binding=Binding(Account("sandbox", 1), HOST, "b" * 16)
    )
    with steps.journal.writing() as transaction:
        open_session(transaction, other, OTHER_GROUP)
    steps.session_id, steps.group, steps.subaccount = other.session_id, OTHER_GROUP, 1
    bench.account.listed.append(order_of(steps.reserve(**GTC)))
    assert bench.kinds() == [K.FOREIGN_ORDER] * 2
    assert _events(sqlite_journal) == {"EVENT-KXOTHER-26-A", EVENT}


def test_ended_order_that_rests_and_doubled_order_are_reported(bench: Bench) -> None:
    intent, order = bench.resting()
    bench.account.listed.append(replace(order, order_id="twin"))
    assert {each.detail for each in bench.reconcile().differences} == {"2 orders have this client order id"}
    with bench.steps.journal.writing() as transaction:
        transaction.orders.record_answer(
            transaction.reading.orders.intent(intent.intent_id), OrderState.CANCELED, filled_centicontracts=0
        )
    bench.account.listed = [order]
    assert [each.detail for each in bench.reconcile().differences] == [
        "it ended as canceled in the journal, but rests at the exchange"
    ]


def test_F53_foreign_order_is_reported_with_the_problem_of_its_id(bench: Bench) -> None:
    bench.account.listed = [foreign_order("order-1"), foreign_order("order-2", client_order_id="x")]
    assert [each.detail for each in bench.reconcile().differences] == [
        "2.00 contracts of KXOTHER-26-A rest; it has no client order id",
        "2.00 contracts of KXOTHER-26-A rest; its client order id is not the journal's",
    ]


@pytest.mark.parametrize(
    ("held", "counted", "correction", "spent"),
    [
        (Holding(TICKER, 300, 1_200_000), 0, 300, 1_200_000),
        (Holding(TICKER, 300, 1_200_000), 100, 200, 200 * 10_000),
        (Holding(TICKER, 300, 1_200_000), 400, -100, 0),
        (Holding(TICKER, -300, 1_200_000), 0, -300, 1_200_000 - 3_000_000),
        (None, 100, -100, 0),
        (None, -100, 100, 100 * 10_000),
        (Holding(TICKER, 300, 1_200_000), 300, 0, None),
    ],
)
def test_F54_adopted_position_has_the_highest_possible_cost(
    held: Holding | None, counted: int, correction: int, spent: int | None
) -> None:
    posted: list[dict[str, Any]] = []

    class Positions:
        def record_opening(self, *place: object, **values: Any) -> None:
            posted.append({"place": place, **values})

    taken = take_over(
        cast("JournalTransaction", SimpleNamespace(positions=Positions())),
        Account("demo", 3),
        TICKER,
        EVENT,
        holding=held,
        counted=counted,
        dedupe=":7",
    )
    assert taken == correction
    expected = {
        "place": (Account("demo", 3), TICKER, EVENT),
        "position_centicontracts": correction,
        "spent_microdollars": spent,
        "dedupe": f"demo:3:{TICKER}:7",
    }
    assert posted == ([] if spent is None else [expected])


# --- differences that a person accepts, and reports of a reconciliation


def test_F54_F77_evidence_that_changed_is_not_acknowledged(bench: Bench) -> None:
    work, account = bench.work, bench.account
    assert bench.reconcile().clean
    with pytest.raises(NotAcknowledged, match="may still send orders"):
        work.show_evidence()
    bench.end_session()
    with pytest.raises(NotAcknowledged, match="every fact is explained"):
        work.show_evidence()
    account.held = {each: Holding(each, 100, 400_000) for each in ("KXA-26-A", "KXA-26-B")}
    shown = work.show_evidence()
    assert [(each.kind, each.subject) for each in shown.items] == [
        ("position_drift", "KXA-26-A"),
        ("position_drift", "KXA-26-B"),
    ]
    assert shown == work.show_evidence(), "showing evidence records nothing"
    account.held["KXA-26-A"] = Holding("KXA-26-A", 200, 400_000)
    with pytest.raises(NotAcknowledged, match="another digest now"):
        work.acknowledge(shown.sha256, Signature("ann", "why"))
    again = work.show_evidence()
    assert work.acknowledge(again.sha256, Signature("ann", "why")).number is not None
    with bench.steps.journal.reading() as reading:
        [record] = reading.audit_log.newest(1)
    [row, *items] = json.loads(record.body)["rows"]
    assert (record.kind, row["by_whom"], row["reason"], row["needs_second"]) == ("acknowledge", "ann", "why", 0)
    assert [each["subject"] for each in items] == ["KXA-26-A", "KXA-26-B"]
    assert bench.reconcile().clean
    with bench.steps.journal.reading() as reading:
        held = {each.ticker: each for each in reading.ledger.markets(ACCOUNT)}
    assert held["KXA-26-A"].position_centicontracts == 200


def test_report_is_clean_only_without_differences_or_unknown_orders(bench: Bench) -> None:
    report = ReconciliationReport(ACCOUNT, 1, 2, NOON)
    halting = AccountDifference(K.FOREIGN_ORDER, "o", "d")
    quiet = AccountDifference(K.WATERMARK_BEHIND, "o", "d")
    assert report.clean
    for spoilt in (
        replace(report, as_of_us=None),
        replace(report, differences=(quiet,)),
        replace(report, unresolved=("x",)),
    ):
        assert not spoilt.clean
        assert str(spoilt).startswith("NOT CLEAN: sandbox, sub-account 0, as of ")
    assert replace(report, differences=(quiet, halting)).alerts == ("foreign_order o: d",)
    assert str(report) == "clean: sandbox, sub-account 0, as of 2026-11-23 17:00:00 UTC"


def test_kill_reason_names_three_differences_and_counts_the_rest(bench: Bench) -> None:
    for number in (4, 5):
        bench.account.listed = [foreign_order(f"order-foreign-{each}") for each in range(number)]
        report = bench.reconcile()
        reason = bench.kill()
        assert reason == "; ".join(str(each) for each in report.differences[:3]) + " and 1 more"
    bench.account.listed = []
    assert bench.reconcile().clean


@pytest.mark.parametrize(
    "odd",
    [
        {"fill_id": "f" * 101},
        {"count_centicontracts": 0},
        {"count_centicontracts": 10**15},
        {"ticker": "KX\ud800"},
    ],
)
def test_unstorable_fact_stops_trading_but_not_the_reconciliation(bench: Bench, odd: dict[str, Any]) -> None:
    bench.resting()
    bench.account.made = [replace(fill_of(foreign_order(), 1, NOON), **odd)]
    for _ in range(2):
        report = bench.reconcile()
        assert [each.kind for each in report.differences] == [K.FACT_REFUSED]
        assert not report.clean
        assert (bench.kill() or "").startswith("fact_refused f")
    bench.end_session()
    evidence = bench.work.show_evidence()
    assert [each.kind for each in evidence.items] == ["fact_refused"]
    assert bench.work.acknowledge(evidence.sha256, Signature("ann", "the exchange's error")).number is not None
    report = bench.reconcile()
    assert report.clean, str(report)
    assert "because the journal cannot store it" in "".join(report.notes)
    bench.account.made = [replace(bench.account.made[0], price_centicents=4_001)]
    assert [each.kind for each in bench.reconcile().differences] == [K.FACT_REFUSED], "another value of the same fact"


def test_unstorable_order_id_leaves_the_order_unknown_and_halts(bench: Bench) -> None:
    intent = bench.unknown()
    bench.account.listed = [order_of(intent, order_id="o" * 70)]
    report = bench.reconcile()
    assert report.differences[0].kind is K.FACT_REFUSED
    assert report.figures["sweeps_of_markets"] == 0
    assert (bench.state(intent), bench.kill() is None) == (OrderState.UNKNOWN, False)


@pytest.mark.parametrize("ticker", ["T" * 4_100, "KX\x1b[2J\nclean: all is well"])
def test_long_or_odd_text_of_the_exchange_is_reported_as_a_safe_line(bench: Bench, ticker: str) -> None:
    _, order = bench.resting()
    bench.account.made = [fill_of(order, 1, NOON, ticker=ticker)]
    bench.account.listed = [order, foreign_order("o\x1b]52;c;AAAA\x07", ticker="KX\x1b[2J\nclean: all is well")]
    report = bench.reconcile()
    assert str(report).replace("\n", "").isprintable()
    assert "\nclean: all" not in str(report)
    assert bench.kill() is not None


def test_reconciliation_is_recorded_with_its_differences(bench: Bench) -> None:
    bench.unknown()
    bench.account.answers = [LOST] * 4
    bench.steps.clock.now_us += SECOND
    report = bench.reconcile()
    with bench.steps.journal.reading() as reading:
        last = reading.reconciliations.newest(ACCOUNT)
    assert last is not None
    assert (last.reconciliation_id, last.differences, last.clean, last.as_of_us, last.finished_us) == (
        report.reconciliation_id,
        2,
        False,
        NOON + SECOND + HOUR,
        NOON + SECOND,
    )
    assert (report.started_us, report.finished_us) == (NOON + SECOND, NOON + SECOND)
