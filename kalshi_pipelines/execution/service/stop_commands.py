"""Commands that stop trading, practise the stop, and permit trading again."""

import argparse
import sys
import time

from kalshi_pipelines.execution.kill.switch import NotReleased
from kalshi_pipelines.execution.service.command_context import CommandContext, CommandRefused
from kalshi_pipelines.execution.service.kill_switch import engage, halt, halt_now, kill_switch
from kalshi_pipelines.execution.text import safe_line
from kalshi_pipelines.settings import Environment


def kill(context: CommandContext, given: argparse.Namespace) -> int:
    """Engage the kill switch. At level 2, also cancel all orders until it is proved that no order rests."""
    print(context.whereabouts(), flush=True)
    if given.level == 1:
        engaged = engage(context.settings, context.journal, given.by, given.why)
        print("The kill switch is engaged: no new order is sent. Resting orders stay; level 2 cancels them.")
        if engaged.seq is None:
            print(f"The kill is recorded in the emergency file only: {engaged.problem}", file=sys.stderr)
        return 0
    report = halt_now(context.settings, context.journal, given.by, given.why, given.patience)
    if report.engaged.is_on_record:
        print("The kill switch is engaged: no new order is sent.")
    else:
        print(f"New orders may still be sent: {report.engaged.problem}. End the trading process.", file=sys.stderr)
    print(report)
    if not report.flat:
        print(
            "Orders may still rest. Run the command again, or delete the trade key on the exchange's page.",
            file=sys.stderr,
        )
    return 0 if report.flat and report.engaged.is_on_record else 1


def drill(context: CommandContext, given: argparse.Namespace) -> int:
    """Practise a level-2 halt on the sandbox or demo exchange.

    The kill switch stays engaged until a person releases it.
    """
    if context.settings.environment is Environment.PROD:
        raise CommandRefused(
            "A drill cancels every order, so it does not run on the real exchange.", "Run it on the sandbox or demo."
        )
    print(context.whereabouts())
    began = time.monotonic()
    with halt(context.settings, context.trade, context.journal) as halting:
        report = halting.run(given.by, f"drill: {given.why}", given.patience)
    print(
        f"{report}\nThe drill took {time.monotonic() - began:.1f} seconds. Run `reconcile`, then let another person "
        "run `release`."
    )
    return 0 if report.flat else 1


def release(context: CommandContext, given: argparse.Namespace) -> int:
    """Release the kill switch, so that new sessions can trade. Stopped sessions stay stopped."""
    print(context.whereabouts())
    try:
        seq = kill_switch(context.settings, context.trade, context.journal).release(given.by, given.why)
    except NotReleased as error:
        print(f"The kill switch stays engaged. {error}", file=sys.stderr)
        return 1
    print(f"The kill switch is released by {safe_line(given.by)} (event {seq}). Open a new session to trade.")
    return 0
