"""Tests of the executor with orders that close a position, and with sales that would turn it."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.executor import session as sessions
from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
from kalshi_pipelines.execution.journal.records import Mode, ScopeKind
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.terms import Action, Contracts, Leg, Outcome, YesPrice
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT
from kalshi_pipelines_tests.support.execution.scripted_exchange import (
    ScriptedExchange,
    ScriptedSession,
    accepted,
    scripted_session,
)

SALE = Leg(Action.SELL, Outcome.YES, YesPrice(5_000))
SALE_OF_NO = Leg(Action.SELL, Outcome.NO, YesPrice(4_800))


def holding(made: ScriptedSession, contracts: int) -> ScriptedSession:
    """Let the account hold contracts of the market: YES, or NO if the number is negative."""
    with made.journal.writing() as transaction:
        transaction.positions.record_opening(
            ACCOUNT,
            str(made.market.ticker),
            made.market.event_ticker,
            position_centicontracts=100 * contracts,
            spent_microdollars=50_000 * contracts,
            dedupe=f"held {contracts}",
        )
    return made


@pytest.mark.parametrize(("held", "leg"), [(5, SALE), (-5, SALE_OF_NO)])
def test_F34_reduce_only_order_beyond_the_position_is_sent_for_the_position(
    journal_engine: sa.Engine, held: int, leg: Leg
) -> None:
    made = holding(scripted_session(journal_engine, ScriptedExchange(answer=accepted("5.00"))), held)
    order = made.order(leg=leg, count=Contracts(800), reduce_only=True)
    placed = made.executor.decide(order)
    assert (placed.outcome, made.exchange.orders[-1]["count"]) == (DecisionOutcome.PLACED, "5.00")
    assert placed.intent is not None
    assert placed.intent.proposed_centicontracts == 800
    assert made.executor.decide(order).outcome is DecisionOutcome.KNOWN, "the same signal with the same terms"
    changed = made.executor.decide(replace(order, count=Contracts(500)))
    assert changed.reason is DenialReason.IDEMPOTENCY_CONFLICT
    assert verify(journal_engine).ok


@pytest.mark.parametrize(("held", "leg"), [(0, SALE), (-5, SALE), (0, SALE_OF_NO), (5, SALE_OF_NO)])
def test_reduce_only_order_without_a_position_is_denied_and_not_sent(
    sqlite_journal: sa.Engine, held: int, leg: Leg
) -> None:
    made = holding(scripted_session(sqlite_journal), held) if held else scripted_session(sqlite_journal)
    denied = made.decide(leg=leg, reduce_only=True)
    assert (denied.outcome, denied.reason, denied.intent) == (
        DecisionOutcome.DENIED,
        DenialReason.NOTHING_TO_REDUCE,
        None,
    )
    assert "0.00 contracts" in denied.detail
    assert made.exchange.orders == []


@pytest.mark.parametrize(("held", "leg"), [(5, SALE), (-5, SALE_OF_NO)])
def test_F34_sale_beyond_the_position_needs_open_short(journal_engine: sa.Engine, held: int, leg: Leg) -> None:
    made = holding(scripted_session(journal_engine, ScriptedExchange(answer=accepted("8.00"))), held)
    order = made.order(leg=leg, count=Contracts(800))
    denied = made.executor.decide(order)
    assert (denied.outcome, denied.reason) == (DecisionOutcome.DENIED, DenialReason.WOULD_OPEN_SHORT)
    for words in ("5.00 contracts", "8.00 contracts", "3.00 contracts", "--open-short", "open_short"):
        assert words in denied.detail
    assert made.exchange.orders == []
    assert made.executor.decide(replace(order, open_short=True)).outcome is DecisionOutcome.PLACED
    assert made.facts()["kind"] != "attempt"
    assert made.decide(leg=leg, count=Contracts(1)).reason is DenialReason.WOULD_OPEN_SHORT


def test_purchase_of_the_other_outcome_needs_no_open_short(sqlite_journal: sa.Engine) -> None:
    made = holding(scripted_session(sqlite_journal), 5)
    bought = made.decide(leg=Leg(Action.BUY, Outcome.NO, YesPrice(5_000)), count=Contracts(800))
    assert bought.outcome is DecisionOutcome.PLACED


@pytest.mark.parametrize("available", [0, None])
def test_F72_close_needs_neither_money_nor_approval(sqlite_journal: sa.Engine, available: int | None) -> None:
    exchange = ScriptedExchange(answer=accepted("5.00"))
    made = holding(scripted_session(sqlite_journal, exchange, approval_dollars=0), 5)
    made.available = available
    assert made.decide(leg=SALE, count=Contracts(500)).outcome is DecisionOutcome.PLACED
    assert made.decide(leg=SALE, open_short=True).reason is DenialReason.INSUFFICIENT_BALANCE


def test_F39_close_of_an_agent_needs_approval(sqlite_journal: sa.Engine) -> None:
    made = holding(scripted_session(sqlite_journal), 5)
    waiting = made.wait(leg=SALE, count=Contracts(500))
    assert made.executor.decide_again(made.approve(waiting)).outcome is DecisionOutcome.PLACED


@pytest.mark.parametrize(("price", "reason"), [(5_000, None), (100, DenialReason.PRICE_OUTSIDE_BAND)])
def test_close_needs_only_the_side_of_the_book_that_it_trades_with(
    sqlite_journal: sa.Engine, price: int, reason: DenialReason | None
) -> None:
    made = holding(scripted_session(sqlite_journal), 5)
    made.market = replace(made.market, best_ask=None)
    leg = Leg(Action.SELL, Outcome.YES, YesPrice(price))
    assert made.decide(leg=leg, count=Contracts(100)).reason is reason
    assert made.decide().reason is DenialReason.BOOK_NOT_TWO_SIDED
    made.market = replace(made.market, best_bid=None)
    assert made.decide(leg=leg, count=Contracts(100)).reason is DenialReason.BOOK_NOT_TWO_SIDED


def test_dry_run_closes_what_the_live_account_holds(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal)
    holding(made, 5)
    dry = scripted_session(sqlite_journal, live=False)
    assert dry.decide(leg=SALE, count=Contracts(500)).outcome is DecisionOutcome.SIMULATED
    assert dry.decide(leg=SALE, count=Contracts(100)).reason is DenialReason.WOULD_OPEN_SHORT


def test_agent_s_kind_does_not_change_what_a_sale_closes(sqlite_journal: sa.Engine) -> None:
    made = holding(scripted_session(sqlite_journal), 5)
    assert made.decide(leg=SALE, count=Contracts(600), actor=ActorKind.AGENT).reason is DenialReason.WOULD_OPEN_SHORT


def test_live_session_realises_the_results_of_flat_markets_when_it_opens(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal)
    with made.journal.writing() as transaction:
        transaction.positions.record_opening(
            ACCOUNT, "KXA-26-B", "KXA-26", position_centicontracts=0, spent_microdollars=5_000_000, dedupe="lost"
        )
    sessions.close(made.journal, made.session, "over")
    replace(made)
    with made.journal.reading() as reading:
        assert reading.ledger.markets(ACCOUNT) == []
        (account,) = reading.ledger.standings(ACCOUNT, Mode.LIVE, {ScopeKind.ACCOUNT: "account"})
    assert account.worst_microdollars == 5_000_000
    assert verify(sqlite_journal).ok
