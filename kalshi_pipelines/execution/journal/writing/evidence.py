"""Evidence that an order never reached the exchange: fences, sweeps and resolutions."""

from collections.abc import Mapping

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.records import Intent, SweepReading
from kalshi_pipelines.execution.journal.tables import fences, resolutions, sweeps
from kalshi_pipelines.execution.journal.writing.audit_writer import NO_FACTS, AuditWriter, NewRow


class EvidenceWriter:
    """Records fences, sweeps and resolutions, the steps that prove an order absent."""

    def __init__(self, connection: sa.Connection, audit: AuditWriter) -> None:
        self._connection, self._audit = connection, audit

    def record_fence(self, order_group_id: str, fenced_us: int, facts: Mapping[str, object] = NO_FACTS) -> int:
        """Record that the exchange confirmed the trigger of an order group, and return the fence's number.

        The exchange accepts no further order of a triggered group.

        """
        row = NewRow(fences, {"order_group_id": order_group_id, "fenced_us": fenced_us})
        return self._audit.record("fence", [row], facts)

    def record_sweep(self, reading: SweepReading, facts: Mapping[str, object] = NO_FACTS) -> int:
        """Record a sweep, which is a read of all orders of a market, and return the sweep's number."""
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
        return self._audit.record("sweep", [row], facts)

    def record_resolution(
        self, intent: Intent, fence_id: int, sweep_id: int, facts: Mapping[str, object] = NO_FACTS
    ) -> int:
        """Record that an order is absent, and return the resolution's number.

        The proof consists of the fence of the order's group and a later complete sweep of the order's market. The
        caller must have checked that the sweep does not contain the order.

        Raises:
            JournalRefused: The fence belongs to another group, or the sweep is incomplete or belongs to another market.
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
                "at_us": self._audit.now_us,
            },
        )
        return self._audit.record("resolve", [row], facts)
