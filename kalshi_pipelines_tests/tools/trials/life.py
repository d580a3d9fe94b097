"""The work of a trading process in a trial: reconcile, open a session, decide every proposal, reconcile, close.

Each process of a trial proposes the same signals, as when a scheduler restarts a job.
"""

import datetime as dt
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import sqlalchemy as sa

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
class Place:
    """The member's key, journal and markets of a trial."""

    sandbox: SandboxProcess
    member: str
    key_id: str
    key_file: Path
    journal_url: str
    markets: tuple[Row, ...]
    folder: Path


@dataclass
class Killer:
    """A checkpoint that kills this process when the process reaches a point for the ``nth`` time."""

    life: Life
    passed: int = field(default=0)

    def __call__(self, checkpoint: Checkpoint) -> None:
        if checkpoint is self.life.point:
            self.passed += 1
            if self.passed == self.life.nth:
                os.kill(os.getpid(), signal.SIGKILL)


def member_of(place: Place, stack: ExitStack) -> SandboxMember:
    """Return the member of a trial, with connections of this process."""
    http = stack.enter_context(httpx.Client(trust_env=False, timeout=30))
    signer = Signer.from_file(place.key_id, place.key_file)
    budget = Budget(sa.create_engine("sqlite://"), "unused", documented_rates(RateTier.BASIC))
    transport = Transport(place.sandbox.url, budget, signer=signer, trust_proxies=False, patience=_PATIENCE)
    client = KalshiClient(transport)
    stack.callback(client.close)
    return SandboxMember(
        place.sandbox,
        http,
        signer,
        place.key_id,
        place.key_file,
        client,
        PortfolioClient(transport),
        place.member,
        stack,
    )


def journal_of(place: Place) -> Journal:
    """Return the journal of a trial, with an anchor file."""
    return Journal(open_journal(place.journal_url), "sandbox", anchor_file=place.folder / "anchors.jsonl")


def order_of(plan: Plan, wanted: OrderWanted, market: Row) -> ProposedOrder:
    """Return the proposal of an order near the prices of its market. It is the same in every process."""
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
        leg=Leg(Action(wanted.action), outcome, yes_price if outcome is Outcome.YES else yes_price.complement),
        count=Contracts(100 * wanted.contracts - wanted.centi),
        time_in_force=TimeInForce.GOOD_TILL_CANCELED if wanted.rests else TimeInForce.IMMEDIATE_OR_CANCEL,
        expires=now + dt.timedelta(minutes=10) if wanted.rests else None,
    )


def reconciler_of(member: SandboxMember, journal: Journal, checkpoint: Callable[[Checkpoint], None]) -> Reconciler:
    """Return a reconciler with short waits."""
    transport = member.transport(member.settings())
    account = ExchangeAccount(member.client, 0)
    return Reconciler(journal, account, transport, ACCOUNT, checkpoint=checkpoint, limits=LIMITS)


def bury(journal: Journal) -> None:
    """End the session of a killed process, as an operator does with ``close-session``."""
    with journal.writing() as transaction:
        held = transaction.reading.sessions.lease(ACCOUNT)
        if held is not None:
            transaction.sessions.end(held.session_id, "its process is dead")


def switch_of(place: Place, journal: Journal) -> KillSwitch:
    """Return the kill switch of a trial: its journal, and the file used when the journal cannot be written."""
    return KillSwitch(lambda: journal, _emergency(place), (), account=ACCOUNT)


def _emergency(place: Place) -> EmergencyFile:
    return EmergencyFile(place.folder / "kill.emergency.jsonl")


def release(place: Place, journal: Journal, report: ReconciliationReport, since_us: int) -> None:
    """Release the kill switch as another person after a clean reconciliation, unless a halt is going on."""
    switch_of(place, journal).import_emergency_file("grace")
    with journal.writing() as transaction:
        halting = any(
            each.level >= CANCELS_EVERYTHING and each.at_us >= since_us
            for each in transaction.reading.halts.engagements_since_release()
        )
        if transaction.reading.halts.kill_state().engaged and report.clean and not halting:
            transaction.halts.release("grace", "looked at it", report.reconciliation_id)


def halted(place: Place, seconds: float) -> HaltReport:
    """Halt as another person after a delay, and return the result."""
    time.sleep(seconds)
    with ExitStack() as stack:
        member, journal = member_of(place, stack), journal_of(place)
        halt = Halt(
            switch_of(place, journal),
            _emergency(place),
            member.transport(member.settings()),
            ExchangeAccount(member.client, 0),
            GroupsToFence(lambda: journal, member.portfolio, ACCOUNT),
            pause=lambda seconds: time.sleep(seconds / 10),
        )
        return halt.run("bob", "a person said halt", patience_seconds=20)


def live(place: Place, plan: Plan, life: Life) -> None:
    """Trade once through all steps, unless the process is killed."""
    killer, began_us = Killer(life), now_us()
    with ExitStack() as stack:
        member, journal = member_of(place, stack), journal_of(place)
        bury(journal)
        work = reconciler_of(member, journal, killer)
        release(place, journal, work.reconcile(), began_us)
        for _ in range(2):
            if not _traded(member, journal, work, place, plan, killer):
                return


def _traded(
    member: SandboxMember,
    journal: Journal,
    work: Reconciler,
    place: Place,
    plan: Plan,
    killer: Callable[[Checkpoint], None],
) -> bool:
    """Trade one session, and return whether an order stayed unknown. A second session can then follow."""
    settings = member.settings(
        session_orders=plan.session_orders,
        day_orders=plan.day_orders,
        session_loss_dollars=plan.session_loss_dollars,
        account_loss_dollars=plan.account_loss_dollars,
        event_loss_dollars=min(200, plan.account_loss_dollars),
    )
    transport = member.transport(settings)
    opening = Opening("ann", Origin.BY_HAND)
    try:
        session = sessions.open_live(journal, settings, Environment.SANDBOX, opening, transport, ())
    except SessionRefused:
        return False
    dispatch = LiveDispatch(journal, session, transport, killer)
    inputs = member.inputs(switch_of(place, journal).why_engaged)
    executor = TradeExecutor(session, journal, settings, inputs, dispatch, checkpoint=killer)
    work.reconcile(own_session=session.session_id)
    decisions = [
        executor.decide(order_of(plan, wanted, place.markets[wanted.market % len(place.markets)]))
        for wanted in plan.orders
    ]
    work.reconcile(own_session=session.session_id)
    sessions.close(journal, session, "done")
    return any(_is_unknown(decision) for decision in decisions)


def _is_unknown(decision: Decision) -> bool:
    return decision.intent is not None and decision.intent.state is OrderState.UNKNOWN


def settle(place: Place) -> list[str]:
    """Reconcile until the result is clean, then once more, and return a sentence for each problem."""
    with ExitStack() as stack:
        member, journal = member_of(place, stack), journal_of(place)
        bury(journal)
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
        release(place, journal, again, now_us())
        return wrong


def _ledger(journal: Journal) -> list[object]:
    from kalshi_pipelines.execution.journal.records import Mode, ScopeKind

    with journal.reading() as reading:
        return [
            *reading.ledger.markets(ACCOUNT),
            *reading.ledger.standings(ACCOUNT, Mode.LIVE, {ScopeKind.ACCOUNT: "account"}),
            *reading.orders.open_intents(ACCOUNT),
        ]
