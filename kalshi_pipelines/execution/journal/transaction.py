"""A transaction that writes to the journal: its commands and readings, one attribute for each subject."""

from collections.abc import Callable

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.reading.sessions import KnownSessions
from kalshi_pipelines.execution.journal.writing.account_postings import AccountPostings
from kalshi_pipelines.execution.journal.writing.admission_figures import AdmissionFigureReader
from kalshi_pipelines.execution.journal.writing.audit_writer import AuditWriter
from kalshi_pipelines.execution.journal.writing.evidence import EvidenceWriter
from kalshi_pipelines.execution.journal.writing.facts import FactWriter
from kalshi_pipelines.execution.journal.writing.fills import FillWriter
from kalshi_pipelines.execution.journal.writing.foreign_orders import ForeignOrderWriter
from kalshi_pipelines.execution.journal.writing.halts import HaltWriter
from kalshi_pipelines.execution.journal.writing.ledger import LedgerWriter
from kalshi_pipelines.execution.journal.writing.orders import OrderWriter
from kalshi_pipelines.execution.journal.writing.positions import PositionWriter, SettlementWriter
from kalshi_pipelines.execution.journal.writing.postings import PostingMaker
from kalshi_pipelines.execution.journal.writing.reconciliations import ReconciliationWriter
from kalshi_pipelines.execution.journal.writing.scopes import ScopeWriter
from kalshi_pipelines.execution.journal.writing.sessions import SessionWriter


class JournalTransaction:
    """A transaction that has the journal for itself. It is committed at the end of its ``with`` block, or not at all.

    Args:
        connection: A connection with an open transaction that may write.
        clock_us: The present time in microseconds; read once, after the lock was granted.
        known: Committed sessions that need not be read again; sessions that are read are added.

    Raises:
        JournalOutdated: The journal was never set up.
    """

    def __init__(
        self, connection: sa.Connection, clock_us: Callable[[], int], known: KnownSessions | None = None
    ) -> None:
        self._connection = connection
        self.reading = reading = JournalReading(connection, known)
        self.audit = audit = AuditWriter(connection, clock_us)
        figures = AdmissionFigureReader(connection, audit.now_us)
        postings = PostingMaker(figures, audit.now_us)
        scopes = ScopeWriter(connection, audit, reading, postings)
        account_postings = AccountPostings(reading.sessions, scopes, postings)
        self.halts = HaltWriter(audit, reading.halts)
        facts = FactWriter(connection, audit, self.halts)
        self.sessions = SessionWriter(connection, audit, reading.sessions)
        self.ledger = LedgerWriter(connection, audit, reading, figures, postings, scopes)
        self.orders = OrderWriter(audit, reading, self.ledger)
        self.evidence = EvidenceWriter(connection, audit)
        self.reconciliations = ReconciliationWriter(audit)
        self.fills = FillWriter(connection, facts, self.ledger, account_postings)
        self.foreign_orders = ForeignOrderWriter(connection, audit, facts, account_postings)
        self.positions = PositionWriter(connection, facts, account_postings)
        self.settlements = SettlementWriter(connection, audit, reading.sessions, facts, scopes, postings)

    @property
    def now_us(self) -> int:
        """The time of the transaction in microseconds; every row of the transaction has it."""
        return self.audit.now_us

    @property
    def head(self) -> tuple[int, str]:
        """Number and hash of the newest audit record, records of this transaction included."""
        return self.audit.head
