"""Tests of the executor on a running sandbox: which orders it sends, which it denies, and what it records."""

import datetime as dt
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.executor import session as sessions
from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
from kalshi_pipelines.execution.executor.executor import TradeExecutor
from kalshi_pipelines.execution.executor.planning import ExecutorInputs
from kalshi_pipelines.execution.gates.market_snapshot import MarketSnapshot
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Mode
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.proposals import Signal
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import (
    Action,
    Contracts,
    Leg,
    MarketTicker,
    OrderId,
    Outcome,
    YesPrice,
)
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT
from kalshi_pipelines_tests.support.execution.sandbox_member import (
    SandboxMember,
    at,
    dry_trader,
    live_trader,
    proposed,
    ready_journal,
    resting,
    sandbox_with_member,
)


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxMember]:
    with sandbox_with_member(tmp_path_factory.mktemp("member")) as made:
        yield made


def test_order_that_passes_every_check_is_sent_once_and_recorded(
    member: SandboxMember, journal_engine: sa.Engine
) -> None:
    before = len(member.orders_on_exchange())
    journal = ready_journal(journal_engine)
    trader = live_trader(member, journal)
    decision = trader.executor.decide(proposed(member.tradable()))
    assert (decision.outcome, decision.reason) == (DecisionOutcome.PLACED, None)
    assert decision.detail == "201, 1.00 contracts filled, 0.00 contracts remaining"
    assert decision.intent is not None
    assert decision.intent.state is OrderState.EXECUTED
    accepted = member.orders_on_exchange()[before:]
    assert [each["client_order_id"] for each in accepted] == [decision.intent.client_order_id]
    assert verify(journal_engine).ok


def test_F28_order_of_each_leg_reaches_the_right_side_at_the_right_price(
    member: SandboxMember, sqlite_journal: sa.Engine
) -> None:
    trader = live_trader(member, ready_journal(sqlite_journal))
    market = member.tradable()
    ask, bid = YesPrice.from_text(market["yes_ask_dollars"]), YesPrice.from_text(market["yes_bid_dollars"])
    wanted = [
        (Leg(Action.BUY, Outcome.YES, ask), "bid", ask),
        (Leg(Action.SELL, Outcome.NO, ask.complement), "bid", ask),
        (Leg(Action.BUY, Outcome.NO, bid.complement), "ask", bid),
        (Leg(Action.SELL, Outcome.YES, bid), "ask", bid),
    ]
    before = len(member.orders_on_exchange())
    for leg, _, _ in wanted:
        order = proposed(market, leg=leg, open_short=leg.action is Action.SELL)
        assert trader.executor.decide(order).outcome is DecisionOutcome.PLACED
    placed = [(each["side"], each["price"]) for each in member.orders_on_exchange()[before:]]
    assert placed == [(side, price.centicents) for _, side, price in wanted]


def test_F15_signal_repeated_in_another_session_sends_nothing(member: SandboxMember, journal_engine: sa.Engine) -> None:
    journal = ready_journal(journal_engine)
    order = proposed(member.tradable())
    first = live_trader(member, journal)
    first.executor.decide(order)
    sessions.close(journal, first.session, "done")
    sent = len(member.orders_on_exchange())
    again = live_trader(member, journal).executor.decide(order)
    assert (again.outcome, len(member.orders_on_exchange())) == (DecisionOutcome.KNOWN, sent)


def test_F15_signal_repeated_with_other_terms_is_a_conflict(member: SandboxMember, sqlite_journal: sa.Engine) -> None:
    trader = live_trader(member, ready_journal(sqlite_journal))
    market = member.tradable()
    order = proposed(market)
    trader.executor.decide(order)
    sent = len(member.orders_on_exchange())
    other = proposed(market, signal=order.signal, leg=Leg(Action.BUY, Outcome.NO, YesPrice(5_000)))
    assert trader.executor.decide(other).reason is DenialReason.IDEMPOTENCY_CONFLICT
    assert len(member.orders_on_exchange()) == sent


def test_F15_second_attempt_needs_an_earlier_one_without_a_fill(
    member: SandboxMember, sqlite_journal: sa.Engine
) -> None:
    trader = live_trader(member, ready_journal(sqlite_journal))
    market, sent = member.tradable(), len(member.orders_on_exchange())

    def decided(attempt: int, price: str) -> tuple[DecisionOutcome, DenialReason | None]:
        leg = Leg(Action.BUY, Outcome.YES, YesPrice.from_text(price))
        decision = trader.executor.decide(proposed(market, leg=leg, signal=Signal("test", "1", "", "it", "1", attempt)))
        return decision.outcome, decision.reason

    placed, undue = (DecisionOutcome.PLACED, None), (DecisionOutcome.DENIED, DenialReason.ATTEMPT_NOT_DUE)
    bid, ask = market["yes_bid_dollars"], market["yes_ask_dollars"]
    assert decided(2, ask) == undue
    assert decided(1, bid) == placed
    assert decided(3, ask) == undue
    assert decided(2, ask) == placed
    assert [decided(3, ask), decided(4, ask)] == [undue, undue]
    assert len(member.orders_on_exchange()) == sent + 2


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("drop_after_apply", OrderState.UNKNOWN),
        ("garbage_after_apply", OrderState.UNKNOWN),
        ("empty_after_apply", OrderState.UNKNOWN),
        ("wrong_echo", OrderState.UNKNOWN),
        ("refuse", OrderState.UNKNOWN),
        ("applied_twice", OrderState.UNKNOWN),
        ("answered_twice", OrderState.EXECUTED),
    ],
)
def test_F06_order_without_an_answer_is_unknown_and_blocks_its_market(
    member: SandboxMember, sqlite_journal: sa.Engine, kind: str, state: OrderState
) -> None:
    journal = ready_journal(sqlite_journal)
    trader = live_trader(member, journal)
    market = member.tradable()
    trader.dispatch.ensure_group(market["exchange_index"])
    order = proposed(market)
    before = len(member.orders_on_exchange())
    member.steer("POST", "/faults", endpoint="POST /portfolio/events/orders", kind=kind)
    decision = trader.executor.decide(order)
    member.steer("DELETE", "/faults")
    assert decision.intent is not None
    assert decision.intent.state is state
    assert len(member.orders_on_exchange()) - before == (0 if kind == "refuse" else 1)
    if state is OrderState.UNKNOWN:
        assert decision.outcome is DecisionOutcome.UNKNOWN
        assert trader.executor.decide(proposed(market)).reason is DenialReason.UNRESOLVED_ORDER
        assert decision.intent.reserved_centicontracts == 100


def test_dry_run_makes_the_same_decisions_and_sends_nothing(member: SandboxMember, journal_engine: sa.Engine) -> None:
    trader = dry_trader(member, ready_journal(journal_engine))
    market, sent = member.tradable(), len(member.orders_on_exchange())
    simulated = trader.executor.decide(proposed(market))
    assert (simulated.outcome, simulated.reason) == (DecisionOutcome.SIMULATED, None)
    far = proposed(market, leg=Leg(Action.BUY, Outcome.YES, YesPrice(9_900)))
    assert trader.executor.decide(far).reason is DenialReason.PRICE_OUTSIDE_BAND
    assert len(member.orders_on_exchange()) == sent
    assert verify(journal_engine).ok


def test_F31_order_far_from_the_book_is_denied_on_both_sides(member: SandboxMember, sqlite_journal: sa.Engine) -> None:
    trader = live_trader(member, ready_journal(sqlite_journal))
    market = member.tradable()
    for leg in (
        Leg(Action.BUY, Outcome.YES, YesPrice(9_900)),
        Leg(Action.SELL, Outcome.YES, YesPrice(100)),
        Leg(Action.BUY, Outcome.NO, YesPrice(9_900)),
        Leg(Action.SELL, Outcome.NO, YesPrice(100)),
    ):
        order = proposed(market, leg=leg, open_short=leg.action is Action.SELL)
        assert trader.executor.decide(order).reason is DenialReason.PRICE_OUTSIDE_BAND


def test_F33_order_that_would_trade_with_our_own_order_is_denied(
    member: SandboxMember, sqlite_journal: sa.Engine
) -> None:
    trader = live_trader(member, ready_journal(sqlite_journal))
    market = member.tradable()
    bid = market["yes_bid_dollars"]
    rests = trader.executor.decide(resting(market, bid))
    assert rests.intent is not None
    assert rests.intent.state is OrderState.RESTING
    crossing = proposed(market, leg=Leg(Action.SELL, Outcome.YES, YesPrice.from_text(bid)), open_short=True)
    assert trader.executor.decide(crossing).reason is DenialReason.SELF_CROSS


def test_F41_kill_between_admission_and_sending_sends_nothing(member: SandboxMember, journal_engine: sa.Engine) -> None:
    journal = ready_journal(journal_engine)

    def engage_kill() -> None:
        with journal.writing() as transaction:
            transaction.halts.engage(1, "operator", "bob", "stop")

    trader = live_trader(member, journal, at(Checkpoint.ADMITTED, engage_kill))
    sent = len(member.orders_on_exchange())
    decision = trader.executor.decide(proposed(member.tradable()))
    assert (decision.outcome, decision.reason) == (DecisionOutcome.DENIED, DenialReason.KILL_SWITCH_ENGAGED)
    assert len(member.orders_on_exchange()) == sent
    assert decision.intent is not None
    assert decision.intent.state is OrderState.ABANDONED


@pytest.mark.parametrize("is_live", [True, False])
def test_order_abandoned_after_its_admission_is_denied_and_not_sent(
    member: SandboxMember, sqlite_journal: sa.Engine, is_live: bool
) -> None:
    journal, killed = ready_journal(sqlite_journal), [False]

    def give_back() -> None:
        with journal.writing() as transaction:
            mode = Mode.LIVE if is_live else Mode.DRY_RUN
            intent = transaction.reading.orders.open_intents(ACCOUNT, mode=mode)[-1]
            transaction.orders.abandon(intent, DenialReason.CRASHED_BEFORE_SENDING, "left behind")
            if killed[0]:
                transaction.halts.engage(1, "operator", "bob", "stop")

    trader = (live_trader if is_live else dry_trader)(member, journal, at(Checkpoint.ADMITTED, give_back))
    market, sent = member.tradable(), len(member.orders_on_exchange())
    for killed[0] in (False, True):
        decision = trader.executor.decide(proposed(market))
        assert (decision.outcome, decision.intent and decision.intent.state) == (
            DecisionOutcome.DENIED,
            OrderState.ABANDONED,
        )
    assert len(member.orders_on_exchange()) == sent


def test_F20_locked_rate_budget_denies_the_order(member: SandboxMember, sqlite_journal: sa.Engine) -> None:
    journal = ready_journal(sqlite_journal)
    trader = dry_trader(member, journal)

    def no_warehouse(_ticker: MarketTicker) -> MarketSnapshot:
        raise WarehouseUnavailable("The warehouse is locked.")

    inputs = ExecutorInputs(no_warehouse, lambda: None)
    executor = TradeExecutor(trader.session, journal, trader.settings, inputs, trader.dispatch)
    decision = executor.decide(proposed(member.tradable()))
    assert (decision.reason, decision.detail) == (DenialReason.CHECK_FAILED, "The warehouse is locked.")


def test_three_refusals_in_a_row_engage_the_kill_switch(member: SandboxMember, sqlite_journal: sa.Engine) -> None:
    market = member.tradable()

    def pause_the_shard_while_sending(checkpoint: Checkpoint) -> None:
        if checkpoint in (Checkpoint.ADMITTED, Checkpoint.ANSWERED):
            is_over = checkpoint is Checkpoint.ANSWERED
            member.steer("POST", f"/shards/{market['exchange_index']}", trading_active=is_over)

    # The sandbox's traders fill a book at the first order in its market, but not while the shard is paused.
    path = f"/markets/{market['ticker']}/orders"
    member.steer("POST", path, side="bid", price="0.0100", count="1.00", time_in_force="good_till_canceled")
    trader = live_trader(member, ready_journal(sqlite_journal), pause_the_shard_while_sending)
    trader.dispatch.ensure_group(market["exchange_index"])
    outcomes = [trader.executor.decide(proposed(market)).outcome for _ in range(3)]
    assert outcomes == [DecisionOutcome.REFUSED] * 3
    assert trader.executor.decide(proposed(market)).reason is DenialReason.KILL_SWITCH_ENGAGED


def test_F17_stale_or_expired_proposal_is_denied(member: SandboxMember, sqlite_journal: sa.Engine) -> None:
    trader = live_trader(member, ready_journal(sqlite_journal))
    market, now = member.tradable(), dt.datetime.now(dt.UTC)
    expired = proposed(market, as_of=now - dt.timedelta(minutes=6), valid_until=now - dt.timedelta(seconds=1))
    too_long = proposed(market, valid_until=now + dt.timedelta(minutes=11))
    assert trader.executor.decide(expired).reason is DenialReason.PROPOSAL_EXPIRED
    assert trader.executor.decide(too_long).reason is DenialReason.PROPOSAL_STALE


@pytest.mark.parametrize("seconds", [60, -60])
def test_F17_order_recorded_too_slowly_is_not_sent(
    member: SandboxMember, sqlite_journal: sa.Engine, seconds: int
) -> None:
    passed_us = [0]
    ready_journal(sqlite_journal)
    journal = Journal(sqlite_journal, "sandbox", clock_us=lambda: now_us() + passed_us[0])

    def stall(checkpoint: Checkpoint) -> None:
        if checkpoint is Checkpoint.SENDING_COMMITTED:
            passed_us[0] += seconds * 1_000_000

    trader = live_trader(member, journal, stall)
    before = len(member.orders_on_exchange())
    decision = trader.executor.decide(proposed(member.tradable()))
    assert decision.intent is not None
    assert (decision.outcome, decision.intent.state) == (DecisionOutcome.REFUSED, OrderState.REJECTED)
    assert "ms have passed since the sending was recorded" in decision.detail
    assert len(member.orders_on_exchange()) == before


def test_F36_F46_repeated_decrease_changes_nothing_and_cancel_finds_its_shard(
    member: SandboxMember, sqlite_journal: sa.Engine
) -> None:
    trader = live_trader(member, ready_journal(sqlite_journal))
    markets = member.http.get(f"{member.sandbox.url}/markets", params={"status": "open", "limit": 1000}).json()[
        "markets"
    ]
    market = next(
        each
        for each in markets
        if each["exchange_index"] > 0
        and each["market_type"] == "binary"
        and "0.00" not in (each["yes_bid_size_fp"], each["yes_ask_size_fp"])
    )
    rests = trader.executor.decide(resting(market, market["yes_bid_dollars"], 500))
    assert rests.intent is not None
    assert rests.intent.order_id is not None, rests.detail
    transport, order_id = member.transport(trader.settings), OrderId(rests.intent.order_id)
    for _ in range(2):
        assert transport.decrease(order_id, MarketTicker(market["ticker"]), Contracts(200)).status == 200
    left = {order.order_id: order.remaining_count_fp for order in member.portfolio.orders(0, status="resting").records}
    assert left[str(order_id)] == "2.00"
    assert transport.cancel(order_id, MarketTicker(market["ticker"])).status == 200
    assert str(order_id) not in {order.order_id for order in member.portfolio.orders(0, status="resting").records}


def test_F58_caps_hold_although_the_order_group_allows_more(member: SandboxMember, sqlite_journal: sa.Engine) -> None:
    trader = live_trader(member, ready_journal(sqlite_journal), session_orders=2, position_contracts=3)
    market = member.tradable()
    groups = member.portfolio.order_groups(0)
    outcomes = [trader.executor.decide(resting(market, market["yes_bid_dollars"], 200)) for _ in range(2)]
    assert [each.outcome for each in outcomes] == [DecisionOutcome.PLACED, DecisionOutcome.DENIED]
    assert outcomes[1].reason is DenialReason.CAP_POSITION
    assert trader.executor.decide(resting(market, market["yes_bid_dollars"], 100)).outcome is DecisionOutcome.PLACED
    third = trader.executor.decide(resting(market, market["yes_bid_dollars"], 100))
    assert third.reason is DenialReason.CAP_ORDER_COUNT
    made = [group for group in member.portfolio.order_groups(0) if group not in groups]
    assert len(made) == 1
