"""Recording the results of reconciliations."""

from kalshi_pipelines.execution.journal.tables import reconciliations
from kalshi_pipelines.execution.journal.writing.audit_writer import NO_FACTS, AuditWriter, NewRow
from kalshi_pipelines.execution.orders.account import Account


class ReconciliationWriter:
    """Records the results of reconciliations in the journal."""

    def __init__(self, audit: AuditWriter) -> None:
        self._audit = audit

    def record(
        self,
        account: Account,
        started_us: int,
        as_of_us: int,
        *,
        differences: int,
        clean: bool,
        report: str,
    ) -> int:
        """Record the result of a reconciliation and return its number. ``report`` is the result as text for people."""
        row = NewRow(
            reconciliations,
            {
                "environment": account.environment,
                "subaccount": account.subaccount,
                "started_us": started_us,
                "as_of_us": as_of_us,
                "finished_us": self._audit.now_us,
                "clean": int(clean),
                "differences": differences,
                "report": report,
            },
        )
        return self._audit.record("reconciliation", [row], NO_FACTS)
