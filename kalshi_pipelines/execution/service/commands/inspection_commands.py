"""Commands that show the state of trading, reconcile the account, and verify the journal."""

import argparse
import sys
from typing import Final

from kalshi_pipelines.execution.audit.verification import AuditVerdict
from kalshi_pipelines.execution.journal.guards import HOURS_AHEAD
from kalshi_pipelines.execution.journal.records import Mode
from kalshi_pipelines.execution.journal.writing.admission_figures import WINDOW_HOURS
from kalshi_pipelines.execution.service.account.audit import verify_or_stop
from kalshi_pipelines.execution.service.account.kill_switch import kill_switch
from kalshi_pipelines.execution.service.account.live_account import live_account
from kalshi_pipelines.execution.service.command_context import CommandContext
from kalshi_pipelines.execution.service.commands.anchor_commands import anchor_lines
from kalshi_pipelines.execution.service.sessions.inbox_selection import FORGOTTEN_AFTER_US, MOST_PROPOSALS
from kalshi_pipelines.execution.text import (
    cap_lines,
    format_count,
    position_lines,
    proposal_row,
    safe_line,
    status_lines,
)
from kalshi_pipelines.units import HOUR_US, now_us, trading_day

#: The reason with which ``journal.initialise`` engages the kill switch of a new journal.
_NEW_JOURNAL: Final = "a new journal"


def status(context: CommandContext, given: argparse.Namespace) -> int:
    """Print the state of trading: kill switch, session, open orders, inbox, caps and positions."""
    del given
    now, account = now_us(), context.trade.account(context.settings.environment)
    switch = kill_switch(context.settings, context.trade, context.journal).status()
    journal = context.journal()
    with journal.reading() as reading:
        print(f"environment      {account}, mode {context.trade.mode.value}")
        print(f"journal          {context.place_of_journal()}")
        for line in anchor_lines(journal):
            print(line)
        print(f"trading          {f'stopped by {safe_line(switch.why)}' if switch.engaged else 'not stopped'}")
        kill = reading.halts.kill_state()
        if kill.engaged and kill.reason == _NEW_JOURNAL:
            print('                 Trading is halted because this journal is new. Run `release --why "..."` once.')
        for line in status_lines(reading, account, now):
            print(line)
        since = now - FORGOTTEN_AFTER_US
        waiting = sum(each.count for each in reading.inbox.count(context.trade.mode, since))
        print(f"inbox            {format_count(waiting, 'proposal')}")
        for row in reading.inbox.pending(account, context.trade.mode, now, since, MOST_PROPOSALS)[:MOST_PROPOSALS]:
            shown = proposal_row(row)
            print(f"  {shown['proposal']:>6}  {shown['order']}  by {shown['by']}, valid until {shown['valid until']}")
        print("caps")
        day = trading_day(now).isoformat()
        hours = (now // HOUR_US - WINDOW_HOURS, now // HOUR_US + HOURS_AHEAD)
        for mode in (Mode.LIVE, Mode.DRY_RUN):
            for line in cap_lines(reading.ledger.live_scopes(account, mode, day, hours)):
                print(line)
        markets = reading.ledger.markets(account)
        for line in position_lines(markets, context.trade.position_contracts):
            print(line)
    return 0


def reconcile(context: CommandContext, given: argparse.Namespace) -> int:
    """Reconcile the account with the journal, and print the report."""
    del given
    print(context.whereabouts())
    journal = context.journal()
    with live_account(context.settings, context.trade, context.warehouse()) as account:
        report = account.reconciler(journal).reconcile()
    print(report)
    return 0 if report.clean else 1


def verify_audit(context: CommandContext, given: argparse.Namespace) -> int:
    """Verify the journal, and print the report."""
    del given
    report = verify_or_stop(context.settings, context.trade, context.journal_engine(), context.warehouse)
    print(report, file=sys.stdout if report.ok else sys.stderr)
    if report.verdict is AuditVerdict.CORRUPT:
        print("The kill switch is engaged: no new order is sent.", file=sys.stderr)
    return report.verdict.exit_status
