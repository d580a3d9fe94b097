"""Recording facts, which are reports of the exchange about the account.

Facts are always stored. A fact that exceeds a cap halts trading.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.tables import postings, scopes
from kalshi_pipelines.execution.journal.writing.audit_writer import AuditWriter, NewRow
from kalshi_pipelines.execution.journal.writing.halts import HaltWriter

#: The longest stored reason of a halt, in characters. A longer reason is truncated, so that it cannot make a halt fail.
_LONGEST_REASON: Final = 1_000


class FactWriter:
    """Stores facts with their postings, and engages the kill switch if a fact exceeds a cap."""

    def __init__(self, connection: sa.Connection, audit: AuditWriter, halts: HaltWriter) -> None:
        self._connection, self._audit, self._halts = connection, audit, halts

    def record(self, kind: str, rows: Sequence[NewRow], facts: Mapping[str, object]) -> None:
        """Store a fact, and engage the kill switch if the fact made a scope exceed its cap."""
        touched = sorted({row.values["scope_id"] for row in rows if row.table is postings}, key=str)
        before = self._breached(touched)
        self._audit.record(kind, rows, facts)
        new = sorted(self._breached(touched) - before)
        if new:
            self._audit.append("breach", {"scopes": new})
            self.halt(f"facts went beyond the caps of {', '.join(new)}")

    def halt(self, reason: str) -> None:
        """Engage the kill switch for a reason, which is truncated if it is too long."""
        self._halts.engage(1, "journal", "journal", reason[:_LONGEST_REASON])

    def _breached(self, scope_ids: Collection[object]) -> set[str]:
        found = self._connection.execute(
            sa.select(scopes.c.kind, scopes.c.key).where(scopes.c.scope_id.in_(scope_ids), scopes.c.breached == 1)
        )
        return {f"{kind} {key}" for kind, key in found}
