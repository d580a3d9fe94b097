"""Whole sessions on a scripted exchange that decide about the proposals of the inbox."""

from typing import Any

from kalshi_pipelines.execution.executor.planning import ExecutorInputs
from kalshi_pipelines.execution.inbox.proposals import propose
from kalshi_pipelines.execution.orders.evidence import Holding
from kalshi_pipelines.execution.orders.proposals import ProposedOrder
from kalshi_pipelines.execution.reconciliation.reconciler import Reconciler
from kalshi_pipelines.execution.service.sessions.trading_session import TradingContext, TradingRun, _run_session
from kalshi_pipelines.settings import Settings
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT
from kalshi_pipelines_tests.support.execution.scripted_account import ScriptedAccount
from kalshi_pipelines_tests.support.execution.scripted_exchange import ScriptedSession


def context_of(made: ScriptedSession, said: list[str] | None = None, **parts: Any) -> TradingContext:
    """Return the context of a scripted session, without the parts that it does not use."""
    nothing: Any = None
    values = {"say": [].append if said is None else said.append, "clock_us": made.clock, **parts}
    return TradingContext(Settings(), made.settings, made.journal, nothing, nothing, **values)


def traded(made: ScriptedSession, context: TradingContext, reconciler: Any = None) -> TradingRun:
    """Let a session decide about the inbox, and close the session."""
    inputs = ExecutorInputs(made._market, lambda: made.killed, made._available)
    return _run_session(context, made.session, inputs, made.dispatch, reconciler)


def put_in(made: ScriptedSession, *orders: ProposedOrder) -> tuple[int, ...]:
    """Put orders into the inbox, and return their numbers."""
    return propose(made.journal._engine, orders, "a test")


def hold(made: ScriptedSession, contracts: int, ticker: str = "KXA-26-B") -> None:
    """Let the journal take over a position: YES contracts, or NO contracts if the number is negative."""
    account = ScriptedAccount(made.clock)
    account.held = {ticker: Holding(ticker, contracts * 100, abs(contracts) * 500_000)}
    reconciler = Reconciler(made.journal, account, account, ACCOUNT, clock_us=made.clock, pause=lambda seconds: None)
    assert reconciler.reconcile(own_session=made.session.session_id).clean
