"""Commands that engage and release the journal's kill switch."""

from collections.abc import Mapping

from kalshi_pipelines.execution.journal.errors import JournalRefused
from kalshi_pipelines.execution.journal.reading.halts import HaltReading
from kalshi_pipelines.execution.journal.tables import kill_events
from kalshi_pipelines.execution.journal.writing.audit_writer import NO_FACTS, AuditWriter, NewRow


class HaltWriter:
    """Engages and releases the kill switch."""

    def __init__(self, audit: AuditWriter, reading: HaltReading) -> None:
        self._audit, self._reading = audit, reading
        self._changed = False

    @property
    def has_changed(self) -> bool:
        """Whether this transaction engages or releases the kill switch, so that its commit must be anchored at once.

        Without the anchor, a backup from before the commit could be used for trading.
        """
        return self._changed

    def engage(self, level: int, source: str, by: str, reason: str, facts: Mapping[str, object] = NO_FACTS) -> int:
        """Engage the kill switch, and return the event's number. After the transaction commits, no order is sent."""
        last = self._reading.kill_state()
        row = _kill_row(last.seq, level, source, by, reason, self._audit.now_us, engaged=1)
        self._changed = True
        self._audit.record("kill", [row], facts)
        return last.seq + 1

    def release(
        self,
        by: str,
        reason: str,
        reconciliation_id: int | None = None,
        facts: Mapping[str, object] = NO_FACTS,
    ) -> int:
        """Release the kill switch for sessions opened from now on, and return the event's number.

        Only the newest engagement can be released, and only by another person.

        Raises:
            JournalRefused: The switch is not engaged, or the person who releases it also engaged it.
        """
        last = self._reading.kill_state()
        if not last.engaged:
            raise JournalRefused("kill_not_engaged", "the kill switch is not engaged.")
        row = _kill_row(last.seq, 0, "operator", by, reason, self._audit.now_us, engaged=0)
        released = {
            "released_seq": last.seq,
            "engaged_by": last.by_whom,
            "released_engaged": 1,
            "reconciliation_id": reconciliation_id,
        }
        self._changed = True
        self._audit.record("release", [NewRow(kill_events, {**row.values, **released})], facts)
        return last.seq + 1


def _kill_row(last_seq: int, level: int, source: str, by: str, reason: str, at_us: int, *, engaged: int) -> NewRow:
    return NewRow(
        kill_events,
        {
            "seq": last_seq + 1,
            "prev_seq": last_seq or None,
            "engaged": engaged,
            "level": level,
            "source": source,
            "by_whom": by,
            "reason": reason,
            "at_us": at_us,
        },
    )
