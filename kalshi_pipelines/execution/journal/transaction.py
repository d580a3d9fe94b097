"""A transaction that writes to the journal. Each of its attributes holds the commands or readings of one subject."""

from collections.abc import Callable

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.engine import explain_failures
from kalshi_pipelines.execution.journal.errors import JournalRefused
from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.reading.sessions import KnownSessions
from kalshi_pipelines.execution.journal.writing.account_postings import AccountPostings
from kalshi_pipelines.execution.journal.writing.acknowledgements import AcknowledgementWriter
from kalshi_pipelines.execution.journal.writing.admission_figures import AdmissionFigureReader
from kalshi_pipelines.execution.journal.writing.anchor_events import AnchorEventWriter
from kalshi_pipelines.execution.journal.writing.audit_writer import AuditWriter
from kalshi_pipelines.execution.journal.writing.evidence import EvidenceWriter
from kalshi_pipelines.execution.journal.writing.facts import FactWriter
from kalshi_pipelines.execution.journal.writing.fills import FillWriter
from kalshi_pipelines.execution.journal.writing.foreign_orders import ForeignOrderWriter
from kalshi_pipelines.execution.journal.writing.halts import HaltWriter
from kalshi_pipelines.execution.journal.writing.ledger import LedgerWriter
from kalshi_pipelines.execution.journal.writing.orders import OrderWriter
from kalshi_pipelines.execution.journal.writing.other_activity import OtherActivityWriter
from kalshi_pipelines.execution.journal.writing.positions import PositionWriter, SettlementWriter
from kalshi_pipelines.execution.journal.writing.postings import PostingMaker
from kalshi_pipelines.execution.journal.writing.realised import RealisedWriter
from kalshi_pipelines.execution.journal.writing.reconciliations import ReconciliationWriter
from kalshi_pipelines.execution.journal.writing.scopes import ScopeWriter
from kalshi_pipelines.execution.journal.writing.sessions import SessionWriter


class JournalTransaction:
    """A transaction with exclusive write access to the journal.

    It is committed at the end of its ``with`` block, or not at all.

    Args:
        connection: A connection with an open transaction that may write.
        clock_us: Returns the present time in microseconds. It is called once, after the lock is granted.
        known: A cache of committed sessions. Each session that is read is added to the cache.

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
        self.anchor_events = AnchorEventWriter(audit)
        self.reconciliations = ReconciliationWriter(audit)
        self.other_activity = OtherActivityWriter(connection, audit, reading.sessions, scopes, postings)
        self.fills = FillWriter(connection, facts, self.ledger, account_postings)
        self.foreign_orders = ForeignOrderWriter(connection, audit, reading.foreign_orders, facts, account_postings)
        self.positions = PositionWriter(connection, facts, account_postings)
        self.acknowledgements = AcknowledgementWriter(audit)
        self._figures = figures
        self.realised = RealisedWriter(connection, audit, reading.sessions, scopes, postings)
        self.settlements = SettlementWriter(connection, audit, reading.sessions, facts, scopes, postings)

    @property
    def now_us(self) -> int:
        """The time of the transaction in microseconds. Every row that the transaction stores carries this time."""
        return self.audit.now_us

    @property
    def head(self) -> tuple[int, str]:
        """The number and hash of the newest audit record, including records of this transaction."""
        return self.audit.head

    def attempt(self, action: Callable[[], None]) -> Exception | None:
        """Run an action, and undo all its rows if it fails with a value that the journal cannot store.

        Returns:
            The error of the undone action, or None if the action was done.
        """
        connection, before = self._connection, self.audit.head
        try:
            with explain_failures(connection.engine), connection.begin_nested():
                action()
        except (JournalRefused, ValueError, ArithmeticError) as error:
            self.audit.return_to(before)
            self._figures.forget()
            return error
        return None
