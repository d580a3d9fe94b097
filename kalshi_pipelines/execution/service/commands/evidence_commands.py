"""The commands with which persons take responsibility for what happened outside this journal."""

import argparse
from collections.abc import Sequence
from typing import Final

from kalshi_pipelines.execution.journal.anchor_trust import AnchorFinding
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import EvidenceItem, Signature
from kalshi_pipelines.execution.reconciliation.acknowledgement import ACKNOWLEDGE, ADOPT
from kalshi_pipelines.execution.reconciliation.evidence import (
    SHORT_DIGEST,
    Evidence,
    NotAcknowledged,
    NothingToAcknowledge,
)
from kalshi_pipelines.execution.reconciliation.other_journals import ORDER_GROUP
from kalshi_pipelines.execution.reconciliation.reconciler import Reconciler
from kalshi_pipelines.execution.reconciliation.report import ReconciliationReport
from kalshi_pipelines.execution.service.account.live_account import live_account
from kalshi_pipelines.execution.service.account.other_traders import OtherTraders
from kalshi_pipelines.execution.service.command_context import CommandContext, CommandRefused, require_by_and_why
from kalshi_pipelines.execution.text import safe_line

#: The exit status if the evidence still needs a signature.
UNSIGNED: Final = 1


def acknowledge(context: CommandContext, given: argparse.Namespace) -> int:
    """Show the evidence of the account. With its digest, sign it and set the ledger to the exchange's truth."""
    return _run(context, given, ACKNOWLEDGE)


def adopt(context: CommandContext, given: argparse.Namespace) -> int:
    """Let a fresh or restored journal take over the account, with the signatures of two persons.

    The evidence also contains the orders of the last day that the journal does not know, and what its anchors say.
    After the second signature the journal is anchored again.
    """
    return _run(context, given, ADOPT)


def _run(context: CommandContext, given: argparse.Namespace, action: str) -> int:
    print(context.whereabouts())
    if given.digest is not None:
        require_by_and_why(given)
    journal = context.journal()
    with live_account(context.settings, context.trade, context.warehouse()) as account:
        reconciler = account.reconciler(journal)
        # The reconciliation resolves unknown orders and records new facts, so that persons see only what is left.
        reconciler.reconcile()
        history: tuple[EvidenceItem, ...] = ()
        if action == ADOPT:
            history = (*unexplained_items(journal, account.other_traders(journal)), *anchor_items(journal))
        try:
            if given.digest is None:
                evidence = reconciler.show_evidence(action, history)
                print(
                    f"{evidence}\nNothing was recorded. To {action} exactly this evidence, run:\n{_command(evidence)}"
                )
                return UNSIGNED
            report = _sign(reconciler, given, action, history)
        except NothingToAcknowledge as error:
            print(error)
            return 0
        except NotAcknowledged as error:
            raise CommandRefused(f"Nothing was recorded. {error.problem}", error.remedy) from None
    if report is None:
        return UNSIGNED
    if not report.clean or report.reconciliation_id is None:
        return 1
    _anchor(journal, given, action, report.reconciliation_id)
    return 0


def _anchor(journal: Journal, given: argparse.Namespace, action: str, reconciliation_id: int) -> None:
    """Anchor the signed evidence. Only an adoption mends anchors that the journal cannot trust."""
    found = journal.anchor_report()
    if found is None or found.is_good:
        journal.anchor()
    elif action == ADOPT:
        made = journal.re_anchor(given.by, given.why, reconciliation_id, adopted=True)
        print(f"The journal is anchored again, from record {made.seq} on.")


def _sign(
    reconciler: Reconciler, given: argparse.Namespace, action: str, history: Sequence[EvidenceItem]
) -> ReconciliationReport | None:
    """Sign the evidence. Return the reconciliation after it, or None if another person still has to sign."""
    done = reconciler.acknowledge(given.digest, Signature(given.by, given.why.strip()), action, history)
    print(done.evidence)
    if done.number is None:
        print(
            f"Signed by {safe_line(given.by)}. Nothing was changed yet: another person has to run this within a day:\n"
            f"{_command(done.evidence)}"
        )
        return None
    report = reconciler.reconcile()
    print(f"Recorded for {safe_line(given.by)}, as record {done.number} of the audit.\n{report}")
    return report


def unexplained_items(journal: Journal, others: OtherTraders) -> tuple[EvidenceItem, ...]:
    """Return the orders and order groups that the journal does not know and for which nobody took responsibility."""
    with journal.reading() as reading:
        orders = reading.acknowledgements.orders(others.account)
        groups = reading.acknowledgements.subjects(others.account, ORDER_GROUP)
    return tuple(
        item
        for item in others.found.evidence()
        if item.order_id not in orders and not (item.kind == ORDER_GROUP and item.subject in groups)
    )


def anchor_items(journal: Journal) -> tuple[EvidenceItem, ...]:
    """Return what the anchors say against the journal, as evidence of an adoption."""
    found = journal.anchor_report()
    if found is None or found.is_good:
        return ()
    # The text names no record, because the journal grows with each signature, and the digest must stay the same.
    return (EvidenceItem("anchors", safe_line(str(found.path)), _AGAINST.get(found.finding, found.finding.value)),)


_AGAINST: Final = {
    AnchorFinding.RESTORED: "the file has anchors of records that this journal does not have",
    AnchorFinding.REWRITTEN: "the file has anchors of records that this journal does not have",
    AnchorFinding.FOREIGN: "the file has anchors of another journal",
}


def _command(evidence: Evidence) -> str:
    return (
        f"python -m kalshi_pipelines.execution {evidence.action} --digest {evidence.sha256[:SHORT_DIGEST]} "
        '--by NAME --why "..."'
    )
