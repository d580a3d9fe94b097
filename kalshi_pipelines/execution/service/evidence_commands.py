"""The command with which persons take responsibility for what happened outside this journal."""

import argparse
from typing import Final

from kalshi_pipelines.execution.journal.records import Signature
from kalshi_pipelines.execution.reconciliation.evidence import (
    SHORT_DIGEST,
    Evidence,
    NotAcknowledged,
    NothingToAcknowledge,
)
from kalshi_pipelines.execution.service.command_context import CommandContext, CommandRefused, require_by_and_why
from kalshi_pipelines.execution.service.live_account import LiveAccount, live_account
from kalshi_pipelines.execution.text import safe_line

#: The exit status if the evidence still needs a signature.
UNSIGNED: Final = 1


def acknowledge(context: CommandContext, given: argparse.Namespace) -> int:
    """Show the evidence of the account. With its digest, sign it and set the ledger to the exchange's truth."""
    print(context.whereabouts())
    journal = context.journal()
    with live_account(context.settings, context.trade, context.warehouse()) as account:
        try:
            return _acknowledge(account, context, given)
        except NothingToAcknowledge as error:
            print(error)
            return 0
        except NotAcknowledged as error:
            raise CommandRefused(f"Nothing was acknowledged. {error.problem}", error.remedy) from None
        finally:
            journal.anchor()


def _acknowledge(account: LiveAccount, context: CommandContext, given: argparse.Namespace) -> int:
    reconciler = account.reconciler(context.journal())
    # The reconciliation resolves unknown orders and records new facts, so that persons see only what is left.
    reconciler.reconcile()
    if given.digest is None:
        evidence = reconciler.show_evidence()
        print(f"{evidence}\nNothing was recorded. To acknowledge exactly this evidence, run:\n{_command(evidence)}")
        return UNSIGNED
    require_by_and_why(given)
    done = reconciler.acknowledge(given.digest, Signature(given.by.strip(), given.why.strip()))
    print(done.evidence)
    if done.number is None:
        print(
            f"Signed by {safe_line(given.by)}. Nothing was changed yet: another person has to run this within a day:\n"
            f"{_command(done.evidence)}"
        )
        return UNSIGNED
    report = reconciler.reconcile()
    print(f"Acknowledged by {safe_line(given.by)}, as record {done.number} of the audit.\n{report}")
    return 0 if report.clean else 1


def _command(evidence: Evidence) -> str:
    return (
        f"python -m kalshi_pipelines.execution {evidence.action} --digest {evidence.sha256[:SHORT_DIGEST]} "
        '--by NAME --why "..."'
    )
