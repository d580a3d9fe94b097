"""Commands that put proposals into the inbox. None of these commands sends an order."""

import argparse
import datetime as dt

from kalshi_pipelines.execution.inbox.files import read_proposals
from kalshi_pipelines.execution.inbox.proposals import ProposalTexts, propose, read_proposal
from kalshi_pipelines.execution.orders.proposals import ActorKind, Proposer
from kalshi_pipelines.execution.service.command_context import CommandContext
from kalshi_pipelines.execution.service.commands.next_attempt import next_attempt
from kalshi_pipelines.execution.text import format_count
from kalshi_pipelines.units import instant, now_us


def propose_order(context: CommandContext, given: argparse.Namespace) -> int:
    """Put one order into the inbox."""
    now = instant(now_us())
    rests = None if given.rest_minutes is None else now + dt.timedelta(minutes=given.rest_minutes)
    texts = ProposalTexts(
        ticker=given.ticker,
        action=given.action,
        outcome=given.outcome,
        price=given.price,
        count=given.count,
        strategy=given.strategy,
        signal=given.signal,
        as_of=now.isoformat(),
        valid_until=(now + dt.timedelta(minutes=given.valid_minutes)).isoformat(),
        time_in_force=given.time_in_force,
        expires="" if rests is None else rests.isoformat(),
        post_only=str(given.post_only).lower(),
        reduce_only=str(given.reduce_only).lower(),
        open_short=str(given.open_short).lower(),
        reason=given.reason,
        attempt=str(given.attempt or ""),
    )
    order = read_proposal(texts, Proposer(ActorKind(given.kind), given.name))
    print(context.whereabouts())
    if given.again:
        account = context.trade.account(context.settings.environment)
        found = next_attempt(context.journal(), account, context.trade.mode, order)
        print(found.why)
        order = found.order
    (number,) = propose(context.journal_engine(), [order], "command line")
    print(f"Proposal {number} is in the inbox until {order.valid_until:%H:%M:%S} UTC. Nothing was sent.")
    return 0


def import_file(context: CommandContext, given: argparse.Namespace) -> int:
    """Put the orders of a file into the inbox."""
    print(context.whereabouts())
    orders = read_proposals(given.file, Proposer(ActorKind(given.kind), given.name), instant(now_us()))
    numbers = propose(context.journal_engine(), orders, given.file.name)
    these = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
    are = "is" if len(numbers) == 1 else "are"
    print(f"{format_count(len(numbers), 'proposal')} {are} in the inbox ({these}). Nothing was sent.")
    return 0
