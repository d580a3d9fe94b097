"""Metadata that shows proposals, decisions, reconciliations and verifications in Dagster."""

from typing import Any, Final

import dagster as dg

from kalshi_pipelines.alerts.messages import Message, moment
from kalshi_pipelines.alerts.scrubbing import neutral
from kalshi_pipelines.defs.tables import text_table
from kalshi_pipelines.execution.audit.verification import AuditReport
from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
from kalshi_pipelines.execution.journal.records import KillState
from kalshi_pipelines.execution.reconciliation.report import ReconciliationReport
from kalshi_pipelines.execution.service.sessions.decision_text import decision_rows
from kalshi_pipelines.execution.service.sessions.inbox_selection import describe_left
from kalshi_pipelines.execution.service.sessions.trading_session import TradingRun
from kalshi_pipelines.execution.service.stopping.stop_report import StopReport
from kalshi_pipelines.execution.text import safe_line
from kalshi_pipelines.units import instant

#: Columns of the tables of waiting proposals and of decisions, from left to right.
PROPOSAL_COLUMNS: Final = ("proposal", "by", "order", "signal", "valid until", "reason")
DECISION_COLUMNS: Final = ("decision", "order", "why", "detail", "what to do", "by", "proposal", "intent")
#: Decision outcomes whose count is always shown, even if it is zero, because Dagster plots these counts. The count of
#: any other outcome is shown only if it is not zero.
_ALWAYS_COUNTED: Final = frozenset(
    {DecisionOutcome.PLACED, DecisionOutcome.SIMULATED, DecisionOutcome.DENIED, DecisionOutcome.UNKNOWN}
)
_MOST_PROBLEMS: Final = 20


def session_metadata(run: TradingRun) -> dict[str, Any]:
    """Return the metadata of a trading session."""
    return {
        "decisions": text_table(DECISION_COLUMNS, decision_rows(run.decisions)),
        **{each.value: run.count(each) for each in DecisionOutcome if each in _ALWAYS_COUNTED or run.count(each)},
        **({"left undecided": describe_left(run.left)} if run.left else {}),
        "mode": run.session.mode.value,
        "origin": run.session.origin.value,
        "session": run.session.session_id,
        "code_version": run.session.code_version,
    }


def reconciliation_metadata(report: ReconciliationReport) -> dict[str, Any]:
    """Return the metadata of a reconciliation."""
    differences = [
        {"kind": each.kind.value, "subject": safe_line(each.subject), "detail": safe_line(each.detail)}
        for each in report.differences
    ]
    resolved = [
        {"order": each.client_order_id, "was": each.before.value, "is": each.after.value} for each in report.resolved
    ]
    return {
        "clean": report.clean,
        "differences": text_table(("kind", "subject", "detail"), differences),
        "resolved": text_table(("order", "was", "is"), resolved),
        "unknown": len(report.unresolved),
        "as_of": "unknown" if report.as_of_us is None else dg.MetadataValue.timestamp(instant(report.as_of_us)),
        **report.figures,
    }


def halt_message(kill: KillState, environment: str) -> Message:
    """Return an alert which says that trading was stopped."""
    lines = (
        f"What: the kill switch is engaged at level {kill.level} since {moment(kill.at_us)}",
        f"By: {neutral(kill.by_whom)} ({neutral(kill.source)})",
        f"Why: {neutral(kill.reason, 1_000)}",
        "Do: find the cause and reconcile; then a second person releases the kill switch",
        "More: python -m kalshi_pipelines.execution status",
    )
    return Message(f"Trading is halted on {environment}", "\n".join(lines))


def halt_metadata(report: StopReport) -> dict[str, Any]:
    """Return the metadata of a halt: where the kill switch is engaged, and which sessions were seen."""
    journals = [
        {"journal": safe_line(each.target.place), "engaged": str(each.is_engaged), "detail": safe_line(str(each))}
        for each in report.targets
    ]
    orders = [*report.flat, *(f"canceled, not proved: {each}" for each in report.canceled), *report.unflat]
    return {
        "result": safe_line(report.last_line),
        "journals": text_table(("journal", "engaged", "detail"), journals),
        "sessions": text_table(("session",), [{"session": safe_line(each)} for each in report.sessions]),
        "orders": text_table(("account",), [{"account": safe_line(each)} for each in orders]),
    }


def audit_metadata(report: AuditReport) -> dict[str, Any]:
    """Return the metadata of a verification of the audit trail.

    The metadata holds the newest hash of the chain. Dagster stores the hash outside the journal, so a later change of
    the journal can be detected.
    """
    return {
        "audit": report.verdict.value,
        "audit_records": report.records,
        "audit_head": report.head,
        "problems": text_table(("problem",), [{"problem": each} for each in report.problems[:_MOST_PROBLEMS]]),
        "explained": text_table(("what",), [{"what": each} for each in report.explanations[:_MOST_PROBLEMS]]),
    }
