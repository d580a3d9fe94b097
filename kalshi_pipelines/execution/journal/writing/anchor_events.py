"""Recording anchors that could not be written, and decisions of persons to anchor the journal again."""

from pathlib import Path
from typing import Final

from kalshi_pipelines.execution.journal.anchor_trust import place_text
from kalshi_pipelines.execution.journal.tables import anchor_events
from kalshi_pipelines.execution.journal.writing.audit_writer import NO_FACTS, AuditWriter, NewRow

_LONGEST_REASON: Final = 1_000


class AnchorEventWriter:
    """Records failures of anchors and decisions to anchor the journal again."""

    def __init__(self, audit: AuditWriter) -> None:
        self._audit = audit

    def record_failure(self, path: Path, reason: str) -> int:
        """Record that an anchor could not be written to a file, and return the event's number."""
        return self._record("anchor_failed", "failed", path, "journal", reason, None)

    def record_review(self, path: Path, by: str, reason: str, reconciliation_id: int, *, adopted: bool = False) -> int:
        """Record a person's decision to anchor the journal again, and return the event's number.

        Anchors from before this event need not be in the anchor file any more.

        Args:
            path: The anchor file.
            by: The person.
            reason: The person's reason.
            reconciliation_id: The clean reconciliation on which the decision rests.
            adopted: Whether the journal was restored or replaced, and the person took over the account.
        """
        kind = "adopted" if adopted else "re_anchored"
        return self._record("re_anchor", kind, path, by, reason, reconciliation_id)

    def _record(
        self, audit_kind: str, kind: str, path: Path, by: str, reason: str, reconciliation_id: int | None
    ) -> int:
        row = {
            "kind": kind,
            "place": place_text(path),
            "by_whom": by,
            "reason": reason[:_LONGEST_REASON],
            "at_us": self._audit.now_us,
            "reconciliation_id": reconciliation_id,
        }
        return self._audit.record(audit_kind, [NewRow(anchor_events, row)], NO_FACTS)
