"""Stopping, and the evidence that an order never reached the exchange: kill events, fences, sweeps, resolutions."""

from collections.abc import Mapping
from typing import Final

from kalshi_pipelines.execution.journal.admission import Admission
from kalshi_pipelines.execution.journal.errors import JournalRefused
from kalshi_pipelines.execution.journal.recording import NewRow
from kalshi_pipelines.execution.journal.records import Intent, SweepReading
from kalshi_pipelines.execution.journal.tables import fences, kill_events, reconciliations, resolutions, sweeps

NOTHING_MORE: Final[Mapping[str, object]] = {}


class Halting(Admission):
    """What stops orders, and what unblocks a market afterwards."""

    is_to_be_anchored = False
    """Whether this says stop or go on: a backup from before it must not be traded on."""

    def engage_kill(
        self, level: int, source: str, by: str, reason: str, facts: Mapping[str, object] = NOTHING_MORE
    ) -> int:
        """Stop every new risk from the commit of this on; number of the event."""
        last = self.kill()
        row = _kill_row(last.seq, level, source, by, reason, self.now_us, engaged=1)
        self.is_to_be_anchored = True
        self._record("kill", [row], facts)
        return last.seq + 1

    def release_kill(
        self,
        by: str,
        reason: str,
        reconciliation_id: int | None = None,
        facts: Mapping[str, object] = NOTHING_MORE,
    ) -> int:
        """Let sessions opened from now on send again; only the newest engagement can be released, by another person.

        Raises:
            JournalRefused: The switch is not engaged, or was engaged by the same principal.
        """
        last = self.kill()
        if not last.engaged:
            raise JournalRefused("kill_not_engaged", "there is nothing to release")
        row = _kill_row(last.seq, 0, "operator", by, reason, self.now_us, engaged=0)
        released = {
            "released_seq": last.seq,
            "engaged_by": last.by_whom,
            "released_engaged": 1,
            "reconciliation_id": reconciliation_id,
        }
        self.is_to_be_anchored = True
        self._record("release", [NewRow(kill_events, {**row.values, **released})], facts)
        return last.seq + 1

    def fenced(self, order_group_id: str, fenced_us: int, facts: Mapping[str, object] = NOTHING_MORE) -> int:
        """Note that the exchange confirmed a group as triggered; nothing of it can become live afterwards."""
        row = NewRow(fences, {"order_group_id": order_group_id, "fenced_us": fenced_us})
        return self._record("fence", [row], facts)

    def swept(self, reading: SweepReading, facts: Mapping[str, object] = NOTHING_MORE) -> int:
        """Note a reading of all orders of a market."""
        fenced_us = self._connection.scalar(
            fences.select().with_only_columns(fences.c.fenced_us).where(fences.c.fence_id == reading.fence_id)
        )
        row = NewRow(
            sweeps,
            {
                "fence_id": reading.fence_id,
                "fenced_us": fenced_us,
                "ticker": reading.ticker,
                "started_us": reading.started_us,
                "as_of_us": reading.as_of_us,
                "pages": reading.pages,
                "pages_sha256": reading.pages_sha256,
                "complete": int(reading.complete),
            },
        )
        return self._record("sweep", [row], facts)

    def resolve_absent(
        self, intent: Intent, fence_id: int, sweep_id: int, facts: Mapping[str, object] = NOTHING_MORE
    ) -> int:
        """Note that an intent's own group was fenced, and a complete sweep of its market afterwards did not have it.

        Raises:
            JournalRefused: The fence is not of its group, or the sweep is not complete, or of another market.
        """
        row = NewRow(
            resolutions,
            {
                "intent_id": intent.intent_id,
                "order_group_id": intent.order_group_id,
                "ticker": intent.ticker,
                "fence_id": fence_id,
                "sweep_id": sweep_id,
                "complete": 1,
                "at_us": self.now_us,
            },
        )
        return self._record("resolve", [row], facts)

    def reconciled(
        self,
        environment: str,
        subaccount: int,
        started_us: int,
        as_of_us: int,
        *,
        differences: int,
        clean: bool,
        report: str,
    ) -> int:
        """Note what a reconciliation found; ``report`` is its text for people."""
        row = NewRow(
            reconciliations,
            {
                "environment": environment,
                "subaccount": subaccount,
                "started_us": started_us,
                "as_of_us": as_of_us,
                "finished_us": self.now_us,
                "clean": int(clean),
                "differences": differences,
                "report": report,
            },
        )
        return self._record("reconciliation", [row], NOTHING_MORE)


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
