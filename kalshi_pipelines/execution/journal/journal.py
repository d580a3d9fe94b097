"""The entry point of the journal: setup, opening, transactions and anchors."""

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.anchors import Anchor, AnchorFile
from kalshi_pipelines.execution.journal.engine import explain_failures, record_hash
from kalshi_pipelines.execution.journal.errors import (
    JournalOfAnotherEnvironment,
    JournalOutdated,
    JournalRestored,
)
from kalshi_pipelines.execution.journal.migrations import require_journal_head
from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.reading.sessions import KnownSessions
from kalshi_pipelines.execution.journal.tables import anchors, audit_head, audit_log, journal_identity
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.journal.writing.audit_writer import BODY_VERSION, timestamp
from kalshi_pipelines.execution.orders.canonical_json import canonical_json
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.engine import place_of
from kalshi_pipelines.warehouse.migrations import MIGRATE_COMMAND

logger = logging.getLogger(__name__)

#: The number of audit records after which the journal writes the next anchor to the anchor file.
ANCHOR_EVERY: Final = 100


def initialise(
    engine: sa.Engine, environment: str, *, clock_us: Callable[[], int] = now_us, database_id: str | None = None
) -> str:
    """Assign an empty journal to an environment, with the kill switch engaged, and return its database id.

    A journal that already belongs to this environment stays unchanged.

    Raises:
        JournalOfAnotherEnvironment: The journal belongs to another environment.
        JournalOutdated: The journal is not at the newest schema revision.
    """
    require_journal_head(engine)
    with explain_failures(engine):
        with engine.execution_options(kalshi_writes=True).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('kalshi_pipelines.journal'))"))
            row = connection.execute(sa.select(journal_identity)).first()
            if row is None:
                identity = database_id or uuid.uuid4().hex
                _begin(connection, environment, identity, clock_us)
                return identity
        _require_environment(engine, row.environment, environment)
        return str(row.database_id)


class Journal:
    """The journal of one environment.

    Args:
        engine: The engine from ``open_journal``.
        environment: The environment whose orders the journal must hold.
        clock_us: Returns the present time in microseconds. All rows of a transaction carry the time at which the
            transaction began.
        anchor_file: The anchor file. Anchors are added regularly and whenever the kill switch changes. Without the
            file, a truncated or restored journal is not noticed.

    Raises:
        JournalOutdated: The journal's schema differs from the schema of this code, or the journal was never set up.
        JournalOfAnotherEnvironment: The journal belongs to another environment.
        JournalUnavailable: The journal cannot be read.
    """

    def __init__(
        self,
        engine: sa.Engine,
        environment: str,
        *,
        clock_us: Callable[[], int] = now_us,
        anchor_file: Path | None = None,
    ) -> None:
        require_journal_head(engine)
        self._engine = engine
        self._writing = engine.execution_options(kalshi_writes=True)
        self._reading = engine
        if engine.dialect.name == "postgresql":
            self._reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._clock_us = clock_us
        self._anchors = None if anchor_file is None else AnchorFile(anchor_file)
        with explain_failures(engine), engine.connect() as connection:
            row = connection.execute(sa.select(journal_identity)).first()
        if row is None:
            raise JournalOutdated(f"The journal {self.place} was never set up.", f"Run `{MIGRATE_COMMAND}` first.")
        _require_environment(engine, row.environment, environment)
        self.environment = environment
        self.database_id: str = row.database_id
        self._last_anchor = 0
        self._committed = KnownSessions()

    @property
    def place(self) -> str:
        """The journal's path or address, without user and password."""
        return place_of(self._engine)

    def require_head(self) -> None:
        """Check that the journal still has the schema and the guards of this code.

        Raises:
            JournalOutdated: The schema or the guards differ; the message says what to do.
            JournalUnavailable: The journal cannot be read.
        """
        require_journal_head(self._engine)

    def now_us(self) -> int:
        """Return the present time in microseconds, from the clock that the journal's transactions use."""
        return self._clock_us()

    @contextmanager
    def writing(self) -> Iterator[JournalTransaction]:
        """Open a transaction with exclusive write access; it is committed at the end of the block, or not at all.

        Raises:
            JournalUnavailable: The journal cannot be written (locked, full, read-only, gone); nothing was stored.
            JournalRefused: A constraint or guard refused a row; nothing was stored.
        """
        with explain_failures(self._engine), self._writing.begin() as connection:
            known = self._committed.copy()
            transaction = JournalTransaction(connection, self._clock_us, known)
            yield transaction
        self._committed = known
        seq, digest = transaction.head
        is_due = transaction.halts.has_changed or seq // ANCHOR_EVERY != self._last_anchor // ANCHOR_EVERY
        if self._anchors is not None and is_due:
            self._note(self._anchors, Anchor(self.database_id, seq, digest, transaction.now_us))

    @contextmanager
    def reading(self) -> Iterator[JournalReading]:
        """Open a consistent view of the journal for reading.

        Raises:
            JournalUnavailable: The journal cannot be read.
        """
        with explain_failures(self._engine), self._reading.connect() as connection, connection.begin():
            yield JournalReading(connection, self._committed.copy())

    def anchor(self, place: str | None = None) -> Anchor:
        """Anchor the newest audit record, and return the anchor.

        Without ``place``, the anchor is written to the anchor file. A caller that stores the anchor somewhere else
        passes the name of that place.

        Raises:
            OSError: The anchor file cannot be written.
            JournalUnavailable: The journal cannot be read or written.
        """
        with explain_failures(self._engine), self._engine.connect() as connection:
            head = connection.execute(sa.select(audit_head.c.seq, audit_head.c.hash)).one()
        made = Anchor(self.database_id, head.seq, head.hash, self._clock_us())
        if place is None and self._anchors is not None:
            self._anchors.append(made)
            self._last_anchor = made.seq
        with explain_failures(self._engine), self._writing.begin() as connection:
            where = place or ("file" if self._anchors is not None else "journal")
            known = sa.select(anchors.c.seq).where(anchors.c.seq == made.seq, anchors.c.place == where)
            if connection.execute(known).first() is None:
                row = {"seq": made.seq, "place": where, "hash": made.hash, "at_us": made.at_us}
                connection.execute(anchors.insert(), row)
        return made

    def require_unrestored(self) -> None:
        """Check that the journal still has the record that its newest anchor names, before a live session opens.

        The check also fails if the anchor file has anchors of another journal. Orders in another journal have used part
        of the caps. This journal does not know those orders, so it would allow that part to be used again.

        Raises:
            JournalRestored: The journal was restored from a backup, truncated, rewritten or replaced.
            AnchorsUnreadable: The anchors cannot be read.
        """
        if self._anchors is None:
            return
        noted = self._anchors.all_anchors()
        others = {anchor.database_id for anchor in noted} - {self.database_id}
        if others:
            raise JournalRestored(
                f"The anchor file {self._anchors.path} has anchors of another journal "
                f"({', '.join(sorted(others)[:3])}) than {self.place} ({self.database_id}). This journal does not know "
                "the orders of the other journal, nor how much of the caps they used.",
                "Trade with the other journal. If that journal is lost, reconcile the account, then move the anchor "
                "file away to start with this journal.",
            )
        if not noted:
            return
        newest = max(noted, key=lambda anchor: anchor.seq)
        with explain_failures(self._engine), self._engine.connect() as connection:
            have = connection.scalar(sa.select(audit_log.c.hash).where(audit_log.c.seq == newest.seq))
        if have != newest.hash:
            defect = "is missing" if have is None else "has another hash"
            raise JournalRestored(
                f"Record {newest.seq} of the journal {self.place}, anchored in {self._anchors.path}, {defect}: the "
                "journal was restored from a backup, truncated or rewritten.",
                "Reconcile the account and start a new journal.",
            )

    def _note(self, file: AnchorFile, anchor: Anchor) -> None:
        """Append an anchor to the anchor file.

        A failure is only logged, because the transaction is already committed. The next anchor covers the same records.
        """
        try:
            file.append(anchor)
        except OSError:
            logger.exception("the anchor of record %d could not be written to %s", anchor.seq, file.path)
        else:
            self._last_anchor = anchor.seq


def _begin(connection: sa.Connection, environment: str, database_id: str, clock_us: Callable[[], int]) -> None:
    at_us = clock_us()
    row = {"one": 1, "database_id": database_id, "environment": environment, "created_us": at_us}
    connection.execute(journal_identity.insert(), row)
    body = canonical_json(
        {
            "at": timestamp(at_us),
            "database_id": database_id,
            "environment": environment,
            "kind": "genesis",
            "rows": [],
            "v": BODY_VERSION,
        }
    )
    genesis = {"seq": 0, "hash": record_hash(0, None, body), "kind": "genesis", "body": body}
    connection.execute(audit_log.insert(), genesis)
    JournalTransaction(connection, lambda: at_us).halts.engage(1, "journal", "journal", "a new journal")


def _require_environment(engine: sa.Engine, have: str, want: str) -> None:
    if have != want:
        raise JournalOfAnotherEnvironment(
            f"The journal {place_of(engine)} holds orders of the environment {have}, but this run is for {want}.",
            "Set KALSHI_JOURNAL_URL or KALSHI_DATA_DIR to another place, or change KALSHI_ENVIRONMENT back.",
        )
