"""The class that reads the audit log for people. ``execution/audit`` verifies the log."""

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.records import AuditRecord
from kalshi_pipelines.execution.journal.tables import audit_log


class AuditLogReading:
    """Reads the audit log over one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def newest(self, limit: int) -> list[AuditRecord]:
        """Return the newest audit records, starting with the newest."""
        found = sa.select(audit_log.c.seq, audit_log.c.hash, audit_log.c.kind, audit_log.c.body)
        rows = self._connection.execute(found.order_by(audit_log.c.seq.desc()).limit(limit))
        return [AuditRecord(*row) for row in rows]
