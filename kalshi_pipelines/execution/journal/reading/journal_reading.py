"""All readers of the journal, one for each subject, over one connection."""

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.reading.acknowledgements import AcknowledgementReading
from kalshi_pipelines.execution.journal.reading.audit_log import AuditLogReading
from kalshi_pipelines.execution.journal.reading.evidence import EvidenceReading
from kalshi_pipelines.execution.journal.reading.foreign_orders import ForeignOrderReading
from kalshi_pipelines.execution.journal.reading.halts import HaltReading
from kalshi_pipelines.execution.journal.reading.inbox import InboxReading
from kalshi_pipelines.execution.journal.reading.ledger import LedgerReading
from kalshi_pipelines.execution.journal.reading.orders import OrderReading
from kalshi_pipelines.execution.journal.reading.reconciliations import ReconciliationReading
from kalshi_pipelines.execution.journal.reading.sessions import KnownSessions, SessionReading


class JournalReading:
    """A consistent view of the journal.

    Args:
        connection: A connection with an open transaction.
        known: A cache of committed sessions. Each session that is read is added to the cache.
    """

    def __init__(self, connection: sa.Connection, known: KnownSessions | None = None) -> None:
        self.sessions = SessionReading(connection, known or KnownSessions())
        self.inbox = InboxReading(connection)
        self.orders = OrderReading(connection)
        self.ledger = LedgerReading(connection, self.sessions)
        self.halts = HaltReading(connection)
        self.evidence = EvidenceReading(connection)
        self.reconciliations = ReconciliationReading(connection, self.sessions)
        self.audit_log = AuditLogReading(connection)
        self.acknowledgements = AcknowledgementReading(connection)
        self.foreign_orders = ForeignOrderReading(connection)
