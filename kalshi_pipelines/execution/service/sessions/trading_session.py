"""One trading session from its opening to its end, shared by Dagster, the command line and the demo.

This module only connects the parts of a session. ``executor.session`` decides whether a session opens, and
``executor.executor`` decides about each order.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor import session as sessions
from kalshi_pipelines.execution.executor.decisions import AdmittedOrder, Decision, DecisionOutcome, after_reconciliation
from kalshi_pipelines.execution.executor.dispatch import LiveDispatch, OrderDispatch, SimulatedDispatch
from kalshi_pipelines.execution.executor.executor import TradeExecutor
from kalshi_pipelines.execution.executor.planning import ExecutorInputs
from kalshi_pipelines.execution.executor.session import Opening, TradeSession
from kalshi_pipelines.execution.gates.market_snapshot import ExchangeMarkets
from kalshi_pipelines.execution.gates.order_checks import check
from kalshi_pipelines.execution.gates.vendor import vendor_checks
from kalshi_pipelines.execution.inbox.stored import stored_order
from kalshi_pipelines.execution.journal.errors import JournalUnavailable
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.reading.inbox import PendingCount
from kalshi_pipelines.execution.journal.reading.rows import Row
from kalshi_pipelines.execution.journal.records import Details, Mode, Origin
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.proposals import ActorKind, ProposedOrder
from kalshi_pipelines.execution.orders.shares import MOST_WAITING_OF_AGENTS
from kalshi_pipelines.execution.orders.terms import Action, Side
from kalshi_pipelines.execution.reconciliation.reconciler import Reconciler
from kalshi_pipelines.execution.reconciliation.report import ReconciliationReport
from kalshi_pipelines.execution.service.account.kill_switch import kill_switch
from kalshi_pipelines.execution.service.account.live_account import LiveAccount, live_account, require_private_key_file
from kalshi_pipelines.execution.service.sessions.decision_text import format_decision
from kalshi_pipelines.execution.service.sessions.inbox_selection import (
    MOST_PROPOSALS,
    Selection,
    describe_left,
    is_urgent,
    needs_place,
    select_proposals,
)
from kalshi_pipelines.execution.service.sessions.session_registration import Registration, registered_session
from kalshi_pipelines.execution.text import safe_line
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.settings import Settings, require_decided_variables
from kalshi_pipelines.units import instant, now_us

_SECONDS_BETWEEN_LOOKS: Final = 1.0


def _do_nothing() -> None:
    pass


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
    left: tuple[PendingCount, ...] = ()
    """Counts of the valid proposals that the session left undecided, by proposer."""

    @property
    def is_clean(self) -> bool:
        """Whether no order is unknown or absent and the last reconciliation was clean. If not, a person has to act."""
        lost = self.count(DecisionOutcome.UNKNOWN) + self.count(DecisionOutcome.ABSENT)
        return not lost and all(each.clean for each in self.reconciliations[-1:])

    def count(self, outcome: DecisionOutcome) -> int:
        """Return the number of the session's decisions that had the given outcome."""
        return sum(decision.outcome is outcome for decision in self.decisions)

    def __str__(self) -> str:
        counts = [f"{count} {each.value.replace('_', ' ')}" for each in DecisionOutcome if (count := self.count(each))]
        left = f"; left undecided: {describe_left(self.left)}" if self.left else ""
        decided = ", ".join(counts) or "no proposals"
        return f"session {self.session.session_id} ({self.session.mode.value}): {decided}{left}"


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
        # The claim comes before the first write, because two paths of one SQLite journal hide each other's commits.
        sessions.claim_journal(context.journal)
        try:
            with live_account(context.settings, context.trade, context.warehouse) as account:
                return _trade_live(context, opening, account, registration)
        finally:
            context.journal.release_path()


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
    others = account.other_traders(context.journal)
    environment = context.settings.environment
    killed = _kill_reason(context)
    checks = (
        others.check(),
        *vendor_checks(context.warehouse, environment.value, context.clock_us()),
        *account.key_checks(),
        check(DenialReason.KILL_SWITCH_ENGAGED, killed is None, "clear", killed or "clear"),
    )
    session = sessions.open_live(
        context.journal, context.trade, environment, opening, account.transport, checks, context.clock_us
    )
    registration.record_id(session.session_id)
    inputs = ExecutorInputs(
        ExchangeMarkets(account.client, context.clock_us),
        lambda: _kill_reason(context),
        account.available_balance,
        others.client_order_ids,
    )
    dispatch = LiveDispatch(context.journal, session, account.transport, newcomer=others.newcomer)
    run = _run_session(context, session, inputs, dispatch, reconciler, lambda: others.count(context.say))
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
    count_others: Callable[[], None] = _do_nothing,
) -> TradingRun:
    made: list[ReconciliationReport] = []
    run = TradingRun(session)
    try:
        first = None if reconciler is None else _reconcile_first_session(context, session, reconciler)
        if first is not None:
            made.append(first)
        if first is None or first.clean:
            count_others()
            run = _decide_inbox(context, session, inputs, dispatch, reconciler)
            if reconciler is not None:
                made.append(reconciler.reconcile(own_session=session.session_id))
                context.say(f"after the session: {made[-1]}")
                run = _look_again(context, run)
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


def _look_again(context: TradingContext, run: TradingRun) -> TradingRun:
    """Return the run with the outcomes that the closing reconciliation proved for orders of unknown outcome."""
    decisions = []
    for decision in run.decisions:
        present = decision
        if decision.outcome is DecisionOutcome.UNKNOWN and decision.intent is not None:
            with context.journal.reading() as reading:
                present = after_reconciliation(decision, reading.orders.intent(decision.intent.intent_id))
        if present.outcome is not decision.outcome:
            context.say(format_decision(present))
        decisions.append(present)
    return replace(run, decisions=tuple(decisions))


def _decide_inbox(
    context: TradingContext,
    session: TradeSession,
    inputs: ExecutorInputs,
    dispatch: OrderDispatch,
    reconciler: Reconciler | None = None,
) -> TradingRun:
    executor = TradeExecutor(session, context.journal, context.trade, inputs, dispatch, clock_us=context.clock_us)
    made = _InboxDecisions(context, session, executor, reconciler)
    made.decide_valid()
    made.decide_after_approval()
    made.decide(made.select().late)
    with context.journal.reading() as reading:
        left = tuple(reading.inbox.count(session.mode, context.clock_us()))
    if left:
        context.say(f"left undecided for the next session: {describe_left(left)}")
    return TradingRun(session, tuple(made.decisions.values()), left=left)


@dataclass
class _InboxDecisions:
    """The decisions of a session about the inbox, by the numbers of the proposals."""

    context: TradingContext
    session: TradeSession
    executor: TradeExecutor
    reconciler: Reconciler | None = None
    """The reconciler of a live session, or None in a dry run."""
    decisions: dict[int, Decision] = field(default_factory=dict)
    waiting: dict[int, AdmittedOrder] = field(default_factory=dict)
    """Orders that wait for a person's approval."""
    put_off: dict[int, None] = field(default_factory=dict)
    """The numbers of agents' proposals that found no place to wait for approval, in the order of their turns."""
    shown: set[int] = field(default_factory=set)
    uncounted: set[tuple[str, Side]] = field(default_factory=set)
    """Market and side of each order that was placed since the account was last read."""

    def select(self) -> Selection:
        """Return the proposals that can be decided now."""
        with self.context.journal.reading() as reading:
            return select_proposals(reading, self.session, self.context.clock_us())

    def decide_valid(self) -> None:
        """Decide about valid proposals, at most ``MOST_PROPOSALS``.

        The inbox is read again after each selection, because attempts become free while a session works.
        """
        left = MOST_PROPOSALS
        while left and (rows := [row for row in self.select().valid if row["proposal_id"] not in self.put_off][:left]):
            self.decide(rows)
            left -= len(rows)

    def decide(self, rows: Iterable[Row]) -> None:
        """Decide about each proposal; put it off if it needs a place. Deny one that cannot become an order."""
        for row in rows:
            number = row["proposal_id"]
            if needs_place(row) and not self._has_place():
                self.put_off.setdefault(number)
                continue
            self.put_off.pop(number, None)
            try:
                order = stored_order(row)
            except (ValueError, OverflowError) as error:
                self._deny_row(number, str(error))
                continue
            self._count_fills_to_close(order)
            self._record(number, self.executor.decide(order, number))
            waits = self.decisions[number].waiting
            if waits is not None:
                self.waiting[number] = waits

    def decide_after_approval(self) -> None:
        """Wait until each order is approved or has expired, then decide again about the order.

        New proposals of persons, and new orders that close a position, are decided meanwhile. No other session could
        decide about them, because this session holds the sub-account. When places become free, the agents' proposals
        that were put off are decided. Newer proposals of agents are left for the next session.
        """
        while self.waiting:
            self._say_what_waits()
            for number, admitted in list(self.waiting.items()):
                if self.executor.is_due(admitted):
                    del self.waiting[number]
                    self._record(number, self.executor.decide_again(admitted))
            if self.waiting:
                self.context.pause(_SECONDS_BETWEEN_LOOKS)
                self.executor.keep_lease()
            self._decide_meanwhile()

    def _decide_meanwhile(self) -> None:
        """Decide about urgent proposals, and then about those that were put off, as far as places are free."""
        turns = {number: turn for turn, number in enumerate(self.put_off)}
        rows = [row for row in self.select().valid if is_urgent(row) or row["proposal_id"] in turns]
        self.decide(sorted(rows, key=lambda row: turns.get(row["proposal_id"], -1)))

    def _has_place(self) -> bool:
        """Return whether one more opening order of an agent may wait for approval."""
        of_agents = [each for each in self.waiting.values() if each.planned.order.actor is ActorKind.AGENT]
        return sum(not each.intent.only_closes for each in of_agents) < MOST_WAITING_OF_AGENTS

    def _count_fills_to_close(self, order: ProposedOrder) -> None:
        """Reconcile before an order that may close a position that this session has changed.

        The ledger counts fills when the account is read. Without them, the order would look like one that opens a
        position. After an earlier sale, the contracts that were sold would still look like contracts that are held.
        """
        side, ticker = order.leg.side, str(order.ticker)
        opposite = {Side.BID: Side.ASK, Side.ASK: Side.BID}[side]
        is_sale = order.reduce_only or order.leg.action is Action.SELL
        changed = self.uncounted & ({(ticker, opposite), (ticker, side)} if is_sale else {(ticker, opposite)})
        if self.reconciler is not None and changed:
            self.uncounted.clear()
            self.context.say(f"before an order that may close a position: {self.reconciler.reconcile()}")

    def _record(self, number: int, decision: Decision) -> None:
        self.decisions[number] = decision
        if decision.outcome is DecisionOutcome.PLACED:
            self.uncounted.add((str(decision.order.ticker), decision.order.leg.side))
        self.context.say(format_decision(decision))

    def _say_what_waits(self) -> None:
        """Show the command that approves an order, once for each order that waits."""
        for number, admitted in self.waiting.items():
            if number not in self.shown:
                self.shown.add(number)
                intent = admitted.intent
                until = f"{instant(intent.valid_until_us):%H:%M:%S} UTC"
                self.context.say(
                    f"intent {intent.intent_id} waits for approval until {until}: "
                    f"python -m kalshi_pipelines.execution approve {intent.intent_id} {intent.request_sha256[:12]}"
                )

    def _deny_row(self, number: int, problem: str) -> None:
        reason, detail = DenialReason.INVALID_PROPOSAL, Details(facts={"detail": safe_line(problem)})
        with self.context.journal.writing() as transaction:
            transaction.orders.record_attempt(
                self.session.session_id, proposal_id=number, denial=reason, details=detail
            )
        self.context.say(f"denied: proposal {number} ({reason.code}: {safe_line(problem)})")


def _kill_reason(context: TradingContext) -> str | None:
    """Return why the kill switch is engaged, or None."""
    return kill_switch(context.settings, context.trade, lambda: context.journal).why_engaged()
