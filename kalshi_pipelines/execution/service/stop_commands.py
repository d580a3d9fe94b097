"""Commands that stop trading, practise the stop, and release it."""

import argparse
import sys
import time

from kalshi_pipelines.execution.kill.switch import NotReleased
from kalshi_pipelines.execution.service.command_context import CommandContext, CommandRefused
from kalshi_pipelines.execution.service.kill_switch import engage, halt, halt_now, kill_switch
from kalshi_pipelines.execution.text import safe_line
from kalshi_pipelines.settings import Environment


def kill(context: CommandContext, given: argparse.Namespace) -> int:
    """Stop all new risk; at level 2 cancel everything, too, and go on until nothing is proved to rest."""
    print(context.whereabouts(), flush=True)
    if given.level == 1:
        engaged = engage(context.settings, context.journal, given.by, given.why)
        print("The kill switch is engaged: nothing new is sent. Orders that rest are left alone; level 2 cancels them.")
        if engaged.seq is None:
            print(f"It is on record in the emergency file only: {engaged.problem}", file=sys.stderr)
        return 0
    report = halt_now(context.settings, context.journal, given.by, given.why, given.patience)
    if report.engaged.is_on_record:
        print("The kill switch is engaged: nothing new is sent.")
    else:
        print(f"New orders may be sent: {report.engaged.problem}. End the trading process.", file=sys.stderr)
    print(report)
    if not report.flat:
        print("Orders may rest. Run it again, or delete the trade key on the exchange's page.", file=sys.stderr)
    return 0 if report.flat and report.engaged.is_on_record else 1


def drill(context: CommandContext, given: argparse.Namespace) -> int:
    """Halt for practice, never on the real exchange; the switch stays engaged until it is released."""
    if context.settings.environment is Environment.PROD:
        raise CommandRefused("A drill cancels every order: it is for the sandbox and demo, not for the real exchange.")
    print(context.whereabouts())
    began = time.monotonic()
    with halt(context.settings, context.trade, context.journal) as halting:
        report = halting.run(given.by, f"drill: {given.why}", given.patience)
    print(
        f"{report}\nThe drill took {time.monotonic() - began:.1f} seconds. Reconcile, then let another person release."
    )
    return 0 if report.flat else 1


def release(context: CommandContext, given: argparse.Namespace) -> int:
    """Let sessions that are opened from now on trade again."""
    print(context.whereabouts())
    try:
        seq = kill_switch(context.settings, context.trade, context.journal).release(given.by, given.why)
    except NotReleased as error:
        print(f"The kill switch stays engaged. {error}", file=sys.stderr)
        return 1
    print(f"The kill switch is released by {safe_line(given.by)} (event {seq}); open a new session to trade.")
    return 0
