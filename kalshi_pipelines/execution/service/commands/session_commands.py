"""Commands that arm, run, approve and close trading sessions."""

import argparse
import datetime as dt
import sys
from pathlib import Path
from typing import Final

import yaml

from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
from kalshi_pipelines.execution.executor.session import Opening
from kalshi_pipelines.execution.gates.arming import LONGEST_US, ArmBinding, arm_token, new_nonce
from kalshi_pipelines.execution.journal.errors import JournalOutdated, JournalUnavailable
from kalshi_pipelines.execution.journal.records import Intent, Origin, ScopeKind
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.orders.amounts import money
from kalshi_pipelines.execution.orders.persons import clean_name, is_same_person, person_name
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.service.account.live_account import live_transport, require_private_key_file
from kalshi_pipelines.execution.service.command_context import CommandContext, CommandRefused, require_by_and_why
from kalshi_pipelines.execution.service.sessions.trading_session import TradingContext, trade
from kalshi_pipelines.execution.service.stopping.kill_command import user_name
from kalshi_pipelines.execution.text import format_count, format_instant, safe_line
from kalshi_pipelines.units import MINUTE_US, instant, now_us

#: The exit status after Ctrl-C: 128 plus the number of the signal SIGINT, as in shells.
INTERRUPTED: Final = 130
APPROVED_FOR: Final = dt.timedelta(minutes=10)
_SHORTEST_DIGEST: Final = 12


def trade_inbox(context: CommandContext, given: argparse.Namespace) -> int:
    """Open a trading session, decide about every proposal in the inbox, and close the session."""
    require_by_and_why(given)
    print(f"{context.whereabouts()}, mode {context.trade.mode.value}")
    warehouse = context.warehouse()
    trading = TradingContext(
        context.settings, context.trade, context.journal(), warehouse, context.client(warehouse), print
    )
    try:
        run = trade(trading, Opening(given.by, Origin.BY_HAND, given.why))
    except KeyboardInterrupt:
        print(f"Interrupted. {_describe_what_is_open(context)}", file=sys.stderr)
        return INTERRUPTED
    print(run)
    done = {DecisionOutcome.PLACED, DecisionOutcome.SIMULATED, DecisionOutcome.KNOWN}
    is_left = any(each.kind != ActorKind.AGENT.value for each in run.left)
    return 0 if run.is_clean and not is_left and all(each.outcome in done for each in run.decisions) else 1


def _describe_what_is_open(context: CommandContext) -> str:
    """Return a text about what an interrupted command left open: its session and its orders."""
    account = context.trade.account(context.settings.environment)
    try:
        with context.journal().reading() as reading:
            session, orders = reading.sessions.live_session(account), len(reading.orders.open_intents(account))
    except (JournalUnavailable, JournalOutdated) as error:
        return f"It is unknown what was left open; run `status` and `reconcile`. {error}"
    lives = "No live session is open" if session is None else f"Session {session} is open (`close-session` ends it)"
    if not orders:
        return f"{lives}. No order is open."
    return f"{lives}. {format_count(orders, 'order')} may rest or be unknown: run `status` and `reconcile`."


def approve(context: CommandContext, given: argparse.Namespace) -> int:
    """Record a person's approval of exactly one order's request, valid for ten minutes."""
    given.by = person_name(given.by)
    print(context.whereabouts())
    with context.journal().writing() as transaction:
        try:
            intent = transaction.reading.orders.intent(given.intent)
        except LookupError as error:
            raise CommandRefused(f"{error}.", "Run `status` to see the open orders.") from None
        _require_countable(transaction, intent, given.by)
        digest = given.sha256.lower()
        if not intent.request_sha256.startswith(digest):
            raise CommandRefused(
                f"The request of intent {intent.intent_id} has another SHA-256 ({intent.request_sha256}). Nothing was "
                f"approved. The request is {intent.request_json}",
                "Check the request, then approve its own SHA-256.",
            )
        if len(digest) < _SHORTEST_DIGEST:
            raise CommandRefused(
                f"{len(digest)} digits of the SHA-256 are too few; {_SHORTEST_DIGEST} or more are needed. Nothing was "
                "approved.",
                f"Copy the digits that `trade` showed for intent {intent.intent_id}.",
            )
        transaction.orders.approve(
            intent.request_sha256, given.by, transaction.now_us + APPROVED_FOR // dt.timedelta(microseconds=1)
        )
    print(f"{safe_line(given.by)} approved this request, and no other, for 10 minutes:\n{intent.request_json}")
    return 0


def _require_countable(transaction: JournalTransaction, intent: Intent, by: str) -> None:
    """Before a person's approval of this order is recorded, check that the approval would count.

    Raises:
        CommandRefused: The order does not wait for approval, has expired, or was proposed by the same person.
    """
    if intent.state is not OrderState.RESERVED:
        raise CommandRefused(
            f"Intent {intent.intent_id} is {intent.state.value.replace('_', ' ')} and does not wait for approval. "
            "Nothing was approved.",
            "Run `status` to see which orders are reserved.",
        )
    if transaction.now_us > intent.valid_until_us:
        raise CommandRefused(
            f"Intent {intent.intent_id} was valid until {format_instant(intent.valid_until_us)}. Nothing was approved.",
            "Propose the order again.",
        )
    if is_same_person(intent.actor_name, by):
        raise CommandRefused(
            f"Intent {intent.intent_id} was proposed by {safe_line(by)}, who cannot approve it. Nothing was approved.",
            "Another person must run this command, or name themselves with --by.",
        )


def arm(context: CommandContext, given: argparse.Namespace) -> int:
    """Print an arm token for a live session.

    If a file is named, also write the config of an armed Dagster run to it.
    """
    require_by_and_why(given)
    minutes_us = given.minutes * MINUTE_US
    if not 0 < minutes_us <= LONGEST_US:
        raise CommandRefused(
            f"A token cannot be valid for {given.minutes} minutes.", "Choose from 1 minute to 1,440 minutes, a day."
        )
    now = now_us()
    require_private_key_file(context.trade)
    with live_transport(context.settings, context.trade) as transport:
        key, host = transport.key_fingerprint, transport.host
    token = arm_token(ArmBinding(context.settings.environment, key, context.trade.limits_sha256), now + minutes_us)
    worst = context.trade.caps.scopes[ScopeKind.SESSION].worst_microdollars
    print(
        f"# Armed by {safe_line(given.by)}: {safe_line(given.why)}\n"
        f"# {context.settings.environment.value}, {host}, sub-account {context.trade.subaccount}, key {key}\n"
        f"# until {instant(now + minutes_us):%Y-%m-%d %H:%M:%S} UTC; worst loss of a session {money(worst)}\n"
        "# The token opens one live session. Arm again for the next one.\n"
        f"export KALSHI_TRADE_ARM={token}"
    )
    if given.run is not None:
        _write_run(given.run, given.by, given.why, now)
        print(
            f"# The run in {given.run} is armed for 15 minutes: "
            f"dagster job execute -m kalshi_pipelines -j trade -c {given.run}"
        )
    return 0


def _write_run(file: Path, by: str, why: str, now: int) -> None:
    config = {"armed_by": by, "why": why, "armed_at": instant(now).isoformat(timespec="seconds"), "nonce": new_nonce()}
    file.write_text(yaml.safe_dump({"ops": {"executed_orders": {"config": config}}}, sort_keys=False))


def close_session(context: CommandContext, given: argparse.Namespace) -> int:
    """End the live session of the sub-account. Its resting orders are left for a reconciliation."""
    print(context.whereabouts())
    journal = context.journal()
    with journal.writing() as transaction:
        session = transaction.reading.sessions.live_session(context.trade.account(context.settings.environment))
        if session is None:
            raise CommandRefused("There is no live session on this sub-account.")
        transaction.sessions.end(session, f"by {clean_name(given.by, user_name())}: {given.why}")
    journal.anchor()
    print(f"Session {session} is closed and can send nothing more. `reconcile` takes care of its resting orders.")
    return 0
