"""The command ``cancel``: cancel resting orders of this journal without stopping trading.

A cancel only reduces risk. It needs no session, no arm token and no released kill switch, and no cap, approval,
contract check or anchor can refuse it.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.records import Intent
from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.persons import clean_name
from kalshi_pipelines.execution.orders.states import FINAL_STATES, RESTING_STATES, UNRESOLVED_STATES, OrderState
from kalshi_pipelines.execution.reconciliation.account import AccountReader, ExchangeAccount
from kalshi_pipelines.execution.reconciliation.cancels import (
    CancelContext,
    CancelOutcome,
    CancelReport,
    cancel_orders,
)
from kalshi_pipelines.execution.service.account.live_account import live_transport
from kalshi_pipelines.execution.service.command_context import LONGEST_TEXT, CommandContext, CommandRefused
from kalshi_pipelines.execution.service.stopping.kill_command import user_name
from kalshi_pipelines.execution.service.stopping.stop_settings import StopSettings
from kalshi_pipelines.execution.text import format_count, safe_line
from kalshi_pipelines.settings import InvalidSettings

HELP: Final = "cancel resting orders without stopping trading; needs no session, and works while the switch is engaged"


def cancel(context: CommandContext, given: argparse.Namespace) -> int:
    """Cancel the named orders, print what is proved of each, and return 0 if all of them have ended."""
    if not given.intents and not given.all:
        raise CommandRefused(
            "No order is named.", "Name orders by the numbers that `status` shows, or cancel all of them with --all."
        )
    print(context.whereabouts())
    trade = _cancel_settings(context)
    account = trade.account(context.settings.environment)
    journal, chosen = _read_orders(context, given, account)
    to_cancel = [intent for intent in chosen.values() if intent is not None and _can_be_canceled(intent, account)]
    report = _cancel(context, trade, journal, to_cancel, given) if to_cancel else CancelReport(())
    outcomes = {outcome.intent.intent_id: outcome for outcome in report.outcomes}
    ended = 0
    for number, intent in chosen.items():
        outcome = outcomes.get(number)
        is_ended, text = _describe_outcome(outcome) if outcome else _describe_uncanceled(intent, account)
        ended += is_ended
        ticker = "" if intent is None else f"  {safe_line(intent.ticker)}"
        print(f"  {number:>6}{ticker}: {text}")
    for problem in report.not_recorded:
        print(f"NOT RECORDED in the journal: {problem}\nRun `reconcile` when it can be written.", file=sys.stderr)
    print(_summary(ended, len(chosen)))
    return 0 if ended == len(chosen) else 1


def _cancel_settings(context: CommandContext) -> TradeSettings:
    """Return the settings of trading. If only others than those of the trade key are wrong, leave the others out."""
    try:
        return context.trade
    except InvalidSettings as error:
        stop = StopSettings.from_environment()
        if stop.key is None or not stop.has_clear_subaccount:
            raise
        print(f"Note: a cancel does not need this setting: {error}", file=sys.stderr)
        key = stop.key
        return TradeSettings.model_construct(
            api_key_id=key.key_id, private_key_file=key.file, url=key.url, subaccount=key.subaccount
        )


def _read_orders(
    context: CommandContext, given: argparse.Namespace, account: Account
) -> tuple[Journal, dict[int, Intent | None]]:
    """Open the journal, and return the named orders by number; None for a number that the journal does not have.

    Anchors are left out, because a disk that hangs must not delay a cancel.
    """
    try:
        journal = Journal(context.journal_engine(), context.settings.environment)
        with journal.reading() as reading:
            chosen = {number: _find(reading, number) for number in given.intents}
            if given.all:
                rests = reading.orders.open_intents(account, states=RESTING_STATES | UNRESOLVED_STATES)
                chosen |= {intent.intent_id: intent for intent in rests}
    except ExpectedError as error:
        raise CommandRefused(
            f"No order was canceled, because the journal cannot be read: {error.problem}",
            f"{error.remedy} `kill --level 2` cancels all orders of the trade key without the journal.".strip(),
        ) from error
    return journal, chosen


def _find(reading: JournalReading, number: int) -> Intent | None:
    try:
        return reading.orders.intent(number)
    except LookupError:
        return None


def _can_be_canceled(intent: Intent, account: Account) -> bool:
    return intent.account == account and intent.state in RESTING_STATES


def _cancel(
    context: CommandContext,
    trade: TradeSettings,
    journal: Journal,
    intents: Sequence[Intent],
    given: argparse.Namespace,
) -> CancelReport:
    opened: list[AccountReader] = []

    def open_exchange() -> AccountReader:
        if not opened:
            account = context.live_account(context.warehouse(), trade)
            opened.append(ExchangeAccount(account.client, account.subaccount))
        return opened[0]

    with live_transport(context.settings, trade) as transport:
        # The name and the reason are shortened rather than refused, so that they never prevent a cancel.
        by, why = clean_name(given.by, user_name()), safe_line(given.why, LONGEST_TEXT)
        return cancel_orders(CancelContext(journal, transport, open_exchange), intents, by, why)


def _describe_outcome(outcome: CancelOutcome) -> tuple[bool, str]:
    """Return whether an order is proved ended, and what was proved."""
    order = outcome.order
    if order is None or outcome.problem:
        return False, f"NOT PROVED, run `reconcile`: {outcome.answer_text}, but {safe_line(outcome.problem, 300)}"
    filled = amounts.count(order.filled_centicontracts)
    if order.is_resting:
        rest = amounts.count(order.remaining_centicontracts)
        return False, f"STILL RESTS with {rest}, {filled} filled: {outcome.answer_text}"
    if order.status.value == OrderState.EXECUTED.value:
        return True, f"already ended: executed, {filled} filled"
    return True, f"canceled, {filled} filled before"


def _describe_uncanceled(intent: Intent | None, account: Account) -> tuple[bool, str]:
    """Return whether an order to which no cancel was sent has ended, and why no cancel was sent."""
    if intent is None:
        return False, "UNKNOWN NUMBER: the journal has no such order; `status` shows the numbers of open orders"
    if intent.state in FINAL_STATES:
        filled = max(intent.filled_centicontracts, intent.reported_filled_centicontracts or 0)
        return True, f"already ended: {intent.state.value}, {amounts.count(filled)} filled"
    if intent.account != account:
        return False, f"NOT CANCELED: it belongs to {intent.account}; set KALSHI_TRADE_SUBACCOUNT"
    if intent.state in UNRESOLVED_STATES:
        return False, "NOT CANCELED: its outcome is unknown; `reconcile` fences its order group and finds the outcome"
    return False, f"NOT CANCELED: it is {intent.state.value} and was not sent; `close-session` keeps it from being sent"


def _summary(ended: int, named: int) -> str:
    if not named:
        return "NOTHING TO CANCEL: no order rests in the journal."
    if ended == named:
        return f"ENDED: {format_count(named, 'order')}."
    return f"NOT ENDED: {named - ended} of {format_count(named, 'order')}."
