"""One trading session from its opening to its end, shared by Dagster, the command line and the demo.

This module only connects the parts of a session. ``executor.session`` decides whether a session opens, and
``executor.executor`` decides about each order.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor import session as sessions
from kalshi_pipelines.execution.executor.decisions import AdmittedOrder, Decision, DecisionOutcome
from kalshi_pipelines.execution.executor.dispatch import LiveDispatch, OrderDispatch, SimulatedDispatch
from kalshi_pipelines.execution.executor.executor import ExecutorInputs, TradeExecutor
from kalshi_pipelines.execution.executor.session import Opening, TradeSession
from kalshi_pipelines.execution.gates.market_snapshot import ExchangeMarkets
from kalshi_pipelines.execution.gates.order_checks import check
from kalshi_pipelines.execution.gates.vendor import vendor_checks
from kalshi_pipelines.execution.inbox.stored import stored_order
from kalshi_pipelines.execution.journal.errors import JournalUnavailable
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Details, Mode, Origin
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.proposals import ActorKind, ProposedOrder
from kalshi_pipelines.execution.reconciliation.reconciler import Reconciler
from kalshi_pipelines.execution.reconciliation.report import ReconciliationReport
from kalshi_pipelines.execution.service.decision_text import format_decision
from kalshi_pipelines.execution.service.kill_switch import kill_switch
from kalshi_pipelines.execution.service.live_account import LiveAccount, live_account, require_private_key_file
from kalshi_pipelines.execution.service.session_registration import Registration, registered_session
from kalshi_pipelines.execution.text import safe_line
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.settings import Settings, require_decided_variables
from kalshi_pipelines.units import HOUR_US, instant, now_us

#: A session ignores a proposal that expired longer ago than this time: it does not record a denial of the proposal.
FORGOTTEN_AFTER_US: Final = HOUR_US
_MOST_PROPOSALS: Final = 100
#: The largest number of pending proposals that a session reads. The session puts the proposals of agents last, and
#: decides only the first ``_MOST_PROPOSALS`` valid proposals.
_MOST_LOOKED_AT: Final = 1_000
_SECONDS_BETWEEN_LOOKS: Final = 1.0


def _discard(line: str) -> None:
    del line


@dataclass(frozen=True)
class TradingContext:
    """The settings, databases and functions that a trading session uses.

    Attributes:
        settings: Settings of the environment.
        trade: Settings of trading.
        journal: The journal of orders.
        warehouse: The warehouse, which holds the results of the checks of the exchange's API.
        client: A client that reads markets in a dry run. A live session opens another client with the trade key.
        say: A function that shows progress to people, line by line.
        clock_us: A function that returns the present instant in microseconds.
        pause: A function that waits for a number of seconds.
    """

    settings: Settings
    trade: TradeSettings
    journal: Journal
    warehouse: sa.Engine
    client: KalshiClient
    say: Callable[[str], None] = _discard
    clock_us: Callable[[], int] = now_us
    pause: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class TradingRun:
    """The result of a trading session: its decisions and its reconciliations."""

    session: TradeSession
    decisions: tuple[Decision, ...] = ()
    reconciliations: tuple[ReconciliationReport, ...] = ()
    """The reports of a live session's reconciliations; a dry run has none.

    The account is reconciled before the session opens and before the session closes. In an account's first live session
    there is one more reconciliation, right after the session opens. If this additional reconciliation is not clean, the
    session closes at once.
    """

    @property
    def is_clean(self) -> bool:
        """Whether no order is unknown and the last reconciliation was clean. Otherwise a person has to act."""
        return not self.count(DecisionOutcome.UNKNOWN) and all(each.clean for each in self.reconciliations[-1:])

    def count(self, outcome: DecisionOutcome) -> int:
        """Return the number of the session's decisions that had the given outcome."""
        return sum(decision.outcome is outcome for decision in self.decisions)

    def __str__(self) -> str:
        counts = [f"{count} {each.value.replace('_', ' ')}" for each in DecisionOutcome if (count := self.count(each))]
        return f"session {self.session.session_id} ({self.session.mode.value}): {', '.join(counts) or 'no proposals'}"


def trade(context: TradingContext, opening: Opening) -> TradingRun:
    """Open a trading session, decide about every pending proposal, and close the session.

    The session is live only if the settings say so and a person started the run; otherwise it is a dry run. A live
    session begins and ends with a reconciliation. The first live session of an account begins by taking over the
    account's positions. If that fails, no proposal is decided.

    Raises:
        SessionRefused: A check of a live session failed; no order was sent.
        JournalUnavailable: The journal cannot be read or written; nothing more was sent.
        InvalidSettings: The settings of a live session name no trade key or no address, or they may differ from the
            settings in the shell.
        NotRegistered: A live session could not be registered, so ``kill`` would not find it; no order was sent.
        KalshiError: The key cannot be used, or the exchange could not be reached at the start; no order was sent.
    """
    is_live = context.trade.mode is Mode.LIVE and opening.origin is Origin.BY_HAND
    if is_live:
        require_decided_variables()
        require_private_key_file(context.trade)
    mode = Mode.LIVE if is_live else Mode.DRY_RUN
    with registered_session(context.settings, context.trade.subaccount, mode, context.say) as registration:
        if not is_live:
            return _trade_dry(context, opening, registration)
        with live_account(context.settings, context.trade, context.warehouse) as account:
            return _trade_live(context, opening, account, registration)


def _trade_dry(context: TradingContext, opening: Opening, registration: Registration) -> TradingRun:
    session = sessions.open_dry_run(
        context.journal, context.trade, context.settings.environment, opening, context.clock_us
    )
    registration.record_id(session.session_id)
    inputs = ExecutorInputs(ExchangeMarkets(context.client, context.clock_us), lambda: _kill_reason(context))
    return _run_session(context, session, inputs, SimulatedDispatch(context.journal, session))


def _trade_live(
    context: TradingContext, opening: Opening, account: LiveAccount, registration: Registration
) -> TradingRun:
    reconciler = account.reconciler(context.journal)
    before = reconciler.reconcile()
    context.say(f"before the session: {before}")
    environment = context.settings.environment
    killed = _kill_reason(context)
    checks = (
        *vendor_checks(context.warehouse, environment.value, context.clock_us()),
        *account.key_checks(),
        check(DenialReason.KILL_SWITCH_ENGAGED, killed is None, "clear", killed or "clear"),
    )
    session = sessions.open_live(
        context.journal, context.trade, environment, opening, account.transport, checks, context.clock_us
    )
    registration.record_id(session.session_id)
    inputs = ExecutorInputs(
        ExchangeMarkets(account.client, context.clock_us), lambda: _kill_reason(context), account.available_balance
    )
    dispatch = LiveDispatch(context.journal, session, account.transport)
    run = _run_session(context, session, inputs, dispatch, reconciler)
    return replace(run, reconciliations=(before, *run.reconciliations))


def _reconcile_first_session(
    context: TradingContext, session: TradeSession, reconciler: Reconciler
) -> ReconciliationReport | None:
    """Reconcile the account for the first time since its first live session was opened, and return the report.

    This reconciliation takes over the account's positions. If it has already run, return None.
    """
    with context.journal.reading() as reading:
        if reading.reconciliations.has_any_since_first_session(session.account):
            return None
    report = reconciler.reconcile(own_session=session.session_id)
    context.say(f"the first reconciliation in a session: {report}")
    return report


def _run_session(
    context: TradingContext,
    session: TradeSession,
    inputs: ExecutorInputs,
    dispatch: OrderDispatch,
    reconciler: Reconciler | None = None,
) -> TradingRun:
    made: list[ReconciliationReport] = []
    run = TradingRun(session)
    try:
        first = None if reconciler is None else _reconcile_first_session(context, session, reconciler)
        if first is not None:
            made.append(first)
        if first is None or first.clean:
            run = _decide_inbox(context, session, inputs, dispatch)
            if reconciler is not None:
                made.append(reconciler.reconcile(own_session=session.session_id))
                context.say(f"after the session: {made[-1]}")
    except BaseException as error:
        # After a failed session the account is reconciled, which resolves the orders that the session left open. If the
        # reconciliation fails, too, the error of the session is still raised, and a later reconciliation resolves these
        # orders.
        if reconciler is not None and isinstance(error, Exception):
            with suppress(Exception):
                context.say(f"after the failure: {reconciler.reconcile(own_session=session.session_id)}")
        with suppress(JournalUnavailable):
            sessions.close(context.journal, session, f"failed: {type(error).__name__}")
        raise
    sessions.close(context.journal, session, "done")
    return replace(run, reconciliations=tuple(made))


def _decide_inbox(
    context: TradingContext, session: TradeSession, inputs: ExecutorInputs, dispatch: OrderDispatch
) -> TradingRun:
    executor = TradeExecutor(session, context.journal, context.trade, inputs, dispatch, clock_us=context.clock_us)
    valid, expired = _pending_rows(context, session)
    decisions: dict[int, Decision] = {}
    waiting: dict[int, AdmittedOrder] = {}
    for number, order in _orders_of(context, session, valid):
        decision = executor.decide(order, number)
        decisions[number] = decision
        context.say(format_decision(decision))
        if decision.waiting is not None:
            waiting[number] = decision.waiting
    decisions |= _decide_after_approval(context, session, executor, waiting)
    for number, order in _orders_of(context, session, expired):
        decisions[number] = executor.decide(order, number)
        context.say(format_decision(decisions[number]))
    return TradingRun(session, tuple(decisions.values()))


def _pending_rows(context: TradingContext, session: TradeSession) -> tuple[list[Any], list[Any]]:
    """Return two lists of proposals to decide: valid proposals, and a limited number of expired proposals.

    Among the valid proposals, the proposals of agents come last.

    Denying an expired proposal counts as an attempt, and attempts per minute are capped. Expired proposals must not use
    up the attempts that valid proposals need. Therefore expired proposals are denied last, and their number is limited
    to a quarter of the cap, but at least one.
    """
    now = context.clock_us()
    with context.journal.reading() as reading:
        valid = reading.orders.pending_proposals(session.mode, now, _MOST_LOOKED_AT)
        late = reading.orders.pending_proposals(session.mode, now - FORGOTTEN_AFTER_US, _MOST_LOOKED_AT)
    expired = [row for row in late if row["valid_until_us"] < now]
    valid.sort(key=lambda row: row["actor_kind"] == ActorKind.AGENT.value)
    return valid[:_MOST_PROPOSALS], expired[: max(1, session.caps.attempts_per_minute // 4)]


def _orders_of(
    context: TradingContext, session: TradeSession, rows: Iterable[Any]
) -> Iterator[tuple[int, ProposedOrder]]:
    for row in rows:
        try:
            order = stored_order(row)
        except (ValueError, OverflowError) as error:
            _deny_row(context, session, row["proposal_id"], str(error))
        else:
            yield row["proposal_id"], order


def _deny_row(context: TradingContext, session: TradeSession, proposal_id: int, problem: str) -> None:
    """Deny a stored proposal that cannot become an order, so that the other proposals are still decided."""
    reason = DenialReason.INVALID_PROPOSAL
    with context.journal.writing() as transaction:
        facts = Details(facts={"detail": safe_line(problem)})
        transaction.orders.record_attempt(session.session_id, proposal_id=proposal_id, denial=reason, details=facts)
    context.say(f"denied: proposal {proposal_id} ({reason.code}: {safe_line(problem)})")


def _decide_after_approval(
    context: TradingContext, session: TradeSession, executor: TradeExecutor, waiting: dict[int, AdmittedOrder]
) -> dict[int, Decision]:
    """Wait until each order is approved or has expired, then decide again about the order."""
    decisions = {}
    for admitted in waiting.values():
        intent = admitted.intent
        context.say(
            f"intent {intent.intent_id} waits for approval until {instant(intent.valid_until_us):%H:%M:%S} UTC: "
            f"python -m kalshi_pipelines.execution approve {intent.intent_id} {intent.request_sha256[:12]}"
        )
    left = dict(waiting)
    while left:
        for number, admitted in list(left.items()):
            if executor.is_due(admitted):
                del left[number]
                decisions[number] = executor.decide_again(admitted)
                context.say(format_decision(decisions[number]))
        if left:
            context.pause(_SECONDS_BETWEEN_LOOKS)
            executor.keep_lease()
    return decisions


def _kill_reason(context: TradingContext) -> str | None:
    """Return why the kill switch is engaged, or None."""
    return kill_switch(context.settings, context.trade, lambda: context.journal).why_engaged()
