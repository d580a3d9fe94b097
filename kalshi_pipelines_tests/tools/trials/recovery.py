"""The documented ways back to trading, walked by persons after each incident, and the way out of every position."""

import datetime as dt
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count

from kalshi_pipelines.execution.executor import session as sessions
from kalshi_pipelines.execution.executor.decisions import Decision, DecisionOutcome
from kalshi_pipelines.execution.executor.dispatch import LiveDispatch
from kalshi_pipelines.execution.executor.executor import TradeExecutor
from kalshi_pipelines.execution.executor.session import Opening, SessionRefused
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import EvidenceItem, Origin, Signature
from kalshi_pipelines.execution.kill.switch import NotReleased
from kalshi_pipelines.execution.orders.proposals import ProposedOrder, Signal
from kalshi_pipelines.execution.orders.terms import Action, Contracts, Leg, Outcome, YesPrice
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount
from kalshi_pipelines.execution.reconciliation.acknowledgement import ACKNOWLEDGE, ADOPT
from kalshi_pipelines.execution.reconciliation.evidence import NothingToAcknowledge
from kalshi_pipelines.execution.reconciliation.reconciler import Reconciler
from kalshi_pipelines.execution.service.account.other_traders import OtherTraders
from kalshi_pipelines.execution.service.commands.evidence_commands import anchor_items, unexplained_items
from kalshi_pipelines.settings import Environment
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT
from kalshi_pipelines_tests.support.execution.sandbox_member import Row, SandboxMember, proposed
from kalshi_pipelines_tests.tools.trials.incidents import cancel_by_hand
from kalshi_pipelines_tests.tools.trials.life import (
    TrialContext,
    end_dead_session,
    journal_of,
    member_of,
    reconciler_of,
    settings_of,
    switch_of,
)
from kalshi_pipelines_tests.tools.trials.plans import Plan

#: Persons take responsibility at most this number of times after one incident.
_MOST_SIGNATURES = 4
_numbers = count(1)


def recover(context: TrialContext) -> list[str]:
    """Follow the documented procedure until the account matches the journal and trading is released.

    Returns:
        A sentence for each step that did not lead back.
    """
    with ExitStack() as stack:
        member, journal = member_of(context, stack), journal_of(context)
        end_dead_session(journal)
        work = reconciler_of(member, journal, lambda _: None)
        work.reconcile()
        wrong = _adopt(member, journal, work)
        for _ in range(_MOST_SIGNATURES):
            report = work.reconcile()
            if report.clean:
                break
            _sign(work, ACKNOWLEDGE)
        if not report.clean:
            return [*wrong, f"no procedure led back: {report}"]
        return wrong + _release(context, journal)


def _sign(work: Reconciler, action: str, history: Sequence[EvidenceItem] = ()) -> None:
    try:
        digest = work.show_evidence(action, history).sha256
        for person in ("carol", "dave"):
            signature = Signature(person, "it was seen on the exchange's page")
            if work.acknowledge(digest, signature, action, history).number is not None:
                return
    except NothingToAcknowledge:
        return


def _adopt(member: SandboxMember, journal: Journal, work: Reconciler) -> list[str]:
    """Adopt the account if another journal has traded it or the anchors are not the journal's own."""
    others = OtherTraders.detect(journal, ACCOUNT, ExchangeAccount(member.client, 0))
    found = journal.anchor_report()
    if others.check().ok and (found is None or found.is_good):
        return []
    history = (*unexplained_items(journal, others), *anchor_items(journal))
    _sign(work, ADOPT, history)
    report = work.reconcile()
    if not report.clean or report.reconciliation_id is None:
        return [f"the adopted account differs: {report}"]
    found = journal.anchor_report()
    if found is not None and not found.is_good:
        journal.re_anchor("carol", "the journal's disk broke", report.reconciliation_id, adopted=True)
    again = OtherTraders.detect(journal, ACCOUNT, ExchangeAccount(member.client, 0)).check()
    return [] if again.ok else [f"the adopted account is still traded elsewhere: {again.observed}"]


def _release(context: TrialContext, journal: Journal) -> list[str]:
    """Release the kill switch as a person who has never engaged it, unless it is clear or a halt is in progress."""
    switch = switch_of(context, journal)
    switch.import_emergency_file("grace")
    with journal.reading() as reading:
        if not reading.halts.kill_state().engaged:
            return []
    try:
        switch.release("henry", "the account was looked at")
    except NotReleased as error:
        # The minute after a cancel-all is a fact of the exchange. A trial does not wait for it.
        return [] if "cancel-all" in str(error) else [f"the switch stays engaged: {error}"]
    return []


def leave(context: TrialContext, plan: Plan) -> list[str]:
    """Sell or buy back everything that the account holds, in one session with the caps of the plan.

    Returns:
        A sentence for each position that could not be left.
    """
    with ExitStack() as stack:
        member, journal = member_of(context, stack), journal_of(context)
        work = reconciler_of(member, journal, lambda _: None)
        # An order of our own that rests could trade with the orders that leave, which the executor denies.
        cancel_by_hand(member)
        with journal.writing() as transaction:
            if transaction.reading.halts.kill_state().engaged:
                transaction.halts.release("henry", "to leave every position")
        settings = settings_of(member, plan)
        transport = member.transport(settings)
        try:
            session = sessions.open_live(
                journal, settings, Environment.SANDBOX, Opening("ann", Origin.BY_HAND), transport, ()
            )
        except SessionRefused as error:
            return [f"no session to leave in: {error}"]
        work.reconcile(own_session=session.session_id)
        dispatch = LiveDispatch(journal, session, transport)
        inputs = member.inputs(switch_of(context, journal).why_engaged)
        executor = TradeExecutor(session, journal, settings, inputs, dispatch)
        decisions = [
            executor.decide(_closing_order(context, ticker, position))
            for ticker, position in _positions(journal).items()
        ]
        report = work.reconcile(own_session=session.session_id)
        sessions.close(journal, session, "done")
        wrong = [f"could not leave: {_describe(each)}" for each in decisions if not _is_placed(each)]
        left = _positions(journal)
        wrong += [f"still held after leaving: {left}"] if left and not wrong else []
        return wrong + ([] if report.clean else [f"not clean after leaving: {report}"])


def _positions(journal: Journal) -> dict[str, int]:
    with journal.reading() as reading:
        held = reading.ledger.markets(ACCOUNT)
    return {market.ticker: market.position_centicontracts for market in held if market.position_centicontracts}


def _closing_order(context: TrialContext, ticker: str, position: int) -> ProposedOrder:
    market = next(each for each in context.markets if each["ticker"] == ticker)
    outcome = Outcome.YES if position > 0 else Outcome.NO
    yes_price = YesPrice.from_text(market["yes_bid_dollars" if position > 0 else "yes_ask_dollars"])
    return proposed(
        market,
        signal=Signal("leave", "1", "", f"leave {ticker} {next(_numbers)} {dt.datetime.now(dt.UTC).timestamp()}"),
        leg=Leg(Action.SELL, outcome, yes_price if outcome is Outcome.YES else yes_price.complement),
        count=Contracts(abs(position)),
        reduce_only=True,
    )


def _is_placed(decision: Decision) -> bool:
    return decision.outcome is DecisionOutcome.PLACED


def _describe(decision: Decision) -> str:
    return f"{decision.outcome.value} {decision.order.ticker}: {decision.reason} {decision.detail}"


def supply(member: SandboxMember, markets: tuple[Row, ...]) -> None:
    """Place orders of another member at the first prices, so that every position can be left there."""
    for market in markets:
        member.steer("POST", f"/markets/{market['ticker']}/clear_book")
        for side, price in (("bid", market["yes_bid_dollars"]), ("ask", market["yes_ask_dollars"])):
            path = f"/markets/{market['ticker']}/orders"
            member.steer("POST", path, side=side, price=price, count="60.00", time_in_force="good_till_canceled")
