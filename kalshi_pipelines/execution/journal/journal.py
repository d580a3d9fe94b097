"""The entry point of the journal: setup, opening, transactions and anchors."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.anchor_trust import AnchorReport
from kalshi_pipelines.execution.journal.anchoring import Anchoring
from kalshi_pipelines.execution.journal.anchors import Anchor, AnchorFile
from kalshi_pipelines.execution.journal.engine import explain_failures, record_hash
from kalshi_pipelines.execution.journal.errors import (
    JournalOfAnotherEnvironment,
    JournalOutdated,
)
from kalshi_pipelines.execution.journal.migrations import require_journal_head
from kalshi_pipelines.execution.journal.path_claim import PathClaim, claim_path
from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.reading.sessions import KnownSessions
from kalshi_pipelines.execution.journal.tables import audit_log, journal_identity
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.journal.writing.audit_writer import BODY_VERSION, timestamp
from kalshi_pipelines.execution.orders.canonical_json import canonical_json
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.engine import place_of
from kalshi_pipelines.warehouse.migrations import MIGRATE_COMMAND


def initialise(
    engine: sa.Engine,
    environment: str,
    *,
    clock_us: Callable[[], int] = now_us,
    database_id: str | None = None,
    anchor_file: Path | None = None,
) -> str:
    """Assign an empty journal to an environment, with the kill switch engaged, and return its database id.

    A journal that already belongs to this environment stays unchanged. If an anchor file is given, the first anchor of
    a new journal is written to it. A failure of this anchor is recorded in the journal, and no live session opens then.

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
        if row is not None:
            _require_environment(engine, row.environment, environment)
            return str(row.database_id)
    if anchor_file is not None:
        with suppress(OSError):
            Journal(engine, environment, clock_us=clock_us, anchor_file=anchor_file).anchor()
    return identity


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
        with explain_failures(engine), engine.connect() as connection:
            row = connection.execute(sa.select(journal_identity)).first()
        if row is None:
            raise JournalOutdated(f"The journal {self.place} was never set up.", f"Run `{MIGRATE_COMMAND}` first.")
        _require_environment(engine, row.environment, environment)
        self.environment = environment
        self.database_id: str = row.database_id
        file = None if anchor_file is None else AnchorFile(anchor_file)
        self._anchoring = Anchoring(engine, file, row.database_id, clock_us)
        self._committed = KnownSessions()
        self._claims: list[PathClaim] = []

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
        self._anchoring.note(seq, digest, transaction.now_us, has_halted=transaction.halts.has_changed)

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
            OSError: The anchor file cannot be written. The failure is recorded, and the live sessions are ended.
            JournalUnavailable: The journal cannot be read or written.
        """
        return self._anchoring.anchor(place)

    def anchor_report(self) -> AnchorReport | None:
        """Return what the journal and its anchor file say about each other, or None without an anchor file.

        Raises:
            JournalUnavailable: The journal cannot be read.
        """
        return self._anchoring.report()

    def claim_path(self) -> None:
        """Claim the path of a SQLite journal for a live session. A journal on Postgres needs no claim.

        Raises:
            JournalHasTwoPaths: The file has another hard link, or another process uses it by another path.
            OSError: The file cannot be read.
        """
        if self._engine.dialect.name == "sqlite":
            self._claims.append(claim_path(Path(self.place)))

    def release_path(self) -> None:
        """End the newest claim of this journal's path. Without a claim, do nothing."""
        if self._claims:
            self._claims.pop().release()

    def require_trusted_anchors(self) -> None:
        """Check, before a live session opens, that the journal has every anchored record and keeps new anchors.

        Orders that this journal does not know have used part of the caps. The journal would allow that part to be used
        again.

        Raises:
            JournalRestored: The journal was restored from a backup, truncated, rewritten or replaced.
            AnchorsNotTrusted: Anchors are missing, or the file cannot be read or does not keep what is written.
            JournalUnavailable: The journal cannot be read or written.
        """
        self._anchoring.require_trusted()

    def re_anchor(self, by: str, why: str, reconciliation_id: int, *, adopted: bool = False) -> Anchor:
        """Record a person's decision to anchor the journal again, and write the first anchor after that decision.

        The caller has checked the journal and the account. ``adopted`` tells that the journal was restored or replaced
        and that the person took over the account.

        Raises:
            OSError: The anchor file cannot be written. The journal then stays without trusted anchors.
            JournalUnavailable: The journal cannot be written.
        """
        return self._anchoring.re_anchor(by, why, reconciliation_id, adopted=adopted)


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
