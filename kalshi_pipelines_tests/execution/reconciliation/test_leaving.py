"""Tests of leaving a position at a running sandbox exchange."""

from pathlib import Path

import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import AuditVerdict, verify
from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Action, Contracts, Leg, Outcome, YesPrice
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount
from kalshi_pipelines_tests.support.execution.member_reconciler import reconciler
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT
from kalshi_pipelines_tests.support.execution.sandbox_member import (
    SUBACCOUNT,
    live_trader,
    proposed,
    ready_journal,
    sandbox_with_member,
)


def test_F72_reduce_only_sale_of_more_than_is_held_leaves_a_clean_account(
    journal_engine: sa.Engine, tmp_path: Path
) -> None:
    """The account holds 5 contracts and sells 8 reduce-only: the exchange sells 5, and nothing diverges."""
    journal = ready_journal(journal_engine)
    with sandbox_with_member(tmp_path) as member:
        market = member.tradable()
        trader, reconcile = live_trader(member, journal), reconciler(member, journal).reconcile
        sale = Leg(Action.SELL, Outcome.YES, YesPrice.from_text(market["yes_bid_dollars"]))
        assert trader.executor.decide(proposed(market, count=Contracts(500))).outcome is DecisionOutcome.PLACED
        assert reconcile(own_session=trader.session.session_id).clean
        sold = trader.executor.decide(proposed(market, count=Contracts(800), leg=sale, reduce_only=True))
        assert sold.intent is not None
        assert (sold.intent.state, sold.intent.count_centicontracts) == (OrderState.EXECUTED, 500)
        report = reconcile(own_session=trader.session.session_id)
        assert report.clean, str(report)
        again = trader.executor.decide(proposed(market, count=Contracts(100), leg=sale, reduce_only=True))
        assert again.reason is DenialReason.NOTHING_TO_REDUCE
        orders = ExchangeAccount(member.client, SUBACCOUNT).orders(0).orders.values()
    with journal.reading() as reading:
        assert reading.ledger.markets(ACCOUNT) == [], "the result of the flat market is realised"
        assert not reading.halts.kill_state().engaged
    assert verify(journal_engine, exchange_orders=orders).verdict is AuditVerdict.CLEAN
