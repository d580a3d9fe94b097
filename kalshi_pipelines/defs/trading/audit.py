"""Job that verifies the audit trail of the journal."""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg

from kalshi_pipelines.defs.failures import report_expected_failures
from kalshi_pipelines.defs.resources import JournalResource, WarehouseResource
from kalshi_pipelines.defs.schema.journal import require_configured_place
from kalshi_pipelines.defs.schema.requirement import JOURNAL_SCHEMA
from kalshi_pipelines.defs.trading.metadata import audit_metadata
from kalshi_pipelines.execution.audit.verification import AuditVerdict
from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.service.account.audit import verify_or_stop

_MOST_TEXT: Final = 2_000


@dg.op(name="verify_journal")
def verify_journal(
    context: dg.OpExecutionContext, journal: JournalResource, warehouse: WarehouseResource
) -> Iterator[Any]:
    """Verify the audit trail's hash chain and anchors, and compare the journal's other rows with the trail.

    The check ``verified`` is a warning if the journal holds things that persons did elsewhere or took responsibility
    for.
    """
    require_configured_place(context.run)
    with report_expected_failures(context.log):
        report = verify_or_stop(
            journal.settings, TradeSettings.from_environment(), journal.engine, lambda: warehouse.engine
        )
    context.log.info(str(report))
    if not report.ok:
        raise dg.Failure(str(report), metadata=audit_metadata(report), allow_retries=False)
    context.log_event(dg.AssetObservation(JOURNAL_SCHEMA, metadata=audit_metadata(report)))
    yield dg.AssetCheckEvaluation(
        asset_key=JOURNAL_SCHEMA,
        check_name="verified",
        passed=report.verdict is AuditVerdict.CLEAN,
        severity=dg.AssetCheckSeverity.WARN,
        description=str(report)[:_MOST_TEXT],
    )
    yield dg.Output(None)


@dg.job(description="Verify that nobody changed the journal: hash chain, anchors, order states and counters.")
def verify_audit() -> None:
    """Verify the journal of orders."""
    verify_journal()
