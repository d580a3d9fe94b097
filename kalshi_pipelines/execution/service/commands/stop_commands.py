"""Commands that practise a stop, and permit trading again. ``kill_command`` stops trading."""

import argparse
import sys
import time

from kalshi_pipelines.execution.kill.switch import NotReleased
from kalshi_pipelines.execution.orders.persons import clean_name, person_name
from kalshi_pipelines.execution.service.account.kill_switch import halt, kill_switch
from kalshi_pipelines.execution.service.command_context import CommandContext, CommandRefused
from kalshi_pipelines.execution.service.sessions.session_registration import register_released_journal
from kalshi_pipelines.execution.service.stopping.kill_command import user_name
from kalshi_pipelines.execution.text import safe_line
from kalshi_pipelines.settings import Environment


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
        report = halting.run(clean_name(given.by, user_name()), f"drill: {given.why}", given.patience)
    print(
        f"{report}\nThe drill took {time.monotonic() - began:.1f} seconds. Run `reconcile`, then let another person "
        "run `release`."
    )
    return 0 if report.flat else 1


def release(context: CommandContext, given: argparse.Namespace) -> int:
    """Release the kill switch, so that new sessions can trade. Stopped sessions stay stopped."""
    given.by = person_name(given.by)
    print(context.whereabouts())
    problem = register_released_journal(context.settings)
    if problem:
        print(f"`kill` does not find this journal from other folders. {problem}", file=sys.stderr)
    try:
        seq = kill_switch(context.settings, context.trade, context.journal).release(given.by, given.why)
    except NotReleased as error:
        print(f"The kill switch stays engaged. {error}", file=sys.stderr)
        return 1
    print(f"The kill switch is released by {safe_line(given.by)} (event {seq}). Open a new session to trade.")
    return 0
