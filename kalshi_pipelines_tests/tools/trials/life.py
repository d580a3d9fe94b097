"""The trading process of a trial: reconcile, open a session, decide about each proposal, reconcile, close.

Every process of a trial proposes the same signals, as when a scheduler starts a job again.
"""

import datetime as dt
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import sqlalchemy as sa

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor import session as sessions
from kalshi_pipelines.execution.executor.decisions import Decision
from kalshi_pipelines.execution.executor.dispatch import LiveDispatch
from kalshi_pipelines.execution.executor.executor import TradeExecutor
from kalshi_pipelines.execution.executor.session import Opening, SessionRefused
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Origin
from kalshi_pipelines.execution.kill.emergency import EmergencyFile
from kalshi_pipelines.execution.kill.groups import GroupsToFence
from kalshi_pipelines.execution.kill.halt import Halt, HaltReport
from kalshi_pipelines.execution.kill.switch import CANCELS_EVERYTHING, KillSwitch
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint
from kalshi_pipelines.execution.orders.proposals import ProposedOrder, Signal
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Action, Contracts, Leg, Outcome, TimeInForce, YesPrice
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount
from kalshi_pipelines.execution.reconciliation.reconciler import Reconciler
from kalshi_pipelines.execution.reconciliation.report import ReconciliationReport
from kalshi_pipelines.execution.reconciliation.resolution import ReconciliationLimits
from kalshi_pipelines.execution.service.account.other_traders import OtherTraders
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.portfolio import PortfolioClient
from kalshi_pipelines.kalshi.rate_budget import documented_rates
from kalshi_pipelines.kalshi.signing import Signer
from kalshi_pipelines.kalshi.transport import Patience, Transport
from kalshi_pipelines.sandbox.process import SandboxProcess
from kalshi_pipelines.settings import Environment, RateTier
from kalshi_pipelines.units import now_us
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT
from kalshi_pipelines_tests.support.execution.sandbox_member import Budget, Row, SandboxMember, proposed
from kalshi_pipelines_tests.tools.trials.plans import Life, OrderWanted, Plan

LIMITS = ReconciliationLimits(margin_us=1_000, watermark_seconds=4, fence_attempts=3, pause_seconds=0.04, rounds=3)
_PATIENCE = Patience(attempts=3, total_seconds=5, answer_seconds=5)


@dataclass(frozen=True)
class TrialContext:
    """The sandbox, member, key file, journal, markets and folder of a trial."""

    sandbox: SandboxProcess
    member: str
    key_id: str
    key_file: Path
    journal_url: str
    markets: tuple[Row, ...]
    folder: Path

    @property
    def journal_file(self) -> Path:
        """The file of a SQLite journal."""
        return Path(self.journal_url.removeprefix("sqlite:///"))

    def lost_journals(self) -> list[Path]:
        """Return copies of journals as they were before they were lost, the oldest first."""
        return sorted(self.folder.glob("lost *.db"))


@dataclass
class Killer:
    """Kills this process, as ``kill -9`` does, when it reaches a checkpoint for the ``nth`` time."""

    life: Life
    passed: int = field(default=0)

    def __call__(self, checkpoint: Checkpoint) -> None:
        if checkpoint is self.life.point:
            self.passed += 1
            if self.passed == self.life.nth:
                os.kill(os.getpid(), signal.SIGKILL)


def member_of(context: TrialContext, stack: ExitStack) -> SandboxMember:
    """Return the trial's member of the sandbox, with network connections that belong to this process."""
    http = stack.enter_context(httpx.Client(trust_env=False, timeout=30))
    signer = Signer.from_file(context.key_id, context.key_file)
    budget = Budget(sa.create_engine("sqlite://"), "unused", documented_rates(RateTier.BASIC))
    transport = Transport(context.sandbox.url, budget, signer=signer, trust_proxies=False, patience=_PATIENCE)
    client = KalshiClient(transport)
    stack.callback(client.close)
    return SandboxMember(
        context.sandbox,
        http,
        signer,
        context.key_id,
        context.key_file,
        client,
        PortfolioClient(transport),
        context.member,
        stack,
    )


def journal_of(context: TrialContext) -> Journal:
    """Return the trial's journal, which also writes an anchor file."""
    return Journal(open_journal(context.journal_url), "sandbox", anchor_file=context.folder / "anchors.jsonl")


def order_of(plan: Plan, wanted: OrderWanted, market: Row) -> ProposedOrder:
    """Return the proposal of an order, priced near the market's bid or ask. Every process proposes the same."""
    bid, ask = round(float(market["yes_bid_dollars"]) * 100), round(float(market["yes_ask_dollars"]) * 100)
    is_bid = (wanted.action == "buy") == (wanted.outcome == "yes")
    if is_bid:
        yes_cents = bid - wanted.tick if wanted.rests else ask + wanted.tick
    else:
        yes_cents = ask + wanted.tick if wanted.rests else bid - wanted.tick
    yes_price = YesPrice(yes_cents * 100)
    outcome = Outcome(wanted.outcome)
    now = dt.datetime.now(dt.UTC)
    return proposed(
        market,
        signal=Signal("trial", "1", str(plan.seed), f"order {wanted.number}"),
        open_short=wanted.action == "sell",
        leg=Leg(Action(wanted.action), outcome, yes_price if outcome is Outcome.YES else yes_price.complement),
        count=Contracts(100 * wanted.contracts - wanted.centi),
        time_in_force=TimeInForce.GOOD_TILL_CANCELED if wanted.rests else TimeInForce.IMMEDIATE_OR_CANCEL,
        expires=now + dt.timedelta(minutes=10) if wanted.rests else None,
    )


def settings_of(member: SandboxMember, plan: Plan) -> TradeSettings:
    """Return the settings of a live session with the caps of the plan."""
    return member.settings(
        session_orders=plan.session_orders,
        day_orders=plan.day_orders,
        session_loss_dollars=plan.session_loss_dollars,
        account_loss_dollars=plan.account_loss_dollars,
        event_loss_dollars=min(200, plan.account_loss_dollars),
    )


def reconciler_of(member: SandboxMember, journal: Journal, checkpoint: Callable[[Checkpoint], None]) -> Reconciler:
    """Return a reconciler that waits only milliseconds between its reads."""
    transport = member.transport(member.settings())
    account = ExchangeAccount(member.client, 0)
    return Reconciler(journal, account, transport, ACCOUNT, checkpoint=checkpoint, limits=LIMITS)


def end_dead_session(journal: Journal) -> None:
    """End the session of a killed process, as an operator does with ``close-session``."""
    with journal.writing() as transaction:
        held = transaction.reading.sessions.lease(ACCOUNT)
        if held is not None:
            transaction.sessions.end(held.session_id, "its process is dead")


def switch_of(context: TrialContext, journal: Journal) -> KillSwitch:
    """Return the kill switch of a trial, with its journal and its emergency file."""
    return KillSwitch(lambda: journal, _emergency(context), (), account=ACCOUNT)


def _emergency(context: TrialContext) -> EmergencyFile:
    return EmergencyFile(context.folder / "kill.emergency.jsonl")


def release(context: TrialContext, journal: Journal, report: ReconciliationReport, since_us: int) -> None:
    """Release the kill switch as a second person, if the reconciliation is clean and no halt is in progress."""
    switch_of(context, journal).import_emergency_file("grace")
    with journal.writing() as transaction:
        halting = any(
            each.level >= CANCELS_EVERYTHING and each.at_us >= since_us
            for each in transaction.reading.halts.engagements_since_release()
        )
        if transaction.reading.halts.kill_state().engaged and report.clean and not halting:
            transaction.halts.release("grace", "looked at it", report.reconciliation_id)


def halt_later(context: TrialContext, seconds: float) -> HaltReport:
    """Wait some seconds, then halt trading as another person, and return the report."""
    time.sleep(seconds)
    with ExitStack() as stack:
        member, journal = member_of(context, stack), journal_of(context)
        halt = Halt(
            switch_of(context, journal),
            _emergency(context),
            member.transport(member.settings()),
            ExchangeAccount(member.client, 0),
            GroupsToFence(lambda: journal, member.portfolio, ACCOUNT),
            pause=lambda seconds: time.sleep(seconds / 10),
        )
        return halt.run("bob", "a person said halt", patience_seconds=20)


def run_life(context: TrialContext, plan: Plan, life: Life) -> None:
    """Run a trading process until it finishes or is killed."""
    killer, began_us = Killer(life), now_us()
    with ExitStack() as stack:
        member, journal = member_of(context, stack), journal_of(context)
        end_dead_session(journal)
        work = reconciler_of(member, journal, killer)
        release(context, journal, work.reconcile(), began_us)
        for _ in range(2):
            if not _trade_session(member, journal, work, context, plan, killer):
                return


def _trade_session(
    member: SandboxMember,
    journal: Journal,
    work: Reconciler,
    context: TrialContext,
    plan: Plan,
    killer: Callable[[Checkpoint], None],
) -> bool:
    """Trade one session. Return whether an order stayed unknown, so that a second session is worth a try."""
    settings = settings_of(member, plan)
    transport = member.transport(settings)
    opening = Opening("ann", Origin.BY_HAND)
    try:
        session = sessions.open_live(journal, settings, Environment.SANDBOX, opening, transport, ())
    except SessionRefused:
        return False
    dispatch = LiveDispatch(journal, session, transport, killer)
    others = OtherTraders.detect(journal, ACCOUNT, ExchangeAccount(member.client, 0))
    inputs = replace(member.inputs(switch_of(context, journal).why_engaged), used_elsewhere=others.client_order_ids)
    executor = TradeExecutor(session, journal, settings, inputs, dispatch, checkpoint=killer)
    work.reconcile(own_session=session.session_id)
    others.count(lambda _: None)
    decisions = [
        executor.decide(order_of(plan, wanted, context.markets[wanted.market % len(context.markets)]))
        for wanted in plan.orders
    ]
    work.reconcile(own_session=session.session_id)
    sessions.close(journal, session, "done")
    return any(_is_unknown(decision) for decision in decisions)


def _is_unknown(decision: Decision) -> bool:
    return decision.intent is not None and decision.intent.state is OrderState.UNKNOWN


def settle(context: TrialContext) -> list[str]:
    """Reconcile until the result is clean, then once more without any change. Return a list of problems."""
    with ExitStack() as stack:
        member, journal = member_of(context, stack), journal_of(context)
        end_dead_session(journal)
        work = reconciler_of(member, journal, lambda _: None)
        for _ in range(3):
            report = work.reconcile()
            if report.clean:
                break
        else:
            return [f"not clean in the end: {report}"]
        before = _ledger(journal)
        again = work.reconcile()
        wrong = []
        if not again.clean or again.resolved or again.figures.get("fills_posted") or _ledger(journal) != before:
            wrong.append(f"a second reconciliation changed something: {again}")
        release(context, journal, again, now_us())
        return wrong


def _ledger(journal: Journal) -> list[object]:
    from kalshi_pipelines.execution.journal.records import Mode, ScopeKind

    with journal.reading() as reading:
        return [
            *reading.ledger.markets(ACCOUNT),
            *reading.ledger.standings(ACCOUNT, Mode.LIVE, {ScopeKind.ACCOUNT: "account"}),
            *reading.orders.open_intents(ACCOUNT),
        ]
