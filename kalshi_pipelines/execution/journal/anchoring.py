"""Anchoring of one journal: when anchors are written, what happens if one fails, and whether they can be trusted.

An anchor is written to the anchor file first and recorded in the journal afterwards. The journal therefore knows which
anchors the file must have. If a process ends in between, the file has one more anchor than the journal knows, which is
harmless.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.anchor_trust import (
    IN_FILE,
    AnchorFinding,
    AnchorReport,
    judge_anchors,
    unresolved_failure,
)
from kalshi_pipelines.execution.journal.anchors import Anchor, AnchorFile
from kalshi_pipelines.execution.journal.engine import explain_failures
from kalshi_pipelines.execution.journal.errors import (
    AnchorsNotTrusted,
    JournalRefused,
    JournalRestored,
    JournalUnavailable,
)
from kalshi_pipelines.execution.journal.tables import anchor_events, anchors, audit_head, leases
from kalshi_pipelines.execution.journal.transaction import JournalTransaction

logger = logging.getLogger(__name__)

#: The number of audit records after which the journal writes the next anchor to the anchor file.
ANCHOR_EVERY: Final = 100
_RESTORED: Final = frozenset({AnchorFinding.RESTORED, AnchorFinding.REWRITTEN, AnchorFinding.FOREIGN})


class Anchoring:
    """Writes the anchors of one journal and judges them."""

    def __init__(
        self, engine: sa.Engine, file: AnchorFile | None, database_id: str, clock_us: Callable[[], int]
    ) -> None:
        self._engine, self._file, self._database_id, self._clock_us = engine, file, database_id, clock_us
        self._last_seq = 0

    def note(self, seq: int, digest: str, at_us: int, *, has_halted: bool) -> None:
        """Anchor a committed record if an anchor is due. A failure is recorded and ends the live sessions.

        An anchor is due after a fixed number of records and after each change of the kill switch. No error is raised,
        because the record is committed, and a halt must succeed without its anchor.
        """
        if self._file is None or not (has_halted or seq // ANCHOR_EVERY != self._last_seq // ANCHOR_EVERY):
            return
        try:
            self._append(self._file, Anchor(self._database_id, seq, digest, at_us))
        except OSError as error:
            logger.error(  # noqa: TRY400
                "The anchor of record %d could not be written (%s). No live session opens until a person runs "
                "`re-anchor`.",
                seq,
                error,
            )
            self._record_failure(self._file, error)
        except (JournalUnavailable, JournalRefused) as error:
            logger.error("The journal did not record that record %d is anchored: %s", seq, error)  # noqa: TRY400

    def anchor(self, place: str | None = None, *, create: bool | None = None) -> Anchor:
        """Anchor the newest audit record, and return the anchor.

        Args:
            place: The name of another place in which the caller stores the anchor. Without it, the anchor is written
                to the anchor file.
            create: Whether the anchor file may be created. By default only a journal without an anchor creates it.

        Raises:
            OSError: The anchor file cannot be written. The failure is recorded, and the live sessions are ended.
            JournalUnavailable: The journal cannot be read or written.
        """
        with explain_failures(self._engine), self._engine.connect() as connection:
            head = connection.execute(sa.select(audit_head.c.seq, audit_head.c.hash)).one()
        made = Anchor(self._database_id, head.seq, head.hash, self._clock_us())
        if place is None and self._file is not None:
            try:
                self._append(self._file, made, create=create)
            except OSError as error:
                self._record_failure(self._file, error)
                raise
        else:
            self._put_on_record(made, place or "journal")
        return made

    def report(self) -> AnchorReport | None:
        """Return what the journal and its anchor file say about each other, or None without an anchor file.

        Raises:
            JournalUnavailable: The journal cannot be read.
        """
        if self._file is None:
            return None
        with explain_failures(self._engine), self._engine.connect() as connection:
            return judge_anchors(connection, self._file, self._database_id)

    def require_trusted(self) -> None:
        """Check that the journal and its anchor file belong together and that the file keeps a new anchor.

        Raises:
            JournalRestored: The journal was restored from a backup, truncated, rewritten or replaced.
            AnchorsNotTrusted: Anchors are missing, or the file cannot be read or does not keep what is written.
            JournalUnavailable: The journal cannot be read or written.
        """
        found = self.report()
        if found is None:
            return
        if found.finding in _RESTORED:
            raise JournalRestored(
                f"{found.detail}: the journal was restored from a backup, truncated, rewritten or replaced, or another "
                "journal trades. It does not know every order, nor how much of the caps they used.",
                "Trade with the journal that has every record. If that journal is lost, run `adopt`.",
            )
        if not found.is_good:
            raise AnchorsNotTrusted(
                f"{found.detail}.",
                "Mount the disk of the file, or correct KALSHI_JOURNAL_ANCHORS. If the anchors are lost, run "
                "`re-anchor`.",
            )
        try:
            self.anchor()
        except OSError as error:
            raise AnchorsNotTrusted(
                f"No anchor can be written to {found.path} ({error}).",
                "Repair the file or its disk, or set KALSHI_JOURNAL_ANCHORS to another file, then run `re-anchor`.",
            ) from error

    def re_anchor(self, by: str, why: str, reconciliation_id: int, *, adopted: bool = False) -> Anchor:
        """Record a person's decision to anchor the journal again, and write the first anchor after that decision.

        The caller has checked the journal and the account.

        Raises:
            OSError: The anchor file cannot be written. The journal then stays without trusted anchors.
            JournalUnavailable: The journal cannot be written.
        """
        if self._file is not None:
            with explain_failures(self._engine), self._writing() as connection:
                transaction = JournalTransaction(connection, self._clock_us)
                transaction.anchor_events.record_review(self._file.path, by, why, reconciliation_id, adopted=adopted)
        return self.anchor(create=True)

    def _append(self, file: AnchorFile, made: Anchor, *, create: bool | None = None) -> None:
        file.append(made, create=self._is_first() if create is None else create)
        self._last_seq = made.seq
        self._put_on_record(made, IN_FILE)

    def _is_first(self) -> bool:
        """Return whether no anchor was ever written to an anchor file."""
        with explain_failures(self._engine), self._engine.connect() as connection:
            made = connection.scalar(sa.select(anchors.c.seq).where(anchors.c.place == IN_FILE).limit(1))
            return made is None and connection.scalar(sa.select(anchor_events.c.event_id).limit(1)) is None

    def _put_on_record(self, made: Anchor, place: str) -> None:
        with explain_failures(self._engine), self._writing() as connection:
            known = sa.select(anchors.c.seq).where(anchors.c.seq == made.seq, anchors.c.place == place)
            if connection.execute(known).first() is None:
                row = {"seq": made.seq, "place": place, "hash": made.hash, "at_us": made.at_us}
                connection.execute(anchors.insert(), row)

    def _record_failure(self, file: AnchorFile, error: OSError) -> None:
        """Record that an anchor failed, and end the live sessions, so that they send no further orders.

        If even this fails, the next transaction tries to write an anchor again.
        """
        self._last_seq = -ANCHOR_EVERY
        try:
            with explain_failures(self._engine), self._writing() as connection:
                transaction = JournalTransaction(connection, self._clock_us)
                if unresolved_failure(connection, file.path) is None:
                    transaction.anchor_events.record_failure(file.path, str(error))
                for session_id in connection.scalars(sa.select(leases.c.session_id)).all():
                    transaction.sessions.end(session_id, "its anchor could not be written")
                self._last_seq = transaction.head[0]
        except (JournalUnavailable, JournalRefused) as failure:
            logger.error("The journal did not record that an anchor failed: %s", failure)  # noqa: TRY400

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._engine.execution_options(kalshi_writes=True).begin() as connection:
            yield connection
