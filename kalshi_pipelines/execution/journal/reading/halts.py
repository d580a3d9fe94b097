"""The class that reads the journal's kill switch."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.reading.rows import Row, first_row
from kalshi_pipelines.execution.journal.records import KillState
from kalshi_pipelines.execution.journal.tables import kill_events

_NEWEST: Final = sa.select(kill_events).order_by(kill_events.c.seq.desc()).limit(1)
_NO_EVENT: Final = KillState(True, 1, "journal", "journal", "the journal has no kill event", 0, 0)


class HaltReading:
    """Reads the kill switch over one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def kill_state(self) -> KillState:
        """Return the newest event of the kill switch; without an event the switch counts as engaged."""
        row = first_row(self._connection, _NEWEST)
        return _NO_EVENT if row is None else _kill_state(row)

    def engagements_since_release(self) -> Sequence[KillState]:
        """Return the engagements of the kill switch since its last release, the oldest first."""
        table = kill_events.c
        released = sa.select(sa.func.coalesce(sa.func.max(table.seq), 0)).where(table.engaged == 0).scalar_subquery()
        found = sa.select(kill_events).where(table.seq > released).order_by(table.seq)
        return [_kill_state(row) for row in self._connection.execute(found).mappings()]


def _kill_state(row: Row) -> KillState:
    return KillState(
        bool(row["engaged"]),
        row["level"],
        row["source"],
        row["by_whom"],
        row["reason"],
        row["at_us"],
        row["seq"],
    )
