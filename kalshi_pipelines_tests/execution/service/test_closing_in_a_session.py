"""Tests of orders that close what the same session has bought."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
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


def test_F72_sale_in_the_session_of_its_purchase_closes_what_was_bought(
    journal_engine: sa.Engine, tmp_path: Path
) -> None:
    journal, said, nothing = ready_journal(journal_engine), list[str](), None
    with sandbox_with_member(tmp_path) as member:
        market = member.tradable()
        trader = live_trader(member, journal)
        bid = YesPrice.from_text(market["yes_bid_dollars"])
        sale: dict[str, Any] = {"leg": Leg(Action.SELL, Outcome.YES, bid)}
        orders = [
            proposed(market, count=Contracts(500)),
            proposed(market, count=Contracts(300), **sale),
            proposed(market, count=Contracts(300), **sale),
        ]
        propose(journal_engine, orders, "a test")
        warehouse: Any = nothing
        context = TradingContext(Settings(), trader.settings, journal, warehouse, member.client, said.append)
        inputs, dispatch = member.inputs(lambda: None), trader.dispatch
        run = _decide_inbox(context, trader.session, inputs, dispatch, reconciler(member, journal))
    assert [each.outcome for each in run.decisions] == [
        DecisionOutcome.PLACED,
        DecisionOutcome.PLACED,
        DecisionOutcome.DENIED,
    ], said
    assert run.decisions[2].reason is DenialReason.WOULD_OPEN_SHORT
    with journal_engine.connect() as connection:
        closing = list(connection.scalars(sa.select(intents.c.closing_centicontracts).order_by(intents.c.intent_id)))
    assert closing == [0, 300]


def test_second_sale_in_a_session_is_denied_with_the_true_reason(journal_engine: sa.Engine, tmp_path: Path) -> None:
    journal, said, nothing = ready_journal(journal_engine), list[str](), None
    with sandbox_with_member(tmp_path) as member:
        market = member.tradable()
        trader = live_trader(member, journal)
        bid = YesPrice.from_text(market["yes_bid_dollars"])
        sale: dict[str, Any] = {"leg": Leg(Action.SELL, Outcome.YES, bid)}
        orders = [
            proposed(market, count=Contracts(500)),
            proposed(market, count=Contracts(500), **sale),
            proposed(market, count=Contracts(100), **sale),
        ]
        propose(journal_engine, orders, "a test")
        warehouse: Any = nothing
        context = TradingContext(Settings(), trader.settings, journal, warehouse, member.client, said.append)
        inputs, dispatch = member.inputs(lambda: None), trader.dispatch
        run = _decide_inbox(context, trader.session, inputs, dispatch, reconciler(member, journal))
    assert [each.outcome for each in run.decisions] == [
        DecisionOutcome.PLACED,
        DecisionOutcome.PLACED,
        DecisionOutcome.DENIED,
    ], said
    assert run.decisions[2].reason is DenialReason.WOULD_OPEN_SHORT
    assert "5.00" not in run.decisions[2].detail, "the first sale closed the whole position"
