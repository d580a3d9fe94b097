"""The command that anchors a journal again, and the lines of ``status`` about the anchor file."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.journal.anchor_trust import RE_ANCHORABLE, AnchorFinding, AnchorReport
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.reconciliation.report import ReconciliationReport
from kalshi_pipelines.execution.service.account.live_account import live_account
from kalshi_pipelines.execution.service.command_context import CommandContext, CommandRefused, require_by_and_why
from kalshi_pipelines.execution.text import safe_line

_MOST_SHOWN = 10


def re_anchor(context: CommandContext, given: argparse.Namespace) -> int:
    """Anchor the journal again after its anchors were lost, if the audit and the account are as the journal says."""
    require_by_and_why(given)
    print(context.whereabouts())
    journal = context.journal()
    found = _require_re_anchorable(journal)
    print(f"anchors          {safe_line(str(found))}")
    if found.missing:
        shown = ", ".join(map(str, found.missing[:_MOST_SHOWN]))
        more = f" and {len(found.missing) - _MOST_SHOWN} more" if len(found.missing) > _MOST_SHOWN else ""
        print(f"missing          the anchors of the records {shown}{more}")
    audit = verify(context.journal_engine())
    print(audit)
    if not audit.ok:
        raise CommandRefused(
            "The audit of the journal is not clean, so the journal was not anchored again.",
            "Find out who changed the journal: see `docs/trading.md`.",
        )
    report = _reconcile(context, journal)
    print(report)
    if not report.clean or report.reconciliation_id is None:
        raise CommandRefused(
            "The reconciliation is not clean, so the journal was not anchored again.",
            "Resolve the differences, then run the command again.",
        )
    made = journal.re_anchor(given.by, given.why, report.reconciliation_id)
    print(f"{safe_line(given.by)} anchored the journal again, from record {made.seq} on, in {found.path}.")
    return 0


def anchor_lines(journal: Journal) -> Iterator[str]:
    """Yield the lines that tell where the anchor file is, whether it is on another disk, and whether it is trusted."""
    found = journal.anchor_report()
    if found is None:
        return
    yield f"anchors          {found.path}{_disk(Path(journal.place), found.path)}"
    if not found.is_good:
        yield f"                 NOT TRUSTED, no live session opens. {safe_line(str(found))}"


def _require_re_anchorable(journal: Journal) -> AnchorReport:
    """Return what the journal and its anchor file say about each other, if ``re-anchor`` can mend it.

    Raises:
        CommandRefused: Nothing is to be mended, the journal itself was restored or replaced, or the file that is in the
            way of the anchors has to be moved away first.
    """
    found = journal.anchor_report()
    if found is None or found.is_good:
        raise CommandRefused("The anchors are trusted, so nothing was changed.", "No command is needed.")
    if found.finding not in RE_ANCHORABLE:
        raise CommandRefused(
            f"{found.detail}. Anchors cannot mend a journal that was restored, rewritten or replaced.",
            "Trade with the journal that has every record. If that journal is lost, run `adopt`.",
        )
    if found.finding is AnchorFinding.UNREADABLE:
        raise CommandRefused(
            f"{found.detail.rstrip('.')}.",
            "Move the file away, or set KALSHI_JOURNAL_ANCHORS to another file. Then run the command again.",
        )
    return found


def _reconcile(context: CommandContext, journal: Journal) -> ReconciliationReport:
    with live_account(context.settings, context.trade, context.warehouse()) as account:
        return account.reconciler(journal).reconcile()


def _disk(journal: Path, anchors: Path) -> str:
    """Return a text about the disks of the journal and its anchors. It is empty if the journal is no file."""
    if not journal.exists():
        return ""
    there = next((folder for folder in (anchors, *anchors.absolute().parents) if folder.exists()), journal)
    if there.stat().st_dev != journal.stat().st_dev:
        return ", on another disk than the journal"
    return ", on the same disk as the journal: another disk protects better"
