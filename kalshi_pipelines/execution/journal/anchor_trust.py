"""The decision whether a journal and its anchor file belong together, before a live session opens.

A journal that was restored, or whose anchors are gone, may not know every order that was sent. Such a journal would
allow its caps to be used twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.anchors import Anchor, AnchorFile, AnchorsUnreadable
from kalshi_pipelines.execution.journal.tables import anchor_events, anchors, audit_log, sessions

#: The value of the column ``place`` for anchors in the anchor file.
IN_FILE: Final = "file"


class AnchorFinding(StrEnum):
    """The results of comparing a journal with its anchor file."""

    TRUSTED = "trusted"
    """Every anchor on record is in the file, and every anchor in the file is a record of the journal."""
    NEVER_ANCHORED = "never_anchored"
    """The journal is new: it has no anchor on record, and no live session was ever opened."""
    UNREADABLE = "unreadable"
    """The file cannot be read, is no regular file, or has a line that is not an anchor."""
    MISSING = "missing"
    """Anchors on record are not in the file: it is gone, empty, truncated or replaced by an older copy."""
    FAILED = "failed"
    """An anchor could not be written, and no person has anchored the journal again since."""
    RESTORED = "restored"
    """The file has an anchor of a record that the journal lacks: the journal was restored from a backup."""
    REWRITTEN = "rewritten"
    """The journal has another hash of a record than its anchor."""
    FOREIGN = "foreign"
    """The file has anchors of another journal."""


#: The findings after which ``re-anchor`` is enough, because the journal itself is whole.
RE_ANCHORABLE: Final = frozenset({AnchorFinding.UNREADABLE, AnchorFinding.MISSING, AnchorFinding.FAILED})
#: The findings that leave live sessions possible.
GOOD: Final = frozenset({AnchorFinding.TRUSTED, AnchorFinding.NEVER_ANCHORED})


@dataclass(frozen=True, slots=True)
class AnchorReport:
    """The result of comparing a journal with its anchor file.

    ``missing`` are the numbers of the anchored records whose anchors are not in the file.
    """

    finding: AnchorFinding
    path: Path
    detail: str
    missing: tuple[int, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether the journal may open a live session."""
        return self.finding in GOOD

    def __str__(self) -> str:
        return f"{self.finding.value}: {self.detail}"


def judge_anchors(connection: sa.Connection, file: AnchorFile, database_id: str) -> AnchorReport:
    """Return what a journal and its anchor file say about each other. Nothing is written."""
    path = file.path
    on_record = anchors_on_record(connection)
    try:
        noted = file.all_anchors()
    except AnchorsUnreadable as error:
        return AnchorReport(AnchorFinding.UNREADABLE, path, error.problem)
    since = anchors_since_review(connection, noted, database_id)
    others = sorted({anchor.database_id for anchor in since} - {database_id})
    if others:
        detail = f"the anchor file {path} has anchors of another journal ({', '.join(others[:3])})"
        return AnchorReport(AnchorFinding.FOREIGN, path, detail)
    for anchor in since:
        if on_record.get(anchor.seq) == anchor.hash:
            continue
        have = connection.scalar(sa.select(audit_log.c.hash).where(audit_log.c.seq == anchor.seq))
        if have is None:
            detail = f"record {anchor.seq} of the journal, anchored in {path}, is missing"
            return AnchorReport(AnchorFinding.RESTORED, path, detail)
        if have != anchor.hash:
            detail = f"record {anchor.seq} of the journal, anchored in {path}, has another hash"
            return AnchorReport(AnchorFinding.REWRITTEN, path, detail)
    return _judge_missing(connection, file, on_record, since)


def anchors_on_record(connection: sa.Connection) -> dict[int, str]:
    """Return the hash of each record whose anchor must be in the anchor file, by the record's number.

    After a person anchored the journal again, anchors from before that decision need not be in the file.
    """
    found = sa.select(anchors.c.seq, anchors.c.hash).where(
        anchors.c.place == IN_FILE, anchors.c.seq >= newest_review(connection)
    )
    return {row[0]: row[1] for row in connection.execute(found.order_by(anchors.c.seq))}


def newest_review(connection: sa.Connection) -> int:
    """Return the number of the record of the newest decision to anchor the journal again, or 0."""
    newest = sa.select(sa.func.max(anchor_events.c.event_id)).where(anchor_events.c.kind != "failed")
    return connection.scalar(newest) or 0


def anchors_since_review(connection: sa.Connection, noted: Sequence[Anchor], database_id: str) -> list[Anchor]:
    """Return the anchors in the file that were made since the newest decision to anchor the journal again.

    Without such a decision, return all. The decision has an anchor of its own: the first in the file of the decision's
    record or a later one. Its hash must be that of the journal's record.
    """
    review = newest_review(connection)
    if not review:
        return list(noted)
    for number, anchor in enumerate(noted):
        if anchor.database_id == database_id and anchor.seq >= review:
            found = connection.scalar(sa.select(audit_log.c.hash).where(audit_log.c.seq == anchor.seq))
            if found == anchor.hash:
                return list(noted[number:])
    return []


def unresolved_failure(connection: sa.Connection, path: Path) -> str | None:
    """Return why an anchor could not be written to this path since the newest decision to anchor again, or None.

    Failures of other paths are left out: a command in a shell without the setting KALSHI_JOURNAL_ANCHORS fails at
    another path than the trading process.
    """
    found = (
        sa.select(anchor_events.c.reason)
        .where(
            anchor_events.c.kind == "failed",
            anchor_events.c.place == place_text(path),
            anchor_events.c.event_id > newest_review(connection),
        )
        .order_by(anchor_events.c.event_id.desc())
        .limit(1)
    )
    reason: str | None = connection.scalar(found)
    return reason


def place_text(path: Path) -> str:
    """Return the path of an anchor file as the journal stores it."""
    return str(path.absolute())


def _judge_missing(
    connection: sa.Connection, file: AnchorFile, on_record: dict[int, str], since: Sequence[Anchor]
) -> AnchorReport:
    path, review = file.path, newest_review(connection)
    there = {(anchor.seq, anchor.hash) for anchor in since}
    missing = tuple(seq for seq, digest in on_record.items() if (seq, digest) not in there)
    traded = connection.scalar(sa.select(sessions.c.session_id).where(sessions.c.mode == "live").limit(1)) is not None
    if missing or (not since and (review or traded)):
        state = "is not there" if not path.exists() else "does not have all of them"
        count = len(missing) or "the"
        detail = (
            f"the journal made {count} anchors in {path} since it was last anchored by a person, but the file {state}"
        )
        return AnchorReport(AnchorFinding.MISSING, path, detail, missing)
    failure = unresolved_failure(connection, path)
    if failure is not None:
        return AnchorReport(AnchorFinding.FAILED, path, f"an anchor could not be written to {path} ({failure})")
    if not since:
        return AnchorReport(AnchorFinding.NEVER_ANCHORED, path, f"the journal is new, and {path} has no anchors yet")
    return AnchorReport(AnchorFinding.TRUSTED, path, f"{path} has every anchor of the journal")
