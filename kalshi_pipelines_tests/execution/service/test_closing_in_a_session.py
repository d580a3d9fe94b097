"""Tests of orders that close what the same session has bought."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from kalshi_pipelines.execution.executor.decisions import Decision, DecisionOutcome
from kalshi_pipelines.execution.inbox.proposals import propose
from kalshi_pipelines.execution.journal.tables import intents
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.terms import Action, Contracts, Leg, Outcome, YesPrice
from kalshi_pipelines.execution.service.sessions.trading_session import TradingContext, _decide_inbox
from kalshi_pipelines.settings import Settings
from kalshi_pipelines_tests.support.execution.member_reconciler import reconciler
from kalshi_pipelines_tests.support.execution.sandbox_member import (
    live_trader,
    proposed,
    ready_journal,
    sandbox_with_member,
)


def decide_purchase_and_sales(journal_engine: sa.Engine, folder: Path, purchase: int, *sales: int) -> list[Decision]:
    """Decide a purchase and sales of the same market in one session, and return the decisions.

    Check that all are placed except the last sale, which would open a short position. Counts are centicontracts.
    """
    journal, said, nothing = ready_journal(journal_engine), list[str](), None
    with sandbox_with_member(folder) as member:
        market = member.tradable()
        trader = live_trader(member, journal)
        sale = Leg(Action.SELL, Outcome.YES, YesPrice.from_text(market["yes_bid_dollars"]))
        orders = [proposed(market, count=Contracts(purchase))]
        orders += [proposed(market, count=Contracts(count), leg=sale) for count in sales]
        propose(journal_engine, orders, "a test")
        warehouse: Any = nothing
        context = TradingContext(Settings(), trader.settings, journal, warehouse, member.client, said.append)
        inputs, dispatch = member.inputs(lambda: None), trader.dispatch
        decisions = _decide_inbox(context, trader.session, inputs, dispatch, reconciler(member, journal)).decisions
    assert [each.outcome for each in decisions] == [
        DecisionOutcome.PLACED,
        DecisionOutcome.PLACED,
        DecisionOutcome.DENIED,
    ], said
    assert decisions[2].reason is DenialReason.WOULD_OPEN_SHORT
    return list(decisions)


def test_F72_sale_in_the_session_of_its_purchase_closes_what_was_bought(
    journal_engine: sa.Engine, tmp_path: Path
) -> None:
    decide_purchase_and_sales(journal_engine, tmp_path, 500, 300, 300)
    with journal_engine.connect() as connection:
        closing = list(connection.scalars(sa.select(intents.c.closing_centicontracts).order_by(intents.c.intent_id)))
    assert closing == [0, 300]


def test_second_sale_in_a_session_is_denied_with_the_true_reason(journal_engine: sa.Engine, tmp_path: Path) -> None:
    decisions = decide_purchase_and_sales(journal_engine, tmp_path, 500, 500, 100)
    assert "5.00" not in decisions[2].detail, "the first sale closed the whole position"
