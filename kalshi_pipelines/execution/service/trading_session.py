"""One trading session from its opening to its end: what Dagster, the command line and the demo share.

It puts the parts together and decides nothing: whether a session opens is said by ``session``, what becomes of an order
by ``executor``.
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
from kalshi_pipelines.execution.journal.errors import JournalUnavailable
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Details, Mode, Origin
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.proposals import ActorKind, ProposedOrder, Signal
from kalshi_pipelines.execution.orders.terms import (
    Action,
    Contracts,
    Leg,
    MarketTicker,
    Outcome,
    TimeInForce,
    YesPrice,
)
from kalshi_pipelines.execution.reconciliation.reconciler import Reconciler
from kalshi_pipelines.execution.reconciliation.report import ReconciliationReport
from kalshi_pipelines.execution.service.decision_text import format_decision
from kalshi_pipelines.execution.service.kill_switch import kill_switch
from kalshi_pipelines.execution.service.live_account import LiveAccount, live_account
from kalshi_pipelines.execution.text import safe_line
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.units import HOUR_US, instant, now_us

#: Proposals that ended longer ago are not even denied any more.
FORGOTTEN_AFTER_US: Final = HOUR_US
_MOST_PROPOSALS: Final = 100
#: Of so many that wait, those of people and strategies come first.
_MOST_LOOKED_AT: Final = 1_000
_SECONDS_BETWEEN_LOOKS: Final = 1.0


def _discard(line: str) -> None:
    del line


@dataclass(frozen=True)
class TradingContext:
    """What a session is traded with.

    Attributes:
        settings: Of the environment.
        trade: Of trading.
        journal: Where everything is recorded.
        warehouse: Holds the contract runs of the vendor.
        client: Reads markets in a dry run; a live session reads with its own key.
        say: Takes lines for people while it goes on.
        clock_us: The present instant in microseconds.
        pause: Waits for seconds.
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
    """What a session did."""

    session: TradeSession
    decisions: tuple[Decision, ...] = ()
    reconciliations: tuple[ReconciliationReport, ...] = ()
    """Before and after a live session, and as the first thing in the first there is; a dry run has none."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left to be looked at by a person: no order is unknown, the last reconciliation clean."""
        return not self.count(DecisionOutcome.UNKNOWN) and all(each.clean for each in self.reconciliations[-1:])

    def count(self, outcome: DecisionOutcome) -> int:
        """How many proposals ended so."""
        return sum(decision.outcome is outcome for decision in self.decisions)

    def __str__(self) -> str:
        counts = [f"{count} {each.value.replace('_', ' ')}" for each in DecisionOutcome if (count := self.count(each))]
        return f"session {self.session.session_id} ({self.session.mode.value}): {', '.join(counts) or 'no proposals'}"


def trade(context: TradingContext, opening: Opening) -> TradingRun:
    """Open a session, decide every proposal that waits, and close it.

    Live only if the settings say so and the run was started by hand; everything else is a dry run. A live session
    begins and ends with a reconciliation; in the first of an account nothing is decided unless what was held before
    could be taken over.

    Raises:
        SessionRefused: A gate of a live session is closed; nothing was sent.
        JournalUnavailable: The journal can not be read or written; nothing more was sent.
        InvalidSettings: A live session lacks a key or an address.
        KalshiError: The key can not be used, or the exchange not be reached to begin with; nothing was sent.
    """
    if context.trade.mode is Mode.LIVE and opening.origin is Origin.BY_HAND:
        with live_account(context.settings, context.trade, context.warehouse) as account:
            return _trade_live(context, opening, account)
    session = sessions.open_dry_run(
        context.journal, context.trade, context.settings.environment, opening, context.clock_us
    )
    inputs = ExecutorInputs(ExchangeMarkets(context.client, context.clock_us), lambda: _kill_reason(context))
    return _run_session(context, session, inputs, SimulatedDispatch(context.journal, session))


def _trade_live(context: TradingContext, opening: Opening, account: LiveAccount) -> TradingRun:
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
    inputs = ExecutorInputs(
        ExchangeMarkets(account.client, context.clock_us), lambda: _kill_reason(context), account.available_on
    )
    dispatch = LiveDispatch(context.journal, session, account.transport)
    run = _run_session(context, session, inputs, dispatch, reconciler)
    return replace(run, reconciliations=(before, *run.reconciliations))


def _reconcile_first_session(
    context: TradingContext, session: TradeSession, reconciler: Reconciler
) -> ReconciliationReport | None:
    """The first reconciliation in a session: only now can what was held before count; None if there was one."""
    with context.journal.reading() as reading:
        if reading.reconciliations.has_any_since_first_session(session.environment.value, session.subaccount):
            return None
    report = reconciler.reconcile(own_session=session.session_id)
    context.say(f"the first in a session: {report}")
    return report


def order_of(row: Any) -> ProposedOrder:  # noqa: ANN401  # a row of the database
    """The order a stored proposal is."""
    return ProposedOrder(
        signal=Signal(
            row["strategy"], row["strategy_version"], row["partition"], row["signal"], row["leg"], row["attempt"]
        ),
        ticker=MarketTicker(row["ticker"]),
        leg=Leg(Action(row["action"]), Outcome(row["outcome"]), YesPrice(row["price_centicents"])),
        count=Contracts(row["count_centicontracts"]),
        time_in_force=TimeInForce(row["time_in_force"]),
        as_of=instant(row["as_of_us"]),
        valid_until=instant(row["valid_until_us"]),
        actor=ActorKind(row["actor_kind"]),
        actor_name=row["actor_name"],
        post_only=bool(row["post_only"]),
        reduce_only=bool(row["reduce_only"]),
        expires=None if row["expires_us"] is None else instant(row["expires_us"]),
        reason=row["reason"],
    )


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
        # The first failure is what to tell; whatever it left open is for this reconciliation, or for the next.
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
    """Proposals that are still good, those of agents last, and some that have expired.

    A denial counts as an attempt. So that nobody's attempts are used up by what can not be sent any more, the expired
    come after everything else, and only so many that they leave most of the attempts of the next minute.
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
            order = order_of(row)
        except (ValueError, OverflowError) as error:
            _deny_row(context, session, row["proposal_id"], str(error))
        else:
            yield row["proposal_id"], order


def _deny_row(context: TradingContext, session: TradeSession, proposal_id: int, problem: str) -> None:
    """Deny a row that is no order, whoever got it into the inbox; the others are decided all the same."""
    reason = DenialReason.INVALID_PROPOSAL
    with context.journal.writing() as transaction:
        facts = Details(facts={"detail": safe_line(problem)})
        transaction.orders.record_attempt(session.session_id, proposal_id=proposal_id, denial=reason, details=facts)
    context.say(f"denied: proposal {proposal_id} ({reason.code}: {safe_line(problem)})")


def _decide_after_approval(
    context: TradingContext, session: TradeSession, executor: TradeExecutor, waiting: dict[int, AdmittedOrder]
) -> dict[int, Decision]:
    """Wait for a person as long as the orders are valid; then each is looked at again, and sent or given back."""
    decisions = {}
    for admitted in waiting.values():
        intent = admitted.intent
        context.say(
            f"intent {intent.intent_id} waits until {instant(intent.valid_until_us):%H:%M:%S} UTC: "
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
            sessions.renew_lease(context.journal, session)
    return decisions


def _kill_reason(context: TradingContext) -> str | None:
    """Why nothing may be risked now, or None."""
    return kill_switch(context.settings, context.trade, lambda: context.journal).why_engaged()
