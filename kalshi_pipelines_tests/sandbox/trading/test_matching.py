"""Tests of the matching engine with single orders."""

import pytest

from kalshi_pipelines.sandbox.trading.commands import Amendment, OrderRef, RequestRefused
from kalshi_pipelines.sandbox.trading.engine import MatchingEngine
from kalshi_pipelines.sandbox.trading.records import SandboxOrder
from kalshi_pipelines.units import MINUTE_US, SECOND_US
from kalshi_pipelines_tests.support.sandbox.engines import (
    COMBO,
    MAKER_FEES,
    PLAIN,
    START_US,
    market,
    new_engine,
    order,
)

IOC = "immediate_or_cancel"


@pytest.fixture
def engine() -> MatchingEngine:
    return new_engine("ann", "bob", "cat")


def _ref(placed: SandboxOrder, **where: object) -> OrderRef:
    return OrderRef(placed.member, placed.subaccount, placed.order_id, **{"ticker": placed.ticker, **where})  # type: ignore[arg-type]


def _refusal(act: object) -> str:
    with pytest.raises(RequestRefused) as refused:
        act()  # type: ignore[operator]
    return str(refused.value)


def test_a_taker_pays_the_price_it_finds_and_the_recorded_fee(engine: MatchingEngine) -> None:
    engine.place(order("bob", "ask", 5_200, 300), at_us=START_US)
    taken = engine.place(order("ann", "bid", 9_900, 100, time_in_force=IOC), at_us=START_US)
    # The demo exchange charged a fee of 0.0175 for one contract at 0.52 (recorded in June 2026).
    assert (taken.filled, taken.cost, taken.fees) == (100, 520_000, 17_500)
    assert engine.state.available("ann", 0, 0) == 1_000_000_000 - 537_500
    position = engine.state.positions["ann", 0, PLAIN]
    assert (position.count, position.cost, position.fees) == (100, 520_000, 17_500)


def test_an_ask_without_a_position_buys_no_and_binds_a_dollar_less_the_price(engine: MatchingEngine) -> None:
    engine.place(order("ann", "ask", 7_000, 1_000), at_us=START_US)
    assert engine.state.available("ann", 0, 0) == 1_000_000_000 - 3_000_000
    engine.place(order("bob", "bid", 7_000, 1_000), at_us=START_US)
    assert engine.state.holding("ann", 0, PLAIN) == -1_000
    assert engine.state.positions["ann", 0, PLAIN].cost == 3_000_000


def test_an_order_that_closes_a_position_binds_nothing(engine: MatchingEngine) -> None:
    engine.place(order("ann", "bid", 5_000, 1_000), at_us=START_US)
    engine.place(order("bob", "ask", 5_000, 1_000), at_us=START_US)
    before = engine.state.available("ann", 0, 0)
    engine.place(order("ann", "ask", 6_000, 1_000), at_us=START_US)
    assert engine.state.available("ann", 0, 0) == before
    engine.place(order("ann", "ask", 6_000, 100), at_us=START_US)
    assert engine.state.available("ann", 0, 0) == before - 400_000


def test_closing_realizes_the_difference_and_returns_the_dollar(engine: MatchingEngine) -> None:
    engine.place(order("ann", "bid", 5_000, 300), at_us=START_US)
    engine.place(order("bob", "ask", 5_000, 300), at_us=START_US)
    engine.place(order("cat", "bid", 6_000, 100), at_us=START_US)
    engine.place(order("ann", "ask", 6_000, 100), at_us=START_US)
    position = engine.state.positions["ann", 0, PLAIN]
    assert (position.count, position.cost, position.realized) == (200, 1_000_000, 100_000)


def test_better_prices_trade_first_and_then_earlier_orders(engine: MatchingEngine) -> None:
    late = engine.place(order("ann", "ask", 5_100, 100), at_us=START_US).order
    early = engine.place(order("bob", "ask", 5_000, 100), at_us=START_US).order
    second = engine.place(order("ann", "ask", 5_000, 100), at_us=START_US).order
    taken = engine.place(order("cat", "bid", 5_200, 250), at_us=START_US)
    assert [trade.maker_order for trade in taken.trades] == [early.order_id, second.order_id, late.order_id]
    assert [trade.price for trade in taken.trades] == [5_000, 5_000, 5_100]
    assert late.remaining == 50


def test_the_unfilled_rest_of_an_immediate_order_lapses(engine: MatchingEngine) -> None:
    engine.place(order("bob", "ask", 5_000, 100), at_us=START_US)
    taken = engine.place(order("ann", "bid", 5_000, 300, time_in_force=IOC), at_us=START_US)
    assert (taken.filled, taken.remaining, taken.order.status) == (100, 0, "canceled")


def test_a_fill_or_kill_that_cannot_fill_is_refused(engine: MatchingEngine) -> None:
    engine.place(order("bob", "ask", 5_000, 100), at_us=START_US)
    terms = order("ann", "bid", 5_000, 101, time_in_force="fill_or_kill")
    assert _refusal(lambda: engine.place(terms, at_us=START_US)) == "fill_or_kill_insufficient_resting_volume"
    assert engine.place(order("ann", "bid", 5_000, 100, time_in_force="fill_or_kill"), at_us=START_US).filled == 100


def test_a_fill_or_kill_that_meets_its_own_order_acts_as_immediate(engine: MatchingEngine) -> None:
    engine.place(order("bob", "ask", 5_000, 100), at_us=START_US)
    own = engine.place(order("ann", "ask", 5_100, 100), at_us=START_US).order
    taken = engine.place(order("ann", "bid", 5_100, 200, time_in_force="fill_or_kill"), at_us=START_US)
    assert (taken.filled, taken.order.status, own.is_resting) == (100, "canceled", True)


def test_self_trade_prevention_cancels_the_taker_or_the_maker(engine: MatchingEngine) -> None:
    own = engine.place(order("ann", "bid", 4_800, 100), at_us=START_US).order
    crossing = engine.place(order("ann", "ask", 4_800, 100, time_in_force=IOC), at_us=START_US)
    # In a recording, an order that would trade with its own member's order gets status 201, zero filled and zero
    # remaining. The member's resting order stays.
    assert (crossing.filled, crossing.remaining, own.is_resting) == (0, 0, True)
    again = engine.place(order("ann", "ask", 4_800, 100, self_trade_prevention="maker"), at_us=START_US)
    assert (own.status, again.order.is_resting) == ("canceled", True)


@pytest.mark.parametrize(
    ("terms", "refusal"),
    [
        ({"price": 5_150}, "invalid_price"),
        ({"price": 10_000}, "invalid_price"),
        ({"count": 0}, "invalid_order_size"),
        ({"count": 1_009_900}, "insufficient_balance"),
        ({"ticker": "KXNONE"}, "market_not_found"),
        ({"shard": 1}, "market_not_found"),
        ({"subaccount": 9}, "subaccount_not_found"),
        ({"expires_us": START_US}, "invalid_order: expiration time is in the past"),
        ({"order_group": "none"}, "order_group_not_found"),
        ({"reduce_only": True, "time_in_force": IOC}, "invalid_order: reduce only without a position to reduce"),
    ],
)
def test_an_order_that_breaks_a_rule_is_refused_and_leaves_no_trace(
    engine: MatchingEngine, terms: dict[str, object], refusal: str
) -> None:
    engine.place(order("bob", "ask", 9_900, 100), at_us=START_US)
    happened = len(engine.log.events)
    asked = order("ann", "bid", **{"price": 5_000, "count": 100, **terms})  # type: ignore[arg-type]
    assert _refusal(lambda: engine.place(asked, at_us=START_US)) == refusal
    assert len(engine.log.events) == happened


def test_a_post_only_order_that_would_trade_is_refused_and_listed_as_canceled(engine: MatchingEngine) -> None:
    engine.place(order("bob", "ask", 9_900, 100), at_us=START_US)
    asked = order("ann", "bid", 9_900, 100, post_only=True, client_order_id="mine")
    assert _refusal(lambda: engine.place(asked, at_us=START_US)) == "invalid_order: post only cross"
    # In a recording, the exchange lists a refused post-only order as canceled at the instant of its creation.
    listed = engine.state.orders_of["ann"][0]
    assert (listed.status, listed.remaining, listed.filled) == ("canceled", 0, 0)
    assert _refusal(lambda: engine.place(asked, at_us=START_US)) == "order_already_exists"
    assert engine.place(order("ann", "bid", 9_800, 100, post_only=True), at_us=START_US).order.is_resting


def test_a_client_order_id_is_used_up_by_an_accepted_order_only(engine: MatchingEngine) -> None:
    mine = {"client_order_id": "mine"}
    _refusal(lambda: engine.place(order("ann", "bid", 5_150, 100, **mine), at_us=START_US))
    placed = engine.place(order("ann", "bid", 100, 100, **mine), at_us=START_US).order
    engine.cancel(_ref(placed), at_us=START_US)
    assert _refusal(lambda: engine.place(order("ann", "bid", 100, 100, **mine), at_us=START_US)) == (
        "order_already_exists"
    )
    engine.place(order("bob", "bid", 100, 100, **mine), at_us=START_US)


def test_a_cancel_finds_an_order_by_its_market_or_its_shard_only(engine: MatchingEngine) -> None:
    placed = engine.place(order("ann", "bid", 5_000, 100, ticker=COMBO), at_us=START_US).order
    for where in ({"ticker": None}, {"ticker": None, "shard": 0}, {"ticker": PLAIN}, {"ticker": "KXNONE"}):
        assert _refusal(lambda where=where: engine.cancel(_ref(placed, **where), at_us=START_US)) == "not_found"
    assert engine.cancel(_ref(placed, ticker=None, shard=1), at_us=START_US).reduced_by == 100
    assert _refusal(lambda: engine.cancel(_ref(placed), at_us=START_US)) == "not_found"


def test_an_order_of_another_member_or_sub_account_is_not_canceled(engine: MatchingEngine) -> None:
    placed = engine.place(order("ann", "bid", 5_000, 100), at_us=START_US).order
    for other in (OrderRef("bob", 0, placed.order_id, ticker=PLAIN), OrderRef("ann", 1, placed.order_id, ticker=PLAIN)):
        assert _refusal(lambda other=other: engine.cancel(other, at_us=START_US)) == "not_found"


def _amend(placed: SandboxOrder, price: int, count: int, **terms: object) -> Amendment:
    return Amendment(_ref(placed), placed.ticker, placed.side, price, count, **terms)  # type: ignore[arg-type]


def test_only_a_smaller_count_or_another_expiry_keeps_the_place_in_the_queue(engine: MatchingEngine) -> None:
    first = engine.place(order("ann", "bid", 5_000, 300), at_us=START_US).order
    second = engine.place(order("bob", "bid", 5_000, 100), at_us=START_US).order
    book = engine.state.markets[PLAIN].book
    engine.amend(_amend(first, 5_000, 200, expires_us=START_US + MINUTE_US), at_us=START_US)
    assert (book.ahead_of(first), book.ahead_of(second)) == (0, 200)
    engine.amend(_amend(first, 5_000, 400), at_us=START_US)
    assert (book.ahead_of(first), book.ahead_of(second)) == (100, 0)
    assert first.expires_us == START_US + MINUTE_US
    engine.amend(_amend(first, 5_000, 400, expires_us=0), at_us=START_US)
    assert first.expires_us is None


def test_an_amended_price_may_trade_at_once(engine: MatchingEngine) -> None:
    engine.place(order("bob", "ask", 5_000, 100), at_us=START_US)
    placed = engine.place(order("ann", "bid", 4_000, 300), at_us=START_US).order
    amended = engine.amend(_amend(placed, 5_000, 300), at_us=START_US)
    assert (amended.filled, amended.remaining, placed.price) == (100, 200, 5_000)
    assert placed.filled + placed.remaining == 300
    shrunk = engine.amend(_amend(placed, 5_000, 150), at_us=START_US)
    assert shrunk.remaining == 50


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"ticker": MAKER_FEES}, "order_ticker_mismatch"),
        ({"side": "ask"}, "order_side_mismatch"),
        ({"client_order_id": "other"}, "order_id_and_client_order_id_mismatch"),
        ({"price": 5_150}, "invalid_price"),
        ({"count": 0}, "invalid_order_size"),
        ({"count": 2_000_000}, "insufficient_balance"),
        ({"updated_client_order_id": "taken"}, "invalid_order: updated client order id already exists"),
    ],
)
def test_an_amendment_that_breaks_a_rule_leaves_the_order_as_it_was(
    engine: MatchingEngine, change: dict[str, object], refusal: str
) -> None:
    engine.place(order("ann", "bid", 100, 100, client_order_id="taken"), at_us=START_US)
    placed = engine.place(order("ann", "bid", 5_000, 300, client_order_id="mine"), at_us=START_US).order
    free = engine.state.available("ann", 0, 0)
    terms = {"ticker": PLAIN, "side": "bid", "price": 5_000, "count": 300, **change}
    asked = Amendment(_ref(placed), **terms)  # type: ignore[arg-type]
    assert _refusal(lambda: engine.amend(asked, at_us=START_US)) == refusal
    assert (placed.price, placed.remaining, engine.state.available("ann", 0, 0)) == (5_000, 300, free)


def test_a_decrease_keeps_the_place_and_down_to_nothing_cancels(engine: MatchingEngine) -> None:
    placed = engine.place(order("ann", "bid", 5_000, 300), at_us=START_US).order
    assert engine.decrease(_ref(placed), reduce_by=100, at_us=START_US).remaining == 200
    assert engine.decrease(_ref(placed), reduce_to=200, at_us=START_US).remaining == 200
    assert _refusal(lambda: engine.decrease(_ref(placed), reduce_to=201, at_us=START_US)) == "invalid_order_size"
    assert engine.decrease(_ref(placed), reduce_to=0, at_us=START_US).status == "canceled"
    assert engine.state.available("ann", 0, 0) == 1_000_000_000


@pytest.mark.parametrize(("policy", "rests"), [("always", False), ("never", True)])
def test_a_cancel_all_reaches_orders_of_the_following_minute(engine: MatchingEngine, policy: str, rests: bool) -> None:
    engine.cancel_all_tail = policy  # type: ignore[assignment]
    engine.place(order("ann", "bid", 5_000, 100), at_us=START_US)
    engine.place(order("ann", "bid", 5_000, 100, ticker=COMBO), at_us=START_US)
    assert engine.cancel_all("ann", None, at_us=START_US) == 2
    within = engine.place(order("ann", "bid", 5_000, 100), at_us=START_US + 59 * SECOND_US)
    # The response reports a resting order. The exchange cancels the order right afterwards, which the response does not
    # show.
    assert (within.remaining, within.order.is_resting) == (100, rests)
    assert engine.place(order("bob", "bid", 5_000, 100), at_us=START_US + 59 * SECOND_US).order.is_resting
    assert engine.place(order("ann", "bid", 5_000, 100), at_us=START_US + MINUTE_US).order.is_resting


def test_an_order_expires_at_its_time_and_not_when_its_expiry_was_removed(engine: MatchingEngine) -> None:
    dies = engine.place(order("ann", "bid", 5_000, 100, expires_us=START_US + 5), at_us=START_US).order
    lives = engine.place(order("ann", "bid", 5_000, 100, expires_us=START_US + 5), at_us=START_US).order
    engine.amend(_amend(lives, 5_000, 100, expires_us=0), at_us=START_US)
    assert engine.next_due_us() == START_US + 5
    engine.expire(START_US + 4)
    assert dies.is_resting
    engine.expire(START_US + 5)
    assert (dies.is_resting, lives.is_resting, engine.next_due_us()) == (False, True, None)


def test_reduce_only_is_capped_by_the_position(engine: MatchingEngine) -> None:
    engine.place(order("ann", "bid", 5_000, 100), at_us=START_US)
    engine.place(order("bob", "ask", 5_000, 100), at_us=START_US)
    engine.place(order("cat", "bid", 4_000, 900), at_us=START_US)
    sold = engine.place(order("ann", "ask", 4_000, 500, reduce_only=True, time_in_force=IOC), at_us=START_US)
    assert (sold.filled, engine.state.holding("ann", 0, PLAIN)) == (100, 0)


def test_makers_pay_by_series_and_a_young_combo_order_pays_as_a_taker(engine: MatchingEngine) -> None:
    engine.place(order("bob", "ask", 5_000, 10_000, ticker=MAKER_FEES), at_us=START_US)
    engine.place(order("ann", "bid", 5_000, 10_000, ticker=MAKER_FEES), at_us=START_US)
    # Expected fees for 100 contracts at 0.50: the taker pays 0.07 x 100 x 0.25 dollars, and the maker a quarter of
    # that.
    fees = {fill.member: fill.fee for fills in engine.state.fills_of.values() for fill in fills}
    assert fees == {"ann": 1_750_000, "bob": 437_500}
    for waits_us, taker, maker in ((4_999_999, 875_000, 1_750_000), (5_000_000, 1_750_000, 875_000)):
        engine.place(order("bob", "ask", 5_000, 10_000, ticker=COMBO), at_us=START_US)
        trade = engine.place(order("ann", "bid", 5_000, 10_000, ticker=COMBO), at_us=START_US + waits_us).trades[0]
        assert (trade.taker_fee, trade.maker_fee) == (taker, maker)


def test_a_fee_waiver_ends_at_its_time(engine: MatchingEngine) -> None:
    engine.market_control.open(market("KXFREE-1-A", fee_waived_until_us=START_US + 5))
    for waits_us, fee in ((4, 0), (5, 17_500)):
        engine.place(order("bob", "ask", 5_000, 100, ticker="KXFREE-1-A"), at_us=START_US)
        taken = engine.place(order("ann", "bid", 5_000, 100, ticker="KXFREE-1-A"), at_us=START_US + waits_us)
        assert taken.fees == fee


def test_a_group_triggers_when_its_limit_trades_within_fifteen_seconds(engine: MatchingEngine) -> None:
    group = engine.groups.create("ann", 0, 0, 200, at_us=START_US).group_id
    resting = [
        engine.place(order("ann", "bid", 5_000 - 100 * place, 100, order_group=group), at_us=START_US).order
        for place in range(4)
    ]
    engine.place(order("bob", "ask", 5_000, 100), at_us=START_US)
    later = START_US + 15 * SECOND_US
    engine.place(order("bob", "ask", 4_900, 100), at_us=later)
    assert resting[2].is_resting
    engine.place(order("bob", "ask", 4_800, 100), at_us=later)
    assert [each.status for each in resting] == ["executed", "executed", "executed", "canceled"]
    assert _refusal(lambda: engine.place(order("ann", "bid", 100, 100, order_group=group), at_us=later)) == (
        "order_group_triggered"
    )
    engine.groups.reset("ann", 0, group, at_us=later)
    assert engine.place(order("ann", "bid", 100, 100, order_group=group), at_us=later).order.is_resting


def test_a_group_triggered_in_the_middle_of_a_match_takes_its_makers_out(engine: MatchingEngine) -> None:
    group = engine.groups.create("ann", 0, 0, 100, at_us=START_US).group_id
    for price in (5_000, 5_100):
        engine.place(order("ann", "ask", price, 100, order_group=group), at_us=START_US)
    behind = engine.place(order("bob", "ask", 5_200, 100), at_us=START_US).order
    taken = engine.place(order("cat", "bid", 5_300, 300), at_us=START_US)
    assert [trade.price for trade in taken.trades] == [5_000, 5_200]
    assert (behind.status, taken.remaining) == ("executed", 100)


def test_a_lower_group_limit_may_trigger_at_once_and_a_deleted_group_is_gone(engine: MatchingEngine) -> None:
    group = engine.groups.create("ann", 0, 0, 1_000, at_us=START_US).group_id
    placed = engine.place(order("ann", "bid", 5_000, 300, order_group=group), at_us=START_US).order
    engine.place(order("bob", "ask", 5_000, 100), at_us=START_US)
    engine.groups.set_limit("ann", 0, group, 100, at_us=START_US + SECOND_US)
    assert placed.status == "canceled"
    engine.groups.delete("ann", 0, group, at_us=START_US)
    assert _refusal(lambda: engine.groups.delete("ann", 0, group, at_us=START_US)) == "not_found"


@pytest.mark.parametrize(("result", "value", "yes", "no"), [("yes", 10_000, 100, 0), ("no", 0, 0, 100)])
def test_a_settled_market_pays_a_dollar_to_the_right_side(
    engine: MatchingEngine, result: str, value: int, yes: int, no: int
) -> None:
    engine.place(order("ann", "bid", 4_000, 100), at_us=START_US)
    engine.place(order("bob", "ask", 4_000, 100), at_us=START_US)
    engine.market_control.change(PLAIN, "finalized", at_us=START_US, result=result, value=value)  # type: ignore[arg-type]
    paid = {member: engine.state.settlements_of[member][0].revenue // 10_000 for member in ("ann", "bob")}
    assert paid == {"ann": yes, "bob": no}


def test_a_scalar_pay_out_is_in_whole_cents_and_the_rest_is_the_exchanges(engine: MatchingEngine) -> None:
    engine.place(order("ann", "bid", 4_000, 150), at_us=START_US)
    engine.place(order("bob", "ask", 4_000, 150), at_us=START_US)
    fees = engine.state.fees_collected
    engine.market_control.change(PLAIN, "finalized", at_us=START_US, result="scalar", value=3_333)
    revenue = [engine.state.settlements_of[member][0].revenue for member in ("ann", "bob")]
    assert revenue == [490_000, 1_000_000]
    assert engine.state.fees_collected - fees == 1_500_000 - sum(revenue)


def test_a_paused_exchange_refuses_cancels_and_a_trading_pause_does_not(engine: MatchingEngine) -> None:
    stays = engine.place(order("ann", "bid", 5_000, 100), at_us=START_US).order
    goes = engine.place(order("ann", "bid", 4_900, 100, cancel_on_pause=True), at_us=START_US).order
    engine.market_control.set_shard(0, exchange_active=True, trading_active=False, at_us=START_US)
    assert (stays.is_resting, goes.is_resting) == (True, False)
    assert _refusal(lambda: engine.place(order("ann", "bid", 100, 100), at_us=START_US)) == "trading_paused"
    engine.market_control.set_shard(0, exchange_active=False, trading_active=False, at_us=START_US)
    assert _refusal(lambda: engine.cancel(_ref(stays), at_us=START_US)) == "exchange_unavailable"
    engine.market_control.set_shard(0, exchange_active=True, trading_active=False, at_us=START_US)
    engine.cancel(_ref(stays), at_us=START_US)


def test_a_market_that_resumes_cancels_everything_and_a_closed_one_takes_nothing(engine: MatchingEngine) -> None:
    placed = engine.place(order("ann", "bid", 5_000, 100), at_us=START_US).order
    engine.market_control.change(PLAIN, "inactive", at_us=START_US)
    assert placed.is_resting
    engine.market_control.change(PLAIN, "active", at_us=START_US)
    assert not placed.is_resting
    engine.market_control.change(PLAIN, "closed", at_us=START_US)
    assert _refusal(lambda: engine.place(order("ann", "bid", 5_000, 100), at_us=START_US)) == "MARKET_INACTIVE"


def test_a_member_without_money_left_is_not_driven_below_zero_by_rounding() -> None:
    engine = new_engine("bob")
    engine.accounts.join("poor", balance_step=10_000, at_us=START_US)
    engine.accounts.deposit("poor", 0, 0, 30_000, at_us=START_US)
    engine.place(order("poor", "bid", 5_000, 3, ticker=MAKER_FEES), at_us=START_US)
    spent = []
    for _ in range(3):
        before = engine.state.cash["poor", 0, 0]
        engine.place(order("bob", "ask", 5_000, 1, ticker=MAKER_FEES), at_us=START_US)
        spent.append(before - engine.state.cash["poor", 0, 0])
        assert engine.state.available("poor", 0, 0) >= 0
    # A hundredth of a contract costs 5,000 micro-dollars, and its trade fee is 44 micro-dollars. Rounding to a cent may
    # take no more than the member's free money.
    assert spent == [5_044 + 4_866, 5_044 + 1, 10_000]
