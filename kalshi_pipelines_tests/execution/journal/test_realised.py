"""Tests of realised results: how long the profit or loss of a flat market counts, and in which scopes."""

from itertools import count

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.journal.records import Fill, Mode, ScopeKind
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines_tests.support.execution.order_steps import (
    ACCOUNT,
    EVENT,
    HOUR,
    TICKER,
    OrderSteps,
    next_session,
    order_steps,
)
from kalshi_pipelines_tests.support.execution.tampering import tamper

OTHER = f"{EVENT}-T2"
_NUMBERS = count(1)


def trade(steps: OrderSteps, side: Side, price: int, contracts: int = 1_000, ticker: str = TICKER) -> None:
    """Place an order that is filled completely without a fee."""
    terms = {"side": side, "price_centicents": price, "count_centicontracts": contracts, "ticker": ticker}
    sent = steps.record_sent(**terms, fee_bound_microdollars=0)
    fill = Fill(
        f"fill-{sent.intent_id}", f"order-{sent.intent_id:06}", ticker, side, price, contracts, 0, steps.clock()
    )
    with steps.journal.writing() as transaction:
        transaction.fills.record(fill, sent)
        present = transaction.reading.orders.intent(sent.intent_id)
        transaction.orders.record_answer(present, OrderState.EXECUTED, filled_centicontracts=contracts)


def round_trip(steps: OrderSteps, bought: int, sold: int, ticker: str = TICKER, contracts: int = 1_000) -> None:
    trade(steps, Side.BID, bought, contracts, ticker)
    trade(steps, Side.ASK, sold, contracts, ticker)


def realise(steps: OrderSteps) -> bool:
    with steps.journal.writing() as transaction:
        return transaction.realised.realise_flat_markets(ACCOUNT)


def settle(steps: OrderSteps, payoff: int, ticker: str = TICKER) -> None:
    with steps.journal.writing() as transaction:
        assert transaction.settlements.record(
            ACCOUNT, ticker, EVENT, payoff_centicents=payoff, dedupe=f"{next(_NUMBERS)}"
        )


def worst(steps: OrderSteps) -> dict[str, int]:
    """Return the worst loss of each kind of scope that counts now."""
    keys = {
        ScopeKind.SESSION: steps.session_id,
        ScopeKind.EVENT: EVENT,
        ScopeKind.ACCOUNT: "account",
        ScopeKind.ROLLING: str(steps.clock() // HOUR),
    }
    with steps.journal.reading() as reading:
        found = reading.ledger.standings(ACCOUNT, Mode.LIVE, keys)
    return {each.kind.value: each.worst_microdollars for each in found}


def test_F74_losses_of_several_days_do_not_lock_the_account(journal_engine: sa.Engine) -> None:
    """Each day loses $40.00 of an account that may lose $100.00 at a time."""
    steps = order_steps(journal_engine)
    most = 0
    for day in range(2, 8):
        round_trip(steps, 5_000, 1_000, contracts=10_000)
        realise(steps)
        most = max(most, worst(steps)["account"])
        assert worst(steps)["account"] >= 40_000_000, "it counts within the day"
        steps.clock.now_us += 25 * HOUR
        realise(steps)
        next_session(steps, day)
    assert most == 80_000_000, "a loss counts until 24 hours after its day has ended"
    steps.clock.now_us += 25 * HOUR
    assert realise(steps)
    assert not realise(steps)
    assert {worst(steps)["account"], worst(steps)["event"]} == {0}
    assert verify(journal_engine).ok


def test_profits_and_losses_of_a_day_count_against_each_other(steps: OrderSteps) -> None:
    round_trip(steps, 5_000, 2_000)
    round_trip(steps, 4_000, 6_000, OTHER)
    assert set(worst(steps).values()) == {3_000_000}, "the profit counts only when it is realised"
    assert realise(steps)
    assert set(worst(steps).values()) == {1_000_000}
    with steps.journal.reading() as reading:
        assert reading.ledger.markets(ACCOUNT) == []
    round_trip(steps, 4_000, 9_000, OTHER)
    realise(steps)
    assert set(worst(steps).values()) == {0}
    trade(steps, Side.BID, 5_000)
    assert set(worst(steps).values()) == {5_000_000}, "a profit makes no room for a new position"
    assert verify(steps.journal._engine).ok


def test_F74_profit_of_an_old_day_leaves_like_a_loss(steps: OrderSteps) -> None:
    round_trip(steps, 4_000, 9_000)
    realise(steps)
    steps.clock.now_us += 49 * HOUR
    next_session(steps, 2)
    realise(steps)
    round_trip(steps, 5_000, 4_000, OTHER)
    realise(steps)
    assert worst(steps)["account"] == 1_000_000
    assert verify(steps.journal._engine).ok


def test_market_with_an_open_order_is_not_flat(steps: OrderSteps) -> None:
    round_trip(steps, 5_000, 2_000)
    resting = steps.reserve(count_centicontracts=100)
    assert not realise(steps)
    with steps.journal.writing() as transaction:
        present = transaction.reading.orders.intent(resting.intent_id)
        transaction.orders.abandon(present, DenialReason.CRASHED_BEFORE_SENDING, "left behind")
    assert realise(steps)


def test_new_day_takes_over_no_result_of_a_flat_market(steps: OrderSteps) -> None:
    round_trip(steps, 5_000, 2_000)
    steps.clock.now_us += 25 * HOUR
    next_session(steps, 2)
    trade(steps, Side.BID, 1_000, ticker=OTHER)
    with steps.journal.reading() as reading:
        (day,) = reading.ledger.standings(ACCOUNT, Mode.LIVE, {ScopeKind.DAY: "2026-11-24"})
    assert day.worst_microdollars == 1_000_000


def test_payout_of_contracts_that_were_sold_elsewhere_hides_no_loss(steps: OrderSteps) -> None:
    trade(steps, Side.BID, 5_000)
    bought_in = str(steps.clock() // HOUR)
    steps.clock.now_us += 2 * HOUR
    next_session(steps, 2)
    trade(steps, Side.ASK, 100, 600)
    settle(steps, 10_000)
    with steps.journal.reading() as reading:
        (hour,) = reading.ledger.standings(ACCOUNT, Mode.LIVE, {ScopeKind.ROLLING: bought_in})
    assert hour.worst_microdollars == 1_000 * 5_000 - 400 * 10_000, "400 paid out, and 600 were sold for almost nothing"
    assert worst(steps)["account"] == 1_000 * 5_000 - 600 * 100 - 400 * 10_000
    assert verify(steps.journal._engine).ok


def test_F74_loss_at_settlement_counts_as_long_as_any_other(steps: OrderSteps) -> None:
    trade(steps, Side.BID, 5_000)
    settle(steps, 0)
    realise(steps)
    assert worst(steps)["account"] == 5_000_000
    steps.clock.now_us += 49 * HOUR
    assert realise(steps)
    assert worst(steps)["account"] == 0
    assert verify(steps.journal._engine).ok


FORGED = [
    (
        ["UPDATE postings SET d_spent_microdollars = -1, d_if_no_microdollars = -1, d_if_yes_microdollars = -1 "
         "WHERE kind = 'realise' AND ticker LIKE 'KX%'"],
        "realises -1, but KXRAIN-26NOV24-T1 counts [3000000, 3000000, 3000000, 0, 0, 0] in the account scope",
    ),
    (
        ["UPDATE postings SET ticker = 'realised 2026-11-22' WHERE kind = 'realise' AND ticker LIKE 'realised%'"],
        "changes the result of 2026-11-22 by 3000000 in the account scope on 2026-11-23",
    ),
    (
        ["UPDATE postings SET ticker = 'KXOTHER' WHERE kind = 'realise' AND ticker LIKE 'realised%'"],
        "realises 3000000, but KXOTHER counts [0, 0, 0, 0, 0, 0] in the account scope",
    ),
    (
        ["DELETE FROM postings WHERE kind = 'realise' AND ticker LIKE 'realised%'"],
        "realises 3000000 in scope 1 that no result of a day counts",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("statements", "problem"), FORGED)
def test_F74_verification_names_a_result_that_was_not_realised(
    sqlite_journal: sa.Engine, statements: list[str], problem: str
) -> None:
    steps = order_steps(sqlite_journal)
    round_trip(steps, 5_000, 2_000)
    assert realise(steps)
    for statement in statements:
        tamper(sqlite_journal, statement)
    problems = verify(sqlite_journal).problems
    assert any(problem in each for each in problems), problems


def test_F74_verification_names_a_result_that_left_too_early(sqlite_journal: sa.Engine) -> None:
    steps = order_steps(sqlite_journal)
    round_trip(steps, 5_000, 2_000)
    realise(steps)
    steps.clock.now_us += 49 * HOUR
    realise(steps)
    assert verify(sqlite_journal).ok
    tamper(sqlite_journal, f"UPDATE postings SET at_us = at_us - {24 * HOUR} WHERE d_spent_microdollars = -3000000")
    problem = "changes the result of 2026-11-23 by -3000000 in the account scope on 2026-11-24"
    assert any(problem in each for each in verify(sqlite_journal).problems)
